package redact

import (
	"math/bits"
	"slices"
	"unicode/utf8"
)

// A trigger word holds eight bitmaps of eight bits, one a class; the table has bit 0 of each, shifted by the byte's place.
const (
	atToken  = 0      // part of a long token
	atDigit  = 1 << 3 // shifts, in bits
	atPoint  = 2 << 3 // a byte that a detector looks at for itself
	atDash   = 3 << 3
	atB      = 4 << 3 // the first letter of "be", "ba", "wo", "wd", "ke"
	atEA     = 5 << 3 // and the second
	atEscape = 6 << 3 // a backslash
	atU      = 7 << 3 // what follows a backslash that hides a sign, or a dash before a flag
)

func (r *Rules) buildTriggers() {
	t := &r.triggers
	for c := range t {
		if is(byte(c), isToken) {
			t[c] |= 1 << atToken
		}
		if is(byte(c), isNumeral) {
			t[c] |= 1 << atDigit
		}
	}
	points := "@:=>%&+'[(\x00\xc2\xcd\xe2\xef\xf3"
	if r.enabled[MAC] {
		points += "."
	}
	if r.enabled[PasswordHash] {
		points += "$"
	}
	for _, c := range []byte(points) {
		t[c] |= 1 << atPoint
	}
	t['-'] |= 1 << atDash
	for _, c := range "bBwWkK" {
		t[c] |= 1 << atB
	}
	for _, c := range "eaodEAOD" {
		t[c] |= 1 << atEA
	}
	t['\\'] |= 1 << atEscape
	for _, c := range "uUx/pPawcCsStTkAX" {
		t[c] |= 1 << atU
	}
	r.anyDigit = r.enabled[IP] || r.enabled[Phone] || r.enabled[NationalID]
}

// scan is one reading of one text.
type scan struct {
	r     *Rules
	text  []byte
	ms    []Match
	base  int // ms[:base] is the caller's
	depth int // of decoding
	left  int // bytes that may still be decoded, once there was something to

	tokenEnd   int    // long tokens are judged up to here
	base64End  int    // base64 is decoded up to here
	percentEnd int    // percent-encoded runs are decoded up to here
	listEnd    [8]int // lists are looked through up to here, by the depth of their quotes
	walked     int    // bytes gone over in search of named values
	valuesEnd  int    // and tuples of SQL

	form                                 bool // plus signs were read both ways
	entityDone, plainDone, printableDone bool
}

// Scan appends the secrets in text to dst: in order, not overlapping, each within the text. text is unescaped UTF-8 of
// any length; bytes that are no UTF-8 do no harm. The time is linear in the length. Scan allocates only where it has to
// decode something, or dst to grow.
func (r *Rules) Scan(dst []Match, text []byte) []Match {
	i := r.Glance(text)
	if i == len(text) {
		return dst
	}
	s := scan{r: r, text: text, ms: dst, base: len(dst)}
	s.run(i)
	return s.ms
}

// Glance returns where the first eight bytes begin that a detector has to look at, or len(text) where there are none: then
// Scan finds nothing. Most texts of a log are such: words, and the identifiers of programs.
func (r *Rules) Glance(text []byte) int {
	if !r.anyDigit && (isID(text) || isHash(text)) {
		return len(text)
	}
	var prev uint64
	for i := 0; i < len(text); i += 8 {
		m := r.triggers.of(text[i:])
		if uint8(m>>atToken) == 0xff && len(text) >= minToken {
			return i
		}
		if m&watched != 0 && !r.harmless(text, i, m, r.candidates(m, prev)) {
			return i
		}
		prev = m >> 7
	}
	return len(text)
}

// harmless reports whether the candidates among the eight bytes at i are only digits in which there is nothing to find.
func (r *Rules) harmless(text []byte, i int, m uint64, found uint8) bool {
	if found&^uint8(m>>atDigit) != 0 || found != 0 && r.anyDigit {
		return false
	}
	for ; found != 0; found &= found - 1 {
		if !innocent(text, i+bits.TrailingZeros8(found)) {
			return false
		}
	}
	return true
}

