package pipeline

import (
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
)

// A Stream is what the pipeline needs to know of the stream that a range belongs to.
type Stream struct {
	ID   activity.StreamID
	Path string // of the file as it is now, for log.file.path; "" where there is none
	// Options of the file's entry in the configuration.
	NonJSON  NonJSON
	TrustIDs bool

	// Strict refuses a record that is no object, or that has a field of the wrong type: see Batch.Problems.
	Strict bool
	// Kind is that of all its records; NoKind leaves it to each.
	Kind activity.Kind
	// Journaled says that its records are kept with the time of their batch, so that ids follow from positions also
	// where a record has no time of its own.
	Journaled bool
}

// NonJSON says what becomes of a line that is not JSON.
type NonJSON uint8

// The choices of files[].non_json.
const (
	KeepText       NonJSON = iota // store it as a system event
	DropText                      // drop it, counted as dropped{non_json}
	DeadLetterText                // dead-letter it, without its bytes
)

// A Range is a run of bytes of one stream, read in one piece: [Start, End) in decompressed bytes.
type Range struct {
	Stream     *Stream
	Start, End int64
	// Sum and TailSum are xxHash64 over the raw bytes: TailSum over the last min(TailSize, End-Start) of them, Sum over
	// what comes before. Together they tell whether a replay reads the same bytes; TailSum alone recognises, from one
	// small read, a file that has been read up to End.
	Sum, TailSum uint64
	Lines        int64 // newlines (and a last line without one) in the range
}

// TailSize is how many bytes Range.TailSum covers at most.
const TailSize = 1024

// A Piece is the content of one line: no line end, no byte-order mark.
type Piece struct {
	Offset int64 // of its first byte in the stream
	Skip   int64 // bytes of the line that were over the limit: summed, counted and not kept
	At     int32 // of its first byte in Raw.Buf
	Len    int32 // bytes kept
}

// Format is the envelope around a record's lines.
type Format uint8

// The envelopes.
const (
	Bare        Format = iota // the line is the event
	Docker                    // Docker's json-file driver: {"log":"…\n","stream":…,"time":…}
	CRI                       // Kubernetes: TIME STREAM P|F CONTENT
	DockerLines               // several whole lines of Docker's
	CRILines                  // several whole lines of Kubernetes'
)

// lines reports whether each piece of a record is a whole line.
func (f Format) lines() bool { return f == Bare || f == DockerLines || f == CRILines }

// A Cut is one record as join found it: where it lies and in which envelope, nothing decided yet.
type Cut struct {
	Range  int32 // in Ranges
	First  int32 // its first piece in Pieces
	Pieces int32 // how many
	Format Format
}

// Raw is a batch as it was read. It holds what must not leave the process: no type outside this package and agent/tail
// touches its bytes, and no sink accepts it.
//
// A Raw owns Buf. It goes from the tailer to the pipeline and back to the tailer's pool; nobody keeps a slice of it.
type Raw struct {
	Buf    []byte
	Ranges []Range
	Pieces []Piece
	Cuts   []Cut
	// Replay holds the decisions of the intent that this batch replays, one per cut; nil for a fresh batch.
	Replay []Decision
	// Doubt marks the records of a replay whose bytes no checksum tells. Where they make another document than before, the
	// record is lost. Nil for none.
	Doubt []bool
	// Seqs holds the place in its batch of each cut, where raw is a selection of an earlier batch; nil for a whole one.
	Seqs []int
}

// Reset empties r and keeps its memory.
func (r *Raw) Reset() {
	r.Buf, r.Ranges, r.Pieces, r.Cuts, r.Replay, r.Doubt, r.Seqs = r.Buf[:0], r.Ranges[:0], r.Pieces[:0], r.Cuts[:0], nil, nil, nil
}

// Fate is what the pipeline decided to do with a record.
type Fate uint8

// The fates. Their order is part of the ledger's on-disk format: append only.
const (
	Deliver    Fate = iota // to the sink
	Drop                   // by the rule that Reason names
	DeadLetter             // for the Reason, without its bytes
	Lost                   // on replay: the source is gone; Reason says how
)

