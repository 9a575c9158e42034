package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"math/big"
	"math/rand/v2"
	"strings"

	"pgregory.net/rapid"
)

// A plant is a text with a secret in it, and what of the secret must never be seen again, whatever the action: with
// partial the last four digits of a number, and the first letter and the domain of an address, may remain.
type plant struct {
	text   string
	hidden []string
}

// A sample is lines of a log with secrets in them.
type sample struct {
	lines  string
	hidden []string
}

const (
	digits   = "0123456789"
	letters  = "abcdefghijklmnopqrstuvwxyz"
	capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	alphabet = digits + letters + capitals
)

func text(r *rand.Rand, from string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = from[r.IntN(len(from))]
	}
	return string(b)
}

// token has a letter and a digit at the least: half of the detectors ask for both.
func token(r *rand.Rand, n int) string {
	return text(r, alphabet, n-2) + text(r, letters, 1) + text(r, digits, 1)
}

// grouped puts sep between groups of the given sizes.
func grouped(s, sep string, sizes ...int) string {
	var parts []string
	for _, n := range sizes {
		if n = min(n, len(s)); n > 0 {
			parts = append(parts, s[:n])
			s = s[n:]
		}
	}
	if s != "" {
		parts = append(parts, s)
	}
	return strings.Join(parts, sep)
}

func card(r *rand.Rand) plant {
	brand := [...]struct {
		prefix string
		length int
		groups []int
	}{{"4", 16, []int{4, 4, 4, 4}}, {"5" + text(r, "12345", 1), 16, []int{4, 4, 4, 4}}, {"37", 15, []int{4, 6, 5}}, {"6011", 16, []int{4, 4, 4, 4}}}[r.IntN(4)]
	s := brand.prefix + text(r, digits, brand.length-1-len(brand.prefix))
	for d := range 10 {
		if luhn(s + string(digits[d])) {
			s += string(digits[d])
			break
		}
	}
	s = grouped(s, [...]string{"", " ", "-"}[r.IntN(3)], brand.groups...)
	return plant{s, []string{s, s[:len(s)-5]}}
}

