package ingest

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
)

const ndjson = "application/x-ndjson"

func TestEachRouteSetsItsKind(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for route, kind := range kindByRoute {
		for _, slash := range []string{"", "/"} {
			a := b.post(route+slash, `{"activity_type":"x","user_id":"u"}`)
			if a.status != http.StatusAccepted || len(a.IDs) != 1 {
				t.Fatalf("%s: %d %s", route, a.status, a.body)
			}
			if kind == activity.NoKind {
				kind = activity.Plain
			}
			docs := b.documents()
			if doc := docs[len(docs)-1]; !strings.Contains(doc, `"kind":"`+kind.String()+`"`) || !strings.Contains(doc, *a.IDs[0]) {
				t.Errorf("%s: %s", route, doc)
			}
			kind = kindByRoute[route]
		}
	}
	if a := b.post("/v1/data-access", `{"kind":"auth_event"}`); a.status != http.StatusUnprocessableEntity || a.Errors[0].Pointer != "/kind" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestOneManyAndLines(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	for _, tt := range []struct {
		body, typ string
		want      int
	}{
		{`{"n":1}`, "application/json", 1},
		{" \n[ {\"n\":\"],[}{\\\"\"} ,\t{\"n\":[1,{\"a\":[]}]}\r\n,{}] ", "application/json; charset=UTF-8", 3},
		{"{\"n\":1}\n{\"n\":2}\n\r\n  \n{\"n\":3}", ndjson, 3},
		{"{\"n\":1}\n", "application/jsonl", 1},
	} {
		a := b.do(http.MethodPost, "/v1/activities", []byte(tt.body), "Content-Type", tt.typ)
		if a.status != http.StatusAccepted || len(a.IDs) != tt.want {
			t.Errorf("%q: %d %s", tt.body, a.status, a.body)
		}
		for _, id := range a.IDs {
			if _, err := ulid.ParseStrict(*id); err != nil {
				t.Errorf("%q: %s is no ULID", tt.body, *id)
			}
		}
	}
	if n := len(b.documents()); n != 8 {
		t.Errorf("%d records are in the journal", n)
	}
}

// TestRefusals: each says what is wrong and where, shows nothing of the input, and nothing of the request is stored.
func TestRefusals(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.MaxBody = 64 << 10 })
	const canary = "swordfish"
	deep := strings.Repeat(`{"`+canary+`":`, 600) + "1" + strings.Repeat("}", 600)
	for _, tt := range []struct {
		name, route, body string
		headers           []string
		status            int
		typ               string
		record            int
		pointer           string
	}{
		{name: "nothing", status: 400, typ: "not-json"},
		{name: "only blanks", body: " \n ", status: 400, typ: "not-json"},
		{name: "empty array", body: "[]", status: 400, typ: "not-json"},
		{name: "cut off", body: `{"a":"` + canary, status: 400, typ: "not-json"},
		{name: "text", body: canary, status: 400, typ: "not-json"},
		{name: "two objects", body: `{"a":1} {"b":2}`, status: 400, typ: "not-json"},
		{name: "array cut off", body: `[{"a":1},{"b":2}`, status: 400, typ: "not-json"},
		{name: "array with a hole", body: `[{"a":1},,{"b":2}]`, status: 400, typ: "not-json"},
		{name: "array with a comma at its end", body: `[{"a":1},]`, status: 400, typ: "not-json"},
		{name: "array and more", body: `[{"a":1}]x`, status: 400, typ: "not-json"},
		{name: "wrong brackets", body: `[{"a":1}}`, status: 400, typ: "not-json"},
		{name: "bad element", body: `[{"a":1},{"` + canary + `"}]`, status: 400, typ: "not-json", record: 1},
		{name: "deep", body: deep, status: 400, typ: "not-json"},
		{name: "a number", body: "7", status: 422, typ: "invalid-record"},
		{name: "elements that are no objects", body: `[{"a":1},"` + canary + `"]`, status: 422, typ: "invalid-record", record: 1},
		{name: "wrong type", route: "/v1/api-transactions", body: `[{},{"status_code":"` + canary + `"}]`, status: 422, typ: "invalid-record", record: 1, pointer: "/status_code"},
		{name: "wrong type below", route: "/v1/external-api", body: `{"rate_limit":{"limit":true}}`, status: 422, typ: "invalid-record", pointer: "/rate_limit/limit"},
		{name: "wrong kind", body: `{"kind":"` + canary + `"}`, status: 422, typ: "invalid-record", pointer: "/kind"},
		{name: "wrong id", body: `{"id":"` + canary + `"}`, status: 422, typ: "invalid-record", pointer: "/id"},
		{name: "wrong time", body: `{"@timestamp":"` + canary + `"}`, status: 422, typ: "invalid-record", pointer: "/@timestamp"},
		{name: "wrong tags", body: `{"tags":["a",` + `{"b":1}]}`, status: 422, typ: "invalid-record", pointer: "/tags"},
		{name: "wrong string", body: `{"user_id":{"a":1}}`, status: 422, typ: "invalid-record", pointer: "/user_id"},
		{name: "wrong object", body: `{"service":"` + canary + `"}`, status: 422, typ: "invalid-record", pointer: "/service"},
		{name: "wrong address", route: "/v1/auth-events", body: `{"ip_address":"` + canary + `"}`, status: 422, typ: "invalid-record", pointer: "/ip_address"},
		{name: "too many", body: "[" + strings.Repeat("{},", maxRecords) + "{}]", status: 413, typ: "too-large"},
		{name: "too long", body: `{"a":"` + strings.Repeat("x", 64<<10) + `"}`, status: 413, typ: "too-large"},
		{name: "content type", body: "{}", headers: []string{"Content-Type", "text/plain"}, status: 415, typ: "content-type"},
		{name: "no content type", body: "{}", headers: []string{"Content-Type", ""}, status: 415, typ: "content-type"},
		{name: "charset", body: "{}", headers: []string{"Content-Type", "application/json; charset=latin1"}, status: 415, typ: "content-type"},
		{name: "content encoding", body: "{}", headers: []string{"Content-Encoding", "br"}, status: 415, typ: "content-encoding"},
		{name: "not gzip", body: "{}", headers: []string{"Content-Encoding", "gzip"}, status: 400, typ: "not-gzip"},
		{name: "long key", body: "{}", headers: []string{"Idempotency-Key", strings.Repeat("k", 256)}, status: 400, typ: "idempotency-key"},
		{name: "route", route: "/v1/" + canary, body: "{}", status: 404, typ: "no-route"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.route == "" {
				tt.route = "/v1/activities"
			}
			a := b.post(tt.route, tt.body, tt.headers...)
			if a.status != tt.status || a.Type != typePrefix+tt.typ || a.Status2 != tt.status || a.Detail == "" {
				t.Fatalf("got %d %s", a.status, a.body)
			}
			if a.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("content type %q", a.header.Get("Content-Type"))
			}
			if strings.Contains(a.body, canary) {
				t.Errorf("the answer shows the input: %s", a.body)
			}
			if tt.typ == "invalid-record" && (len(a.Errors) != 1 || a.Errors[0].Record != tt.record || a.Errors[0].Pointer != tt.pointer || a.Errors[0].Detail == "") {
				t.Errorf("got %+v", a.Errors)
			}
		})
	}
	if docs := b.documents(); len(docs) > 0 {
		t.Errorf("something was stored: %v", docs)
	}
	if a := b.do(http.MethodGet, "/v1/activities", nil); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "POST" {
		t.Errorf("%d %v", a.status, a.header)
	}
}

