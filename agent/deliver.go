package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/agent/deadletter"
	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

// Waits between attempts: doubling from the first to the last, each with up to half of it at random.
const (
	firstWait = 100 * time.Millisecond
	lastWait  = 15 * time.Second
)

// A parcel is a batch on its way, with the results so far. Parcels are pooled.
type parcel struct {
	batch   pipeline.Batch
	results []sinks.Result
	intent  *ledger.Intent // of a replay

	fingerprint [16]byte      // of the pipeline that made it
	target      ledger.Target // where its intent says it goes
}

// reset makes room for a result per record, all unknown.
func (p *parcel) reset() {
	n := len(p.batch.Records)
	if cap(p.results) < n {
		p.results = make([]sinks.Result, n)
	}
	p.results = p.results[:n]
	clear(p.results)
}

// deliver sends one parcel until every record has its verdict, and writes the outcome. It fails only when ctx is done;
// then the intent stays open, and the next start replays it.
func (a *Agent) deliver(ctx context.Context, p *parcel) error {
	b := &p.batch
	if err := a.send(ctx, p); err != nil {
		return err
	}
	letters := a.letters(p)
	err := a.persist(ctx, "dead letters", func() error { return a.dead.Add(letters) })
	if err != nil {
		return err
	}
	if err := a.persist(ctx, "outcome", func() error { return a.ledger.Finish(outcome(p)) }); err != nil {
		return err
	}
	a.books.settle(b, p.results)
	a.tailer.Acked(b.Ranges)
	a.in.journal.Acked(b.Number, b.Ranges)
	return nil
}

// send makes attempts until no result is open.
func (a *Agent) send(ctx context.Context, p *parcel) error {
	wait := firstWait
	for attempt := 1; open(p); attempt++ {
		if attempt > 1 {
			a.books.retried()
		}
		before, other := countOpen(p), a.out.changed()
		leave := a.watchdog.enter("delivering a batch to the store")
		err := a.out.write(ctx, p)
		leave()
		left := countOpen(p)
		if left == 0 {
			a.store.ok()
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil {
			err = fmt.Errorf("the store asked to send %d records again", left)
		}
		a.store.failed(err, attempt)
		if left < before {
			wait = firstWait
		}
		leave = a.watchdog.wait()
		err = pause(ctx, other, max(sinks.RetryAfter(err), wait/2+rand.N(wait/2)))
		leave()
		if err != nil {
			return err
		}
		wait = min(2*wait, lastWait)
	}
	return nil
}

func open(p *parcel) bool { return countOpen(p) > 0 }

// countOpen counts the records that still have to be sent.
func countOpen(p *parcel) (n int) {
	for i := range p.batch.Records {
		if p.batch.Records[i].Fate == pipeline.Deliver && p.results[i].Verdict == sinks.Retry {
			n++
		}
	}
	return n
}

// persist repeats a write to the state directory until it succeeds: a full disk stops the agent, it does not lose.
func (a *Agent) persist(ctx context.Context, what string, write func() error) error {
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		leave := a.watchdog.enter("writing to the state directory")
		err := write()
		leave()
		if err == nil {
			a.state.ok()
			return nil
		}
		a.state.failed(fmt.Errorf("write %s: %w", what, err), 1)
		leave = a.watchdog.wait()
		err = sleep(ctx, wait)
		leave()
		if err != nil {
			return err
		}
	}
}

// letters makes dead letters of what the pipeline set aside and what the store refused.
func (a *Agent) letters(p *parcel) []deadletter.Letter {
	var out []deadletter.Letter
	b := &p.batch
	for i := range b.Records {
		r := &b.Records[i]
		reason := r.Reason
		switch {
		case r.Fate == pipeline.DeadLetter:
		case r.Fate == pipeline.Deliver && p.results[i].Verdict == sinks.Rejected:
			reason = p.results[i].Reason
		default:
			continue
		}
		l := deadletter.Letter{
			Time: b.Time, Reason: reason, Batch: b.Number, Seq: i, Kind: b.Model.KindName(r.Kind),
			Stream: b.Ranges[r.Range].Stream.ID, Path: b.Ranges[r.Range].Stream.Path,
		}
		if r.Fate == pipeline.Deliver {
			l.ID = r.ID.String()
		}
		l.Offset, l.Length = b.Position(i)
		for _, piece := range b.Pieces[r.First : r.First+r.Pieces] {
			l.Pieces = append(l.Pieces, deadletter.Place{Offset: piece.Offset, Length: int64(piece.Len) + piece.Skip})
		}
		out = append(out, l)
	}
	return out
}

// outcome sums up what became of a parcel.
func outcome(p *parcel) ledger.Outcome {
	b := &p.batch
	o := ledger.Outcome{Number: b.Number}
	for i := range b.Records {
		r := &b.Records[i]
		switch r.Fate {
		case pipeline.Drop:
			o.Dropped++
		case pipeline.Lost:
			o.Lost++
		case pipeline.DeadLetter:
			o.DeadLettered++
		case pipeline.Deliver:
			switch p.results[i].Verdict {
			case sinks.Stored:
				o.Stored++
			case sinks.Duplicate:
				o.Duplicate++
			case sinks.Conflict:
				o.Conflict++
			case sinks.Rejected:
				o.DeadLettered++
			}
			stored := p.results[i].Verdict == sinks.Stored || p.results[i].Verdict == sinks.Conflict
			if p.intent != nil && stored && r.Leaf != p.intent.Decisions[i].Leaf {
				if o.Releafed == nil {
					o.Releafed = make(map[int]pipeline.Leaf)
				}
				o.Releafed[i] = r.Leaf
			}
		}
	}
	return o
}

// sleep waits, or returns ctx's error.
func sleep(ctx context.Context, d time.Duration) error { return pause(ctx, nil, d) }

// pause is sleep that ends early when over is closed.
func pause(ctx context.Context, over <-chan struct{}, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-over:
		return nil
	case <-t.C:
		return nil
	}
}

// A condition is something that may be failing: it remembers the last error, and logs when it begins, every minute, and
// when it ends.
type condition struct {
	what string
	log  *zap.Logger

	mu     sync.Mutex
	err    error
	since  time.Time
	logged time.Time
	tries  int
}

func (c *condition) failed(err error, attempt int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if c.err == nil {
		c.since = now
	}
	c.err = err
	c.tries++
	if now.Sub(c.logged) >= time.Minute || c.tries == 1 {
		c.logged = now
		c.log.Warn(c.what+" failing; records wait, nothing is lost", zap.Error(err), zap.Duration("for", now.Sub(c.since)), zap.Int("attempt", attempt))
	}
}

func (c *condition) ok() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		c.log.Info(c.what+" works again", zap.Duration("after", time.Since(c.since)), zap.Int("attempts", c.tries))
	}
	c.err, c.tries, c.logged = nil, 0, time.Time{}
}

// current returns the error that holds now, and since when.
func (c *condition) current() (error, time.Time) { //nolint:staticcheck // the error is the value asked for
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err, c.since
}
