package ledger

import (
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/pipeline"
)

// A Stream is what the ledger knows of one stream: where it lies, how to recognise its file again, and how far it has
// been read. Offset and the fields after it follow from the intents; the others are the tailer's to put.
type Stream struct {
	ID      activity.StreamID
	Dir     string   // directory
	Stem    string   // base name without rotation suffixes
	Begin   [16]byte // keyed hash of the first line, at most 1 KiB of it
	Ordinal uint32   // among the streams of one Dir, Stem and Begin
	Path    string   // where its file was seen last
	Device  uint64   // and as which
	Inode   uint64
	SeenAt  time.Time // when its file was last seen on disk
	Since   time.Time // when files of its Dir and Stem were first watched
	Size    int64     // of the content of its file, if that is an archive that was read to its end; else 0

	Offset   int64  // every byte before it is in an intent
	TailSum  uint64 // xxHash64 of the TailLen bytes before Offset
	TailLen  int64
	LastRead time.Time // batch time of the last intent with a range of it
	Marks    Marks     // before Offset; PutStream may add to them
}

// A Mark says what a stream has before one of its offsets.
type Mark struct {
	Offset int64
	Sum    uint64 // xxHash64 of the Len bytes before Offset
	Len    int64  // 0 where there is no mark
}

// Banner is how much may be alike in the logs of one program that have nothing else to do with each other: what it writes into
// each of them first. In bytes.
const Banner = 1 << 10

// Marks are places in a stream at which a copy of its beginning is recognised that is shorter than what was read: those
// where reading paused, the last first, each of them some four times as far back as the one before it, and always the first
// that does not lie in what may be a banner.
type Marks [6]Mark

// Add takes in a mark. One that lies closely between two others makes room for it, or the one that is furthest back.
func (m *Marks) Add(n Mark) {
	at := 0
	for at < len(m) && m[at].Len > 0 && m[at].Offset > n.Offset {
		at++
	}
	if n.Len == 0 || at < len(m) && m[at] == n {
		return
	}
	var all [len(m) + 1]Mark
	copy(all[:], m[:at])
	all[at] = n
	copy(all[at+1:], m[min(at, len(m)):])
	// The first behind a banner stays.
	stays := func(i int) bool {
		return all[i].Offset >= Banner && (i+1 == len(all) || all[i+1].Offset < Banner)
	}
	leave := len(m)
	if stays(leave) {
		leave--
	}
	for i := 1; i < len(m) && all[i+1].Len > 0; i++ {
		if end := all[0].Offset; i != at && !stays(i) && end-all[i+1].Offset < 4*(end-all[i-1].Offset) {
			leave = i
			break
		}
	}
	copy(m[:], all[:leave])
	copy(m[leave:], all[leave+1:])
}

// Target is where a batch's documents go, which a replay must not change.
type Target struct {
	IndexPrefix string
	Periods     []string // of the index, by activity.Kind; "" is a month
	Kinds       []string // the kinds that the configuration declares, from activity.FirstCustom on
}

// An Intent is what the ledger holds of a batch that has no outcome yet. It is all that a replay needs beside the source
// itself.
type Intent struct {
	Number      uint64
	Time        time.Time
	Fingerprint [16]byte // of the pipeline's configuration and version
	Target      Target
	Mark        int64 // of a sinks.Rewinder; -1 for other sinks
	Ranges      []IntentRange
	Pieces      []pipeline.Piece // At is 0
	Cuts        []pipeline.Cut
	Decisions   []pipeline.Decision
}

// An IntentRange is a pipeline.Range with the stream's id in place of the stream.
type IntentRange struct {
	Stream       activity.StreamID
	Start, End   int64
	Sum, TailSum uint64
	Lines        int64
}

// An Outcome is what became of a batch.
type Outcome struct {
	Number       uint64
	Stored       int64
	Duplicate    int64
	Conflict     int64
	DeadLettered int64
	Dropped      int64
	Lost         int64
	// Releafed holds, by place in the batch, the leaves of records that were stored on replay with another leaf than
	// the intent has (today's redaction differs from that day's). The zero Leaf takes a record out of the tree: it was
	// in the intent and is not stored.
	Releafed map[int]pipeline.Leaf
}

// A Repair is something Open had to do to go on: a torn tail cut, a damaged part set aside, a stale entry passed over.
// Detail is for people: it names positions, streams and numbers, never content.
type Repair struct {
	Kind   string // one of the constants below
	File   string
	Offset int64
	Bytes  int64
	Detail string
}

// The kinds of Repair.
const (
	TornTail      = "torn_tail"      // a last write that was cut short; nothing of it was sent
	Quarantined   = "quarantined"    // a part that could not be read, copied to a file of its own
	HeaderRebuilt = "header_rebuilt" // a new chain was begun
	GapOpened     = "gap"            // a part of a stream that has to be read again, see Ledger.Gaps
	StreamUnnamed = "stream_unnamed" // a stream of which only the id and offset are known
	OutcomeLost   = "outcome_lost"   // a batch that must have been done with, without a word of it
	ChainForked   = "chain_forked"   // outcomes that do not follow one another
)
