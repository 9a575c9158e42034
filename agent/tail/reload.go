package tail

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/pipeline"
)

// Reload reads again what an intent says was read, for its replay: the same ranges, pieces and cuts, and the intent's
// decisions. A record whose bytes cannot be found, in no file that its range's checksums fit or that has at least the beginning
// of it, is decided to be lost with the reason pipeline.ReasonGone; its pieces then have no bytes in Buf. Records that were not to be delivered need no bytes and
// keep their fate.
//
// A file that may have the bytes and cannot be read now is not gone: Reload returns ErrUnreadable then, has done nothing, and
// may be called again with the same intent. Stats names the file until then.
//
// Call it before Run. Acked counts for its ranges as for any others.
func (t *Tailer) Reload(in *ledger.Intent) (*pipeline.Raw, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(in.Decisions) != len(in.Cuts) {
		return nil, fmt.Errorf("intent %d has %d records and %d decisions", in.Number, len(in.Cuts), len(in.Decisions))
	}
	t.complaint, t.refused = t.refused, map[string]string{}
	raw := t.spareRaw(in)
	open := map[activity.StreamID]*content{}
	defer func() {
		for _, fd := range open {
			fd.Close()
		}
	}()
	gone := make([]bool, len(in.Cuts))
	for i := range in.Ranges {
		r := &in.Ranges[i]
		src := &pipeline.Stream{ID: r.Stream}
		if s := t.streams[r.Stream]; s != nil {
			src = s.src
			if err := t.openRange(open, s, r); errors.Is(err, ErrUnreadable) && needed(in, i) {
				t.Release(raw)
				return nil, err
			}
		}
		if open[r.Stream] == nil {
			delete(open, r.Stream)
		}
		raw.Ranges = append(raw.Ranges, pipeline.Range{
			Stream: src, Start: r.Start, End: r.End, Sum: r.Sum, TailSum: r.TailSum, Lines: r.Lines,
		})
		err, at := ErrGone, len(raw.Buf)
		if fd := open[r.Stream]; fd != nil {
			err = reread(raw, in, i, fd)
		}
		if err == nil || !needed(in, i) {
			continue
		}
		raw.Buf = raw.Buf[:at]
		if ended(err) {
			err = t.salvage(raw, in, i, gone)
		} else {
			err = t.unreadable(open[r.Stream].fd.Name(), err)
		}
		if err != nil {
			t.Release(raw)
			return nil, err
		}
	}
	for i := range in.Cuts {
		if d := &raw.Replay[i]; gone[i] && d.Fate == pipeline.Deliver {
			d.Fate, d.Reason, d.Leaf = pipeline.Lost, pipeline.ReasonGone, pipeline.Leaf{}
		}
	}
	t.expect(raw.Ranges)
	return raw, nil
}

// spareRaw takes a batch from the pool, or makes one, with room for the intent's pieces.
func (t *Tailer) spareRaw(in *ledger.Intent) *pipeline.Raw {
	raw := &pipeline.Raw{}
	select {
	case raw = <-t.free:
	default:
	}
	var size int
	for i := range in.Pieces {
		size += int(in.Pieces[i].Len)
	}
	raw.Buf = slices.Grow(raw.Buf[:0], size)
	raw.Pieces = append(raw.Pieces[:0], in.Pieces...)
	raw.Cuts = append(raw.Cuts[:0], in.Cuts...)
	raw.Replay = slices.Clone(in.Decisions)
	return raw
}

// reread reads the pieces of one range from fd. Its cuts follow each other.
func reread(raw *pipeline.Raw, in *ledger.Intent, rng int, fd *content) error {
	for _, c := range in.Cuts {
		if int(c.Range) == rng {
			if err := rereadCut(raw, c, fd); err != nil {
				return err
			}
		}
	}
	return nil
}

func rereadCut(raw *pipeline.Raw, c pipeline.Cut, fd *content) error {
	for i := c.First; i < c.First+c.Pieces; i++ {
		p := &raw.Pieces[i]
		at := len(raw.Buf)
		b := raw.Buf[at : at+int(p.Len)]
		if _, err := fd.ReadAt(b, p.Offset); err != nil {
			return err
		}
		p.At, raw.Buf = int32(at), raw.Buf[:at+len(b)]
	}
	return nil
}

