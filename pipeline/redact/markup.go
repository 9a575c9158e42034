package redact

import "math/bits"

// tag looks at the end of an opening tag: <password>…</password>, with a namespace or attributes too.
func (s *scan) tag(i int) int {
	text := s.text
	open := i
	for lo := max(0, i-128); open > lo && text[open-1] != '<' && text[open-1] != '>'; open-- {
	}
	if open == 0 || text[open-1] != '<' || text[i-1] == '/' {
		return 0
	}
	end := open
	for end < i && (is(text[end], isKey) || text[end] == ':') {
		end++
	}
	secret := s.attribute(end, i)
	name := text[open:end]
	for k := len(name) - 1; k >= 0; k-- {
		if name[k] == ':' {
			name = name[k+1:]
			break
		}
	}
	if !secret && !s.r.names.verdict(name).Secret() {
		return 0
	}
	if k := span(text, i+1, isSpace); secret && hasFold(text, k, "<value>") { // <property name="password"><value>…
		i = k + len("<value")
	}
	stop := i + 1
	for stop < len(text) && text[stop] != '<' {
		stop++
	}
	if hasAt(text, i+1, "<![CDATA[") {
		stop = cdataEnd(text, i+1)
	}
	v := text[i+1 : stop]
	if placeholder(v) || literal(v) || span(v, 0, isSpace) == len(v) {
		return 0
	}
	return s.emit(i+1, stop, SecretName)
}

// attribute reports whether one of the attributes in text[from:end] names a secret: <entry key="db.password">.
func (s *scan) attribute(from, end int) bool {
	for i := from; i < end; i++ {
		if s.text[i] != '=' || !nameOfName(s.text[back(s.text, i, from, isKey):i]) {
			continue
		}
		q := i + 1
		for q < end && s.text[q] == '\\' {
			q++
		}
		if q < end && isQuote(s.text[q]) {
			v := s.text[q+1 : quotedEnd(s.text[:end], q+1, s.text[q], q-i-1)]
			return s.r.names.verdict(v).Secret()
		}
	}
	return false
}

// arrow looks at the end of one: password -> hunter2.
func (s *scan) arrow(i int) int {
	text := s.text
	if i < 3 || text[i-1] != '-' || text[i-2] != ' ' || i+1 >= len(text) || text[i+1] != ' ' {
		return 0
	}
	if k, ok := s.keyBefore(i - 1); ok && s.r.names.verdict(s.name(k)).Secret() {
		return s.value(i, k, SecretName)
	}
	return 0
}

func cdataEnd(text []byte, i int) int {
	for ; i < len(text); i++ {
		if hasAt(text, i, "]]>") {
			return i + 3
		}
	}
	return i
}

// tuple masks the second of a pair whose first, a secret name, ends in the quote at i: (b'authorization', b'…'), as Python
// prints headers.
func (s *scan) tuple(i int) int {
	text := s.text
	start := back(text, i, max(0, i-maxKey), isKey)
	if start == 0 || text[start-1] != '\'' || !s.r.names.verdict(text[start:i]).Secret() {
		return 0
	}
	return s.value(i+1, key{start: start, end: i, quoted: true}, SecretName)
}

