package redact

import "bytes"

// sql looks at a single quote: PASSWORD 'x', IDENTIFIED BY 'x', PASSWORD('x'), token <> 'x', token LIKE 'x', or the end of
// a name in a tuple.
func (s *scan) sql(i int) int {
	text := s.text
	if i+1 < len(text) && text[i+1] == ',' {
		return s.tuple(i)
	}
	k := i
	for k > 0 && i-k < maxBetween && (text[k-1] == ' ' || text[k-1] == '(') {
		k--
	}
	if k == i || k < 2 {
		return 0
	}
	var b [24]byte
	start := back(text, k, max(0, k-20), isAlnum|isToken)
	switch string(fold(&b, text[start:k])) {
	case "password", "passwd", "pwd", "passphrase":
	case "by":
		if !identified(text[max(0, k-80):k]) {
			return 0
		}
	case "like", "ilike":
		if !s.column(start) {
			return 0
		}
	case "":
		switch {
		case text[k-1] == '>' && text[k-2] == '<', text[k-1] == '=' && text[k-2] == '!':
			if !s.column(k - 2) {
				return 0
			}
		case text[k-1] != '=' || !setsPassword(text[max(0, k-200):k]):
			return 0
		}
	default:
		return 0
	}
	end := quotedEnd(text, i+1, '\'', 0)
	if v := text[i+1 : end]; placeholder(v) || literal(v) {
		return 0
	}
	return s.emit(i+1, end, SecretName)
}

// identified reports whether a text is that of IDENTIFIED BY, or IDENTIFIED WITH a plugin BY.
func identified(v []byte) bool {
	for i := len(v) - len("identified by"); i >= 0; i-- {
		if v[i+10] == ' ' && hasFold(v, i, "identified ") {
			return true
		}
		if v[i] == ';' || v[i] == '\'' {
			return false
		}
	}
	return false
}

// setsPassword reports whether a text before an equals sign is that of SET PASSWORD FOR 'bob'@'%'.
func setsPassword(v []byte) bool {
	const words = "password for "
	for i := len(v) - len(words); i >= 0; i-- {
		if v[i+8] == ' ' && hasFold(v, i, words) {
			return true
		}
		if v[i] == '=' || v[i] == ';' {
			return false
		}
	}
	return false
}

// column reports whether the name before i, behind spaces and a NOT, is a secret one.
func (s *scan) column(i int) bool {
	k := back(s.text, i, max(0, i-maxBetween), isSpace)
	if n := k - len(" not"); hasFold(s.text, n, " not") {
		k = n
	}
	for k > 0 && i-k < 16 && closesKey(s.text[k-1]) {
		k--
	}
	return s.r.names.verdict(s.text[back(s.text, k, max(0, k-maxKey), isKey):k]).Secret()
}

// maxColumns bounds how far the list of columns is looked for, in bytes.
const maxColumns = 8192

// call masks the argument of setPassword("x"), and the second one of setProperty("API_TOKEN", "x"), whose brackets open at i.
func (s *scan) call(i int) int {
	text := s.text
	if i+3 >= len(text) || !isQuote(text[i+1]) {
		return 0
	}
	if e := s.setter(i); e > i || text[i+1] != '"' {
		return e
	}
	end := span(text[:min(len(text), i+2+maxKey)], i+2, isKey)
	if !hasAt(text, end, `",`) || !s.r.names.verdict(text[i+2:end]).Secret() {
		return 0
	}
	comma := end + 1
	if from := span(text, comma+1, isSpace); from >= len(text) || text[from] != '"' || from > comma+8 {
		return 0
	} else if to := quotedEnd(text[:min(len(text), from+maxSaid)], from+1, '"', 0); statusWord(text[from+1 : to]) {
		return 0
	}
	return s.value(comma, key{start: i + 2, end: end, quoted: true}, SecretName)
}

// brackets looks at an opening bracket: the values of (name, password) VALUES ('bob', 'x'), and token IN ('x', 'y').
func (s *scan) brackets(i int) int {
	text := s.text
	if e := s.call(i); e > i {
		return e
	}
	k := back(text, i, max(0, i-maxBetween), isSpace)
	switch {
	case i < s.valuesEnd || k < 3:
	case hasFold(text, k-len(" in"), " in"):
		if s.column(k - len(" in")) {
			s.tupleValues(i, func(int) bool { return true })
		}
	case hasFold(text, k-len("values"), "values"):
		s.insert(i, back(text, k-len("values"), max(0, k-len("values")-4), isSpace))
	}
	return 0
}

