package elasticsearch

import (
	"errors"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/amend"
	"github.com/truledgr/activity-agent/activity/search"
)

// TestNodeAmends: an amended document is where it was, found by what it says now, and stays a duplicate of what was delivered.
func TestNodeAmends(t *testing.T) {
	t.Parallel()
	c, n := onNode(t)
	s, r := mustOpen(t, c), mustRead(t, c)
	d := document(activity.DataChange, 1, day0, `"description":"an order was opened","status":"open"`)
	d.rec.Trusted = true
	write(t, s, d, document(activity.Plain, 2, day0, ""))
	for round, find := range []string{"by the id's time", "by searching"} {
		old, err := r.Versioned(t.Context(), d.rec.ID)
		if err != nil {
			t.Fatalf("%s: %v", find, err)
		}
		status := []string{`"closed"`, `"closed for good"`}[round]
		doc, err := amend.Apply(old.Doc, amend.Changes{activity.Status: []byte(status)}, amend.Entry{ID: "x", Hash: "y", At: day0.Add(time.Hour), By: "zoe"})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Replace(t.Context(), d.rec.ID, old, doc); err != nil {
			t.Fatalf("%s: %v", find, err)
		}
		if err := r.Replace(t.Context(), d.rec.ID, old, doc); !errors.Is(err, search.ErrChanged) {
			t.Errorf("%s: from the old version once more: %v", find, err)
		}
		refresh(t, n, c)
		if got, err := r.Get(t.Context(), d.rec.ID); err != nil || string(got) != string(doc) {
			t.Errorf("%s: got %s, %v", find, got, err)
		}
		r.target.periods = []string{"day", "day", "day", "day", "day", "day", "day", "day"} // where it is not
	}
	if got := verdicts(write(t, s, d)); got != "duplicate" {
		t.Errorf("delivered again: %s", got)
	}
	if _, err := r.Versioned(t.Context(), document(activity.Plain, 99, day0, "").rec.ID); !errors.Is(err, search.ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
}
