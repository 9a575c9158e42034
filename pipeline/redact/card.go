package redact

// digits looks at a run of digits: payment cards, social security numbers, and the digit groups of a spaced IBAN.
func (s *scan) digits(i int) int {
	text := s.text
	if s.r.enabled[NationalID] {
		if e := s.national(i); e > i {
			return e
		}
	}
	if joined(text, i) && !hasAt(text, i-2, "%B") { // a magnetic stripe's first track begins so
		return 0
	}
	if i >= 2 && text[i-1] == '.' && is(text[i-2], isNumeral) {
		return 0 // the digits after a decimal point
	}
	end := span(text, i, isNumeral)
	if s.r.anyDigit {
		if e := s.numberLike(i); e > i {
			return e
		}
	}
	if e := s.toldCode(i, end); e > i {
		return e
	}
	if end-i == 3 && (s.r.enabled[USSSN] || s.r.enabled[USITIN]) {
		if e := s.ssn(i); e > i {
			return e
		}
	}
	if s.r.enabled[IBAN] && end-i >= 3 && end-i <= 4 {
		if e := s.spacedIBAN(i); e > i {
			return e
		}
	}
	if s.r.enabled[PaymentCard] {
		return s.card(i, end)
	}
	return 0
}

const (
	minCard = 13
	maxCard = 19
)

// card recognises a card number that begins at i; first is the end of its first group of digits. It takes the longest
// that has a known brand, a length of that brand and a right check digit (ISO/IEC 7812-1, annex B).
func (s *scan) card(i, first int) int {
	text := s.text
	if n := first - i; n > maxCard || n < 4 || first == len(text) && n < minCard || leads[int(text[i]-'0')*10+int(text[i+1]-'0')] == 0 {
		return 0
	}
	var (
		digits  [maxCard]byte
		n, best int
		g       = grouping{first: first - i}
	)
	for k := i; ; {
		end := k
		for end < len(text) && is(text[end], isNumeral) {
			if n == maxCard {
				n++
				break
			}
			digits[n] = text[end] - '0'
			n++
			end++
		}
		if n > maxCard {
			break
		}
		g.add(end - k)
		sep := separator(text, end)
		more := sep > 0 && end+sep < len(text) && is(text[end+sep], isNumeral)
		stripe := trackEnd(text, end)
		if n >= minCard && g.plausible() && (stripe > end || !continued(text, end)) && !decimal(text, end) &&
			cardBrand(digits[:n]) && luhn(digits[:n]) && (n <= 16 || g.groups > 1 || longBrand(digits[:])) {
			best = stripe
		}
		if !more || g.groups == maxCard {
			break
		}
		g.separator(text[end])
		k = end + sep
	}
	if best == 0 || g.groups == 1 && negative(text, i) || inUUID(text, i) {
		return 0
	}
	return s.emit(i, best, PaymentCard)
}

// trackEnd returns the end of the second track of a magnetic stripe (ISO/IEC 7813) whose card number ends at i, or i where
// none follows: after "=" or "D" the month it expires, the service code and what else the bank has there.
func trackEnd(text []byte, i int) int {
	const shortest = 4 + 3
	if i >= len(text) || text[i] != '=' && text[i] != 'D' {
		return i
	}
	end := span(text, i+1, isNumeral)
	if end-i-1 < shortest {
		return i
	}
	return end
}

// grouping watches how the digits are grouped: 4-4-4-4, 4-6-5, 4-4-4-4-3 and the like.
type grouping struct {
	first, groups, shortest int
	odd                     bool // a separator other than a space or a dash
}

func (g *grouping) add(size int) {
	if g.groups == 0 || size < g.shortest {
		g.shortest = size
	}
	g.groups++
}

func (g *grouping) separator(c byte) {
	if c != ' ' && c != '-' && c != '+' && c != '%' {
		g.odd = true
	}
}

// plausible reports whether people write a card's digits so. A list of small numbers is none.
func (g *grouping) plausible() bool {
	switch {
	case g.groups == 1:
		return true
	case g.odd:
		return g.first == 4 && g.shortest >= 3 && g.groups <= 5
	}
	return g.first <= 8 && g.shortest >= 2 && g.groups <= 6
}

// separator returns the length of one separator between digit groups at i, 0 if there is none.
func separator(text []byte, i int) int {
	if i >= len(text) {
		return 0
	}
	switch text[i] {
	case ' ', '-', '.', '_', '+', '\t':
		return 1
	case '%':
		if hasAt(text, i, "%20") {
			return 3
		}
	case 0xc2: // no-break space
		if hasAt(text, i, "\u00a0") {
			return 2
		}
	case 0xe2: // the dashes and thin spaces of word processors
		if i+2 < len(text) && text[i+1] == 0x80 && (text[i+2] >= 0x90 && text[i+2] <= 0x95 || text[i+2] >= 0x87 && text[i+2] <= 0x8a || text[i+2] == 0xaf) {
			return 3
		}
	}
	return 0
}

// decimal reports whether a point and a digit follow: the number goes on.
func decimal(text []byte, i int) bool {
	return i+1 < len(text) && text[i] == '.' && is(text[i+1], isNumeral) && (i+5 >= len(text) || !is(text[i+4], isNumeral))
}

// negative reports whether a minus sign stands before the digits at i.
func negative(text []byte, i int) bool {
	return i > 0 && text[i-1] == '-' && (i == 1 || !is(text[i-2], isAlnum|isSpace))
}

// inUUID reports whether the digits at i are a group of a UUID.
func inUUID(text []byte, i int) bool {
	for _, before := range [...]int{0, 9, 14, 19, 24} {
		if isUUID(text, i-before) {
			return true
		}
	}
	return false
}

