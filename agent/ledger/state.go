package ledger

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/frame"
	"github.com/truledgr/activity-agent/pipeline"
)

// A Gap is a part of a stream that was in an intent which damage has taken, while a later intent shows that the stream
// was read on. It has to be read again: what is stored of it already has the same ids and is told as duplicate, except
// for records without a time of their own. Ranges of later intents that lie in a gap fill it.
type Gap struct {
	Stream     activity.StreamID
	Start, End int64
}

// state is all that follows from the entries of a ledger. Reading a file and appending to it change it through the same
// methods, so that what a restart finds is what there was.
type state struct {
	agentID string
	chain   activity.ChainID
	next    uint64 // number of the next intent
	head    digest // of the last outcome
	streams map[activity.StreamID]*stream
	gaps    []Gap
	pending []*pending // ascending by number
}

// A stream is a Stream and what the ledger notes beside it.
type stream struct {
	Stream
	base    int64 // Offset that its first entry in this file has
	running int64 // Offset while an intent is encoded
	written int64 // base of the file that the intent is encoded for
	sure    bool  // Offset does not come from a carried intent alone
	fresh   bool  // no entry has been written yet
	dirty   bool  // put since the last entry
}

// A pending is an intent without outcome, kept as it was written.
type pending struct {
	number uint64
	mark   int64
	body   []byte
	leaves int // bytes at the end of body
}

func newState() state {
	return state{next: 1, streams: make(map[activity.StreamID]*stream)}
}

// put takes over the fields that are the tailer's, or all of a stream that is new.
func (s *state) put(in Stream) *stream {
	st := s.streams[in.ID]
	if st == nil {
		st = &stream{Stream: in, sure: true, fresh: true}
		s.streams[in.ID] = st
		return st
	}
	in.Offset, in.TailSum, in.TailLen, in.LastRead = st.Offset, st.TailSum, st.TailLen, st.LastRead
	if in.Marks[0].Len == 0 {
		in.Marks = st.Marks
	}
	st.Stream = in
	return st
}

func (s *state) forget(id activity.StreamID) {
	delete(s.streams, id)
	s.gaps = slices.DeleteFunc(s.gaps, func(g Gap) bool { return g.Stream == id })
}

// advance applies one range of an intent. It returns the gap before it, which is empty unless entries were lost.
func (s *state) advance(r *IntentRange, p progress, t time.Time) (gap Gap) {
	st := s.streams[r.Stream]
	if st == nil { // its registration is lost, or it was never put
		st = &stream{Stream: Stream{ID: r.Stream}, base: p.base}
		s.streams[r.Stream] = st
	}
	if !st.sure { // nothing before base can have been in an intent of this file
		st.Offset, st.sure = max(st.Offset, p.base), true
	}
	if st.Offset < p.prev {
		gap = Gap{Stream: r.Stream, Start: st.Offset, End: p.prev}
		s.openGap(gap)
	}
	if st.Offset != p.prev {
		st.TailSum, st.TailLen = 0, 0
	}
	st.Offset, st.LastRead = p.prev, t
	if r.Start < p.prev {
		s.closeGap(Gap{Stream: r.Stream, Start: r.Start, End: r.End})
	}
	if r.End > p.prev {
		st.Marks.Add(Mark{Offset: st.Offset, Sum: st.TailSum, Len: st.TailLen})
		st.Offset, st.TailSum, st.TailLen = r.End, r.TailSum, tailLen(r)
	}
	return gap
}

func (s *state) openGap(g Gap) {
	if g.Start < g.End {
		s.gaps = append(s.gaps, g)
	}
}

// closeGap takes the part of the stream that c covers out of every gap.
func (s *state) closeGap(c Gap) {
	if len(s.gaps) == 0 {
		return
	}
	var rest []Gap
	for _, g := range s.gaps {
		if g.Stream != c.Stream || c.End <= g.Start || g.End <= c.Start {
			rest = append(rest, g)
			continue
		}
		if g.Start < c.Start {
			rest = append(rest, Gap{Stream: g.Stream, Start: g.Start, End: c.Start})
		}
		if c.End < g.End {
			rest = append(rest, Gap{Stream: g.Stream, Start: c.End, End: g.End})
		}
	}
	s.gaps = rest
}

