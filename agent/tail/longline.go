package tail

import (
	"bytes"
	"io"

	"github.com/cespare/xxhash/v2"

	"github.com/truledgr/activity-agent/pipeline"
)

// longScan is how much is read in one turn in search of a line's end.
const longScan = 8 << 20

// A longLine is the search for the end of a line that is longer than what is kept of one. Nothing of it is held in
// memory: once its end is known, its beginning is read again.
type longLine struct {
	at      int64          // where the line begins
	scanned int64          // no newline before here
	content int64          // its first byte that is no NUL; -1 if none yet
	inked   bool           // it has a byte that is no white space
	last    byte           // before scanned
	sum     *xxhash.Digest // of what lies before tail
	tail    []byte         // the last bytes before scanned, at most pipeline.TailSize
}

func newLongLine(at int64) *longLine {
	return &longLine{at: at, scanned: at, content: -1, sum: xxhash.New()}
}

// readLong looks on for the end of the line, and adds its record when it is found.
func (t *Tailer) readLong(f *file, end int64) (more bool, err error) {
	s, l := f.stream, f.long
	if ok, err := t.continues(f, s); err != nil {
		return false, err
	} else if !ok || l.at != s.off || f.size < l.scanned {
		return t.replaced(f)
	}
	for stop := l.scanned + longScan; l.scanned < stop; {
		n, err := readAt(f.fd, t.scratch, l.scanned, end)
		if err != nil {
			return false, err
		}
		if n == 0 {
			if f.final {
				f.ended = true
				return false, t.addLong(f, l.scanned)
			}
			return false, nil
		}
		b := t.scratch[:n]
		i := bytes.IndexByte(b, '\n')
		if i >= 0 {
			b = b[:i]
		}
		l.pass(b)
		if i >= 0 {
			return true, t.addLong(f, l.scanned+1)
		}
	}
	return true, nil
}

// pass takes note of a part of the line.
func (l *longLine) pass(b []byte) {
	if len(b) == 0 {
		return
	}
	if l.content < 0 {
		for i, c := range b {
			if c != 0 {
				l.content = l.scanned + int64(i)
				break
			}
		}
	}
	l.inked = l.inked || !pipeline.Blank(b)
	l.last = b[len(b)-1]
	l.scanned += int64(len(b))
	l.summed(b)
}

// summed takes b into the checksums.
func (l *longLine) summed(b []byte) {
	if over := len(l.tail) + len(b) - pipeline.TailSize; over > 0 {
		old := min(over, len(l.tail))
		_, _ = l.sum.Write(l.tail[:old])
		_, _ = l.sum.Write(b[:over-old])
		l.tail, b = append(l.tail[:0], l.tail[old:]...), b[over-old:]
	}
	l.tail = append(l.tail, b...)
}

// addLong adds a range that is this one line, up to end. Its bytes are summed as they pass.
func (t *Tailer) addLong(f *file, end int64) error {
	s, l, raw := f.stream, f.long, t.cur
	at := len(raw.Buf)
	if cap(raw.Buf)-at < f.in.MaxLineBytes {
		return errFull
	}
	lo, hi := l.content, l.scanned
	if l.last == '\r' {
		hi--
	}
	if l.inked {
		var bom [3]byte
		if _, err := readAt(f.fd, bom[:], lo, hi); err != nil {
			return err
		}
		if bom == [3]byte{0xEF, 0xBB, 0xBF} {
			lo += 3
		}
	}
	keep := min(int64(f.in.MaxLineBytes), hi-lo)
	if l.inked {
		if n, err := readAt(f.fd, raw.Buf[at:at+int(keep)], lo, hi); err != nil || int64(n) < keep {
			return io.ErrUnexpectedEOF
		}
	}
	if end > l.scanned {
		l.summed([]byte{'\n'})
	}
	tail, tailSum := int64(len(l.tail)), xxhash.Sum64(l.tail)
	t.endRange()
	raw.Ranges = append(raw.Ranges, pipeline.Range{
		Stream: s.src, Start: s.off, End: end, Sum: l.sum.Sum64(), TailSum: tailSum, Lines: 1,
	})
	if l.inked && keep > 0 {
		raw.Buf = raw.Buf[:at+int(keep)]
		f.in.cutter.CutLong(raw, pipeline.Piece{Offset: lo, At: int32(at), Len: int32(keep), Skip: hi - lo - keep})
	}
	s.advance(end, tailSum, tail)
	f.long = nil
	t.touched()
	return nil
}

// sumOf is xxHash64 of the bytes [from, to) of r.
func sumOf(r io.ReaderAt, from, to int64, scratch []byte) (uint64, error) {
	d := xxhash.New()
	for from < to {
		n, err := readAt(r, scratch, from, to)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		_, _ = d.Write(scratch[:n])
		from += int64(n)
	}
	return d.Sum64(), nil
}
