package pipeline

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/pipeline/redact"
)

// A redactionSeed is a secret as somebody wrote it into a text. testdata/redaction/README.md describes the files.
type redactionSeed struct {
	ID       string
	Detector string
	Or       []string // detectors that may find it as well, in some encodings
	Text     string   // "{}" is where the secret stands
	Name     string   // or the name of the secret, which stands in shapesOfNames
	Secret   []string // in parts, so that no scanner of sources takes it for a live one
}

func readLines[T any](t *testing.T, name string) (vs []T) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "redaction", name))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(data) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%s: %v in %s", name, err, line)
		}
		vs = append(vs, v)
	}
	return vs
}

// redactionSeeds returns the seeds of both files, those of names once in each shape.
func redactionSeeds(t *testing.T) []redactionSeed {
	seeds := readLines[redactionSeed](t, "seeds.ndjson")
	for _, n := range readLines[redactionSeed](t, "names.ndjson") {
		for _, shape := range shapesOfNames {
			s := n
			s.ID += " " + shape.name
			s.Text = strings.ReplaceAll(shape.text, "NAME", n.Name)
			s.Or = []string{"url_parameter"}
			seeds = append(seeds, s)
		}
	}
	return seeds
}

// shapesOfNames are the ways in which JSON says what a value is called.
var shapesOfNames = []struct{ name, text string }{
	{"member", `{"NAME":"{}"}`},
	{"member below", `{"a":{"b":[{"NAME":"{}"}]},"c":1}`},
	{"array below", `{"NAME":["x","{}"]}`},
	{"object below", `{"NAME":{"v":{"w":"{}"}},"z":0}`},
	{"member twice", `{"NAME":"{}","n":1,"NAME":"{}"}`},
	{"escaped name", `{"\u0061b":1,"NAME" : "{}"}`},
	{"pair", `{"list":[{"name":"NAME","value":"{}"}]}`},
	{"pair reversed", `{"value":"{}","key":"NAME"}`},
	{"pair of a change", `{"field":"NAME","old_value":"{}","new_value":"{}"}`},
	{"pair among many members", `{"key":"NAME","a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":10,"k":11,"l":12,"m":13,"o":14,"p":15,"value":"{}"}`},
	{"list of pairs", `{"raw":[["Accept","*/*"],["NAME","{}"]]}`},
	{"flat list of headers", `{"headers":["Host","shop","NAME","{}"]}`},
	{"arguments", `{"argv":["load","--NAME","{}","-v"]}`},
	{"argument", `{"argv":["load","--NAME={}","-v"]}`},
	{"environment", `{"env":["HOME=/root","NAME={}"]}`},
}