// innocent reports whether the digits that begin at i are for sure none that the method digits looks for: those of the
// middle of a word, at the beginning of a word ("33c0"), or too close to the end of the text.
func innocent(text []byte, i int) bool {
	if i > 0 {
		switch c := text[i-1]; {
		case is(c, isAlnum):
			return i == 1 || text[i-2] != '\\' && text[i-2] != '%'
		case c == ' ' || c == '-': // a told code, an IBAN in groups
			return false
		}
	}
	end := span(text, i, isNumeral)
	return end < len(text) && is(text[end], isAlpha) || len(text)-i < shortestNumber
}

// shortestNumber is the length of a social security number with its signs; cards are longer.
const shortestNumber = 11

// isID reports whether all of text is a UUID in lower case.
func isID(text []byte) bool {
	return len(text) == 36 && text[8] == '-' && isUUID(text, 0) && !slices.ContainsFunc(text, isCapital)
}

func isCapital(c byte) bool { return is(c, isUpper) }

// isHash reports whether all of text is a short hexadecimal number in lower case, with a letter among its first digits:
// of 15 to 31 digits, since keys are longer. One that begins like an IBAN may be one.
func isHash(text []byte) bool {
	if len(text) < minToken || len(text) >= 32 || span(text[:2], 0, isAlpha) == 2 && span(text[:4], 2, isNumeral) == 4 {
		return false
	}
	for _, c := range text {
		if !is(c, isHex) || is(c, isUpper) {
			return false
		}
	}
	return span(text, 0, isNumeral) < len(text)
}

// watched are the classes a byte of which can be a candidate. A block without one costs the table and one look.
const watched = 0xff<<atDigit | 0xff<<atPoint | 0xff<<atDash | 0xff<<atB | 0xff<<atEscape

// A triggerTable has the classes of every byte.
type triggerTable [256]uint64

// of returns the trigger word of the first eight bytes of text, or of all if it is shorter.
func (t *triggerTable) of(text []byte) (m uint64) {
	if len(text) >= 8 {
		b := (*[8]byte)(text)
		return t[b[0]] | t[b[1]]<<1 | t[b[2]]<<2 | t[b[3]]<<3 | t[b[4]]<<4 | t[b[5]]<<5 | t[b[6]]<<6 | t[b[7]]<<7
	}
	for k, c := range text {
		m |= t[c] << k
	}
	return m
}

// candidates has a bit for each of eight bytes that has to be looked at, given their trigger word and that of the byte
// before.
func (r *Rules) candidates(m, prev uint64) uint8 {
	// The beginnings of digit runs, of three or more as far as the block shows it.
	digit, dash := uint8(m>>atDigit), uint8(m>>atDash)
	starts := digit &^ (digit<<1 | uint8(prev>>atDigit)&1)
	if !r.anyDigit {
		starts &= (digit>>1 | 0x80) & (digit>>2 | 0xc0)
	}
	return starts | uint8(m>>atPoint) |
		dash&(dash<<1|uint8(prev>>atDash)&1|uint8(m>>atU)>>1|0x80) |
		uint8(m>>atB)&(uint8(m>>atEA)>>1|0x80) |
		uint8(m>>atEscape)&(uint8(m>>atU)>>1|0x80)
}

// run reads the text from the block at i on.
func (s *scan) run(i int) {
	text, t := s.text, &s.r.triggers
	for i < len(text) {
		m := t.of(text[i:])
		next := i + 8
		if uint8(m>>atToken) == 0xff && i >= s.tokenEnd {
			next = max(next, s.token(i))
		}
		if m&watched != 0 && next == i+8 {
			next = s.block(i, m)
		}
		i = next
	}
}

