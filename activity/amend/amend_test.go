package amend

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/truledgr/activity-agent/activity"
)

const doc = `{"id":"01KDYAMRV09CYK0YJ6J4X9YYBN","@timestamp":"2026-01-02T03:04:05Z","kind":"data_change","activity_type":"x",` +
	`"created_at":"2026-01-02T03:04:06Z","description":"a <b> & \u2028 \"c\"","status":"open","table_name":"orders",` +
	`"details":{"z":1.50,"a":{"b":"1e400","c":1e400}},"service":{"name":"shop"},"classified_by":"level",` +
	`"integrity":{"chain":"AAAAAAAAAAAAAAAAAAAAAA","batch":1,"seq":0,"hash":"KAQijiXP0LXRDoe5j6kTEIhmoS-HZZdKg9ZL3iwtTNQ"}}`

var at = time.Date(2026, 2, 3, 4, 5, 6, 700, time.UTC)

func entry(id string) Entry { return Entry{ID: id, Hash: "h" + id, At: at, By: "zoe"} }

func TestAnAmendmentSaysWhoWhenAndWhatWasThere(t *testing.T) {
	t.Parallel()
	got, err := Apply([]byte(doc), Changes{activity.Status: []byte(`"done"`), activity.Tags: []byte(`["checked"]`), activity.Description: nil}, entry("1"))
	if err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer(
		`"created_at":"2026-01-02T03:04:06Z",`, `"created_at":"2026-01-02T03:04:06Z","updated_at":"2026-02-03T04:05:06.0000007Z",`,
		`"description":"a <b> & \u2028 \"c\"",`, ``,
		`"status":"open",`, `"status":"done","tags":["checked"],`,
		`"classified_by":"level",`, `"classified_by":"level","amendments":[{"id":"1","at":"2026-02-03T04:05:06.0000007Z","by":"zoe","hash":"h1",`+
			`"changed":["status","description","tags"],"old":{"description":"a <b> & \u2028 \"c\"","status":"open"}}],`,
	).Replace(doc)
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if back, err := Original(got); err != nil || string(back) != doc {
		t.Errorf("the original: %v\n%s", err, back)
	}
}

// TestEveryAmendmentCanBeTakenBack, to the byte, whatever was changed how often.
func TestEveryAmendmentCanBeTakenBack(t *testing.T) {
	t.Parallel()
	values := map[activity.FieldID][]string{
		activity.Status:      {"", `"a"`, `"\u003c\ud83d\ude00"`},
		activity.Description: {"", `"<&>"`, `""`},
		activity.Tags:        {"", `["x","y"]`, `[]`},
		activity.Details:     {"", `{"n":1.0}`, `{"b":{"a":null}}`},
		activity.Metadata:    {"", `{"k":"v"}`},
	}
	rapid.Check(t, func(t *rapid.T) {
		now := []byte(doc)
		for n := range rapid.IntRange(0, 5).Draw(t, "amendments") {
			c := Changes{}
			for _, f := range Fields() {
				if rapid.Bool().Draw(t, f.Name()) {
					c[f] = nil
					if v := rapid.SampledFrom(values[f]).Draw(t, "value"); v != "" {
						c[f] = []byte(v)
					}
				}
			}
			var err error
			if now, err = Apply(now, c, entry(string(rune('a'+n)))); err != nil {
				t.Fatal(err)
			}
			if !json.Valid(now) {
				t.Fatalf("not JSON: %s", now)
			}
		}
		if back, err := Original(now); err != nil || string(back) != doc {
			t.Fatalf("%v\nfrom %s\ngot  %s\nwant %s", err, now, back, doc)
		}
	})
}

func TestLimits(t *testing.T) {
	t.Parallel()
	now, err := []byte(doc), error(nil)
	for range MaxAmendments {
		if now, err = Apply(now, Changes{activity.Status: []byte(`"x"`)}, entry("1")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Apply(now, Changes{activity.Status: nil}, entry("1")); !errors.Is(err, ErrMany) {
		t.Errorf("one more: %v", err)
	}
	big := []byte(`"` + strings.Repeat("x", MaxDocument) + `"`)
	if _, err := Apply([]byte(doc), Changes{activity.Description: big}, entry("1")); !errors.Is(err, ErrLarge) {
		t.Errorf("a large one: %v", err)
	}
	for _, bad := range []string{``, `[]`, `{"amendments":7}`, `{"amendments":[7]}`} {
		if _, err := Original([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a document", bad)
		}
	}
}

// TestMerge has the cases of RFC 7396, appendix A, that are of objects.
func TestMerge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ old, patch, redacted, want string }{
		{`{"a":"b"}`, `{"a":"c"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"b"}`, `{"b":"c"}`, `{"b":"c"}`, `{"a":"b","b":"c"}`},
		{`{"a":"b"}`, `{"a":null}`, `{}`, ``},
		{`{"a":"b","b":"c"}`, `{"a":null}`, ``, `{"b":"c"}`},
		{`{"a":["b"]}`, `{"a":"c"}`, `{"a":"c"}`, `{"a":"c"}`},
		{`{"a":"c"}`, `{"a":["b"]}`, `{"a":["b"]}`, `{"a":["b"]}`},
		{`{"a":{"b":"c","e":1.50}}`, `{"a":{"b":"d","c":null}}`, `{"a":{"b":"d"}}`, `{"a":{"b":"d","e":1.50}}`},
		{`{"a":{"b":"c","d":1}}`, `{"a":{"b":null}}`, ``, `{"a":{"d":1}}`},
		{``, `{"a":{"bb":{"ccc":null}}}`, ``, ``},
		{`{"a":"b"}`, `{"a":{}}`, ``, `{"a":{}}`},
		{`{"a":["b"]}`, `{"a":{"c":{"d":null}}}`, ``, `{"a":{}}`},
		{`{"a":{"b":"c"}}`, `{"a":{}}`, ``, `{"a":{"b":"c"}}`},
		{`{"a":{"b":"c"}}`, `{"a":{"b":{}}}`, ``, `{"a":{"b":{}}}`},
		{`{"a":"b"}`, `{"a":{"c":{}},"d":1}`, `{"d":1}`, `{"a":{},"d":1}`},
		{`{"e":1e400}`, `{"password":"x"}`, `{"password":"[REDACTED]"}`, `{"e":1e400,"password":"[REDACTED]"}`},
	} {
		got, err := Merge([]byte(tt.old), []byte(tt.patch), []byte(tt.redacted))
		if err != nil || string(got) != tt.want {
			t.Errorf("%s with %s: got %s, %v, want %s", tt.old, tt.patch, got, err, tt.want)
		}
	}
}
