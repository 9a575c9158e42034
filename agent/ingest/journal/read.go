package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/internal/frame"
	"github.com/truledgr/activity-agent/pipeline"
)

// A Batch is saved records with the memory that their bodies are in.
type Batch struct {
	pipeline.Saved
	buf []byte
}

// ErrGone says that a part of the journal can no longer be read.
var ErrGone = errors.New("this part of the journal is deleted or damaged")

// scan goes through the segments that are there: where the last one ends, and which keys are in them.
func (j *Journal) scan() error {
	names, err := filepath.Glob(filepath.Join(j.o.Dir, "*"+segmentSuffix))
	if err != nil {
		return err
	}
	var starts []int64
	for _, name := range names {
		if n, ok := numberOf(name, segmentSuffix); ok {
			starts = append(starts, int64(n))
		}
	}
	slices.Sort(starts)
	for i, start := range starts {
		limit := int64(-1)
		if i+1 < len(starts) {
			limit = starts[i+1]
		}
		s, err := j.scanSegment(start, limit)
		if err != nil {
			return fmt.Errorf("read the journal: %w; see that %s belongs to the agent's user", err, j.o.Dir)
		}
		if s.end-s.start <= headerSize { // nothing in it was ever confirmed
			if err := os.Remove(j.path(start)); err != nil {
				return fmt.Errorf("remove an empty part of the journal: %w", err)
			}
			continue
		}
		j.segments = append(j.segments, s)
		j.stats.Bytes += s.end - s.start
		j.end = s.end
	}
	return nil
}

// scanSegment reads one segment up to limit, where the next one begins; -1 for the last one.
func (j *Journal) scanSegment(start, limit int64) (segment, error) {
	s := segment{start, start}
	f, err := os.Open(j.path(start))
	if err != nil {
		return s, err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return s, err
	}
	sc := frame.Scanner{R: f, Size: info.Size(), Base: start}
	if limit >= 0 {
		sc.Size = min(sc.Size, limit-start)
	}
	for off := int64(0); off < sc.Size; {
		payload, next, ok := sc.Frame(off)
		if !ok {
			if limit < 0 && sc.Torn(off) {
				j.o.Logger.Info("the journal ends in a write that was cut short; nothing of it was confirmed",
					zap.Int64("position", start+off), zap.Int64("bytes", sc.Size-off))
				break
			}
			next = sc.Resync(off + 1)
			j.damaged(start+off, next-off)
		} else {
			j.learn(payload)
		}
		off = next
		s.end = start + off
	}
	if limit >= 0 {
		s.end = max(s.end, start+sc.Size)
	}
	return s, nil
}

// learn takes from a frame what is needed before it is delivered.
func (j *Journal) learn(payload []byte) {
	switch payload[0] {
	case entryHeader:
		if len(payload) == 1+len(j.id) {
			copy(j.id[:], payload[1:])
		}
	case entryRequest:
		var counts pipeline.Redactions
		if r, err := decodeRequest(payload[1:], &counts); err == nil && r.keyed {
			j.keys.put([]Key{r.key})
		}
	}
}

func (j *Journal) damaged(at, n int64) {
	j.stats.Damaged += n
	j.o.Logger.Error("a part of the journal cannot be read: records that were accepted may be lost",
		zap.String("dir", j.o.Dir), zap.Int64("position", at), zap.Int64("bytes", n))
}

// Batches returns where batches come out. It is closed when Run returns.
func (j *Journal) Batches() <-chan *Batch { return j.out }

// Release takes back a batch. Nothing of it may be used afterwards.
func (j *Journal) Release(b *Batch) {
	b.Reset()
	if cap(b.buf) > 4*j.o.BatchBytes {
		b.buf = nil // of a request larger than others
	}
	select {
	case j.free <- b:
	default: // one more than the pool holds: made by Reload
	}
}

// Drain makes Run return when what is durable by then has been handed over.
func (j *Journal) Drain() { j.drained.Do(func() { close(j.drainCh) }) }