// insert masks the values at i of the secret ones among the columns, whose list ends before end.
func (s *scan) insert(i, end int) {
	text := s.text
	if end == 0 || text[end-1] != ')' {
		return
	}
	start := end - 1
	for lo := max(0, end-maxColumns); start > lo && text[start-1] != '('; start-- {
	}
	var secret []bool
	any := false
	for at := start; at < end; {
		n := at
		for n < end-1 && text[n] != ',' {
			n++
		}
		name := n
		for name > at && (is(text[name-1], isSpace) || closesKey(text[name-1])) {
			name--
		}
		is := s.r.names.verdict(text[back(text, name, at, isKey):name]).Secret()
		secret, any = append(secret, is), any || is
		at = n + 1
	}
	if !any {
		return
	}
	for next := i; ; {
		// Without the beginning of the list nobody knows which value is which.
		next = s.tupleValues(next, func(n int) bool { return text[start-1] != '(' || n >= len(secret) || secret[n] })
		next = span(text, next, isSpace)
		if next >= len(text) || text[next] != ',' {
			return
		}
		if next = span(text, next+1, isSpace); next >= len(text) || text[next] != '(' {
			return
		}
	}
}

// tupleValues masks those of the values in the brackets at i that are secret, by their place, and returns the place
// behind the brackets.
func (s *scan) tupleValues(i int, secret func(n int) bool) int {
	text := s.text
	at, level := i+1, 1
	for n, k := 0, i+1; ; k++ {
		switch {
		case k >= len(text):
		case isQuote(text[k]):
			q := k
			for q > at && text[q-1] == '\\' {
				q--
			}
			k = min(quotedEnd(text, k+1, text[k], k-q)+k-q, len(text)-1)
			continue
		case text[k] == '(':
			level++
			continue
		case text[k] == ')':
			level--
			if level > 0 {
				continue
			}
		case text[k] != ',' || level > 1:
			continue
		}
		if end := min(k, len(text)); secret(n) {
			s.tupleValue(at, end)
		}
		n, at = n+1, k+1
		if k >= len(text) || level == 0 {
			s.valuesEnd = min(k+1, len(text))
			return s.valuesEnd
		}
	}
}

func (s *scan) tupleValue(start, end int) {
	text := s.text
	start = span(text[:end], start, isSpace)
	end = back(text, end, start, isSpace)
	q := start
	for q < end && text[q] == '\\' {
		q++
	}
	if q < end && isQuote(text[q]) {
		if e := quotedEnd(text[:end], q+1, text[q], q-start); e+q-start+1 >= end {
			start, end = q+1, e
		}
	}
	if v := text[start:end]; !placeholder(v) && !literal(v) && !hasFold(v, 0, "default") {
		s.emit(start, end, SecretName)
	}
}

// setter masks the only argument of setPassword("x"), with_api_key('x') and password("x"). What other functions take is as likely
// whose password it is: resetPassword("kim").
func (s *scan) setter(i int) int {
	text := s.text
	start := back(text, i, max(0, i-maxKey), isToken)
	name := text[start:i]
	for _, verb := range []string{"set", "with", "use"} {
		if hasFold(name, 0, verb) {
			name = bytes.TrimLeft(name[len(verb):], "_-")
			break
		}
	}
	if len(name) == 0 || !s.r.names.verdict(name).Secret() || leadingVerb(name) {
		return 0
	}
	end := quotedEnd(text[:min(len(text), i+2+maxSaid)], i+2, text[i+1], 0)
	if end+1 >= len(text) || text[end] != text[i+1] || text[end+1] != ')' || placeholder(text[i+2:end]) || literal(text[i+2:end]) {
		return 0
	}
	return s.emit(i+2, end, SecretName)
}

// leadingVerb reports whether the name of a function says that it does something else than take a secret.
func leadingVerb(name []byte) bool {
	for _, verb := range []string{"get", "find", "check", "verify", "reset", "forgot", "change", "update", "delete", "remove", "revoke", "rotate",
		"has", "is", "generate", "create", "read", "load", "fetch", "validate", "expire", "request", "send", "compare", "match", "on"} {
		if hasFold(name, 0, verb) {
			return true
		}
	}
	return false
}
