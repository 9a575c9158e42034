package tail

import (
	"bytes"
	"io/fs"
	"slices"
	"time"

	"go.uber.org/zap"
)

// An archive is a file that was compressed when it had been written to its end, as a rule; so it is read once, and then
// as one to which nothing will be added. Its content can be known only by decompressing it, which takes time. Whatever
// needs that is done in the archive's own turns, a step in each, and of one archive at a time: two decoders are all the
// memory that archives take.

// sniffed takes in whether the open f is an archive.
func (t *Tailer) sniffed(f *file) {
	if packed := f.fd.arc != nil; packed != f.packed {
		f.packed, f.size = packed, f.disk
		if packed {
			f.size = unknownSize
		}
	}
}

// waits reports whether f is an archive that is not read to its end.
func (f *file) waits() bool { return f.packed && !f.ended && f.copyOf == nil && f.err == nil }

// mayUnpack reports whether f may be read now: all but archives may, and of those one until it leaves the queue.
func (t *Tailer) mayUnpack(f *file) bool {
	if !f.packed || t.unpacking == f {
		return true
	}
	if u := t.unpacking; u != nil {
		if u.queue.files[0] == u {
			return false
		}
		if u.fd != nil {
			u.fd.release()
		}
	}
	t.unpacking = f
	return true
}

// readArchive is read for archives.
func (t *Tailer) readArchive(f *file, fi fs.FileInfo) (more bool, err error) {
	now := t.o.Now()
	if f.held = now.Sub(changedAt(fi)) < t.o.QuietAfter && now.Sub(f.changed) < t.o.QuietAfter; f.held {
		return false, nil // it is still being written, perhaps; the next scan sees to it
	}
	f.final = true
	arc := f.fd.arc
	if f.stream == nil {
		if more, err := t.identifyArchive(f); more || err != nil || f.stream == nil {
			return more, err
		}
	}
	s := f.stream
	if s.anchor {
		if there, err := arc.reach(unknownSize - 1); err != nil || !there {
			return true, err
		}
		return true, t.anchorAt(f, arc.size)
	}
	if there, err := arc.reach(s.off - s.tailLen); err != nil || !there {
		return true, err
	}
	f.size = arc.size
	switch {
	case f.size < s.off:
		return t.replaced(f)
	case f.long != nil:
		more, err = t.readLong(f, f.size)
	default:
		more, err = t.readLines(f, f.size)
	}
	if f.size = arc.size; f.ended && err == nil {
		return more, t.unpacked(f)
	}
	return more, err
}

// unpacked notes that an archive was read to its end. The size of a damaged one is not kept, so that it is never taken for
// a sound one.
func (t *Tailer) unpacked(f *file) error {
	size := f.size
	if why := f.fd.arc.damage; why != "" {
		size = 0
		t.damaged[why]++
		t.o.Logger.Error("an archive is damaged: what could be read of it was, and the rest is lost", zap.String("path", f.path),
			zap.String("damage", why), zap.Int64("bytes_read", f.size))
	}
	if f.stream == nil || f.stream.Size == size {
		return nil
	}
	f.stream.Size = size
	return t.put(f.stream)
}

// adoptArchive gives f that one of the streams, which the ledger knows its device and inode for, that begins as it does.
// What comes before the offset is compared when it is read. If it was read to its end before, and not even its name has
// changed since, it need not be opened again.
func (t *Tailer) adoptArchive(f *file, streams []*stream) error {
	fi, err := f.fd.Stat()
	if err != nil {
		return err
	}
	begin, _, ok, err := beginOf(t.o.IDKey, f.fd, true)
	if err != nil || !ok {
		return err
	}
	for _, s := range streams {
		if s.file != nil || s.Begin != begin {
			continue
		}
		if s.Size > 0 && s.off == s.Size && changedAt(fi).Before(s.SeenAt.Add(-time.Second)) {
			f.size, f.ended = s.Size, true
		}
		return t.join(f, s)
	}
	return nil
}

// A probe finds out whether the content of an archive is known: it is the rest of a stream without a file, or a copy of
// a file that is read. All streams that begin alike are compared on one way through the archive.
type probe struct {
	at      int64 // up to where it has been compared
	begin   [16]byte
	first   int64 // length of the first line
	streams []candidate
	other   []byte
}

// A candidate is a stream that an archive may have the content of, as it was when the probe began.
type candidate struct {
	*stream
	file  *file
	off   int64
	state match
}

// match is what is known of a candidate.
type match uint8

const (
	undecided match = iota
	differs
	fits    // the archive has what was read of the stream, up to where reading ended
	longer  // its file goes on as the archive does, or was read as it does, and ends later or where the archive ends
	shorter // the archive goes on as its file does, and ends later
)

// byTail reports whether the candidate is told by the bytes before the end of what was read of it; the others by all
// bytes of their files. Of archives one is unpacked at a time.
func (c *candidate) byTail() bool { return c.file == nil || c.file.packed }

