package elasticsearch

import (
	"context"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/internal/testenv"
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
