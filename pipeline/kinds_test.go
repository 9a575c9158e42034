package pipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/pipeline/rule"
)

// TestLinesOfDeclaredKinds: which lines become one, what their fields take, and what redaction leaves of them.
func TestLinesOfDeclaredKinds(t *testing.T) {
	t.Parallel()
	m, err := activity.NewModel([]activity.KindConfig{{Name: "payment", Category: []string{"api"}, Fields: []activity.FieldConfig{
		{Name: "amount", Type: "double"}, {Name: "currency", Type: "keyword", Values: []string{"EUR", "USD"}}, {Name: "card_network", Type: "keyword"},
		{Name: "labels", Type: "keywords"}, {Name: "origin", Type: "ip"}, {Name: "due_at", Type: "date"}, {Name: "items", Type: "long"},
		{Name: "captured", Type: "bool"}, {Name: "memo", Type: "text"}, {Name: "basket", Type: "free"}, {Name: "username", Type: "keyword"}, {Name: "method", Type: "keyword"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Classify = []rule.Config{
		{Name: "paid", When: `evt == "paid"`, Kind: "payment", Rename: map[string]string{"sum.total": "amount"}, Set: map[string]string{"items": "1", "amount": "0.5", "card_network": "none"}},
	}
	p, err := New(Options{Config: c, Model: m, AgentID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string][]string{
		`{"kind":"payment","amount":"1.50","currency":"EUR","cardNetwork":"visa","labels":["a"],"origin":"10.0.0.1:80","due_at":1764000000,"items":3,"captured":"yes","memo":"hi","basket":{"a":1},"method":"POST"}`: {
			`"kind":"payment","activity_type":"payment"`, `"method":"POST","amount":1.5,"currency":"EUR","card_network":"visa","labels":["a"],"origin":"10.0.0.1","due_at":"2025-11-24T16:00:00Z","items":3,"captured":true,"memo":"hi","basket":{"a":1}`,
			`"event":{"kind":"event","category":["api"]}`, `"classified_by":"kind"`},
		`{"kind":"Payment","amount":"much","currency":"GBP","origin":"nowhere"}`:                   {`"details":{"amount":"much","currency":"GBP","origin":"nowhere"}`},
		`{"kind":"payment","username":"ann","user_id":"u1"}`:                                       {`"user_id":"u1"`, `"username":"ann"`},
		`{"evt":"paid","sum":{"total":9}}`:                                                         {`"kind":"payment"`, `"amount":9,"card_network":"none","items":1`, `"classified_by":"rule:paid"`},
		`{"evt":"paid"}`:                                                                           {`"amount":0.5,"card_network":"none","items":1`},
		`{"kind":"payment","memo":"card 4111111111111111","card_network":"AKIAIOSFODNN7EXAMPLE0"}`: {`"memo":"card [`},
		`{"kind":"payment","status":"failed","error":"declined","level":"warn","duration_ms":3}`:   {`"outcome":"failure"`, `"status":"failed"`, `"details":{"level":"warn","duration_ms":3}`},
		`{"type":"payment","amount":3}`:                                                            {`"kind":"`, `"details":{"type":"payment","amount":3}`},
		`{"kind":"auth_event","amount":3,"user_id":"u","event_type":"login"}`:                      {`"kind":"auth_event"`, `"details":{"amount":3}`},
	} {
		raw := &Raw{Buf: []byte(line), Ranges: []Range{{Stream: &Stream{Path: "a.log"}, End: int64(len(line))}},
			Pieces: []Piece{{Len: int32(len(line))}}, Cuts: []Cut{{Pieces: 1}}}
		var b Batch
		p.Process(raw, 1, time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), &b)
		doc := string(b.Doc(0))
		if err := m.Validate(b.Doc(0)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		for _, w := range want {
			if !strings.Contains(doc, w) {
				t.Errorf("%s:\n%s\nhas no %s", line, doc, w)
			}
		}
		if strings.Contains(doc, "4111111111111111") {
			t.Errorf("a secret is left: %s", doc)
		}
	}
}
