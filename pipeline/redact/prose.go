package redact

import "bytes"

// prose looks at a "wo", "wd" or "ke": the middle of a password, or the beginning of a key, that a sentence gives away.
// "the password is hunter2", "password for bob was changed to swordfish", "password \"hunter2\"", "API key is 9PMZ2K…".
func (s *scan) prose(i int) int {
	text := s.text
	if !mayBeNoun(text, i) {
		return 0
	}
	start, end, password := secretNoun(text, i)
	if end == 0 || end+1 >= len(text) || text[end] != ' ' {
		return 0
	}
	at, link := linked(text, end)
	switch {
	case at >= len(text):
		return 0
	case link == unlinked && !password:
		return s.compound(start, end)
	}
	if text[at] == '\\' && !hasAt(text, at, `\"`) {
		return 0 // an escape: what it says is looked at by itself
	}
	from, to, quoted := saidValue(text, at, key{})
	if quoted {
		if to == min(len(text), from+maxSaid) || bytes.IndexByte(text[from:to], ' ') >= 0 {
			return 0
		}
	} else {
		for to > from && (text[to-1] == '.' || text[to-1] == '?' || text[to-1] == ':') {
			to--
		}
	}
	v := text[from:to]
	switch {
	case tellsNothing(v):
		return 0
	case !password:
		if !Credential(v) || identifiers[wordBefore(text, start)] {
			return 0
		}
	case quoted:
	case link == unlinked && !looksPassword(v), link == said && !saidPassword(text, v, to), link == set && !saidPassword(text, v, to) && !endsClause(text, to):
		return 0
	}
	return s.emit(from, to, SecretName)
}

// compound masks what looks like a credential after a name of several words that ends in the one from noun to end, as
// commands take them: aws configure set aws_secret_access_key x.
func (s *scan) compound(noun, end int) int {
	text := s.text
	start := back(text, noun, max(0, noun-maxKey), isToken)
	if start == noun && noun > 1 && text[noun-1] == ' ' { // "API key"
		start = back(text, noun-1, max(0, noun-24), isAlpha)
	}
	if start == noun || !s.r.names.verdict(text[start:end]).Secret() {
		return 0
	}
	to := bareEnd(text[:min(len(text), end+1+maxSaid)], end+1, key{})
	if !Credential(text[end+1 : to]) {
		return 0
	}
	return s.emit(end+1, to, SecretName)
}

// maxSaid bounds how far a secret in a sentence reaches.
const maxSaid = 256

// saidValue returns where the value at i begins and ends, in quotes or without, at most maxSaid bytes of it.
func saidValue(text []byte, i int, k key) (from, to int, quoted bool) {
	if isQuote(text[i]) {
		from = i + 1
		return from, quotedEnd(text[:min(len(text), from+maxSaid)], from, text[i], 0), true
	}
	return i, bareEnd(text[:min(len(text), i+maxSaid)], i, k), false
}

// mayBeNoun is a first look at the letters around i.
func mayBeNoun(text []byte, i int) bool {
	var before byte
	if i > 0 {
		before = lower(text[i-1])
	}
	if lower(text[i]) == 'w' {
		return before == 's' || before == 'p' || before == 'n' || before == 't'
	}
	return i+2 < len(text) && (before == 'o' && lower(text[i+2]) == 'n' || !is(before, isAlpha) && lower(text[i+2]) == 'y')
}

// secretNoun returns the word around i if it is a password or a key.
func secretNoun(text []byte, i int) (start, end int, password bool) {
	start = back(text, i, max(0, i-8), isAlpha)
	end = span(text[:min(len(text), i+8)], i, isAlpha)
	if joined(text, start) {
		return 0, 0, false
	}
	var b [24]byte
	switch string(fold(&b, text[start:end])) {
	case "password", "passwd", "pwd", "passwort", "kennwort", "wachtwoord":
		return start, end, true
	case "key", "token":
		return start, end, false
	}
	return 0, 0, false
}

// How a sentence leads from a password to its value.
const (
	unlinked = iota // "password hunter2"
	said            // "password is hunter2"
	set             // "password was set to hunter2"
)

// maxLinks bounds how many words lead from a password to its value.
const maxLinks = 10

// linked skips the words after a noun that lead to its value, from the space at i on.
func linked(text []byte, i int) (at, link int) {
	others := 0 // words that may stand between, of whom it is
	at = i
	for range maxLinks {
		for at < len(text) && text[at] == ' ' {
			at++
		}
		end := at
		for end < len(text) && end < at+24 && is(text[end], isAlnum|isLocal) {
			end++
		}
		var b [24]byte
		switch string(fold(&b, text[at:end])) {
		case "is", "was", "ist", "lautet", "war", "est", "wurde", "are", "were":
			link = max(link, said)
		case "to", "auf":
			link = set
		case "set", "changed", "reset", "updated", "now", "just", "still", "been", "has", "jetzt", "changing", "setting":
			if end < len(text) && text[end] != ' ' {
				return at, link
			}
		case "for", "of", "von":
			others = 4
		case "0", "5", "7", "8", "9": // how network devices say in what form it is
			link = max(link, said)
		default:
			if others == 0 || link != unlinked || end == at {
				return at, link
			}
			others--
		}
		if link == said && hasAt(text, end, ": ") { // "is: hunter2"
			return end + 2, link
		}
		if end >= len(text) || text[end] != ' ' {
			return at, link
		}
		at = end
	}
	return len(text), unlinked
}

