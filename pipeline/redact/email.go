package redact

// at looks at an at sign: an e-mail address, or the password before a host.
func (s *scan) at(i int) int {
	if s.r.enabled[Email] {
		if end := s.email(i); end > i {
			return end
		}
	}
	return s.dsnPassword(i)
}

// maxLocal and maxDomain are the limits of RFC 5321, 4.5.3.1, in bytes; local parts in UTF-8 may be longer in bytes.
const (
	maxLocal  = 128
	maxDomain = 255
)

// email recognises an address around the at sign at i, by RFC 5322's dot-atom and RFC 6531's UTF-8. The domain must have
// a dot and end in a top-level label of letters, so that "user@host", "name@1.2.3" and "nginx@latest" stay.
func (s *scan) email(i int) int {
	text := s.text
	start := back(text, i, max(0, i-maxLocal), isLocal)
	start = trimLocal(text, start, i)
	if start == i {
		if start = quotedLocal(text, i); start == i {
			return 0
		}
	}
	end := domainEnd(text, i+1)
	if end == 0 || isRemote(text, start, i, end) {
		return 0
	}
	return s.emit(start, end, Email)
}

// trimLocal drops what belongs to the text around: quotes, dots, a query's "&", the letter of an escaped line end.
func trimLocal(text []byte, start, end int) int {
	for k := start; k < end; k++ {
		if text[k] == '&' {
			start = k + 1
		}
	}
	if start > 0 && text[start-1] == '\\' && end-start > 1 && (text[start] == 'n' || text[start] == 't' || text[start] == 'r') {
		start++
	}
	for start < end && !is(text[start], isAlnum) && text[start] < 0x80 && text[start] != '_' && text[start] != '+' {
		start++
	}
	if end > start && text[end-1] == '.' {
		return end
	}
	return start
}

// quotedLocal finds the beginning of "john doe"@example.com's local part.
func quotedLocal(text []byte, i int) int {
	if i < 3 || text[i-1] != '"' || text[i-2] == '\\' {
		return i
	}
	for k := i - 2; k >= 0 && k > i-maxLocal; k-- {
		if text[k] == '"' {
			if i-1-k < 2 {
				return i
			}
			return k
		}
		if text[k] < ' ' || text[k] == ':' || text[k] == ',' || text[k] == '{' {
			return i
		}
	}
	return i
}

// domainEnd returns the end of the domain that begins at i, or 0 if there is none.
func domainEnd(text []byte, i int) int {
	if i < len(text) && text[i] == '[' {
		return addressLiteralEnd(text, i)
	}
	limit := min(len(text), i+maxDomain)
	start, label, end := i, i, 0
	dots := 0
	for k := i; ; k++ {
		if k < limit && (is(text[k], isAlnum) || text[k] == '-' && k > label || text[k] >= 0x80) {
			continue
		}
		if dots > 0 {
			if e := topLabelEnd(text, label, k); e > 0 {
				end = e
			}
		}
		if k >= limit || text[k] != '.' || k == label {
			break
		}
		dots++
		label = k + 1
	}
	if end == 0 || versionLike(text[start:end]) {
		return 0
	}
	return end
}

// topLabelEnd accepts a top-level label: two letters or more, or an internationalised one. "com-x" ends after "com".
func topLabelEnd(text []byte, start, end int) int {
	if hasFold(text, start, "xn--") {
		return end
	}
	k := span(text[:end], start, isAlpha)
	if k == start { // of another script: none is mixed
		for k < end && text[k] >= 0x80 {
			k++
		}
	}
	if k-start < 2 || k < end && text[k] != '-' && text[k] < 0x80 || fileSuffix(text[start:k]) {
		return 0
	}
	return k
}

// fileSuffix knows endings of files and units that follow an at sign in logs ("icon@2x.png", "getty@tty1.service") and
// are no top-level domains (https://data.iana.org/TLD/tlds-alpha-by-domain.txt).
func fileSuffix(label []byte) bool {
	if len(label) > 8 {
		return false
	}
	var b [8]byte
	for i, c := range label {
		b[i] = lower(c)
	}
	switch string(b[:len(label)]) {
	case "png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "bmp", "css", "js", "mjs", "cjs", "jsx", "ts", "tsx", "json",
		"html", "htm", "xml", "yaml", "yml", "toml", "log", "txt", "csv", "gz", "tgz", "tar", "jar", "war", "java", "go",
		"exe", "dll", "service", "socket", "timer", "target", "slice", "scope", "mount", "device", "swap", "dylib", "whl":
		return true
	}
	return false
}

// versionLike reports whether a domain begins like a version: "1.2", "v1.0", as in "name@v1.2.3-rc.beta".
func versionLike(domain []byte) bool {
	i := 0
	if i < len(domain) && lower(domain[i]) == 'v' {
		i++
	}
	n := span(domain, i, isNumeral)
	if n == i || n >= len(domain) || domain[n] != '.' {
		return false
	}
	return n+1 < len(domain) && is(domain[n+1], isNumeral)
}

// addressLiteralEnd accepts "[192.0.2.1]" and "[IPv6:2001:db8::1]".
func addressLiteralEnd(text []byte, i int) int {
	for k := i + 1; k < len(text) && k < i+60; k++ {
		switch c := text[k]; {
		case c == ']' && k > i+2:
			return k + 1
		case !is(c, isHex) && c != ':' && c != '.' && lower(c) != 'i' && lower(c) != 'p' && lower(c) != 'v':
			return 0
		}
	}
	return 0
}

// isRemote reports whether the address is the git user of a repository: git@github.com:org/repo, ssh://git@host/repo.
func isRemote(text []byte, start, at, end int) bool {
	local := text[start:at]
	if string(local) != "git" && string(local) != "hg" {
		return false
	}
	return end < len(text) && (text[end] == ':' || text[end] == '/') || start >= 3 && hasAt(text, start-3, "://")
}
