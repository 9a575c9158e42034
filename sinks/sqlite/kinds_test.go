package sqlite

import (
	"path/filepath"
	"testing"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/sinks"
)

// TestADeclaredFieldGetsItsColumnLater: a kind was declared with fewer fields when the file was made. And a batch of an earlier
// configuration, whose kinds have other numbers or are gone, goes into the columns of today.
func TestADeclaredFieldGetsItsColumnLater(t *testing.T) {
	t.Parallel()
	made := func(kinds ...activity.KindConfig) *activity.Model {
		m, err := activity.NewModel(kinds)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	c := Config{Path: filepath.Join(t.TempDir(), "a.db")}
	amount := activity.FieldConfig{Name: "amount", Type: "double"}
	before := made(activity.KindConfig{Name: "gone"}, activity.KindConfig{Name: "payment"})
	after := made(activity.KindConfig{Name: "payment", Fields: []activity.FieldConfig{amount}})
	put := func(m *activity.Model, n int, kind activity.Kind, of *activity.Model, more string) {
		s, err := Open(c, Options{Model: m})
		if err != nil {
			t.Fatal(err)
		}
		doc := document(activity.Plain, n, day0, more)
		b := batchOf(doc)
		b.Records[0].Kind, b.Model = kind, of
		results := make([]sinks.Result, 1)
		if err := s.Write(t.Context(), b, results); err != nil || results[0].Verdict != sinks.Stored {
			t.Fatalf("%v, %v", results, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	put(before, 1, activity.FirstCustom+1, before, `"amount":1.5`)
	then := after.Under(before.CustomNames())
	put(after, 2, activity.FirstCustom+1, then, `"amount":2.5`)
	put(after, 3, activity.FirstCustom, then, `"amount":3.5`) // gone: into the columns of all
	put(after, 4, activity.FirstCustom, after, `"amount":4.5`)
	r, err := OpenReader(c, after)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	q, err := search.Parse(after, map[string][]string{"amount.gte": {"2"}}, nil, day0)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := r.Count(t.Context(), q); err != nil || n != 2 { // the one that is gone has none
		t.Errorf("got %d, %v; want 2", n, err)
	}
	q.Where[0].Values = []any{1.0}
	if n, err := r.Count(t.Context(), q); err != nil || n != 3 { // the first was filled in
		t.Errorf("got %d, %v; want 3", n, err)
	}
}
