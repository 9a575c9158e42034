package redact

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func contains(s, sub string) bool { return strings.Contains(s, sub) }

const rsaKey = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA04up8hoqzS1+APIB0RhjXyObwHQnOzhAk5Bd7mhkSbPkyhP1\n-----END RSA PRIVATE KEY-----"

// seeds are secrets in the text they are found in, and what must be gone.
var seeds = []struct{ text, secret string }{
	{"paid with 4111111111111111 today", "4111111111111111"},
	{"paid with 4111-1111-1111-1111 today", "4111-1111-1111-1111"},
	{"paid with 4111 1111 1111 1111 today", "4111 1111 1111 1111"},
	{"amex 3782 822463 10005 ok", "3782 822463 10005"},
	{"amex 3714-496353-98431 ok", "3714-496353-98431"},
	{"mixed 4111-1111 1111 1111 ok", "4111-1111 1111 1111"},
	{"dots 4111.1111.1111.1111 ok", "4111.1111.1111.1111"},
	{"(5555555555554444)", "5555555555554444"},
	{"mail jane.doe@example.com now", "jane.doe@example.com"},
	{"Jane <jane+tag@mail.example.co.uk>, hi", "jane+tag@mail.example.co.uk"},
	{"mailto:o'brien@example.ie", "o'brien@example.ie"},
	{"from=x_y-z@sub.domain.example.org;", "x_y-z@sub.domain.example.org"},
	{"юзер@пример.рф wrote", "юзер@пример.рф"},
	{"t eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U ok", "eyJzdWIiOiIxMjM0NTY3ODkwIn0"},
	{"jwe eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKoTCVJRgckCL9kiMT03JGe.48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX_EFShS8iB7j6ji.XFBoMYUZodetZdvTiFvSkQ ok", "OKOawDo13gRp2ojaHV7LFpZcgV7T6DVZKTyKOMTYUmKoTCVJRgckCL9kiMT03JGe"},
	{"Authorization: Bearer mF_9.B5f-4.1JqM", "mF_9.B5f-4.1JqM"},
	{"sent BEARER abcdef0123456789 again", "abcdef0123456789"},
	{"authorization: basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "QWxhZGRpbjpvcGVuIHNlc2FtZQ"},
	{"used Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== there", "QWxhZGRpbjpvcGVuIHNlc2FtZQ"},
	{"Authorization: Token 9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b", "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b"},
	{"with Token 9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b", "9944b09199c62bcf9418ad846dd0e4bbdfc6ee4b"},
	{"Authorization: Digest username=Mufasa, response=6629fae49393a05397450978507c4ef1", "6629fae49393a05397450978507c4ef1"},
	{rsaKey, "MIIEpAIBAAKCAQEA04up8hoqzS1"},
	{"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAA", "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAA"},
	{"postgres://app:s3cr3t@db:5432/app", "s3cr3t"},
	{"redis://:hunter2@cache:6379", "hunter2"},
	{"amqp://bob:p/w#d@mq/vhost", "p/w#d"},
	{"root:hunter2@tcp(127.0.0.1:3306)/app", "hunter2"},
	{"https://ghtokenabc123456789xyz@host.example/x", "ghtokenabc123456789xyz"},
	{"GET /cb?token=abc123&x=1", "abc123"},
	{"GET /cb?x=1&password=hunter2", "hunter2"},
	{"GET /f?X-Amz-Signature=fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024", "fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024"},
	{`login {"user":"bob","password":"hunter2"} failed`, "hunter2"},
	{`login {"password": "hun\"ter2", "n":1}`, `ter2`},
	{`{'api_key': 'k-123456', 'n': 1}`, "k-123456"},
	{`cut {"user":"bob","password":"hunter2 and more`, "hunter2 and more"},
	{"password=hunter2 user=bob", "hunter2"},
	{"password: hunter2", "hunter2"},
	{"user=bob,password=hunter2,x=1", "hunter2"},
	{"Password = hunter2;Uid=bob", "hunter2"},
	{"Server=db;Uid=me;Pwd=hun;ter2;Database=x", "hun;ter2"},
	{"API key: abcd-1234", "abcd-1234"},
	{"secret => 'hunter2'", "hunter2"},
	{"pin=1234", "1234"},
	{"run --password hunter2 --verbose", "hunter2"},
	{"run --password='hunter 2' -v", "hunter 2"},
	{"curl --user bob:hunter2 https://x", "hunter2"},
	{"<password>hunter2</password>", "hunter2"},
	{`<add key="ClearTextPassword" value="hunter2" />`, "hunter2"},
	{"curl -sS -u bob:hunter2 https://x", "hunter2"},
	{"tok 182314765229501|s6-kbl9t2d964_yonv5kby9vykgjet-hqjy used", "s6-kbl9t2d964_yonv5kby9vykgjet-hqjy"},
	{"tok abcdefgh012345.atlasv1.0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstu used", "0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstu"},
	{`<wsse:Password Type="x">hunter2</wsse:Password>`, "hunter2"},
	{"Cookie: sid=abc123; theme=dark", "abc123"},
	{"Set-Cookie: sid=abc123; Path=/; HttpOnly", "abc123"},
	{`{"key":"password","value":"hunter2"}`, "hunter2"},
	{`{"name": "Authorization", "value": "xyz"}`, "xyz"},
	{`{"value":"hunter2","key":"api_key"}`, "hunter2"},
	{"ALTER USER bob IDENTIFIED BY 'hunter2'", "hunter2"},
	{"CREATE ROLE bob PASSWORD 'hunter2'", "hunter2"},
	{"headers [(b'host', b'x'), (b'authorization', b'Token abc')]", "Token abc"},
	{"swipe %B4111111111111111^DOE/JOHN^2512 ok", "4111111111111111"},
	{"iban DE89370400440532013000 ok", "DE89370400440532013000"},
	{"iban GB82 WEST 1234 5698 7654 32 ok", "GB82 WEST 1234 5698 7654 32"},
	{"ssn 078-05-1123.", "078-05-1123"},
	{"key AKIAIOSFODNN7EXAMPLE used", "AKIAIOSFODNN7EXAMPLE"},
	{"key AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe used", "AIzaSyDaGmWKa4JsXZ-HjGw7ISLn_3namBGewQe"},
	{"tok ghp_16C7e42F292c6912E7710c838347Ae178B4a used", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"},
	{"tok glpat-abcDEF123456_7890xyz used", "glpat-abcDEF123456_7890xyz"},
	{"tok xoxb-123456789012-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx used", "xoxb-123456789012-1234567890123-AbCdEfGhIjKlMnOpQrStUvWx"},
	{"tok sk_live_4eC39HqLyjWDarjtT1zdp7dc used", "sk_live_4eC39HqLyjWDarjtT1zdp7dc"},
	{"tok npm_abcdefghijklmnopqrstuvwxyz0123456789 used", "npm_abcdefghijklmnopqrstuvwxyz0123456789"},
	{"tok 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 used", "TwL2iGABf9DHoTf-09kqeF8tAmbihYzrnopKc-1s5cr"},
	{"tok hvs.CAESIJ1f0Xz7Q2hJ8Qy3b5n9v2LkQ1wE4rT6yU8iO0pA used", "hvs.CAESIJ1f0Xz7Q2hJ8Qy3b5n9v2LkQ1wE4rT6yU8iO0pA"},
	{"tok 110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1 used", "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw1"},
	{"tok MTk4NjIyNDgzNDcxOTI1MjQ4.Cl2FMQ.ZnCjm1XVW7vRze4b7Cq4se7kKWs1 used", "ZnCjm1XVW7vRze4b7Cq4se7kKWs1"},
	{"tok abc8Q~0123456789abcdefghijklmnopqrstuv used", "abc8Q~0123456789abcdefghijklmnopqrstuv"},
	{"POST https://hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX", "XXXXXXXXXXXXXXXXXXXXXXXX"},
	{"tok sk-ant-api03-abcdefghijklmnopqrst used", "sk-ant-api03-abcdefghijklmnopqrst"},
}

// encodings are the ways in which a text gets into another by accident.
var encodings = []struct {
	name   string
	encode func(string) string
}{
	{"as it is", func(s string) string { return s }},
	{"in a sentence", func(s string) string { return "it said: " + s + "\nand went on" }},
	{"in JSON", func(s string) string { return `{"n":1,"msg":` + quoted(s) + `,"ok":true}` }},
	{"in JSON in JSON", func(s string) string { return `{"msg":` + quoted(`{"msg":`+quoted(s)+`}`) + `}` }},
	{"in JSON in JSON in JSON", func(s string) string { return quoted(quoted(quoted(s))) }},
	{"percent-encoded", func(s string) string { return url.QueryEscape(s + "!") }},
	{"percent-encoded twice", func(s string) string { return "/r?to=" + url.QueryEscape("/x?y="+url.QueryEscape(s+"!")) }},
	{"path-escaped", url.PathEscape},
	{"base64", func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }},
	{"base64url in JSON", func(s string) string {
		return `{"body":"` + base64.RawURLEncoding.EncodeToString([]byte(`{"msg":`+quoted(s)+`}`)) + `"}`
	}},
	{"HTML", html.EscapeString},
	{"unicode escapes", func(s string) string {
		var b strings.Builder
		for _, c := range s {
			if c < 0x80 && !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == ' ' || c == '\n') {
				fmt.Fprintf(&b, `\u%04x`, c)
			} else {
				b.WriteRune(c)
			}
		}
		return b.String()
	}},
	{"unicode escapes in JSON in a text", func(s string) string {
		return "got {" + strings.NewReplacer("@", `\\u0040`, "-", `\\u002D`, " ", `\\u0020`).Replace(s) + "}"
	}},
	{"cut off in JSON", func(s string) string { return `{"n":1,"msg":` + strings.TrimSuffix(quoted(s), `"`) }},
}

