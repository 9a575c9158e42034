package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent/ingest"
	"github.com/truledgr/activity-agent/agent/ingest/journal"
	"github.com/truledgr/activity-agent/sinks"
)

// Retention is `retention`: how long activities are kept, by kind. Ages are written as activity.ParseAge reads them; "" is
// the default's.
type Retention struct {
	Default        string `yaml:"default"`
	Activity       string `yaml:"activity"`
	APITransaction string `yaml:"api_transaction"`
	DataAccess     string `yaml:"data_access"`
	DataChange     string `yaml:"data_change"`
	AuthEvent      string `yaml:"auth_event"`
	ExternalAPI    string `yaml:"external_api"`
	SystemEvent    string `yaml:"system_event"`
}

// DefaultRetention keeps everything.
func DefaultRetention() Retention { return Retention{Default: activity.Forever} }

// Days returns for how many days activities of a kind of m are kept; 0 is for ever.
func (r Retention) Days(m *activity.Model, k activity.Kind) int {
	own := map[activity.Kind]string{
		activity.Plain: r.Activity, activity.APITransaction: r.APITransaction, activity.DataAccess: r.DataAccess,
		activity.DataChange: r.DataChange, activity.AuthEvent: r.AuthEvent, activity.ExternalAPI: r.ExternalAPI,
		activity.SystemEvent: r.SystemEvent,
	}[k]
	if k >= activity.FirstCustom {
		own = m.Retention(k)
	}
	if own == "" {
		own = r.Default
	}
	days, _ := activity.ParseAge(own) // one that is wrong, which config refuses, deletes nothing
	return days
}

// Limited reports whether anything is not kept for ever.
func (r Retention) Limited(m *activity.Model) bool { return len(r.limits(m, time.Time{})) > 0 }

// Ages returns how long each kind is kept, by activity.Kind; 0 is for ever.
func (r Retention) Ages(m *activity.Model) []time.Duration {
	var out []time.Duration
	for _, k := range m.Kinds() {
		for int(k) >= len(out) {
			out = append(out, 0)
		}
		out[k] = time.Duration(r.Days(m, k)) * 24 * time.Hour
	}
	return out
}

// limits returns what has expired at a time.
func (r Retention) limits(m *activity.Model, at time.Time) (out []sinks.Limit) {
	for _, k := range m.Kinds() {
		if days := r.Days(m, k); days > 0 {
			out = append(out, sinks.Limit{Kind: k, Before: at.AddDate(0, 0, -days)})
		}
	}
	return out
}

const (
	// lookForExpired is how often the store is asked for what has expired. Each agent of many asks at a moment of its own.
	lookForExpired = time.Hour
	// clockSteps is how far the system's clock may depart from the monotonic one until nothing is deleted for a round.
	clockSteps = 10 * time.Minute
	// planName is a file in the state directory.
	planName = "retention.json"
)

// A keeper deletes what has been kept long enough, and tells of it by a system event. The way of one deletion:
//
//	store.Expired ─► plan, on the disk ─► store.Delete, step by step ─► event, in the journal ─► plan removed
//
// After a crash the plan is there, and is gone on with: the event is told at least once, and by its idempotency key not
// twice. Where many agents have one store, the one that deletes the last of a plan tells.
type keeper struct {
	agent *Agent
	ages  Retention
	every time.Duration
	path  string // of the plan

	mu      sync.Mutex
	records map[string]int64 // deleted, by kind
	parts   int64            // deletions that are over
	ok      time.Time        // when everything that had expired was gone, last
	err     error            // of the last round
	since   time.Time

	wall, mono time.Time // at the last round: the clock's and the monotonic time
}

// newKeeper returns nil where nothing is to be deleted.
func (a *Agent) newKeeper() *keeper {
	if _, able := a.o.Sink.(sinks.Expirer); !able || !a.o.Retention.Limited(a.o.Model) || a.o.ExitWhenIdle > 0 {
		return nil
	}
	every := a.o.LookForExpired
	if every <= 0 {
		every = lookForExpired
	}
	return &keeper{
		agent: a, ages: a.o.Retention, every: every, path: filepath.Join(a.o.Config.StateDir, planName), records: map[string]int64{},
	}
}

// run looks for what has expired until ctx is done, the first time somewhere in the first part of the interval.
func (k *keeper) run(ctx context.Context) {
	if k == nil {
		return
	}
	k.wall, k.mono = k.agent.o.Now(), time.Now()
	for wait := rand.N(k.every / 4); sleep(ctx, wait) == nil; wait = k.every - k.every/8 + rand.N(k.every/4) {
		if !k.steady() {
			k.agent.log.Warn("the system's clock has stepped: nothing is deleted for its age until it has been steady for a while", zap.Duration("for", k.every))
			continue
		}
		err := k.round(ctx)
		if ctx.Err() != nil || errors.Is(err, journal.ErrClosed) { // the agent ends
			return
		}
		k.note(err)
	}
}

// steady reports whether the system's clock has gone with the monotonic one since the last round. A clock that is wrong by
// years must not cost the store; one that is set right makes a step, too.
func (k *keeper) steady() bool {
	now, mono := k.agent.o.Now(), time.Now()
	step := now.Round(0).Sub(k.wall.Round(0)) - mono.Sub(k.mono)
	k.wall, k.mono = now, mono
	return step.Abs() < clockSteps
}

