package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/frame"
)

// The types of entry. They and the layouts below are the on-disk format; see DESIGN.md.
const (
	entryHeader  = 1
	entryStream  = 2
	entryForget  = 3
	entryIntent  = 4
	entryCarried = 5 // an intent taken over from the file before: its ranges are in the streams' offsets already
	entryOutcome = 6
	entryGap     = 7
	entryFlight  = 8 // the ranges of the carried intents, in case those are damaged
)

// version is of the format. The frame and the beginning of a header never change, so that any version can tell another.
const version = 3

// Format 2 added the size, the marks and the beginning of watching of a stream; format 3 the names of declared kinds in an
// intent's target.

// errMalformed says that a checksum was right and the entry makes no sense. It is treated as damage.
var errMalformed = errors.New("malformed entry")

// A header begins every file, twice.
type header struct {
	version uint64 // that was read
	created time.Time
	agentID string
	chain   activity.ChainID
	next    uint64 // number of the next batch when the file was begun
	head    digest // of the last outcome before the file
}

// digest is the SHA-256 of an outcome's payload.
type digest [32]byte

func appendHeader(buf []byte, h header) []byte {
	buf, at := frame.Open(buf, entryHeader)
	buf = binary.AppendUvarint(buf, version)
	buf = appendTime(buf, h.created)
	buf = appendString(buf, h.agentID)
	buf = append(buf, h.chain[:]...)
	buf = binary.AppendUvarint(buf, h.next)
	buf = append(buf, h.head[:]...)
	frame.Close(buf, at)
	return buf
}

func decodeHeader(body []byte) (h header, err error) {
	d := dec{b: body}
	if h.version = d.uvarint(); h.version > version && !d.bad {
		return h, fmt.Errorf("%w: it is of format %d and this program knows formats up to %d", ErrNewer, h.version, version)
	}
	h.created = d.time()
	h.agentID = d.string()
	d.copy(h.chain[:])
	h.next = d.uvarint()
	d.copy(h.head[:])
	return h, d.end()
}

// Flags of a stream's entry.
const (
	streamFresh  = 1 // offset and tail are set, whatever was known before
	streamSized  = 2 // the size of the content follows
	streamMarked = 4 // marks follow
	streamSince  = 8 // since when files like it are watched follows
)

func appendStream(buf []byte, s *stream, flags byte) []byte {
	if s.Size > 0 {
		flags |= streamSized
	}
	if s.Marks != (Marks{}) {
		flags |= streamMarked
	}
	if !s.Since.IsZero() {
		flags |= streamSince
	}
	buf, at := frame.Open(buf, entryStream)
	buf = append(buf, flags)
	buf = append(buf, s.ID[:]...)
	buf = appendString(buf, s.Dir)
	buf = appendString(buf, s.Stem)
	buf = append(buf, s.Begin[:]...)
	buf = binary.AppendUvarint(buf, uint64(s.Ordinal))
	buf = appendString(buf, s.Path)
	buf = binary.AppendUvarint(buf, s.Device)
	buf = binary.AppendUvarint(buf, s.Inode)
	buf = appendTime(buf, s.SeenAt)
	buf = binary.AppendVarint(buf, s.Offset)
	buf = binary.AppendVarint(buf, s.Offset-s.base)
	buf = binary.LittleEndian.AppendUint64(buf, s.TailSum)
	buf = binary.AppendVarint(buf, s.TailLen)
	buf = appendTime(buf, s.LastRead)
	if s.Size > 0 {
		buf = binary.AppendUvarint(buf, uint64(s.Size))
	}
	buf = appendMarks(buf, s)
	if !s.Since.IsZero() {
		buf = appendTime(buf, s.Since)
	}
	frame.Close(buf, at)
	return buf
}

func appendMarks(buf []byte, s *stream) []byte {
	if s.Marks == (Marks{}) {
		return buf
	}
	n := 0
	for n < len(s.Marks) && s.Marks[n].Len > 0 {
		n++
	}
	buf = binary.AppendUvarint(buf, uint64(n))
	for _, m := range s.Marks[:n] {
		buf = binary.AppendVarint(buf, s.Offset-m.Offset)
		buf = binary.LittleEndian.AppendUint64(buf, m.Sum)
		buf = binary.AppendVarint(buf, m.Len)
	}
	return buf
}

func decodeStream(body []byte) (s Stream, base int64, fresh bool, err error) {
	d := dec{b: body}
	flags := d.byte()
	fresh = flags&streamFresh != 0
	d.copy(s.ID[:])
	s.Dir, s.Stem = d.string(), d.string()
	d.copy(s.Begin[:])
	s.Ordinal = uint32(d.uvarint())
	s.Path = d.string()
	s.Device, s.Inode = d.uvarint(), d.uvarint()
	s.SeenAt = d.time()
	s.Offset = d.varint()
	base = s.Offset - d.varint()
	s.TailSum = d.uint64()
	s.TailLen = d.varint()
	s.LastRead = d.time()
	if flags&streamSized != 0 {
		s.Size = int64(d.uvarint())
	}
	if flags&streamMarked != 0 {
		d.marks(&s)
	}
	if flags&streamSince != 0 {
		s.Since = d.time()
	}
	return s, base, fresh, d.end()
}

