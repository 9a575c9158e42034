package tail

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"go.uber.org/zap"
)

// Removed is what files[].delete has taken away.
type Removed struct{ Files, Bytes int64 }

// Removed returns how much was deleted so far.
func (t *Tailer) Removed() Removed {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.removed
}

// removeDone deletes rotated files that are done with, where the configuration says so.
func (t *Tailer) removeDone(now time.Time) {
	last := map[family]time.Time{} // when something was written to it
	for _, f := range t.files {
		if f.in.Delete == "after_ack" && f.copyOf == nil && f.mtime.After(last[f.fam]) {
			last[f.fam] = f.mtime
		}
	}
	for _, f := range t.files {
		if !t.done(f, now) || !last[f.fam].After(f.mtime) {
			f.doneBefore = 0
			continue
		}
		if f.doneBefore == 0 {
			f.doneBefore = t.o.Registry.NextBatch()
		}
		if !t.o.Registry.DurableBefore(f.doneBefore) {
			continue
		}
		if err := t.remove(f); err != nil {
			f.keep = true
			t.o.Logger.Warn("cannot delete a rotated file that is done with; it is kept (files[].delete: after_ack needs a "+
				"directory that the agent may write to)", zap.String("path", f.path), zap.Error(err))
		}
	}
}

// done reports whether f was rotated, is at its end, and has the outcome of each of its records known: whether that is
// durable is another question. A file that something may still be written to is never done: it has not changed for long,
// and its family has one that was written to later, which the caller knows. A damaged archive is kept for those who know how to repair it.
func (t *Tailer) done(f *file, now time.Time) bool {
	s := f.stream
	return f.in.Delete == "after_ack" && !f.keep && s != nil && f.queue == nil && f.gone.IsZero() && f.err == nil &&
		rotated(f.path) && s.off > 0 && s.off == f.size && len(s.pending) == 0 && (!f.packed || s.Size == f.size) &&
		now.Sub(f.changed) >= t.o.DeleteAfter
}

// errChanged says that a file is no longer what it was when it was read.
var errChanged = errors.New("it has changed")

// remove deletes f. Its name may be given to another file at any moment, for that is what a rotation does. So the name is
// changed first, and what bears the new one is deleted only if it is f as it was read. The descriptor stays open until the
// file is let go of as any other without a name, so that even what is written to it now is read.
func (t *Tailer) remove(f *file) error {
	if err := t.openFile(f); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it is gone, or has been renamed: the next scan sees
		}
		return err
	}
	if beingWritten(f.fd.fd) {
		f.changed = t.o.Now() // later, perhaps
		t.spareFile(f)
		return nil
	}
	aside := f.path + ".old"
	if pathExists(aside) {
		return fmt.Errorf("%s is in the way", aside)
	}
	if err := os.Rename(f.path, aside); err != nil {
		return err
	}
	fi, err := os.Lstat(aside)
	if err == nil && (keyOf(fi) != f.key || fi.Size() != f.disk || !fi.ModTime().Equal(f.mtime)) {
		err = errChanged
	}
	if err == nil {
		err = os.Remove(aside)
	}
	if err != nil {
		if back := os.Link(aside, f.path); back != nil { // unlike a rename it takes no name away
			return fmt.Errorf("%w; it is called %s now", err, aside)
		}
		return errors.Join(err, os.Remove(aside))
	}
	t.removed.Files++
	t.removed.Bytes += f.disk
	t.o.Logger.Info("deleted a rotated file: all of its records have an outcome", zap.String("path", f.path), zap.Int64("bytes", f.disk))
	return nil
}
