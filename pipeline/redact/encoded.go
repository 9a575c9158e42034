package redact

import (
	"bytes"
	"unicode/utf8"
)

// A view is a decoded text with the place in the source of every byte, so that a secret found in it is masked where it
// stands.
type view struct {
	text []byte
	at   []int
}

func (v *view) add(c byte, at int) {
	v.text = append(v.text, c)
	v.at = append(v.at, at)
}

// look scans a view and records what it finds at its place in the source.
func (s *scan) look(v *view, end int) {
	if s.depth >= maxDepth {
		return
	}
	v.at = append(v.at, end)
	sub := scan{r: s.r, text: v.text, depth: s.depth + 1}
	sub.run()
	for _, m := range sub.ms {
		s.emit(v.at[m.Start], v.at[m.End], m.Detector)
	}
}

// percent decodes the run of bytes around a percent sign that begins an escape, once, and scans what it says.
func (s *scan) percent(i int) int {
	text := s.text
	if i < s.percentEnd || !percentEscape(text, i) {
		return 0
	}
	start := i
	for lo := max(s.percentEnd, i-4096); start > lo && !endsPercent(text[start-1]); start-- {
	}
	end := i
	for end < len(text) && !endsPercent(text[end]) {
		end++
	}
	v := view{text: make([]byte, 0, end-start), at: make([]int, 0, end-start+1)}
	plus := byte(' ') // as forms and queries write it; paths write "%20", and a plus is one
	if bytes.Contains(text[start:end], []byte("%20")) {
		plus = '+'
	}
	for k := start; k < end; {
		switch {
		case percentEscape(text, k):
			v.add(unhex(text[k+1])<<4|unhex(text[k+2]), k)
			k += 2
		case text[k] == '+':
			v.add(plus, k)
		default:
			v.add(text[k], k)
		}
		k++
	}
	s.percentEnd = end
	s.look(&v, end)
	return 0
}

func endsPercent(c byte) bool { return c <= ' ' || c == '"' || c == '<' || c == '>' }

func percentEscape(text []byte, i int) bool {
	return i+2 < len(text) && text[i] == '%' && is(text[i+1], isHex) && is(text[i+2], isHex)
}