func TestUnknownMembersGoToDetailsAndNullsNowhere(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.post("/v1/data-access", `{"user_id":null,"table_name":"t","color":"red","size":null}`)
	doc := b.documents()[0]
	if !strings.Contains(doc, `"details":{"color":"red","size":null}`) || strings.Contains(doc, "user_id") {
		t.Error(doc)
	}
}

func TestAGivenIDIsTheActivitys(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	at := time.Now().Add(-time.Hour).Truncate(time.Millisecond).UTC()
	id := ulid.MustNew(ulid.Timestamp(at), bytes.NewReader(make([]byte, 10))).String()
	for range 2 {
		if a := b.post("/v1/activities", `{"id":"`+id+`"}`); len(a.IDs) != 1 || *a.IDs[0] != id {
			t.Fatal(a.body)
		}
	}
	docs := b.documents()
	for _, doc := range docs { // the time is the id's, so that both are the same activity
		if !strings.Contains(doc, `"@timestamp":"`+at.Format("2006-01-02T15:04:05.999Z07:00")) {
			t.Error(doc)
		}
	}
}

func TestARepeatedRequestIsTakenOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	const body = `[{"user_id":"u","password":"swordfish"},{"@timestamp":"` + "2026-11-20T10:00:00Z" + `"},{"x":1}]`
	first := b.post("/v1/activities", body, "Idempotency-Key", "swordfish-1")
	if first.status != http.StatusAccepted {
		t.Fatal(first.body)
	}
	again := func(when string) {
		t.Helper()
		if a := b.post("/v1/activities", body, "Idempotency-Key", "swordfish-1"); a.status != http.StatusAccepted || a.body != first.body {
			t.Errorf("%s: %d %s, want %s", when, a.status, a.body, first.body)
		}
		for _, other := range [][2]string{{"/v1/activities", `[{"user_id":"other"}]`}, {"/v1/data-access", body}} {
			if a := b.post(other[0], other[1], "Idempotency-Key", "swordfish-1"); a.status != http.StatusUnprocessableEntity || a.Type != typePrefix+"idempotency-key" {
				t.Errorf("%s: another body: %d %s", when, a.status, a.body)
			}
		}
	}
	again("at once")
	b.close()
	b.open()
	again("after a restart")
	if n := len(b.documents()); n != 3 {
		t.Errorf("%d records are in the journal", n)
	}
	if a := b.post("/v1/activities", body, "Idempotency-Key", "swordfish-2"); a.body == first.body {
		t.Error("another key gives the same ids")
	}
	_ = filepath.WalkDir(b.dir, func(path string, _ os.DirEntry, _ error) error {
		if text, _ := os.ReadFile(path); bytes.Contains(text, []byte("swordfish")) {
			t.Errorf("%s holds a secret, or a key", path)
		}
		return nil
	})
}

