package tail

import (
	"bufio"
	"errors"
	"io"
	"math"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/truledgr/activity-agent/pipeline"
)

const (
	// maxWindow is how far back a zstd stream may refer: what RFC 8878 (3.1.1.1.2) recommends every decoder to support.
	// It bounds the memory that a file can make us take.
	maxWindow = 8 << 20
	// unpackStep is how much is decompressed of one archive before it is another file's turn.
	unpackStep = 8 << 20
	// unpackChunk is how much is decompressed at once.
	unpackChunk = 32 << 10
	// leastKept and mostKept bound the ring of content that lies before a cursor.
	leastKept = 64 << 10
	mostKept  = 8 << 20
	// unknownSize stands for the size of a content whose end has not been seen.
	unknownSize = math.MaxInt64 >> 1
)

// The ways in which an archive ends before its end.
const (
	damageTruncated  = "truncated"  // the file ends in the middle of the compressed data
	damageCorrupt    = "corrupt"    // the data makes no sense, or its checksum is wrong
	damageWindow     = "window"     // zstd: needs more memory than is allowed
	damageDictionary = "dictionary" // zstd: needs a dictionary
)

// An archive reads, at any offset, what a compressed file decompresses to. Reading goes forward cheaply, and back by a
// little: what was read last is kept. Further back it begins anew.
//
// It has up to two cursors, since the search for the end of a long line runs ahead of where its beginning is read again.
// Damage is no error: the content ends there.
type archive struct {
	fd      *os.File
	packing packing
	unpack  *unpacker
	cursors []*cursor
	head    []byte // the first bytes of the content
	size    int64  // of the content; unknownSize until its end was seen
	damage  string // why it ends there; "" if that is its end
}

func newArchive(fd *os.File, p packing, u *unpacker) *archive {
	return &archive{fd: fd, packing: p, unpack: u, size: unknownSize}
}

// release gives back the cursors.
func (a *archive) release() {
	for _, c := range a.cursors {
		a.unpack.give(a.packing, c)
	}
	a.cursors = nil
}

// forget takes the file for another one.
func (a *archive) forget() {
	a.release()
	a.head, a.size, a.damage = a.head[:0], unknownSize, ""
}

// ReadAt is io.ReaderAt's. It fails only where the disk does.
func (a *archive) ReadAt(b []byte, off int64) (n int, err error) {
	if off+int64(len(b)) <= int64(len(a.head)) {
		return copy(b, a.head[off:]), nil
	}
	if off >= a.size {
		return 0, io.EOF
	}
	c, err := a.cursorAt(off)
	if err != nil {
		return 0, err
	}
	c.keep(len(b) + 2*pipeline.TailSize)
	for n < len(b) {
		if at := off + int64(n); at < c.pos {
			n += c.recall(b[n:], at)
		} else if err := a.fill(c); err != nil {
			return n, err
		}
	}
	return n, nil
}

// reach goes on towards offset off, by a step at most. It reports whether reading there is cheap now.
func (a *archive) reach(off int64) (bool, error) {
	if off <= int64(len(a.head)) || off >= a.size {
		return true, nil
	}
	c, err := a.cursorAt(off)
	if err != nil {
		return false, err
	}
	for stop := c.pos + unpackStep; c.pos < off; {
		if c.pos >= stop {
			return false, nil
		}
		if err := a.fill(c); errors.Is(err, io.EOF) {
			return true, nil
		} else if err != nil {
			return false, err
		}
	}
	return true, nil
}

// keepFrom sees to it that what lies between start and end, a few MiB at most, can be read more than once.
func (a *archive) keepFrom(start, end int64) {
	if c, err := a.cursorAt(start); err == nil {
		c.keep(int(min(end-start, mostKept)) + pipeline.TailSize)
	}
}

// cursorAt returns the cursor that gets to off soonest.
func (a *archive) cursorAt(off int64) (best *cursor, err error) {
	last := 0
	for i, c := range a.cursors {
		if c.kept() <= off && (best == nil || c.pos > best.pos) {
			best = c
		}
		if c.pos < a.cursors[last].pos {
			last = i
		}
	}
	if best != nil {
		return best, nil
	}
	if len(a.cursors) == 2 {
		a.unpack.give(a.packing, a.cursors[last])
		a.cursors = append(a.cursors[:last], a.cursors[last+1:]...)
	}
	best, err = a.unpack.take(a.packing)
	if err != nil {
		return nil, err
	}
	a.cursors = append(a.cursors, best)
	best.src.fd = a.fd
	best.buffered.Reset(&best.src)
	return best, nil
}