// salvage reads what there still is of a range that no file has whole: lines that were written between the copying and the
// truncation of a log were read, and are in no copy. What is sure of the bytes that it finds, checksums tell; of the rest, the
// document does (pipeline.Raw.Doubt). What is not there is marked in gone.
func (t *Tailer) salvage(raw *pipeline.Raw, in *ledger.Intent, rng int, gone []bool) error {
	fd, sure, err := t.beginning(&in.Ranges[rng])
	if err != nil && !errors.Is(err, ErrGone) {
		return err
	}
	if fd != nil {
		defer fd.Close()
	}
	if raw.Doubt == nil {
		raw.Doubt = make([]bool, len(in.Cuts))
	}
	for i, c := range in.Cuts {
		if int(c.Range) != rng {
			continue
		}
		err, at := ErrGone, len(raw.Buf)
		if fd != nil {
			err = rereadCut(raw, c, fd)
		}
		if err != nil && !ended(err) {
			return t.unreadable(fd.fd.Name(), err)
		}
		if err != nil {
			raw.Buf = raw.Buf[:at]
		}
		last := in.Pieces[c.First+c.Pieces-1]
		gone[i], raw.Doubt[i] = err != nil, last.Offset+int64(last.Len) > sure
	}
	return nil
}

// beginning opens a file that may have the first records of a range of its stream, and returns up to where it has them for
// certain: one that begins as the stream does and has all of the range but its last 1 KiB, which has a checksum of its own; or
// else one that has what the last mark before its end says. ErrGone says that there is none.
func (t *Tailer) beginning(r *ledger.IntentRange) (fd *content, sure int64, err error) {
	s := t.streams[r.Stream]
	if s == nil {
		return nil, 0, ErrGone
	}
	head := r.End - min(pipeline.TailSize, r.End-r.Start)
	open := func(has func(*content) (bool, error)) error {
		return t.search(s, func(c *content) error {
			if c.arc != nil {
				c.arc.keepFrom(r.Start, r.End)
			}
			begin, _, ok, err := beginOf(t.o.IDKey, c, true)
			if ok = ok && begin == s.Begin; ok && err == nil {
				ok, err = has(c)
			}
			switch {
			case err == nil && !ok, errors.Is(err, io.ErrUnexpectedEOF):
				return ErrGone
			case err == nil:
				fd = c
			}
			return err
		})
	}
	err = open(func(c *content) (bool, error) {
		sum, err := sumOf(c, r.Start, head, t.scratch)
		return sum == r.Sum, err
	})
	if err == nil || !errors.Is(err, ErrGone) || head == r.Start {
		return fd, head, err
	}
	err = open(func(c *content) (bool, error) {
		if c.arc != nil { // its size is not known, and its documents tell
			return true, nil
		}
		fi, err := c.Stat()
		if err != nil || fi.Size() <= r.Start {
			return false, err
		}
		for _, m := range s.Marks {
			if m.Len > 0 && m.Offset <= fi.Size() {
				return tailMatches(c, m.Offset, m.Len, m.Sum, make([]byte, m.Len))
			}
		}
		return true, nil
	})
	return fd, r.Start, err
}

// needed reports whether a record of a range is to be delivered.
func needed(in *ledger.Intent, rng int) bool {
	for i, c := range in.Cuts {
		if int(c.Range) == rng && in.Decisions[i].Fate == pipeline.Deliver {
			return true
		}
	}
	return false
}

// holds returns nil if the bytes of r in fd are those that were read, and ErrGone if they are others.
func (t *Tailer) holds(fd *content, r *ledger.IntentRange) error {
	if fd.arc != nil {
		fd.arc.keepFrom(r.Start, r.End)
	}
	tail := min(pipeline.TailSize, r.End-r.Start)
	if ok, err := tailMatches(fd, r.End, tail, r.TailSum, t.scratch); err != nil {
		return err
	} else if !ok {
		return ErrGone
	}
	sum, err := sumOf(fd, r.Start, r.End-tail, t.scratch)
	if err == nil && sum != r.Sum {
		err = ErrGone
	}
	return err
}

// openRange sees to it that open has a file of s that has the bytes of r, or none. It looks where the stream's file was
// last, then among the files of its family, and then among all files of its directory and all that the globs name.
func (t *Tailer) openRange(open map[activity.StreamID]*content, s *stream, r *ledger.IntentRange) error {
	if fd := open[s.ID]; fd != nil {
		if t.holds(fd, r) == nil {
			return nil
		}
		fd.Close()
		delete(open, s.ID)
	}
	return t.search(s, func(fd *content) error {
		ok, err := t.mayHave(s, fd, r.End)
		if err == nil && !ok {
			err = ErrGone
		}
		if err == nil {
			err = t.holds(fd, r)
		}
		if err == nil {
			open[s.ID] = fd
		}
		return err
	})
}

