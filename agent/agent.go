package agent

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent/deadletter"
	"github.com/truledgr/activity-agent/agent/ingest"
	"github.com/truledgr/activity-agent/agent/ingest/journal"
	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/agent/tail"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

// Options make an Agent.
type Options struct {
	Config   Config
	Files    []tail.Config // entries that name Stdin are left to Streams
	Ingest   ingest.Config // a Listen of "" is off
	Streams  []Stream
	Records  bool // others put records in, by Agent.Intake
	Pipeline pipeline.Config
	Model    *activity.Model // the kinds and fields there are; nil for the built-in ones
	Origin   pipeline.Origin
	Sink     sinks.Sink // closed by Agent.Close
	Version  string
	Logger   *zap.Logger // default: none
	// Now is the wall clock, for the times of batches and ledger entries; default time.Now. Waits and ages are measured by
	// the monotonic clock, whatever Now says.
	Now func() time.Time
	// ConfigHash names the configuration that all this comes from, in the metrics.
	ConfigHash string
	// ExitWhenIdle ends Run once every input is at its end, and all of it acked, for that long; 0 never does.
	ExitWhenIdle time.Duration
	// Retention is how long activities are kept: no record's own time is accepted that is older, and what is in a Sink that
	// is a sinks.Expirer for longer is deleted; not so with ExitWhenIdle.
	Retention Retention
	// LookForExpired is how often that is looked for; default an hour.
	LookForExpired time.Duration
	// Trim, if set, gives back memory that the process does not need now. It is called when there has been nothing to do for a
	// while.
	Trim func()
	// StuckAfter is how long a step may take until Stuck says so; default 5 minutes. It must be longer than any attempt of
	// the sink.
	StuckAfter time.Duration
}

// Agent ships what its inputs have into its sink. Make one with New, run it once, close it.
type Agent struct {
	o      Options
	log    *zap.Logger
	ledger *ledger.Ledger
	dead   *deadletter.Log
	tailer *tail.Tailer
	in     receiver
	out    *outlet
	clock  *clock
	books  *books
	keeper *keeper // nil where nothing is deleted for its age

	watchdog *watchdog
	store    *condition // the sink
	state    *condition // the state directory
	source   *condition // what a replay reads again

	aborted   chan struct{}
	once      sync.Once
	draining  sync.Once
	running   sync.WaitGroup
	abandoned atomic.Bool // a part of Run did not come back

	reloads reloads

	mu           sync.Mutex
	started      bool // replay is over, inputs are being read
	pipe         *pipeline.Pipeline
	rules        pipeline.Config // of pipe
	origin       pipeline.Origin
	drainTimeout time.Duration
}

// New opens the state directory and prepares everything; it reads no input yet. Errors say what to do.
func New(o Options) (*Agent, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Agent{
		o: o, log: o.Logger, out: newOutlet(o.Sink), drainTimeout: o.Config.DrainTimeout, books: newBooks(), aborted: make(chan struct{}),
		rules: o.Pipeline, origin: o.Origin,
		clock:  &clock{now: o.Now, since: time.Since, log: o.Logger},
		store:  &condition{what: "store", log: o.Logger},
		state:  &condition{what: "state directory", log: o.Logger},
		source: &condition{what: "the replay, which the start waits for,", log: o.Logger},
	}
	a.keeper = a.newKeeper()
	a.reloads.hash, a.reloads.at = o.ConfigHash, time.Now()
	a.watchdog = newWatchdog(o.StuckAfter, func() bool {
		_, idle := a.idleSince()
		return idle
	})
	if err := a.open(); err != nil {
		return nil, errors.Join(err, a.closeState())
	}
	return a, nil
}

// lockWait is how long a start waits for an agent that was killed to be gone.
const lockWait = 5 * time.Second

