package redact

// Byte classes that several detectors share.
const (
	isUpper = 1 << iota
	isLower
	isNumeral
	isToken // [A-Za-z0-9_-]
	isHex
	isSpace
	isLocal // may stand in the local part of an e-mail address
	isKey   // may stand in an unquoted name
	isAlpha = isUpper | isLower
	isAlnum = isAlpha | isNumeral
)

var class = func() (t [256]uint16) {
	for c := range t {
		switch {
		case c >= 'A' && c <= 'Z':
			t[c] = isUpper | isToken | isLocal | isKey
		case c >= 'a' && c <= 'z':
			t[c] = isLower | isToken | isLocal | isKey
		case c >= '0' && c <= '9':
			t[c] = isNumeral | isToken | isHex | isLocal | isKey
		case c >= 0x80:
			t[c] = isLocal | isKey
		}
	}
	for _, c := range "abcdefABCDEF" {
		t[c] |= isHex
	}
	for _, c := range "-_" {
		t[c] |= isToken | isKey
	}
	for _, c := range ".$" {
		t[c] |= isKey
	}
	for _, c := range ".!#$%&'*+-^_`~" {
		t[c] |= isLocal
	}
	for _, c := range " \t\r\n" {
		t[c] |= isSpace
	}
	return t
}()

func is(c byte, mask uint16) bool { return class[c]&mask != 0 }

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c | 0x20
	}
	return c
}

// hasFold reports whether text begins with the lower-case ASCII word at i, in any case.
func hasFold(text []byte, i int, word string) bool {
	if i < 0 || len(text)-i < len(word) {
		return false
	}
	for k := 0; k < len(word); k++ {
		if lower(text[i+k]) != word[k] {
			return false
		}
	}
	return true
}

func hasAt(text []byte, i int, s string) bool {
	return i >= 0 && len(text)-i >= len(s) && string(text[i:i+len(s)]) == s
}

// span returns the end of the bytes of the given classes that begin at i.
func span(text []byte, i int, mask uint16) int {
	for i < len(text) && class[text[i]]&mask != 0 {
		i++
	}
	return i
}

// back returns the beginning of the bytes of the given classes that end before i, going no further than lo.
func back(text []byte, i, lo int, mask uint16) int {
	for i > lo && class[text[i-1]]&mask != 0 {
		i--
	}
	return i
}

// joined reports whether the byte before i continues a word, so that nothing begins at i. The letter of an escaped line
// end or tab ("\n4111…") is no part of the word.
func joined(text []byte, i int) bool {
	if i == 0 || !is(text[i-1], isAlnum) {
		return false
	}
	c := text[i-1]
	return !(i >= 2 && text[i-2] == '\\' && (c == 'n' || c == 't' || c == 'r'))
}

// continued reports whether the byte at i continues a word that would end there.
func continued(text []byte, i int) bool {
	return i < len(text) && is(text[i], isAlnum)
}