func isUUID(text []byte, i int) bool {
	if i < 0 || len(text)-i < 36 {
		return false
	}
	for k := range 36 {
		c := text[i+k]
		if k == 8 || k == 13 || k == 18 || k == 23 {
			if c != '-' {
				return false
			}
		} else if !is(c, isHex) {
			return false
		}
	}
	return true
}

// luhn checks the check digit of ISO/IEC 7812-1, annex B.
func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i])
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// brands are the issuer ranges by their first six digits, inclusive, and the lengths they come in: bit n for n digits.
// Sources: ISO/IEC 7812 major industries as listed by https://en.wikipedia.org/wiki/Payment_card_number and the brands'
// own pages. UATP and Maestro give whole leading digits; the lengths keep them from matching every number.
var brands = []struct {
	name    string
	lo, hi  int
	lengths uint32
}{
	{"uatp", 100000, 199999, 1 << 15},
	{"jcb", 180000, 180099, 1 << 15},
	{"jcb", 213100, 213199, 1 << 15},
	{"mir", 220000, 220499, upTo19},
	{"mastercard", 222100, 272099, 1 << 16},
	{"diners", 300000, 305999, 1<<14 | upTo19},
	{"diners", 309500, 309599, 1<<14 | upTo19},
	{"amex", 340000, 349999, 1 << 15},
	{"jcb", 352800, 358999, upTo19},
	{"diners", 360000, 369999, 1<<14 | upTo19},
	{"amex", 370000, 379999, 1 << 15},
	{"diners, hipercard", 380000, 399999, 1<<14 | upTo19},
	{"visa", 400000, 499999, 1<<13 | 1<<16 | 1<<19},
	{"maestro, elo, verve, dankort", 500000, 509999, 1<<13 | 1<<15 | upTo19},
	{"mastercard", 510000, 559999, 1 << 16},
	{"maestro, naranja, cabal", 560000, 589999, 1<<13 | 1<<15 | upTo19},
	{"discover, rupay, hipercard, elo", 600000, 609999, upTo19},
	{"unionpay, discover, maestro", 610000, 629999, upTo19},
	{"maestro, elo, instapayment, interpayment", 630000, 639999, 1<<13 | 1<<15 | upTo19},
	{"discover, rupay, troy, elo, verve", 640000, 659999, upTo19},
	{"maestro, bancontact, laser", 660000, 679999, 1<<13 | 1<<14 | 1<<15 | upTo19},
	{"maestro", 690000, 699999, upTo19},
	{"unionpay, rupay", 810000, 829999, upTo19},
	{"uzcard", 860000, 860099, 1 << 16},
	{"troy", 979200, 979299, 1 << 16},
	{"humo", 986000, 986099, 1 << 16},
}

const upTo19 = 1<<16 | 1<<17 | 1<<18 | 1<<19

// longBrand reports whether the brand really issues numbers of 17 to 19 digits. Without separators only those count:
// random 64-bit identifiers in decimal have as many digits, and one in ten passes the check digit.
func longBrand(digits []byte) bool {
	n := int(digits[0])*1000 + int(digits[1])*100 + int(digits[2])*10 + int(digits[3])
	switch n {
	case 5018, 5020, 5038, 5893, 6304, 6759, 6761, 6762, 6763, 6799:
		return true
	}
	return n/100 == 62
}

// leads has the lengths of every brand by a number's first two digits, as a first gate.
var leads = func() (t [100]uint32) {
	for _, b := range brands {
		for d := b.lo / 10000; d <= b.hi/10000; d++ {
			t[d] |= b.lengths
		}
	}
	return t
}()

func cardBrand(digits []byte) bool {
	if leads[int(digits[0])*10+int(digits[1])]&(1<<len(digits)) == 0 {
		return false
	}
	n := 0
	for _, d := range digits[:6] {
		n = n*10 + int(d)
	}
	for _, b := range brands {
		if b.lo <= n && n <= b.hi && b.lengths&(1<<len(digits)) != 0 {
			return true
		}
	}
	return false
}

// ssn recognises ddd-dd-dddd, also with spaces or dots, by the ranges the Social Security Administration never issues
// (https://www.ssa.gov/employer/randomization.html), and the taxpayer numbers of 26 CFR 301.6109-1 where asked for.
func (s *scan) ssn(i int) int {
	text := s.text
	if i+11 > len(text) {
		return 0
	}
	sep := text[i+3]
	if sep != '-' && sep != ' ' && sep != '.' || text[i+6] != sep {
		return 0
	}
	for _, k := range [...]int{4, 5, 7, 8, 9, 10} {
		if !is(text[i+k], isNumeral) {
			return 0
		}
	}
	end := i + 11
	if continued(text, end) || separator(text, end) > 0 && end+1 < len(text) && is(text[end+1], isNumeral) {
		return 0
	}
	if i >= 2 && separator(text, i-1) > 0 && is(text[i-2], isAlnum) && (text[i-1] == '-' || text[i-1] == '.' || is(text[i-2], isNumeral)) {
		return 0
	}
	area := string(text[i : i+3])
	group := int(text[i+4]-'0')*10 + int(text[i+5]-'0')
	serial := string(text[i+7 : end])
	switch {
	case area[0] == '9':
		if s.r.enabled[USITIN] && (group >= 50 && group <= 65 || group >= 70 && group <= 88 || group >= 90 && group != 93) {
			return s.emit(i, end, USITIN)
		}
		return 0
	case area == "000", area == "666", group == 0, serial == "0000", !s.r.enabled[USSSN]:
		return 0
	}
	return s.emit(i, end, USSSN)
}
