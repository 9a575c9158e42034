package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/truledgr/activity-agent/agent/deadletter"
	"github.com/truledgr/activity-agent/agent/tail"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
	"github.com/truledgr/activity-agent/sinks/file"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// troubled is a real store behind a script of what goes wrong.
type troubled struct {
	sinks.Rewinder
	mu       sync.Mutex
	attempts int
	script   func(attempt int, b *pipeline.Batch, results []sinks.Result) (done bool, err error)
}

func (s *troubled) Write(ctx context.Context, b *pipeline.Batch, results []sinks.Result) error {
	s.mu.Lock()
	s.attempts++
	n := s.attempts
	s.mu.Unlock()
	if done, err := s.script(n, b, results); done || err != nil {
		return err
	}
	return s.Rewinder.Write(ctx, b, results)
}

type fixture struct {
	dir   string
	agent *Agent
	sink  *troubled
	now   func() time.Time
}

// newFixture makes an agent over a log with n lines.
func newFixture(t *testing.T, n int, script func(int, *pipeline.Batch, []sinks.Result) (bool, error)) *fixture {
	t.Helper()
	f := &fixture{dir: t.TempDir()}
	var log bytes.Buffer
	for i := range n {
		fmt.Fprintf(&log, "{\"msg\":\"m\",\"seq\":%d}\n", i)
	}
	if err := os.WriteFile(filepath.Join(f.dir, "app.log"), log.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	f.open(t, script)
	return f
}

func (f *fixture) open(t *testing.T, script func(int, *pipeline.Batch, []sinks.Result) (bool, error)) {
	t.Helper()
	store, err := file.Open(file.Config{Path: filepath.Join(f.dir, "out.ndjson")}, file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f.sink = &troubled{Rewinder: store, script: script}
	c := DefaultConfig()
	c.ID, c.StateDir, c.DrainTimeout = "test", filepath.Join(f.dir, "state"), 2*time.Second
	in := tail.DefaultConfig()
	in.Include = []string{filepath.Join(f.dir, "*.log")}
	f.agent, err = New(Options{Config: c, Files: []tail.Config{in}, Pipeline: pipeline.DefaultConfig(), Sink: f.sink, Now: f.now, ExitWhenIdle: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
}

// run runs to the end, and checks that the account adds up.
func (f *fixture) run(t *testing.T, ctx context.Context) (Account, error) {
	t.Helper()
	err := f.agent.Run(ctx)
	a := f.agent.Account()
	if cerr := f.agent.Close(); cerr != nil {
		t.Error(cerr)
	}
	sum := a.Stored + a.Duplicate + a.Conflict + a.DeadLettered + a.InFlight
	for _, m := range []map[string]int64{a.Dropped, a.Lost} {
		for _, v := range m {
			sum += v
		}
	}
	if a.Read != sum {
		t.Errorf("the account does not add up: %+v", a)
	}
	return a, err
}

// seqs returns how often each line is stored.
func (f *fixture) seqs(t *testing.T) map[int]int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(f.dir, "out.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]int{}
	for _, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
		var d struct {
			Details struct {
				Seq int `json:"seq"`
			} `json:"details"`
		}
		if err := json.Unmarshal(line, &d); err != nil {
			t.Fatal(err)
		}
		seen[d.Details.Seq]++
	}
	return seen
}

func TestAFailingStoreIsAskedAgain(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 50, func(n int, _ *pipeline.Batch, _ []sinks.Result) (bool, error) {
		switch n {
		case 1:
			return false, errors.New("refused")
		case 2:
			return true, nil // nothing is known
		case 3:
			return false, &sinks.DelayError{Err: errors.New("busy"), After: 20 * time.Millisecond}
		}
		return false, nil
	})
	a, err := f.run(t, t.Context())
	if err != nil || a.Stored != 50 || a.Retries != 3 {
		t.Errorf("%v, %+v", err, a)
	}
	if got := len(f.seqs(t)); got != 50 {
		t.Errorf("%d lines are stored", got)
	}
}

func TestARejectedRecordBecomesADeadLetter(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 20, func(_ int, b *pipeline.Batch, results []sinks.Result) (bool, error) {
		for i := range b.Records {
			results[i] = sinks.Result{Verdict: sinks.Stored}
			if i%5 == 0 {
				results[i] = sinks.Result{Verdict: sinks.Rejected, Reason: "mapping: status_code"}
			}
		}
		return true, nil
	})
	a, err := f.run(t, t.Context())
	if err != nil || a.DeadLettered != 4 || a.Stored != 16 {
		t.Errorf("%v, %+v", err, a)
	}
	letters, damaged, err := deadletter.Read(filepath.Join(f.dir, "state"))
	if err != nil || damaged != 0 || len(letters) != 4 || letters[0].Reason != "mapping: status_code" || letters[0].Length == 0 {
		t.Errorf("%v, %d damaged, %+v", err, damaged, letters)
	}
}

// TestStoppedWhileTheStoreFails: the drain is over in time, what could not be delivered is replayed by the next run.
func TestStoppedWhileTheStoreFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 30, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, errors.New("down") })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	a, err := f.run(t, ctx)
	if err == nil || a.InFlight != 30 {
		t.Errorf("%v, %+v", err, a)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
	f.open(t, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, nil })
	a, err = f.run(t, t.Context())
	if err != nil || a.Replayed != 30 || a.Stored != 30 {
		t.Errorf("%v, %+v", err, a)
	}
	for seq, n := range f.seqs(t) {
		if n != 1 {
			t.Errorf("line %d is stored %d times", seq, n)
		}
	}
}

func TestAbortEndsAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 10, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, errors.New("down") })
	time.AfterFunc(200*time.Millisecond, f.agent.Abort)
	began := time.Now()
	if _, err := f.run(t, t.Context()); err == nil {
		t.Error("no error")
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("it took %v", d)
	}
}

// TestTheSourceOfAReplayIsGone: what cannot be read again is counted as lost, by name.
func TestTheSourceOfAReplayIsGone(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 10, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, errors.New("down") })
	time.AfterFunc(300*time.Millisecond, f.agent.Abort)
	if _, err := f.run(t, t.Context()); err == nil {
		t.Error("no error")
	}
	if err := os.WriteFile(filepath.Join(f.dir, "app.log"), []byte("{\"msg\":\"other\",\"seq\":99}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f.open(t, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, nil })
	a, err := f.run(t, t.Context())
	if err != nil || a.Lost[pipeline.ReasonGone] != 10 || a.Stored != 1 {
		t.Errorf("%v, %+v", err, a)
	}
}

// TestTheEndOfAReplaysSourceIsGone: lines that were written between the copying and the truncation of a log are nowhere, and all
// that were read together with them are in the copy.
func TestTheEndOfAReplaysSourceIsGone(t *testing.T) {
	t.Parallel()
	for _, n := range []int{5, 200} {
		f := newFixture(t, n, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, errors.New("down") })
		time.AfterFunc(300*time.Millisecond, f.agent.Abort)
		if _, err := f.run(t, t.Context()); err == nil {
			t.Error("no error")
		}
		path := filepath.Join(f.dir, "app.log")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.SplitAfter(b, []byte("\n"))
		kept := bytes.Join(lines[:n-2], nil)
		// A file that begins alike, and is no copy.
		other := append(slices.Clone(lines[0]), "{\"msg\":\"o\",\"seq\":991}\n{\"msg\":\"o\",\"seq\":992}\n"...)
		if err := errors.Join(os.WriteFile(path+".1", kept, 0o644), os.WriteFile(path, nil, 0o644), os.WriteFile(path+".2", other, 0o644)); err != nil {
			t.Fatal(err)
		}
		f.open(t, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, nil })
		a, err := f.run(t, t.Context())
		if err != nil || a.Lost[pipeline.ReasonGone] != 2 || a.Replayed != int64(n) {
			t.Errorf("%d lines: %v, %+v", n, err, a)
		}
		for seq := range n - 2 {
			if got := f.seqs(t)[seq]; got != 1 {
				t.Errorf("of %d lines, line %d is stored %d times", n, seq, got)
			}
		}
	}
}

// TestAReplayWaitsForAFileThatCannotBeRead: a file that cannot be opened is not gone; what it has is read again when it can
// be, and until then health says which file it is.
func TestAReplayWaitsForAFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 10, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, errors.New("down") })
	time.AfterFunc(300*time.Millisecond, f.agent.Abort)
	if _, err := f.run(t, t.Context()); err == nil {
		t.Error("no error")
	}
	path, kept := filepath.Join(f.dir, "app.log"), filepath.Join(t.TempDir(), "kept")
	if err := errors.Join(os.Rename(path, kept), os.Symlink("app.log", path)); err != nil { // a link to itself
		t.Fatal(err)
	}
	f.open(t, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, nil })
	said := make(chan bool, 1)
	go func() {
		end := time.Now().Add(time.Minute)
		for ; !strings.Contains(strings.Join(f.agent.Trouble(), "\n"), "cannot read "+path) && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		}
		said <- time.Now().Before(end) && !f.agent.Started()
		_ = errors.Join(os.Remove(path), os.Rename(kept, path))
	}()
	a, err := f.run(t, t.Context())
	if err != nil || a.Stored != 10 || a.Read != 10 || len(a.Lost) != 0 {
		t.Errorf("%v, %+v", err, a)
	}
	if !<-said {
		t.Error("health does not name the file, or the start has not waited")
	}
	for seq, n := range f.seqs(t) {
		if n != 1 {
			t.Errorf("line %d is stored %d times", seq, n)
		}
	}
}

func TestDefaultID(t *testing.T) {
	t.Parallel()
	env := func(m map[string]string) func(string) string { return func(k string) string { return m[k] } }
	for want, m := range map[string]map[string]string{
		"host":     {},
		"ns/pod":   {envNamespace: "ns", envPod: "pod"},
		"ns/pod/c": {envNamespace: "ns", envPod: "pod", envContainer: "c"},
	} {
		if got := DefaultID(env(m), "host"); got != want {
			t.Errorf("%v gives %q, want %q", m, got, want)
		}
	}
}
