package tail

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/pipeline"
)

const (
	// turnBytes is how much is read of one family before it is another's turn.
	turnBytes = 256 << 10
	// lineSlack is what a buffer has beyond the longest line: its line end, a byte-order mark.
	lineSlack = 4 << 10
)

// A file is one file on disk, whatever its names are.
type file struct {
	key     fileKey
	in      *input
	path    string // where it was seen last
	fam     family // of the path it was first seen at
	seq     int    // in the order of finding; in a family the lower is read first
	sibling bool   // not named by the globs
	atStart bool   // was there when the agent first started

	fd         *content // nil while closed
	stream     *stream  // nil until its first line is complete, and for copies
	copyOf     *stream  // whose content this is a copy of, so far
	alike      int64    // up to where that was compared
	size       int64    // of the content, when last looked at; unknownSize for an archive whose end was not seen
	disk       int64    // size of what is on disk, when last looked at
	mtime      time.Time
	changed    time.Time // when that changed last
	behind     time.Time // since when it waits to be read
	gone       time.Time // since when no known name leads to it
	final      bool      // nothing will be written to it any more
	ended      bool      // and all of it has been read
	limit      int64     // while draining: where it ends
	queue      *queue    // that it waits in to be read
	long       *longLine
	held       bool // it cannot be told yet whether it is a copy
	packed     bool // an archive
	probe      *probe
	fresh      bool // a scan has just found it
	first      *firstLine
	keep       bool   // it cannot be deleted
	doneBefore uint64 // the batches with its records have lower numbers; 0 while it is not done with
	flush      bool   // a record waits for its last line in vain: it is read without it
	flushed    int64  // size at which that was done last
	hold       hold
	settled    int64 // offset before which no line of text waits for another
	err        error // of the last attempt to read it
}

// unread reports whether there are bytes that were not handed over.
func (f *file) unread() bool {
	return f.stream == nil && f.size > 0 || f.stream != nil && f.stream.off < f.size
}

// measure takes in a file's size and time. Of an archive they say only whether its content may be another now.
func (f *file) measure(size int64, mtime time.Time) {
	changed := size != f.disk || !mtime.Equal(f.mtime)
	f.disk, f.mtime = size, mtime
	switch {
	case !f.packed:
		f.size = size
	case changed:
		f.size, f.probe = unknownSize, nil
		if f.fd != nil {
			f.fd.arc.forget()
		}
	}
}

// A queue is the files of one family that may have something to read, the oldest first.
type queue struct {
	fam   family
	files []*file
}

// enqueue lets f be read when its turn comes.
func (t *Tailer) enqueue(f *file) {
	if f.queue != nil || f.copyOf != nil || f.ended {
		return
	}
	q := t.queues[f.fam]
	if q == nil {
		q = &queue{fam: f.fam}
		t.queues[f.fam] = q
	}
	if len(q.files) == 0 {
		t.ring = append(t.ring, q)
	}
	at, _ := slices.BinarySearchFunc(q.files, f, func(a, b *file) int { return a.seq - b.seq })
	q.files = slices.Insert(q.files, at, f)
	f.queue, f.behind = q, t.o.Now()
}

// dequeue takes f out until it changes.
func (t *Tailer) dequeue(f *file) {
	q := f.queue
	if q == nil {
		return
	}
	f.queue = nil
	if t.unpacking == f {
		t.unpacking = nil
	}
	if q.files[0] == f {
		q.files = q.files[1:]
	} else {
		q.files = slices.DeleteFunc(q.files, func(g *file) bool { return g == f })
	}
	if len(q.files) == 0 {
		t.ring = slices.DeleteFunc(t.ring, func(r *queue) bool { return r == q })
		delete(t.queues, q.fam)
	}
}

// readTurn reads from the family whose turn it is.
func (t *Tailer) readTurn() {
	q := t.ring[0]
	f := q.files[0]
	if !t.mayUnpack(f) {
		t.turn()
		return
	}
	switch more, err := t.read(f); {
	case errors.Is(err, errFull):
		t.handOver()
	case err != nil:
		t.note(f, err)
		t.dequeue(f)
		t.spareFile(f)
	case !more:
		t.note(f, nil)
		t.dequeue(f)
		t.spareFile(f)
	case len(t.ring) > 0 && t.ring[0] == q:
		t.turn()
	}
	if t.cur != nil && (int64(len(t.cur.Buf)) >= t.fill.Load() || len(t.cur.Cuts) >= t.o.BatchRecords) {
		t.handOver()
	}
}

