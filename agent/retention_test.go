package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/agent/tail"
	"github.com/truledgr/activity-agent/internal/estest"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
	"github.com/truledgr/activity-agent/sinks/elasticsearch"
	"github.com/truledgr/activity-agent/sinks/sqlite"
)

func TestRetentionIsByKind(t *testing.T) {
	t.Parallel()
	r := Retention{Default: "13m", AuthEvent: "2y", SystemEvent: "forever"}
	for k, want := range map[activity.Kind]int{activity.Plain: 403, activity.AuthEvent: 732, activity.SystemEvent: 0, activity.DataChange: 403} {
		if got := r.Days(nil, k); got != want {
			t.Errorf("%v: got %d days, want %d", k, got, want)
		}
	}
	if DefaultRetention().Limited(nil) || !r.Limited(nil) || !(Retention{Default: "forever", DataAccess: "1d"}).Limited(nil) {
		t.Error("what is limited, and what not")
	}
}

// aging is a store, and agents that write into it at times of their own.
type aging struct {
	t      *testing.T
	dir    string
	open   func() sinks.Sink
	reader func() search.Store
	logs   *observer.ObservedLogs
}

// agingStores are the stores that can delete, Elasticsearch with each of the periods.
func agingStores(t *testing.T, periods []string, each func(t *testing.T, s *aging)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		s := &aging{t: t, dir: t.TempDir()}
		c := sqlite.Config{Path: filepath.Join(s.dir, "store.db")}
		s.open = func() sinks.Sink { return opened(sqlite.Open(c, sqlite.Options{}))(t) }
		s.reader = func() search.Store {
			r := opened(sqlite.OpenReader(c, nil))(t)
			t.Cleanup(func() { _ = r.Close() })
			return r
		}
		each(t, s)
	})
	for _, period := range periods {
		t.Run("elasticsearch by "+period, func(t *testing.T) {
			t.Parallel()
			node := estest.Shared(t)
			c := elasticsearch.DefaultConfig()
			c.Addresses, c.IndexPrefix, c.Period, c.Expiry = []string{node.URL()}, node.Prefix(t)+".x_1-activity", period, elasticsearch.ExpiryAgent
			s := &aging{t: t, dir: t.TempDir()}
			s.open = func() sinks.Sink { return opened(elasticsearch.Open(c, elasticsearch.Options{}))(t) }
			s.reader = func() search.Store {
				if status, answer := node.Do(t, "POST", "/"+c.IndexPrefix+"*/_refresh", ""); status != 200 {
					t.Fatalf("refresh: %d %s", status, answer)
				}
				r := opened(elasticsearch.OpenReader(c, nil))(t)
				t.Cleanup(func() { _ = r.Close() })
				return r
			}
			each(t, s)
		})
	}
}

