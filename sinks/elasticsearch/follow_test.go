package elasticsearch

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/internal/estest"
	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/sinks"
)

// collect follows t until want documents have come, and adds how often each came to seen.
func collect(tb testing.TB, t *search.Trail, seen map[string]int, want int) (mark string) {
	tb.Helper()
	deadline := time.Now().Add(testenv.Budget(tb, time.Minute))
	for time.Now().Before(deadline) {
		got, more, err := t.Next(context.Background())
		if err != nil {
			tb.Fatal(err)
		}
		for _, a := range got {
			seen[a.ID.String()]++
			mark = a.Mark
		}
		if len(seen) >= want && !more {
			return mark
		}
		time.Sleep(50 * time.Millisecond)
	}
	tb.Fatalf("%d of %d arrived", len(seen), want)
	return ""
}

func once(tb testing.TB, seen map[string]int) {
	tb.Helper()
	for id, n := range seen {
		if n != 1 {
			tb.Errorf("%s arrived %d times", id, n)
		}
	}
}

// What arrives in indices of three shards, old and new, is followed: each document once, from a mark on as well.
func TestFollowSeesEveryArrivalOnce(t *testing.T) {
	t.Parallel()
	c, n := onNode(t)
	n.MustDo(t, "PUT", "/_component_template/"+c.IndexPrefix+"@custom", `{"template":{"settings":{"index":{"number_of_shards":3}}}}`, nil)
	s := mustOpen(t, c)
	write(t, s, series(activity.Plain, 0, 30)...)
	refresh(t, n, c)
	r := mustRead(t, c)
	trail, err := search.StartTrail(context.Background(), r, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for i := 1; i <= 5; i++ {
		write(t, s, series(activity.Plain, 100*i, 40)...)
		write(t, s, series(activity.AuthEvent, 100*i+50, 10)...) // late ones too: in an index of its own that is new
		if i == 3 {
			collect(t, trail, seen, 150)
		}
	}
	mark := collect(t, trail, seen, 250)
	once(t, seen)
	// An amendment is no arrival, and a mark is a place for others, too.
	amended := document(activity.Plain, 100, day0.Add(100*time.Second), `"updated_at":"2026-06-01T00:00:00Z"`)
	n.MustDo(t, "PUT", "/"+c.IndexPrefix+"-activity-2026.01/_doc/"+amended.rec.ID.String()+"?refresh=true", amended.body, nil)
	write(t, s, series(activity.DataChange, 900, 5)...)
	again, err := search.ContinueTrail(r, mark, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	for _, trail := range []*search.Trail{trail, again} {
		late := map[string]int{}
		collect(t, trail, late, 5)
		once(t, late)
		if len(late) != 5 {
			t.Errorf("%d arrived after the mark, want 5", len(late))
		}
	}
}

func TestFollowOfAnEmptyCluster(t *testing.T) {
	t.Parallel()
	c, _ := onNode(t)
	r := mustRead(t, c)
	trail, err := search.StartTrail(context.Background(), r, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	if got, more, err := trail.Next(context.Background()); len(got) > 0 || more || err != nil {
		t.Errorf("got %v, %v, %v", got, more, err)
	}
	s := mustOpen(t, c)
	write(t, s, document(activity.Plain, 1, day0, ""), document(activity.SystemEvent, 2, day0.AddDate(0, -3, 0), ""))
	seen := map[string]int{}
	collect(t, trail, seen, 2)
	once(t, seen)
}

// TestFollowOverTheLossOfAPrimary kills the node with the primary while documents are written, as a crash would: its
// unacknowledged operations are lost, and their numbers are given out again under a higher term. In a soak a copy takes
// over; else the node comes back by itself.
func TestFollowOverTheLossOfAPrimary(t *testing.T) {
	t.Parallel()
	nodes, rounds := 1, 1
	if testenv.Soak() {
		nodes, rounds = 3, 4
	}
	cluster := estest.Start(t, nodes)
	c := DefaultConfig()
	c.Addresses, c.IndexPrefix, c.RequestTimeout = cluster.URLs(), "failover", 10*time.Second
	s, r := mustOpen(t, c), mustRead(t, c)
	insist := func(docs ...testDoc) { // as the agent does, until each is stored
		results := make([]sinks.Result, len(docs))
		for end := time.Now().Add(testenv.Budget(t, 2*time.Minute)); ; time.Sleep(50 * time.Millisecond) {
			_ = s.Write(context.Background(), batchOf(docs...), results) // what fails stays Retry
			if !slices.ContainsFunc(results, func(r sinks.Result) bool { return r.Verdict == sinks.Retry }) {
				return
			}
			if time.Now().After(end) {
				t.Error("the documents cannot be stored")
				return
			}
		}
	}
	insist(series(activity.Plain, 0, 10)...)
	if nodes > 1 {
		cluster.Node(0).MustDo(t, "GET", "/_cluster/health?wait_for_status=green&timeout=60s", "", nil)
	}
	cluster.Node(0).MustDo(t, "POST", "/failover-*/_refresh", "", nil)
	trail, err := search.StartTrail(context.Background(), r, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	const batches, size = 60, 20
	written := make(chan struct{})
	go func() {
		defer close(written)
		for b := range rounds * batches {
			insist(series(activity.Plain, 1000+b*size, size)...)
			time.Sleep(30 * time.Millisecond)
		}
	}()
	seen := map[string]int{}
	follow := func(until int) {
		t.Helper()
		for end := time.Now().Add(testenv.Budget(t, 3*time.Minute)); len(seen) < until; time.Sleep(100 * time.Millisecond) {
			got, _, _ := trail.Next(context.Background()) // fails while the node is away
			for _, a := range got {
				seen[a.ID.String()]++
			}
			if time.Now().After(end) {
				t.Fatalf("%d of %d arrived", len(seen), until)
			}
		}
	}
	for round := range rounds {
		follow((round*batches + batches/3) * size)
		victim := round % nodes
		cluster.Kill(t, victim)
		cluster.Restart(t, victim)
	}
	follow(rounds * batches * size)
	<-written
	for range 10 { // for what is too much
		got, _, _ := trail.Next(context.Background())
		for _, a := range got {
			seen[a.ID.String()]++
		}
		time.Sleep(200 * time.Millisecond)
	}
	once(t, seen)
	if len(seen) != rounds*batches*size {
		t.Errorf("%d arrived, want %d", len(seen), rounds*batches*size)
	}
}
