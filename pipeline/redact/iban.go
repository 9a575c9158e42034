package redact

// ibans are the countries' account numbers: two letters, the length of all, and the structure of what follows the check
// digits, as pairs of a count and a class (n digits, a capitals, c either). Source: the IBAN registry of ISO 13616,
// https://www.swift.com/standards/data-standards/iban-international-bank-account-number, and for the countries that use
// the format without being registered https://www.iban.com/structure (length and check digits only).
var ibans = map[string]ibanFormat{
	"AD": {24, "8n12c"}, "AE": {23, "19n"}, "AL": {28, "8n16c"}, "AT": {20, "16n"}, "AZ": {28, "4a20c"}, "BA": {20, "16n"},
	"BE": {16, "12n"}, "BG": {22, "4a6n8c"}, "BH": {22, "4a14c"}, "BI": {27, "23n"}, "BR": {29, "23n1a1c"},
	"BY": {28, "4c4n16c"}, "CH": {21, "5n12c"}, "CR": {22, "18n"}, "CY": {28, "8n16c"}, "CZ": {24, "20n"}, "DE": {22, "18n"},
	"DJ": {27, "23n"}, "DK": {18, "14n"}, "DO": {28, "4c20n"}, "EE": {20, "16n"}, "EG": {29, "25n"}, "ES": {24, "20n"},
	"FI": {18, "14n"}, "FK": {18, "2a12n"}, "FO": {18, "14n"}, "FR": {27, "10n11c2n"}, "GB": {22, "4a14n"},
	"GE": {22, "2a16n"}, "GI": {23, "4a15c"}, "GL": {18, "14n"}, "GR": {27, "7n16c"}, "GT": {28, "24c"}, "HN": {28, "4a20n"},
	"HR": {21, "17n"}, "HU": {28, "24n"}, "IE": {22, "4a14n"}, "IL": {23, "19n"}, "IQ": {23, "4a15n"}, "IS": {26, "22n"},
	"IT": {27, "1a10n12c"}, "JO": {30, "4a4n18c"}, "KW": {30, "4a22c"}, "KZ": {20, "3n13c"}, "LB": {28, "4n20c"},
	"LC": {32, "4a24c"}, "LI": {21, "5n12c"}, "LT": {20, "16n"}, "LU": {20, "3n13c"}, "LV": {21, "4a13c"}, "LY": {25, "21n"},
	"MC": {27, "10n11c2n"}, "MD": {24, "20c"}, "ME": {22, "18n"}, "MK": {19, "3n10c2n"}, "MN": {20, "16n"},
	"MR": {27, "23n"}, "MT": {31, "4a5n18c"}, "MU": {30, "4a19n3a"}, "NI": {28, "4a20n"}, "NL": {18, "4a10n"},
	"NO": {15, "11n"}, "OM": {23, "3n16c"}, "PK": {24, "4a16c"}, "PL": {28, "24n"}, "PS": {29, "4a21c"}, "PT": {25, "21n"},
	"QA": {29, "4a21c"}, "RO": {24, "4a16c"}, "RS": {22, "18n"}, "RU": {33, "14n15c"}, "SA": {24, "2n18c"},
	"SC": {31, "4a20n3a"}, "SD": {18, "14n"}, "SE": {24, "20n"}, "SI": {19, "15n"}, "SK": {24, "20n"}, "SM": {27, "1a10n12c"},
	"SO": {23, "19n"}, "ST": {25, "21n"}, "SV": {28, "4a20n"}, "TL": {23, "19n"}, "TN": {24, "20n"}, "TR": {26, "5n17c"},
	"UA": {29, "6n19c"}, "VA": {22, "18n"}, "VG": {24, "4a16n"}, "XK": {20, "16n"}, "YE": {30, "4a4n18c"},
	"AO": {25, "21n"}, "BF": {28, "24c"}, "BJ": {28, "24c"}, "CF": {27, "23n"}, "CG": {27, "23n"}, "CI": {28, "24c"},
	"CM": {27, "23n"}, "CV": {25, "21n"}, "DZ": {26, "22n"}, "GA": {27, "23n"}, "GQ": {27, "23n"}, "GW": {25, "21c"},
	"IR": {26, "22n"}, "KM": {27, "23n"}, "MA": {28, "24n"}, "MG": {27, "23n"}, "ML": {28, "24c"}, "MZ": {25, "21n"},
	"NE": {28, "24c"}, "SN": {28, "24c"}, "TD": {27, "23n"}, "TG": {28, "24c"},
}

type ibanFormat struct {
	length int
	bban   string
}

const maxIBAN = 34

// iban returns the end of an account number that begins at i, compact or in groups, or 0.
func iban(text []byte, i int) int {
	if i+15 > len(text) || joined(text, i) || !is(text[i], isAlpha) || !is(text[i+1], isAlpha) || !is(text[i+2], isNumeral) {
		return 0
	}
	f, ok := ibans[string([]byte{text[i] &^ 0x20, text[i+1] &^ 0x20})]
	if !ok {
		return 0
	}
	var v [maxIBAN]byte
	k := i
	for n := 0; n < f.length; n++ {
		if n > 0 && k+1 < len(text) && (text[k] == ' ' || text[k] == '-') && is(text[k+1], isAlnum) {
			k++
		}
		if k >= len(text) || !is(text[k], isAlnum) {
			return 0
		}
		v[n] = text[k]
		if is(v[n], isLower) {
			v[n] -= 'a' - 'A'
		}
		k++
	}
	if continued(text, k) || !f.fits(v[4:f.length]) || !mod97(v[:f.length]) {
		return 0
	}
	return k
}

// fits checks the national part's structure.
func (f ibanFormat) fits(v []byte) bool {
	count := 0
	for _, c := range []byte(f.bban) {
		if is(c, isNumeral) {
			count = count*10 + int(c-'0')
			continue
		}
		for ; count > 0; count-- {
			if c == 'n' && !is(v[0], isNumeral) || c == 'a' && !is(v[0], isUpper) {
				return false
			}
			v = v[1:]
		}
	}
	return true
}

// mod97 checks the two check digits by ISO 7064.
func mod97(v []byte) bool {
	rest := 0
	for i := range v {
		c := v[(i+4)%len(v)]
		if is(c, isNumeral) {
			rest = (rest*10 + int(c-'0')) % 97
		} else {
			rest = (rest*100 + int(c-'A') + 10) % 97
		}
	}
	return rest == 1
}

// spacedIBAN goes back from a group of digits over groups of four to the country and check digits.
func (s *scan) spacedIBAN(i int) int {
	text := s.text
	for n := 0; n < 7 && i >= 5; n++ {
		if text[i-1] != ' ' && text[i-1] != '-' {
			return 0
		}
		i -= 5
		for _, c := range text[i : i+4] {
			if !is(c, isUpper|isNumeral) {
				return 0
			}
		}
		if is(text[i], isUpper) && is(text[i+1], isUpper) && is(text[i+2], isNumeral) && is(text[i+3], isNumeral) {
			if end := iban(text, i); end > 0 {
				return s.emit(i, end, IBAN)
			}
			return 0
		}
	}
	return 0
}
