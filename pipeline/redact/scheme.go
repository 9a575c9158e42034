package redact

import "encoding/base64"

// scheme looks at a "be" or "ba": a bearer or basic credential without the name of a header before it.
func (s *scan) scheme(i int) int {
	switch {
	case joined(s.text, i) || i > 0 && s.text[i-1] == '_':
		return 0
	case s.r.enabled[BearerToken] && hasFold(s.text, i, "bearer"):
		return s.bearer(i + len("bearer"))
	case s.r.enabled[BasicAuth] && hasFold(s.text, i, "basic"):
		return s.basic(i + len("basic"))
	}
	return 0
}

func (s *scan) bearer(i int) int {
	if hasAt(s.text, i, ",") { // among the protocols of a WebSocket
		i++
	}
	start := credentialStart(s.text, i)
	if start == i {
		return 0
	}
	end := credentialEnd(s.text, start)
	if !looksToken(s.text[start:end]) || hasFold(s.text, start, "realm=") {
		return 0
	}
	return s.emit(start, end, BearerToken)
}

// basic takes a credential only if it decodes to user:password (RFC 7617).
func (s *scan) basic(i int) int {
	start := credentialStart(s.text, i)
	if start == i {
		return 0
	}
	end := credentialEnd(s.text, start)
	var buf [1024]byte // the name is in front
	plain := decodeBase64(buf[:0], s.text[start:min(end, start+len(buf))])
	for k, c := range plain {
		if c < ' ' {
			return 0
		}
		if c == ':' && len(plain) > 2 && k < len(plain) {
			return s.emit(start, end, BasicAuth)
		}
	}
	return 0
}

// credentialStart skips the space after a scheme, also as a form or a URL writes it. A sign of assignment is pair's.
func credentialStart(text []byte, i int) int {
	for k := i; ; {
		switch {
		case k < len(text) && (is(text[k], isSpace) || text[k] == '+'):
			k++
		case hasAt(text, k, "%20"):
			k += 3
		default:
			return k
		}
		if k > i+8 {
			return i
		}
	}
}

// credentialEnd returns the end of a token68 (RFC 9110, 11.2).
func credentialEnd(text []byte, i int) int {
	for i < len(text) && (is(text[i], isToken) || text[i] == '.' || text[i] == '~' || text[i] == '+' || text[i] == '/' || text[i] == '=') {
		i++
	}
	for i > 0 && text[i-1] == '.' {
		i--
	}
	return i
}

// decodeBase64 decodes either alphabet, padded or not, and appends the bytes to dst. It returns nil for what is no base64.
func decodeBase64(dst, v []byte) []byte {
	for len(v) > 0 && v[len(v)-1] == '=' {
		v = v[:len(v)-1]
	}
	enc := base64.RawStdEncoding
	for _, c := range v {
		if c == '-' || c == '_' {
			enc = base64.RawURLEncoding
			break
		}
	}
	out, err := enc.AppendDecode(dst, v)
	if err != nil {
		return nil
	}
	return out
}