// turn lets the next family have its turn.
func (t *Tailer) turn() {
	q := t.ring[0]
	copy(t.ring, t.ring[1:])
	t.ring[len(t.ring)-1] = q
}

// note keeps the outcome of an attempt to read f, and logs it when it is news.
func (t *Tailer) note(f *file, err error) {
	if err != nil && (f.err == nil || f.err.Error() != err.Error()) {
		t.o.Logger.Warn("cannot read a log file; trying again", zap.String("path", f.path), zap.Error(err))
	}
	f.err = err
}

// openFile gives f a descriptor, if it has none.
func (t *Tailer) openFile(f *file) error {
	if f.fd != nil {
		return nil
	}
	c, err := t.unpack.openContent(f.path)
	if err != nil {
		return err
	}
	fi, err := c.Stat()
	if err == nil && keyOf(fi) != f.key {
		err = fs.ErrNotExist // another file has the name by now: the next scan sees to it
	}
	if err != nil {
		c.Close()
		return err
	}
	f.fd = c
	t.open++
	t.sniffed(f)
	return nil
}

func (t *Tailer) closeFile(f *file) {
	if f.fd != nil {
		f.fd.Close()
		f.fd = nil
		t.open--
	}
}

// spareFile closes f if many files are open or it is an archive, provided that it can be opened again.
func (t *Tailer) spareFile(f *file) {
	if f.fd != nil && (t.open > t.o.OpenFiles || f.packed) && leadsTo(f.path, f.key) {
		t.closeFile(f)
	}
}

// idleAfter is how long a file must not have changed until only scans and notifications look at it, if it is closed.
const idleAfter = time.Minute

// poll looks at every file but those that have been idle for long, of which there may be thousands.
func (t *Tailer) poll() {
	now := t.o.Now()
	for _, f := range t.files {
		if f.fd == nil && f.queue == nil && !f.hold.on && now.Sub(f.changed) >= idleAfter {
			continue
		}
		t.check(f)
		t.flushPartials(f)
	}
}

// A hold is a line of text that waits for the next, which may be the first of its stack trace.
type hold struct {
	at    int64 // offset of the line
	end   int64 // of the whole lines that had come when it was met first
	since time.Time
	on    bool // it is in Tailer.waiting
}

// hold notes that the lines in b, which begin at offset off, wait.
func (t *Tailer) hold(f *file, off int64, b []byte) {
	h := &f.hold
	if h.on && h.at == off {
		return
	}
	if !h.on {
		t.waiting = append(t.waiting, f)
	}
	*h = hold{at: off, end: off + int64(bytes.LastIndexByte(b, '\n')) + 1, since: t.o.Now(), on: true}
}

// settleHolds has the lines read that have waited long enough.
func (t *Tailer) settleHolds(now time.Time) {
	rest := t.waiting[:0]
	for _, f := range t.waiting {
		switch s := f.stream; {
		case s == nil || s.off > f.hold.at || t.files[f.key] != f:
			f.hold.on = false
		case now.Before(f.hold.since.Add(t.o.JoinWait)):
			rest = append(rest, f)
		default:
			f.settled, f.hold.on = f.hold.end, false
			t.enqueue(f)
		}
	}
	clear(t.waiting[len(rest):])
	t.waiting = rest
}

// flushPartials has a file read that ends with the first lines of a record (CRI, Docker) and has not changed since:
// whoever was writing them is gone, and what follows must not wait.
func (t *Tailer) flushPartials(f *file) {
	if s := f.stream; s == nil || f.queue != nil || f.long != nil || s.off >= f.size || f.flushed == f.size || t.o.Now().Before(f.changed.Add(t.o.QuietAfter)) {
		return
	}
	f.flush, f.flushed = true, f.size
	t.enqueue(f)
}

func (t *Tailer) byPath(path string) *file {
	fi, err := os.Stat(path)
	if err != nil {
		return nil
	}
	return t.files[keyOf(fi)]
}

// check looks whether f has changed.
func (t *Tailer) check(f *file) {
	var fi fs.FileInfo
	var err error
	if f.fd != nil {
		fi, err = f.fd.Stat()
	} else if fi, err = os.Stat(f.path); err == nil && keyOf(fi) != f.key {
		return
	}
	if err != nil {
		return
	}
	t.sized(f, fi.Size(), fi.ModTime())
}

// sized takes note of a file's size and time, and has it read if they are news.
func (t *Tailer) sized(f *file, size int64, mtime time.Time) {
	if size == f.disk && mtime.Equal(f.mtime) {
		return
	}
	f.measure(size, mtime)
	f.changed = t.o.Now()
	f.ended, f.final = false, false
	if f.copyOf != nil {
		t.note(f, t.compare(f))
		return
	}
	t.enqueue(f)
}

