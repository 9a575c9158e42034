package redact

// minToken is the length from which a run of token bytes is looked at. A run this long has eight bytes of one block in
// it, wherever it begins.
const minToken = 15

// token looks at the long run of token bytes around the block at i: a vendor's key, a JSON web token, an account number,
// a credential after its scheme, or text in base64.
func (s *scan) token(i int) int {
	text := s.text
	start := back(text, i, s.tokenEnd, isToken)
	end := span(text, i, isToken)
	s.tokenEnd = end
	if end-start < minToken {
		return 0
	}
	if e := s.tokenAt(start, end); e > 0 {
		return e
	}
	if e := s.vendorForm(start, end); e > 0 {
		return e
	}
	if end-start == 17 && s.r.enabled[MAC] && pairsOf(text[start:end], '-') {
		return s.emit(start, end, MAC)
	}
	plain := hexRun(text[start:end]) // most long tokens of a log: UUIDs, hashes, times, numbers
	for k := start + 1; !plain && k < end-minToken; k++ {
		if text[k-1] == '_' || text[k-1] == '-' {
			if e := s.tokenAt(k, end); e > 0 {
				return e
			}
		}
	}
	if s.afterTokenWord(start) && looksToken(text[start:end]) && !isUUID(text, start) {
		return s.emit(start, credentialEnd(text, end), BearerToken)
	}
	if !plain && end-start >= 16 {
		return s.base64Text(start, end)
	}
	return 0
}

// hexRun reports whether all of v are hexadecimal digits and dashes.
func hexRun(v []byte) bool {
	for _, c := range v {
		if !is(c, isHex) && c != '-' {
			return false
		}
	}
	return true
}

// tokenAt tries what can begin at i in a run that ends at end.
func (s *scan) tokenAt(i, end int) int {
	text := s.text
	if s.r.enabled[JWT] && text[i] == 'e' && (text[i+1] == 'y' || text[i+1] == 'w') {
		if e := jwt(text, i, end); e > 0 {
			return s.emit(i, e, JWT)
		}
	}
	if s.r.enabled[IBAN] && is(text[i+2], isNumeral) && is(text[i+3], isNumeral) {
		if e := iban(text, i); e > 0 {
			return s.emit(i, e, IBAN)
		}
	}
	return s.prefixed(i)
}

// afterTokenWord reports whether "token " stands before i, as in "Authorization: Token …" without its header's name.
func (s *scan) afterTokenWord(i int) bool {
	if !s.r.enabled[BearerToken] || i < 6 || s.text[i-1] != ' ' {
		return false
	}
	return hasFold(s.text, i-6, "token ") && !joined(s.text, i-6)
}
