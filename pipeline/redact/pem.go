package redact

import "bytes"

// dashes looks at two dashes, a PEM block or the flag of a command line, or at one before a letter.
func (s *scan) dashes(i int) int {
	text := s.text
	if hasAt(text, i, "-u ") {
		if i == 0 || is(text[i-1], isSpace) {
			return s.userArgument(i + 3)
		}
		return 0
	}
	start := i
	for start > 0 && i-start < 5 && text[start-1] == '-' {
		start--
	}
	if start == i && !hasAt(text, i, "--") {
		return s.option(i)
	}
	if hasAt(text, start, "-----BEGIN ") {
		return s.pem(start)
	}
	if hasAt(text, start, "-----END ") {
		return s.pemEnd(start)
	}
	if start+1 == i {
		return s.flag(i + 1)
	}
	return 0
}

var pemDashes = []byte("-----")

// pemLabel returns the end of the armour line whose label begins at i, and whether it is one of a private key (RFC 7468,
// and the OpenSSH and OpenPGP forms).
func pemLabel(text []byte, i int) (end int, private bool) {
	line := text[i:min(len(text), i+80)]
	n := bytes.Index(line, pemDashes)
	if n < 0 {
		// Cut off inside the label: what there is decides.
		return len(text), len(line) < 80 && span(line, 0, isUpper|isSpace) == len(line) && bytes.Contains(line, []byte("PRIVATE"))
	}
	return i + n + len(pemDashes), bytes.Contains(line[:n], []byte("PRIVATE KEY"))
}

// pem masks a private key from its BEGIN line to the end of its END line, whatever the line ends are: real, escaped, or
// none. Without an END all the rest goes.
func (s *scan) pem(i int) int {
	if !s.r.enabled[PrivateKey] {
		return 0
	}
	text := s.text
	body, private := pemLabel(text, i+len("-----BEGIN "))
	if !private {
		return 0
	}
	end := len(text)
	if n := bytes.Index(text[body:], []byte("-----END ")); n >= 0 {
		end, _ = pemLabel(text, body+n+len("-----END "))
	}
	return s.emit(i, end, PrivateKey)
}

// pemEnd masks the lines before an END whose BEGIN is missing.
func (s *scan) pemEnd(i int) int {
	if !s.r.enabled[PrivateKey] {
		return 0
	}
	text := s.text
	end, private := pemLabel(text, i+len("-----END "))
	if !private {
		return 0
	}
	lo := 0
	if n := len(s.ms); n > s.base {
		lo = s.ms[n-1].End
	}
	start := i
	for start > lo {
		c := text[start-1]
		if !is(c, isAlnum|isSpace) && c != '+' && c != '/' && c != '=' && c != '\\' {
			break
		}
		start--
	}
	for start < i && is(text[start], isSpace) {
		start++
	}
	return s.emit(start, end, PrivateKey)
}

// flag masks the argument of --password and the like, and the password of --user name:password.
func (s *scan) flag(i int) int {
	text := s.text
	end := span(text[:min(len(text), i+maxKey)], i, isKey)
	if end == i || end >= len(text) || text[end] != ' ' || end+1 < len(text) && text[end+1] == '-' {
		return 0
	}
	if s.r.names.verdict(text[i:end]).Secret() {
		return s.value(end, key{start: i, end: end}, SecretName)
	}
	if userFlag(text[i:end]) {
		return s.userArgument(end + 1)
	}
	return 0
}

// userFlag knows the flags, without their dashes, that name:password follows.
func userFlag(v []byte) bool {
	return len(v) == 4 && hasFold(v, 0, "user") || len(v) == 10 && hasFold(v, 0, "proxy-user") || len(v) == 1 && v[0] == 'u'
}

// userArgument masks the password of a name:password argument at i.
func (s *scan) userArgument(i int) int {
	text := s.text
	i = span(text[:min(len(text), i+8)], i, isSpace)
	if i < len(text) && isQuote(text[i]) {
		i++
	}
	return s.userPassword(i, bareEnd(text, i, key{}))
}

// userPassword masks the password in text[start:end], if that is a name and one. Two numbers are a user's and a group's.
func (s *scan) userPassword(start, end int) int {
	text := s.text
	n := bytes.IndexByte(text[start:end], ':')
	if n < 0 || n+1 == end-start || placeholder(text[start+n+1:end]) || span(text, start+n+1, isNumeral) == end && end-start-n < 7 {
		return 0
	}
	return s.emit(start+n+1, end, BasicAuth)
}
