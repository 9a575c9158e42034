package agent

import (
	"context"
	"errors"
	"fmt"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent/deadletter"
	"github.com/truledgr/activity-agent/agent/ingest/journal"
	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/agent/tail"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

// replay delivers the batches of a run that ended before their outcome was recorded, and reads again what damage to the
// ledger has taken the record of.
func (a *Agent) replay(ctx context.Context) error {
	for _, r := range a.ledger.Repairs() {
		a.log.Error("the ledger was damaged and has been repaired", zap.String("kind", r.Kind), zap.String("file", r.File),
			zap.Int64("offset", r.Offset), zap.Int64("bytes", r.Bytes), zap.String("detail", r.Detail))
	}
	p := new(parcel)
	pending := a.ledger.Pending()
	if len(pending) > 0 {
		a.log.Info("replaying what was under way when the last run ended", zap.Int("batches", len(pending)))
	}
	for _, in := range pending {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := a.replayIntent(ctx, p, in); err != nil {
			return err
		}
	}
	for _, g := range a.ledger.Gaps() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := a.fillGap(ctx, p, g); err != nil {
			return err
		}
	}
	return nil
}

func (a *Agent) replayIntent(ctx context.Context, p *parcel, in *ledger.Intent) error {
	if err := a.readable(ctx, func() error { return a.reload(p, in) }); err != nil {
		return fmt.Errorf("replay batch %d: %w", in.Number, err)
	}
	if err := a.out.rewind(in.Mark); err != nil {
		return fmt.Errorf("replay batch %d: %w", in.Number, err)
	}
	p.intent, p.target = in, in.Target
	p.reset()
	a.books.enter(&p.batch, true)
	return a.deliver(ctx, p)
}

// readable repeats a read of what was read before until no file that may have it is unreadable: those records would be lost
// otherwise. Everything else waits too, since a store that is rewound takes batches in their order.
func (a *Agent) readable(ctx context.Context, read func() error) error {
	for wait, attempt := firstWait, 1; ; wait, attempt = min(2*wait, lastWait), attempt+1 {
		err := read()
		if !errors.Is(err, tail.ErrUnreadable) {
			a.source.ok()
			return err
		}
		a.source.failed(err, attempt)
		leave := a.watchdog.wait()
		err = sleep(ctx, wait)
		leave()
		if err != nil {
			return err
		}
	}
}

// reload makes p of what an intent is about, as it was.
func (a *Agent) reload(p *parcel, in *ledger.Intent) error {
	m := a.o.Model.Under(in.Target.Kinds)
	defer a.watchdog.enter("reading a batch again")()
	if a.in.journal.Wrote(in) {
		kept, err := a.in.journal.Reload(in)
		if err == nil {
			a.pipeline().Restore(&kept.Saved, m, in.Number, in.Time, &p.batch)
		}
		return err
	}
	pipe := a.pipeline()
	if m != a.o.Model { // the intent's numbers of kinds are not those of now
		var err error
		if pipe, err = a.newPipeline(a.o.Pipeline, a.o.Origin, m); err != nil {
			return err
		}
	}
	raw, err := a.tailer.Reload(in)
	if err == nil {
		pipe.Process(raw, in.Number, in.Time, &p.batch)
		a.tailer.Release(raw)
	}
	return err
}

// fillGap reads what lies in a gap as new batches. What is stored of it already has the same ids, except for records
// without a time of their own.
func (a *Agent) fillGap(ctx context.Context, p *parcel, g ledger.Gap) error {
	for at := g.Start; at < g.End; {
		var next int64
		err := a.readable(ctx, func() (err error) {
			next, err = a.readAgain(p, g.Stream, at, g.End)
			return err
		})
		if errors.Is(err, tail.ErrGone) || errors.Is(err, journal.ErrGone) {
			a.log.Error("a part of a log whose record in the ledger was damaged cannot be read again",
				zap.Int64("offset", at), zap.Int64("bytes", g.End-at))
			return a.ledger.CloseGap(ledger.Gap{Stream: g.Stream, Start: at, End: g.End})
		}
		if err != nil {
			return err
		}
		p.reset()
		if err := a.intend(ctx, p); err != nil {
			return err
		}
		if err := a.deliver(ctx, p); err != nil {
			return err
		}
		at = next
	}
	return nil
}

// readAgain makes p of the next records of a stream from at on, as a new batch, and returns where it ends.
func (a *Agent) readAgain(p *parcel, id activity.StreamID, at, end int64) (next int64, err error) {
	number := a.ledger.NextBatch()
	if id == a.in.journal.ID() {
		kept, next, err := a.in.journal.ReadAgain(at, end)
		if err == nil {
			a.restore(p, kept, number)
		}
		return next, err
	}
	raw, next, err := a.tailer.ReadAgain(id, at, end)
	if err == nil {
		a.convert(p, raw, number)
	}
	return next, err
}

// Replayed says what became of the dead letters.
type Replayed struct {
	Letters   int // there were
	Delivered int // stored now, or stored before
	Refused   int // by the store or the pipeline, again
	Gone      int // whose record is no longer to be found
}

// ReplayDeadLetters reads the records of the dead letters again and delivers them under today's configuration. It is
// called instead of Run. Letters of what is delivered are removed.
func (a *Agent) ReplayDeadLetters(ctx context.Context) (Replayed, error) {
	letters, _, err := deadletter.Read(a.o.Config.StateDir)
	if err != nil {
		return Replayed{}, err
	}
	r := Replayed{Letters: len(letters)}
	var done []deadletter.Letter
	var unread error // of a letter that is left for another time; the others are not
	for _, l := range letters {
		delivered, err := a.replayLetter(ctx, l)
		switch {
		case errors.Is(err, tail.ErrGone):
			r.Gone++
		case errors.Is(err, tail.ErrUnreadable):
			unread = err
		case err != nil:
			return r, errors.Join(err, deadletter.Remove(a.o.Config.StateDir, done))
		case delivered:
			r.Delivered++
			done = append(done, l)
		default:
			r.Refused++
		}
	}
	if len(done) == 0 {
		return r, unread
	}
	return r, errors.Join(unread, deadletter.Remove(a.o.Config.StateDir, done))
}

// replayLetter delivers one record: with the id it would have had, so that doing it twice does no harm.
func (a *Agent) replayLetter(ctx context.Context, l deadletter.Letter) (bool, error) {
	raw := &pipeline.Raw{Ranges: []pipeline.Range{{Stream: &pipeline.Stream{ID: l.Stream, Path: l.Path}, Start: l.Offset, End: l.Offset + l.Length}}}
	raw.Seqs = []int{l.Seq}
	for _, place := range l.Pieces {
		b, err := a.tailer.ReadAt(l.Stream, place.Offset, place.Length)
		if err != nil {
			return false, err
		}
		raw.Pieces = append(raw.Pieces, pipeline.Piece{Offset: place.Offset, At: int32(len(raw.Buf)), Len: int32(len(b))})
		raw.Buf = append(raw.Buf, b...)
	}
	raw.Cuts = []pipeline.Cut{{Pieces: int32(len(raw.Pieces)), Format: pipeline.FormatOf(raw.Buf[:raw.Pieces[0].Len], len(raw.Pieces))}}
	p := new(parcel)
	a.pipeline().Process(raw, l.Batch, l.Time, &p.batch)
	p.reset()
	if p.batch.Records[0].Fate != pipeline.Deliver {
		return false, nil
	}
	if err := a.send(ctx, p); err != nil {
		return false, err
	}
	return p.results[0].Verdict != sinks.Rejected, nil
}
