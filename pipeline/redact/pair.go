package redact

import "bytes"

// A key is a name in front of a sign, as it stands in a text.
type key struct {
	start, end int
	quoted     bool // in quotes or brackets, of any escape depth
	query      bool // a parameter of a URL or form
}

// maxBetween bounds the spaces around a sign, and the quotes and backslashes between it and a name: JSON in a string in ten
// others has 2047.
const maxBetween = 4096

func (s *scan) name(k key) []byte { return s.text[k.start:k.end] }

// pair looks at a colon or an equals sign: an assignment whose key is a secret name, or a URL. This is what protects
// lines that do not parse: JSON cut off in the middle, JSON inside strings, headers, command lines, connection strings.
func (s *scan) pair(i int) int {
	text := s.text
	if i == 0 {
		return 0
	}
	if text[i] == ':' && hasAt(text, i, "://") {
		return s.url(i)
	}
	if !s.worthIt(i) || qualified(text, i) {
		return 0
	}
	k, ok := s.keyBefore(i)
	if !ok {
		return 0
	}
	if k.end == i && hasAt(text, i, "== ") && looksToken(s.name(k)) {
		return 0 // the end of a text in base64
	}
	switch v := s.r.names.verdict(s.name(k)); {
	case v.Secret():
		return s.value(i, k, s.pairDetector(k))
	case v == Allow:
		return s.allowed(i, k)
	case v == Likely && s.likely(i, k):
		return s.value(i, k, s.pairDetector(k))
	}
	if !k.quoted {
		if wide, ok := s.widened(k); ok && s.r.names.verdict(s.name(wide)).Secret() {
			return s.value(i, wide, SecretName)
		}
	}
	if k.query && s.r.enabled[URLParameter] && s.queryParameter(i, k) {
		return s.value(i, k, URLParameter)
	}
	if nameOfName(s.name(k)) {
		return s.sibling(i, k)
	}
	return 0
}

// likely reports whether the value assigned by the sign at i looks like a credential.
func (s *scan) likely(i int, k key) bool {
	start, quote, depth := s.valueStart(i, k)
	near := s.text[:min(len(s.text), start+maxCredential+1)]
	if start >= len(near) {
		return false
	}
	end := 0
	if quote != 0 {
		end = quotedEnd(near, start, quote, depth)
	} else {
		end = bareEnd(near, start, k)
	}
	return Credential(near[start:end])
}

// qualified reports whether the colon at i is in the middle of a name of C++, Rust or Ruby: token::verify.
func qualified(text []byte, i int) bool {
	if !hasAt(text, i, "::") {
		return false
	}
	end := i + 2
	for end < len(text) && end < i+maxKey && (is(text[end], isAlpha) || text[end] == '_') {
		end++
	}
	return end > i+2 && !continued(text, end)
}

func (s *scan) pairDetector(k key) Detector {
	if k.query && s.r.enabled[URLParameter] {
		return URLParameter
	}
	return SecretName
}

// worthIt is a first look at what is before the sign at i, for the two most frequent forms, name: and "name":, and for
// times of day.
func (s *scan) worthIt(i int) bool {
	text := s.text
	last := text[i-1]
	if last == '"' && i >= 2 {
		i--
		last = text[i-1]
	}
	switch {
	case is(last, isAlpha):
		return s.r.names.inText.passes(text[max(0, i-3):i], s.r.names.custom != nil)
	case is(last, isNumeral) && s.r.names.custom == nil:
		k := back(text, i, max(0, i-3), isNumeral)
		return k > 0 && is(text[k-1], isToken)
	}
	return true
}