// looksPassword reports whether v is no word: letters and digits in one piece.
func looksPassword(v []byte) bool {
	var seen uint16
	for _, c := range v {
		if bytes.IndexByte([]byte("-/:.,_=()[]{}<>'"), c) >= 0 {
			return false
		}
		seen |= class[c]
	}
	return len(v) >= 6 && seen&isNumeral != 0 && seen&isAlpha != 0 && !algorithm(v)
}

// saidPassword reports whether v, which ends before end, is a value that somebody states, and no word about it.
func saidPassword(text, v []byte, end int) bool {
	if len(v) < 4 || algorithm(v) {
		return false
	}
	if span(v, 0, isNumeral) == len(v) {
		return endsClause(text, end)
	}
	for _, c := range v {
		if is(c, isNumeral) || bytes.IndexByte([]byte("!@#$%^&*+=?~|"), c) >= 0 {
			return true
		}
	}
	return false
}

// algorithm knows what passwords are kept in.
func algorithm(v []byte) bool {
	for _, p := range []string{"sha", "md5", "base64", "bcrypt", "argon", "pbkdf", "aes", "rsa", "utf", "hs256", "rs256", "ntlm", "x509", "oauth"} {
		if hasFold(v, 0, p) {
			return true
		}
	}
	return false
}

func endsClause(text []byte, i int) bool {
	if i >= len(text) {
		return true
	}
	switch text[i] {
	case '.', ',', ';', '!', ')', '"', '\'', '\n', '\r', '\\', '<':
		return true
	}
	return false
}

// wordBefore returns the word before i in lower case, "" if it is a long one.
func wordBefore(text []byte, i int) string {
	end := back(text, i, max(0, i-2), isSpace)
	var b [24]byte
	return string(fold(&b, text[back(text, end, max(0, end-24), isAlpha):end]))
}

// toldCode looks at a run of digits for a code that a sentence tells: "Your verification code is 482913", "OTP 482913 sent",
// "482913 is your verification code".
func (s *scan) toldCode(i, end int) int {
	text := s.text
	if n := end - i; n < 3 || n > 8 || i > 0 && text[i-1] != ' ' || continued(text, end) {
		return 0
	}
	if s.codeBefore(i) || s.codeAfter(end) {
		return s.emit(i, end, SecretName)
	}
	return 0
}

// codeBefore reports whether the digits at i are what a name before them is for.
func (s *scan) codeBefore(i int) bool {
	text := s.text
	if i < 4 {
		return false
	}
	k := i - 1 // the end of what the code is called
	switch word := wordBefore(text, i); word {
	case "is", "ist", "lautet", "was", "to":
		if k = back(text, back(text, k, 0, isAlpha), 0, isSpace); word == "to" {
			if verb := wordBefore(text, k); verb != "set" && verb != "changed" && verb != "reset" {
				return false
			}
		}
	default:
		if !codeNoun(word) {
			return false
		}
	}
	start := k
	for lo := max(0, k-64); start > lo && (is(text[start-1], isKey) || text[start-1] == ' '); start-- {
	}
	return s.secretPhrase(text[start:k])
}

// codeAfter reports whether the words from i on say what the digits before are: " is your login code", " as your one-time PIN".
func (s *scan) codeAfter(i int) bool {
	text := s.text
	for _, link := range []string{" is your ", " as your ", " is the ", " as the "} {
		if hasAt(text, i, link) {
			i += len(link)
			end := i
			for hi := min(len(text), i+48); end < hi && (is(text[end], isKey) && text[end] != '.' || text[end] == ' '); end++ {
			}
			return s.secretPhrase(text[i:end])
		}
	}
	return false
}

// secretPhrase reports whether some words, or those before one that leads on, end in the name of a code that is a secret:
// "verification code", "OTP for login", "PIN has been changed".
func (s *scan) secretPhrase(words []byte) bool {
	for _, link := range []string{" for ", " of ", " has ", " was ", " is ", " set", " changed", " reset"} {
		if k := bytes.Index(words, []byte(link)); k > 0 {
			words = words[:k]
		}
	}
	return codeNoun(wordBefore(words, len(words))) && s.r.names.verdict(words).Secret()
}

// codeNoun knows what the codes are called that people are told.
func codeNoun(word string) bool {
	switch word {
	case "otp", "totp", "pin", "code", "passcode", "cvv", "cvc":
		return true
	}
	return false
}
