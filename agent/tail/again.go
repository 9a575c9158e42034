package tail

import (
	"github.com/cespare/xxhash/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/pipeline"
)

// ReadAgain reads a part of a stream that was handed over before, and whose intent is lost: up to a batch of the whole
// records from start on, none of which lies behind end. It returns the batch and where it ends; the caller asks for the
// rest. ErrGone says that no file has it, and ErrUnreadable that one that may have it cannot be read now. Call it before Run; Acked counts for its ranges as for any others.
func (t *Tailer) ReadAgain(id activity.StreamID, start, end int64) (raw *pipeline.Raw, next int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.streams[id]
	if s == nil {
		return nil, start, ErrGone
	}
	t.complaint, t.refused = t.refused, map[string]string{}
	err = t.search(s, func(fd *content) error {
		raw, next, err = t.cutAgain(s, fd, start, end)
		if err == nil {
			fd.Close()
		}
		return err
	})
	if err != nil {
		return nil, start, err
	}
	t.expect(raw.Ranges)
	return raw, next, nil
}

// cutAgain reads and cuts what fits into a batch. A record that is longer than that is cut off: this is the way back
// from damage, not the main road.
func (t *Tailer) cutAgain(s *stream, fd *content, start, end int64) (*pipeline.Raw, int64, error) {
	size := min(end-start, int64(t.o.BatchBytes))
	b, err := t.readOf(s, fd, start, size)
	if err != nil {
		return nil, start, err
	}
	if n, ok := firstLines(b, t.o.BatchRecords); ok {
		b = b[:n]
	}
	if len(t.inputs) == 0 {
		return nil, start, ErrGone // no files are read any more
	}
	in := t.inputs[0]
	if s.file != nil {
		in = s.file.in
	}
	raw := &pipeline.Raw{Buf: b, Ranges: []pipeline.Range{{Stream: s.src, Start: start}}}
	consumed, lines := in.cutter.Cut(raw, 0, len(b), start, start+int64(len(b)) == end)
	if consumed == 0 {
		consumed, lines = in.cutter.Cut(raw, 0, len(b), start, true)
	}
	tail := min(pipeline.TailSize, consumed)
	r := &raw.Ranges[0]
	r.End, r.Lines = start+int64(consumed), lines
	r.Sum, r.TailSum = xxhash.Sum64(b[:consumed-tail]), xxhash.Sum64(b[consumed-tail:consumed])
	return raw, r.End, nil
}
