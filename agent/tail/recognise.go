package tail

import (
	"errors"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/pipeline"
)

// adopt gives f that one of the streams, which the ledger knows its device and inode for, whose content it still has.
func (t *Tailer) adopt(f *file, streams []*stream) error {
	for _, s := range streams {
		if s.file != nil {
			continue
		}
		same, err := t.continues(f, s)
		if err != nil {
			return err
		}
		begin, _, ok, err := beginOf(t.o.IDKey, f.fd, false)
		if err != nil {
			return err
		}
		if same && (!ok && s.off > 0 || ok && begin == s.Begin) {
			return t.join(f, s)
		}
	}
	return nil
}

// A firstLine is what beginOf said of a file of that size.
type firstLine struct {
	begin  [16]byte
	length int64
	ok     bool
	size   int64
}

// firstLine is beginOf with a memory, which lasts as long as a scan takes to recognise new files: each is asked for it
// several times then, and there may be thousands.
func (t *Tailer) firstLine(f *file, final bool) (begin [16]byte, length int64, ok bool, err error) {
	if l := f.first; l != nil && l.size == f.size && (l.ok || !final) {
		return l.begin, l.length, l.ok, nil
	}
	begin, length, ok, err = beginOf(t.o.IDKey, io.NewSectionReader(f.fd, 0, f.size), final)
	if f.fresh && err == nil {
		f.first = &firstLine{begin, length, ok, f.size}
	}
	return begin, length, ok, err
}

// rejoin gives f the stream without a file that it continues, if there is one.
func (t *Tailer) rejoin(f *file) error {
	begin, first, ok, err := t.firstLine(f, false)
	if err != nil || !ok || len(t.begins[begin]) == 0 {
		return err
	}
	if _, err := t.recheck(f, begin); err != nil {
		return err
	}
	// A copy is made before the truncation. So if that was noticed, the copy is whole by now: its size is up to date.
	fi, err := f.fd.Stat()
	if err != nil {
		return err
	}
	f.measure(fi.Size(), fi.ModTime())
	s, err := t.lost(f, begin, first)
	if err != nil || s == nil {
		return err
	}
	return t.join(f, s)
}

// identify finds out which stream f belongs to. It leaves f without one while its first line is incomplete, if it is a
// copy of what is read already, and if it is a sibling that belongs to none.
func (t *Tailer) identify(f *file, final bool) error {
	begin, _, ok, err := t.firstLine(f, final)
	if err != nil || !ok {
		return err
	}
	for again := true; again; {
		if err := t.rejoin(f); err != nil || f.stream != nil {
			return err
		}
		if s, err := t.original(f, begin); err != nil {
			return err
		} else if s != nil {
			return t.share(f, s)
		}
		if s, err := t.cutShort(f, begin); err != nil {
			return err
		} else if s != nil {
			f.copyOf = s
			return nil
		}
		if again, err = t.recheck(f, begin); err != nil {
			return err
		}
	}
	if f.held = t.undecided(f, begin); f.held || f.sibling && !t.writtenUnseen(f) {
		return nil
	}
	return t.join(f, t.newStream(f, begin))
}

// undecided reports whether f may be a copy of the beginning of a stream that has just lost its file: a truncated one,
// whose whole copy the next scan will find. The two can be compared then.
func (t *Tailer) undecided(f *file, begin [16]byte) bool {
	if !rotated(f.path) {
		return false
	}
	now := t.o.Now()
	return slices.ContainsFunc(t.begins[begin], func(s *stream) bool {
		return s.file == nil && f.like(s) && f.size < s.off && now.Sub(s.lostAt) < t.o.QuietAfter
	})
}

// join makes f the file of s, and tells the registry unless it knows.
func (t *Tailer) join(f *file, s *stream) error {
	known := !s.SeenAt.IsZero() && s.Path == f.path && s.Device == f.key.dev && s.Inode == f.key.ino
	t.settle(s, f)
	if known {
		return nil
	}
	return t.put(s)
}

// newStream makes a stream for f, with an ordinal of its own among those that begin alike.
func (t *Tailer) newStream(f *file, begin [16]byte) *stream {
	s := &stream{Stream: ledger.Stream{Dir: f.fam.dir, Stem: f.fam.stem, Begin: begin, Since: t.watchedSince(f.fam)}}
	for s.ID = streamID(f.fam, begin, 0); t.streams[s.ID] != nil; s.ID = streamID(f.fam, begin, s.Ordinal) {
		s.Ordinal++
	}
	s.anchor = f.atStart && f.in.StartAt == "end"
	t.know(s)
	return s
}