// encodingsOfText are the ways in which a text gets into another by accident.
var encodingsOfText = []struct {
	name   string
	encode func(string) string
}{
	{"plain", func(s string) string { return s }},
	{"JSON in it", func(s string) string { return `got {"n":1,"m":` + jsonString(s) + `} back` }},
	{"JSON", func(s string) string { return `{"m":` + jsonString(s) + `}` }},
	{"JSON twice", func(s string) string { return `{"m":` + jsonString(`{"m":`+jsonString(s)+`}`) + `}` }},
	{"JSON three times", func(s string) string { return jsonString(jsonString(`[` + jsonString(s) + `]`)) }},
	{"JSON four times in text", func(s string) string { return "> " + jsonString(jsonString(jsonString(jsonString(s)))) }},
	{"JSON cut off", func(s string) string { return `{"n":1,"m":` + strings.TrimSuffix(jsonString(s), `"`) }},
	{"all \\u", unicodeEscaped16},
	{"all \\u twice", func(s string) string { return unicodeEscaped16(unicodeEscaped16(s)) }},
	{"signs \\u", func(s string) string { return mapSigns(s, func(c rune) string { return fmt.Sprintf(`\u%04X`, c) }) }},
	{"signs \\x", func(s string) string { return mapSigns(s, func(c rune) string { return fmt.Sprintf(`\x%02x`, c) }) }},
	{"all \\x", func(s string) string { return mapBytes(s, `\x%02X`) }},
	{"escaped slashes", func(s string) string { return strings.ReplaceAll(s, "/", `\/`) }},
	{"escaped quotes", func(s string) string { return escapeQuotes(s) }},
	{"escaped quotes twice", func(s string) string { return escapeQuotes(escapeQuotes(s)) }},
	{"surrogates around", func(s string) string { return `\ud83d\ude00 ` + s + ` \uD83D\uDE00` }},
	{"percent", url.QueryEscape},
	{"percent twice", func(s string) string { return url.QueryEscape(url.QueryEscape(s)) }},
	{"percent for paths", func(s string) string { return "/p/" + url.PathEscape(s) }},
	{"percent of all", func(s string) string { return mapBytes(s, "%%%02x") }},
	{"query in a query", func(s string) string { return "/a?n=1&to=" + url.QueryEscape("/b?x="+url.QueryEscape(s)+"&y=2") }},
	{"base64", func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }},
	{"base64url", func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }},
	{"base64 twice", func(s string) string {
		return base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(s))))
	}},
	{"base64 of JSON", func(s string) string {
		return "payload=" + base64.StdEncoding.EncodeToString([]byte(`{"m":`+jsonString(s)+`}`))
	}},
	{"base64 in lines", base64Lines},
	{"base64, percent", func(s string) string { return "d=" + url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(s))) }},
	{"HTML", html.EscapeString},
	{"HTML of all", func(s string) string { return mapRunes(s, func(c rune) string { return fmt.Sprintf("&#%d;", c) }) }},
	{"HTML of signs", func(s string) string { return mapSigns(s, func(c rune) string { return fmt.Sprintf("&#x%x;", c) }) }},
	{"HTML, percent", func(s string) string { return url.QueryEscape(html.EscapeString(s)) }},
	{"quoted-printable", quotedPrintable},
	{"quoted-printable, cut", broken},
	{"NUL between", func(s string) string { return strings.Join(strings.Split(s, ""), "\x00") }},
}

func jsonString(s string) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)
	return strings.TrimSpace(b.String())
}

func mapRunes(s string, f func(rune) string) string {
	var b strings.Builder
	for _, c := range s {
		b.WriteString(f(c))
	}
	return b.String()
}

func mapSigns(s string, f func(rune) string) string {
	return mapRunes(s, func(c rune) string {
		if c < 0x80 && !isLetter(byte(c)) && (c < '0' || c > '9') && c != ' ' {
			return f(c)
		}
		return string(c)
	})
}

func mapBytes(s, format string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

func unicodeEscaped16(s string) string {
	var b strings.Builder
	for _, c := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, `\u%04x`, c)
	}
	return b.String()
}

func escapeQuotes(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s)
}

func base64Lines(s string) string {
	e := base64.StdEncoding.EncodeToString([]byte("From the archive of all our letters: " + s))
	var lines []string
	for len(e) > 76 {
		lines, e = append(lines, e[:76]), e[76:]
	}
	return strings.Join(append(lines, e), "\r\n")
}

func quotedPrintable(s string) string {
	s = "x=3D1 " + strings.ReplaceAll(mapRunes(s, func(c rune) string {
		switch {
		case c == '=' || c == '@' || c >= 0x80:
			return mapBytes(string(c), "=%02X")
		}
		return string(c)
	}), "\n", "=0A")
	return "soft=\r\n line, " + s
}

// broken cuts a text with soft line breaks, anywhere.
func broken(s string) string {
	s = quotedPrintable(s)
	for n := len(s) - 5; n > 30; n -= 41 {
		if s[n-1] != '=' && s[n-2] != '=' {
			s = s[:n] + "=\r\n" + s[n:]
		}
	}
	return s
}

