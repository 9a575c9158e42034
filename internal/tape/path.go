package tape

import "strings"

// At finds what a dotted path leads to from the object at index i, or returns 0. A name may itself have dots: of "a.b", a
// member that is named so comes before the member b of an object a.
func (t *Tape) At(i uint32, path string) uint32 {
	if j := t.Member(i, path); j != 0 {
		return j
	}
	for at := 0; ; {
		dot := strings.IndexByte(path[at:], '.')
		if dot < 0 {
			return 0
		}
		at += dot + 1
		if below := t.Member(i, path[:at-1]); below != 0 {
			if j := t.At(below, path[at:]); j != 0 {
				return j
			}
		}
	}
}