func quoted(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	return strings.TrimSpace(b.String())
}

func TestNoSeedLeaksInAnyEncoding(t *testing.T) {
	t.Parallel()
	r := compiled(t, "default")
	for _, s := range seeds {
		for _, e := range encodings {
			text := e.encode(s.text)
			got := masked(r, text)
			if contains(got, s.secret) || e.name != "as it is" && contains(got, e.encode(s.secret)) {
				t.Errorf("%s: %q\n became %q", e.name, text, got)
			}
			if again := masked(r, got); again != got {
				t.Errorf("%s: redacting twice: %q\n became %q", e.name, got, again)
			}
		}
	}
}

// lookAlikes must survive as they are.
var lookAlikes = []string{
	"550e8400-e29b-41d4-a716-446655440000", "d41d8cd98f00b204e9800998ecf8427e", "da39a3ee5e6b4b0d3255bfef95601890afd80709",
	"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "2024-05-06T07:08:09.123456789Z", "1714979289",
	"1714979289123", "1714979289123456", "1714979289123456789", "v1.22.333", "1.2.3-rc.1+build.5", "order 4111111111111112",
	"ORD-2024-000123", "/var/log/app/orders-2024-05-06.log", "s3://bucket/2024/05/06/part-00000.parquet",
	"at com.example.App.run(App.java:42)", "user@host", "icon@2x.png", "getty@tty1.service", "name@1.2.3", "@scope/name@1.2.3",
	"golang.org/x/sys@v0.1.0", "com.example.Foo@1a2b3c4d", "token count is 5", "author: bob", "secret santa",
	"password must be 8 characters", "password: must be 8 characters", "authorization: required", "token: expired",
	"invalid token: unexpected end of input", "git@github.com:org/repo.git", "ssh://git@github.com/org/repo",
	"WHERE password = ?", "WHERE password = $1", "password = :password", "password=%s", "password=null",
	`"password":null`, `"password":""`, "has_password=true", "token_type=bearer", "max_tokens=4096", "tokens: 128", "[(b'host', b'x')]", "('name', 'bob')",
	"primary_key=id", "key=value", "sort=desc&page=2", "Bearer token required", "basic auth failed", "Basic Latin letters",
	"bearer of bad news", "0.4111111111111111", "12-34-56", "666-12-3456", "900-12-3456", "123-45-67890", "2024-05-0607",
	"DE89370400440532013001", "GB82 WEST 1234 5698 7654 33", "10.0.12.34", "2001:db8::1", "+442071838750", "00:1A:2B:3C:4D:5E",
	"the_quick_brown_fox_jumps_over_the_lazy_dog", "com.example.orders.internal.OrderServiceImplementation",
	"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
	"aGVsbG8gd29ybGQsIHRoaXMgaXMgb25seSB0ZXh0", "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQswCQYD\n-----END CERTIFICATE-----",
	"-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----", "--verbose --output json", "docker run -u 1000:1000 image", "sort -u file",
	"https://example.com:8080/a@b", "https://example.com/@user/post", "http://[::1]:8080/x", "ratio 1:2:3:4", "12:30:45",
	"x == y && a != b", "a -- b --- c ----", "100% sure %d %s", "caf\u00e9 na\u00efve", "key: user:42", "pinned=true",
	"passenger=anna", "monkey: banana", "compass: north", "Segoe UI Semibold", "<b>bold</b>", "<token/>", "&amp; &lt;b&gt;",
	"sk-learn-pipeline-with-a-long-name", "task-force-one-two-three", "risk-assessment-report-2024-final", "hf_", "AKIA",
	"eyJ", "eyJhbGciOiJIUzI1NiJ9", "user_id=42&session_id=abc", "code=404", "GET /search?key=shoes&code=404", `{"name":"x","value":"y"}`,
	"Cookie: accepted", "cookie consent banner shown", "card ending in 4242", "authorization: digest \nnext", "authorization: bearer \nnext", "curl -u bob: x", "<password></password>", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16",
	"4 8 15 16 23 42", "2222 ms, 3333 ms, 4444 ms", "1.5e+12345678", "0x4111111111111111", "C:\\new\\table",
}