// positionsOfText are the places of a line in which a text can stand. want is a text that the document must show where
// nothing is secret; path is that of the document's field.
var positionsOfText = []struct {
	name, path string
	line       func(s string) string
}{
	{"value", "details.a", func(s string) string { return `{"a":` + jsonString(s) + `}` }},
	{"value, all escaped", "details.a", func(s string) string { return `{"a":"` + unicodeEscaped16(s) + `"}` }},
	{"value, slashes escaped", "details.a", func(s string) string {
		return `{"a":` + strings.ReplaceAll(jsonString(s), "/", `\/`) + `}`
	}},
	{"name", "", func(s string) string { return `{"a":{` + jsonString(s) + `:true}}` }},
	{"name of an object", "", func(s string) string { return `{` + jsonString(s) + `:{"b":[true]}}` }},
	{"line", "", oneLine},
	{"element", "details.a.1", func(s string) string { return `{"a":[1,` + jsonString(s) + `,null]}` }},
	{"begin of the message", "description", func(s string) string { return `{"msg":` + jsonString(s+" and that was all") + `,"level":"info"}` }},
	{"inside the message", "description", func(s string) string { return `{"msg":` + jsonString("it said: "+s+" (twice)") + `,"level":"info"}` }},
	{"end of the message", "description", func(s string) string { return `{"message":` + jsonString("saw "+s) + `}` }},
	{"header", "headers.X-Note", func(s string) string {
		return `{"kind":"api_transaction","method":"GET","headers":{"X-Note":` + jsonString(s) + `}}`
	}},
	{"user agent", "user_agent", func(s string) string { return `{"kind":"auth_event","user_agent":` + jsonString(s) + `}` }},
	{"endpoint", "endpoint", func(s string) string {
		return `{"kind":"api_transaction","method":"GET","endpoint":` + jsonString(s) + `}`
	}},
	{"query", "query_params.q", func(s string) string {
		return `{"kind":"data_access","table_name":"t","query_params":{"q":` + jsonString(s) + `}}`
	}},
	{"stack trace", "stack_trace", func(s string) string {
		return `{"level":"error","msg":"x","stack_trace":` + jsonString("boom\n\tat a.b(C.java:1)\n"+s) + `}`
	}},
	{"tags", "tags.0", func(s string) string { return `{"msg":"x","tags":[` + jsonString(s) + `,"y"]}` }},
	{"new values", "new_values.n", func(s string) string {
		return `{"table_name":"t","old_values":{"n":"o"},"new_values":{"n":` + jsonString(s) + `}}`
	}},
	{"old values", "old_values.n", func(s string) string {
		return `{"table_name":"t","old_values":{"n":` + jsonString(s) + `},"new_values":{"m":1}}`
	}},
	{"name of a changed field", "", func(s string) string {
		return `{"old_values":{` + jsonString(s) + `:true},"new_values":{` + jsonString(s) + `:false}}`
	}},
	{"activity type", "activity_type", func(s string) string { return `{"activity_type":` + jsonString(s) + `}` }},
	{"details", "details.a", func(s string) string { return `{"details":{"a":` + jsonString(s) + `},"a":1}` }},
	{"beside details", "details.line_a", func(s string) string { return `{"details":{"a":1},"a":` + jsonString(s) + `}` }},
	{"member twice", "details.a", func(s string) string { return `{"a":` + jsonString(s) + `,"b":1,"a":` + jsonString(s) + `}` }},
	{"no object", "details.value.0", func(s string) string { return `[` + jsonString(s) + `]` }},
	{"broken JSON", "description", func(s string) string { return `{"a":` + jsonString(s) + `,"b":` }},
	{"broken JSON, all escaped", "description", func(s string) string { return `{"a":"` + unicodeEscaped16(s) + `","b":` }},
	{"JSON cut off", "description", func(s string) string { return `{"a":` + strings.TrimSuffix(jsonString(s), `"`) }},
	{"JSON with text behind", "description", func(s string) string { return `{"a":` + jsonString(s) + `} trailing` }},
	{"text", "description", func(s string) string { return "2026-11-24 10:00:00 INFO " + oneLine(s) + " done" }},
	{"Docker", "details.a", func(s string) string {
		return `{"log":` + jsonString(`{"a":`+jsonString(s)+"}\n") + `,"stream":"stdout","time":"2026-11-24T11:00:00Z"}`
	}},
	{"Docker, text", "description", func(s string) string {
		return `{"log":` + jsonString("-> "+s+" <-\n") + `,"stream":"stderr","time":"2026-11-24T11:00:00Z"}`
	}},
	{"Docker, in two", "description", func(s string) string {
		s = "-> " + s + " <-"
		n := len(s) / 2
		for n > 0 && (s[n]&0xc0 == 0x80 || s[n-1] == '\n') { // a newline at the end says that the line is whole
			n--
		}
		return `{"log":` + jsonString(s[:n]) + `,"stream":"stdout","time":"2026-11-24T11:00:00Z"}` + "\n" +
			`{"log":` + jsonString(s[n:]+"\n") + `,"stream":"stdout","time":"2026-11-24T11:00:00Z"}`
	}},
	{"CRI", "description", func(s string) string { return "2026-11-24T11:00:00Z stdout F = " + oneLine(s) }},
	{"CRI, in three", "description", func(s string) string {
		s = "= " + oneLine(s)
		return "2026-11-24T11:00:00Z stderr P " + s[:len(s)/3] + "\n2026-11-24T11:00:00Z stdout F other\n" +
			"2026-11-24T11:00:01Z stderr P " + s[len(s)/3:len(s)*2/3] + "\n2026-11-24T11:00:02Z stderr F " + s[len(s)*2/3:]
	}},
}