// continues reports whether f has what comes before the end of what was read of s; if nothing was read yet, whether it
// begins as s does.
func (t *Tailer) continues(f *file, s *stream) (bool, error) {
	if f.size < s.off {
		return false, nil
	}
	if s.tailLen > 0 {
		return tailMatches(f.fd, s.off, s.tailLen, s.tailSum, t.scratch)
	}
	begin, _, ok, err := beginOf(t.o.IDKey, io.NewSectionReader(f.fd, 0, f.size), true)
	return ok && begin == s.Begin, err
}

// lost returns the stream without a file that f continues: after a rename or a copy while nobody looked.
//
// If no more than the first line was read, that line may as well be a banner that a program writes into every new file.
// Then only a name that a rotation gives tells the one from the other.
func (t *Tailer) lost(f *file, begin [16]byte, first int64) (best *stream, err error) {
	for _, s := range t.begins[begin] {
		if s.file != nil {
			continue
		}
		if ok, err := t.continues(f, s); err != nil {
			return nil, err
		} else if !ok {
			continue
		}
		if mayContinue(f, s, first) && (best == nil || continuesBetter(f, s, best)) {
			best = s
		}
	}
	return best, nil
}

func (f *file) is(s *stream) bool   { return s.Device == f.key.dev && s.Inode == f.key.ino }
func (f *file) like(s *stream) bool { return s.Dir == f.fam.dir && s.Stem == f.fam.stem }

// mayContinue reports whether the names allow that f, which has what was read of s, is its file. first is the length of
// the first line.
func mayContinue(f *file, s *stream, first int64) bool {
	return f.is(s) || s.off > first || f.like(s) && (s.off == 0 || rotated(f.path))
}

// continuesBetter reports whether f is rather the file of s than that of best.
func continuesBetter(f *file, s, best *stream) bool {
	return f.is(s) || !f.is(best) && f.like(s) && s.off > best.off
}

// original returns the stream that f is a copy of: of its family, with the same first line, and the shorter of the two
// files is the beginning of the longer. If the copy is longer it takes the stream over.
//
// A beginning of less than 1 KiB may be a banner that a program writes into every new file. Then the names decide: only
// a file with the name of a backup, or of a rotation while the other still has its own, is taken for a copy.
func (t *Tailer) original(f *file, begin [16]byte) (*stream, error) {
	for _, s := range t.begins[begin] {
		if s.file == nil || s.file == f || !f.like(s) {
			continue
		}
		if same, err := t.compareWith(f, s.file, 0); err != nil || same {
			return s, err
		}
	}
	return nil, nil
}

// cutShort returns the stream without a file that f is a copy of, made before the last of it was read.
func (t *Tailer) cutShort(f *file, begin [16]byte) (*stream, error) {
	for _, s := range t.begins[begin] {
		if ok, err := t.partOf(f, s, f.size); err != nil || ok {
			return s, err
		}
	}
	return nil, nil
}

// partOf reports whether f, whose content ends at size, is a copy of a part of what was read of s, whose file is gone or
// has other content now: of its family, with a name that a rotation or a person gives, and alike up to a mark. What f
// has after the mark has been read too, for it is shorter than what was. The file of s itself, shortened and written anew, is
// no copy. What lies before a mark in the first 1 KiB may be a banner, and says nothing, unless a person gave the name.
func (t *Tailer) partOf(f *file, s *stream, size int64) (bool, error) {
	if s.file != nil || size >= s.off || !f.like(s) || f.is(s) || !rotated(f.path) && !handMade(f.path) {
		return false, nil
	}
	for _, m := range s.Marks {
		if m.Len > 0 && m.Offset <= size {
			if m.Offset < ledger.Banner && !handMade(f.path) {
				return false, nil
			}
			return tailMatches(f.fd, m.Offset, m.Len, m.Sum, make([]byte, m.Len))
		}
	}
	return false, nil
}

// share lets the longer of two copies be the file of s.
func (t *Tailer) share(f *file, s *stream) error {
	g := s.file
	if f.size <= g.size {
		f.copyOf = s
		return t.mark(f, s)
	}
	t.dequeue(g)
	g.stream, g.copyOf, g.alike = nil, s, g.size
	err := t.join(f, s)
	t.enqueue(f)
	return errors.Join(err, t.mark(g, s))
}

// recheck sees to it that a file that was truncated since it was last read does not keep its stream from f, which may be
// the copy that was made before. It reports whether there was one.
func (t *Tailer) recheck(f *file, begin [16]byte) (found bool, err error) {
	for _, s := range t.begins[begin] {
		g := s.file
		if g == nil || g == f || g.packed || !f.like(s) || t.openFile(g) != nil {
			continue
		}
		fi, err := g.fd.Stat()
		same := true
		if err == nil {
			t.sized(g, fi.Size(), fi.ModTime())
			same, err = t.continues(g, s)
		}
		if err == nil && !same {
			found = true
			_, err = t.replaced(g)
		}
		t.spareFile(g)
		if err != nil {
			return found, err
		}
	}
	return found, nil
}

