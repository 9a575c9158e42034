package redact

import "testing"

// nationals are numbers that were made up and given their check digits by another program.
var nationals = []string{
	"521300129", "521-300-129", "876500001", "2953700081", "2953 70008 1", "218300001", "85041700009", "65729930815", "65 729 930 815",
	"269057512345631", "2 69 05 75 123 456 31", "482719350000", "4827 1935 0000", "52978314664", "529.783.146-64", "48271639000138",
	"48.271.639/0001-38", "4719300006", "471 930 0006", "870613-0005", "13068500049", "130685 00049", "7564816000003", "756.4816.0000.03",
	"85061732126", "85.06.17-321.26", "719382650004", "850417-2345678", "48172639J", "48172639-J", "Y4817263L", "Y-4817263-L", "JG 47 19 30 C", "JG471930C",
	"BNCPA4719C", "BNCLRA85E57F205L", "130685-443E", "GALM850617MDFRRR07", "11010519850617004X",
}

func TestNationalIDs(t *testing.T) {
	t.Parallel()
	on := compiled(t, "national_id")
	for _, id := range nationals {
		for _, around := range [][2]string{{"", ""}, {"id ", " checked"}, {`{"m":"`, `"}`}, {"(", ")"}} {
			text := around[0] + id + around[1]
			if got := masked(on, text); got != around[0]+Mask+around[1] {
				t.Errorf("%q became %q", text, got)
			}
		}
	}
	for _, text := range []string{
		"521300128", "85041700008", "65729930816", "269057512345630", "482719350001", "52978314665", "11111111111", "48271639000139", "4719300007",
		"7564816000004", "48172639K", "Y4817263M", "GB471930C", "QQ471930C", "BNCLRA85E57F205M", "GALM850617MDFRRR08", "11010519850618004X",
		"2026-11-24 20:14:26", "1714979289123", "10.0.12.34", "v1.22.333", "550e8400-e29b-41d4-a716-446655440000", "order 48", "FOO1234", "12 34 56",
	} {
		if got := masked(on, text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