// TestTheSameKeyAtTheSameTime: one is taken, the others wait for it and get its ids.
func TestTheSameKeyAtTheSameTime(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var wg sync.WaitGroup
	answers := make([]string, 16)
	for i := range answers {
		wg.Go(func() { answers[i] = b.post("/v1/activities", `{"x":1}`, "Idempotency-Key", "k").body })
	}
	wg.Wait()
	for _, a := range answers {
		if a != answers[0] || !strings.Contains(a, "ids") {
			t.Errorf("got %s and %s", a, answers[0])
		}
	}
	if n := len(b.documents()); n != 1 {
		t.Errorf("%d records are in the journal", n)
	}
}

func zip(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

func TestGzipIsTakenWithinTheLimit(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	lines := strings.Repeat(`{"description":"hello"}`+"\n", 500)
	a := b.do(http.MethodPost, "/v1/activities", zip([]byte(lines)), "Content-Type", ndjson, "Content-Encoding", "gzip")
	if a.status != http.StatusAccepted || len(a.IDs) != 500 {
		t.Errorf("%d %.100s", a.status, a.body)
	}
	bomb := zip(make([]byte, 8<<20))
	if a := b.do(http.MethodPost, "/v1/activities", bomb, "Content-Type", ndjson, "Content-Encoding", "gzip"); a.status != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %s", a.status, a.body)
	}
	cut := zip([]byte(lines))
	if a := b.do(http.MethodPost, "/v1/activities", cut[:len(cut)/2], "Content-Type", ndjson, "Content-Encoding", "gzip"); a.status != http.StatusBadRequest {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestTheTokenIsAskedFor(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("first\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := newBench(t, func(c *Config) { c.TokenFile = file })
	try := func(want int, headers ...string) {
		t.Helper()
		if a := b.post("/v1/activities?token=first", "{}", headers...); a.status != want {
			t.Errorf("%v: got %d, want %d", headers, a.status, want)
		}
	}
	try(401)
	try(401, "Authorization", "Bearer wrong")
	try(401, "Authorization", "Basic first")
	try(401, "Authorization", "first")
	try(202, "Authorization", "Bearer first")
	if a := b.do(http.MethodGet, "/openapi.json", nil); a.status != 401 || a.header.Get("WWW-Authenticate") == "" {
		t.Errorf("%d %v", a.status, a.header)
	}
	if err := os.WriteFile(file, []byte("the second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	try(202, "Authorization", "bearer the second")
	try(401, "Authorization", "Bearer first")
}

func TestAFullJournalSaysWhenToComeAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.DiskBudget = 10_000 })
	for range 100 {
		a := b.post("/v1/activities", `{"description":"`+strings.Repeat("x", 500)+`"}`)
		if a.status == http.StatusAccepted {
			continue
		}
		if a.status != http.StatusTooManyRequests || a.header.Get("Retry-After") == "" || a.Type != typePrefix+"journal-full" {
			t.Errorf("%d %v %s", a.status, a.header, a.body)
		}
		return
	}
	t.Error("the journal is never full")
}

func TestASocketIsTheUsersAndIsTakenOver(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "sock") // short: names of sockets are limited
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sub", "s")
	c := DefaultConfig()
	c.Listen = unixPrefix + path
	l, err := listen(c)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, mode %v", err, info.Mode())
	}
	if _, err := listen(c); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // as after a kill
	l.Close()
	c.SocketMode = "0660"
	if l, err = listen(c); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v", info.Mode())
	}
	c.Listen = unixPrefix + filepath.Join(dir, "file")
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen(c); err == nil {
		t.Error("a file was taken for a socket")
	}
}