// oneLine is what a logger makes of a text of several lines.
func oneLine(s string) string { return strings.NewReplacer("\n", `\n`, "\r", `\r`).Replace(s) }

// deep puts a JSON line below objects and arrays.
func deep(line string, levels int) string {
	for n := range levels {
		if n%3 == 2 {
			line = `[0,` + line + `]`
		} else {
			line = `{"d":` + line + `}`
		}
	}
	return line
}

// A redactionBench converts lines one by one.
type redactionBench struct {
	p    *Pipeline
	b    Batch
	find redact.Replacer
}

func newRedactionBench(t testing.TB) *redactionBench {
	return &redactionBench{p: newPipeline(t, DefaultConfig())}
}

// process returns the documents of a line, and how many removals there were.
func (x *redactionBench) process(t testing.TB, line string) (docs []map[string]any, removed int) {
	t.Helper()
	x.p.Process(cutLines(t, line+"\n", &Stream{Path: "/x"}), 1, testTime, &x.b)
	for _, n := range x.b.Redactions {
		removed += int(n)
	}
	return documents(t, &x.b), removed
}

// shown calls f for every string of the documents that comes from the line.
func shown(docs []map[string]any, f func(string)) {
	for _, doc := range docs {
		for k, v := range doc {
			switch k {
			case "id", "@timestamp", "created_at", "log", "integrity":
				continue
			}
			f(k)
			eachString(v, f)
		}
	}
}

