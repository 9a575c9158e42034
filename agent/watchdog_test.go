package agent

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

func TestWhatIsStuck(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		do   func(w *watchdog)
		want string // after an hour
	}{
		"nothing to do":                       {func(*watchdog) {}, ""},
		"a step that goes on":                 {func(w *watchdog) { w.enter("delivering") }, "stuck: delivering has taken 1h0m0s"},
		"a step that ended":                   {func(w *watchdog) { w.enter("delivering")() }, ""},
		"a step that ended, and work left":    {func(w *watchdog) { w.enter("delivering")(); w.waiting = true }, "nothing has moved for 1h0m0s"},
		"work left and no step":               {func(w *watchdog) { w.waiting = true }, "nothing has moved"},
		"work left and an attempt to come":    {func(w *watchdog) { w.waiting = true; w.wait() }, ""},
		"one attempt to come, one that hangs": {func(w *watchdog) { w.wait(); w.enter("delivering") }, "stuck: delivering"},
	} {
		w := newWatchdog(time.Minute, nil)
		tt.do(w)
		if got := w.stuck(time.Now().Add(time.Hour)); !strings.Contains(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
		if got := w.stuck(time.Now().Add(time.Second)); got != "" {
			t.Errorf("%s: got %q after a second", name, got)
		}
	}
}

// TestInputsThatDoNotAnswer: whoever reads them hangs, and so does the look at them.
func TestInputsThatDoNotAnswer(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	w := newWatchdog(50*time.Millisecond, func() bool { <-release; return true })
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { w.watch(ctx) })
	eventually(t, "the watchdog", func() bool { return strings.Contains(w.stuck(time.Now()), "looking at the inputs") })
	cancel()
	close(release)
	done.Wait()
	if got := w.stuck(time.Now()); got != "" {
		t.Errorf("afterwards: %s", got)
	}
}

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// livez asks the probe.
func (f *fixture) livez() (int, string) {
	w := httptest.NewRecorder()
	adminHandler(f.agent, "test").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/livez", nil))
	return w.Code, w.Body.String()
}

// TestAStoreThatHangsFailsLiveness, and is forgiven when it goes on.
func TestAStoreThatHangsFailsLiveness(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	f := newFixture(t, 10, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { <-release; return false, nil })
	f.agent.watchdog.allow(100 * time.Millisecond)
	var done sync.WaitGroup
	done.Go(func() {
		if a, err := f.run(t, t.Context()); err != nil || a.Stored != 10 {
			t.Errorf("%v, %+v", err, a)
		}
	})
	eventually(t, "liveness to fail", func() bool {
		code, text := f.livez()
		return code == http.StatusServiceUnavailable && strings.Contains(text, "stuck: delivering a batch to the store has taken")
	})
	f.agent.watchdog.allow(time.Hour)
	close(release)
	eventually(t, "liveness to recover", func() bool { code, _ := f.livez(); return code == http.StatusOK })
	done.Wait()
}

// TestAPipelineThatHangsFailsLiveness: the step is held at its first act, asking for the batch's time.
func TestAPipelineThatHangsFailsLiveness(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	f := newFixture(t, 10, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, nil })
	f.agent.watchdog.allow(100 * time.Millisecond)
	f.agent.clock.now = func() time.Time { <-release; return time.Now() }
	var done sync.WaitGroup
	done.Go(func() {
		if a, err := f.run(t, t.Context()); err != nil || a.Stored != 10 {
			t.Errorf("%v, %+v", err, a)
		}
	})
	eventually(t, "liveness to fail", func() bool {
		code, text := f.livez()
		return code == http.StatusServiceUnavailable && strings.Contains(text, "stuck: converting a batch has taken")
	})
	close(release)
	done.Wait()
}

// TestAStoreThatIsDownIsNotStuck, however long it is.
func TestAStoreThatIsDownIsNotStuck(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 10, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, errors.New("down") })
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if _, err := f.run(t, ctx); err == nil {
			t.Error("no error")
		}
	})
	eventually(t, "attempts", func() bool { return f.agent.Account().Retries >= 3 })
	w := f.agent.watchdog
	eventually(t, "a wait between attempts, with work left", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.waiting || len(w.calls) > 0
	})
	eventually(t, "not being stuck in a day", func() bool { return w.stuck(time.Now().Add(24*time.Hour)) == "" })
	f.agent.Abort()
	cancel()
	done.Wait()
}
