package redact

// maxRaw bounds how far behind a sign that ends an authority the at sign of a password is looked for.
const maxRaw = 2048

// url looks at "://": a password in front of the host, or a token in its place (RFC 3986, 3.2.1).
func (s *scan) url(i int) int {
	text := s.text
	start := i + 3
	if e := s.webhook(start); e > 0 {
		return e
	}
	if !s.r.enabled[URLPassword] {
		return 0
	}
	end := start
	colon, at := -1, -1
	for ; end < len(text) && !endsAuthority(text[end]); end++ {
		switch text[end] {
		case ':':
			if colon < 0 && at < 0 {
				colon = end
			}
		case '@':
			at = end
		}
	}
	if at < 0 && colon > start && text[start] != '[' && span(text, colon+1, isNumeral) < end {
		at = rawPassword(text, end)
	}
	if at < 0 {
		return 0
	}
	from := start
	if colon >= 0 {
		from = colon + 1
	} else if !looksToken(text[start:at]) || at-start < 16 {
		return 0
	}
	if from == at || placeholder(text[from:at]) {
		return 0
	}
	return s.emit(from, at, URLPassword)
}

func endsAuthority(c byte) bool {
	switch c {
	case '/', '?', '#', ' ', '\t', '\r', '\n', '"', '\'', '<', '>', '\\', '`':
		return true
	}
	return false
}

// rawPassword finds the at sign after a password with an unescaped slash, question mark or hash in it.
func rawPassword(text []byte, i int) int {
	for limit := min(len(text), i+maxRaw); i < limit; i++ {
		switch c := text[i]; {
		case c == '@':
			return i
		case c != '/' && c != '?' && c != '#' && endsAuthority(c), c == '=' || c == '&':
			return -1
		}
	}
	return -1
}

// dsnPassword recognises user:password@host without a scheme, as database drivers take it: "root:pw@tcp(db:3306)/app",
// "bob:pw@localhost:5432". What follows must be a host with a port, or a driver's address.
func (s *scan) dsnPassword(i int) int {
	text := s.text
	if !s.r.enabled[URLPassword] || !dsnHost(text, i+1) {
		return 0
	}
	colon := -1
	start := i
	for lo := max(0, i-128); start > lo; start-- {
		c := text[start-1]
		if c == ':' {
			colon = start - 1
		}
		if is(c, isSpace) || isQuote(c) || c == '(' || c == '<' || c == '=' || c == ',' {
			break
		}
	}
	if colon <= start || colon+1 == i || text[colon+1] == '/' || placeholder(text[colon+1:i]) || !dsnUser(text[start:colon]) {
		return 0
	}
	return s.emit(colon+1, i, URLPassword)
}

// dsnUser tells a user's name from what else stands before a colon and an at sign: a scheme (sip:100@host), or the path
// of a container image (org/app:tag@sha256:…).
func dsnUser(v []byte) bool {
	switch string(v) {
	case "sip", "sips", "mailto", "xmpp", "im", "acct", "tel", "pres":
		return false
	}
	for _, c := range v {
		if c == '/' {
			return false
		}
	}
	return true
}

func dsnHost(text []byte, i int) bool {
	if hasAt(text, i, "tcp(") || hasAt(text, i, "unix(") || hasAt(text, i, "(") || hasAt(text, i, "/") {
		return true
	}
	end := i
	for end < len(text) && end < i+maxDomain && (is(text[end], isAlnum) || text[end] == '.' || text[end] == '-') {
		end++
	}
	if end == i || end+1 >= len(text) {
		return hasAt(text, i, "localhost")
	}
	port := span(text, end+1, isNumeral)
	return text[end] == ':' && port > end+1 && port <= end+6 && !continued(text, port) || text[end] == '/' || hasAt(text, i, "localhost")
}

// queryParameter reports whether a parameter that is no secret name is a secret in a URL.
func (s *scan) queryParameter(i int, k key) bool {
	secret, ifToken := queryName(s.name(k))
	if !ifToken {
		return secret
	}
	text := s.text[:min(len(s.text), i+256)]
	v := text[i+1 : bareEnd(text, i+1, k)]
	return len(v) >= 16 && looksToken(v)
}

// looksToken tells a credential from a word: digits among letters, or more letters than words have.
func looksToken(v []byte) bool {
	var digits, letters, signs int
	for _, c := range v {
		switch {
		case is(c, isNumeral):
			digits++
		case is(c, isAlpha):
			letters++
		default:
			signs++
		}
	}
	return len(v) >= 8 && digits > 0 && letters > 0 || len(v) >= 24 && signs <= len(v)/8
}
