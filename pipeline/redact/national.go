package redact

// A nationalNumber is an identity number of persons in one country: how its digits are grouped, and its check.
type nationalNumber struct {
	groups [][]int // lengths of the groups; one alone is the number without separators
	check  func(d []byte) bool
}

// nationalNumbers are those made of digits only. The checks are described by the countries' authorities, and together by
// https://www.oecd.org/tax/automatic-exchange/crs-implementation-and-assistance/tax-identification-numbers/
var nationalNumbers = []nationalNumber{
	{[][]int{{3, 3, 3}, {9}}, canadaSIN},                    // social insurance number
	{[][]int{{3, 3, 3}, {9}, {3, 2, 3}, {8}}, australiaTFN}, // tax file number
	{[][]int{{4, 5, 1}, {10}}, australiaMedicare},
	{[][]int{{9}, {4, 2, 3}, {3, 3, 3}}, netherlandsBSN}, // burgerservicenummer
	{[][]int{{11}}, polandPESEL},
	{[][]int{{11}, {2, 3, 3, 3}}, germanyTaxID},                // steuerliche Identifikationsnummer
	{[][]int{{15}, {13, 2}, {1, 2, 2, 2, 3, 3, 2}}, franceNIR}, // numéro de sécurité sociale
	{[][]int{{12}, {4, 4, 4}}, indiaAadhaar},
	{[][]int{{11}, {3, 3, 3, 2}, {9, 2}}, brazilCPF},
	{[][]int{{14}, {2, 3, 3, 4, 2}}, brazilCNPJ},
	{[][]int{{10}, {3, 3, 4}}, britainNHS},
	{[][]int{{6, 4}, {8, 4}}, swedenPersonnummer},
	{[][]int{{11}, {6, 5}}, norwayFodselsnummer},
	{[][]int{{13}, {3, 4, 4, 2}}, switzerlandAHV},
	{[][]int{{11}, {6, 3, 2}, {2, 2, 2, 3, 2}}, belgiumNRN},
	{[][]int{{6, 7}}, koreaRRN},
	{[][]int{{12}, {4, 4, 4}}, japanMyNumber},
}

const maxNational = 18

// national looks at digits for an identity number other than a US one.
func (s *scan) national(i int) int {
	if e := s.letteredID(i); e > 0 {
		return e
	}
	text := s.text
	if joined(text, i) || i >= 2 && separator(text, i-1) > 0 && is(text[i-2], isNumeral) {
		return 0
	}
	var digits [maxNational]byte
	var groups [8]int
	n, g, end := 0, 0, i
	for k := i; g < len(groups); g++ {
		end = span(text, k, isNumeral)
		if end == k || n+end-k > maxNational {
			return 0
		}
		for _, c := range text[k:end] {
			digits[n] = c - '0'
			n++
		}
		groups[g] = end - k
		if end+1 >= len(text) || !groupSign(text[end]) || !is(text[end+1], isNumeral) {
			g++
			break
		}
		k = end + 1
	}
	if n < 8 || continued(text, end) {
		return 0
	}
	for _, f := range nationalNumbers {
		if grouped(f.groups, groups[:g]) && f.check(digits[:n]) {
			return s.emit(i, end, NationalID)
		}
	}
	return 0
}

func groupSign(c byte) bool { return c == ' ' || c == '-' || c == '.' || c == '/' }

func grouped(forms [][]int, groups []int) bool {
next:
	for _, form := range forms {
		if len(form) != len(groups) {
			continue
		}
		for i := range form {
			if form[i] != groups[i] {
				continue next
			}
		}
		return true
	}
	return false
}

// letteredID recognises numbers with letters around the digits at i.
func (s *scan) letteredID(i int) int {
	text := s.text
	for _, f := range letteredForms {
		start := i - f.before
		if start < 0 || joined(text, start) {
			continue
		}
		if end := f.match(text, start); end > 0 && !continued(text, end) {
			return s.emit(start, end, NationalID)
		}
	}
	return 0
}

// letteredForms are a form in which 9 is a digit, A a capital and a space an optional space or dash, how many signs are
// before its first digits, and the check. Letters of the texts count in capitals only, so that words are none.
var letteredForms = []letteredForm{
	{"99999999 A", 0, spainDNI},
	{"A 9999999 A", 1, spainNIE},
	{"A 9999999 A", 2, spainNIE},
	{"AA 99 99 99 A", 2, britainNINO},
	{"AA 99 99 99 A", 3, britainNINO},
	{"AAAAA9999A", 5, indiaPAN},
	{"AAAAAA99A99A999A", 6, italyCodiceFiscale},
	{"999999 999A", 0, finlandHETU},
	{"AAAA999999AAAAAA99", 4, mexicoCURP},
	{"99999999999999999A", 0, chinaID},
}

