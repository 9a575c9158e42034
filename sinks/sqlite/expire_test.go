package sqlite

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/sinks"
)

// expire deletes everything that is over the limits, step by step, and returns what was.
func expire(t *testing.T, s *Store, limits ...sinks.Limit) (all []sinks.Expired) {
	t.Helper()
	for {
		x, ok, err := s.Expired(t.Context(), limits)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return all
		}
		all = append(all, x)
		for p := sinks.More; p == sinks.More; {
			if p, err = s.Delete(t.Context(), x); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func store(t *testing.T, s *Store, docs ...testDoc) {
	t.Helper()
	for len(docs) > 0 {
		n := min(len(docs), 500)
		results := make([]sinks.Result, n)
		if err := s.Write(t.Context(), batchOf(docs[:n]...), results); err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Verdict != sinks.Stored {
				t.Fatalf("document %d: got %v", i, r)
			}
		}
		docs = docs[n:]
	}
}

func words(n int) string {
	return fmt.Sprintf(`"user_id":"user-%d","description":"order %d was placed by somebody in a shop with a long name number%d"`, n%50, n, n)
}

func TestExpiredRowsGoAndTheRestStays(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/a.db"
	s := mustOpen(t, path)
	var docs []testDoc
	for n := range 1500 {
		k := []activity.Kind{activity.AuthEvent, activity.DataChange, activity.Plain}[n%3]
		docs = append(docs, document(k, n, day0.Add(time.Duration(n)*time.Hour), words(n)))
	}
	store(t, s, docs...)
	cut := day0.Add(600 * time.Hour)
	got := expire(t, s, sinks.Limit{Kind: activity.AuthEvent, Before: cut}, sinks.Limit{Kind: activity.DataChange, Before: day0.Add(300 * time.Hour)})
	if len(got) != 2 || got[0].Kind != "auth_event" || got[0].Records != 200 || !got[0].Since.Equal(day0) || got[1].Records != 100 {
		t.Fatalf("got %+v", got)
	}
	r := mustRead(t, path)
	for _, tt := range []struct {
		what, name, value string
		want              int64
	}{
		{"auth events", "kind", "auth_event", 300},
		{"data changes", "kind", "data_change", 400},
		{"plain activities", "kind", "activity", 500},
		{"a word that all had", "q", "somebody", 1200},
		{"a word of one that went", "q", "number0", 0},
		{"a word of the last that went", "q", "number597", 0},
		{"a word of the first that stayed", "q", "number600", 1},
		{"a user", "user_id", "user-3", 24},
	} {
		if n := matching(t, r, tt.name, tt.value); n != tt.want {
			t.Errorf("%s: got %d, want %d", tt.what, n, tt.want)
		}
	}
	var left int64
	if err := openRaw(t, path).QueryRow("SELECT count(*) FROM activities_text WHERE activities_text MATCH 'somebody'").Scan(&left); err != nil || left != 1200 {
		t.Errorf("the full text itself has %d, %v; want the words of the 1200 that stayed", left, err)
	}
	integrity(t, path)
}

func TestTheFileShrinks(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/a.db"
	s := mustOpen(t, path)
	var docs []testDoc
	for n := range 12_000 {
		docs = append(docs, document(activity.Plain, n, day0.Add(time.Duration(n)*time.Minute), words(n)))
	}
	store(t, s, docs...)
	size := func() int64 {
		if err := s.conn.exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	expire(t, s, sinks.Limit{Kind: activity.Plain, Before: day0.Add(11_000 * time.Minute)})
	if after := size(); after > before/4 {
		t.Errorf("a twelfth is left, and of %d bytes %d", before, after)
	}
	if n := matching(t, mustRead(t, path), "q", "somebody"); n != 1000 {
		t.Errorf("got %d, want the 1000 that stay", n)
	}
	integrity(t, path)
}

// TestManyExpiredRowsGoInParts, so that none takes long to count; rows of the same moment are of one part.
func TestManyExpiredRowsGoInParts(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, t.TempDir()+"/a.db")
	s.partRows = 100
	var docs []testDoc
	for n := range 250 {
		docs = append(docs, document(activity.Plain, n, day0.Add(time.Duration(n/30)*time.Minute), ""))
	}
	for n := range 130 {
		docs = append(docs, document(activity.DataChange, 1000+n, day0, ""))
	}
	store(t, s, append(docs, document(activity.AuthEvent, 2000, day0, ""))...)
	before := day0.Add(time.Hour)
	var parts []int64
	for _, x := range expire(t, s, sinks.Limit{Kind: activity.Plain, Before: before}, sinks.Limit{Kind: activity.DataChange, Before: before}) {
		parts = append(parts, x.Records)
	}
	if want := []int64{90, 90, 70, 130}; !slices.Equal(parts, want) {
		t.Errorf("got %v, want %v", parts, want)
	}
	if v, err := s.conn.values("SELECT count(*) FROM " + table); err != nil || v[0] != int64(1) {
		t.Errorf("%v rows are left, %v", v, err)
	}
}

// TestNoNumberIsGivenTwice: readers that follow the store go by the number of a row.
func TestNoNumberIsGivenTwice(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, t.TempDir()+"/a.db")
	store(t, s, document(activity.Plain, 1, day0, ""), document(activity.Plain, 2, day0, ""))
	limit := sinks.Limit{Kind: activity.Plain, Before: day0.Add(time.Hour)}
	if got := expire(t, s, limit); len(got) != 1 || got[0].Records != 1 {
		t.Fatalf("got %+v, want all but the newest", got)
	}
	store(t, s, document(activity.SystemEvent, 3, day0.Add(2*time.Hour), ""))
	expire(t, s, limit)
	if v, err := s.conn.values("SELECT seq FROM " + table); err != nil || len(v) != 1 || v[0] != int64(3) {
		t.Errorf("got rows %v, %v; want only the third", v, err)
	}
}