// round goes on with what an earlier one began, and deletes until nothing is left that has expired.
func (k *keeper) round(ctx context.Context) error {
	x, again, err := k.load()
	if err != nil {
		return err
	}
	for {
		limits := k.ages.limits(k.agent.o.Model, k.agent.o.Now())
		if again && !x.Within(k.agent.o.Model, limits) {
			k.agent.log.Warn("a deletion that was begun is not gone on with: activities are kept for longer now", zap.String("kind", x.Kind))
			again = false
		}
		if !again {
			var ok bool
			if x, ok, err = k.agent.out.expired(ctx, limits); err != nil {
				return err
			}
			if !ok {
				return k.forget()
			}
			if err := k.save(x); err != nil {
				return err
			}
		}
		if err := k.finish(ctx, x, again); err != nil {
			return err
		}
		again = false
	}
}

// finish deletes x, and tells of it.
func (k *keeper) finish(ctx context.Context, x sinks.Expired, again bool) error {
	for {
		began := time.Now()
		p, err := k.agent.out.delete(ctx, x)
		if err != nil {
			return err
		}
		if p == sinks.Deleted || p == sinks.Gone && again {
			if err := k.tell(ctx, x); err != nil {
				return err
			}
		}
		if p != sinks.More {
			return k.forget()
		}
		if err := sleep(ctx, time.Since(began)); err != nil { // at least half of the time is the delivery's
			return err
		}
	}
}

// tell puts the event into the journal; when it returns, the event is durable.
func (k *keeper) tell(ctx context.Context, x sinks.Expired) error {
	body, err := json.Marshal(eventOf(x))
	if err != nil {
		return err
	}
	key := fmt.Sprintf("retention/%s/%s/%d/%d", x.Kind, x.Index, x.Since.UnixNano(), x.Before.UnixNano())
	if err := k.agent.in.intake.TakeOne(ctx, body, activity.SystemEvent, key); err != nil && !errors.Is(err, ingest.ErrReused) {
		return fmt.Errorf("tell of a deletion: %w", err)
	}
	k.mu.Lock()
	k.parts++
	k.records[x.Kind] += max(x.Records, 0)
	k.mu.Unlock()
	k.agent.log.Info("deleted what has expired", zap.String("kind", x.Kind), zap.String("index", x.Index), zap.Int64("records", x.Records),
		zap.Time("since", x.Since), zap.Time("before", x.Before))
	return nil
}

// eventOf makes the system event of a deletion.
func eventOf(x sinks.Expired) map[string]any {
	details := map[string]any{"kind": x.Kind, "since": x.Since, "before": x.Before}
	what := fmt.Sprintf("activities of the kind %s", x.Kind)
	if x.Records >= 0 {
		what = fmt.Sprintf("%d %s", x.Records, what)
		details["records"] = x.Records
	}
	if x.Index != "" {
		what += " (the index " + x.Index + ")"
		details["index"] = x.Index
	}
	return map[string]any{
		"activity_type": "retention_deleted", "event_type": "retention", "severity": "info", "component": "activity-agent", "status": "success",
		"description": fmt.Sprintf("deleted %s from before %s, which had been kept long enough", what, x.Before.Format(time.RFC3339)),
		"details":     details,
	}
}

// load returns what an earlier round, or process, had begun to delete.
func (k *keeper) load() (x sinks.Expired, ok bool, err error) {
	text, err := os.ReadFile(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return x, false, nil
	}
	if err != nil {
		return x, false, fmt.Errorf("read what is being deleted: %w", err)
	}
	if json.Unmarshal(text, &x) != nil || x.Kind == "" {
		k.agent.log.Warn("the note of what was being deleted is damaged, and is begun anew", zap.String("path", k.path))
		return sinks.Expired{}, false, nil
	}
	return x, true, nil
}

// save notes durably what is going to be deleted.
func (k *keeper) save(x sinks.Expired) error {
	text, err := json.Marshal(x)
	if err == nil {
		err = replaceFile(k.path, text)
	}
	if err != nil {
		return fmt.Errorf("note what is being deleted: %w", err)
	}
	return nil
}

// replaceFile writes a file anew, whole or not at all, and durably.
func replaceFile(path string, content []byte) error {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (k *keeper) forget() error {
	if err := os.Remove(k.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("end the note of what is being deleted: %w", err)
	}
	return nil
}

// note keeps the outcome of a round for the probes and metrics.
func (k *keeper) note(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if err == nil {
		k.ok, k.err = now, nil
		return
	}
	if k.err == nil {
		k.since = now
	}
	k.err = err
	k.agent.log.Warn("what has expired cannot be deleted; it is tried again", zap.Error(err), zap.Duration("in", k.every))
}

// trouble is a sentence if expired activities could not be deleted.
func (k *keeper) trouble() []string {
	if k == nil {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		return nil
	}
	return []string{fmt.Sprintf("retention: what has expired cannot be deleted since %s: %v", k.since.UTC().Format(time.RFC3339), k.err)}
}
