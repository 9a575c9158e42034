package pipeline

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/pipeline/redact"
)

var testTime = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// cutLines makes a Raw of text as the tailer would.
func cutLines(t testing.TB, text string, s *Stream) *Raw {
	t.Helper()
	raw := &Raw{Buf: []byte(text)}
	raw.Ranges = append(raw.Ranges, Range{Stream: s, End: int64(len(text))})
	c := Cutter{MaxLine: 1 << 20}
	n, lines := c.Cut(raw, 0, len(text), 0, true)
	if n != len(text) {
		t.Fatalf("cut %d of %d bytes", n, len(text))
	}
	raw.Ranges[0].Lines = lines
	return raw
}

func newPipeline(t testing.TB, c Config) *Pipeline {
	t.Helper()
	p, err := New(Options{Config: c, AgentID: "test", Chain: activity.ChainID{1}, Version: "test", Origin: Origin{ServiceName: "shop", HostName: "h1"}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// process returns the documents of text, decoded, and the batch.
func process(t testing.TB, c Config, text string) ([]map[string]any, *Batch) {
	t.Helper()
	var b Batch
	newPipeline(t, c).Process(cutLines(t, text, &Stream{Path: "/var/log/app.log"}), 7, testTime, &b)
	return documents(t, &b), &b
}

func documents(t testing.TB, b *Batch) []map[string]any {
	t.Helper()
	if b.Panics > 0 {
		t.Fatalf("%d records panicked", b.Panics)
	}
	var docs []map[string]any
	for i := range b.Records {
		doc := b.Doc(i)
		if doc == nil {
			docs = append(docs, nil)
			continue
		}
		if err := activity.Validate(doc); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		var m map[string]any
		d := json.NewDecoder(bytes.NewReader(doc))
		d.UseNumber()
		if err := d.Decode(&m); err != nil {
			t.Fatalf("%v\n%s", err, doc)
		}
		docs = append(docs, m)
	}
	return docs
}

// at returns the value at a dotted path.
func at(m map[string]any, path string) any {
	var v any = m
	for _, k := range strings.Split(path, ".") {
		o, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = o[k]
	}
	return v
}

func TestLinesBecomeActivities(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, line string
		want       map[string]string // path → value; "" for absent
	}{
		{"named by kind", `{"kind":"data_access","table_name":"users","operation":"read","user_id":"u1"}`,
			map[string]string{"kind": "data_access", "table_name": "users", "user_id": "u1", "activity_type": "data_access", "details": "", "classified_by": "kind"}},
		{"named by activity_type", `{"activity_type":"auth_event","event_type":"login","success":"true"}`,
			map[string]string{"kind": "auth_event", "success": "true", "event.outcome": "success", "event.type": "[start]"}},
		{"a kind of someone else's is no kind", `{"kind":"Event","message":"x"}`,
			map[string]string{"kind": "system_event", "details.kind": "Event"}},
		{"http by pino", `{"level":30,"time":1795435200123,"pid":1,"hostname":"a","req":{"method":"GET","url":"/x","remoteAddress":"10.0.0.1"},"res":{"statusCode":503},"responseTime":12.5,"msg":"done"}`,
			map[string]string{"kind": "api_transaction", "method": "GET", "endpoint": "/x", "status_code": "503", "ip_address": "10.0.0.1", "execution_time_ms": "12.5", "event.duration": "12500000", "event.outcome": "failure", "description": "done", "host.name": "a", "@timestamp": "2026-11-23T12:00:00.123Z"}},
		{"dotted is nested", `{"http.request.method":"PUT","url.path":"/a","http":{"response":{"status_code":"204"}}}`,
			map[string]string{"kind": "api_transaction", "method": "PUT", "endpoint": "/a", "status_code": "204", "details": ""}},
		{"outgoing call", `{"method":"POST","url":"https://api.example.com/v1","status":200,"duration":"1.5s"}`,
			map[string]string{"kind": "external_api", "endpoint": "https://api.example.com/v1", "status_code": "200", "execution_time_ms": "1500"}},
		{"change computes what changed", `{"old_values":{"a":1,"b":"x","c":[1]},"new_values":{"a":1.0,"b":"y","d":null,"c":[1]}}`,
			map[string]string{"kind": "data_change", "changed_fields": "[b d]"}},
		{"table with a reading operation", `{"table":"orders","operation":"SELECT"}`, map[string]string{"kind": "data_access"}},
		{"table with a writing operation", `{"table":"orders","operation":"DELETE"}`, map[string]string{"kind": "data_change"}},
		{"login by name", `{"event":"user_login","user":"ann","ip":"10.1.1.1:5000","success":false}`,
			map[string]string{"kind": "auth_event", "user_id": "ann", "ip_address": "10.1.1.1", "success": "false", "event.outcome": "failure"}},
		{"zap", `{"level":"warn","ts":1795435200.25,"caller":"a.go:1","msg":"slow"}`,
			map[string]string{"kind": "system_event", "severity": "warning", "description": "slow", "classified_by": "logger:zap", "@timestamp": "2026-11-23T12:00:00.25Z"}},
		{"serilog without a level is information", `{"@t":"2026-11-23T11:00:00Z","@m":"hi"}`,
			map[string]string{"kind": "system_event", "severity": "info", "description": "hi", "classified_by": "logger:serilog"}},
		{"structlog", `{"event":"Hello, world!","level":"info","timestamp":"2026-11-23 11:00:00"}`,
			map[string]string{"kind": "system_event", "description": "Hello, world!", "@timestamp": "2026-11-23T11:00:00Z"}},
		{"plain text", `2026-11-23T11:00:00Z ERROR could not connect`,
			map[string]string{"kind": "system_event", "severity": "error", "@timestamp": "2026-11-23T11:00:00Z", "description": "2026-11-23T11:00:00Z ERROR could not connect", "event.kind": "pipeline_error"}},
		{"no clue", `{"foo":"bar"}`, map[string]string{"kind": "activity", "details.foo": "bar"}},
		{"a JSON value", `[1,{"a":"b"}]`, map[string]string{"kind": "system_event", "details.value": "[1 map[a:b]]"}},
		{"values that do not fit stay in details", `{"kind":"api_transaction","status_code":"teapot","ip_address":"nowhere","execution_time_ms":{"a":1},"method":["GET"]}`,
			map[string]string{"status_code": "", "details.status_code": "teapot", "details.ip_address": "nowhere", "details.execution_time_ms.a": "1", "method": "GET"}},
		{"an own id stays in details", `{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","msg":"x"}`, map[string]string{"details.id": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}},
		{"a time out of the window is kept", `{"timestamp":"2019-01-01T00:00:00Z","msg":"x"}`,
			map[string]string{"@timestamp": "2026-11-23T12:00:00Z", "details.timestamp": "2019-01-01T00:00:00Z", "event.kind": "pipeline_error"}},
		{"a bad time is kept", `{"timestamp":"yesterday","msg":"x"}`,
			map[string]string{"@timestamp": "2026-11-23T12:00:00Z", "details.timestamp": "yesterday"}},
		{"service of the line and of the agent", `{"msg":"x","service":{"version":"2"}}`,
			map[string]string{"service.name": "shop", "service.version": "2", "details": ""}},
		{"details are merged", `{"msg":"x","details":{"a":1},"b":2,"a":3}`,
			map[string]string{"details.a": "1", "details.b": "2", "details.line_a": "3"}},
		{"details that are no object", `{"msg":"x","details":"text","b":2}`, map[string]string{"details.value": "text", "details.b": "2"}},
		{"duplicate names: the last counts", `{"msg":"a","x":1,"msg":"b","x":2}`,
			map[string]string{"description": "b", "details.x": "2", "tags": "[dup_keys]"}},
		{"docker", `{"log":"{\"level\":\"info\",\"msg\":\"hi\"}\n","stream":"stderr","time":"2026-11-23T11:00:00.5Z"}`,
			map[string]string{"description": "hi", "severity": "info", "details.stream": "stderr", "@timestamp": "2026-11-23T11:00:00.5Z"}},
		{"cri", `2026-11-23T11:00:00.5Z stdout F {"level":"info","msg":"hi"}`,
			map[string]string{"description": "hi", "details.stream": "stdout", "@timestamp": "2026-11-23T11:00:00.5Z"}},
		{"invalid UTF-8", "{\"msg\":\"a\xff\xfeb\"}", map[string]string{"description": "a\uFFFD\uFFFDb", "tags": "[invalid_utf8]"}},
		{"half a surrogate pair", `{"msg":"a\ud800b"}`, map[string]string{"description": "a\uFFFDb"}},
		{"user is identity", `{"level":"info","msg":"x","user_id":"ann@example.com"}`, map[string]string{"user_id": "ann@example.com", "redacted": ""}},
		{"log4j instant", `{"instant":{"epochSecond":1795431600,"nanoOfSecond":5},"level":"INFO","message":"x"}`,
			map[string]string{"@timestamp": "2026-11-23T11:00:00.000000005Z", "details": ""}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			docs, _ := process(t, DefaultConfig(), tc.line+"\n")
			if len(docs) != 1 {
				t.Fatalf("%d documents", len(docs))
			}
			for path, want := range tc.want {
				got := ""
				if v := at(docs[0], path); v != nil {
					got = fmt.Sprint(v)
				}
				if got != want {
					t.Errorf("%s is %q, want %q\n%v", path, got, want, docs[0])
				}
			}
		})
	}
}

// TestNoFieldHasASecretName: else a typed field would always be masked.
func TestNoFieldHasASecretName(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, DefaultConfig())
	for f := activity.FieldID(1); f < activity.FieldCount; f++ {
		if m := p.lenses[activity.Plain].fields[f]; m != redact.None {
			t.Errorf("%s is %d", f.Name(), m)
		}
	}
}