// block lets the candidates among the eight bytes at i be looked at, given their classes. It returns where to go on.
func (s *scan) block(i int, m uint64) int {
	var prev uint64 // the classes of the byte before
	if i > 0 {
		prev = s.r.triggers[s.text[i-1]]
	}
	found := s.r.candidates(m, prev)
	for found != 0 {
		k := bits.TrailingZeros8(found)
		found &= found - 1
		end := s.candidate(i + k)
		if end >= i+8 {
			s.tokenEnd = max(s.tokenEnd, end)
			return end
		}
		if end > i+k {
			found &= 0xff << (end - i)
		}
	}
	return i + 8
}

// candidate lets the detectors of the byte at i look closer. It returns where to go on when that is further than i: only
// a match, or a value that is allowed, may be jumped over, so that no long token is entered in the middle.
func (s *scan) candidate(i int) int {
	switch c := s.text[i]; c {
	case ':', '=':
		if c == ':' && (s.r.enabled[IP] || s.r.enabled[MAC]) {
			if e := s.colons(i); e > i {
				return e
			}
		}
		if c == '=' && !s.printableDone {
			s.printable(i)
		}
		return s.pair(i)
	case '@':
		return s.at(i)
	case '-':
		if i > 0 && is(s.text[i-1], isAlnum) && !hasAt(s.text, i, "--") {
			return 0 // a hyphen
		}
		return s.dashes(i)
	case 'b', 'B':
		return s.scheme(i)
	case 'w', 'W', 'k', 'K':
		return s.prose(i)
	case '%':
		if hasAt(s.text, i, "%u") {
			return s.escape(i)
		}
		return s.percent(i)
	case '>':
		if e := s.arrow(i); e > i {
			return e
		}
		return s.tag(i)
	case '\\':
		return s.escape(i)
	case '&':
		return s.entity(i)
	case '\'':
		return s.sql(i)
	case '[':
		return s.list(i)
	case '(':
		if e := s.brackets(i); e > i {
			return e
		}
		return s.phone(i)
	case '+':
		if e := s.plus(i); e > i {
			return e
		}
		return s.phone(i)
	case 0, 0xc2, 0xcd, 0xe2, 0xef, 0xf3:
		return s.disguise(i)
	case '.':
		return s.dot(i)
	case '$':
		return s.crypt(i)
	default:
		return s.digits(i)
	}
}

// emit records a match and returns its end. A match that a limit ended within a character takes all of it: half of one is
// no UTF-8. What overlaps an earlier match is merged with it: nothing of either may stay.
// What touches a mask is none, and emit returns 0: it was judged when the secret stood there, and cutting that out must not
// make a new one of the rest.
func (s *scan) emit(start, end int, d Detector) int {
	start, end = s.whole(start, end)
	if hasAt(s.text, end, Mask) || hasAt(s.text, start-len(Mask), Mask) {
		return 0
	}
	at := len(s.ms)
	for at > s.base && s.ms[at-1].Start >= end {
		at-- // found looking back, behind a later match
	}
	first := at
	m := Match{Start: start, End: end, Detector: d}
	for first > s.base && s.ms[first-1].End > start {
		first--
		m.Start, m.End = min(m.Start, s.ms[first].Start), max(m.End, s.ms[first].End)
		m.Detector = s.ms[first].Detector
	}
	if first == at {
		s.ms = append(s.ms, m)
		copy(s.ms[at+1:], s.ms[at:])
		s.ms[at] = m
		return m.End
	}
	s.ms[first] = m
	s.ms = append(s.ms[:first+1], s.ms[at:]...)
	return m.End
}

// whole widens text[start:end] to the characters that it begins and ends in.
func (s *scan) whole(start, end int) (int, int) {
	for k := start; k >= 0 && k > start-utf8.UTFMax && k < len(s.text); k-- {
		if utf8.RuneStart(s.text[k]) {
			start = k
			break
		}
	}
	for k := end; k <= len(s.text) && k < end+utf8.UTFMax; k++ {
		if k == len(s.text) || utf8.RuneStart(s.text[k]) {
			return start, k
		}
	}
	return start, end
}