func TestCheckListen(t *testing.T) {
	t.Parallel()
	for s, ok := range map[string]bool{
		"": true, "127.0.0.1:8480": true, "[::1]:0": true, "localhost:80": true, "127.9.9.9:1": true, "unix:/run/x": true,
		"0.0.0.0:8480": false, ":8480": false, "10.0.0.1:8480": false, "example.org:80": false, "127.0.0.1": false,
		"127.0.0.1:x": false, "unix:": false, "unix:/" + strings.Repeat("x", 120): false,
	} {
		if got := CheckListen(s); (got == "") != ok {
			t.Errorf("%q: %q", s, got)
		}
	}
}

// TestConnectionsBeyondTheLimitWait: for others to end, and nobody is refused.
func TestConnectionsBeyondTheLimitWait(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.MaxConnections = 2 })
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", b.server.Addr())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(c, "POST /v1/activities HTTP/1.1\r\nHost: x\r\n") // so that it is accepted, and never done
		held = append(held, c)
	}
	done := make(chan answer)
	go func() { done <- b.post("/v1/activities", `{}`) }()
	select {
	case a := <-done:
		t.Errorf("a third connection was served: %+v", a)
	case <-time.After(200 * time.Millisecond):
	}
	for _, c := range held {
		c.Close()
	}
	if a := <-done; a.status != http.StatusAccepted {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// TestASlowBodyEnds: in time, with an answer, and meanwhile others are served.
func TestASlowBodyEnds(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.close()
	b.limit.read = 500 * time.Millisecond
	b.open()
	c, err := net.Dial("tcp", b.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /v1/activities HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
	if a := b.post("/v1/activities", `{}`); a.status != http.StatusAccepted {
		t.Errorf("%d %s", a.status, a.body)
	}
	_ = c.SetReadDeadline(time.Now().Add(patience))
	text, err := io.ReadAll(c)
	if err != nil || !strings.HasPrefix(string(text), "HTTP/1.1 408 ") || !strings.Contains(string(text), "slow") {
		t.Errorf("%v, %q", err, text)
	}
}

// TestHeadersAreBounded: also their number.
func TestHeadersAreBounded(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	c, err := net.Dial("tcp", b.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		fmt.Fprint(c, "POST /v1/activities HTTP/1.1\r\nHost: x\r\n")
		for range 10_000 {
			if _, err := fmt.Fprintf(c, "X-%s: %s\r\n", strings.Repeat("a", 20), strings.Repeat("b", 200)); err != nil {
				return
			}
		}
	}()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	text, _ := io.ReadAll(c) // ends with an answer, or a reset where the rest is not read
	if len(text) > 0 && !strings.HasPrefix(string(text), "HTTP/1.1 431 ") {
		t.Errorf("%q", text)
	}
}

// TestMemoryStaysFlat: large, wide and deep bodies from many connections at once, most of which are refused.
func TestMemoryStaysFlat(t *testing.T) {
	b := newBench(t, func(c *Config) { c.DiskBudget = 64 << 20 })
	var wide strings.Builder
	wide.WriteByte('{')
	for i := range 1_000_000 {
		fmt.Fprintf(&wide, `"k%d":%d,`, i, i)
	}
	wide.WriteString(`"z":0}`)
	bodies := []string{
		wide.String(), wide.String()[:900_000] + `"z":0}`, strings.Repeat("[", 900_000), strings.Repeat(`{"a":`, 150_000),
		`"` + strings.Repeat("x", 900_000), "[" + strings.Repeat("{},", 9_000) + "1]", "[" + strings.Repeat("{},", 200_000) + "1]",
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse
	}
	before := heap()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 3 {
				a := b.post("/v1/activities", bodies[(w+i)%len(bodies)])
				if a.status >= 500 && a.status != http.StatusServiceUnavailable || a.status == 0 {
					t.Errorf("%d %.200s", a.status, a.body)
				}
			}
		})
	}
	wg.Wait()
	if grown := int64(heap()) - int64(before); grown > 64<<20 {
		t.Errorf("%d MiB more are in use", grown>>20)
	}
}

