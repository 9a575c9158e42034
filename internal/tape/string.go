package tape

import (
	"unicode/utf16"
	"unicode/utf8"
)

// AppendUnescaped appends the value of a string's source, which Parse has found valid. A surrogate without its pair
// becomes U+FFFD.
func AppendUnescaped(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		c := raw[i]
		if c != '\\' {
			j := i + 1
			for j < len(raw) && raw[j] != '\\' {
				j++
			}
			dst = append(dst, raw[i:j]...)
			i = j
			continue
		}
		if i+1 >= len(raw) { // cannot come from Parse; a cut string may end so
			return append(dst, c)
		}
		i += 2
		switch raw[i-1] {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			var r rune
			r, i = unescapeRune(raw, i)
			dst = utf8.AppendRune(dst, r)
		default:
			dst = append(dst, raw[i-1])
		}
	}
	return dst
}

func unescapeRune(raw []byte, i int) (rune, int) {
	r := hex4(raw, i)
	if r < 0 {
		return utf8.RuneError, i
	}
	i += 4
	if utf16.IsSurrogate(r) {
		if i+1 < len(raw) && raw[i] == '\\' && raw[i+1] == 'u' {
			if full := utf16.DecodeRune(r, hex4(raw, i+2)); full != utf8.RuneError {
				return full, i + 6
			}
		}
		return utf8.RuneError, i
	}
	return r, i
}

// plain marks the bytes that stand for themselves in a JSON string.
var plain = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return
}()

const hexDigits = "0123456789abcdef"

// AppendEscaped appends text (valid UTF-8) as the inside of a JSON string.
func AppendEscaped(dst, text []byte) []byte {
	from := 0
	for i, c := range text {
		if plain[c] {
			continue
		}
		dst = append(dst, text[from:i]...)
		from = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, text[from:]...)
}
