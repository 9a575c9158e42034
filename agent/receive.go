package agent

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/agent/ingest"
	"github.com/truledgr/activity-agent/agent/ingest/journal"
	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/agent/tail"
	"github.com/truledgr/activity-agent/pipeline"
)

// Stdin stands for standard input in files[].include.
const Stdin = "-"

// A Stream is a source of lines that can be read only once: standard input, the output of an application.
type Stream struct {
	Source io.Reader
	Config tail.Config // how its lines are read; Include does not matter
	// Stop makes Source end soon: with what is there already.
	Stop func()
}

// SplitStdin takes the entries apart that name standard input: what is left for the tailer, and how standard input is to be
// read, nil where no entry names it.
func SplitStdin(files []tail.Config) (rest []tail.Config, stdin *tail.Config) {
	for _, f := range files {
		at := slices.Index(f.Include, Stdin)
		if at < 0 {
			rest = append(rest, f)
			continue
		}
		if stdin == nil {
			entry := f
			stdin = &entry
		}
		f.Include = slices.DeleteFunc(slices.Clone(f.Include), func(g string) bool { return g == Stdin })
		if len(f.Include) > 0 {
			rest = append(rest, f)
		}
	}
	return rest, stdin
}

// receiver is what comes without files: the journal, and those who write into it.
type receiver struct {
	journal *journal.Journal
	intake  *ingest.Intake // nil where nobody writes
	server  *ingest.Server // nil where nothing is listened on
	streams []*ingest.Lines
	stops   []func()
	open    atomic.Int64 // streams that have not ended
	working sync.WaitGroup
	stopped sync.Once
}

// openReceiver opens the journal, which may hold records of an earlier run, and binds the listener.
func (a *Agent) openReceiver() (err error) {
	r, c := &a.in, a.o.Ingest
	if r.journal, err = journal.Open(journal.Options{
		Dir: filepath.Join(a.o.Config.StateDir, "journal"), Ledger: a.ledger, Now: a.o.Now, Logger: a.log,
		Budget: int64(c.DiskBudget), BatchBytes: a.batchBytes(),
	}); err != nil {
		return err
	}
	if c.Listen == "" && len(a.o.Streams) == 0 && a.keeper == nil && !a.o.Records {
		return nil
	}
	if r.intake, err = ingest.NewIntake(ingest.IntakeOptions{
		Journal: r.journal, Model: a.o.Model, Pipeline: a.pipelineOfNow, Now: a.clock.batchTime,
	}); err != nil {
		return err
	}
	for _, s := range a.o.Streams {
		cutter := s.Config.Cutter()
		cutter.Traces = false // a trace's last line would wait for the next output, however long that takes
		r.streams = append(r.streams, &ingest.Lines{
			Intake: r.intake, Source: s.Source, Cutter: cutter, Stream: s.Config.Stream(), Log: a.log,
		})
		r.stops = append(r.stops, s.Stop)
	}
	if c.Listen != "" {
		r.server, err = ingest.Listen(c, r.intake, a.log)
	}
	if err != nil && (c.Listen == ingest.DefaultConfig().Listen && len(a.o.Files) > 0 || a.o.ExitWhenIdle > 0) {
		// Nobody may have asked for it: another agent, or the application, has the default address.
		a.log.Warn("activities cannot be posted to this agent", zap.Error(err))
		return nil
	}
	if err == nil && r.server != nil {
		a.log.Info("activities are posted to", zap.String("address", r.server.Addr()))
	}
	return err
}

// Intake takes records of the process itself; nil unless Options.Records says so.
func (a *Agent) Intake() *ingest.Intake {
	if !a.o.Records {
		return nil
	}
	return a.in.intake
}

// start begins to take records in. hard ends it at once.
func (r *receiver) start(hard context.Context, log *zap.Logger) {
	if r.server != nil {
		r.working.Go(func() {
			if err := r.server.Serve(); err != nil {
				log.Error("activities can no longer be posted", zap.Error(err))
			}
		})
	}
	for _, s := range r.streams {
		r.open.Add(1)
		r.working.Go(func() {
			defer r.open.Add(-1)
			_ = s.Run(hard) // ends with an error only when hard does
		})
	}
}

// ended reports whether every stream is at its end.
func (r *receiver) ended() bool { return r.open.Load() == 0 }

// trouble returns a sentence for each thing that keeps records from being taken.
func (r *receiver) trouble() (out []string) {
	s := r.journal.Stats()
	if s.Err != nil {
		out = append(out, fmt.Sprintf("records that are posted cannot be made durable: %v", s.Err))
	}
	if s.Bytes >= s.Budget {
		out = append(out, fmt.Sprintf("the journal is full (%d bytes, ingest.disk_budget): posts are refused until the store takes what is in it", s.Bytes))
	}
	return out
}

// stopGrace is how long requests under way may take once the agent stops.
const stopGrace = 5 * time.Second

// stop takes no more in, and returns when what came is durable, or hard is done. The journal then ends with what it has.
func (r *receiver) stop(hard context.Context) {
	r.stopped.Do(func() {
		for _, stop := range r.stops {
			stop()
		}
		if r.server != nil {
			ctx, cancel := context.WithTimeout(hard, stopGrace)
			r.server.Stop(ctx)
			cancel()
		}
		r.working.Wait()
		r.journal.Drain()
	})
}

func (r *receiver) close() error {
	if r.journal == nil {
		return nil
	}
	return r.journal.Close()
}

// files is the ledger as the tailer sees it: without the journal's stream.
type files struct {
	*ledger.Ledger
	journal *journal.Journal
}

// Streams returns the streams that are files.
func (f files) Streams() []ledger.Stream {
	return slices.DeleteFunc(f.Ledger.Streams(), func(s ledger.Stream) bool { return f.journal.Owns(&s) })
}

// restore makes p of what was kept in the journal.
func (a *Agent) restore(p *parcel, kept *journal.Batch, number uint64) {
	defer a.watchdog.enter("restoring a batch")()
	pipe := a.pipeline()
	pipe.Restore(&kept.Saved, a.o.Model, number, a.clock.batchTime(), &p.batch)
	p.intent, p.fingerprint = nil, pipe.Fingerprint()
}

// pipelineOfNow makes a pipeline with the settings of now.
func (a *Agent) pipelineOfNow() (*pipeline.Pipeline, error) {
	a.mu.Lock()
	c, o := a.rules, a.origin
	a.mu.Unlock()
	return a.newPipeline(c, o, a.o.Model)
}