func luhn(s string) bool {
	sum := 0
	for i := range s {
		d := int(s[len(s)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

func iban(r *rand.Rand) plant {
	account := text(r, "123456789", 18)
	n, _ := new(big.Int).SetString(account+"131400", 10) // DE and two zeros
	s := fmt.Sprintf("DE%02d%s", 98-new(big.Int).Mod(n, big.NewInt(97)).Int64(), account)
	if r.IntN(2) == 0 {
		s = grouped(s, " ", 4, 4, 4, 4, 4)
	}
	return plant{s, []string{s, s[:len(s)-5]}}
}

func ssn(r *rand.Rand) plant {
	s := fmt.Sprintf("%03d-%02d-%04d", 101+r.IntN(560), 13+r.IntN(80), 1000+r.IntN(8999))
	return plant{s, []string{s[:7]}}
}

func email(r *rand.Rand) plant {
	local := text(r, letters, 1) + token(r, 11)
	return plant{local + "@" + text(r, letters, 8) + ".example.org", []string{local[1:]}}
}

func jwt(r *rand.Rand) plant {
	b64 := base64.RawURLEncoding.EncodeToString
	body, sig := b64(fmt.Appendf(nil, `{"sub":%q,"iat":1516239022}`, token(r, 20))), token(r, 43)
	return plant{b64([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + body + "." + sig, []string{body, sig[:30]}}
}

func pem(r *rand.Rand) plant {
	a, b := "MII"+token(r, 61), token(r, 40)
	return plant{"-----BEGIN RSA PRIVATE KEY-----\n" + a + "\n" + b + "\n-----END RSA PRIVATE KEY-----", []string{a, b}}
}

func vendor(r *rand.Rand) plant {
	s := [...]string{
		"AKIA" + text(r, capitals+"234567", 16), "ghp_" + token(r, 36), "xoxb-" + text(r, digits, 12) + "-" + token(r, 24),
		"sk_live_" + token(r, 24), "glpat-" + token(r, 20), "npm_" + token(r, 36), "SG." + token(r, 22) + "." + token(r, 43),
		"AIza" + token(r, 35), "hvs." + token(r, 90), "sk-ant-api03-" + token(r, 80),
	}[r.IntN(10)]
	return plant{s, []string{s[len(s)-12:]}}
}

// credential is a secret that what stands around it gives away.
func credential(r *rand.Rand) plant {
	s := token(r, 16)
	b := base64.StdEncoding.EncodeToString([]byte("bob:" + s))
	return plant{[...]string{
		"Authorization: Bearer " + token(r, 8) + s, "Bearer " + text(r, "0123456789abcdef", 24) + s,
		"Authorization: Basic " + b, "postgres://app:" + s + "@db.internal:5432/shop",
		"https://x.example/cb?lang=en&token=" + s + "&page=2", "password=" + s, "client_secret: " + s, "Pwd=" + s + ";Uid=me",
		"Cookie: sid=" + s + "; theme=dark", "run --password " + s + " -v", "curl -u bob:" + s + " https://x.example",
		"<password>" + s + "</password>", `{"key":"password","value":"` + s + `"}`, `{"user":"bob","api_key":"` + s + `"}`,
		"CREATE USER bob IDENTIFIED BY '" + s + "'", `{"nested":{"secret":{"a":["` + s + `"]}}}`,
	}[r.IntN(16)], []string{s}}
}

// plants makes the text of a secret in a random form.
func plants() *rapid.Generator[plant] {
	kinds := []func(*rand.Rand) plant{card, iban, ssn, email, jwt, pem, vendor, credential, credential, credential}
	return rapid.Custom(func(t *rapid.T) plant {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "secret"), 5))
		return rapid.SampledFrom(kinds).Draw(t, "kind")(r)
	})
}

// An encoding is a way in which people hide a value by accident.
type encoding func(string) string

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// each writes every byte for which hide is true in a form, and the others as they are.
func each(form string, hide func(c byte) bool) encoding {
	return func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			if hide(s[i]) {
				fmt.Fprintf(&b, form, s[i])
			} else {
				b.WriteByte(s[i])
			}
		}
		return b.String()
	}
}

func isSign(c byte) bool { return !strings.ContainsRune(alphabet, rune(c)) }

func isReserved(c byte) bool { return isSign(c) && !strings.ContainsRune("-_.~", rune(c)) }

var encodings = []encoding{
	func(s string) string { return `{"a":1,"note":` + quoted(s) + `}` },
	func(s string) string { return "[1," + quoted(s) + "]" },
	func(s string) string { return strings.Trim(quoted(s), `"`) },
	each("%%%02X", isReserved),
	each("%%%02x", isReserved),
	each(`\u%04x`, func(c byte) bool { return strings.ContainsRune(`<>&'"=@/`, rune(c)) }),
	each(`\u%04X`, isSign),
	html.EscapeString,
	each("&#%d;", isReserved),
	each("&#x%x;", isReserved),
	func(s string) string { return base64.StdEncoding.EncodeToString([]byte("note: " + s)) },
	func(s string) string { return base64.URLEncoding.EncodeToString([]byte("the note: " + s)) },
}

// carriers are texts with a secret in them, in up to three encodings.
func carriers() *rapid.Generator[plant] {
	return rapid.Custom(func(t *rapid.T) plant {
		p := plants().Draw(t, "plant")
		for range rapid.IntRange(0, 3).Draw(t, "layers") {
			if p.text = rapid.SampledFrom(encodings).Draw(t, "encoding")(p.text); rapid.IntRange(0, 3).Draw(t, "alone") == 0 {
				p.text = "seen " + p.text + " today"
			}
		}
		return p
	})
}

// What a line is made of, beside secrets. None of the keys is an identity, which detectors leave alone.
var (
	plainKeys = []string{
		"msg", "level", "path", "method", "status_code", "user_agent", "error", "stack", "logger", "event_type", "table_name",
		"operation", "record_id", "old_values", "new_values", "details", "context", "metadata", "tags", "headers", "activity_type",
		"entity_id", "service", "host", "timestamp", "trace_id", "kind", "session_id", "foo", "items", "Body", "x-request", "größe", "",
	}
	secretKeys = []string{"password", "clientSecret", "x-api-key", "Authorization", "cookie", "privateKey", "DB_PASSWORD", "pin", "refresh token", "cvv2"}
	fillers    = []string{`1`, `-2.5e3`, `true`, `null`, `"ok"`, `""`, `"2026-11-23T10:00:00Z"`, `[]`, `{}`, `"d41d8cd98f00b204e9800998ecf8427e"`, `"a b c"`, `"GET"`, `503`}
)

// values are JSON with one secret at a random place.
func values(depth int) *rapid.Generator[plant] {
	return rapid.Custom(func(t *rapid.T) plant {
		shape := rapid.IntRange(0, 9).Draw(t, "shape")
		switch {
		case shape == 0: // under a name
			s := token(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "secret"), 6)), 14)
			form := rapid.SampledFrom([]string{`"%s"`, `["x","%s"]`, `{"a":{"b":"%s"}}`, `"\u00%02[2]x%[3]s"`}).Draw(t, "form")
			if strings.Contains(form, "%[3]s") {
				form = fmt.Sprintf(form, s, s[0], s[1:])
			} else {
				form = fmt.Sprintf(form, s)
			}
			return plant{fmt.Sprintf("{%s:%s}", quoted(rapid.SampledFrom(secretKeys).Draw(t, "name")), form), []string{s[1:]}}
		case shape == 1: // in a name
			p := carriers().Draw(t, "name")
			return plant{"{" + quoted(p.text) + ":" + rapid.SampledFrom(fillers).Draw(t, "value") + "}", p.hidden}
		case shape <= 4 || depth == 0:
			p := carriers().Draw(t, "text")
			return plant{quoted(p.text), p.hidden}
		}
		p := values(depth-1).Draw(t, "inner")
		var parts []string
		object := shape >= 7
		at := rapid.IntRange(0, 3).Draw(t, "at")
		for i := range rapid.IntRange(at, 4).Draw(t, "others") + 1 {
			v := rapid.SampledFrom(fillers).Draw(t, "other")
			if i == at {
				v = p.text
			}
			if object {
				v = quoted(rapid.SampledFrom(plainKeys).Draw(t, "key")) + ":" + v
			}
			parts = append(parts, v)
		}
		p.text = "[" + strings.Join(parts, ",") + "]"
		if object {
			p.text = "{" + strings.Join(parts, ", ") + "}"
		}
		return p
	})
}