// open is the part of New that touches the disk.
func (a *Agent) open() (err error) {
	c := a.o.Config
	if a.ledger, err = ledger.Open(c.StateDir, ledger.Options{AgentID: c.ID, Now: a.o.Now, Logger: a.log, LockWait: lockWait}); err != nil {
		return err
	}
	id := a.ledger.AgentID()
	if c.ID != "" && c.ID != id {
		a.log.Warn("agent.id is frozen in the ledger; the configured one is not used", zap.String("frozen", id), zap.String("configured", c.ID))
	}
	if a.dead, err = deadletter.Open(c.StateDir); err != nil {
		return err
	}
	if a.pipe, err = a.newPipeline(a.o.Pipeline, a.o.Origin, a.o.Model); err != nil {
		return err
	}
	if err := a.openReceiver(); err != nil {
		return err
	}
	onDisk, _ := SplitStdin(a.o.Files)
	key := c.IDKey
	if key == "" {
		key = id
	}
	a.tailer, err = tail.New(tail.Options{
		Files: onDisk, IDKey: []byte(key), Registry: files{a.ledger, a.in.journal}, Logger: a.log,
		BatchBytes: a.batchBytes(), BatchRecords: a.batchBytes() / recordCost, Pool: pool,
	})
	return err
}

// How the memory budget is spent: raw batches in the tailer's pool, and what is made of each: documents (some 1.6 times as
// large as the lines), their records, their results, their intent and the body of the request. What a record costs
// however short its line is, some 700 bytes in all, bounds how many there are in a batch.
const (
	pool       = 2
	growth     = 4 // of it documents:
	documents  = 2
	minimum    = 64 << 10
	recordCost = 256 // bytes of a batch's share of raw bytes
)

// batchBytes is how many raw bytes a batch may have. A longer line makes a larger batch.
func (a *Agent) batchBytes() int {
	shares := pool + growth*(a.out.inFlight+1)
	return int(min(max(int64(a.o.Config.MemoryBudget)/int64(shares), minimum), 1<<20))
}

// run is Run until hard is done.
func (a *Agent) run(hard context.Context) error {
	a.in.start(hard, a.log)
	if err := a.replay(hard); err != nil {
		return err
	}
	a.mu.Lock()
	a.started = true
	a.mu.Unlock()
	free := make(chan *parcel, a.out.inFlight+1)
	for range cap(free) {
		free <- new(parcel)
	}
	ready := make(chan *parcel, 1)
	a.tailer.Fill(minimum) // until it is known how much becomes of the bytes
	g, gctx := errgroup.WithContext(hard)
	reading, read := context.WithCancel(gctx)
	g.Go(func() error { return a.tailer.Run(gctx) })
	g.Go(func() error { return a.in.journal.Run(gctx) })
	g.Go(func() error {
		defer read()
		defer close(ready)
		return a.process(gctx, free, ready)
	})
	g.Go(func() error { return a.dispatch(gctx, ready, free) })
	g.Go(func() error {
		a.watchEnd(reading, hard)
		return nil
	})
	g.Go(func() error {
		a.keeper.run(reading)
		return nil
	})
	return g.Wait()
}

