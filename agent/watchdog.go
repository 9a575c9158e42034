package agent

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// stuckAfter is how long one step may take, and how long nothing may move while something waits, by default.
const stuckAfter = 5 * time.Minute

// A watchdog tells whether the agent is stuck. Every step that works on a batch, and may hang, is a call; waiting for the
// next attempt at what has failed is a patient one, because then the agent does what it should. Stuck is
//
//   - a call that takes longer than the limit, or
//   - no call at all for that long, while the inputs have something that is not settled.
//
// Times are of the monotonic clock.
type watchdog struct {
	idle func() bool // the inputs are at their end, and all of it is settled

	mu      sync.Mutex
	limit   time.Duration
	calls   map[*call]struct{}
	moved   time.Time // when a call began or ended last
	waiting bool      // not idle, at the last look
}

type call struct {
	what    string
	since   time.Time
	patient bool
}

func newWatchdog(limit time.Duration, idle func() bool) *watchdog {
	w := &watchdog{idle: idle, calls: map[*call]struct{}{}, moved: time.Now()}
	w.allow(limit)
	return w
}

// allow sets the limit.
func (w *watchdog) allow(limit time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.limit = limit; limit <= 0 {
		w.limit = stuckAfter
	}
}

// enter notes that a step begins; what says which, for people. leave must be called when it is over.
func (w *watchdog) enter(what string) (leave func()) { return w.begin(&call{what: what}) }

// wait is enter for the time until the next attempt.
func (w *watchdog) wait() (leave func()) { return w.begin(&call{patient: true}) }

func (w *watchdog) begin(c *call) (leave func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c.since = time.Now()
	w.calls[c] = struct{}{}
	w.moved = c.since
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.calls, c)
		w.moved = time.Now()
	}
}

// watch looks at the inputs until ctx is done. Looking is a call like others: it waits for the tailer.
func (w *watchdog) watch(ctx context.Context) {
	for sleep(ctx, w.pause()) == nil {
		c := &call{what: "looking at the inputs", since: time.Now()}
		w.mu.Lock()
		w.calls[c] = struct{}{}
		w.mu.Unlock()
		idle := w.idle()
		w.mu.Lock()
		delete(w.calls, c)
		if idle {
			w.moved = time.Now()
		}
		w.waiting = !idle
		w.mu.Unlock()
	}
}

// pause is how long it is to the next look.
func (w *watchdog) pause() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return min(w.limit/10, 5*time.Second)
}

// stuck returns a sentence, or "" if the agent is not.
func (w *watchdog) stuck(now time.Time) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.calls {
		if took := now.Sub(c.since); !c.patient && took > w.limit {
			return fmt.Sprintf("stuck: %s has taken %v, and is given %v", c.what, took.Round(time.Second), w.limit)
		}
	}
	if still := now.Sub(w.moved); w.waiting && len(w.calls) == 0 && still > w.limit {
		return fmt.Sprintf("stuck: there is something to deliver, and nothing has moved for %v", still.Round(time.Second))
	}
	return ""
}

// longest names the step that has been under way for longest.
func (w *watchdog) longest() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var oldest *call
	for c := range w.calls {
		if !c.patient && (oldest == nil || c.since.Before(oldest.since)) {
			oldest = c
		}
	}
	if oldest == nil {
		return "no step is under way"
	}
	return fmt.Sprintf("%s has taken %v", oldest.what, time.Since(oldest.since).Round(time.Second))
}

// Stuck returns a sentence if the agent itself no longer works, and "" if it does: also when the store or the state
// directory fails and is tried again.
func (a *Agent) Stuck() string { return a.watchdog.stuck(time.Now()) }