// errFull says that a record does not fit into what is left of the batch.
var errFull = errors.New("the batch is full")

// read reads a turn's worth of f into the batch being filled, and reports whether there may be more.
func (t *Tailer) read(f *file) (more bool, err error) {
	if err := t.openFile(f); err != nil {
		return false, err
	}
	fi, err := f.fd.Stat()
	if err != nil {
		return false, err
	}
	f.measure(fi.Size(), fi.ModTime())
	if f.packed {
		return t.readArchive(f, fi)
	}
	if f.stream == nil {
		if err := f.fd.sniff(&t.unpack); err != nil { // it may have been empty before
			return false, err
		}
		if t.sniffed(f); f.packed {
			return true, nil
		}
		if err := t.identify(f, f.final); err != nil || f.stream == nil {
			return false, err
		}
	}
	s := f.stream
	if f.size < s.off {
		return t.replaced(f)
	}
	end := f.size
	if t.draining {
		end = min(end, f.limit)
	}
	if s.anchor {
		return true, t.anchor(f)
	}
	if f.long != nil {
		return t.readLong(f, end)
	}
	return t.readLines(f, end)
}

// readLines reads whole records. Its window starts small and grows as long as not even one record fits; it also ends
// where the lines in it could be more records than a batch takes.
func (t *Tailer) readLines(f *file, end int64) (more bool, err error) {
	s, raw := f.stream, t.cur
	at, room := len(raw.Buf), cap(raw.Buf)-len(raw.Buf)
	longest := f.in.MaxLineBytes + 4
	lines := t.o.BatchRecords - len(raw.Cuts)
	for want := min(turnBytes, room); ; want, lines = min(want*4, longest), lines*4 {
		if want > room {
			return true, errFull
		}
		n, err := readAt(f.fd, raw.Buf[at:at+want], s.off, end)
		if err != nil {
			return false, err
		}
		if ok, err := t.continues(f, s); err != nil {
			return false, err
		} else if !ok {
			return t.replaced(f)
		}
		atEnd := n < want
		if n, ok := firstLines(raw.Buf[at:at+n], lines); ok {
			if t.cut(f, at, n, false) > 0 {
				return true, nil
			}
			continue
		}
		if f.flush && atEnd {
			f.flush = false
			t.cutWhole(f, at, n)
			return false, nil
		}
		final := f.final && atEnd
		consumed := t.cut(f, at, n, final)
		switch {
		case final:
			f.ended = true
			return false, nil
		case consumed > 0:
			return !atEnd, nil
		case atEnd:
			return false, nil
		case n >= longest:
			f.long = newLongLine(s.off)
			return t.readLong(f, end)
		}
	}
}

// firstLines returns where the first max lines of b end, if there is more behind them.
func firstLines(b []byte, max int) (n int, ok bool) {
	if bytes.Count(b, newline) < max {
		return 0, false
	}
	for range max {
		n += bytes.IndexByte(b[n:], '\n') + 1
	}
	return n, n < len(b)
}

var newline = []byte{'\n'}

// readAt fills b from offset off of r, at most up to end.
func readAt(r io.ReaderAt, b []byte, off, end int64) (int, error) {
	n, err := r.ReadAt(b[:max(0, min(int64(len(b)), end-off))], off)
	if err == io.EOF {
		err = nil
	}
	return n, err
}

// cutWhole is cut for lines after which nothing is waited for: records end with the last whole line.
func (t *Tailer) cutWhole(f *file, at, n int) (consumed int) {
	if whole := bytes.LastIndexByte(t.cur.Buf[at:at+n], '\n') + 1; whole > 0 {
		return t.cut(f, at, whole, true)
	}
	return 0
}

// cut adds the records in Buf[at:at+n] to the batch being filled, and moves the stream on.
func (t *Tailer) cut(f *file, at, n int, final bool) int {
	s, raw := f.stream, t.cur
	raw.Buf = raw.Buf[:at+n]
	fresh := t.beginRange(s, at)
	f.in.cutter.Settled = f.settled
	consumed, lines := f.in.cutter.Cut(raw, at, n, s.off, final)
	if f.in.cutter.Waiting {
		t.hold(f, s.off+int64(consumed), raw.Buf[at+consumed:at+n])
	}
	raw.Buf = raw.Buf[:at+consumed]
	if consumed == 0 {
		if fresh {
			raw.Ranges = raw.Ranges[:len(raw.Ranges)-1]
			t.sealed = true
		}
		return 0
	}
	t.touched()
	r := &raw.Ranges[len(raw.Ranges)-1]
	r.End += int64(consumed)
	r.Lines += lines
	tail := min(pipeline.TailSize, r.End-r.Start)
	s.advance(r.End, xxhash.Sum64(raw.Buf[len(raw.Buf)-int(tail):]), tail)
	return consumed
}