func TestLookAlikesSurvive(t *testing.T) {
	t.Parallel()
	r := compiled(t, "default")
	for _, s := range lookAlikes {
		for _, text := range []string{s, "saw " + s + " here", quoted(s), `{"msg":` + quoted(s) + `}`} {
			if got := masked(r, text); got != text {
				t.Errorf("%q became %q", text, got)
			}
		}
	}
}

func TestNoneLeavesValuesButNotSecretNames(t *testing.T) {
	t.Parallel()
	r := compiled(t, "none")
	for text, want := range map[string]string{
		"jane@example.com 4111111111111111":                                 "jane@example.com 4111111111111111",
		"password=hunter2":                                                  "password=[REDACTED]",
		"key ghp_16C7e42F292c6912E7710c838347Ae178B4a":                      "key ghp_16C7e42F292c6912E7710c838347Ae178B4a",
		"postgres://a:b@c DE89370400440532013000 Bearer abcdef0123456789ab": "postgres://a:b@c DE89370400440532013000 Bearer abcdef0123456789ab",
	} {
		if got := masked(r, text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// TestScanIsLinear feeds what makes careless scanners quadratic: an eighth of a megabyte would take many seconds then.
func TestScanIsLinear(t *testing.T) {
	const size = 1 << 17
	r := compiled(t, "default,phone,ip,mac,us_itin,national_id")
	for _, unit := range []string{
		"@", "a@", "a@b.", "a.b@c.d@", "1", "12", "1234 ", "1234-", "4111 ", "4111111111111111", "eyJ", "eyJhbGciOiJIUzI1NiJ9.",
		"eyJhbGciOiJIUzI1NiJ9", `"password":"`, `"password":"x",`, `\"password\":\"`, `{"key":"password",`, `{"name":"token"}`, "%", "%41", "%40",
		"%3D ", "=", ":", "password=", "password", "a:", "://", "a://b:", "http://a:b", "'", "password '", "\\", `\u0041`, "&", "&lt;", "&amp;&",
		"<", ">", "<password>", "-", "--", "--password ", "-----BEGIN ", "-----BEGIN PRIVATE KEY", "-----END PRIVATE KEY-----",
		"Bearer ", "bearer a", "basic YTpi ", "b", "GB82 ", "GB82WEST", "GB82 WEST 1234 ", "aGVsbG8gd29y/", "aGVsbG8gd29ybGQg", "aaaa/", "_", "a_", "sk-", "ghp_", "-AKIA",
		"SG.", "a.", "Q~", "8Q~", "{", "[", "token=[", "token={\"", "(", "+1", "(1", "::", "a:b:", "Cookie: a=", "authorization: digest ", "1.1.", "x,y=", "token=a,b,c,d,", "\x80", "\xff", "é", "[REDACTED]", "password=[REDACTED]", "=a&", "?code=", "eyJ-", "cookie: ", "cookie: a", "token: expired ", "authorization: bearer ", "-----BEGIN RSA PRIVATE KEY-----", "<!--", "password:\"", "password: \" ", "a:b@", ":@", "a:a", "passphrase: a ", "password is ", "password for ", "password ", "key is ", "is 1234 ", "mysql -p", " -p", "-p\"", "mysql -p'", `("token", "`, `("token",`, "key=a1", "key=\"a1",
	} {
		text := []byte(strings.Repeat(unit, size/len(unit)))
		took := func(v []byte) time.Duration {
			begun := time.Now()
			r.Scan(nil, v)
			return time.Since(begun)
		}
		// Slow, or on a slow machine? Four times the text may take four times as long, and not sixteen, at least once.
		var whole, quarter time.Duration
		for range 4 {
			if whole = took(text); whole <= 4*time.Second {
				break
			}
			if quarter = took(text[:len(text)/4]); whole <= 10*quarter {
				break
			}
		}
		if whole > 4*time.Second && whole > 10*quarter {
			t.Errorf("%q repeated to 128 KiB took %v, a quarter of it %v", unit, whole, quarter)
		}
		ms := r.Scan(nil, text)
		checkMatches(t, text, ms)
	}
}

func checkMatches(t *testing.T, text []byte, ms []Match) {
	t.Helper()
	end := 0
	for _, m := range ms {
		if m.Start < end || m.End <= m.Start || m.End > len(text) || m.Detector >= detectorCount {
			t.Fatalf("match %+v after %d in %d bytes", m, end, len(text))
		}
		end = m.End
	}
}

// An address longer than is looked at, of characters of two to four bytes, at every distance from the limits.
func TestNoCharacterIsCut(t *testing.T) {
	t.Parallel()
	r := compiled(t, "default,national_id")
	for _, c := range []string{"é", "本", "\ufffd", "𝒶"} {
		many := strings.Repeat(c, maxDomain)
		for pad := range 8 {
			x := strings.Repeat("x", pad)
			if got := masked(r, c+strings.Repeat("y", maxLocal-len(c)+1+pad)+"@mail.example"); !utf8.ValidString(got) {
				t.Errorf("%q with %d letters became %q", c, pad, got)
			}
			if got := masked(r, c+strings.Repeat("y", maxLocal-pad)+"@mail.example"); !utf8.ValidString(got) {
				t.Errorf("%q with %d letters less became %q", c, pad, got)
			}
			for _, text := range []string{
				many + x + "@mail.example", many + x + "8@mail.example", "bob@" + x + many, "bob@a." + x + many, "bob@a.b" + x + "." + many,
				"password=" + many + x + many, "password: '" + x + many, "Bearer " + x + many, "https://bob:" + x + many + "@host/",
			} {
				if got := masked(r, text); !utf8.ValidString(got) {
					t.Errorf("%q\n became %q", text, got)
				}
			}
		}
	}
}

func FuzzScan(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s.text))
	}
	for _, s := range lookAlikes {
		f.Add([]byte(s))
	}
	f.Add([]byte("+1100000 00100000 41111111 11111111"))              // numbers that share digits
	f.Add([]byte("4111111111111111d11111111"))                        // the hash of something
	f.Add([]byte("4111111111111111D25121010"))                        // the second track of a stripe
	f.Add([]byte("::0:X@0:0 ::0:!::0!@0:0"))                          // two that show once others are masked
	f.Add([]byte(strings.Repeat("\ufffd", maxLocal/2) + "8@mail.ex")) // a limit within a character
	r, usual := compiled(f, "default,phone,ip,mac,us_itin,national_id"), compiled(f, "default,mac,us_itin")
	f.Fuzz(func(t *testing.T, text []byte) {
		var p Replacer
		checkMatches(t, text, r.Scan(nil, text))
		checkGlance(t, usual, text)
		ms := p.Find(r, nil, text)
		checkMatches(t, text, ms)
		once := AppendMasked(nil, text, ms)
		if utf8.Valid(text) && !utf8.Valid(once) {
			t.Fatalf("%q became %q: a character was cut", text, once)
		}
		if again := r.Scan(nil, once); len(again) > 0 {
			t.Fatalf("%q became %q, and then %q", text, once, AppendMasked(nil, once, again))
		}
		r.SecretName(text)
		r.Path(text)
		if len(ms) == 0 && string(once) != string(text) {
			t.Fatalf("no match, but another text")
		}
	})
}

