package redact

import (
	"bytes"
	"unicode/utf16"
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

func (v *view) addRune(c rune, at int) {
	var b [utf8.UTFMax]byte
	for _, x := range b[:utf8.EncodeRune(b[:], c)] {
		v.add(x, at)
	}
}

// maxDepth bounds encodings inside encodings: a base64 text inside a percent-encoded one is two. maxDecoded bounds how
// many times a text's length is decoded, whatever encodings meet in it. What exceeds them is replaced whole.
const (
	maxDepth   = 6
	maxDecoded = 16
)

// mayDecode reports whether n more bytes of text[start:end] may be decoded, and gives them up if not.
func (s *scan) mayDecode(n, start, end int) bool {
	if s.depth == 0 && s.left == 0 {
		s.left = maxDecoded*len(s.text) + 4096
	}
	if s.depth >= maxDepth || s.left < n {
		s.emit(start, end, Limit)
		return false
	}
	return true
}

// look scans what text[start:end] says when it is decoded, and records what it finds at its place in the source.
func (s *scan) look(v *view, end int) { s.lookAs(v, end, false) }

func (s *scan) lookAs(v *view, end int, form bool) {
	v.at = append(v.at, end)
	for _, m := range s.decoded(v.text, form) {
		s.emit(v.at[m.Start], v.at[m.End], m.Detector)
	}
}

// decoded scans what was decoded. form says that its plus signs were read already, both ways.
func (s *scan) decoded(text []byte, form bool) []Match {
	sub := scan{r: s.r, text: text, form: form, depth: s.depth + 1, left: max(1, s.left-len(text))}
	sub.run(0)
	s.left = sub.left
	return sub.ms
}

// percent decodes the run of bytes around a percent sign that begins an escape, once, and scans what it says.
func (s *scan) percent(i int) int {
	if i < s.percentEnd || !percentEscape(s.text, i) {
		return 0
	}
	return s.decodeRun(i)
}

// plus looks at a plus sign: a space in a form, if it stands between words and another one follows.
func (s *scan) plus(i int) int {
	text := s.text
	if s.form || i < s.percentEnd || i == 0 || i+1 >= len(text) || !is(text[i-1], isToken) || !is(text[i+1], isToken) {
		return 0
	}
	for k := i + 2; k < len(text) && k < i+32 && !endsPercent(text[k]); k++ {
		if text[k] == '+' {
			return s.decodeRun(i)
		}
	}
	return 0
}

func (s *scan) decodeRun(i int) int {
	text := s.text
	start := i
	for lo := max(s.percentEnd, i-4096); start > lo && !endsPercent(text[start-1]); start-- {
	}
	end := i
	for end < len(text) && !endsPercent(text[end]) {
		end++
	}
	s.percentEnd = end
	run := text[start:end]
	readings := []plusses{asForms}
	if bytes.IndexByte(run, '+') >= 0 {
		readings = append(readings, asPaths)
	}
	if bytes.Contains(run, []byte("%2B")) || bytes.Contains(run, []byte("%2b")) {
		readings = append(readings, asForms2)
	}
	for _, r := range readings {
		if !s.mayDecode(len(run), start, end) {
			return end
		}
		v := percentView(text, start, end, r)
		s.lookAs(&v, end, true)
	}
	return 0
}

// plusses says what a plus sign is: nobody knows by the sign alone.
type plusses uint8

const (
	asForms  plusses = iota // a space, and an encoded one a plus
	asPaths                 // a plus
	asForms2                // a space, also an encoded one: what was encoded twice has its spaces so
)

func percentView(text []byte, start, end int, r plusses) view {
	v := view{text: make([]byte, 0, end-start), at: make([]int, 0, end-start+1)}
	for k := start; k < end; {
		c, n := text[k], 1
		if percentEscape(text, k) {
			c, n = unhex(text[k+1])<<4|unhex(text[k+2]), 3
		}
		if c == '+' && (r == asForms2 || r == asForms && n == 1) {
			c = ' '
		}
		v.add(c, k)
		k += n
	}
	return v
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

// plain looks at the text as it reads without escapes and without what cannot be seen, once.
func (s *scan) plain() int {
	if s.plainDone {
		return 0
	}
	s.plainDone = true
	if !s.mayDecode(len(s.text), 0, len(s.text)) {
		return len(s.text)
	}
	v := view{text: make([]byte, 0, len(s.text)), at: make([]int, 0, len(s.text)+1)}
	for k := 0; k < len(s.text); {
		k += v.addPlain(s.text, k)
	}
	s.look(&v, len(s.text))
	return 0
}

// addPlain adds what stands at k without escapes, and returns its length in the source.
//
// A backslash that was itself escaped, once for each string that the text was put into, is passed over with the others
// before it. Double quotes and line ends stay escaped, as they would be had the writer not preferred a number: what encloses a
// value is told from what is inside it by the backslashes.
func (v *view) addPlain(text []byte, k int) int {
	switch c := text[k]; {
	case c == '\\':
		n := k
		for n < len(text) && text[n] == '\\' {
			n++
		}
		if r, length := escaped(text, n); length > 0 {
			v.addEscaped(r, k, n-k)
			return n - k + length
		}
		for i := k; i < n; i++ {
			v.add('\\', i)
		}
		return n - k
	case c == '%' && k+1 < len(text) && text[k+1] == 'u':
		if r, length := escaped(text, k+1); length > 0 {
			v.addEscaped(r, k, 1)
			return 1 + length
		}
	case c == 0 || c >= 0xc2:
		if r, length := disguised(text, k); length > 0 {
			if r != 0 {
				v.addRune(r, k)
			}
			return length
		}
	}
	v.add(text[k], k)
	return 1
}

func (v *view) addEscaped(r rune, at, slashes int) {
	switch r {
	case '"', '\\', '\n', '\r', '\t':
		for range 2*min(slashes, 64) - 1 {
			v.add('\\', at)
		}
		switch r {
		case '\n':
			r = 'n'
		case '\r':
			r = 'r'
		case '\t':
			r = 't'
		}
	}
	if r >= ' ' && !unseen(r) {
		v.addRune(narrow(r), at)
	}
}

// escaped decodes what follows the backslashes before i: u0040, u{40}, U00000040, x40, or a slash. It returns a length of
// 0 for anything else.
func escaped(text []byte, i int) (r rune, length int) {
	if i >= len(text) {
		return 0, 0
	}
	switch text[i] {
	case '/':
		return '/', 1
	case 'x':
		return escapedByte(text, i)
	case 'U':
		r, ok := hexRune(text, i+1, 8)
		return r, b2i(ok) * 9
	case 'u':
		if hasAt(text, i+1, "{") {
			n := i + 2
			for n < len(text) && n < i+8 && is(text[n], isHex) {
				n++
			}
			r, ok := hexRune(text, i+2, n-i-2)
			return r, b2i(ok && hasAt(text, n, "}")) * (n + 1 - i)
		}
		r, ok := hexRune(text, i+1, 4)
		if !ok || !utf16.IsSurrogate(r) {
			return r, b2i(ok) * 5
		}
		n := i + 5
		for n < len(text) && (text[n] == '\\' || text[n] == '%') {
			n++
		}
		if low, ok := hexRune(text, n+1, 4); ok && n > i+5 && text[n] == 'u' && utf16.IsSurrogate(low) {
			return utf16.DecodeRune(r, low), n + 5 - i
		}
		return utf8.RuneError, 5
	}
	return 0, 0
}

// escapedByte decodes x40, and the bytes of a character in UTF-8: xe2\x80\x8b.
func escapedByte(text []byte, i int) (r rune, length int) {
	var char [utf8.UTFMax]byte
	for n, k := 0, i; n < len(char); {
		c, ok := hexRune(text, k+1, 2)
		if !ok {
			break
		}
		char[n] = byte(c)
		n, k = n+1, k+3
		if utf8.FullRune(char[:n]) {
			if r, size := utf8.DecodeRune(char[:n]); size == n {
				return r, k - i
			}
			break
		}
		for k < len(text) && text[k] == '\\' {
			k++
		}
		if k >= len(text) || text[k] != 'x' {
			break
		}
	}
	if _, ok := hexRune(text, i+1, 2); ok {
		return utf8.RuneError, 3 // of another charset
	}
	return 0, 0
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// hexRune reads n hexadecimal digits at i.
func hexRune(text []byte, i, n int) (r rune, ok bool) {
	if n == 0 || len(text)-i < n {
		return 0, false
	}
	for _, c := range text[i : i+n] {
		if !is(c, isHex) {
			return 0, false
		}
		r = r<<4 | rune(unhex(c))
	}
	return r, r >= 0 && r <= utf8.MaxRune
}

// escape looks at a backslash, or at the percent sign of %u0040.
func (s *scan) escape(i int) int {
	if !s.plainDone {
		if _, length := escaped(s.text, i+1); length > 0 {
			return s.plain()
		}
	}
	return 0
}

// disguise looks at a byte with which a character can begin that is unseen, or a wide form of an ASCII one.
func (s *scan) disguise(i int) int {
	if !s.plainDone {
		if _, length := disguised(s.text, i); length > 0 {
			return s.plain()
		}
	}
	return 0
}

// disguised returns the ASCII form of a wide character at i, or 0 for one that cannot be seen, and the length of it. The
// length is 0 for all others.
func disguised(text []byte, i int) (r rune, length int) {
	switch text[i] {
	case 0:
		return 0, 1
	case 0xc2, 0xcd, 0xe2, 0xef, 0xf3: // the first bytes of those below
	default:
		return 0, 0
	}
	r, n := utf8.DecodeRune(text[i:])
	switch {
	case unseen(r):
		return 0, n
	case narrow(r) != r:
		return narrow(r), n
	}
	return 0, 0
}

// unseen reports whether a character takes no room: soft hyphen, grapheme joiner, zero-width spaces and joiners, marks of
// direction, and tags (the format characters of Unicode that occur between ASCII letters).
func unseen(r rune) bool {
	switch {
	case r == 0, r == 0xad, r == 0x34f, r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e,
		r >= 0x2060 && r <= 0x2069, r == 0xfeff, r >= 0xe0000 && r <= 0xe007f:
		return true
	}
	return false
}

// narrow returns the ASCII form of a full-width letter, digit or sign, but for quotes and the backslash. Others stay.
func narrow(r rune) rune {
	if r >= '！' && r <= '～' {
		if n := r - '！' + '!'; n != '"' && n != '\'' && n != '`' && n != '\\' {
			return n
		}
	}
	return r
}

// printable decodes quoted-printable (RFC 2045, 6.7), once, if what follows the equals sign at i can be nothing else: an
// equals sign encoded, or a soft line break.
func (s *scan) printable(i int) {
	text := s.text
	if s.printableDone || !hasAt(text, i, "=3D") && softBreak(text, i) == 0 {
		return
	}
	s.printableDone = true
	if !s.mayDecode(len(text), 0, len(text)) {
		return
	}
	v := view{text: make([]byte, 0, len(text)), at: make([]int, 0, len(text)+1)}
	for k := 0; k < len(text); {
		if n := softBreak(text, k); n > 0 {
			k += n
			continue
		}
		if text[k] == '=' && k+2 < len(text) && is(text[k+1], isHex) && is(text[k+2], isHex) && !is(text[k+1], isLower) && !is(text[k+2], isLower) {
			v.add(unhex(text[k+1])<<4|unhex(text[k+2]), k)
			k += 3
			continue
		}
		v.add(text[k], k)
		k++
	}
	s.look(&v, len(text))
}

// softBreak returns the length of an equals sign and the line end behind it, which may be escaped.
func softBreak(text []byte, i int) int {
	if text[i] != '=' {
		return 0
	}
	if n := lineBreak(text, i+1); n > 0 && i > 0 && text[i-1] != '=' {
		return 1 + n
	}
	return 0
}

// lineBreak returns the length of a line end at i, as it is or escaped: CR, LF, or both.
func lineBreak(text []byte, i int) int {
	at := i
	for _, c := range [...]byte{'\r', '\n'} {
		n := at
		for n < len(text) && text[n] == '\\' {
			n++
		}
		switch {
		case at < len(text) && text[at] == c:
			at++
		case n > at && n < len(text) && (text[n] == 'r' && c == '\r' || text[n] == 'n' && c == '\n'):
			at = n + 1
		}
	}
	return at - i
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
	if !s.mayDecode(len(s.text), 0, len(s.text)) {
		return len(s.text)
	}
	v := view{text: make([]byte, 0, len(s.text)), at: make([]int, 0, len(s.text)+1)}
	for k := 0; k < len(s.text); {
		if c, n := reference(s.text, k); n > 0 {
			if !unseen(c) {
				v.addRune(narrow(c), k)
			}
			k += n
			continue
		}
		v.add(s.text[k], k)
		k++
	}
	s.look(&v, len(s.text))
	return 0
}

// references are the named ones of signs that something hangs on (https://html.spec.whatwg.org/#named-character-references).
var references = []struct {
	name string
	c    rune
}{
	{"&quot;", '"'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&apos;", '\''}, {"&amp;", '&'}, {"&commat;", '@'}, {"&colon;", ':'},
	{"&equals;", '='}, {"&period;", '.'}, {"&sol;", '/'}, {"&lowbar;", '_'}, {"&plus;", '+'}, {"&num;", '#'},
	{"&percnt;", '%'}, {"&nbsp;", '\u00a0'}, {"&shy;", '\u00ad'}, {"&zwj;", '\u200d'}, {"&zwnj;", '\u200c'},
	{"&ensp;", '\u2002'}, {"&emsp;", '\u2003'}, {"&thinsp;", '\u2009'}, {"&hyphen;", '-'}, {"&dash;", '-'},
}

// reference decodes one character reference at i and returns its length, 0 if there is none. The semicolon may be missing
// after a number.
func reference(text []byte, i int) (c rune, n int) {
	if text[i] != '&' || i+3 >= len(text) {
		return 0, 0
	}
	if text[i+1] != '#' {
		if !is(text[i+1], isLower) {
			return 0, 0
		}
		for _, r := range references {
			if hasAt(text, i, r.name) {
				return r.c, len(r.name)
			}
		}
		return 0, 0
	}
	k, base, digits := i+2, 10, uint16(isNumeral)
	if lower(text[k]) == 'x' {
		k, base, digits = k+1, 16, isHex
	}
	for first := k; k < len(text) && k < first+8 && is(text[k], digits); k++ {
		c = c*rune(base) + rune(unhex(text[k]))
	}
	switch {
	case c < ' ' && c != '\t' && c != '\n' && c != '\r', c == 0x7f, c > utf8.MaxRune:
		return 0, 0
	case k < len(text) && text[k] == ';':
		k++
	case continued(text, k):
		return 0, 0
	}
	return c, k - i
}

// minBase64 is how many signs of base64 are looked into at least: ten bytes or more.
const minBase64 = 14

// base64Text scans what a long token says in base64, if that is text, and masks the whole token if it holds a secret.
// Keys, hashes, words and images stop being text within the first bytes.
func (s *scan) base64Text(start, end int) int {
	text := s.text
	if start < s.base64End || end-start < minBase64 {
		return 0
	}
	// Signs of the alphabet that are none of a token's may have cut the beginning off.
	for lo := max(s.base64End, start-minBase64); start > lo && sextets[text[start-1]] != 0xff; start-- {
	}
	head := text[start:min(end, start+16)]
	var b [12]byte
	if plain, n := appendText(b[:0], head); !textual(head) || n < len(head) || !utf8.Valid(plain[:len(plain)-cutRune(plain)]) {
		return 0
	}
	plain, n := appendText(make([]byte, 0, end-start), text[start:])
	// What was decoded once is not decoded again from a later place: the time stays linear.
	s.base64End = start + n
	if start+n < end || !utf8.Valid(plain[:len(plain)-cutRune(plain)]) {
		return 0
	}
	end = start + n
	for end < len(text) && text[end] == '=' {
		end++
	}
	if !s.mayDecode(len(plain), start, end) {
		return end
	}
	ms := s.decoded(plain, false)
	if len(ms) == 0 {
		return 0
	}
	return s.emit(start, end, ms[0].Detector)
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
	for i := 0; i+1 < len(head); i += 4 {
		if x := sextets[head[i]]; x < 2 || x > 3 && x < 8 || x > 31 && x < 48 && i == 0 {
			return false
		}
	}
	return true
}

// appendText decodes base64 as far as it is text: up to the first control character or byte of neither alphabet, over
// the line ends of a text that is cut into lines. It returns how much of v that was.
func appendText(dst, v []byte) ([]byte, int) {
	acc, bits := uint32(0), 0
	line := 0 // where it begins
	for i := 0; i < len(v); i++ {
		x := sextets[v[i]]
		if n := lineBreak(v, i); n > 0 && i-line >= 60 && bits == 0 && i+n < len(v) {
			i += n
			line = i
			x = sextets[v[i]]
		}
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