func opened[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// start makes an agent over DIR/name/*.log, by a clock of its own, and runs it until stop is called.
func (s *aging) start(name string, now func() time.Time, r Retention) (a *Agent, stop func()) {
	s.t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	s.logs = logs
	c := DefaultConfig()
	c.ID, c.StateDir, c.DrainTimeout = name, filepath.Join(s.dir, name, "state"), time.Minute
	in := tail.DefaultConfig()
	in.Include = []string{filepath.Join(s.dir, name, "*.log")}
	if err := os.MkdirAll(filepath.Join(s.dir, name), 0o755); err != nil {
		s.t.Fatal(err)
	}
	a, err := New(Options{
		Config: c, Files: []tail.Config{in}, Pipeline: pipeline.DefaultConfig(), Sink: s.open(), Now: now, Logger: zap.New(core),
		Retention: r, LookForExpired: 200 * time.Millisecond,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	return a, func() {
		s.t.Helper()
		cancel()
		if err := errors.Join(<-done, a.Close()); err != nil {
			s.t.Errorf("%s: %v", name, err)
		}
	}
}

// line logs one line into a file of an agent's.
func (s *aging) line(name, text string) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.dir, name, "app.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err == nil {
		_, err = f.WriteString(text + "\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// until waits for something that takes as long as the machine is busy.
func (s *aging) until(what string, done func() bool) {
	s.t.Helper()
	for end := time.Now().Add(2 * time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("%s: not within two minutes; the log: %v", what, s.logs.All())
		}
	}
}

func (s *aging) count(filters string) int64 {
	s.t.Helper()
	values := map[string][]string{}
	for f := range strings.FieldsSeq(filters) {
		k, v, _ := strings.Cut(f, "=")
		values[k] = append(values[k], v)
	}
	q, err := search.Parse(nil, values, nil, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		n, err := s.reader().Count(s.t.Context(), q)
		if err == nil {
			return n
		}
		if time.Now().After(end) { // until then a new index may not be ready
			s.t.Fatal(err)
		}
	}
}

// events returns the details of the events of deletions.
func (s *aging) events() (out []map[string]any) {
	s.t.Helper()
	q, err := search.Parse(nil, map[string][]string{"activity_type": {"retention_deleted"}, "limit": {"1000"}}, nil, time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	page, err := s.reader().Search(s.t.Context(), q)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, item := range page.Items {
		var doc struct {
			Kind, Component string
			Details         map[string]any
		}
		if err := json.Unmarshal(item, &doc); err != nil || doc.Kind != "system_event" || doc.Component != "activity-agent" {
			s.t.Errorf("got %s, %v", item, err)
		}
		out = append(out, doc.Details)
	}
	return out
}

func at(t time.Time) func() time.Time {
	began := time.Now()
	return func() time.Time { return t.Add(time.Since(began)) }
}

// TestExpiredGoesAndTheRestStaysUnderLoad, and each deletion is told of once, also where two agents have one store.
func TestExpiredGoesAndTheRestStaysUnderLoad(t *testing.T) {
	t.Parallel()
	agingStores(t, []string{"day", "week", "month"}, func(t *testing.T, s *aging) {
		now := time.Now().UTC()
		old := now.AddDate(0, 0, -200)
		_, stop := s.start("one", at(old), DefaultRetention())
		for n := range 120 {
			happened := old.AddDate(0, 0, -(n/3%4)*22).Format(time.RFC3339)
			kind := []string{"auth_event", "data_change", "data_access"}[n%3]
			s.line("one", fmt.Sprintf(`{"kind":%q,"timestamp":%q,"table_name":"x","seq":%d}`, kind, happened, n))
		}
		s.line("one", `{"kind":"auth_event","event_type":"the newest"}`)
		s.until("the old ones are stored", func() bool { return s.count("to="+now.Format(time.RFC3339)) == 121 })
		stop()

		keep := Retention{Default: "100d", DataChange: "forever", AuthEvent: "2y"}
		var stops []func()
		var agents []*Agent
		names := []string{"one"}
		if s.shared() {
			names = append(names, "two")
		}
		for _, name := range names {
			a, stop := s.start(name, at(now), keep)
			agents, stops = append(agents, a), append(stops, stop)
		}
		wrote := 0
		s.until("what has expired is gone", func() bool {
			for range 20 {
				for _, name := range names {
					s.line(name, fmt.Sprintf(`{"kind":"data_access","table_name":"y","seq":%d}`, wrote))
					wrote++
				}
			}
			for _, a := range agents {
				a.keeper.mu.Lock()
				over := !a.keeper.ok.IsZero()
				a.keeper.mu.Unlock()
				if !over {
					return false
				}
			}
			return true
		})
		for _, stop := range stops {
			stop()
		}
		for filter, want := range map[string]int64{
			"kind=data_access table_name=x": 0, "kind=data_change": 40, "kind=auth_event": 41, "kind=data_access table_name=y": int64(wrote),
		} {
			if got := s.count(filter); got != want {
				t.Errorf("%s: got %d, want %d", filter, got, want)
			}
		}
		var told float64
		seen := map[string]bool{}
		for _, e := range s.events() {
			told += e["records"].(float64)
			which := fmt.Sprint(e["index"], e["since"])
			if e["kind"] != "data_access" || seen[which] {
				t.Errorf("told of %v, or twice", e)
			}
			seen[which] = true
		}
		if told != 40 {
			t.Errorf("told of %v deleted records, want 40", told)
		}
		for _, a := range agents {
			if got := a.Account(); got.Read != got.Stored || got.InFlight != 0 {
				t.Errorf("got %+v", got)
			}
		}
	})
}

// shared reports whether many agents may have the store.
func (s *aging) shared() bool { return strings.Contains(s.t.Name(), "elasticsearch") }

// TestACrashWhileDeleting: what was noted is gone on with and told of, once.
func TestACrashWhileDeleting(t *testing.T) {
	t.Parallel()
	agingStores(t, []string{"month"}, func(t *testing.T, s *aging) {
		now := time.Now().UTC()
		old := now.AddDate(0, 0, -200)
		_, stop := s.start("one", at(old), DefaultRetention())
		s.line("one", `{"kind":"data_access","table_name":"x"}`)
		s.line("one", `{"kind":"auth_event","event_type":"login"}`)
		s.until("the old ones are stored", func() bool { return s.count("to="+now.Format(time.RFC3339)) == 2 })
		stop()
		keep := Retention{Default: "forever", DataAccess: "100d"}
		sink := s.open().(sinks.Expirer)
		x, ok, err := sink.Expired(t.Context(), keep.limits(nil, now))
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		for p := sinks.More; p == sinks.More; {
			if p, err = sink.Delete(t.Context(), x); err != nil {
				t.Fatal(err)
			}
		}
		if err := sink.Close(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time, what crashed had told of it already
			text, err := json.Marshal(x)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(s.dir, "one", "state", planName), text, 0o600); err != nil {
				t.Fatal(err)
			}
			a, stop := s.start("one", at(now), keep)
			s.until("the note is gone", func() bool {
				_, err := os.Stat(a.keeper.path)
				return errors.Is(err, os.ErrNotExist)
			})
			stop()
		}
		if got := s.events(); len(got) != 1 || got[0]["kind"] != "data_access" {
			t.Errorf("got %v, want one event", got)
		}
		if n := s.count("kind=auth_event"); n != 1 {
			t.Errorf("%d auth events are left, want 1", n)
		}
	})
}

// TestAClockThatStepsDeletesNothing, until it has been steady for a round.
func TestAClockThatStepsDeletesNothing(t *testing.T) {
	t.Parallel()
	a := &Agent{log: zap.NewNop()}
	var ahead atomic.Int64
	a.o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	k := &keeper{agent: a, wall: time.Now(), mono: time.Now()}
	for i, step := range []time.Duration{0, time.Minute, 0, 1000 * 24 * time.Hour, 0, -1000 * 24 * time.Hour, 0} {
		ahead.Add(int64(step))
		if got, want := k.steady(), step.Abs() < clockSteps; got != want {
			t.Errorf("step %d, of %v: steady is %v", i, step, got)
		}
	}
}

// TestRecordsOlderThanTheirRetentionAreOfNow: they would be deleted next. What they say is kept.
func TestRecordsOlderThanTheirRetentionAreOfNow(t *testing.T) {
	t.Parallel()
	p, err := pipeline.New(pipeline.Options{
		Config: pipeline.DefaultConfig(), AgentID: "test", Keep: Retention{Default: "forever", AuthEvent: "30d", DataAccess: "10y"}.Ages(nil),
	})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		kind string
		days int
		kept bool
	}{
		{"auth_event", 29, true}, {"auth_event", 31, false}, {"data_change", 31, true}, {"data_change", 399, true}, {"data_change", 401, false},
		{"data_access", 399, true}, {"data_access", 401, false},
	} {
		happened := now.AddDate(0, 0, -tt.days)
		line := fmt.Sprintf(`{"kind":%q,"timestamp":%q,"msg":"x"}`, tt.kind, happened.Format(time.RFC3339))
		stream := pipeline.Stream{}
		raw := pipeline.Raw{
			Buf: []byte(line), Ranges: []pipeline.Range{{Stream: &stream, End: int64(len(line))}},
			Pieces: []pipeline.Piece{{Len: int32(len(line))}}, Cuts: []pipeline.Cut{{Pieces: 1}},
		}
		var b pipeline.Batch
		p.Process(&raw, 1, now, &b)
		want := now
		if tt.kept {
			want = happened
		}
		doc := string(b.Doc(0))
		if !strings.Contains(doc, `"@timestamp":"`+want.Format(time.RFC3339)+`"`) || !tt.kept && !strings.Contains(doc, `"timestamp":"`+happened.Format(time.RFC3339)+`"`) {
			t.Errorf("%+v: got %s", tt, doc)
		}
	}
}