func TestTimes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2026-01-02T03:04:05Z":            "2026-01-02T03:04:05Z",
		"2026-01-02T03:04:05.123456789Z":  "2026-01-02T03:04:05.123456789Z",
		"2026-01-02 03:04:05,5":           "2026-01-02T03:04:05.5Z",
		"2026-01-02T03:04:05+02:00":       "2026-01-02T01:04:05Z",
		"2026-01-02T03:04:05.1-0730":      "2026-01-02T10:34:05.1Z",
		"2026-01-02 03:04:05 UTC":         "2026-01-02T03:04:05Z",
		"2026/01/02 03:04:05":             "2026-01-02T03:04:05Z",
		"1767323045":                      "2026-01-02T03:04:05Z",
		"1767323045.25":                   "2026-01-02T03:04:05.25Z",
		"1767323045.123456789":            "2026-01-02T03:04:05.123456789Z",
		"1767323045123":                   "2026-01-02T03:04:05.123Z",
		"1767323045123.5":                 "2026-01-02T03:04:05.1235Z",
		"1767323045123456":                "2026-01-02T03:04:05.123456Z",
		"1767323045123456789":             "2026-01-02T03:04:05.123456789Z",
		"1.767323045e9":                   "2026-01-02T03:04:05Z",
		"02/Jan/2026:03:04:05 +0000":      "2026-01-02T03:04:05Z",
		"02/jan/2026:03:04:05.25 -0730":   "2026-01-02T10:34:05.25Z",
		"Fri, 02 Jan 2026 03:04:05 GMT":   "2026-01-02T03:04:05Z",
		"Fri, 02 Jan 2026 03:04:05 +0200": "2026-01-02T01:04:05Z",
		"02/Jon/2026:03:04:05 +0000":      "",
		"31/Feb/2026:03:04:05 +0000":      "",
		"02/Jan/2026:03:04:05 +0000 or":   "",
		"02/Jan/20x6:03:04:05 +0000":      "",
		"Fri, 02 Jan 2026 3:04:05 GMT   ": "",
		"":                                "",
		"-5":                              "",
		"2026-13-02T03:04:05Z":            "",
		"2026-02-31T03:04:05Z":            "",
		"2026-01-02T03:04:05 and so on":   "",
		"2026-01-02T03:04:05Zulu":         "",
		"99999999999999999999":            "",
		"12ab":                            "",
		"2026-01-02":                      "",
		"2026-01-02T03:04:60Z":            "2026-01-02T03:05:00Z",
		"9999-12-31T23:59:59Z":            "",
		"2026-01-02T03:04:05.1234567891Z": "2026-01-02T03:04:05.123456789Z",
	} {
		got := ""
		if ns, ok := parseTime([]byte(in)); ok {
			got = string(appendTime(nil, ns))
		}
		if got != want {
			t.Errorf("parseTime(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDatesAgreeWithPackageTime(t *testing.T) {
	t.Parallel()
	for at := time.Date(1680, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2260; at = at.Add(17*time.Hour + 13*time.Minute + time.Second) {
		if got, ok := parseTime([]byte(at.Format(time.RFC3339))); !ok || got != at.UnixNano() {
			t.Fatalf("%v is read as %d", at, got)
		}
	}
	for _, bad := range []string{"2025-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-00-01T00:00:00Z", "2026-01-00T00:00:00Z"} {
		if _, ok := parseTime([]byte(bad)); ok {
			t.Errorf("%s is taken", bad)
		}
	}
}

// Secrets that the default rules must find wherever they are put.
var planted = []string{
	"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
	"4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "jane.roe+x@mail.example.org",
	"Bearer 0123456789abcdef0123456789abcdef01234567",
}

const named = "hunter2-Tr0ub4dor"

// TestSecretsAreFoundEverywhere plants secrets in values, names, nested JSON, arrays, broken lines and envelopes.
func TestSecretsAreFoundEverywhere(t *testing.T) {
	t.Parallel()
	quote := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	shapes := map[string]func(s string) string{
		"top":          func(s string) string { return `{"msg":` + quote(s) + `}` },
		"unknown":      func(s string) string { return `{"foo":` + quote("before "+s+" after") + `}` },
		"deep":         func(s string) string { return strings.Repeat(`{"a":`, 40) + quote(s) + strings.Repeat(`}`, 40) },
		"array":        func(s string) string { return `{"a":[[1,` + quote(s) + `]]}` },
		"name":         func(s string) string { return `{"a":{` + quote(s) + `:1,` + quote("x "+s) + `:2}}` },
		"nested JSON":  func(s string) string { return `{"body":` + quote(`{"x":{"y":[`+quote(s)+`]}}`) + `}` },
		"twice nested": func(s string) string { return `{"body":` + quote(`{"x":`+quote(`{"y":`+quote(s)+`}`)+`}`) + `}` },
		"broken":       func(s string) string { return `{"msg":` + quote(s) + `,"x":` },
		"text":         func(s string) string { return `ERROR it was ` + s + ` again` },
		"typed field": func(s string) string {
			return `{"kind":"api_transaction","status_code":` + quote(s) + `,"ip_address":` + quote(s) + `,"method":` + quote(s) + `}`
		},
		"free field": func(s string) string {
			return `{"kind":"api_transaction","request_data":` + quote(s) + `,"headers":{"X-A":` + quote(s) + `}}`
		},
		"tags":           func(s string) string { return `{"msg":"x","tags":[` + quote(s) + `]}` },
		"changed fields": func(s string) string { return `{"old_values":{` + quote(s) + `:1},"new_values":{` + quote(s) + `:2}}` },
		"docker": func(s string) string {
			return `{"log":` + quote(`{"msg":`+quote(s)+`}`+"\n") + `,"stream":"stdout","time":"2026-11-23T11:00:00Z"}`
		},
		"cri": func(s string) string { return `2026-11-23T11:00:00Z stdout F ` + s },
		"time": func(s string) string {
			return `{"timestamp":` + quote(s) + `,"level":` + quote(s) + `,"logger":` + quote(s) + `}`
		},
		"details": func(s string) string { return `{"msg":"x","details":{"a":` + quote(s) + `},"a":` + quote(s) + `}` },
		"escaped": func(s string) string { return `{"msg":"` + unicodeEscaped(s) + `"}` },
		"kind": func(s string) string {
			return `{"kind":` + quote(s) + `,"type":` + quote(s) + `,"activity_type":` + quote(s) + `,"event":` + quote(s) + `}`
		},
	}
	for name, shape := range shapes {
		for _, s := range planted {
			_, b := process(t, DefaultConfig(), shape(s)+"\n")
			assertGone(t, name, b, s)
		}
	}
	for name, line := range map[string]string{
		"password":     `{"password":"` + named + `"}`,
		"deep":         `{"a":[{"b":{"apiKey":"` + named + `"}}]}`,
		"object below": `{"credentials":{"a":{"b":["` + named + `"]}}}`,
		"nested JSON":  `{"body":"{\"client_secret\":\"` + named + `\"}"}`,
		"escaped name": `{"pass\u0077ord":"` + named + `"}`,
		"pair":         `{"params":[{"name":"password","value":"` + named + `"}]}`,
		"header pairs": `{"raw":[["Authorization","` + named + `"]]}`,
		"command line": `{"argv":["mysql","--password","` + named + `"]}`,
		"one letter":   `{"process":{"args":["/usr/bin/sshpass","-p","` + named + `","ssh"]}}`,
		"attached":     `{"process":{"args":["mysql","-uroot","-p` + named + `"]}}`,
		"after a word": `{"argv":["docker","login","-p","` + named + `"]}`,
		"repeated":     `{"input":{"newPassword":"` + named + `","confirm":"` + named + `"}}`,
		"broken":       `{"a":1,"password":"` + named + `"`,
		"cut":          `{"password":"` + named,
		"text":         `connect failed password=` + named,
		"header":       `{"headers":{"X-Api-Key":"` + named + `","Cookie":"sid=` + named + `"}}`,
		"duplicate":    `{"password":"` + named + `","password":"x","body":"{\"password\":\"` + named + `\",\"password\":\"y\"}"}`,
		"query":        `{"kind":"api_transaction","endpoint":"/x?token=` + named + `&a=1"}`,
	} {
		_, b := process(t, DefaultConfig(), line+"\n")
		assertGone(t, name, b, named)
	}
}

func unicodeEscaped(s string) string {
	var b strings.Builder
	for _, c := range s {
		fmt.Fprintf(&b, `\u%04x`, c)
	}
	return b.String()
}

func assertGone(t *testing.T, name string, b *Batch, secret string) {
	t.Helper()
	for i := range b.Records {
		doc := b.Doc(i)
		if err := activity.Validate(doc); err != nil {
			t.Errorf("%s: %v\n%s", name, err, doc)
		}
		var v any
		if err := json.Unmarshal(doc, &v); err != nil {
			t.Fatal(err)
		}
		found := ""
		eachString(v, func(s string) {
			if strings.Contains(s, secret) {
				found = s
			}
		})
		if found != "" || strings.Contains(string(doc), secret) {
			t.Errorf("%s: %q leaked in\n%s", name, secret, doc)
		}
		if !strings.Contains(string(doc), `"redacted":[`) {
			t.Errorf("%s: nothing is listed as redacted\n%s", name, doc)
		}
	}
}

func eachString(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
		var inner any
		if json.Unmarshal([]byte(v), &inner) == nil {
			if _, ok := inner.(string); !ok {
				eachString(inner, f)
			}
		}
	case []any:
		for _, e := range v {
			eachString(e, f)
		}
	case map[string]any:
		for k, e := range v {
			f(k)
			eachString(e, f)
		}
	}
}

func TestFieldsAndAllowOfTheConfiguration(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	c.Redact.Fields = []string{"badge_no", "details.order.*.code", "user_id"}
	c.Redact.Allow = []string{"contact", "details.open.email"}
	docs, _ := process(t, c, `{"msg":"x","badgeNo":"B17","order":{"a":{"code":"c1"},"code":"c2"},"contact":"a@example.com","open":{"email":"b@example.com"},"email":"c@example.com","user_id":"u1"}`+"\n")
	for path, want := range map[string]string{
		"details.badgeNo": "[REDACTED]", "details.order.a.code": "[REDACTED]", "details.order.code": "c2",
		"details.contact": "a@example.com", "details.open.email": "b@example.com", "details.email": "[REDACTED]", "user_id": "[REDACTED]",
	} {
		if got := at(docs[0], path); got != want {
			t.Errorf("%s is %v, want %s", path, got, want)
		}
	}
}

// TestReplayObeysTheIntent replays a batch under other rules: what was decided stays, only redaction is today's.
func TestReplayObeysTheIntent(t *testing.T) {
	t.Parallel()
	text := "{\"timestamp\":\"2026-11-23T10:00:00Z\",\"msg\":\"a\",\"badge\":\"b\"}\nplain words\n{\"foo\":1}\n\x00\x00\n{\"timestamp\":\"bad\",\"foo\":2}\n"
	stream := &Stream{Path: "x", ID: activity.StreamID{9}}
	raw := cutLines(t, text, stream)
	var first, second, third Batch
	newPipeline(t, DefaultConfig()).Process(raw, 3, testTime, &first)
	raw.Replay = nil
	for i := range first.Records {
		raw.Replay = append(raw.Replay, first.Records[i].Decision)
	}
	newPipeline(t, DefaultConfig()).Process(raw, 3, testTime, &second)
	c := DefaultConfig()
	c.Redact.Fields = []string{"badge"}
	stream.NonJSON = DropText
	newPipeline(t, c).Process(raw, 3, testTime, &third)
	for i := range first.Records {
		if !reflect.DeepEqual(first.Records[i].Decision, second.Records[i].Decision) || !bytes.Equal(first.Doc(i), second.Doc(i)) {
			t.Errorf("record %d is different when replayed:\n%s\n%s", i, first.Doc(i), second.Doc(i))
		}
		a, b := first.Records[i], third.Records[i]
		if a.ID != b.ID || a.Time != b.Time || a.Kind != b.Kind || a.Fate != b.Fate || a.Dated != b.Dated {
			t.Errorf("record %d: %+v became %+v", i, a, b)
		}
	}
	if bytes.Equal(first.Doc(0), third.Doc(0)) || !bytes.Contains(third.Doc(0), []byte("[REDACTED]")) {
		t.Errorf("today's redaction was not applied: %s", third.Doc(0))
	}
}

func TestReplayLeavesAloneWhatWasNotDelivered(t *testing.T) {
	t.Parallel()
	raw := cutLines(t, "{\"msg\":\"a\"}\n{\"msg\":\"b\"}\n", &Stream{})
	raw.Replay = []Decision{{Fate: Drop, Reason: "noisy"}, {Fate: Lost, Reason: ReasonGone}}
	var b Batch
	newPipeline(t, DefaultConfig()).Process(raw, 1, testTime, &b)
	for i, want := range raw.Replay {
		if b.Records[i].Decision != want || b.Doc(i) != nil {
			t.Errorf("%+v, want %+v", b.Records[i].Decision, want)
		}
	}
}

func TestIDsFollowFromPositionOrChain(t *testing.T) {
	t.Parallel()
	text := "{\"timestamp\":\"2026-11-23T10:00:00Z\",\"n\":1}\n{\"n\":2}\n"
	ids := func(number uint64, stream byte) [2]string {
		var b Batch
		newPipeline(t, DefaultConfig()).Process(cutLines(t, text, &Stream{ID: activity.StreamID{stream}}), number, testTime, &b)
		return [2]string{b.Records[0].ID.String(), b.Records[1].ID.String()}
	}
	a, b, c := ids(1, 1), ids(2, 1), ids(1, 2)
	if a[0] != b[0] || a[0] == c[0] {
		t.Errorf("dated: %v %v %v", a, b, c)
	}
	if a[1] == b[1] || a[1] != c[1] {
		t.Errorf("undated: %v %v %v", a, b, c)
	}
}

func TestTrustedIDs(t *testing.T) {
	t.Parallel()
	const given = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
	raw := cutLines(t, `{"id":"`+given+`","msg":"x","y":1}`+"\n"+`{"id":"`+given+`","kind":"activity"}`+"\n", &Stream{TrustIDs: true})
	var b Batch
	newPipeline(t, DefaultConfig()).Process(raw, 1, testTime, &b)
	for i := range b.Records {
		if got := b.Records[i].ID.String(); got != given || !b.Records[i].Trusted {
			t.Fatalf("id %s", got)
		}
		if !b.Rekey(i) || b.Rekey(i) {
			t.Fatal("Rekey must do it once")
		}
	}
	for i, doc := range documents(t, &b) {
		if at(doc, "details.id") != given || doc["id"] == given || doc["id"] != b.Records[i].ID.String() {
			t.Errorf("rekeyed: %v", doc)
		}
		leaf := base64.RawURLEncoding.EncodeToString(b.Records[i].Leaf[:])
		if at(doc, "integrity.hash") != leaf {
			t.Errorf("leaf %s, document says %v", leaf, at(doc, "integrity.hash"))
		}
	}
}

func TestNonJSON(t *testing.T) {
	t.Parallel()
	for mode, want := range map[NonJSON]Decision{DropText: {Fate: Drop, Reason: ReasonNonJSON}, DeadLetterText: {Fate: DeadLetter, Reason: ReasonNonJSON}} {
		var b Batch
		newPipeline(t, DefaultConfig()).Process(cutLines(t, "words\n{\"a\":1}\n", &Stream{NonJSON: mode}), 1, testTime, &b)
		if got := b.Records[0].Decision; got.Fate != want.Fate || got.Reason != want.Reason || b.Doc(0) != nil {
			t.Errorf("%+v", got)
		}
		if b.Doc(1) == nil {
			t.Error("the JSON line was not delivered")
		}
	}
}

// TestFreeFieldsAreNeverRefused: what Elasticsearch's flattened fields cannot take is written so that they can.
func TestFreeFieldsAreNeverRefused(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"k":`, 30) + `"x"` + strings.Repeat(`}`, 30)
	long := strings.Repeat("n", 600)
	docs, _ := process(t, DefaultConfig(), `{"deep":`+deep+`,"nul\u0000key":1,"`+long+`":{"`+long+`":2}}`+"\n")
	d := docs[0]["details"]
	if depth(d) > 19 {
		t.Errorf("depth %d", depth(d))
	}
	eachString(d, func(s string) {
		if strings.Contains(s, "\x00") {
			t.Errorf("NUL in %q", s)
		}
	})
	if longest(d, 7) > 600 {
		t.Errorf("path of %d bytes", longest(d, 7))
	}
	if docs[0]["truncated"] != true {
		t.Error("not marked as truncated")
	}
}

func depth(v any) int {
	n := 0
	switch v := v.(type) {
	case map[string]any:
		for _, e := range v {
			n = max(n, depth(e))
		}
		return n + 1
	case []any:
		for _, e := range v {
			n = max(n, depth(e))
		}
		return n + 1
	}
	return 0
}

func longest(v any, before int) int {
	n := before
	if m, ok := v.(map[string]any); ok {
		for k, e := range m {
			n = max(n, longest(e, before+1+len(k)))
		}
	}
	return n
}

func TestProcessAllocatesNothing(t *testing.T) {
	raw := cutLines(t, string(benchLines(t)), &Stream{Path: "/var/log/app.log"})
	p := newPipeline(t, DefaultConfig())
	var b Batch
	p.Process(raw, 1, testTime, &b)
	perRecord := testing.AllocsPerRun(5, func() { p.Process(raw, 1, testTime, &b) }) / float64(len(raw.Cuts))
	if perRecord > 0.5 {
		t.Errorf("%.2f allocations a record", perRecord)
	}
}

// TestCorpus puts every line of the shared corpus through: all accounted for, every document valid.
func TestCorpus(t *testing.T) {
	t.Parallel()
	for _, text := range corpusFiles(t) {
		_, b := process(t, DefaultConfig(), text)
		for i := range b.Records {
			if r := &b.Records[i]; r.Fate != Deliver && r.Reason != ReasonBlank {
				t.Errorf("record %d: %+v", i, r.Decision)
			}
		}
	}
}

func corpusFiles(t testing.TB) []string {
	t.Helper()
	var texts []string
	for _, glob := range []string{"logs/*.log", "logs/*.ndjson", "json/suite/*.json"} {
		files, err := filepath.Glob(filepath.Join(testenv.Shared(t, "corpus"), glob))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", glob, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(b))
		}
	}
	return texts
}

// check compares what became of a line with what encoding/json makes of it.
func check(t *testing.T, b *Batch, i int, line []byte) {
	doc := b.Doc(i)
	if doc == nil {
		return
	}
	if !json.Valid(doc) || !utf8.Valid(doc) {
		t.Fatalf("not valid JSON: %q\nfrom %q", doc, line)
	}
	if err := activity.Validate(doc); err != nil {
		t.Fatalf("%v\n%q\nfrom %q", err, doc, line)
	}
	line = []byte(string([]rune(string(line)))) // one U+FFFD for each byte, as encoding/json does
	var in map[string]any
	if !json.Valid(line) || unmarshal(line, &in) != nil || in == nil {
		return
	}
	var out map[string]any
	if err := unmarshal(doc, &out); err != nil {
		t.Fatal(err)
	}
	details, _ := out["details"].(map[string]any)
	for k, v := range in {
		if names.find(inLine, tape.Hash([]byte(k)), []byte(k)) != nil || out["truncated"] == true || depth(v) > 16 || strings.Contains(k, "\x00") {
			continue
		}
		name := k
		if own, ok := in["details"].(map[string]any); ok {
			if _, taken := own[k]; taken {
				name = "line_" + k
			}
		} else if in["details"] != nil && in["details"] != "" && k == "value" {
			name = "line_value"
		}
		moved := names.dotted(inLine, []byte(k)) != nil // to the field that a path such as entity.id names
		if got, ok := details[name]; !ok && !moved && !maskedName(details) || ok && !alike(v, got) {
			t.Fatalf("member %q is %#v, was %#v\n%q\nfrom %q", k, got, v, doc, line)
		}
	}
}

func unmarshal(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(v)
}

// maskedName reports whether some name of the object was redacted, so that names cannot be compared.
func maskedName(m map[string]any) bool {
	for k := range m {
		if strings.Contains(k, "[REDACTED]") {
			return true
		}
	}
	return false
}

// alike reports whether got is want, but for what was redacted.
func alike(want, got any) bool {
	if s, ok := got.(string); ok && strings.Contains(s, "[REDACTED]") {
		return true
	}
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return false
		}
		for k, v := range w {
			if e, ok := g[k]; !ok && !maskedName(g) && !strings.Contains(k, "\x00") || ok && !alike(v, e) {
				return false
			}
		}
		return true
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			return false
		}
		for i := range w {
			if !alike(w[i], g[i]) {
				return false
			}
		}
		return true
	case string:
		g, ok := got.(string)
		w = strings.ReplaceAll(w, "\x00", `\u0000`)
		return ok && (strings.ReplaceAll(g, "\x00", `\u0000`) == w || sameJSON(w, g))
	}
	return reflect.DeepEqual(want, got)
}

// sameJSON compares JSON in strings, which may be written anew when it had duplicate names.
func sameJSON(a, b string) bool {
	var x, y any
	return unmarshal([]byte(a), &x) == nil && unmarshal([]byte(b), &y) == nil && alike(x, y)
}

func FuzzProcess(f *testing.F) {
	f.Add([]byte(`{"msg":"x","password":"y","a":{"b":[1,"jane@example.com"]}}` + "\n" + `broken {"password":"z"`))
	f.Add([]byte(`{"log":"{\"a\":\"b\"}\n","stream":"stdout","time":"2026-11-23T11:00:00Z"}` + "\n" + `2026-11-23T11:00:00Z stdout P part` + "\n" + `2026-11-23T11:00:00Z stdout F rest`))
	f.Add([]byte(`{"entity.id":"x","entity_type":"order","http.request":"GET /x"}`))
	f.Add([]byte(`{"a":"{\"b\":\"{\\\"password\\\":\\\"x\\\"}\"}","details":{"a":1},"tags":[1,true]}`))
	for _, line := range bytes.SplitAfter(benchLines(f), []byte("\n"))[:7] {
		f.Add(line)
	}
	p := newPipeline(f, DefaultConfig())
	f.Fuzz(func(t *testing.T, data []byte) {
		raw := cutLines(t, string(data), &Stream{Path: "x"})
		var b Batch
		p.Process(raw, 1, testTime, &b)
		if b.Panics > 0 {
			t.Fatalf("panic on %q", data)
		}
		for i, c := range raw.Cuts {
			var line []byte
			if c.Pieces == 1 && c.Format == Bare {
				line = raw.Buf[raw.Pieces[c.First].At:][:raw.Pieces[c.First].Len]
			}
			check(t, &b, i, line)
		}
	})
}

// TestRandomLines is the differential test on generated JSON, which fuzzing reaches only slowly.
func TestRandomLines(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	p := newPipeline(t, DefaultConfig())
	for range 5_000 {
		line, err := json.Marshal(randomObject(r, 4))
		if err != nil {
			t.Fatal(err)
		}
		raw := cutLines(t, string(line)+"\n", &Stream{Path: "x"})
		var b Batch
		p.Process(raw, 1, testTime, &b)
		if b.Panics > 0 {
			t.Fatalf("panic on %s", line)
		}
		for i := range b.Records {
			check(t, &b, i, line)
		}
	}
}

var (
	someNames  = []string{"a", "foo", "request", "user", "details", "msg", "level", "error", "headers", "http", "status", "tags", "password", "old_values", "new_values", "time", "service", "b c", "ü", "x.y", "ann@example.com", "kind", "method", "url", "event", "log", "key", "value"}
	someValues = []any{"x", "", nil, true, false, 1, -2.5, 1e300, "2026-11-23T11:00:00Z", "GET", "/a?token=abc", "ann@example.com", `{"a":"b"}`, `[1,2`, "4111111111111111", 4111111111111111, "200", 404, "\x00", "漢字\n", "ok", "10.0.0.1", "info", "password"}
)

func randomObject(r *rand.Rand, depth int) map[string]any {
	m := map[string]any{}
	for range r.IntN(7) {
		m[someNames[r.IntN(len(someNames))]] = randomValue(r, depth-1)
	}
	return m
}

func randomValue(r *rand.Rand, depth int) any {
	switch k := r.IntN(10); {
	case depth > 0 && k < 2:
		return randomObject(r, depth)
	case depth > 0 && k == 2:
		a := []any{}
		for range r.IntN(4) {
			a = append(a, randomValue(r, depth-1))
		}
		return a
	}
	return someValues[r.IntN(len(someValues))]
}