// Run hands over what is durable, as it comes, until ctx is done or what Drain asks for is done. What is handed over and not
// acked is the next start's.
func (j *Journal) Run(ctx context.Context) error {
	defer close(j.out)
	j.mu.Lock()
	j.live = true
	j.mu.Unlock()
	j.wakeKeeper()
	for {
		ok, err := j.wait(ctx)
		if err != nil || !ok {
			return nil //nolint:nilerr // ctx is done, which is how a run ends
		}
		var b *Batch
		select {
		case b = <-j.free:
		case <-ctx.Done():
			return nil
		}
		if err := j.next(b); err != nil {
			j.o.Logger.Error("read the journal", zap.Error(err))
			j.Release(b)
			if pause(ctx, time.Second) != nil {
				return nil
			}
			continue
		}
		if len(b.Records) == 0 {
			j.Release(b)
			continue
		}
		select {
		case j.out <- b:
		case <-ctx.Done():
			return nil
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// wait returns when there is something to read, after a while for more to come; false when there will not be.
func (j *Journal) wait(ctx context.Context) (bool, error) {
	for {
		j.mu.Lock()
		n, more := j.end-j.pos, j.more
		j.mu.Unlock()
		select {
		case <-j.drainCh:
			return n > 0, nil
		default:
		}
		if n > 0 {
			return true, j.linger(ctx)
		}
		select {
		case <-more:
		case <-j.drainCh:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// linger waits until a batch is full or has waited long enough.
func (j *Journal) linger(ctx context.Context) error {
	t := time.NewTimer(j.o.Linger)
	defer t.Stop()
	for {
		j.mu.Lock()
		full, more := j.end-j.pos >= int64(j.o.BatchBytes), j.more
		j.mu.Unlock()
		if full {
			return nil
		}
		select {
		case <-more:
		case <-t.C:
			return nil
		case <-j.drainCh:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// next fills b with what comes next, and moves on.
func (j *Journal) next(b *Batch) error {
	j.mu.Lock()
	pos, end := j.pos, j.end
	j.mu.Unlock()
	next, err := j.fill(b, pos, end)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.pos, j.changed = next, time.Now()
	if len(b.Records) > 0 {
		j.expect(span{start: b.Ranges[0].Start, end: b.Ranges[0].End})
	}
	return nil
}

// expect notes a span that is under way. The caller holds mu.
func (j *Journal) expect(s span) {
	i, _ := slices.BinarySearchFunc(j.spans, s.start, func(s span, at int64) int { return cmp.Compare(s.start, at) })
	j.spans = slices.Insert(j.spans, i, s)
}

// fill reads whole requests of one segment from pos on, up to limit or a full batch, at least one. It returns where it
// stopped. What cannot be read is passed over, so that b may stay empty.
func (j *Journal) fill(b *Batch, pos, limit int64) (next int64, err error) {
	b.Reset()
	s, ok := j.segmentAt(pos)
	if !ok || s.start >= limit {
		return limit, nil
	}
	pos = max(pos, s.start)
	end := min(s.end, limit)
	f, err := j.segmentFile(s)
	if errors.Is(err, os.ErrNotExist) {
		j.damaged(pos, end-pos)
		return end, nil
	}
	if err != nil {
		return 0, err
	}
	if err := b.read(f, pos-s.start, min(end-pos, int64(j.o.BatchBytes))); err != nil {
		return 0, err
	}
	if size, ok := frame.Size(b.buf); ok && size > len(b.buf) && int64(size) <= end-pos { // larger than a batch
		if err := b.read(f, pos-s.start, int64(size)); err != nil {
			return 0, err
		}
	}
	from, n := b.take(pos)
	if n > 0 {
		j.finish(b, pos, from, pos+int64(n))
		return pos + int64(n), nil
	}
	sc := frame.Scanner{R: f, Size: end - s.start, Base: s.start}
	next = s.start + sc.Resync(pos-s.start+1)
	j.mu.Lock()
	j.damaged(pos, next-pos)
	j.mu.Unlock()
	return next, nil
}

// read fills the buffer.
func (b *Batch) read(f io.ReaderAt, off, n int64) error {
	b.buf = slices.Grow(b.buf[:0], int(n))[:n]
	got, err := f.ReadAt(b.buf, off)
	if errors.Is(err, io.EOF) { // a file that was cut: what is missing is damage
		b.buf, err = b.buf[:got], nil
	}
	return err
}

// take takes the frames in the buffer apart, up to one that is not whole or makes no sense. It returns where the first
// request began, and how many bytes it is done with.
func (b *Batch) take(pos int64) (from int64, n int) {
	from = -1
	for n < len(b.buf) {
		payload, size, ok := frame.Next(b.buf[n:], pos+int64(n))
		if !ok {
			break
		}
		if payload[0] == entryRequest {
			records, pieces := len(b.Records), len(b.Pieces)
			r, err := decodeRequest(payload[1:], &b.Redactions)
			if err == nil {
				err = r.appendTo(&b.Saved, pos+int64(n+size))
			}
			if err != nil {
				b.Records, b.Pieces = b.Records[:records], b.Pieces[:pieces]
				break
			}
			if from < 0 {
				from = pos + int64(n)
			}
		}
		n += size
	}
	return from, n
}

// finish gives a batch its range: [from, end), of which buf begins at pos.
func (j *Journal) finish(b *Batch, pos, from, end int64) {
	if len(b.Records) == 0 {
		return
	}
	raw := b.buf[from-pos : end-pos]
	tail := min(pipeline.TailSize, len(raw))
	b.Ranges = append(b.Ranges, pipeline.Range{
		Stream: j.stream, Start: from, End: end, Lines: int64(len(b.Records)),
		Sum: xxhash.Sum64(raw[:len(raw)-tail]), TailSum: xxhash.Sum64(raw[len(raw)-tail:]),
	})
}

// segmentAt returns the segment that has position pos, or else the first one behind it.
func (j *Journal) segmentAt(pos int64) (segment, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, s := range j.segments {
		if pos < s.end {
			return s, true
		}
	}
	return segment{}, false
}

// segmentFile opens a segment, and keeps it open until another one is asked for.
func (j *Journal) segmentFile(s segment) (*os.File, error) {
	if j.open != nil && j.openAt == s.start {
		return j.open, nil
	}
	if j.open != nil {
		_ = j.open.Close()
		j.open = nil
	}
	f, err := os.Open(j.path(s.start))
	if err != nil {
		return nil, err
	}
	j.open, j.openAt = f, s.start
	return f, nil
}

// Acked tells that a batch has its outcome. Ranges of other streams are none of the journal's.
func (j *Journal) Acked(number uint64, rs []pipeline.Range) {
	if len(rs) == 0 || rs[0].Stream.ID != j.id {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := range rs {
		at, ok := slices.BinarySearchFunc(j.spans, rs[i].Start, func(s span, at int64) int { return cmp.Compare(s.start, at) })
		if ok {
			j.spans[at].number = number
		}
	}
	j.changed = time.Now()
	j.wakeKeeper()
}

// IdleSince reports whether everything durable has been handed over and acked, and since when.
func (j *Journal) IdleSince() (time.Time, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.end > j.pos || len(j.group.buf) > 0 || j.writing > 0 {
		return time.Time{}, false
	}
	for _, s := range j.spans {
		if s.number == 0 {
			return time.Time{}, false
		}
	}
	return j.changed, true
}

// Wrote reports whether an intent's records came from the journal.
func (j *Journal) Wrote(in *ledger.Intent) bool {
	return len(in.Ranges) > 0 && in.Ranges[0].Stream == j.id
}

// Reload reads the records of an intent again, for its replay. When they cannot be read, they are lost for
// pipeline.ReasonGone. Call it before Run.
func (j *Journal) Reload(in *ledger.Intent) (*Batch, error) {
	r := in.Ranges[0]
	b := new(Batch)
	err := j.reload(b, r.Start, r.End)
	if err != nil && !errors.Is(err, ErrGone) {
		return nil, err
	}
	if err != nil || len(b.Records) != len(in.Decisions) {
		b.Reset()
		for i := range in.Decisions {
			rec := pipeline.SavedRecord{Decision: in.Decisions[i]}
			if rec.Fate == pipeline.Deliver {
				rec.Fate, rec.Reason, rec.Leaf = pipeline.Lost, pipeline.ReasonGone, pipeline.Leaf{}
			}
			b.Records = append(b.Records, rec)
		}
		b.Pieces = append(b.Pieces, in.Pieces...)
	}
	b.Ranges = append(b.Ranges[:0], pipeline.Range{
		Stream: j.stream, Start: r.Start, End: r.End, Sum: r.Sum, TailSum: r.TailSum, Lines: r.Lines,
	})
	j.mu.Lock()
	defer j.mu.Unlock()
	j.expect(span{start: r.Start, end: r.End})
	return b, nil
}

// reload reads all requests in [start, end), which begins and ends where requests do.
func (j *Journal) reload(b *Batch, start, end int64) error {
	s, ok := j.segmentAt(start)
	if !ok || s.start > start || s.end < end {
		return ErrGone
	}
	f, err := j.segmentFile(s)
	if errors.Is(err, os.ErrNotExist) {
		return ErrGone
	}
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	if err := b.read(f, start-s.start, end-start); err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	if _, n := b.take(start); int64(n) != end-start {
		return ErrGone
	}
	return nil
}

// ReadAgain reads a part whose intent is lost: up to a batch from start on, none of which lies behind end. It returns the
// batch and where it ends. ErrGone says that nothing of it is left. Call it before Run.
func (j *Journal) ReadAgain(start, end int64) (*Batch, int64, error) {
	b := new(Batch)
	for at := start; at < end; {
		next, err := j.fill(b, at, end)
		if err != nil {
			return nil, start, err
		}
		if len(b.Records) > 0 {
			j.mu.Lock()
			j.expect(span{start: b.Ranges[0].Start, end: b.Ranges[0].End})
			j.mu.Unlock()
			return b, next, nil
		}
		at = next
	}
	return nil, start, ErrGone
}