// list looks at the beginning of a list of quoted strings, which a line that does not parse shows as text: the arguments
// of a command (["load","--password","…"]), or names and values in turn (["Authorization","…"]), as headers are written.
func (s *scan) list(i int) int {
	text := s.text
	if i+2 >= len(text) || !isQuote(text[i+1]) && text[i+1] != '\\' && text[i+1] != ' ' {
		return 0
	}
	first := span(text, i+1, isSpace)
	depth := 0
	for depth < maxBetween && hasAt(text, first+depth, `\`) {
		depth++
	}
	done := &s.listEnd[min(bits.Len(uint(depth)), len(s.listEnd)-1)]
	if i < *done || first+depth >= len(text) || !isQuote(text[first+depth]) {
		return 0
	}
	quote := text[first+depth]
	pairs := s.listsHeaders(i)
	var before []byte // the element before, as far as it can be a name
	for n, k := 0, first+depth; ; n++ {
		start, end := k+1, quotedEnd(text, k+1, quote, depth)
		s.announced(before, n%2 == 1 && pairs, start, end)
		before = text[start:min(end, start+maxKey)]
		k = min(end+depth+1, len(text))
		*done = k
		if k = span(text, k, isSpace); k >= len(text) || text[k] != ',' {
			return 0
		}
		if k = span(text, k+1, isSpace) + depth; k >= len(text) || text[k] != quote {
			return 0
		}
	}
}

// listsHeaders reports whether the list at i holds names and values in turn: it is in a list of such, or what it belongs
// to is called after headers.
func (s *scan) listsHeaders(i int) bool {
	text := s.text
	k := back(text, i, max(0, i-4), isSpace)
	if k == 0 {
		return false
	}
	switch text[k-1] {
	case '[':
		return true
	case ',':
		k = back(text, k-1, max(0, k-5), isSpace)
		return k > 0 && text[k-1] == ']'
	case ':', '=':
		for k--; k > 0 && i-k < 64 && (closesKey(text[k-1]) || text[k-1] == ' '); k-- {
		}
		return hasFold(text, k-len("headers"), "headers") || hasFold(text, k-len("header"), "header")
	}
	return false
}

// announced masks text[start:end], an element of a list, if the one before says that it is a secret.
func (s *scan) announced(before []byte, paired bool, start, end int) {
	name := before
	for len(name) > 0 && name[0] == '-' {
		name = name[1:]
	}
	v := s.text[start:end]
	switch flag := len(name) < len(before); {
	case !flag && !paired, len(v) == 0, placeholder(v), literal(v):
	case s.r.names.verdict(name).Secret():
		s.emit(start, end, SecretName)
	case flag && userFlag(name):
		s.userPassword(start, end)
	}
}

// maxObject bounds how far the two halves of a name and value pair are looked for, once this was done often in a text.
const maxObject = 4096

// sibling masks the values in {"key": "password", "value": "…"}, in either order, and the one that follows the name in a
// form of several parts (RFC 7578).
func (s *scan) sibling(i int, k key) int {
	text := s.text
	start, quote, depth := s.valueStart(i, k)
	if start >= len(text) {
		return 0
	}
	if quote == 0 {
		return s.nextLine(start, k)
	}
	limit := text[:min(len(text), start+maxKey)]
	end := quotedEnd(limit, start, quote, depth)
	if end == len(limit) || !s.r.names.verdict(text[start:end]).Secret() {
		return 0
	}
	if body := formBody(text, end+depth+1); body > 0 {
		stop := body
		for stop < len(text) && lineBreak(text, stop) == 0 {
			stop++
		}
		if !placeholder(text[body:stop]) {
			return s.emit(body, stop, SecretName)
		}
	}
	s.namedBehind(end+depth+1, quote, depth)
	for n := k.start - 1; n > 0 && n > k.start-s.reach() && text[n] != '{' && text[n] != '}'; n-- {
		s.walked++
		s.named(n)
	}
	return 0
}

// nextLine masks the value of a YAML list of names and values, where it is on the line after the name that begins at i.
func (s *scan) nextLine(i int, k key) int {
	text := s.text
	end := bareEnd(text[:min(len(text), i+maxKey)], i, k)
	at := end + lineBreak(text, end)
	if at == end || !s.r.names.verdict(text[i:end]).Secret() {
		return 0
	}
	at = span(text[:min(len(text), at+maxKey)], at, isSpace)
	if at = span(text, at, isKey); hasAt(text, at, ":") {
		s.named(at)
	}
	return 0
}

// reach is how far a walk may go: as far as it likes until the text was walked over a few times, and maxObject after that.
func (s *scan) reach() int {
	if s.walked < 4*len(s.text) {
		return len(s.text)
	}
	return maxObject
}

// namedBehind masks the named values between i and the end of the object, whose names have depth backslashes before their
// quotes. Objects in it are none of its own.
func (s *scan) namedBehind(i int, quote byte, depth int) {
	text, level := s.text, 0
	for n, stop := i, i+s.reach(); n < len(text) && n < stop; n++ {
		s.walked++
		switch c := text[n]; {
		case c == '{':
			level++
		case c == '}':
			if level--; level < 0 {
				return
			}
		case level == 0 && (c == ':' || c == '='):
			s.named(n)
		case c == quote && n > 0 && n-depth >= i && slashesBefore(text, n, depth+1) == depth:
			end := min(quotedEnd(text, n+1, quote, depth)+depth, len(text)-1)
			s.walked += end - n
			n = end
		}
	}
}

// slashesBefore counts the backslashes before i, up to a most.
func slashesBefore(text []byte, i, most int) (n int) {
	for n < most && n < i && text[i-1-n] == '\\' {
		n++
	}
	return n
}

// named masks the value after the sign at i, if the key before it is one that holds a named value.
func (s *scan) named(i int) {
	if c := s.text[i]; c == ':' || c == '=' {
		if k, ok := s.valueKey(i); ok {
			s.value(i, k, SecretName)
		}
	}
}

// formBody returns where the body of a part begins whose header ends at i, or 0: after an empty line.
func formBody(text []byte, i int) int {
	first := lineBreak(text, i)
	if first == 0 || i+first > len(text) {
		return 0
	}
	second := lineBreak(text, i+first)
	if second == 0 {
		return 0
	}
	return i + first + second
}

// valueKey returns the key before the sign at i if it is one that holds a named value.
func (s *scan) valueKey(i int) (k key, ok bool) {
	text := s.text
	k.end = back(text, i, max(0, i-maxBetween), isSpace)
	end := k.end
	for k.end > 0 && end-k.end < maxBetween && closesKey(text[k.end-1]) {
		k.end--
	}
	k.quoted = k.end < end
	k.start = back(text, k.end, max(0, k.end-24), isKey)
	return k, nameOfValue(text[k.start:k.end])
}
