package redact

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
	name := text[open:end]
	for k := len(name) - 1; k >= 0; k-- {
		if name[k] == ':' {
			name = name[k+1:]
			break
		}
	}
	if !s.r.names.verdict(name).Secret() {
		return 0
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

func cdataEnd(text []byte, i int) int {
	for ; i < len(text); i++ {
		if hasAt(text, i, "]]>") {
			return i + 3
		}
	}
	return i
}

// sql looks at a single quote: PASSWORD 'x', IDENTIFIED BY 'x', PASSWORD('x'), or the end of a name in a tuple.
func (s *scan) sql(i int) int {
	text := s.text
	if i+1 < len(text) && text[i+1] == ',' {
		return s.tuple(i)
	}
	k := i
	for k > 0 && i-k < 4 && (text[k-1] == ' ' || text[k-1] == '(') {
		k--
	}
	if k == i || k < 2 {
		return 0
	}
	var b [24]byte
	switch string(fold(&b, text[back(text, k, max(0, k-20), isAlnum|isToken):k])) {
	case "password", "passwd", "pwd", "passphrase":
	case "by":
		if !hasFold(text, k-len("identified by"), "identified by") {
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

// maxObject bounds how far the two halves of a name and value pair are looked for.
const maxObject = 512

// sibling masks the value in {"key": "password", "value": "…"}, in either order.
func (s *scan) sibling(i int, k key) int {
	text := s.text
	start, quote, depth := s.valueStart(i, k)
	if quote == 0 || start >= len(text) {
		return 0
	}
	limit := text[:min(len(text), start+maxKey)]
	end := quotedEnd(limit, start, quote, depth)
	if end == len(limit) || !s.r.names.verdict(text[start:end]).Secret() {
		return 0
	}
	for n := end; n < len(text) && n < end+maxObject && text[n] != '}' && text[n] != '{'; n++ {
		if text[n] == ':' || text[n] == '=' {
			if v, ok := s.valueKey(n); ok {
				return s.value(n, v, SecretName)
			}
		}
	}
	for n := k.start - 1; n > 0 && n > k.start-maxObject && text[n] != '{' && text[n] != '}'; n-- {
		if text[n] == ':' || text[n] == '=' {
			if v, ok := s.valueKey(n); ok {
				s.value(n, v, SecretName)
				return 0
			}
		}
	}
	return 0
}

// valueKey returns the key before the sign at i if it is one that holds a named value.
func (s *scan) valueKey(i int) (k key, ok bool) {
	text := s.text
	k.end = back(text, i, max(0, i-4), isSpace)
	end := k.end
	for k.end > 0 && end-k.end < 64 && closesKey(text[k.end-1]) {
		k.end--
	}
	k.quoted = k.end < end
	k.start = back(text, k.end, max(0, k.end-24), isKey)
	return k, nameOfValue(text[k.start:k.end])
}