// checkGlance fails if reading all of a text, byte by byte, finds something that the quick way leaves out.
func checkGlance(t testing.TB, r *Rules, text []byte) {
	t.Helper()
	whole := scan{r: r, text: text}
	whole.runAll()
	if got := r.Scan(nil, text); !slices.Equal(got, whole.ms) {
		t.Fatalf("%q: %v, but block by block %v", text, got, whole.ms)
	}
}

// runAll is run with a look at every block.
func (s *scan) runAll() {
	for i := 0; i < len(s.text); {
		var m uint64
		for k, c := range s.text[i:min(i+8, len(s.text))] {
			m |= s.r.triggers[c] << k
		}
		next := i + 8
		if uint8(m>>atToken) == 0xff && i >= s.tokenEnd {
			next = max(next, s.token(i))
		}
		if next == i+8 {
			next = s.block(i, m)
		}
		i = next
	}
}

// Words, numbers and signs in every order, so that whatever a glance passes over is met.
func TestAGlanceOverlooksNothing(t *testing.T) {
	const texts = 300_000
	pieces := []string{
		"4111111111111111", "4111", "1111", "378282246310005", "078-05-1120", "078", "05", "1120", "DE89", "3704", "0044", "5c9f02ab", "ey", "ab",
		"AC", "SK", "4b1d", "00", "fc-", "da2-", "e2b_", "dead", "beef", "usr", "is ", "code ", "pin ", "%B", "\\n", "\\t", "\\", "Bearer ", "be", "ke",
		"-", "_", " ", ".", "/", ":", "=", "%", "+", "a", "Z", "é", "5", "77", "0049e26e-9633-45a0-a143-0918ae024d45", "33c012cdf54bb58d",
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	each := []*Rules{compiled(t, "default"), compiled(t, "none"), compiled(t, "default,phone,ip,mac,us_itin,national_id")}
	var text []byte
	for range texts {
		text = text[:0]
		for range 1 + rnd.IntN(6) {
			text = append(text, pieces[rnd.IntN(len(pieces))]...)
		}
		for _, r := range each {
			checkGlance(t, r, text)
		}
	}
	checkGlance(t, each[0], []byte("bf202d55733f3829d422b16f3257")) // a hash to look at, and an IBAN of Burkina Faso
	for range texts {                                               // what an identifier may look like
		text = text[:0]
		for range 8 + rnd.IntN(40) {
			text = append(text, "0123456789abcdef-"[rnd.IntN(16+rnd.IntN(2))])
		}
		checkGlance(t, each[0], text)
	}
}

// What is left of a text that was a secret as a whole is not read again.
func TestAMaskAloneIsClean(t *testing.T) {
	if ms := compiled(t, "default,phone,ip,mac,us_itin,national_id").Scan(nil, []byte(Mask)); len(ms) != 0 {
		t.Fatal(ms)
	}
}
