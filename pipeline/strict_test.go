package pipeline

import (
	"strings"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
)

// posted makes a batch of records as they are posted, one a text.
func posted(t *testing.T, s Stream, at time.Time, texts ...string) *Batch {
	t.Helper()
	p, err := New(Options{Config: DefaultConfig(), AgentID: "a", Chain: activity.ChainID{1}})
	if err != nil {
		t.Fatal(err)
	}
	raw := &Raw{Ranges: []Range{{Stream: &s}}}
	for i, text := range texts {
		raw.Cuts = append(raw.Cuts, Cut{First: int32(i), Pieces: 1})
		raw.Pieces = append(raw.Pieces, Piece{Offset: int64(len(raw.Buf)), At: int32(len(raw.Buf)), Len: int32(len(text))})
		raw.Buf = append(raw.Buf, text...)
	}
	b := new(Batch)
	p.Process(raw, 7, at, b)
	return b
}

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func TestStrictStreamsRefuseWhatDoesNotFit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind    activity.Kind
		text    string
		pointer string // "" is all of it, "-" nothing is wrong
		syntax  bool
	}{
		{text: `{}`, pointer: "-"},
		{text: `{"user_id":"u","tags":["a"],"details":[1],"unknown":{"a":1}}`, pointer: "-"},
		{text: `{"user_id":null,"tags":null,"service":null}`, pointer: "-"},
		{text: `{"status_code":"x"}`, pointer: "-"}, // no field of a plain activity, so one for details
		{text: `{"@timestamp":1700000000.5}`, pointer: "-"},
		{text: `{"user_id":1,"user_id":"the last one counts"}`, pointer: "-"},
		{kind: activity.APITransaction, text: `{"kind":"api-transaction","status_code":200,"execution_time_ms":1e3}`, pointer: "-"},
		{kind: activity.APITransaction, text: `{"status_code":"200"}`, pointer: "/status_code"},
		{kind: activity.APITransaction, text: `{"status_code":1.5}`, pointer: "/status_code"},
		{kind: activity.APITransaction, text: `{"status_code":1e99}`, pointer: "/status_code"},
		{kind: activity.APITransaction, text: `{"execution_time_ms":1e999}`, pointer: "/execution_time_ms"},
		{kind: activity.AuthEvent, text: `{"success":"yes"}`, pointer: "/success"},
		{kind: activity.AuthEvent, text: `{"kind":"data_access"}`, pointer: "/kind"},
		{kind: activity.ExternalAPI, text: `{"rate_limit":{"remaining":"1"}}`, pointer: "/rate_limit/remaining"},
		{text: `{"tags":"a"}`, pointer: "/tags"},
		{text: `{"tags":["a",1]}`, pointer: "/tags"},
		{text: `{"service":{"name":["x"]}}`, pointer: "/service/name"},
		{text: `{"id":"x"}`, pointer: "/id"},
		{text: `{"kind":7}`, pointer: "/kind"},
		{text: `{"@timestamp":"yesterday"}`, pointer: "/@timestamp"},
		{text: `[]`, pointer: ""},
		{text: `{`, pointer: "", syntax: true},
		{text: ` `, pointer: "", syntax: true},
		{text: strings.Repeat("[", 600) + strings.Repeat("]", 600), pointer: "", syntax: true},
	} {
		b := posted(t, Stream{Strict: true, Kind: tt.kind, Journaled: true}, noon, `{"n":1}`, tt.text)
		switch {
		case tt.pointer == "-":
			if len(b.Problems) > 0 || b.Records[1].Fate != Deliver {
				t.Errorf("%.80s: %+v", tt.text, b.Problems)
			}
		case len(b.Problems) != 1:
			t.Errorf("%.80s: %+v", tt.text, b.Problems)
		default:
			p := b.Problems[0]
			if p.Record != 1 || p.Pointer != tt.pointer || p.Syntax != tt.syntax || p.Reason == "" || b.Records[1].Fate != DeadLetter {
				t.Errorf("%.80s: %+v, fate %d", tt.text, p, b.Records[1].Fate)
			}
		}
	}
}

