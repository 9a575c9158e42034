package activity

import "testing"

func TestAgesAreRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"1d": 1, "400d": 400, "8w": 56, "13m": 403, "2y": 732, "100y": 36_600, "forever": 0} {
		if got, err := ParseAge(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestWhatIsNoAgeIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "d", "0d", "-1d", "+1d", "1.5y", "30", "30h", "1y6m", "101y", "99999999999d", " 1d", "1 d", "Forever", "ever", "١d"} {
		if got, err := ParseAge(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}