func unhex(c byte) byte {
	if is(c, isNumeral) {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// escape decodes the \u escapes of a text, once, if one of them hides an ASCII sign.
func (s *scan) escape(i int) int {
	if s.escapeDone || asciiEscape(s.text, i) == 0 {
		return 0
	}
	s.escapeDone = true
	var v view
	for k := 0; k < len(s.text); {
		if n := asciiEscape(s.text, k); n > 0 {
			v.add(unhex(s.text[k+n-2])<<4|unhex(s.text[k+n-1]), k)
			k += n
			continue
		}
		v.add(s.text[k], k)
		k++
	}
	s.look(&v, len(s.text))
	return 0
}

// maxSlashes are as many backslashes as four encodings inside each other make of one.
const maxSlashes = 15

// asciiEscape returns the length of an escape like \u0040 at i, whose backslash may have been escaped itself, or 0.
func asciiEscape(text []byte, i int) int {
	k := i
	for k < len(text) && k < i+maxSlashes && text[k] == '\\' {
		k++
	}
	if k > i && hasAt(text, k, "u00") && k+4 < len(text) && text[k+3] >= '2' && text[k+3] <= '7' && is(text[k+4], isHex) {
		return k + 5 - i
	}
	return 0
}

// entity decodes the character references of HTML and XML in a text, once.
func (s *scan) entity(i int) int {
	if s.entityDone {
		return 0
	}
	if _, n := reference(s.text, i); n == 0 {
		return 0
	}
	s.entityDone = true
	var v view
	for k := 0; k < len(s.text); {
		if c, n := reference(s.text, k); n > 0 {
			v.add(c, k)
			k += n
			continue
		}
		v.add(s.text[k], k)
		k++
	}
	s.look(&v, len(s.text))
	return 0
}

var references = []struct {
	name string
	c    byte
}{{"&quot;", '"'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&apos;", '\''}, {"&amp;", '&'}, {"&commat;", '@'}}

// reference decodes one character reference to ASCII at i and returns its length, 0 if there is none.
func reference(text []byte, i int) (c byte, n int) {
	if text[i] != '&' || i+3 >= len(text) {
		return 0, 0
	}
	switch text[i+1] {
	case '#':
	case 'q', 'l', 'g', 'a', 'c':
		for _, r := range references {
			if hasAt(text, i, r.name) {
				return r.c, len(r.name)
			}
		}
		return 0, 0
	default:
		return 0, 0
	}
	k, code, base := i+2, 0, 10
	if k < len(text) && lower(text[k]) == 'x' {
		k, base = k+1, 16
	}
	for first := k; k < len(text) && k < first+6 && is(text[k], isHex); k++ {
		code = code*base + int(unhex(text[k]))
	}
	if k >= len(text) || text[k] != ';' || code < ' ' || code > 126 {
		return 0, 0
	}
	return byte(code), k + 1 - i
}

// base64Text scans what a long token says in base64, if that is text, and masks the whole token if it holds a secret.
// Keys, hashes, words and images stop being text within the first bytes.
func (s *scan) base64Text(start, end int) int {
	text := s.text
	if start < s.base64End || s.depth >= maxDepth || !textual(text[start:start+16]) {
		return 0
	}
	var head [12]byte
	if plain, _ := appendText(head[:0], text[start:start+16]); len(plain) < len(head) || !utf8.Valid(plain[:len(plain)-cutRune(plain)]) {
		return 0
	}
	plain, n := appendText(make([]byte, 0, end-start), text[start:])
	// What was decoded once is not decoded again from a later place: the time stays linear.
	s.base64End = start + n
	if start+n < end || !utf8.Valid(plain[:len(plain)-cutRune(plain)]) {
		return 0
	}
	end = start + n
	sub := scan{r: s.r, text: plain, depth: s.depth + 1}
	sub.run()
	if len(sub.ms) == 0 {
		return 0
	}
	for end < len(text) && text[end] == '=' {
		end++
	}
	return s.emit(start, end, sub.ms[0].Detector)
}

// sextets is the value of each byte in either alphabet of base64, 0xff for none.
var sextets = func() (t [256]byte) {
	for c := range t {
		t[c] = 0xff
	}
	for i, c := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/" {
		t[c] = byte(i)
	}
	t['-'], t['_'] = 62, 63
	return t
}()

// textual is the first look at base64: every fourth sign holds the upper bits of a byte, which in text are never those of
// a control character or of a continuation byte alone. Most words of a log end here.
func textual(head []byte) bool {
	for i := 0; i < len(head); i += 4 {
		if x := sextets[head[i]]; x < 2 || x > 3 && x < 8 || x > 31 && x < 48 && i == 0 {
			return false
		}
	}
	return true
}

// appendText decodes base64 as far as it is text: up to the first control character or byte of neither alphabet. It
// returns how much of v that was.
func appendText(dst, v []byte) ([]byte, int) {
	acc, bits := uint32(0), 0
	for i, c := range v {
		x := sextets[c]
		if x == 0xff {
			return dst, i
		}
		acc = acc<<6 | uint32(x)
		if bits += 6; bits >= 8 {
			bits -= 8
			p := byte(acc >> bits)
			if p < ' ' && !is(p, isSpace) || p == 0x7f || p == 0xff {
				return dst, i
			}
			dst = append(dst, p)
		}
	}
	return dst, len(v)
}

// cutRune returns how many bytes at the end belong to a rune that was cut off.
func cutRune(v []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(v); n++ {
		if c := v[len(v)-n]; utf8.RuneStart(c) {
			if c >= 0x80 && !utf8.FullRune(v[len(v)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
