package redact

import "net/netip"

// phone looks at a plus sign or an opening bracket: +44 20 7183 8750, (415) 555-0132. By the plan of ITU-T E.164 an
// international number has up to 15 digits.
func (s *scan) phone(i int) int {
	text := s.text
	if !s.r.enabled[Phone] || joined(text, i) {
		return 0
	}
	if text[i] == '(' {
		return s.nationalPhone(i)
	}
	k := i + 1
	if k >= len(text) || text[k] < '1' || text[k] > '9' {
		return 0
	}
	digits, end := phoneDigits(text, k)
	if digits < 8 || digits > 15 || continued(text, end) {
		return 0
	}
	return s.emit(i, end, Phone)
}

// phoneDigits counts the digits of a number from i on, over the single signs that people put between them.
func phoneDigits(text []byte, i int) (digits, end int) {
	end = i
	for k, gap := i, 0; k < len(text) && digits <= 15; k++ {
		switch c := text[k]; {
		case is(c, isNumeral):
			digits, end, gap = digits+1, k+1, 0
		case (c == ' ' || c == '-' || c == '.' || c == '(' || c == ')' || c == '/') && gap < 2:
			gap++
		default:
			return digits, end
		}
	}
	return digits, end
}

// nationalPhone recognises numbers in groups without a country: (415) 555-0132, 090-1234-5678. Digits without groups are
// no phone number: too many other things are.
func (s *scan) nationalPhone(i int) int {
	text := s.text
	if i >= 2 && separator(text, i-1) > 0 && is(text[i-2], isNumeral) {
		return 0 // in the middle of more groups
	}
	digits, groups, shape := 0, 0, 0
	k := i
	if text[k] == '(' {
		k++
	}
	end := k
	for groups < 4 {
		n := span(text, k, isNumeral)
		if n == k || n-k > 4 || groups > 0 && n-k < 2 {
			return 0
		}
		digits += n - k
		shape = shape*10 + n - k
		groups++
		end = n
		k = n
		if k < len(text) && text[k] == ')' && groups == 1 && text[i] == '(' {
			k++
		}
		if k < len(text) && (text[k] == ' ' || text[k] == '-' || text[k] == '.') {
			k++
		}
		if k == n || k >= len(text) || !is(text[k], isNumeral) {
			break
		}
	}
	if continued(text, end) || digits < 9 || digits > 11 || groups < 2 || shape == 422 || shape == 324 {
		return 0
	}
	if text[i] != '(' && groups != 3 || separator(text, end) > 0 && end+1 < len(text) && is(text[end+1], isNumeral) {
		return 0
	}
	return s.emit(i, end, Phone)
}

// numberLike looks at digits for the detectors that are off by default.
func (s *scan) numberLike(i int) int {
	if i > 0 && s.text[i-1] == '.' {
		return 0 // the rest of a longer number
	}
	if s.r.enabled[IP] {
		if e := s.ipv4(i); e > i {
			return e
		}
	}
	if s.r.enabled[Phone] && (i == 0 || s.text[i-1] != '-') {
		return s.nationalPhone(i)
	}
	return 0
}

// ipv4 recognises four decimal bytes with dots between, and a prefix length after.
func (s *scan) ipv4(i int) int {
	text := s.text
	k := i
	for part := range 4 {
		end := span(text, k, isNumeral)
		n := 0
		for _, c := range text[k:min(end, k+4)] {
			n = n*10 + int(c-'0')
		}
		if end == k || end-k > 3 || n > 255 {
			return 0
		}
		if k = end; part < 3 {
			if k >= len(text) || text[k] != '.' {
				return 0
			}
			k++
		}
	}
	if continued(text, k) {
		return 0
	}
	return s.emit(i, prefixEnd(text, k), IP)
}

func prefixEnd(text []byte, i int) int {
	if i < len(text) && text[i] == '/' {
		if n := span(text, i+1, isNumeral); n > i+1 && n <= i+4 && !continued(text, n) {
			return n
		}
	}
	return i
}

// colons looks at the first colon of an IPv6 address (RFC 4291, 2.2) or a hardware address.
func (s *scan) colons(i int) int {
	text := s.text
	start, end := back(text, i, max(0, i-5), isHex), i
	if joined(text, start) || start > 0 && (text[start-1] == '_' || text[start-1] == '.' || text[start-1] == ':') {
		return 0
	}
	for end < len(text) && end < i+46 && (is(text[end], isHex) || text[end] == ':' || text[end] == '.') {
		end++
	}
	for end > start && text[end-1] == '.' {
		end--
	}
	if end > start+2 && text[end-1] == ':' && text[end-2] != ':' {
		end--
	}
	if continued(text, end) {
		return 0
	}
	if s.r.enabled[MAC] && end-start == 17 && pairsOf(text[start:end], ':') {
		return s.emit(start, end, MAC)
	}
	v := text[start:end]
	if !s.r.enabled[IP] || end-start < 2 || !hasDigit(v) && string(v) != "::" {
		return 0
	}
	if _, err := netip.ParseAddr(string(v)); err != nil {
		return 0
	}
	if end < len(text) && text[end] == '%' {
		end = span(text, end+1, isAlnum)
	}
	return s.emit(start, prefixEnd(text, end), IP)
}

// pairsOf reports whether v is six pairs of hexadecimal digits.
func pairsOf(v []byte, sign byte) bool {
	for k, c := range v {
		if k%3 == 2 && c != sign || k%3 != 2 && !is(c, isHex) {
			return false
		}
	}
	return len(v) == 17
}

// dot looks at a point for a hardware address in Cisco's form, aabb.ccdd.eeff.
func (s *scan) dot(i int) int {
	text := s.text
	if i < 4 || i+10 > len(text) || text[i+5] != '.' || joined(text, i-4) || continued(text, i+10) {
		return 0
	}
	for k := i - 4; k < i+10; k++ {
		if k != i && k != i+5 && !is(text[k], isHex) {
			return 0
		}
	}
	return s.emit(i-4, i+10, MAC)
}