// keyBefore finds the key that ends before the sign at i. Most keys fail at their last two letters.
func (s *scan) keyBefore(i int) (k key, ok bool) {
	text := s.text
	if text[i] == '=' && i > 0 {
		i -= operator(text[:i])
	}
	end := back(text, i, max(0, i-maxBetween), isSpace)
	k.end = end
	for k.end > 0 && end-k.end < maxBetween && closesKey(text[k.end-1]) {
		k.end--
	}
	k.quoted = k.end < end
	lo := max(0, k.end-maxKey)
	if !s.r.names.inText.passes(text[max(lo, k.end-12):k.end], s.r.names.custom != nil) {
		return k, false
	}
	k.start = back(text, k.end, lo, isKey)
	if k.quoted {
		for k.start > lo && (text[k.start-1] == ' ' || is(text[k.start-1], isKey)) {
			k.start--
		}
	}
	for k.start < k.end && (text[k.start] == '-' || text[k.start] == '.' || text[k.start] == '$') {
		k.start++
	}
	if k.start == k.end {
		return k, false
	}
	if k.start > 0 {
		c := text[k.start-1]
		k.query = c == '?' || c == '&' || c == '#' && text[i] == '='
		if c == '\\' && k.end-k.start > 2 && is(text[k.start], isLower) && (text[k.start] == 'n' || text[k.start] == 't' || text[k.start] == 'r') {
			k.start++
		}
	}
	return k, true
}

// operator returns the length of what makes the equals sign after text another sign of assignment or comparison: "?=",
// "+=", ".=", "!==".
func operator(text []byte) int {
	n := len(text)
	switch text[n-1] {
	case '!', '?', '+', '|':
		return 1
	case '.':
		if n > 1 && is(text[n-2], isSpace) {
			return 1
		}
	}
	return 0
}

func closesKey(c byte) bool {
	return c == '"' || c == '\'' || c == '\\' || c == ']' || c == '`'
}

// widened takes in the word before: "API key: …", "card number = …".
func (s *scan) widened(k key) (key, bool) {
	if k.start < 2 || s.text[k.start-1] != ' ' {
		return k, false
	}
	start := back(s.text, k.start-1, max(0, k.start-24), isAlnum)
	if start == k.start-1 {
		return k, false
	}
	k.start = start
	return k, true
}

// value masks what is assigned by the sign at i.
func (s *scan) value(i int, k key, d Detector) int {
	start, quote, depth := s.valueStart(i, k)
	switch {
	case start >= len(s.text):
		return 0
	case quote != 0:
		end := quotedEnd(s.text, start, quote, depth)
		if mark := s.text[start-1-depth : start]; end == start && bytes.HasPrefix(s.text[start:], mark) && bytes.HasPrefix(s.text[start+len(mark):], mark) && !closesOuter(s.text, start+2*len(mark)) {
			start += 2 * len(mark) // a string in three quotes
			end = quotedEnd(s.text, start, quote, depth)
		}
		if v := s.text[start:end]; placeholder(v) || literal(v) {
			return 0
		}
		return s.andNext(k, s.emit(start, end, d), d)
	case s.text[start] == '[' || s.text[start] == '{':
		return s.bracket(i, start, k, d)
	}
	return s.bare(i, start, k, d)
}

// valueStart skips spaces and the opening quote. quote is 0 where there is none; depth is the number of backslashes
// before it.
func (s *scan) valueStart(i int, k key) (start int, quote byte, depth int) {
	text := s.text
	start = i + 1
	for start < len(text) && start < i+4 && (text[start] == '=' || text[start] == '>' || text[start] == ':') {
		start++ // "=>", ":=", "::=", "==="
	}
	for n := 0; start < len(text) && n < maxBetween && (is(text[start], isSpace) || hasAt(text, start, `\t`)); n++ {
		if !k.quoted && text[start] == '\n' {
			return len(text), 0, 0
		}
		if text[start] == '\\' {
			start++
		}
		start++
	}
	start += dumped(text, start)
	q := start
	for q < len(text) && text[q] == '\\' && q-start < maxBetween {
		q++
	}
	if q+1 < len(text) && q == start && isQuote(text[q+1]) && (lower(text[q]) == 'b' || lower(text[q]) == 'u' || lower(text[q]) == 'r') {
		q++ // b'…', u'…'
		start = q
	}
	if q < len(text) && isQuote(text[q]) {
		if !is(text[start-1], isSpace) && text[start-1] != '>' && closesOuter(text, q+1) {
			return len(text), 0, 0
		}
		return q + 1, text[q], q - start
	}
	return start, 0, 0
}

