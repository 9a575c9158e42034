package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
	"github.com/truledgr/activity-agent/sinks/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var day0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// A site is a store with its writer and a hub.
type site struct {
	t    *testing.T
	sink *sqlite.Store
	hub  *Hub
	n    int
}

func newSite(t *testing.T) *site {
	t.Helper()
	c := sqlite.Config{Path: filepath.Join(t.TempDir(), "a.db")}
	sink, err := sqlite.Open(c, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := sqlite.OpenReader(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = r.Close(), sink.Close() })
	return &site{t: t, sink: sink, hub: New(r, zap.NewNop())}
}

// add stores n activities, which are numbered from 1 on, of two users in turn.
func (s *site) add(n int) {
	s.t.Helper()
	var bodies [][]byte
	var records []pipeline.Record
	for range n {
		s.n++
		at := day0.Add(time.Duration(s.n) * time.Millisecond)
		id := activity.PositionID(at, activity.NewAgentKey("live"), activity.StreamID{}, int64(s.n), 1)
		bodies = append(bodies, fmt.Appendf(nil, `{"id":%q,"@timestamp":%q,"kind":"activity","user_id":"u%d","details":{"n":%d}}`, id, at.Format(time.RFC3339Nano), s.n%2, s.n))
		records = append(records, pipeline.Record{Decision: pipeline.Decision{Kind: activity.Plain, Time: at.UnixNano()}, ID: id})
	}
	if err := s.sink.Write(context.Background(), pipeline.Restore(bodies, records), make([]sinks.Result, n)); err != nil {
		s.t.Error(err)
	}
}

func (s *site) subscribe(after string, where ...search.Condition) *Subscription {
	s.t.Helper()
	m, err := search.NewMatcher(search.Query{Where: where})
	if err != nil {
		s.t.Fatal(err)
	}
	sub, err := s.hub.Subscribe(context.Background(), m, after)
	if err != nil {
		s.t.Fatal(err)
	}
	return sub
}

func number(t *testing.T, e Event) int {
	t.Helper()
	var d struct{ Details struct{ N int } }
	if err := json.Unmarshal(e.Doc, &d); err != nil {
		t.Fatal(err)
	}
	return d.Details.N
}

// read returns the next n activities, fewer at an error, and the last place.
func read(t *testing.T, sub *Subscription, n int) (got []int, mark string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), testenv.Budget(t, time.Minute))
	defer cancel()
	for len(got) < n {
		e, err := sub.Next(ctx)
		if err != nil {
			return got, mark, err
		}
		if mark = e.Mark; e.Doc != nil {
			got = append(got, number(t, e))
		}
	}
	return got, mark, nil
}

func series(from, to, step int) (out []int) {
	for n := from; n <= to; n += step {
		out = append(out, n)
	}
	return out
}

// A reader that stops reading is ended when its queue is full; what is queued still comes, and from there on it can go on.
// Another reader does not notice.
func TestASlowReaderIsEndedAndGoesOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	slow, quick := s.subscribe(""), s.subscribe("")
	defer quick.Close()
	const all = queueSize + 700
	for range all / 4 {
		s.add(4)
	}
	if got, _, err := read(t, quick, queueSize/2); err != nil || !slices.Equal(got, series(1, queueSize/2, 1)) {
		t.Fatalf("%d, %v", len(got), err)
	}
	var got []int
	var mark string
	if got, _, err := read(t, quick, queueSize/2); err != nil || got[0] != queueSize/2+1 {
		t.Fatalf("%d, %v", len(got), err)
	}
	for end := time.Now().Add(testenv.Budget(t, time.Minute)); len(slow.queue) < queueSize && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(2 * pollEvery) // until one is too many
	got, mark, err := read(t, slow, all)
	slow.Close()
	if !errors.Is(err, ErrSlow) || !slices.Equal(got, series(1, queueSize, 1)) {
		t.Fatalf("%d came, %v", len(got), err)
	}
	again := s.subscribe(mark)
	defer again.Close()
	if got, _, err := read(t, again, all-queueSize); err != nil || !slices.Equal(got, series(queueSize+1, all, 1)) {
		t.Errorf("then %d came, %v", len(got), err)
	}
}

// Readers that come, go and resume all the time, while activities arrive, each get each of theirs once.
func TestReadersThatResumeMissAndRepeatNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.add(10)
	const readers, all, step = 8, 6000, 20
	var g sync.WaitGroup
	began := make(chan struct{}, readers)
	for i := range readers {
		g.Go(func() {
			own := search.Condition{Field: activity.UserID, Values: []any{fmt.Sprint("u", i%2)}}
			sub := s.subscribe("", own)
			mark := sub.Mark()
			began <- struct{}{}
			var got []int
			for len(got) < all/2 {
				if sub == nil {
					sub = s.subscribe(mark, own)
				}
				part, last, err := read(t, sub, min(97*(i+1), all/2-len(got)))
				sub.Close()
				sub = nil
				if err != nil && !errors.Is(err, ErrSlow) {
					t.Errorf("%v after %d", err, len(got))
					return
				}
				if last != "" {
					mark = last
				}
				got = append(got, part...)
			}
			want := series(11, 10+all, 1)
			want = slices.DeleteFunc(want, func(n int) bool { return n%2 != i%2 })
			if !slices.Equal(got, want) {
				t.Errorf("reader %d: got %d, want %d in order", i, len(got), len(want))
			}
		})
	}
	for range readers {
		<-began
	}
	for range all / step {
		s.add(step)
	}
	g.Wait()
	if s.hub.feed != nil {
		t.Error("the feed goes on for nobody")
	}
}

func TestAMarkThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m, err := search.NewMatcher(search.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range []string{"x", "e30", "!", "eyJwIjp7ImEiOlsxXX19"} {
		_, err := s.hub.Subscribe(context.Background(), m, mark)
		if p := (*search.ParamError)(nil); !errors.As(err, &p) {
			t.Errorf("%s: %v", mark, err)
		}
	}
}
