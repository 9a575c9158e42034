package redact

import "bytes"

// jwt returns the end of a JSON web token that begins at i, in a run of token bytes that ends at header, or 0: a header in base64url that names an algorithm, and two
// more parts for a signed token (RFC 7515) or four for an encrypted one (RFC 7516). A token cut off after its header's
// dot counts too.
func jwt(text []byte, i, header int) int {
	if header >= len(text) || text[header] != '.' || header-i < 16 || header-i > 4096 {
		return 0
	}
	var buf [512]byte
	plain := bytes.TrimLeft(decodeBase64(buf[:0], text[i:header]), " \t\r\n")
	if len(plain) == 0 || plain[0] != '{' || !bytes.Contains(plain, []byte(`"alg"`)) && !bytes.Contains(plain, []byte(`"enc"`)) {
		return 0
	}
	end := header
	for part := 1; part < 5 && end < len(text) && text[end] == '.'; part++ {
		next := span(text, end+1, isToken)
		if next == end+1 && (next >= len(text) || text[next] != '.') {
			break // a full stop, or an unsigned token's empty signature
		}
		end = next
	}
	if end < len(text) && text[end] == '.' {
		end++
	}
	if end <= header+1 {
		return 0
	}
	return end
}
