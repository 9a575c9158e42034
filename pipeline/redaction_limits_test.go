package pipeline

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

const limitSecret = "Kestrel+marble~7731"

// gone reports what of limitSecret, or of a card, a line shows, and what detectors say.
func (x *redactionBench) gone(t *testing.T, name, line string) (detectors string) {
	t.Helper()
	docs, removed := x.process(t, line)
	if removed == 0 {
		t.Errorf("%s: nothing is removed\n%.300s", name, x.b.Doc(0))
	}
	seen := map[string]bool{}
	shown(docs, func(text string) {
		reveal(text, 12, seen, func(text string) {
			for _, secret := range []string{limitSecret, "4556737586899855"} {
				for _, n := range needles(secret) {
					if strings.Contains(text, n) {
						t.Errorf("%s: %q is left\n%.300s", name, n, x.b.Doc(0))
						return
					}
				}
			}
		})
	})
	for _, doc := range docs {
		list, _ := doc["redacted"].([]any)
		for _, e := range list {
			detectors += e.(map[string]any)["detector"].(string) + " "
		}
	}
	return detectors
}

// TestSecretsBeyondLimits puts secrets at each limit of what is looked through, and one above it.
func TestSecretsBeyondLimits(t *testing.T) {
	t.Parallel()
	x := newRedactionBench(t)
	text := "card 4556737586899855 password=" + limitSecret
	object := `{"password":"` + limitSecret + `","card":"4556737586899855"}`
	nest := func(s string, times int, encode func(string) string) string {
		for range times {
			s = encode(s)
		}
		return s
	}
	inString := func(s string) string { return `{"a":` + jsonString(s) + `}` }
	for n := 1; n <= maxNested+2; n++ {
		got := x.gone(t, fmt.Sprintf("JSON in %d strings", n), nest(object, n, inString))
		if n > maxNested && !strings.Contains(got, "limit") {
			t.Errorf("JSON in %d strings: %s, want limit", n, got)
		}
		x.gone(t, fmt.Sprintf("broken JSON in %d strings", n), strings.TrimSuffix(nest(object, n, inString), "}"))
		x.gone(t, fmt.Sprintf("array in %d strings", n), nest(`["load","--password","`+limitSecret+`"]`, n, inString))
	}
	for n := 1; n <= 10; n++ {
		x.gone(t, fmt.Sprintf("percent-encoded %d times", n), `{"a":`+jsonString("/x?to="+nest("/y?z="+text+"!", n, url.QueryEscape))+`}`)
		x.gone(t, fmt.Sprintf("base64, %d times", n), `{"a":`+jsonString(nest(text, n, func(s string) string {
			return base64.StdEncoding.EncodeToString([]byte(s))
		}))+`}`)
		x.gone(t, fmt.Sprintf("%d encodings", n), `{"a":`+jsonString(nest(text+"!", n, func(s string) string {
			return "d=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s)))
		}))+`}`)
	}
	for _, n := range []int{1, maxFlat - 2, maxFlat - 1, maxFlat, maxFlat + 1, maxFlat + 2, 40, 500, 510, 511, 512, 513, 514, 700} {
		x.gone(t, fmt.Sprintf("%d levels of objects", n), strings.Repeat(`{"a":`, n)+object+strings.Repeat(`}`, n))
		x.gone(t, fmt.Sprintf("%d levels of arrays", n), strings.Repeat(`[`, n)+object+strings.Repeat(`]`, n))
		x.gone(t, fmt.Sprintf("arguments below %d levels", n), strings.Repeat(`{"a":[`, n)+`"--password","`+limitSecret+`"`+strings.Repeat(`]}`, n))
	}
	for _, n := range []int{1, 30, 31, 64, 79, 80, 81, maxKeyPath - 90, maxKeyPath - 80, maxKeyPath - 60, maxKeyPath - 40, maxKeyPath, maxKeyPath + 1, 2000} {
		pad := strings.Repeat("n", n)
		x.gone(t, fmt.Sprintf("a name behind one of %d", n), `{"`+pad+`":{"b":`+object+`}}`)
		x.gone(t, fmt.Sprintf("a name of %d and password", n), `{"`+pad+`_password":"`+limitSecret+`"}`)
		x.gone(t, fmt.Sprintf("a secret behind %d of a name", n), `{"`+pad+` `+text+`":{"`+pad+` `+text+`":1}}`)
		x.gone(t, fmt.Sprintf("a flag of %d", n), `{"argv":["--`+pad+`-password","`+limitSecret+`"]}`)
		x.gone(t, fmt.Sprintf("a pair named by %d", n), `{"key":"`+pad+`_password","value":"`+limitSecret+`"}`)
	}
	for _, n := range []int{0, 13, 14, 15, 30, 63, 64, 65, 1000, 5000} {
		var members, values []string
		for i := range n {
			members = append(members, fmt.Sprintf(`"m%d":%d`, i, i))
			values = append(values, fmt.Sprintf(`"password":"%s"`, limitSecret))
		}
		between := strings.Join(append([]string{""}, members...), ",") + ","
		pair := `{"key":"password"` + between + `"value":"` + limitSecret + `"}`
		x.gone(t, fmt.Sprintf("a pair with %d between", n), pair)
		x.gone(t, fmt.Sprintf("a pair with %d between, cut off", n), `{"a":`+pair)
		x.gone(t, fmt.Sprintf("a pair with %d between, reversed", n), `{"list":[{"value":"`+limitSecret+`"`+between+`"key":"password"}]}`)
		x.gone(t, fmt.Sprintf("%d members with one name", n), `{`+strings.Join(append(values, `"password":"`+limitSecret+`"`), ",")+`}`)
		x.gone(t, fmt.Sprintf("behind %d members", n), `{"a":0`+between+object[1:])
	}
	for _, n := range []int{1, 3, 4, 5, 31, 32, 33, 64, 100} {
		pad := strings.Repeat(" ", n)
		x.gone(t, fmt.Sprintf("%d spaces before the sign", n), `x password`+pad+`= `+limitSecret)
		x.gone(t, fmt.Sprintf("%d spaces behind the sign", n), `x password:`+pad+limitSecret)
		x.gone(t, fmt.Sprintf("%d spaces in broken JSON", n), `{"password"`+pad+`:`+pad+`"`+limitSecret+`",`)
	}
	for _, n := range []int{100, 1000, 1023, 1025, 2000, 3000, 5000} {
		long := limitSecret + strings.Repeat("q", n)
		x.gone(t, fmt.Sprintf("a password of %d in an address", n), `{"a":"dial postgres://app:`+long+`@db.example.internal/x"}`)
		x.gone(t, fmt.Sprintf("basic credentials of %d", n), `{"a":"sent Basic `+base64.StdEncoding.EncodeToString([]byte("kim:"+long))+` once"}`)
	}
}