// finish takes the intent of a number out of pending; nil when it is not there.
func (s *state) finish(number uint64) *pending {
	i, ok := s.find(number)
	if !ok {
		return nil
	}
	p := s.pending[i]
	s.pending = slices.Delete(s.pending, i, i+1)
	return p
}

func (s *state) find(number uint64) (int, bool) {
	return slices.BinarySearchFunc(s.pending, number, func(p *pending, n uint64) int { return cmp.Compare(p.number, n) })
}

// list returns the streams in the order of their names.
func (s *state) list() []Stream {
	out := make([]Stream, 0, len(s.streams))
	for _, st := range s.streams {
		out = append(out, st.Stream)
	}
	slices.SortFunc(out, func(a, b Stream) int {
		return cmp.Or(cmp.Compare(a.Dir, b.Dir), cmp.Compare(a.Stem, b.Stem), cmp.Compare(a.Ordinal, b.Ordinal),
			bytes.Compare(a.ID[:], b.ID[:]))
	})
	return out
}

// appendSnapshot writes the entries that a file begins with, from which the same state follows.
func (s *state) appendSnapshot(buf []byte, now time.Time) []byte {
	h := header{created: now, agentID: s.agentID, chain: s.chain, next: s.next, head: s.head}
	buf = appendHeader(buf, h)
	buf = appendHeader(buf, h) // a second copy: one damaged sector must not cost the chain
	if fs := s.flights(); len(fs) > 0 {
		buf = appendFlights(buf, fs)
	}
	for _, st := range s.streams {
		first := stream{Stream: st.Stream, base: st.Offset}
		buf = appendStream(buf, &first, streamFresh)
	}
	for _, g := range s.gaps {
		buf = appendGap(buf, g, true)
	}
	for _, p := range s.pending {
		at := 0
		buf, at = frame.Open(buf, entryCarried)
		buf = append(buf, p.body...)
		frame.Close(buf, at)
	}
	return buf
}

// flights returns the ranges of the pending intents.
func (s *state) flights() (fs []flight) {
	var in Intent
	for _, p := range s.pending {
		_, _, _ = decodeIntent(p.body, &in, nil) // was decoded before it became pending, or written by us
		for _, r := range in.Ranges {
			fs = append(fs, flight{p.number, Gap{Stream: r.Stream, Start: r.Start, End: r.End}})
		}
	}
	return fs
}

// prepare starts the running offsets of a batch's streams. Streams that nobody has put are known from here on.
func (s *state) prepare(b *pipeline.Batch, newFile bool) {
	for i := range b.Ranges {
		r := &b.Ranges[i]
		st := s.streams[r.Stream.ID]
		if st == nil {
			st = &stream{Stream: Stream{ID: r.Stream.ID, Offset: r.Start}, base: r.Start, sure: true}
			s.streams[r.Stream.ID] = st
		}
		st.running, st.written = st.Offset, st.base
		if newFile {
			st.written = st.Offset
		}
	}
}

// progress returns what goes with a range, ranges of a batch being asked for in order. A range that starts beyond the
// offset is not a gap: the tailer went on from further ahead, and knows why.
func (s *state) progress(r *pipeline.Range) progress {
	st := s.streams[r.Stream.ID]
	p := progress{prev: st.running, base: st.written}
	st.running = max(st.running, r.End)
	return p
}

// commit applies a batch whose intent is durable. Streams that were forgotten while it was written stay so, and one put
// anew meanwhile (fresh again) keeps its own offset.
func (s *state) commit(b *pipeline.Batch, p *pending) {
	for i := range b.Ranges {
		r := &b.Ranges[i]
		if st := s.streams[r.Stream.ID]; st != nil && !st.fresh {
			s.advance(&IntentRange{
				Stream: r.Stream.ID, Start: r.Start, End: r.End, Sum: r.Sum, TailSum: r.TailSum, Lines: r.Lines,
			}, progress{prev: st.Offset, base: st.base}, b.Time)
		}
	}
	s.pending = append(s.pending, p)
	s.next = b.Number + 1
}

// tailLen returns how many bytes a range's TailSum covers.
func tailLen(r *IntentRange) int64 { return min(r.End-r.Start, pipeline.TailSize) }

func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// String names a gap for logs.
func (g Gap) String() string { return fmt.Sprintf("stream %x [%d, %d)", g.Stream[:], g.Start, g.End) }
