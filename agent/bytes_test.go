package agent

import "testing"

func TestBytesAreReadAndWritten(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want Bytes
		back string
	}{
		{"0", 0, "0"},
		{"1000", 1000, "1000"},
		{"1024", 1 << 10, "1KiB"},
		{"1536KiB", 1536 << 10, "1536KiB"},
		{"12MiB", 12 << 20, "12MiB"},
		{"12 MiB", 12 << 20, "12MiB"},
		{"2048MiB", 2 << 30, "2GiB"},
		{"8589934591GiB", 8589934591 << 30, "8589934591GiB"},
	} {
		var got Bytes
		if err := got.UnmarshalText([]byte(tt.text)); err != nil || got != tt.want {
			t.Errorf("%q: got %d, %v; want %d", tt.text, got, err, tt.want)
		}
		if got.String() != tt.back {
			t.Errorf("%q: got %s back, want %s", tt.text, got, tt.back)
		}
	}
}

func TestBytesRefuseWhatIsNoSize(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "MiB", "-1", "+1", "1.5MiB", "12MB", "12mib", "0x10", "1_000", " 1", "8589934592GiB", "9223372036854775808"} {
		got := Bytes(7)
		if err := got.UnmarshalText([]byte(text)); err == nil || got != 7 {
			t.Errorf("%q: got %d, %v; want an error and the value untouched", text, got, err)
		}
	}
}