// TestManyRedactions: beyond maxListed places are counted, not listed, and nothing of them is seen.
func TestManyRedactions(t *testing.T) {
	t.Parallel()
	x := newRedactionBench(t)
	for _, n := range []int{maxListed - 1, maxListed, maxListed + 1, 10 * maxListed} {
		var b strings.Builder
		b.WriteString(`{"msg":"x"`)
		for i := range n {
			fmt.Fprintf(&b, `,"m%d":{"password":"%s"}`, i, limitSecret)
		}
		x.gone(t, fmt.Sprint(n, " redactions"), b.String()+"}")
		docs, removed := x.process(t, b.String()+"}")
		if list := docs[0]["redacted"].([]any); len(list) != min(n, maxListed) || removed != n {
			t.Errorf("%d listed and %d counted of %d", len(list), removed, n)
		}
	}
}

// TestSecretsAtTheEndOfALine: what is kept of a line that is too long is looked through as text.
func TestSecretsAtTheEndOfALine(t *testing.T) {
	t.Parallel()
	x := newRedactionBench(t)
	line := `{"msg":"x","a":{"password":"` + limitSecret + `","card":"4556737586899855","argv":["--token","` + limitSecret + `"]},"z":"` + strings.Repeat("z", 400) + `"}`
	for keep := 20; keep < len(line)+2; keep++ {
		raw := &Raw{Buf: []byte(line + "\n")}
		raw.Ranges = append(raw.Ranges, Range{Stream: &Stream{Path: "/x"}, End: int64(len(raw.Buf))})
		c := Cutter{MaxLine: keep}
		c.Cut(raw, 0, len(raw.Buf), 0, true)
		x.p.Process(raw, 1, testTime, &x.b)
		for _, doc := range documents(t, &x.b) {
			text, _ := json.Marshal(doc)
			for _, secret := range []string{limitSecret, "4556737586899855"} {
				if strings.Contains(string(text), secret[:6]) && (secret == limitSecret || strings.Contains(string(text), secret)) {
					t.Fatalf("of %d bytes kept: %s", keep, text)
				}
			}
		}
	}
}

// TestDecodingIsBounded: texts made to be decoded over and over cost time in proportion to their length, and hide nothing.
func TestDecodingIsBounded(t *testing.T) {
	t.Parallel()
	x := newRedactionBench(t)
	for _, unit := range []string{`%2525252541&amp;#x26;\\u0026amp;+a+b+%2B`, `&amp;amp;amp;%25u0025\u0026lt;=3D=3D`, "%25", "&amp;", `\u005cu005c`, "=3D", "a+", `["\"`, "('a',", "values (", "(token) values (", "\u200b"} {
		x.gone(t, unit, `{"a":`+jsonString(strings.Repeat(unit, 1<<15/len(unit))+" password="+limitSecret)+`}`)
	}
}
