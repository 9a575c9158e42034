package tail

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/truledgr/activity-agent/pipeline"
)

// ErrDraining says that the tailer is being told to end.
var ErrDraining = errors.New("the agent is stopping")

// prepare makes the entries of the configuration ready for use. It returns them, and the size of a buffer that holds a
// batch and the longest line.
func prepare(configs []Config, batch int) (inputs []*input, size int, err error) {
	size = batch
	for i, c := range configs {
		if errs := c.Validate(); len(errs) > 0 {
			return nil, 0, fmt.Errorf("files[%d]: %w", i, errors.Join(errs...))
		}
		in, err := newInput(c)
		if err != nil {
			return nil, 0, fmt.Errorf("files[%d]: %w", i, err)
		}
		inputs = append(inputs, in)
		size = max(size, c.MaxLineBytes+lineSlack)
	}
	return inputs, size, nil
}

// Reconfigure takes other files to read, or other ways to read them, while Run is reading or before it. Files that both
// configurations name are read on from where they are: their descriptors stay open, so that what is deleted meanwhile is
// not lost. Files that are no longer named are let go of at once; the registry keeps how far they were read. After an
// error nothing has changed.
func (t *Tailer) Reconfigure(configs []Config) error {
	inputs, size, err := prepare(configs, t.o.BatchBytes)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining {
		return ErrDraining
	}
	t.inputs = inputs
	t.resize(size)
	for key, f := range t.files {
		in := t.inputOf(f.path)
		if in == nil {
			if in = t.inputOf(filepath.Join(f.fam.dir, f.fam.stem)); in != nil && in.excludes(f.path) {
				in = nil
			}
		}
		if in == nil {
			t.dequeue(f)
			t.closeFile(f)
			delete(t.files, key)
			if f.stream != nil {
				f.stream.file, f.stream.lostAt = nil, t.o.Now()
			}
			continue
		}
		f.in = in
		if f.stream != nil {
			f.stream.src = in.source(f.stream.ID, f.path)
		}
	}
	for _, s := range t.streams {
		if s.file != nil {
			continue
		}
		if in := t.inputOf(filepath.Join(s.Dir, s.Stem)); in != nil {
			s.src = in.source(s.ID, s.Path)
		}
	}
	clear(t.strangers)
	t.scanAt, t.pollAt = t.o.Now(), t.o.Now()
	select {
	case t.changed <- struct{}{}:
	default:
	}
	return nil
}

// resize makes the buffers of batches hold lines of another length: the one being filled now, the others when they are
// taken from the pool.
func (t *Tailer) resize(size int) {
	t.size = size
	if t.filled() {
		t.handOver() // t.next is free: a batch is filled only while it is
	}
	if t.cur != nil {
		t.fit(t.cur)
	}
}

// fit makes an empty batch's buffer large enough for any line. The caller holds mu.
func (t *Tailer) fit(r *pipeline.Raw) {
	if cap(r.Buf) < t.size {
		r.Buf = slices.Grow(r.Buf[:0], t.size)
	}
}