// advance notes that s is read up to off, and what it has before.
func (s *stream) advance(off int64, tailSum uint64, tailLen int64) {
	s.Marks.Add(ledger.Mark{Offset: s.off, Sum: s.tailSum, Len: s.tailLen})
	s.off, s.tailSum, s.tailLen = off, tailSum, tailLen
}

// touched notes that the batch being filled has got something.
func (t *Tailer) touched() {
	t.changedAt = t.o.Now()
	if t.curSince.IsZero() {
		t.curSince = t.changedAt
	}
}

// beginRange makes the last range of the batch one that goes on where s is. It reports whether that is a new one.
func (t *Tailer) beginRange(s *stream, at int) bool {
	if n := len(t.cur.Ranges); n > 0 && !t.sealed {
		if r := &t.cur.Ranges[n-1]; r.Stream == s.src && r.End == s.off {
			return false
		}
	}
	t.endRange()
	t.cur.Ranges = append(t.cur.Ranges, pipeline.Range{Stream: s.src, Start: s.off, End: s.off})
	t.rangeAt, t.sealed = at, false
	return true
}

// endRange computes the checksums of the last range, whose bytes are in Buf.
func (t *Tailer) endRange() {
	n := len(t.cur.Ranges)
	if n == 0 || t.sealed {
		t.sealed = true
		return
	}
	r := &t.cur.Ranges[n-1]
	b := t.cur.Buf[t.rangeAt : t.rangeAt+int(r.End-r.Start)]
	tail := min(pipeline.TailSize, len(b))
	r.Sum, r.TailSum = xxhash.Sum64(b[:len(b)-tail]), xxhash.Sum64(b[len(b)-tail:])
	t.sealed = true
	leavesBanner := r.Start < ledger.Banner && r.End >= ledger.Banner
	if s := t.streams[r.Stream.ID]; s != nil && (r.Start == 0 || leavesBanner || len(b) >= markedRange) {
		t.markWithin(s, r.Start, b)
	}
}

// markedRange is how long a range is that gets marks of its own. The ends of shorter ones do, except in what was read first
// of a stream.
const markedRange = 16 << 10

// markWithin marks ends of lines in b, which has just been read of s from start on: before the last one, and some four
// times as far back each, and the first that does not lie in what may be a banner. (A copy may have been made of what was
// read at once.)
func (t *Tailer) markWithin(s *stream, start int64, b []byte) {
	found := false
	mark := func(at int) {
		n := min(pipeline.TailSize, at)
		s.Marks.Add(ledger.Mark{Offset: start + int64(at), Sum: xxhash.Sum64(b[at-n : at]), Len: int64(n)})
		found = true
	}
	if past := ledger.Banner - start; past > 0 && past <= int64(len(b)) {
		if i := bytes.IndexByte(b[past-1:], '\n'); i >= 0 {
			mark(int(past) + i)
		}
	}
	for back := 1; back < len(b); {
		at := bytes.LastIndexByte(b[:len(b)-back], '\n') + 1
		if at == 0 {
			break
		}
		back = 4 * (len(b) - at)
		mark(at)
	}
	if found && s.file != nil {
		t.note(s.file, t.put(s))
	}
}

// anchor notes where a stream begins that is not read from its beginning: by a range without a record, which the ledger
// keeps as it does any other. It lies before the line that is being written at the moment.
func (t *Tailer) anchor(f *file) error {
	end, err := lineStart(f.fd, f.size, t.scratch)
	if err != nil {
		return err
	}
	return t.anchorAt(f, end)
}

// anchorAt has the stream of f begin at end.
func (t *Tailer) anchorAt(f *file, end int64) error {
	s := f.stream
	s.anchor = false
	if end == 0 {
		return nil
	}
	n := min(pipeline.TailSize, end)
	b := t.scratch[:n]
	if _, err := f.fd.ReadAt(b, end-n); err != nil {
		return err
	}
	t.endRange()
	s.advance(end, xxhash.Sum64(b), n)
	t.cur.Ranges = append(t.cur.Ranges, pipeline.Range{
		Stream: s.src, Start: end - n, End: end, Sum: xxhash.Sum64(nil), TailSum: s.tailSum,
	})
	t.touched()
	return nil
}

