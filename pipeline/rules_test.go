package pipeline

import (
	"fmt"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/pipeline/rule"
)

func ruled(rules ...rule.Config) Config {
	c := DefaultConfig()
	c.Classify = rules
	return c
}

func TestRules(t *testing.T) {
	t.Parallel()
	const order = `{"level":"info","event":"order.placed","total":250,"order_no":"A-17","customer":{"no":"c-9"},"tags":["a","b"],"log.level":"x","free":null}`
	for _, tc := range []struct {
		when string
		rule rule.Config
		line string
		want map[string]string // path → value; nil for a line that is dropped
	}{
		{`level == "debug"`, rule.Config{Drop: true}, `{"level":"debug","msg":"x"}`, nil},
		{`level == "debug"`, rule.Config{Drop: true}, `{"level":"info","msg":"x"}`, map[string]string{"description": "x", "classified_by": "level"}},
		{`level == "debug"`, rule.Config{Drop: true}, `{"msg":"x"}`, map[string]string{"description": "x"}},
		{`level != "info"`, rule.Config{Drop: true}, `{"msg":"no level"}`, nil},
		{`level in ["debug", "trace"]`, rule.Config{Drop: true}, `{"level":"trace","msg":"x"}`, nil},
		{`total in 100..300`, rule.Config{Drop: true}, order, nil},
		{`total > 100 and event startsWith "order."`, rule.Config{Kind: "data_change"}, order, map[string]string{"kind": "data_change", "classified_by": "rule:r", "details.order_no": "A-17"}},
		{`total > 1000`, rule.Config{Kind: "data_change"}, order, map[string]string{"kind": "system_event"}},
		{`level > 3`, rule.Config{Drop: true}, order, map[string]string{"kind": "system_event"}},
		{`event matches "^order[.]"`, rule.Config{ActivityType: "order \"x\""}, order, map[string]string{"activity_type": `order "x"`, "kind": "system_event"}},
		{`customer.no == "c-9"`, rule.Config{Kind: "data_access", Rename: map[string]string{"customer.no": "user_id"}}, order, map[string]string{"user_id": "c-9", "details.customer": ""}},
		{`customer?.no == "c-9"`, rule.Config{Copy: map[string]string{"customer.no": "user_id"}}, order, map[string]string{"user_id": "c-9", "details.customer.no": "c-9"}},
		{`customer.name.first == "x"`, rule.Config{Drop: true}, order, map[string]string{"kind": "system_event"}},
		{`total == 250`, rule.Config{Rename: map[string]string{"order_no": "entity_id"}, Set: map[string]string{"entity_type": "order"}}, order, map[string]string{"entity_id": "A-17", "entity_type": "order", "details.order_no": ""}},
		{`total == 250`, rule.Config{Set: map[string]string{"severity": "error", "component": "shop"}}, order, map[string]string{"severity": "info", "component": "shop"}},
		{`total == 250`, rule.Config{Kind: "api_transaction", Set: map[string]string{"status_code": "204"}}, order, map[string]string{"status_code": "204"}},
		{`"b" in tags`, rule.Config{Drop: true}, order, nil},
		{`any(tags, # == "b")`, rule.Config{Drop: true}, order, nil},
		{`line["log.level"] == "x"`, rule.Config{Drop: true}, order, nil},
		{`line["order_no"] == order_no`, rule.Config{Drop: true}, order, nil},
		{`free == nil`, rule.Config{Drop: true}, order, nil},
		{`len(event) == 12`, rule.Config{Drop: true}, order, nil},
		{`upper(level) == "INFO"`, rule.Config{Drop: true}, order, nil},
		{`_kind == "api_transaction" and path startsWith "/health"`, rule.Config{Drop: true}, `{"method":"GET","path":"/healthz","status":200}`, nil},
		{`_kind == "api_transaction" and path startsWith "/health"`, rule.Config{Drop: true}, `{"method":"GET","path":"/orders","status":200}`, map[string]string{"kind": "api_transaction"}},
		{`_text contains "probe"`, rule.Config{Drop: true}, `a probe came by`, nil},
		{`_text contains "probe"`, rule.Config{Drop: true}, `{"msg":"probe"}`, map[string]string{"description": "probe"}},
		{`_text contains "login"`, rule.Config{Kind: "auth_event", Set: map[string]string{"event_type": "login"}}, `login of ann`, map[string]string{"kind": "auth_event", "event_type": "login", "description": "login of ann"}},
		{`_text contains "probe" or level == "debug"`, rule.Config{Drop: true}, `a probe came by`, nil},
		{`_kind == "auth_event" or secret_door == true`, rule.Config{Drop: true}, `{"kind":"auth_event","event_type":"login"}`, nil},
		{`_file endsWith "app.log"`, rule.Config{Drop: true}, order, nil},
		{`kind == "noise"`, rule.Config{Kind: "activity"}, `{"kind":"noise","msg":"x"}`, map[string]string{"kind": "activity", "details.kind": "noise"}},
		{`kind == "auth_event"`, rule.Config{Kind: "activity"}, `{"kind":"auth_event","event_type":"login"}`, map[string]string{"kind": "activity", "details.kind": "auth_event"}},
		{`msg == "ann@example.com"`, rule.Config{Copy: map[string]string{"msg": "entity_id"}}, `{"msg":"ann@example.com"}`, map[string]string{"entity_id": "[REDACTED]", "description": "[REDACTED]"}},
		{`password != nil`, rule.Config{Rename: map[string]string{"password": "entity_id"}}, `{"msg":"x","password":"hunter2"}`, map[string]string{"entity_id": "[REDACTED]"}},
		{`true`, rule.Config{Drop: true}, `[1,2]`, nil},
	} {
		t.Run(tc.when, func(t *testing.T) {
			t.Parallel()
			tc.rule.Name, tc.rule.When = "r", tc.when
			docs, b := process(t, ruled(tc.rule, rule.Config{Name: "last", When: "false", Drop: true}), tc.line+"\n")
			if r := b.Records[0]; (tc.want == nil) != (r.Fate == Drop) || r.Fate == Drop && r.Reason != "r" {
				t.Fatalf("fate %v for %q, want dropped: %v", r.Fate, r.Reason, tc.want == nil)
			}
			for path, want := range tc.want {
				got := ""
				if v := at(docs[0], path); v != nil {
					got = fmt.Sprint(v)
				}
				if got != want {
					t.Errorf("%s is %q, want %q in %s", path, got, want, b.Doc(0))
				}
			}
		})
	}
}