// compareWith reports whether f is a copy of g, given that they are alike before offset from.
func (t *Tailer) compareWith(f, g *file, from int64) (bool, error) {
	if err := t.openFile(g); err != nil {
		return false, nil // its name is gone; so is what could be compared
	}
	defer t.spareFile(g)
	fi, err := g.fd.Stat()
	if err != nil {
		return false, err
	}
	t.sized(g, fi.Size(), fi.ModTime())
	if s := g.stream; g.packed && s != nil && f.size >= s.off { // what was read of it tells, and costs less
		f.alike = s.off
		return t.continues(f, s)
	}
	size := min(f.size, g.size)
	if !copyByName(f, g, size) {
		return false, nil
	}
	// What comes just before is compared again: f may have been written anew.
	same, err := samePrefix(f.fd, g.fd, max(0, from-pipeline.TailSize), size)
	f.alike = size
	return same, err
}

// copyByName reports whether f may be a copy of g, given that size bytes are alike. Where both have the same path, that
// of g is out of date: it was renamed, and f is the new file in its place.
func copyByName(f, g *file, size int64) bool {
	return size >= beginBytes || handMade(f.path) || handMade(g.path) || rotated(f.path) && !rotated(g.path) ||
		f.path != g.path && unpackedName(f.path) == unpackedName(g.path)
}

// unpackedName is path without what compressing adds to it.
func unpackedName(path string) string { return packedSuffix.ReplaceAllString(path, "") }

func handMade(path string) bool { return handSuffix.MatchString(filepath.Base(path)) }

// compare looks again at a copy that has changed.
func (t *Tailer) compare(f *file) error {
	if f.packed {
		f.copyOf = nil
		t.enqueue(f)
		return nil
	}
	if err := t.openFile(f); err != nil {
		return err
	}
	defer t.spareFile(f)
	s := f.copyOf
	if s.file != nil && t.streams[s.ID] == s {
		from := f.alike
		if f.size < from {
			from = 0
		}
		same, err := t.compareWith(f, s.file, from)
		if err != nil {
			return err
		}
		if same {
			return t.share(f, s)
		}
	}
	f.copyOf, f.alike = nil, 0
	t.enqueue(f)
	return nil
}

// continueFromCopy looks for the rest of a stream, whose file was truncated, in the copies of it.
func (t *Tailer) continueFromCopy(s *stream) {
	var best *file // the longest: all of them were made of the same content
	for _, f := range t.files {
		switch {
		case f.copyOf != s:
			continue
		case f.packed:
			f.copyOf = nil // it is found again as any other archive
			t.enqueue(f)
			continue
		case s.file != nil, best != nil && best.size >= f.size, t.openFile(f) != nil:
			continue
		}
		if ok, err := t.continues(f, s); err == nil && ok {
			best = f
		}
	}
	if best != nil {
		t.note(best, t.join(best, s))
		t.enqueue(best)
	}
}

// timeSlack is how far the time of a file may lie behind our clock's: systems take it from a clock that moves every few
// milliseconds, and old file systems keep whole seconds.
const timeSlack = time.Second

// writtenUnseen reports whether a rotated file that the globs do not name was written since its family is watched: the
// rotation was faster than the scan, or happened while the agent was down.
func (t *Tailer) writtenUnseen(f *file) bool {
	return !handMade(f.path) && f.mtime.After(t.watchedSince(f.fam).Add(-timeSlack))
}

// watchedSince is when files of a family were first watched, as far as its streams know.
func (t *Tailer) watchedSince(fam family) time.Time {
	if since, ok := t.since[fam]; ok {
		return since
	}
	since := t.started
	for _, s := range t.streams {
		if s.Dir == fam.dir && s.Stem == fam.stem && !s.Since.IsZero() && s.Since.Before(since) {
			since = s.Since
		}
	}
	t.since[fam] = since
	return since
}

// mark notes what s has before the end of f, a copy of its beginning, so that f is known again when the file of s is gone.
func (t *Tailer) mark(f *file, s *stream) error {
	if f.packed || t.openFile(f) != nil {
		return nil
	}
	defer t.spareFile(f)
	n := min(pipeline.TailSize, f.size)
	sum, err := sumOf(f.fd, f.size-n, f.size, t.scratch)
	if err != nil {
		return err
	}
	s.Marks.Add(ledger.Mark{Offset: f.size, Sum: sum, Len: n})
	return t.put(s)
}