// dumped returns the length of a type that PHP's var_dump writes before a string at i: `string(14) `.
func dumped(text []byte, i int) int {
	if !hasAt(text, i, "string(") {
		return 0
	}
	end := span(text, i+len("string("), isNumeral)
	if !hasAt(text, end, ") \"") {
		return 0
	}
	return end + 2 - i
}

// closesOuter reports whether the quote before i ends a string that the pair stands in: {"msg":"password="}.
func closesOuter(text []byte, i int) bool {
	return i >= len(text) || is(text[i], isSpace) || text[i] == ',' || text[i] == '}' || text[i] == ']' || text[i] == ')'
}

func isQuote(c byte) bool { return c == '"' || c == '\'' || c == '`' }

// quotedEnd returns the end of a quoted value that begins at i. The quote that opened it had depth backslashes in front:
// one for JSON inside a JSON string, three for one more level. The closing one has as many, after pairs that are content;
// fewer mean that an outer string ends. Without an end the value reaches to the end of the text.
func quotedEnd(text []byte, i int, quote byte, depth int) int {
	slashes := 0
	for k := i; k < len(text); k++ {
		switch c := text[k]; {
		case c == '\\':
			slashes++
			continue
		case c == quote && (slashes < depth || slashes%(2*(depth+1)) == depth):
			if quote == '\'' && depth == 0 && k > i && k+1 < len(text) && text[k+1] == '\'' {
				k++ // SQL's doubled quote
				break
			}
			return k - min(slashes, depth)
		}
		slashes = 0
	}
	return len(text)
}

// bracket masks an array or object under a secret name, with all that is in it.
func (s *scan) bracket(i, start int, k key, d Detector) int {
	text := s.text
	if hasAt(text, start, Mask) {
		return start + len(Mask)
	}
	end, level := len(text), 0
scan:
	for n := start; n < len(text); n++ {
		switch c := text[n]; {
		case c == '"' || c == '\'' && opensString(text, n):
			q := n
			for q > start && text[q-1] == '\\' {
				q--
			}
			n = quotedEnd(text, n+1, c, n-q) + n - q
		case c == '[' || c == '{':
			level++
		case c == ']' || c == '}':
			if level--; level == 0 {
				end = n + 1
				break scan
			}
		case !k.quoted && c == '\n':
			end = n
			break scan
		}
	}
	if v := text[start:end]; len(v) <= 2 || placeholder(v) {
		return 0
	}
	return s.emit(start, end, d)
}

// opensString tells a single quote that begins a string from an apostrophe.
func opensString(text []byte, i int) bool {
	switch text[i-1] {
	case '[', '{', '(', ',', ':', '=', ' ', '\\':
		return true
	}
	return false
}

// bare masks a value without quotes.
func (s *scan) bare(i, start int, k key, d Detector) int {
	text := s.text
	if e := s.header(i, start, k, d); e > 0 {
		return e
	}
	end := bareEnd(text, start, k)
	if n := block(text, start, end); n > 0 {
		return s.emit(end, n, d)
	}
	v := text[start:end]
	if tellsNothing(v) || k.counts(text) && isCount(v) || s.encodedPlaceholder(v) {
		return 0
	}
	if lineValued(s.name(k)) {
		end = s.lineEnd(start, k)
	}
	return s.andNext(k, s.emit(start, end, d), d)
}

