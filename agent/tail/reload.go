package tail

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/pipeline"
)

// Reload reads again what an intent says was read, for its replay: the same ranges, pieces and cuts, and the intent's
// decisions. A record whose bytes cannot be found, in no file that its range's checksums fit, is decided to be lost with
// the reason pipeline.ReasonGone; its pieces then have no bytes in Buf. Records that were not to be delivered need no bytes and
// keep their fate.
//
// Call it before Run. Acked counts for its ranges as for any others.
func (t *Tailer) Reload(in *ledger.Intent) (*pipeline.Raw, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(in.Decisions) != len(in.Cuts) {
		return nil, fmt.Errorf("intent %d has %d records and %d decisions", in.Number, len(in.Cuts), len(in.Decisions))
	}
	raw := t.spareRaw(in)
	open := map[activity.StreamID]*content{}
	defer func() {
		for _, fd := range open {
			fd.Close()
		}
	}()
	lost := make([]bool, len(in.Ranges))
	for i := range in.Ranges {
		r := &in.Ranges[i]
		src := &pipeline.Stream{ID: r.Stream}
		if s := t.streams[r.Stream]; s != nil {
			src = s.src
			if fd := open[r.Stream]; fd == nil || !t.holds(fd, r) {
				if fd != nil {
					fd.Close()
				}
				open[r.Stream] = t.findRange(s, r)
			}
		}
		if open[r.Stream] == nil {
			delete(open, r.Stream)
			lost[i] = true
		}
		raw.Ranges = append(raw.Ranges, pipeline.Range{
			Stream: src, Start: r.Start, End: r.End, Sum: r.Sum, TailSum: r.TailSum, Lines: r.Lines,
		})
		if err := reread(raw, in, i, open[r.Stream]); err != nil {
			lost[i] = true
		}
	}
	for i, c := range in.Cuts {
		if d := &raw.Replay[i]; lost[c.Range] && d.Fate == pipeline.Deliver {
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
	if fd == nil {
		return nil
	}
	for _, c := range in.Cuts {
		if int(c.Range) != rng {
			continue
		}
		for i := c.First; i < c.First+c.Pieces; i++ {
			p := &raw.Pieces[i]
			at := len(raw.Buf)
			b := raw.Buf[at : at+int(p.Len)]
			if _, err := fd.ReadAt(b, p.Offset); err != nil {
				return err
			}
			p.At, raw.Buf = int32(at), raw.Buf[:at+len(b)]
		}
	}
	return nil
}

// holds reports whether the bytes of r in fd are those that were read.
func (t *Tailer) holds(fd *content, r *ledger.IntentRange) bool {
	if fd.arc != nil {
		fd.arc.keepFrom(r.Start, r.End)
	}
	tail := min(pipeline.TailSize, r.End-r.Start)
	if ok, err := tailMatches(fd, r.End, tail, r.TailSum, t.scratch); err != nil || !ok {
		return false
	}
	sum, err := sumOf(fd, r.Start, r.End-tail, t.scratch)
	return err == nil && sum == r.Sum
}

// findRange opens the file that has the bytes of r. It looks where the stream's file was last, then among the files of
// its family, and then among all files of its directory and all that the globs name.
func (t *Tailer) findRange(s *stream, r *ledger.IntentRange) *content {
	for _, path := range t.candidates(s) {
		fd, err := t.unpack.openContent(path)
		if err != nil {
			continue
		}
		if t.mayHave(s, fd, r.End) && t.holds(fd, r) {
			return fd
		}
		fd.Close()
	}
	return nil
}

// mayHave reports whether it is worth reading a file for what s has before offset end: of a file its size tells, of an
// archive its first line, which costs less than all before that offset.
func (t *Tailer) mayHave(s *stream, fd *content, end int64) bool {
	if fd.arc == nil {
		fi, err := fd.Stat()
		return err == nil && fi.Size() >= end
	}
	begin, _, ok, err := beginOf(t.o.IDKey, fd, true)
	return err == nil && ok && (begin == s.Begin || s.Begin == [16]byte{})
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

// ReadAt reads length bytes of a stream again, from offset on: for a dead letter, which is kept without its bytes. It
// returns ErrGone if no file begins as the stream did and is long enough.
func (t *Tailer) ReadAt(id activity.StreamID, offset, length int64) ([]byte, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.streams[id]
	if s == nil || length < 0 || length > maxReadAt {
		return nil, ErrGone
	}
	for _, path := range t.candidates(s) {
		fd, err := t.unpack.openContent(path)
		if err != nil {
			continue
		}
		b, err := t.readOf(s, fd, offset, length)
		fd.Close()
		if err == nil {
			return b, nil
		}
	}
	return nil, ErrGone
}

// maxReadAt bounds what ReadAt allocates: no record is longer.
const maxReadAt = 64 << 20

func (t *Tailer) readOf(s *stream, fd *content, offset, length int64) ([]byte, error) {
	if !t.mayHave(s, fd, offset+length) {
		return nil, ErrGone
	}
	begin, _, ok, err := beginOf(t.o.IDKey, fd, true)
	if err != nil || !ok || begin != s.Begin {
		return nil, ErrGone
	}
	b := make([]byte, length)
	if _, err = fd.ReadAt(b, offset); errors.Is(err, io.EOF) {
		err = ErrGone // an archive that is shorter
	}
	return b, err
}