// samples are one or more lines with a secret: JSON, broken JSON or text, bare or in the envelope of a container runtime.
func samples() *rapid.Generator[sample] {
	return rapid.Custom(func(t *rapid.T) sample {
		var p plant
		if rapid.IntRange(0, 4).Draw(t, "text") == 0 {
			p = carriers().Draw(t, "line")
			p.text = strings.ReplaceAll(rapid.SampledFrom([]string{"", "2026-11-23 10:00:00 INFO got ", "panic: "}).Draw(t, "before")+p.text, "\n", `\n`)
		} else {
			p = values(4).Draw(t, "value")
			p.text = "{" + quoted(rapid.SampledFrom(plainKeys).Draw(t, "key")) + ":" + p.text + ",\"last\":1}"
			switch rapid.IntRange(0, 5).Draw(t, "broken") {
			case 0:
				p.text = strings.TrimSuffix(p.text, ",\"last\":1}")
			case 1:
				p.text = "x " + p.text
			case 2:
				p.text = strings.Replace(p.text, "{", "{,", 1)
			}
		}
		return sample{enveloped(t, p.text), p.hidden}
	})
}

// enveloped ends a line, or puts it into the envelope of a runtime: in one piece, or in two that are cut anywhere.
func enveloped(t *rapid.T, line string) string {
	at := rapid.IntRange(1, max(1, len(line)-1)).Draw(t, "cut")
	switch rapid.IntRange(0, 6).Draw(t, "envelope") {
	case 0:
		return fmt.Sprintf(`{"log":%s,"stream":"stdout","time":"2026-11-23T10:00:00.5Z"}`+"\n", quoted(line+"\n"))
	case 1:
		return fmt.Sprintf(`{"log":%s,"stream":"stderr","time":"2026-11-23T10:00:00.5Z"}`+"\n"+`{"log":%s,"stream":"stderr","time":"2026-11-23T10:00:00.5Z"}`+"\n",
			quoted(line[:at]), quoted(line[at:]+"\n"))
	case 2:
		return "2026-11-23T10:00:00.5Z stdout F " + line + "\n"
	case 3:
		return "2026-11-23T10:00:00.5Z stdout P " + line[:at] + "\n2026-11-23T10:00:00.5Z stdout F " + line[at:] + "\n"
	}
	return line + "\n"
}
