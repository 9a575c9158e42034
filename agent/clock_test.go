package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

func TestClockSteps(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	now, up := at, time.Duration(0)
	core, logged := observer.New(zap.InfoLevel)
	c := clock{now: func() time.Time { return now }, since: func(time.Time) time.Duration { return up }, log: zap.New(core)}
	for i, step := range []struct {
		passed, to, want time.Duration
		logged           int
	}{
		{0, 0, 0, 0},
		{time.Second, time.Second, time.Second, 0},
		{time.Second, -30 * time.Second, time.Second, 0},       // back by less than a minute: held
		{3 * time.Second, 2 * time.Second, 2 * time.Second, 0}, // and past it again
		{time.Second, -time.Hour, -time.Hour, 1},               // back by more: followed, and logged
		{time.Second, -time.Hour + time.Second, -time.Hour + time.Second, 1},
		{10 * time.Hour, 9*time.Hour + time.Second, 9*time.Hour + time.Second, 1}, // a long sleep is no step
		{time.Second, 24 * time.Hour, 24 * time.Hour, 2},                          // ahead: followed, and logged
		{time.Second, 24*time.Hour + 30*time.Second, 24*time.Hour + 30*time.Second, 2},
	} {
		now, up = at.Add(step.to), step.passed
		if got := c.batchTime(); !got.Equal(at.Add(step.want)) || logged.Len() != step.logged {
			t.Errorf("step %d: the batch's time is %v with %d lines logged, want %v with %d", i, got.Sub(at), logged.Len(), step.want, step.logged)
		}
	}
}

// TestTheClockJumpsBothWays while the store fails now and then, the agent is stopped hard, and batches are replayed: every
// line is stored once with a time that the clock has shown, waits and drains take as long as ever, and the account adds
// up.
func TestTheClockJumpsBothWays(t *testing.T) {
	t.Parallel()
	const turns, lines = 6, 40
	var offset atomic.Int64
	offsets := []time.Duration{0}
	r := rand.New(rand.NewPCG(20261124, 5))
	jump := func() {
		by := time.Duration(r.Int64N(20*365*24)-10*365*24) * time.Hour // ten years, both ways
		offsets = append(offsets, by)
		offset.Store(int64(by))
	}
	f := newFixture(t, 0, nil)
	if err := f.agent.Close(); err != nil {
		t.Fatal(err)
	}
	open := func(script func(int, *pipeline.Batch, []sinks.Result) (bool, error)) {
		f.now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }
		f.open(t, script)
	}
	log, err := os.OpenFile(filepath.Join(f.dir, "app.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	for turn := range turns {
		open(func(n int, _ *pipeline.Batch, _ []sinks.Result) (bool, error) {
			if n%2 == 0 {
				return false, errors.New("down")
			}
			return false, nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		done.Go(func() { _, _ = f.run(t, ctx) })
		for i := range lines {
			if i%5 == 0 {
				jump()
			}
			fmt.Fprintf(log, "{\"msg\":\"m\",\"seq\":%d}\n", turn*lines+i)
		}
		eventually(t, "something to be read", func() bool { return f.agent.Account().Read > 0 })
		jump()
		if turn%2 == 0 {
			f.agent.Abort()
		}
		cancel()
		done.Wait()
	}
	jump()
	open(func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, nil })
	if a, err := f.run(t, t.Context()); err != nil || a.InFlight != 0 || len(a.Lost) > 0 {
		t.Errorf("%v, %+v", err, a)
	}
	for _, at := range f.times(t) {
		if !slices.ContainsFunc(offsets, func(by time.Duration) bool { return time.Since(at.Add(-by)).Abs() < 10*time.Minute }) {
			t.Errorf("a line without a time is stored as of %v, which the clock has never shown", at)
		}
	}
	seen := f.seqs(t)
	for seq := range turns * lines {
		if seen[seq] != 1 {
			t.Errorf("line %d is stored %d times", seq, seen[seq])
		}
	}
}

// times returns the time of each stored document.
func (f *fixture) times(t *testing.T) (times []time.Time) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, "out.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var d struct {
			At time.Time `json:"@timestamp"`
		}
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatal(err)
		}
		times = append(times, d.At)
	}
	return times
}
