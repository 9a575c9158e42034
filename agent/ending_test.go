package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

// TestAPartThatNeverComesBackIsLeftBehind: even then the agent ends, and says what it was.
func TestAPartThatNeverComesBackIsLeftBehind(t *testing.T) {
	t.Parallel()
	release, hanging := make(chan struct{}), make(chan struct{})
	f := newFixture(t, 10, func(int, *pipeline.Batch, []sinks.Result) (bool, error) {
		close(hanging)
		<-release
		return false, errors.New("down")
	})
	ended := make(chan error, 1)
	var done sync.WaitGroup
	done.Go(func() {
		_, err := f.run(t, t.Context())
		ended <- err
	})
	<-hanging
	f.agent.Abort()
	select {
	case err := <-ended:
		if err == nil || !strings.Contains(err.Error(), "delivering a batch to the store") {
			t.Errorf("got %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("it did not end")
	}
	close(release)
	done.Wait()
	f.agent.running.Wait()
	f.agent.abandoned.Store(false) // what was left behind comes back now, and the test leaves nothing
	eventually(t, "the rest to end", func() bool {
		f.agent.watchdog.mu.Lock()
		defer f.agent.watchdog.mu.Unlock()
		return len(f.agent.watchdog.calls) == 0
	})
	if err := f.agent.Close(); err != nil {
		t.Error(err)
	}
}

// TestAnUnreadableStopFileIsNone: what cannot be looked at does not end the agent.
func TestAnUnreadableStopFileIsNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "not-a-directory", "stop")
	if err := os.WriteFile(filepath.Dir(file), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if exists(file) {
		t.Error("a file below a file exists")
	}
}

// TestAbortWithSomethingLeftIsNoSuccess, also when what is left was only not read yet.
func TestAbortWithSomethingLeftIsNoSuccess(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 5000, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, nil })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f.agent.Abort()
	if a, err := f.run(t, ctx); err == nil && a.Stored < 5000 {
		t.Errorf("no error after %+v", a)
	}
	f.open(t, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, nil })
	if _, err := f.run(t, t.Context()); err != nil {
		t.Error(err)
	}
	if seen := f.seqs(t); len(seen) != 5000 {
		t.Errorf("%d lines are stored", len(seen))
	}
}

// TestToldToEndBeforeItHasBegun: what the last run left, and what was written since, are stored all the same, in the time
// there is for a drain. The pod's volumes may be gone afterwards.
func TestToldToEndBeforeItHasBegun(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 30, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, errors.New("down") })
	var done sync.WaitGroup
	done.Go(func() {
		if _, err := f.run(t, t.Context()); err == nil {
			t.Error("no error")
		}
	})
	eventually(t, "an attempt", func() bool { return f.agent.Account().Retries > 0 })
	f.agent.Abort()
	done.Wait()
	log, err := os.OpenFile(filepath.Join(f.dir, "app.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.WriteString("{\"msg\":\"m\",\"seq\":30}\n"); err != nil {
		t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	f.open(t, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, nil })
	f.agent.drainTimeout = time.Minute
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if a, err := f.run(t, ctx); err != nil || a.Replayed != 30 || a.Stored != 31 {
		t.Errorf("%v, %+v", err, a)
	}
}