// andNext masks the second of two secrets that one name is for, after the first one that ends at i: "password: 'old' -> 'new'",
// "username/password: kim / tr0ub4dor". It returns the end of what was masked, 0 where i is.
func (s *scan) andNext(k key, i int, d Detector) int {
	text := s.text
	at := i
	if i == 0 {
		return 0
	}
	if at < len(text) && isQuote(text[at]) {
		at++
	}
	sign := span(text[:min(len(text), at+4)], at, isSpace)
	at = sign
	switch {
	case hasAt(text, at, "->"), hasAt(text, at, "=>"):
		at += len("->")
	case hasAt(text, at, "\u2192"):
		at += len("\u2192")
	case hasAt(text, at, "/ ") && sign > i && s.ofTwo(k):
		at++
	default:
		return i
	}
	from := span(text[:min(len(text), at+4)], at, isSpace)
	if from >= len(text) {
		return i
	}
	from, to, quoted := saidValue(text, from, k)
	v := text[from:to]
	if tellsNothing(v) || !quoted && !saidPassword(text, v, to) && !endsClause(text, to) {
		return i
	}
	return max(i, s.emit(from, to, d))
}

// ofTwo reports whether a name is for a user's name and a password: "credentials", "user/password".
func (s *scan) ofTwo(k key) bool {
	return hasFold(s.name(k), 0, "cred") || k.start > 0 && s.text[k.start-1] == '/'
}

// block returns the end of the indented lines that follow a bar or an angle bracket at text[start:end], or 0: a block of
// YAML.
func block(text []byte, start, end int) int {
	if end-start > 2 || end == start || text[start] != '|' && text[start] != '>' {
		return 0
	}
	stop := end
	for {
		n := lineBreak(text, stop)
		if n == 0 || stop+n >= len(text) || text[stop+n] != ' ' {
			break
		}
		for stop += n; stop < len(text) && lineBreak(text, stop) == 0; stop++ {
		}
	}
	if stop == end {
		return 0
	}
	return stop
}

// encodedPlaceholder reports whether a value says in percent-encoding, in character references or in quoted-printable
// that there is none: password=%22%22.
func (s *scan) encodedPlaceholder(v []byte) bool {
	var b [65]byte
	if v[0] == '+' { // of a form: the first word
		v = bytes.TrimLeft(v, "+")
		v, _, _ = bytes.Cut(v, []byte("+"))
	}
	if s.printableDone && hasAt(v, 0, "3D") {
		v = v[2:]
	}
	if len(v) >= len(b) {
		return false
	}
	if bytes.IndexByte(v, '&') >= 0 && v[len(v)-1] != ';' {
		v = append(append(b[:0], v...), ';') // a semicolon seems to end a value
	}
	var buf [65]byte
	plain := buf[:0]
	for k := 0; k < len(v); {
		c, n := rune(v[k]), 1
		if percentEscape(v, k) {
			c, n = rune(unhex(v[k+1])<<4|unhex(v[k+2])), 3
		} else if r, length := reference(v, k); length > 0 && r < 0x80 {
			c, n = r, length
		}
		plain = append(plain, byte(c))
		k += n
	}
	plain = bytes.TrimFunc(plain, func(c rune) bool { return c == '"' || c == '\'' || c == ' ' || c == '\\' || c == '+' })
	return tellsNothing(plain)
}

// counts reports whether the key's noun is also used for numbers: "token: 5", "pass=12 fail=0".
func (k key) counts(text []byte) bool {
	name := text[k.start:k.end]
	return hasFold(name, len(name)-5, "token") || len(name) == 4 && hasFold(name, 0, "pass")
}

func isCount(v []byte) bool {
	return len(v) <= 4 && span(v, 0, isNumeral) == len(v)
}

// bareEnd returns the end of a value without quotes. A comma, semicolon or ampersand ends it only where something follows
// that looks like the next pair, so that a password with such a sign in it goes as a whole.
func bareEnd(text []byte, start int, k key) int {
	i := start
loop:
	for ; i < len(text); i++ {
		switch c := text[i]; c {
		case ' ', '\t', '\r', '\n', '"', '<', '`', 0:
			break loop
		case '\'':
			if i+1 >= len(text) || !is(text[i+1], isAlnum) {
				break loop
			}
		case '\\':
			if i+1 >= len(text) || isQuote(text[i+1]) || text[i+1] == '\\' || text[i+1] == 'n' || text[i+1] == 'r' {
				break loop
			}
		case '#':
			if k.query {
				break loop
			}
		case ',', ';', '&':
			if endsPair(text, i+1) {
				break loop
			}
		}
	}
	return trimClosers(text, start, i)
}