// TestDeletingGoesOnWhereItWasInterrupted: steps are transactions of their own, and any other process may have done some.
func TestDeletingGoesOnWhereItWasInterrupted(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/a.db"
	s := mustOpen(t, path)
	var docs []testDoc
	for n := range 1000 {
		docs = append(docs, document(activity.Plain, n, day0, words(n)))
	}
	store(t, s, docs...)
	x, ok, err := s.Expired(t.Context(), []sinks.Limit{{Kind: activity.Plain, Before: day0.Add(1)}})
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	for range 2 {
		if p, err := s.Delete(t.Context(), x); err != nil || p != sinks.More {
			t.Fatal(p, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, path)
	for p := sinks.More; p == sinks.More; {
		if p, err = s.Delete(t.Context(), x); err != nil {
			t.Fatal(err)
		}
	}
	if v, err := s.conn.values("SELECT count(*) FROM " + table); err != nil || v[0] != int64(1) {
		t.Errorf("got %v, %v; want the newest row alone", v, err)
	}
	integrity(t, path)
}

// TestDeliveryGoesOnWhileExpiredRowsAreDeleted, and no batch waits for long.
func TestDeliveryGoesOnWhileExpiredRowsAreDeleted(t *testing.T) {
	t.Parallel()
	path := t.TempDir() + "/a.db"
	s := mustOpen(t, path)
	var old []testDoc
	for n := range 6000 {
		old = append(old, document(activity.Plain, n, day0, words(n)))
	}
	store(t, s, old...)
	deleted := make(chan struct{})
	var g sync.WaitGroup
	g.Go(func() {
		defer close(deleted)
		expire(t, s, sinks.Limit{Kind: activity.Plain, Before: day0.Add(time.Hour)})
	})
	wrote := 0
	for begin := time.Now(); ; wrote++ {
		select {
		case <-deleted:
		default:
			if time.Since(begin) < time.Minute {
				results := make([]sinks.Result, 1)
				err := s.Write(context.Background(), batchOf(document(activity.AuthEvent, 10_000+wrote, day0, words(wrote))), results)
				if err != nil || results[0].Verdict != sinks.Stored {
					t.Errorf("a batch: %v, %v", results[0], err)
				}
				continue
			}
		}
		break
	}
	g.Wait()
	if wrote < 5 {
		t.Errorf("only %d batches were written meanwhile", wrote)
	}
	r := mustRead(t, path)
	if plain, auth := matching(t, r, "kind", "activity"), matching(t, r, "kind", "auth_event"); plain > 1 || auth != int64(wrote) {
		t.Errorf("got %d and %d, want none and %d", plain, auth, wrote)
	}
	integrity(t, path)
}

// matching counts what the filters of the read API match.
func matching(t *testing.T, r *Reader, name, value string) int64 {
	t.Helper()
	q, err := search.Parse(nil, map[string][]string{name: {value}}, nil, day0)
	if err != nil {
		t.Fatal(err)
	}
	n, err := r.Count(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// BenchmarkExpire tells how fast rows go, and the longest step, which is how long a batch may have to wait.
func BenchmarkExpire(b *testing.B) {
	const rows = 10_000
	var longest time.Duration
	for i := range b.N {
		b.StopTimer()
		s := mustOpen(b, fmt.Sprintf("%s/%d.db", b.TempDir(), i))
		for from := 0; from < rows; from += 1000 {
			var docs []testDoc
			for n := range 1000 {
				docs = append(docs, document(activity.Plain, from+n, day0.Add(time.Duration(n)*time.Second), words(from+n)))
			}
			if err := s.Write(b.Context(), batchOf(docs...), make([]sinks.Result, len(docs))); err != nil {
				b.Fatal(err)
			}
		}
		limits := []sinks.Limit{{Kind: activity.Plain, Before: day0.Add(time.Hour)}}
		b.StartTimer()
		x, _, err := s.Expired(b.Context(), limits)
		for p := sinks.More; p == sinks.More && err == nil; {
			began := time.Now()
			p, err = s.Delete(b.Context(), x)
			longest = max(longest, time.Since(began))
		}
		if err != nil || x.Records != rows-1 {
			b.Fatal(x, err)
		}
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric(float64(longest.Microseconds())/1000, "ms/longest-step")
}