// fill decompresses the next chunk at c. It returns io.EOF at the end of the content, which it takes note of.
func (a *archive) fill(c *cursor) error {
	if c.pos >= a.size {
		return io.EOF
	}
	at := int(c.pos % int64(len(c.ring)))
	n, err := c.next(c.ring[at:min(at+unpackChunk, len(c.ring))])
	if int64(len(a.head)) == c.pos && len(a.head) < 2*beginBytes {
		a.head = append(a.head, c.ring[at:at+n]...)
	}
	c.pos += int64(n)
	a.unpack.bytes += int64(n)
	if err == nil || n > 0 {
		return nil
	}
	if c.src.err != nil {
		err = c.src.err
		a.release() // what a decoder does after it is not known
		return err
	}
	a.size, a.damage = c.pos, damageOf(err)
	return io.EOF
}

func damageOf(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return ""
	case errors.Is(err, io.ErrUnexpectedEOF):
		return damageTruncated
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return damageWindow
	case errors.Is(err, zstd.ErrUnknownDictionary):
		return damageDictionary
	}
	return damageCorrupt
}

// A cursor decompresses a file from its beginning, and keeps what it came by last.
type cursor struct {
	src      diskReader
	buffered *bufio.Reader
	dec      decoder
	begun    bool
	pos      int64  // of the content to be decompressed next
	ring     []byte // the byte at offset i lies at i modulo its length
	lo       int64  // what lies before was there before the ring had its length
}

// A decoder is gzip's or zstd's.
type decoder interface {
	io.Reader
	Reset(io.Reader) error
}

// next reads some more. An empty read is the last.
func (c *cursor) next(b []byte) (int, error) {
	if !c.begun {
		c.begun = true
		if err := c.dec.Reset(c.buffered); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
	for range 100 { // as bufio does with readers that give nothing and no reason
		if n, err := c.dec.Read(b); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// kept is the first offset that the ring has.
func (c *cursor) kept() int64 { return max(c.lo, c.pos-int64(len(c.ring)-unpackChunk)) }

// keep makes the ring long enough to have the last n bytes.
func (c *cursor) keep(n int) {
	n = min(max(n, leastKept), mostKept) + 2*unpackChunk // one is read ahead, one is being overwritten
	if n <= len(c.ring) {
		return
	}
	lo := c.kept()
	ring := make([]byte, n)
	for at := lo; at < c.pos; {
		to := ring[at%int64(n):]
		at += int64(c.recall(to[:min(int64(len(to)), c.pos-at)], at))
	}
	c.ring, c.lo = ring, lo
}

// recall copies what the ring has from offset off on, or a part of it.
func (c *cursor) recall(b []byte, off int64) int {
	from := c.ring[off%int64(len(c.ring)):]
	return copy(b, from[:min(int64(len(from)), c.pos-off)])
}

// A diskReader reads a file from its beginning, and remembers why it could not.
type diskReader struct {
	fd  *os.File
	at  int64
	err error
}

func (r *diskReader) Read(b []byte) (int, error) {
	n, err := r.fd.ReadAt(b, r.at)
	r.at += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}

// An unpacker lends cursors: their decoders are large, and mostly used for a moment.
type unpacker struct {
	spare [packings][]*cursor
	bytes int64 // decompressed so far
}

// maxSpare is how many cursors of a kind are kept.
const maxSpare = 2

func (u *unpacker) take(p packing) (c *cursor, err error) {
	if n := len(u.spare[p]); n > 0 {
		c = u.spare[p][n-1]
		u.spare[p] = u.spare[p][:n-1]
		return c, nil
	}
	c = &cursor{buffered: bufio.NewReaderSize(nil, unpackChunk), ring: make([]byte, leastKept+2*unpackChunk)}
	if p == gzipped {
		c.dec = new(gzip.Reader)
		return c, nil
	}
	c.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	return c, err
}

func (u *unpacker) give(p packing, c *cursor) {
	c.src, c.begun, c.pos, c.lo = diskReader{}, false, 0, 0
	if len(u.spare[p]) < maxSpare && len(c.ring) <= 8*leastKept {
		u.spare[p] = append(u.spare[p], c)
	}
}