func TestTheFirstRuleThatHoldsCounts(t *testing.T) {
	t.Parallel()
	docs, _ := process(t, ruled(
		rule.Config{Name: "no", When: "a == 2", Drop: true},
		rule.Config{Name: "first", When: "a == 1", Kind: "data_access"},
		rule.Config{Name: "second", When: "a == 1", Kind: "data_change"},
	), `{"a":1}`+"\n")
	if docs[0]["classified_by"] != "rule:first" || docs[0]["kind"] != "data_access" {
		t.Errorf("got %v", docs[0])
	}
}

// TestSample: about the share is stored, and the same records each time, also on replay.
func TestSample(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&text, `{"ts":"2026-11-23T11:00:00Z","level":"info","msg":"x","i":%d}`+"\n", i)
	}
	p := newPipeline(t, ruled(rule.Config{Name: "some", When: `level == "info"`, Sample: 0.25}))
	raw := cutLines(t, text.String(), &Stream{Path: "/app.log"})
	var first, second Batch
	p.Process(raw, 1, testTime, &first)
	p.Process(raw, 9, testTime, &second)
	stored := 0
	for i := range first.Records {
		a, b := &first.Records[i], &second.Records[i]
		if a.Fate != b.Fate {
			t.Fatalf("record %d is not of both samples", i)
		}
		if a.Fate == Deliver {
			stored++
		} else if a.Reason != "some" {
			t.Fatalf("dropped by %q", a.Reason)
		}
	}
	if stored < 850 || stored > 1150 {
		t.Errorf("%d of 4000 stored, want about 1000", stored)
	}
	replay := *raw
	for i := range first.Records {
		replay.Replay = append(replay.Replay, first.Records[i].Decision)
	}
	p = newPipeline(t, ruled(rule.Config{Name: "none", When: `true`, Drop: true}))
	p.Process(&replay, 1, testTime, &second)
	for i := range second.Records {
		if second.Records[i].Fate != first.Records[i].Fate {
			t.Fatalf("the replay of record %d has another fate", i)
		}
	}
}

func BenchmarkRules(b *testing.B) {
	src := string(benchLines(b))
	raw := cutLines(b, src, &Stream{Path: "/var/log/app/app.log"})
	p := newPipeline(b, ruled(
		rule.Config{Name: "one", When: `not_there == "x" and other > 1`, Drop: true},
		rule.Config{Name: "two", When: `seldom startsWith "y"`, Drop: true},
	))
	var out Batch
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		p.Process(raw, 1, testTime, &out)
	}
}