// newProbe begins with the streams that begin alike.
func (t *Tailer) newProbe(f *file, begin [16]byte, first int64) *probe {
	p := &probe{begin: begin, first: first}
	for _, s := range t.begins[begin] {
		c := candidate{stream: s, file: s.file, off: s.off}
		switch ours := s.Dir == f.fam.dir && s.Stem == f.fam.stem; {
		case s.file == nil && !mayContinue(f, s, first), s.file != nil && !ours, s.file != nil && s.file.packed && s.off <= first:
			c.state = differs
		case s.file == nil && s.off == 0:
			c.state = fits
		}
		p.streams = append(p.streams, c)
	}
	return p
}

// stale reports whether something has happened since the probe began that it does not know of.
func (p *probe) stale(t *Tailer) bool {
	return len(t.begins[p.begin]) != len(p.streams) || slices.ContainsFunc(p.streams, func(c candidate) bool {
		return t.streams[c.ID] != c.stream || c.stream.file != c.file || c.byTail() && c.stream.off != c.off
	})
}

// open reports whether reading on can tell more. A stream without a file is preferred, and of those the one that was
// read furthest.
func (p *probe) open() bool {
	found, copied := false, false
	for i := range p.streams {
		c := &p.streams[i]
		switch {
		case c.state == undecided && c.file == nil:
			return true
		case c.state == undecided:
			copied = true
		case c.state == fits && c.file == nil:
			found = true
		}
	}
	return copied && !found
}

// identifyArchive is identify for archives. It takes as many turns as the content takes that must be read for it.
func (t *Tailer) identifyArchive(f *file) (more bool, err error) {
	p := f.probe
	if p == nil || p.stale(t) {
		begin, first, ok, err := beginOf(t.o.IDKey, f.fd, true)
		if err != nil {
			return false, err
		}
		if !ok { // there is no content
			f.size, f.ended = f.fd.arc.size, true
			return false, t.unpacked(f)
		}
		if _, err := t.recheck(f, begin); err != nil {
			return false, err
		}
		p = t.newProbe(f, begin, first)
		f.probe = p
	}
	for stop := p.at + unpackStep; p.open(); {
		if p.at >= stop {
			return true, nil
		}
		if err := t.compareArchive(f, p); err != nil {
			return false, err
		}
	}
	f.probe = nil
	return false, t.decide(f, p)
}

// probeBlock is how much is compared at once.
const probeBlock = 32 << 10

// compareArchive compares the next block with all candidates.
func (t *Tailer) compareArchive(f *file, p *probe) error {
	b := t.scratch[:probeBlock]
	n, err := readAt(f.fd, b, p.at, unknownSize)
	if err != nil {
		return err
	}
	b = b[:n]
	for i := range p.streams {
		c := &p.streams[i]
		switch {
		case c.state != undecided:
		case !c.byTail():
			c.state, err = t.compareBlock(c, p, b)
		case c.off <= p.at+int64(n):
			c.state = differs
			var same bool
			if same, err = tailMatches(f.fd, c.off, c.tailLen, c.tailSum, make([]byte, c.tailLen)); same {
				c.state = fits
			}
		case n < probeBlock:
			c.state = differs
			var part bool
			if part, err = t.partOf(f, c.stream, p.at+int64(n)); part {
				c.state = longer
			}
		}
		if err != nil {
			return err
		}
	}
	p.at += int64(n)
	return nil
}

// compareBlock compares a block of the archive with the file of a candidate.
func (t *Tailer) compareBlock(c *candidate, p *probe, b []byte) (match, error) {
	if err := t.openFile(c.file); err != nil {
		return differs, nil //nolint:nilerr // its name is gone; so is what could be compared
	}
	defer t.spareFile(c.file)
	if p.other == nil {
		p.other = make([]byte, probeBlock)
	}
	n, err := readAt(c.file.fd, p.other[:len(b)], p.at, unknownSize)
	switch {
	case err != nil:
		return undecided, err
	case !bytes.Equal(p.other[:n], b[:n]):
		return differs, nil
	case n < len(b):
		return shorter, nil
	case len(b) < probeBlock:
		return longer, nil
	}
	return undecided, nil
}

// decide gives f its stream, makes it a copy, or leaves it without either if it is a sibling that is nothing of ours.
func (t *Tailer) decide(f *file, p *probe) error {
	var best *stream
	for i := range p.streams {
		if c := &p.streams[i]; c.state == fits && c.file == nil && (best == nil || continuesBetter(f, c.stream, best)) {
			best = c.stream
		}
	}
	if best != nil {
		return t.join(f, best)
	}
	for i := range p.streams {
		c := &p.streams[i]
		switch {
		case c.state == differs, c.file == nil && c.state != longer:
			continue
		case !c.byTail() && !copyByName(f, c.file, p.at) && leadsTo(c.file.path, c.file.key):
			continue
		case c.state == shorter:
			return t.share(f, c.stream)
		default:
			f.copyOf = c.stream
			return nil
		}
	}
	if f.sibling && !t.writtenUnseen(f) {
		t.strangers[f.key] = f.disk
		t.dequeue(f)
		t.closeFile(f)
		delete(t.files, f.key)
		return nil
	}
	return t.join(f, t.newStream(f, p.begin))
}