// endsPair reports whether a separator before i is one: nothing follows, or space, or the next name.
func endsPair(text []byte, i int) bool {
	if hasAt(text, i, "amp;") {
		i += len("amp;")
	}
	if i >= len(text) || is(text[i], isSpace) || isQuote(text[i]) || text[i] == '\\' || text[i] == '{' || text[i] == '}' {
		return true
	}
	n := span(text[:min(len(text), i+64)], i, isKey)
	return n > i && n < len(text) && (text[n] == '=' || text[n] == ':')
}

// trimClosers leaves brackets outside that were opened outside.
func trimClosers(text []byte, start, end int) int {
	for end > start {
		var open byte
		switch text[end-1] {
		case ')':
			open = '('
		case ']':
			open = '['
		case '}':
			open = '{'
		case ',', ';':
			end--
			continue
		default:
			return end
		}
		for _, c := range text[start : end-1] {
			if c == open {
				return end
			}
		}
		end--
	}
	return end
}

// allowed skips a value that Config.Allow names, without looking into it.
func (s *scan) allowed(i int, k key) int {
	start, quote, depth := s.valueStart(i, k)
	if start >= len(s.text) {
		return 0
	}
	if quote != 0 {
		return quotedEnd(s.text, start, quote, depth)
	}
	return bareEnd(s.text, start, k)
}

// header masks the credentials of an Authorization or Cookie line. A scheme with one credential ends with it; others,
// such as Digest or a cookie's pairs, take the rest of the line.
func (s *scan) header(i, start int, k key, d Detector) int {
	text, name := s.text, s.name(k)
	word := span(text, start, isToken)
	switch {
	case hasFold(name, len(name)-6, "cookie"), hasFold(name, len(name)-7, "cookies"):
		// Cookies are pairs; anything else is a value like others.
		for n := start; n < len(text) && n < start+256 && text[n] > ' '; n++ {
			if text[n] == '=' {
				return s.emit(start, s.lineEnd(start, k), d)
			}
		}
		return 0
	case word == start || word+1 >= len(text) || text[word] != ' ' || !schemeWord(text[start:word]):
		return 0
	}
	credential := word
	for credential < len(text) && (text[credential] == ' ' || text[credential] == '\t') {
		credential++
	}
	if oneCredential(text[start:word]) {
		end := bareEnd(text, credential, k)
		if v := text[credential:end]; placeholder(v) || statusWord(v) {
			return end
		}
		return s.emit(credential, end, d)
	}
	end := s.lineEnd(credential, k)
	if placeholder(text[credential:end]) {
		return end
	}
	return s.emit(credential, end, d)
}

// lineEnd returns the end of the line from i on; where the key itself is inside quotes, as in curl -H 'Cookie: …', of
// what they enclose.
func (s *scan) lineEnd(i int, k key) int {
	var enclosing byte
	if k.start > 0 && isQuote(s.text[k.start-1]) && !k.quoted {
		enclosing = s.text[k.start-1]
	}
	for ; i < len(s.text); i++ {
		switch c := s.text[i]; {
		case c == '=' && enclosing != '\'':
			q := i + 1
			for q < len(s.text) && s.text[q] == '\\' {
				q++
			}
			if q < len(s.text) && s.text[q] == '"' && !closesOuter(s.text, q+1) { // nonce="…"
				i = min(quotedEnd(s.text, q+1, '"', q-i-1)+q-i-1, len(s.text)-1)
			}
		case c == '\n' || c == '\r' || enclosing != 0 && c == enclosing:
			return i
		case c == '\\' && i+1 < len(s.text) && (s.text[i+1] == 'n' || s.text[i+1] == 'r' || isQuote(s.text[i+1])):
			return i
		}
	}
	return i
}

// lineValued reports whether a key's values are several words.
func lineValued(name []byte) bool {
	n := len(name)
	return hasFold(name, n-6, "phrase") || hasFold(name, n-8, "mnemonic")
}