func TestProblemsAreListedUpToALimit(t *testing.T) {
	t.Parallel()
	texts := make([]string, 100)
	for i := range texts {
		texts[i] = `{"user_id":1}`
	}
	b := posted(t, Stream{Strict: true}, noon, texts...)
	if len(b.Problems) != maxProblems || b.Records[99].Fate != DeadLetter {
		t.Errorf("%d problems, fate %d", len(b.Problems), b.Records[99].Fate)
	}
}

// TestIDsOfJournaledRecordsFollowFromTheirPlace: the same at the same time in the same scope, whatever the batch.
func TestIDsOfJournaledRecordsFollowFromTheirPlace(t *testing.T) {
	t.Parallel()
	s := Stream{ID: activity.StreamID{1}, Journaled: true}
	a, b := posted(t, s, noon, `{"n":1}`, `{"n":2}`), posted(t, s, noon, `{"n":1}`, `{"n":2}`)
	if a.Records[0].ID != b.Records[0].ID || a.Records[0].ID == a.Records[1].ID {
		t.Error(a.Records[0].ID, b.Records[0].ID, a.Records[1].ID)
	}
	s.ID = activity.StreamID{2}
	if c := posted(t, s, noon, `{"n":1}`); c.Records[0].ID == a.Records[0].ID {
		t.Error("another scope gives the same id")
	}
}

// TestARestoredBatchIsTheSame: but for its place in the chain.
func TestARestoredBatchIsTheSame(t *testing.T) {
	t.Parallel()
	was := posted(t, Stream{Journaled: true, TrustIDs: true}, noon, `{"n":1,"password":"x"}`, `{"id":"01KB3V3VB0000000000000000A"}`)
	was.Records[0].Fate, was.Records[0].Reason = Drop, "a rule"
	var s Saved
	s.Ranges = append(s.Ranges, Range{Stream: &Stream{ID: activity.StreamID{9}, Journaled: true}, Start: 100, End: 300})
	for i := range was.Records {
		r := &was.Records[i]
		s.Records = append(s.Records, SavedRecord{Decision: r.Decision, ID: r.ID, Trusted: r.Trusted, Body: was.Body(i)})
		s.Pieces = append(s.Pieces, Piece{Offset: int64(100 + 50*i), Len: 50})
	}
	p, err := New(Options{Config: DefaultConfig(), AgentID: "a", Chain: activity.ChainID{1}})
	if err != nil {
		t.Fatal(err)
	}
	b := new(Batch)
	p.Restore(&s, nil, 42, noon.Add(time.Hour), b)
	if b.Doc(0) != nil || b.Records[0].Reason != "a rule" {
		t.Errorf("%s, %+v", b.Doc(0), b.Records[0])
	}
	doc, old := string(b.Doc(1)), string(was.Doc(1))
	if want := strings.Replace(old, `"batch":7`, `"batch":42`, 1); doc != want || !strings.Contains(doc, `"batch":42,"seq":1`) {
		t.Errorf("got  %s\nwant %s", doc, want)
	}
	if err := activity.Validate(b.Doc(1)); err != nil {
		t.Error(err)
	}
	if !b.Rekey(1) || !strings.Contains(string(b.Doc(1)), `"details":{"id":"01KB3V3VB0000000000000000A"}`) {
		t.Errorf("%s", b.Doc(1))
	}
	if offset, n := b.Position(1); offset != 150 || n != 50 {
		t.Error(offset, n)
	}
}

// TestATimeThatTheAgentGaveIsNoDifference: what is sent again under its id is the same activity.
func TestATimeThatTheAgentGaveIsNoDifference(t *testing.T) {
	t.Parallel()
	const id = `{"id":"01JDG5XK9QZJ8T6X7R5W3V2B1A"` // of a time that is not accepted any more
	s := Stream{TrustIDs: true, Journaled: true}
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{id + `}`, id + `}`, true},
		{id + `}`, id + `,"x":1}`, false},
		{id + `}`, id + `,"@timestamp":"2026-11-24T12:00:00.5Z"}`, false},
	} {
		a, b := posted(t, s, noon, tt.a), posted(t, s, noon.Add(time.Minute), tt.b)
		if same, err := SameActivity(a.Doc(0), b.Doc(0)); same != tt.want || err != nil {
			t.Errorf("%s and %s: %v, %v", tt.a, tt.b, same, err)
		}
	}
}
