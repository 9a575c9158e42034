package ingest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/agent/ingest/journal"
	"github.com/truledgr/activity-agent/pipeline"
)

// Lines takes the records of a stream of bytes that can be read only once: standard input, or the output of an
// application. Where lines begin and end, and what they are wrapped in, is told as for files.
type Lines struct {
	Intake *Intake
	Source io.Reader
	// Cutter finds the records; its MaxLine bounds a line.
	Cutter *pipeline.Cutter
	// Stream says how lines are treated; its ID and Journaled are set by Run.
	Stream pipeline.Stream
	Log    *zap.Logger

	buf    []byte
	offset int64 // of buf in the source
	skip   int64 // bytes that were left out of the line in buf, which is longer than the limit; 0 for any other
}

// readSize is how much is asked for at once.
const readSize = 64 << 10

// Run reads to the end of the source, or until ctx is done, and returns when what it read is durable. While the journal is
// full or its disk fails, it waits: then whoever writes waits too, and nothing is lost. It does not end a Read under way.
func (l *Lines) Run(ctx context.Context) error {
	_, _ = rand.Read(l.Stream.ID[:]) // never fails
	l.Stream.Journaled = true
	l.buf = make([]byte, 0, readSize+l.Cutter.MaxLine)
	for ctx.Err() == nil {
		before := len(l.buf)
		n, err := l.Source.Read(l.buf[before:min(cap(l.buf), before+readSize)])
		l.buf = l.buf[:before+n]
		final := err != nil
		if final && !errors.Is(err, io.EOF) {
			l.Log.Warn("reading ended before its time", zap.Error(err))
		}
		if err := l.takeAll(ctx, before, final); err != nil || final {
			return err
		}
	}
	return ctx.Err()
}

// takeAll takes the records that are complete in the buffer. What is from before was there already, and has none.
func (l *Lines) takeAll(ctx context.Context, before int, final bool) error {
	if l.skip > 0 {
		if ended, err := l.endLong(ctx, before, final); err != nil || !ended {
			return err
		}
	}
	done, err := l.take(ctx, func(raw *pipeline.Raw) int {
		consumed, _ := l.Cutter.Cut(raw, 0, len(raw.Buf), l.offset, final)
		return consumed
	})
	if err != nil {
		return err
	}
	l.consume(done)
	if over := len(l.buf) - l.Cutter.MaxLine; done == 0 && over > 0 {
		l.skip, l.buf = int64(over), l.buf[:l.Cutter.MaxLine]
		if final {
			_, err = l.endLong(ctx, len(l.buf), true)
		}
	}
	return err
}

// endLong looks for the end of a line over the limit in what came after before, and takes the line then.
func (l *Lines) endLong(ctx context.Context, before int, final bool) (ended bool, err error) {
	more := l.buf[before:]
	end := bytes.IndexByte(more, '\n')
	if end < 0 && !final {
		l.skip += int64(len(more))
		l.buf = l.buf[:before]
		return false, nil
	}
	next := end + 1
	if end < 0 {
		end, next = len(more), len(more)
	}
	p := pipeline.Piece{Offset: l.offset, Len: int32(before), Skip: l.skip + int64(end)}
	if _, err := l.take(ctx, func(raw *pipeline.Raw) int {
		l.Cutter.CutLong(raw, p)
		return before
	}); err != nil {
		return false, err
	}
	l.offset += l.skip
	l.skip = 0
	l.consume(before + next)
	return true, nil
}

// consume takes bytes off the beginning of the buffer.
func (l *Lines) consume(n int) {
	l.offset += int64(n)
	l.buf = append(l.buf[:0], l.buf[n:]...)
}

// Waits of a reader for the journal.
const (
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// take puts what cut finds into the journal, as often as it takes until it is durable there.
func (l *Lines) take(ctx context.Context, cut func(*pipeline.Raw) int) (done int, err error) {
	complained := false
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		done, err = l.Intake.takeLines(ctx, l, cut)
		if err == nil || ctx.Err() != nil || errors.Is(err, journal.ErrClosed) {
			return done, err
		}
		if !complained {
			complained = true
			l.Log.Warn("reading waits: records cannot be made durable now", zap.Error(err))
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
}

// takeLines makes one attempt.
func (in *Intake) takeLines(ctx context.Context, l *Lines, cut func(*pipeline.Raw) int) (done int, err error) {
	w, err := in.worker(ctx)
	if err != nil {
		return 0, err
	}
	w.stream = l.Stream
	w.raw.Reset()
	w.raw.Buf = l.buf
	w.raw.Ranges = append(w.raw.Ranges, pipeline.Range{Stream: &w.stream, Start: l.offset})
	done = cut(&w.raw)
	var group *journal.Group
	if len(w.raw.Cuts) > 0 {
		w.pipe.Process(&w.raw, 0, in.o.Now(), &w.batch)
		group, err = in.o.Journal.Append(&w.batch, nil)
	}
	in.release(w)
	if group != nil {
		err = group.Wait(ctx)
	}
	return done, err
}