// search tries the files that may have the content of s until try takes one, and then keeps it. It returns ErrGone if none
// has what is looked for, and ErrUnreadable if one that may have it cannot be read.
func (t *Tailer) search(s *stream, try func(*content) error) error {
	var unread error
	passed := func(path string, err error) {
		if unread == nil && mayHold(s, path, err) {
			unread = t.unreadable(path, err)
		}
	}
	for _, path := range t.candidates(s) {
		fd, err := t.unpack.openContent(path)
		if err == nil {
			if err = try(fd); err == nil {
				return nil
			}
			fd.Close()
		}
		passed(path, err)
	}
	if dir, err := os.Open(s.Dir); err != nil { // then not all candidates are known
		passed(s.Path, err)
	} else {
		_ = dir.Close()
	}
	if unread != nil {
		return unread
	}
	return ErrGone
}

// unreadable notes why path cannot be read, and makes the error that says so.
func (t *Tailer) unreadable(path string, err error) error {
	t.refuse(path, err)
	return fmt.Errorf("%w: %w", ErrUnreadable, err)
}

// ended reports whether err says that a content is not there, or is another one, as it would say again.
func ended(err error) bool {
	for _, e := range []error{ErrGone, io.EOF, io.ErrUnexpectedEOF, fs.ErrNotExist, syscall.ENOTDIR, errNotRegular, errPacked} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// mayHold reports whether path, which could not be read because of err, may have the content of s: by its name or inode, or
// since the system has run out of something and err says nothing of path. Others in its directory are none of ours.
func mayHold(s *stream, path string, err error) bool {
	if ended(err) {
		return false
	}
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, e) {
			return true
		}
	}
	fi, err := os.Stat(path)
	switch {
	case err == nil && !fi.Mode().IsRegular():
		return false
	case path == s.Path || familyOf(path) == (family{s.Dir, s.Stem}):
		return true
	}
	return err == nil && keyOf(fi) == fileKey{s.Device, s.Inode}
}

// mayHave reports whether it is worth reading a file for what s has before offset end: of a file its size tells, of an
// archive its first line, which costs less than all before that offset.
func (t *Tailer) mayHave(s *stream, fd *content, end int64) (bool, error) {
	if fd.arc == nil {
		fi, err := fd.Stat()
		return err == nil && fi.Size() >= end, err
	}
	begin, _, ok, err := beginOf(t.o.IDKey, fd, true)
	return err == nil && ok && (begin == s.Begin || s.Begin == [16]byte{}), err
}

// candidates returns paths that may lead to the content of s, the likely ones first.
func (t *Tailer) candidates(s *stream) []string {
	paths := []string{s.Path}
	l := lister{}
	var others []string
	for _, e := range l.list(s.Dir) {
		if path := filepath.Join(s.Dir, e.Name()); e.IsDir() {
			continue
		} else if stemOf(e.Name()) == s.Stem {
			paths = append(paths, path)
		} else {
			others = append(others, path)
		}
	}
	paths = append(paths, others...)
	for _, in := range t.inputs {
		for _, g := range in.include {
			l.expand(g, func(path string) {
				if filepath.Dir(path) != s.Dir {
					paths = append(paths, path)
				}
			})
		}
	}
	return paths
}

// ErrGone says that a record can no longer be read.
var ErrGone = errors.New("the file is gone, or what it has now is not what was read")

// ErrUnreadable says that a record may be in a file that cannot be read now.
var ErrUnreadable = errors.New("what is to be read again may be in a file that cannot be read; let the agent read it " +
	"(or move it out of its directory, to count its records as lost)")

// ReadAt reads length bytes of a stream again, from offset on: for a dead letter, which is kept without its bytes. It
// returns ErrGone if no file begins as the stream did and is long enough, and ErrUnreadable if one that may cannot be read.
func (t *Tailer) ReadAt(id activity.StreamID, offset, length int64) (b []byte, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.streams[id]
	if s == nil || length < 0 || length > maxReadAt {
		return nil, ErrGone
	}
	err = t.search(s, func(fd *content) error {
		if b, err = t.readOf(s, fd, offset, length); err == nil {
			fd.Close()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return b, nil
}

// maxReadAt bounds what ReadAt allocates: no record is longer.
const maxReadAt = 64 << 20

func (t *Tailer) readOf(s *stream, fd *content, offset, length int64) ([]byte, error) {
	if ok, err := t.mayHave(s, fd, offset+length); err != nil {
		return nil, err
	} else if !ok {
		return nil, ErrGone
	}
	if begin, _, ok, err := beginOf(t.o.IDKey, fd, true); err != nil {
		return nil, err
	} else if !ok || begin != s.Begin {
		return nil, ErrGone
	}
	b := make([]byte, length)
	_, err := fd.ReadAt(b, offset)
	if errors.Is(err, io.EOF) {
		err = ErrGone // an archive that is shorter
	}
	return b, err
}
