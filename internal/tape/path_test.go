package tape

import "testing"

func TestAtFollowsPathsAndNamesWithDots(t *testing.T) {
	t.Parallel()
	var tp Tape
	if err := tp.Parse([]byte(`{"a":{"b":1,"c.d":2,"c":{"d":3,"e":{"f":4}}},"a.x":5,"n":null,"s":"t"}`)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"a.b": "1", "a.c.d": "2", "a.c.e.f": "4", "a.x": "5", "n": "null", "s": "t", "a.y": "", "s.t": "", "b": "", "": "", ".": "", "a.": "",
	} {
		got := ""
		if j := tp.At(0, path); j != 0 {
			got = string(tp.Raw(&tp.Nodes[j]))
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}
