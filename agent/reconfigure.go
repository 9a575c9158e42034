package agent

import (
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent/tail"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

// Settings are what can change while an agent runs. Everything else of Options takes another agent.
type Settings struct {
	DrainTimeout time.Duration
	StuckAfter   time.Duration // see Options
	Files        []tail.Config
	Pipeline     pipeline.Config
	Origin       pipeline.Origin
	// Sink takes the place of the one there is, and is the agent's to close from then on; nil keeps it. It must take as many
	// batches at once as the old one.
	Sink sinks.Sink
}

// Reconfigure takes up other settings, all of them or, after an error, none. It waits for attempts to deliver that are
// under way, and for nothing else: no record is read again, none is left out, and no input is closed. A record is treated
// as the settings say that hold when the pipeline gets it; one that the pipeline has finished with keeps what was decided,
// and goes to the target that was configured then. One call at a time.
func (a *Agent) Reconfigure(s Settings) error {
	if s.Sink != nil && s.Sink.InFlight() != a.out.inFlight {
		return fmt.Errorf("the store takes %d batches at once and not %d: restart the agent", s.Sink.InFlight(), a.out.inFlight)
	}
	pipe, err := a.newPipeline(s.Pipeline, s.Origin, a.o.Model)
	if err != nil {
		return err
	}
	onDisk, _ := SplitStdin(s.Files)
	if err := a.tailer.Reconfigure(onDisk); err != nil {
		return err
	}
	a.mu.Lock()
	a.pipe, a.rules, a.origin, a.drainTimeout = pipe, s.Pipeline, s.Origin, s.DrainTimeout
	a.mu.Unlock()
	if a.in.intake != nil {
		if err := a.in.intake.Reconfigure(); err != nil {
			return err // cannot be: such a pipeline was made above
		}
	}
	a.watchdog.allow(s.StuckAfter)
	if s.Sink != nil {
		if err := a.out.exchange(s.Sink); err != nil {
			a.log.Warn("the store before this one did not close in order; nothing of it is needed", zap.Error(err))
		}
	}
	return nil
}

func (a *Agent) newPipeline(c pipeline.Config, o pipeline.Origin, m *activity.Model) (*pipeline.Pipeline, error) {
	return pipeline.New(pipeline.Options{
		Config: c, AgentID: a.ledger.AgentID(), Chain: a.ledger.Chain(), Origin: o, Version: a.o.Version, Keep: a.o.Retention.Ages(a.o.Model), Model: m,
	})
}

// pipeline returns the pipeline of now. Its scratch memory is for one goroutine.
func (a *Agent) pipeline() *pipeline.Pipeline {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pipe
}

// reloads is the account of attempts to take up a changed configuration.
type reloads struct {
	mu      sync.Mutex
	hash    string    // of what is in force
	at      time.Time // since when
	ok      int64
	refused int64
	err     error // of the last attempt
	since   time.Time
}

// Reloaded notes the outcome of taking up a configuration, for the metrics and the probes: hash names the one that was
// taken up; after an error it is not used, and the one before stays in force.
func (a *Agent) Reloaded(hash string, err error) {
	r := &a.reloads
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if err != nil {
		r.refused++
		if r.err == nil {
			r.since = now
		}
		r.err = err
		return
	}
	r.ok++
	r.hash, r.at, r.err = hash, now, nil
}

// trouble is a sentence if the configuration on disk is not the one in force.
func (r *reloads) trouble() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		return ""
	}
	return fmt.Sprintf("the configuration was changed and is refused since %s; the one before is in force: %v", r.since.UTC().Format(time.RFC3339), r.err)
}
