package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"html"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/truledgr/activity-agent/internal/testenv"
)

// redactions are configurations of pipeline.redact under which every default detector works on every field.
func redactions() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		actions := []string{"mask", "partial", "hash", "drop"}
		parts := []string{
			"hash_key: " + hashKey,
			"action: " + rapid.SampledFrom(actions).Draw(t, "action"),
			"identity: " + rapid.SampledFrom([]string{"keep", "hash"}).Draw(t, "identity"),
		}
		var rules []string
		for range rapid.IntRange(0, 3).Draw(t, "rules") {
			what := rapid.SampledFrom([]string{
				"detect: [email]", "detect: [payment_card, iban]", "detect: [jwt], kinds: [system_event]", "detect: [phone]",
				"fields: [foo]", "fields: [details.*.items], kinds: [activity, data_change]", "fields: [\"*_key\"], detect: [url_password]",
			}).Draw(t, "what")
			rules = append(rules, fmt.Sprintf("{%s, action: %s}", what, rapid.SampledFrom(actions).Draw(t, "rule")))
		}
		parts = append(parts, "rules: ["+strings.Join(rules, ", ")+"]")
		if rapid.IntRange(0, 4).Draw(t, "strict") == 0 {
			parts = append(parts, "only: [message, msg, description, details, foo, new_values]")
		}
		return "{" + strings.Join(parts, ", ") + "}"
	})
}

// hashKey is the key of pseudonyms in every configuration.
const hashKey = "swordfish-k3y-of-pseudonyms"

// TestWhatLinesBecomeHoldsNoSecret draws lines with secrets at random places in random encodings, and looks for them in
// what the pipeline makes of them under random configurations, and in its explanation.
func TestWhatLinesBecomeHoldsNoSecret(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(4 * time.Second)
	if testenv.Soak() {
		end = time.Now().Add(5 * time.Minute)
	}
	s := newSite(t, "sqlite", "")
	for checks := 0; time.Now().Before(end) && !t.Failed(); checks++ {
		rapid.Check(t, func(rt *rapid.T) {
			if time.Now().After(end) {
				return
			}
			s.configure("pipeline: {redact: " + redactions().Draw(rt, "redact") + "}")
			lines := rapid.SliceOfN(samples(), 1, 8).Draw(rt, "lines")
			var in bytes.Buffer
			var hidden []string
			for _, l := range lines {
				in.WriteString(l.lines)
				hidden = append(hidden, l.hidden...)
			}
			for _, form := range []string{"--json=true", "--json=false"} {
				code, out, errs := call(t, in.String(), "test", "-c", s.config, form)
				if code != 0 {
					rt.Fatalf("exit %d: %s", code, errs)
				}
				if found := leaked([]byte(out+errs), append(hidden, hashKey)); found != "" {
					rt.Fatalf("%s\n%s", found, in.Bytes())
				}
			}
		})
	}
}

// leaked looks for secrets in something written or said: as they are, and below every encoding that they were planted in.
// It returns what it found, "" for nothing.
func leaked(b []byte, hidden []string) string {
	for _, view := range views(b) {
		if found := shown(view, hidden); found != "" {
			return found
		}
	}
	return ""
}

// shown looks for secrets as they are. The index of full text holds words in lower case.
func shown(b []byte, hidden []string) string {
	lower := bytes.ToLower(b)
	for _, h := range hidden {
		if i := bytes.Index(lower, []byte(strings.ToLower(h))); i >= 0 {
			i = min(i, len(b)) // lower case may be longer
			return fmt.Sprintf("%q is in …%q…", h, b[max(0, i-100):min(len(b), i+len(h)+40)])
		}
	}
	return ""
}

// views are a text, and what it becomes as one layer of encoding after another is taken off.
func views(b []byte) [][]byte {
	out := [][]byte{b}
	for range 5 {
		next := decoded(b)
		if bytes.Equal(next, b) {
			break
		}
		out = append(out, next)
		b = next
	}
	return out
}

// decoded takes one layer of escapes, entities, percent signs, backslashes and base64 off, wherever there are any.
func decoded(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); {
		switch from := i; {
		case b[i] == '\\':
			for i < len(b) && b[i] == '\\' {
				i++
			}
			if i < len(b) && b[i] == 'u' {
				out, i = appendHex(out, b, i, i+1, 4)
			}
		case b[i] == '%':
			out, i = appendHex(out, b, i, i+1, 2)
		case isBase64(b[i]):
			for i < len(b) && isBase64(b[i]) {
				i++
			}
			out = append(out, b[from:i]...)
			if i-from >= 16 {
				out = appendBase64(out, string(b[from:i]))
			}
		default:
			out = append(out, b[i])
			i++
		}
	}
	return []byte(html.UnescapeString(string(out)))
}

// appendHex decodes n hexadecimal digits at a place, or takes the byte at i as it is where there are none.
func appendHex(out, b []byte, i, at, n int) ([]byte, int) {
	if at+n <= len(b) {
		if code, err := strconv.ParseUint(string(b[at:at+n]), 16, 32); err == nil {
			return utf8.AppendRune(out, rune(code)), at + n
		}
	}
	return append(out, b[i]), i + 1
}

func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '+' || c == '/' || c == '-' || c == '_'
}

// appendBase64 decodes a text from each of its first four signs on: of one, a part may remain.
func appendBase64(out []byte, text string) []byte {
	text = strings.NewReplacer("-", "+", "_", "/").Replace(text)
	for from := range 4 {
		plain, _ := base64.RawStdEncoding.DecodeString(text[from:])
		out = append(append(out, ' '), plain...)
	}
	return out
}

// TestTheSearchFindsWhatIsHidden: the search for leaks sees through every encoding that secrets are planted in.
func TestTheSearchFindsWhatIsHidden(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		p := carriers().Draw(rt, "carrier")
		for _, h := range p.hidden {
			if leaked([]byte("x "+quoted(p.text)+" y"), []string{h}) == "" {
				rt.Fatalf("%q is not found in %q", h, p.text)
			}
		}
	})
}