func (d *dec) marks(s *Stream) {
	n := d.count()
	if n > len(s.Marks) {
		d.fail()
		return
	}
	for i := range n {
		s.Marks[i] = Mark{Offset: s.Offset - d.varint(), Sum: d.uint64(), Len: d.varint()}
	}
}

func appendForget(buf []byte, id activity.StreamID) []byte {
	buf, at := frame.Open(buf, entryForget)
	buf = append(buf, id[:]...)
	frame.Close(buf, at)
	return buf
}

func decodeForget(body []byte) (id activity.StreamID, err error) {
	d := dec{b: body}
	d.copy(id[:])
	return id, d.end()
}

// A gap's entry opens it, or closes that part of it.
func appendGap(buf []byte, g Gap, open bool) []byte {
	buf, at := frame.Open(buf, entryGap)
	flag := byte(0)
	if open {
		flag = 1
	}
	buf = append(buf, flag)
	buf = append(buf, g.Stream[:]...)
	buf = binary.AppendVarint(buf, g.Start)
	buf = binary.AppendVarint(buf, g.End)
	frame.Close(buf, at)
	return buf
}

func decodeGap(body []byte) (g Gap, open bool, err error) {
	d := dec{b: body}
	open = d.byte() == 1
	d.copy(g.Stream[:])
	g.Start, g.End = d.varint(), d.varint()
	return g, open, d.end()
}

// A flight is one range of a batch that was under way when a file was begun.
type flight struct {
	number uint64
	part   Gap
}

func appendFlights(buf []byte, fs []flight) []byte {
	buf, at := frame.Open(buf, entryFlight)
	buf = binary.AppendUvarint(buf, uint64(len(fs)))
	for _, f := range fs {
		buf = binary.AppendUvarint(buf, f.number)
		buf = append(buf, f.part.Stream[:]...)
		buf = binary.AppendVarint(buf, f.part.Start)
		buf = binary.AppendVarint(buf, f.part.End)
	}
	frame.Close(buf, at)
	return buf
}

func decodeFlights(body []byte) (fs []flight, err error) {
	d := dec{b: body}
	for n := d.count(); n > 0 && !d.bad; n-- {
		f := flight{number: d.uvarint()}
		d.copy(f.part.Stream[:])
		f.part.Start, f.part.End = d.varint(), d.varint()
		fs = append(fs, f)
	}
	return fs, d.end()
}

// A verdict is an outcome as it is written: with the chain, the root, and the outcome before.
type verdict struct {
	Outcome
	chain  activity.ChainID
	at     time.Time
	leaves uint64
	root   [32]byte
	prev   digest
}

func appendOutcome(buf []byte, v *verdict) []byte {
	buf, at := frame.Open(buf, entryOutcome)
	buf = append(buf, v.chain[:]...)
	buf = binary.AppendUvarint(buf, v.Number)
	buf = appendTime(buf, v.at)
	for _, n := range [...]int64{v.Stored, v.Duplicate, v.Conflict, v.DeadLettered, v.Dropped, v.Lost} {
		buf = binary.AppendVarint(buf, n)
	}
	buf = binary.AppendUvarint(buf, v.leaves)
	buf = append(buf, v.root[:]...)
	buf = append(buf, v.prev[:]...)
	frame.Close(buf, at)
	return buf
}

func decodeOutcome(body []byte) (v verdict, err error) {
	d := dec{b: body}
	d.copy(v.chain[:])
	v.Number = d.uvarint()
	v.at = d.time()
	for _, n := range [...]*int64{&v.Stored, &v.Duplicate, &v.Conflict, &v.DeadLettered, &v.Dropped, &v.Lost} {
		*n = d.varint()
	}
	v.leaves = d.uvarint()
	d.copy(v.root[:])
	d.copy(v.prev[:])
	return v, d.end()
}

func appendString(buf []byte, s string) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(s)))
	return append(buf, s...)
}

// appendTime writes Unix nanoseconds; 0 stands for the zero time.
func appendTime(buf []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.AppendVarint(buf, 0)
	}
	return binary.AppendVarint(buf, t.UnixNano())
}

// dec takes an entry apart. After the first thing that is not there it returns zeros, and end says so.
type dec struct {
	b   []byte
	bad bool
}

func (d *dec) fail() { d.b, d.bad = nil, true }

// end returns an error unless the entry was taken apart to its last byte.
func (d *dec) end() error {
	if d.bad || len(d.b) > 0 {
		return errMalformed
	}
	return nil
}

func (d *dec) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *dec) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count reads how many things of at least one byte each follow; a count that cannot be true fails.
func (d *dec) count() int {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.fail()
		return 0
	}
	return int(n)
}

// take returns the next n bytes, or nil.
func (d *dec) take(n int) []byte {
	if n > len(d.b) {
		d.fail()
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

func (d *dec) copy(to []byte) { copy(to, d.take(len(to))) }

func (d *dec) string() string { return string(d.take(d.count())) }

func (d *dec) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *dec) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *dec) time() time.Time {
	ns := d.varint()
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}