type letteredForm struct {
	form   string
	before int
	check  func(v []byte) bool
}

// match returns the end of the form that begins at i.
func (f letteredForm) match(text []byte, i int) int {
	var v [maxNational]byte
	n := 0
	for _, c := range []byte(f.form) {
		if c == ' ' {
			if i < len(text) && (text[i] == ' ' || text[i] == '-') {
				i++
			}
			continue
		}
		if i >= len(text) || c == '9' && !is(text[i], isNumeral) || c == 'A' && !is(text[i], isUpper) {
			return 0
		}
		v[n] = text[i]
		n++
		i++
	}
	if !f.check(v[:n]) {
		return 0
	}
	return i
}

// weighted returns the sum of the digits times their weights.
func weighted(d []byte, weights ...int) (sum int) {
	for i, w := range weights {
		sum += int(d[i]) * w
	}
	return sum
}

func number(d []byte) (n int) {
	for _, c := range d {
		n = n*10 + int(c)
	}
	return n
}

// monthDay reports whether d begins with a month and a day.
func monthDay(d []byte) bool {
	m, day := number(d[:2]), number(d[2:4])
	return m >= 1 && m <= 12 && day >= 1 && day <= 31
}

func canadaSIN(d []byte) bool { return len(d) == 9 && d[0] != 0 && d[0] != 8 && luhn(d) }

func australiaTFN(d []byte) bool {
	if len(d) == 8 {
		return weighted(d, 10, 7, 8, 4, 6, 3, 5, 1)%11 == 0
	}
	return weighted(d, 1, 4, 3, 7, 5, 8, 6, 9, 10)%11 == 0
}

func australiaMedicare(d []byte) bool {
	return d[0] >= 2 && d[0] <= 6 && weighted(d, 1, 3, 7, 9, 1, 3, 7, 9)%10 == int(d[8]) && d[9] != 0
}

func netherlandsBSN(d []byte) bool {
	return number(d) > 9999999 && weighted(d, 9, 8, 7, 6, 5, 4, 3, 2, -1)%11 == 0
}

// polandPESEL: the century is added to the month.
func polandPESEL(d []byte) bool {
	month, day := number(d[2:4])%20, number(d[4:6])
	return month >= 1 && month <= 12 && day >= 1 && day <= 31 && weighted(d, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)%10 == 0
}

// germanyTaxID: ISO 7064 mod 11,10, and among the first ten one digit occurs twice or three times.
func germanyTaxID(d []byte) bool {
	var count [10]int
	rest := 10
	for _, c := range d[:10] {
		count[c]++
		sum := (int(c) + rest) % 10
		if sum == 0 {
			sum = 10
		}
		rest = sum * 2 % 11
	}
	repeated := 0
	for _, n := range count {
		if n > 3 {
			return false
		}
		if n > 1 {
			repeated++
		}
	}
	return d[0] != 0 && repeated == 1 && (11-rest)%10 == int(d[10])
}

func franceNIR(d []byte) bool {
	month := number(d[3:5])
	return (d[0] == 1 || d[0] == 2) && month >= 1 && (month <= 12 || month >= 20) && 97-number(d[:13])%97 == number(d[13:])
}

// indiaAadhaar: the check digit of Verhoeff.
func indiaAadhaar(d []byte) bool {
	c := byte(0)
	for i := range d {
		c = dihedral(c, permuted(d[len(d)-1-i], i))
	}
	return d[0] >= 2 && c == 0
}

// dihedral multiplies in the group of the symmetries of a pentagon.
func dihedral(a, b byte) byte {
	switch {
	case a < 5 && b < 5:
		return (a + b) % 5
	case a < 5:
		return 5 + (a+b)%5
	case b < 5:
		return 5 + (a-b)%5
	}
	return (a - b + 5) % 5
}

func permuted(d byte, times int) byte {
	for range times % 8 {
		d = [10]byte{1, 5, 7, 6, 2, 8, 3, 0, 9, 4}[d]
	}
	return d
}

func brazilCPF(d []byte) bool {
	return !allSame(d) && elevens(weighted(d, 10, 9, 8, 7, 6, 5, 4, 3, 2)) == int(d[9]) &&
		elevens(weighted(d, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)) == int(d[10])
}