// reveal calls f for a text and everything that can be read out of it.
func reveal(s string, depth int, seen map[string]bool, f func(string)) {
	if seen[s] {
		return
	}
	seen[s] = true
	f(s)
	if depth == 0 {
		return
	}
	next := func(d string) {
		if d != s {
			reveal(d, depth-1, seen, f)
		}
	}
	next(plainSigns(s))
	if strings.Contains(s, `\`) {
		next(escapes.ReplaceAllStringFunc(s, unescaped))
	}
	if strings.Contains(s, "%") {
		d := percents.ReplaceAllStringFunc(s, byteOf)
		next(d)
		next(strings.ReplaceAll(d, "+", " "))
	}
	if strings.Contains(s, "&") {
		next(html.UnescapeString(s))
	}
	if strings.Contains(s, "=") {
		next(printables.ReplaceAllStringFunc(s, byteOf))
	}
	for _, run := range sextets.FindAllString(strings.NewReplacer("\r", "", "\n", "").Replace(s), -1) {
		run = strings.NewReplacer("-", "+", "_", "/").Replace(run)
		if d, _ := base64.RawStdEncoding.DecodeString(run); len(d) > 6 {
			next(string(d))
		}
	}
}

var (
	escapes    = regexp.MustCompile(`\\u[0-9a-fA-F]{4}|\\x[0-9a-fA-F]{2}|\\.`)
	percents   = regexp.MustCompile(`%[0-9a-fA-F]{2}`)
	printables = regexp.MustCompile(`=[0-9A-F]{2}|=\r\n`)
	sextets    = regexp.MustCompile(`[A-Za-z0-9+/_-]{12,}`)
)

func unescaped(e string) string {
	switch {
	case len(e) == 6 && e[1] == 'u':
		return mustUnquote(`"` + e + `"`)
	case len(e) == 4 && e[1] == 'x':
		return byteOf(e[1:])
	case e[1] == 'n':
		return "\n"
	}
	return e[1:]
}

func mustUnquote(s string) (u string) {
	if json.Unmarshal([]byte(s), &u) != nil {
		return s
	}
	return u
}

func byteOf(e string) string {
	var c byte
	if _, err := fmt.Sscanf(e[1:], "%02x", &c); err != nil {
		return "" // a soft line break
	}
	return string([]byte{c})
}

// plainSigns takes away what cannot be seen, and makes full-width signs ordinary ones.
func plainSigns(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == 0, c == 0xad, c >= 0x200b && c <= 0x200f, c >= 0x2060 && c <= 0x2064, c == 0xfeff:
			return -1
		case c >= 0xff01 && c <= 0xff5e:
			return c - 0xff01 + '!'
		}
		return c
	}, s)
}

// needles are the parts of a secret that must not be seen: any eight bytes of it, in its own and in plain writing.
func needles(secret string) []string {
	var ns []string
	unescaped, err := url.PathUnescape(secret)
	if err != nil {
		unescaped = secret
	}
	for _, s := range []string{secret, plainSigns(secret), unescaped} {
		if len(s) <= 8 {
			ns = append(ns, s)
			continue
		}
		for i := range len(s) - 7 {
			if n := s[i : i+8]; !strings.Contains(n, "\n") {
				ns = append(ns, n)
			}
		}
	}
	slices.Sort(ns)
	return slices.Compact(ns)
}

// checkGone checks one line with a secret in it.
func (x *redactionBench) checkGone(t *testing.T, s *redactionSeed, path, line string) (ok bool) {
	t.Helper()
	docs, removed := x.process(t, line)
	var complaints []string
	complain := func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }
	ns := needles(strings.Join(s.Secret, ""))
	seen := map[string]bool{}
	shown(docs, func(text string) {
		reveal(text, 4, seen, func(text string) {
			for _, n := range ns {
				if strings.Contains(text, n) {
					complain("%q is left in %q", n, text)
					return
				}
			}
		})
		if ms := x.find.Find(x.p.rec.rules, nil, []byte(text)); len(ms) > 0 && !json.Valid([]byte(text)) {
			complain("redacting again finds %v in %q", ms, text)
		}
	})
	if removed == 0 {
		complain("nothing is counted")
	}
	listed, right := "", false
	for _, doc := range docs {
		list, _ := doc["redacted"].([]any)
		for _, e := range list {
			m, _ := e.(map[string]any)
			listed += fmt.Sprint(m["path"], " by ", m["detector"], "; ")
			d := m["detector"].(string)
			p := m["path"].(string)
			right = right || (d == s.Detector || slices.Contains(s.Or, d) || d == "limit" || d == "vendor_token") && (p == path || strings.HasPrefix(p, path+".") || path == "")
		}
	}
	if !right {
		complain("redacted lists %q, want %s by %s", listed, path, s.Detector)
	}
	if len(complaints) > 0 {
		slices.Sort(complaints)
		t.Errorf("%s\n from %s\n%s", strings.Join(slices.Compact(complaints)[:min(3, len(complaints))], "\n"), line, x.b.Doc(0))
	}
	return len(complaints) == 0
}

// sampled calls f for a part of n numbers, always the same part; for all of them in a soak.
func sampled(t *testing.T, n, want int, f func(i int)) {
	const seed = 5
	if testenv.Soak() || n <= want {
		for i := range n {
			f(i)
		}
		return
	}
	t.Logf("%d of %d, with seed %d", want, n, seed)
	r := rand.New(rand.NewPCG(seed, 1))
	for range want {
		f(r.IntN(n))
	}
}

// TestRedactionCorpus: no secret of the corpus is seen, in whatever encoding and wherever it stands.
func TestRedactionCorpus(t *testing.T) {
	t.Parallel()
	seeds := redactionSeeds(t)
	x := newRedactionBench(t)
	one := func(i, levels int) {
		s := &seeds[i%len(seeds)]
		i /= len(seeds)
		e := &encodingsOfText[i%len(encodingsOfText)]
		p := &positionsOfText[i/len(encodingsOfText)]
		secret := strings.Join(s.Secret, "")
		text := e.encode(strings.ReplaceAll(s.Text, "{}", secret))
		line, path := p.line(text), p.path
		if levels > 0 && json.Valid([]byte(line)) && !strings.HasPrefix(p.name, "Docker") {
			line, path = deep(line, levels), ""
		}
		if !x.checkGone(t, s, path, line) {
			t.Logf("seed %s, %s, %s, %d levels", s.ID, e.name, p.name, levels)
		}
	}
	all := len(seeds) * len(encodingsOfText) * len(positionsOfText)
	sampled(t, all, 1500, func(i int) { one(i, 0) })
	sampled(t, all, 500, func(i int) { one(i, 1+i%20) })
}

// TestRedactionLookAlikes: what only looks like a secret stays to the byte, in the same encodings and places.
func TestRedactionLookAlikes(t *testing.T) {
	t.Parallel()
	texts := readLines[struct{ Text string }](t, "lookalikes.ndjson")
	x := newRedactionBench(t)
	all := len(texts) * len(encodingsOfText) * len(positionsOfText)
	sampled(t, all, 2000, func(i int) {
		text := texts[i%len(texts)].Text
		i /= len(texts)
		e := &encodingsOfText[i%len(encodingsOfText)]
		p := &positionsOfText[i/len(encodingsOfText)]
		if e.name == "quoted-printable, cut" {
			return // of a placeholder half the sign is no placeholder
		}
		line := p.line(e.encode(text))
		docs, removed := x.process(t, line)
		if removed > 0 || !showsAll(docs, line) {
			t.Errorf("%q, %s, %s: changed\n from %s\n%s", text, e.name, p.name, line, x.b.Doc(0))
		}
	})
}

// showsAll reports whether documents have every string of a line that is JSON, or the text of another one.
func showsAll(docs []map[string]any, line string) bool {
	have := map[string]bool{}
	shown(docs, func(s string) { have[strings.ReplaceAll(s, "\x00", `\u0000`)] = true })
	var v any
	if json.Unmarshal([]byte(line), &v) != nil || strings.Contains(line, `"log":`) || len(docs) != 1 {
		return true
	}
	ok := true
	eachString(v, func(s string) {
		_, isKind := activity.ParseKind([]byte(s))
		ok = ok && (isKind || have[strings.ReplaceAll(s, "\x00", `\u0000`)] || docs[0]["truncated"] == true || s == "msg" || s == "message" || s == "level" || s == "kind" || s == "info")
	})
	return ok
}