// process makes documents of what the sources hand over: files' lines go through the pipeline, and what is in the journal
// has been through it.
func (a *Agent) process(ctx context.Context, free <-chan *parcel, ready chan<- *parcel) error {
	number := a.ledger.NextBatch()
	lines, journaled := a.tailer.Batches(), a.in.journal.Batches()
	for lines != nil || journaled != nil {
		var raw *pipeline.Raw
		var kept *journal.Batch
		var more bool
		select {
		case raw, more = <-lines:
			if !more {
				lines = nil
				continue
			}
		case kept, more = <-journaled:
			if !more {
				journaled = nil
				continue
			}
		}
		var p *parcel
		select {
		case p = <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
		if raw != nil {
			a.convert(p, raw, number)
			a.tailer.Release(raw)
			a.tailer.Fill(a.nextFill(&p.batch))
		} else {
			a.restore(p, kept, number)
			a.in.journal.Release(kept)
		}
		number++
		select {
		case ready <- p:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// nextFill is how many raw bytes the next batch may have, for its documents to be as large as planned if they are to its
// bytes as those of b are. Lines of control characters grow sixfold, very short ones by far more.
func (a *Agent) nextFill(b *pipeline.Batch) int {
	var raw int64
	for i := range b.Ranges {
		raw += b.Ranges[i].End - b.Ranges[i].Start
	}
	planned := documents * raw
	if size := int64(b.Bytes()); size > planned {
		return max(minimum, int(int64(a.batchBytes())*planned/size))
	}
	return a.batchBytes()
}

// convert makes p of what was read.
func (a *Agent) convert(p *parcel, raw *pipeline.Raw, number uint64) {
	defer a.watchdog.enter("converting a batch")()
	pipe := a.pipeline()
	pipe.Process(raw, number, a.clock.batchTime(), &p.batch)
	if at := p.batch.PanicAt; at != "" {
		a.log.Error("a bug in the agent: it cannot convert some records, which become dead letters; please report the place",
			zap.Int("records", p.batch.Panics), zap.String("place", at))
	}
	p.intent, p.fingerprint = nil, pipe.Fingerprint()
}

// dispatch writes the intents in order, and keeps as many parcels under way as the sink takes. A place must be free
// before an intent is written: a store that is rewound to the intent's mark has one batch under way.
func (a *Agent) dispatch(ctx context.Context, ready <-chan *parcel, free chan<- *parcel) error {
	senders, sctx := errgroup.WithContext(ctx)
	places := make(chan struct{}, a.out.inFlight)
	for p := range ready {
		p.reset()
		select {
		case places <- struct{}{}:
		case <-sctx.Done():
			return errors.Join(sctx.Err(), senders.Wait())
		}
		if err := a.intend(sctx, p); err != nil {
			return errors.Join(err, senders.Wait())
		}
		senders.Go(func() error {
			if err := a.deliver(sctx, p); err != nil {
				return err
			}
			free <- p
			<-places
			return nil
		})
	}
	return senders.Wait()
}

// intend makes a batch's intent durable.
func (a *Agent) intend(ctx context.Context, p *parcel) error {
	meta := ledger.Meta{Fingerprint: p.fingerprint}
	a.out.describe(&meta)
	meta.Target.Kinds = p.batch.Model.CustomNames()
	p.target = meta.Target
	err := a.persist(ctx, "intent", func() error { return a.ledger.Append(&p.batch, meta) })
	if err == nil {
		a.books.enter(&p.batch, false)
	}
	return err
}

// Account returns what became of every record so far.
func (a *Agent) Account() Account { return a.books.snapshot() }

// Files returns how far each input has been read.
func (a *Agent) Files() []tail.FileStat { return a.tailer.Stats() }

// Started reports whether the replay is over and the inputs are being read.
func (a *Agent) Started() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.started
}

// Trouble returns a sentence for each thing that is failing now.
func (a *Agent) Trouble() []string {
	var out []string
	if text := a.Stuck(); text != "" {
		out = append(out, text)
	}
	for _, c := range []*condition{a.store, a.state, a.source} {
		if err, since := c.current(); err != nil {
			out = append(out, fmt.Sprintf("%s failing since %s: %v", c.what, since.UTC().Format(time.RFC3339), err))
		}
	}
	if text := a.reloads.trouble(); text != "" {
		out = append(out, text)
	}
	out = append(out, a.in.trouble()...)
	out = append(out, a.keeper.trouble()...)
	for _, f := range a.tailer.Stats() {
		if f.Err != "" {
			out = append(out, fmt.Sprintf("cannot read %s: %s", f.Path, f.Err))
		}
	}
	return out
}

// Close releases the sink and the state directory. Run must have returned. If it has left a part behind, that still holds
// them, and they are released with the process.
func (a *Agent) Close() error {
	if a.abandoned.Load() {
		return nil
	}
	return errors.Join(a.out.close(), a.closeState())
}

func (a *Agent) closeState() error {
	errs := []error{a.in.close()}
	if a.dead != nil {
		errs = append(errs, a.dead.Close())
	}
	if a.ledger != nil {
		errs = append(errs, a.ledger.Close())
	}
	return errors.Join(errs...)
}