func brazilCNPJ(d []byte) bool {
	return !allSame(d) && elevens(weighted(d, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) == int(d[12]) &&
		elevens(weighted(d, 6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) == int(d[13])
}

func elevens(sum int) int { return (11 - sum%11) % 11 % 10 }

func allSame(d []byte) bool {
	for _, c := range d {
		if c != d[0] {
			return false
		}
	}
	return true
}

func britainNHS(d []byte) bool {
	return !allSame(d) && (11-weighted(d, 10, 9, 8, 7, 6, 5, 4, 3, 2)%11)%11 == int(d[9])
}

func swedenPersonnummer(d []byte) bool {
	d = d[len(d)-10:]
	day := number(d[4:6])
	if day > 60 { // a coordination number
		day -= 60
	}
	month := number(d[2:4])
	return month >= 1 && month <= 12 && day >= 1 && day <= 31 && luhn(d)
}

func norwayFodselsnummer(d []byte) bool {
	return number(d[:2]) >= 1 && number(d[:2])%40 <= 31 && number(d[2:4])%40 >= 1 && number(d[2:4])%40 <= 12 &&
		(11-weighted(d, 3, 7, 6, 1, 8, 9, 4, 5, 2)%11)%11 == int(d[9]) &&
		(11-weighted(d, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)%11)%11 == int(d[10])
}

func switzerlandAHV(d []byte) bool {
	return number(d[:3]) == 756 && weighted(d, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1)%10 == 0
}

func belgiumNRN(d []byte) bool {
	n, key := number(d[:9]), number(d[9:])
	return monthDay(d[2:]) && (97-n%97 == key || 97-(2000000000+n)%97 == key)
}

func koreaRRN(d []byte) bool { return monthDay(d[2:]) && d[6] >= 1 && d[6] <= 8 }

func japanMyNumber(d []byte) bool {
	rest := weighted(d, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2) % 11
	if rest <= 1 {
		return d[11] == 0 && !allSame(d)
	}
	return 11-rest == int(d[11])
}

func spainDNI(v []byte) bool { return dniLetter(v[:8]) == v[8] }

func spainNIE(v []byte) bool {
	if v[0] < 'X' || v[0] > 'Z' {
		return false
	}
	var d [8]byte
	copy(d[1:], v[1:8])
	d[0] = v[0] - 'X' + '0'
	return dniLetter(d[:]) == v[8]
}

func dniLetter(digits []byte) byte {
	n := 0
	for _, c := range digits {
		n = n*10 + int(c-'0')
	}
	return "TRWAGMYFPDXBNJZSQVHLCKE"[n%23]
}

// britainNINO: prefixes that are never given out, https://www.gov.uk/hmrc-internal-manuals/national-insurance-manual/nim39110
func britainNINO(v []byte) bool {
	for _, c := range []byte("DFIQUV") {
		if v[0] == c || v[1] == c {
			return false
		}
	}
	switch string(v[:2]) {
	case "BG", "GB", "KN", "NK", "NT", "TN", "ZZ":
		return false
	}
	return v[1] != 'O' && v[8] <= 'D'
}

// indiaPAN: the fourth letter is the kind of holder.
func indiaPAN(v []byte) bool { return hasLetter("ABCFGHJLPTK", v[3]) }

func italyCodiceFiscale(v []byte) bool {
	const letters = "BAKPLCQDREVOSFTGUHMINJWZYX" // of the odd places, by value
	var odd [26]int
	for value, c := range []byte(letters) {
		odd[c-'A'] = value
	}
	sum := 0
	for i, c := range v[:15] {
		n := int(c - 'A')
		if is(c, isNumeral) {
			n = int(c - '0')
		}
		if i%2 == 0 {
			n = odd[n]
		}
		sum += n
	}
	return hasLetter("ABCDEHLMPRST", v[8]) && byte(sum%26)+'A' == v[15]
}

func finlandHETU(v []byte) bool {
	n := 0
	for _, c := range v[:9] {
		n = n*10 + int(c-'0')
	}
	return "0123456789ABCDEFHJKLMNPRSTUVWXY"[n%31] == v[9]
}

// mexicoCURP: sex, and the state where one was born; the check digit needs its alphabet of 37.
func mexicoCURP(v []byte) bool {
	const alphabet = "0123456789ABCDEFGHIJKLMN OPQRSTUVWXYZ" // the gap is for Ñ
	sum := 0
	for i, c := range v[:17] {
		for value, a := range []byte(alphabet) {
			if a == c {
				sum += value * (18 - i)
			}
		}
	}
	return (v[10] == 'H' || v[10] == 'M' || v[10] == 'X') && (10-sum%10)%10 == int(v[17]-'0')
}

// chinaID: ISO 7064 mod 11-2, here with the check sign X only; with a digit it is no different from other numbers.
func chinaID(v []byte) bool {
	sum := 0
	for i, c := range v[:17] {
		sum += int(c-'0') * (1 << (17 - i) % 11)
	}
	return v[17] == 'X' && sum%11 == 2
}
