package pipeline

import (
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
)

// Saved is a batch of records that were in a Batch before: redacted then, and kept in a journal since. Nothing else may be
// passed, for what a Batch holds is taken for redacted.
type Saved struct {
	Ranges     []Range // the one of the journal that they lie in
	Pieces     []Piece // one a record, and At is 0
	Records    []SavedRecord
	Redactions Redactions
}

// A SavedRecord is what is kept of a Record.
type SavedRecord struct {
	Decision
	Declared string // name of its kind, where a configuration declared that; Kind is NoKind then
	ID       ulid.ULID
	Trusted  bool
	Body     []byte // Batch.Body
}

// Reset empties s and keeps its memory.
func (s *Saved) Reset() {
	clear(s.Ranges)
	clear(s.Records)
	s.Ranges, s.Pieces, s.Records, s.Redactions = s.Ranges[:0], s.Pieces[:0], s.Records[:0], Redactions{}
}

// Restore makes b, which it resets, of saved records: batch number in the chain, delivered at the given time. The documents
// get their place in the chain, and are otherwise what they were. Kinds are numbered as m does, and those that it has not
// are added to it. s is not kept.
func (p *Pipeline) Restore(s *Saved, m *activity.Model, number uint64, at time.Time, b *Batch) {
	b.Reset()
	b.Number, b.Time, b.Model, b.agent, b.chain = number, at, m, p.agent, p.chain
	b.Ranges = append(b.Ranges, s.Ranges...)
	b.Pieces = append(b.Pieces, s.Pieces...)
	b.Redactions = s.Redactions
	for i := range s.Records {
		r := &s.Records[i]
		rec := Record{
			Cut: Cut{First: int32(i), Pieces: 1}, Decision: r.Decision, ID: r.ID, Trusted: r.Trusted, Seq: i,
		}
		if r.Declared != "" {
			rec.Kind = b.kindNamed(r.Declared)
		}
		if r.Fate == Deliver {
			lo := len(b.buf)
			b.buf = append(b.buf, r.Body...)
			rec.body = int32(len(b.buf))
			b.buf = appendIntegrity(b.buf, p.constant.integrity, number, i, r.Leaf)
			rec.doc = span{int32(lo), int32(len(b.buf))}
		}
		b.Records = append(b.Records, rec)
	}
}

// Restore makes a batch of documents that came out of another Batch before, for tests of what comes after the pipeline.
// docs[i] belongs to records[i] and is ignored unless the record's fate is Deliver. The documents are copied.
func Restore(docs [][]byte, records []Record) *Batch {
	b := &Batch{Records: append([]Record(nil), records...)}
	for i := range b.Records {
		if b.Records[i].Fate != Deliver {
			continue
		}
		lo := len(b.buf)
		b.buf = append(b.buf, docs[i]...)
		b.Records[i].doc = span{int32(lo), int32(len(b.buf))}
	}
	return b
}

// kindNamed returns the number of a declared kind, and adds it to those of the batch where it is none of them.
func (b *Batch) kindNamed(name string) activity.Kind {
	k, ok := b.Model.ParseKind([]byte(name))
	if !ok {
		b.Model = b.Model.Under(append(b.Model.CustomNames(), name))
		k, _ = b.Model.ParseKind([]byte(name))
	}
	return k
}