// lineStart returns the offset after the last newline before size.
func lineStart(r io.ReaderAt, size int64, scratch []byte) (int64, error) {
	for size > 0 {
		n := min(size, int64(len(scratch)))
		b := scratch[:n]
		if _, err := r.ReadAt(b, size-n); err != nil {
			return 0, err
		}
		for i := len(b) - 1; i >= 0; i-- {
			if b[i] == '\n' {
				return size - n + int64(i) + 1, nil
			}
		}
		size -= n
	}
	return 0, nil
}

// replaced handles a file whose content is no longer what was read: it was truncated, or written anew. Its stream is left
// without a file, unless there is a copy; what the file has now is another stream.
func (t *Tailer) replaced(f *file) (more bool, err error) {
	old := f.stream
	if !t.warnedTruncate && !f.packed {
		t.warnedTruncate = true
		t.o.Logger.Warn("a log file was truncated; copytruncate can lose lines that are written between the copy and the "+
			"truncation (let the rotation rename the file instead)", zap.String("path", f.path))
	}
	if t.cur != nil {
		t.endRange()
	}
	f.stream, f.long, f.final, f.ended, f.settled = nil, nil, false, false, 0
	old.file, old.lostAt, old.Device, old.Inode = nil, t.o.Now(), 0, 0
	if err := t.put(old); err != nil {
		return false, err
	}
	clear(t.strangers)
	t.continueFromCopy(old)
	t.scanAt = time.Time{}
	t.seq++
	t.dequeue(f)
	f.seq, f.limit = t.seq, f.size // the copy is read first
	t.enqueue(f)
	if err := f.fd.sniff(&t.unpack); err != nil {
		return false, err
	}
	t.sniffed(f)
	return true, nil
}

// finishRemainders emits, at the very end, last lines without a newline that are complete JSON objects, or that no other
// run will see. It reports whether it is through with all files.
func (t *Tailer) finishRemainders() bool {
	for _, f := range t.files {
		if f.long != nil || f.ended || f.copyOf != nil || f.held || f.packed || f.start() >= f.limit {
			continue
		}
		size := f.limit - f.start()
		if size > int64(f.in.MaxLineBytes) || t.openFile(f) != nil {
			f.ended = true
			continue
		}
		if t.cur == nil {
			select {
			case t.cur = <-t.free:
				t.fit(t.cur)
			default:
				return false
			}
		}
		if size > int64(cap(t.cur.Buf)-len(t.cur.Buf)) {
			t.handOver()
			return false
		}
		f.ended = true
		t.finishRemainder(f, int(size))
	}
	return true
}

// start is where the bytes begin that were not handed over.
func (f *file) start() int64 {
	if f.stream == nil {
		return 0
	}
	return f.stream.off
}

// finishRemainder takes the last size bytes of f: whole lines as they are, and what follows them if it is complete
// without a newline.
func (t *Tailer) finishRemainder(f *file, size int) {
	at, from := len(t.cur.Buf), f.start()
	b := t.cur.Buf[at : at+size]
	if n, err := readAt(f.fd, b, from, f.limit); err != nil || n < len(b) {
		return
	}
	if f.stream == nil {
		if !isComplete(b) || t.identify(f, true) != nil || f.stream == nil || f.stream.off != from {
			return
		}
	}
	n := t.cutWhole(f, at, size)
	if rest := b[n:]; len(rest) > 0 && (isComplete(rest) || deleted(f.fd)) {
		t.cut(f, at+n, len(rest), true)
	}
}

// isComplete reports whether b, a line without its newline, is a JSON value that more bytes could not be part of: any
// but a number.
func isComplete(b []byte) bool {
	if len(b) == 0 || b[0] == '-' || '0' <= b[0] && b[0] <= '9' {
		return false
	}
	return json.Valid(b) && !slices.Contains(b, '\n')
}

// moved takes note of another name of f.
func (t *Tailer) moved(f *file, path string) {
	f.path = path
	if s := f.stream; s != nil {
		t.settle(s, f)
		t.note(f, t.put(s))
	}
}

// settle makes f the file of s.
func (t *Tailer) settle(s *stream, f *file) {
	s.file, s.Path, s.Device, s.Inode = f, f.path, f.key.dev, f.key.ino
	s.src = f.in.source(s.ID, f.path)
	f.stream, f.copyOf = s, nil
}
