package sqlite

import (
	"errors"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/amend"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/sinks"
)

// TestAnAmendedRow is found by what it says now and not by what it said, and stays a duplicate of what was delivered.
func TestAnAmendedRow(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/a.db"
	s := mustOpen(t, path)
	d := document(activity.DataChange, 1, day0, `"description":"an order was opened","status":"open","table_name":"orders"`)
	d.rec.Trusted = true
	write(t, s, d, document(activity.DataChange, 2, day0, `"description":"another order","status":"open"`))
	r := mustRead(t, path)
	old, err := r.Versioned(t.Context(), d.rec.ID)
	if err != nil {
		t.Fatal(err)
	}
	changes := amend.Changes{activity.Status: []byte(`"closed"`), activity.Description: []byte(`"finished"`)}
	doc, err := amend.Apply(old.Doc, changes, amend.Entry{ID: "x", Hash: "y", At: day0.Add(time.Hour), By: "zoe"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Replace(t.Context(), d.rec.ID, old, doc); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, value string
		want        int64
	}{{"status", "open", 1}, {"status", "closed", 1}, {"q", "opened", 0}, {"q", "finished", 1}, {"q", "order", 1}, {"table_name", "orders", 1}} {
		if n := matching(t, r, tt.name, tt.value); n != tt.want {
			t.Errorf("%s=%s: got %d, want %d", tt.name, tt.value, n, tt.want)
		}
	}
	if got, err := r.Get(t.Context(), d.rec.ID); err != nil || string(got) != string(doc) {
		t.Errorf("got %s, %v", got, err)
	}
	if err := r.Replace(t.Context(), d.rec.ID, old, doc); !errors.Is(err, search.ErrChanged) {
		t.Errorf("from the old version once more: %v", err)
	}
	if err := r.Replace(t.Context(), idAt(day0, 99), old, doc); !errors.Is(err, search.ErrNotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	if got := write(t, s, d); got[0].Verdict != sinks.Duplicate {
		t.Errorf("delivered again: %v", got)
	}
	integrity(t, path)
}
