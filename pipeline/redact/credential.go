package redact

// minCredential and maxCredential bound, in bytes, what is a credential by its looks.
const (
	minCredential = 16
	maxCredential = 1024
)

// Credential reports whether a value under a name with the verdict Likely is a secret: a run of random letters and digits
// as generators of keys make them, or "user:password" in base64. Words, paths, dates, UUIDs, numbers and digests are none.
func Credential(value []byte) bool {
	if len(value) > maxCredential || len(value) < 8 || isUUID(value, 0) {
		return false
	}
	if encodedPair(value) {
		return true
	}
	if len(value) < minCredential || !credentialBytes(value) || digest(value) {
		return false
	}
	digits, changes := 0, 0
	for i, c := range value {
		if is(c, isNumeral) {
			digits++
		}
		if i > 0 && changesClass(value, i) {
			changes++
		}
	}
	return digits >= 2 && changes >= 4 && changes*6 >= len(value)
}

// digest reports whether v is hexadecimal, or base64 of the 16 or 20 bytes of MD5 and SHA-1: what merges, aggregates and
// caches by a key.
func digest(v []byte) bool {
	return span(v, 0, isHex) == len(v) || len(v) == 24 && hasAt(v, 22, "==") || len(v) == 28 && v[27] == '=' && v[26] != '='
}

// changesClass reports whether letters and digits meet before i, or a capital stands between a small letter and no small
// one: words and CamelCase do that rarely, random text at every third byte.
func changesClass(v []byte, i int) bool {
	a, b := class[v[i-1]], class[v[i]]
	switch {
	case a&isAlpha != 0 && b&isNumeral != 0, a&isNumeral != 0 && b&isAlpha != 0:
		return true
	}
	return a&isLower != 0 && b&isUpper != 0 && i+1 < len(v) && !is(v[i+1], isLower)
}

// credentialBytes reports whether v has the bytes of base64 and of vendors' keys only. A path with a suffix is none.
func credentialBytes(v []byte) bool {
	slash, dot := false, false
	for _, c := range v {
		switch {
		case is(c, isToken), c == '+', c == '=', c == '~':
		case c == '/':
			slash = true
		case c == '.':
			dot = true
		default:
			return false
		}
	}
	return !(slash && dot) && v[0] != '/'
}

// encodedPair reports whether v is a name and a password in base64, as in "auth" of a registry's configuration.
func encodedPair(v []byte) bool {
	var buf [maxCredential]byte
	plain := decodeBase64(buf[:0], v)
	colon := false
	for i, c := range plain {
		if c < ' ' || c > '~' {
			return false
		}
		colon = colon || c == ':' && i > 0
	}
	return colon
}