// A Decision is what the pipeline decided about a record: all that a replay must obey.
type Decision struct {
	Time   int64 // Unix nanoseconds: the record's own time, or the batch's
	Kind   activity.Kind
	Fate   Fate
	Dated  bool   // Time is the record's own, so that its id follows from its position
	Reason string // rule that dropped it, reason of the dead letter or the loss; "" when delivered
	Leaf   Leaf   // of the document; zero when not delivered
}

// Leaf is the SHA-256 leaf hash of a document (RFC 6962, section 2.1: SHA-256 over a zero byte and the document without
// its integrity object).
type Leaf [32]byte

// A Record is one record of a Batch.
type Record struct {
	Cut
	Decision
	ID      ulid.ULID
	Trusted bool  // the id was given by the sender, not derived
	Seq     int   // place in the batch
	doc     span  // in Batch.buf
	body    int32 // where in Batch.buf the integrity object begins
}

type span struct{ lo, hi int32 }

// A Batch is what the pipeline made of a Raw: redacted documents, and the account of every record. Only this package
// makes documents, so bytes that no redaction has seen cannot reach a sink, the ledger or a dead letter.
//
// A Batch owns its bytes; Ranges and Pieces are copies, so that its Raw can be read into again while this one is sent.
type Batch struct {
	Number  uint64 // in the chain; set before Process
	Time    time.Time
	Ranges  []Range
	Pieces  []Piece
	Records []Record
	// Model is what numbers the kinds of Records; nil for the built-in ones alone.
	Model *activity.Model
	// Redactions counts what was removed, by redact.Detector; Panics the records set aside for a bug, the first of which
	// came from PanicAt: functions and lines of the source, nothing of a record.
	Redactions Redactions
	Panics     int
	PanicAt    string
	// Problems says why records of strict streams were refused; these have the fate DeadLetter and the reason
	// ReasonInvalid.
	Problems []Problem
	agent    activity.AgentKey
	chain    activity.ChainID
	buf      []byte
}

// Doc returns the document of record i: one JSON object without a line end. It is nil unless the record's fate is
// Deliver, and valid until the batch is reset. Callers do not change it.
func (b *Batch) Doc(i int) []byte {
	r := &b.Records[i]
	if r.Fate != Deliver {
		return nil
	}
	return b.buf[r.doc.lo:r.doc.hi:r.doc.hi]
}

// Body returns the document of record i without its integrity object and its end: what Restore takes.
func (b *Batch) Body(i int) []byte {
	r := &b.Records[i]
	if r.Fate != Deliver {
		return nil
	}
	return b.buf[r.doc.lo:r.body:r.body]
}

// Bytes returns the size of all documents together.
func (b *Batch) Bytes() int { return len(b.buf) }

// Reset empties b and keeps its memory.
func (b *Batch) Reset() {
	clear(b.Ranges) // drop pointers to streams
	b.Number, b.Time = 0, time.Time{}
	b.Ranges, b.Pieces, b.Records, b.buf = b.Ranges[:0], b.Pieces[:0], b.Records[:0], b.buf[:0]
	b.Redactions, b.Panics, b.PanicAt, b.Problems = Redactions{}, 0, "", b.Problems[:0]
}

// Position returns the offset in the stream of record i's first byte, and the length of its first line: all pieces of
// that, with what was over the limit.
func (b *Batch) Position(i int) (offset, length int64) {
	return position(b.Pieces, b.Records[i].Cut)
}

// The length of several whole lines is that of the first: however many of those that follow were joined to it, it is the
// same record.
func position(pieces []Piece, c Cut) (offset, length int64) {
	ps := pieces[c.First : c.First+c.Pieces]
	if c.Format.lines() {
		ps = ps[:1]
	}
	for i := range ps {
		length += int64(ps[i].Len) + ps[i].Skip
	}
	return ps[0].Offset, length
}