func TestTheDescriptionIsWhole(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.Token = "x" })
	a := b.do(http.MethodGet, "/openapi.json", nil, "Authorization", "Bearer x")
	var doc map[string]any
	if err := json.Unmarshal([]byte(a.body), &doc); err != nil || doc["openapi"] != "3.1.0" || doc["security"] == nil {
		t.Fatalf("%v %.200s", err, a.body)
	}
	paths := doc["paths"].(map[string]any)
	for route := range kindByRoute {
		if paths[route] == nil {
			t.Errorf("%s is not described", route)
		}
	}
	// Every reference leads somewhere.
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				at := any(doc)
				for _, name := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
					m, _ := at.(map[string]any)
					at = m[name]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(doc)
}

// FuzzPost: whatever is posted, the answer is a status that is described, it shows nothing of the body, and what is
// accepted are documents that are valid.
func FuzzPost(f *testing.F) {
	for _, body := range []string{
		`{"user_id":"u","status_code":200}`, `[{"a":1},{"b":[{}]}]`, "{}\n{}\n", `[{"a":"\"]"}]`, `{"id":"01JDG5XK9QZJ8T6X7R5W3V2B1A"}`,
		`{"kind":"auth_event","success":true,"ip_address":"::1"}`, `[`, `{"a":`, `"x"`, "[,]", `{"service":{"name":null}}`, "\xff\xfe",
	} {
		f.Add([]byte(body), true)
		f.Add([]byte(body), false)
	}
	b := newBench(f, func(c *Config) { c.DiskBudget = 1 << 40; c.MaxBody = 4 << 10 })
	integrity := fmt.Sprintf(`{"chain":"x","batch":1,"seq":0,"hash":%q}`, strings.Repeat("A", 43))
	seen := int64(0)
	f.Fuzz(func(t *testing.T, body []byte, lines bool) {
		b := *b
		b.t = t
		typ := "application/json"
		if lines {
			typ = ndjson
		}
		a := b.do(http.MethodPost, "/v1/activities", body, "Content-Type", typ)
		switch a.status {
		case http.StatusAccepted:
		case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
			for _, one := range a.Errors {
				if _, ok := activity.FieldNamed(strings.ReplaceAll(strings.TrimPrefix(one.Pointer, "/"), "/", "."), activity.NoKind); one.Pointer != "" && !ok && strings.Count(one.Pointer, "/") > 1 {
					t.Errorf("the pointer %q leads to no field", one.Pointer)
				}
			}
			return
		default:
			t.Fatalf("%d %s", a.status, a.body)
		}
		kept, _, err := b.journal.ReadAgain(seen, 1<<40)
		if err != nil {
			t.Fatal(err)
		}
		seen = kept.Ranges[0].End
		if len(kept.Records) != len(a.IDs) {
			t.Fatalf("%d records were stored, and %d ids answered", len(kept.Records), len(a.IDs))
		}
		for i := range kept.Records {
			doc := string(kept.Records[i].Body) + `,"integrity":` + integrity + "}"
			if err := activity.Validate([]byte(doc)); err != nil {
				t.Fatalf("%v\n%s", err, doc)
			}
		}
	})
}
