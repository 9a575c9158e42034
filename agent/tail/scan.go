package tail

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"
)

// A finding is a file that a scan came by.
type finding struct {
	key   fileKey
	path  string
	in    *input
	size  int64
	mtime time.Time
	link  bool // path is a symbolic link
	// sibling says that the globs do not name it, but it is of the family of one that they name: a rotated file.
	sibling bool
}

// scan looks for files: those that the globs name, and the rotated ones beside them. Files that are known are told where
// they are now; new ones are matched with the streams that have no file, oldest first.
func (t *Tailer) scan(now time.Time) {
	l := lister{}
	found := t.expand(l)
	t.findSiblings(l, found)
	for key, f := range t.files {
		if fd, ok := found[key]; ok {
			t.seenAt(f, fd)
			delete(found, key)
		} else {
			t.missing(f, now)
		}
	}
	fresh := make([]*finding, 0, len(found))
	for _, fd := range found {
		fresh = append(fresh, fd)
	}
	slices.SortFunc(fresh, func(a, b *finding) int {
		return cmp.Or(a.mtime.Compare(b.mtime), cmp.Compare(generation(b.path), generation(a.path)), cmp.Compare(a.path, b.path))
	})
	t.welcome(fresh)
	t.retire(now)
	t.removeDone(now)
	t.forget(now)
	t.lookAtVolumes(now)
	t.scanned, t.scannedAt = true, now
	dirs := make(map[string]bool, len(l))
	for dir := range l {
		if pathExists(dir) {
			dirs[dir] = true
		}
	}
	t.notify.watch(dirs)
}

// expand finds the files that the globs name, each once however many names and globs lead to it.
func (t *Tailer) expand(l lister) map[fileKey]*finding {
	found := map[fileKey]*finding{}
	seen := map[string]bool{}
	t.complaint, t.refused = t.refused, map[string]string{}
	for _, in := range t.inputs {
		for _, g := range in.include {
			l.expand(g, func(path string) {
				if seen[path] || in.excludes(path) {
					return
				}
				seen[path] = true
				f, err := stat(path)
				if err != nil {
					t.refuse(path, err)
					return
				}
				f.in = in
				if old, ok := found[f.key]; !ok || f.before(old) {
					found[f.key] = f
				}
			})
		}
	}
	return found
}

var errNotRegular = errors.New("is not a regular file")

// stat describes the file that path leads to.
func stat(path string) (*finding, error) {
	fi, err := os.Lstat(path)
	link := err == nil && fi.Mode()&fs.ModeSymlink != 0
	if link {
		fi, err = os.Stat(path)
	}
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, errNotRegular
	}
	return &finding{key: keyOf(fi), path: path, size: fi.Size(), mtime: fi.ModTime(), link: link}, nil
}

// before says whose name counts, of two that lead to one file: a name of its own, then the one without rotation
// suffixes.
func (f *finding) before(g *finding) bool {
	if f.link != g.link {
		return g.link
	}
	if a, b := rotated(f.path), rotated(g.path); a != b {
		return b
	}
	return f.path < g.path
}

// refuse notes that a file cannot be read, and says so once.
func (t *Tailer) refuse(path string, err error) {
	if errors.Is(err, fs.ErrNotExist) {
		return // gone between the listing and now, or a link to a file that is not there yet
	}
	why := err.Error()
	t.refused[path] = why
	if t.complaint[path] == why {
		return
	}
	fields := []zap.Field{zap.String("path", path), zap.Error(err)}
	if errors.Is(err, fs.ErrPermission) {
		t.o.Logger.Error(fmt.Sprintf("cannot read a log file: the agent runs as uid %d, gid %d; "+
			"give it a group that may read the file (in Kubernetes: securityContext.fsGroup of the pod)",
			os.Getuid(), os.Getgid()), fields...)
		return
	}
	t.o.Logger.Warn("passing over a log file; it is tried again", fields...)
}

// findSiblings adds the rotated files of known families that the globs do not name: what a program wrote into app.log is
// to be read also if it is app.log.1 by now and only *.log is included.
func (t *Tailer) findSiblings(l lister, found map[fileKey]*finding) {
	families := map[family]*input{}
	for _, f := range t.files {
		families[f.fam] = f.in
	}
	for key, f := range found {
		if t.files[key] == nil {
			families[family{filepath.Dir(f.path), t.stem(filepath.Base(f.path))}] = f.in
		}
	}
	for _, s := range t.streams {
		fam := family{s.Dir, s.Stem}
		if families[fam] == nil && s.file == nil {
			families[fam] = t.inputOf(filepath.Join(s.Dir, s.Stem))
		}
	}
	named := map[string]bool{}
	dirs := map[string]bool{}
	for _, f := range found {
		named[f.path] = true
	}
	for fam, in := range families {
		if in != nil && in.takes(filepath.Join(fam.dir, fam.stem)) {
			dirs[fam.dir] = true
		}
	}
	for dir := range dirs {
		for _, e := range l.list(dir) {
			path := filepath.Join(dir, e.Name())
			if named[path] || !e.Type().IsRegular() {
				continue
			}
			stem := t.stem(e.Name())
			in := families[family{dir, stem}]
			if in == nil || in.excludes(path) || !in.takes(filepath.Join(dir, stem)) {
				continue
			}
			f, err := stat(path)
			if err != nil || found[f.key] != nil || t.ignored(f) {
				continue
			}
			f.in, f.sibling = in, true
			found[f.key] = f
		}
	}
}

// stem is stemOf with a memory.
func (t *Tailer) stem(base string) string {
	stem, ok := t.stems[base]
	if !ok {
		if len(t.stems) >= maxStems {
			clear(t.stems)
		}
		stem = stemOf(base)
		t.stems[base] = stem
	}
	return stem
}

const maxStems = 16384

// ignored reports whether a sibling was looked at before and is nothing of ours.
func (t *Tailer) ignored(f *finding) bool {
	size, ok := t.strangers[f.key]
	return ok && size == f.size
}

func (t *Tailer) inputOf(path string) *input {
	for _, in := range t.inputs {
		if in.takes(path) {
			return in
		}
	}
	return nil
}

// seenAt updates a known file with where a scan found it.
func (t *Tailer) seenAt(f *file, fd *finding) {
	f.gone = time.Time{}
	if f.path != fd.path && (!leadsTo(f.path, f.key) || fd.before(&finding{path: f.path})) {
		t.moved(f, fd.path)
	}
	t.sized(f, fd.size, fd.mtime)
	t.retry(f, t.scannedAt)
}

// retry reads a file again that could not be read, and keeps the time it was last seen true to the hour.
func (t *Tailer) retry(f *file, now time.Time) {
	if f.err != nil || f.held && f.stream == nil || f.waits() {
		t.enqueue(f)
	}
	s := f.stream
	if s == nil && f.copyOf != nil && f.copyOf.file == nil {
		s = f.copyOf // which is all that says that f has been read
	}
	if s != nil && now.Sub(s.SeenAt) > t.o.ForgetAfter/24 {
		t.note(f, t.put(s))
	}
}

// missing handles a known file that a scan did not come by: its names are gone, or they are none that the globs name.
func (t *Tailer) missing(f *file, now time.Time) {
	if leadsTo(f.path, f.key) {
		t.check(f)
		t.retry(f, now)
		return
	}
	if f.gone.IsZero() {
		f.gone = now
		if f.stream != nil {
			t.note(f, t.put(f.stream))
		}
	}
	if f.fd == nil { // it was closed to spare descriptors
		t.lose(f, now)
		return
	}
	t.check(f)
}

// leadsTo reports whether path is a name of the file.
func leadsTo(path string, key fileKey) bool {
	fi, err := os.Stat(path)
	return err == nil && keyOf(fi) == key
}

// welcome takes up files that are new, in the order of their last writes. What continues a known stream is found first,
// by device and inode and then by content, so that a copy of its beginning is not taken for something new.
func (t *Tailer) welcome(fresh []*finding) {
	if len(fresh) == 0 {
		return
	}
	files := make([]*file, 0, len(fresh))
	byInode := map[fileKey][]*stream{}
	for _, s := range t.streams {
		if s.file == nil && s.Inode != 0 {
			key := fileKey{s.Device, s.Inode}
			byInode[key] = append(byInode[key], s)
		}
	}
	for _, fd := range fresh {
		t.seq++
		f := &file{
			key: fd.key, in: fd.in, path: fd.path, fam: familyOf(fd.path), seq: t.seq, sibling: fd.sibling,
			disk: fd.size, size: fd.size, mtime: fd.mtime, changed: t.o.Now(), atStart: t.first && !t.scanned, fresh: true,
		}
		if err := t.openFile(f); err != nil {
			t.refuse(f.path, err)
			continue
		}
		files = append(files, f)
		if f.packed {
			t.note(f, t.adoptArchive(f, byInode[f.key]))
		} else {
			t.note(f, t.adopt(f, byInode[f.key]))
		}
		if f.stream == nil && !f.packed {
			_, _, _, err := t.firstLine(f, false) // while it is open
			t.note(f, err)
		}
		t.spareFile(f)
	}
	for _, f := range files {
		if f.stream == nil && !f.packed && !t.unlike(f) && t.openFile(f) == nil {
			t.note(f, t.rejoin(f))
			t.spareFile(f)
		}
	}
	for _, f := range files {
		if f.stream == nil && !f.packed && !t.meet(f) {
			t.closeFile(f)
			continue
		}
		t.files[f.key] = f
		f.fresh, f.first = false, nil
		t.spareFile(f)
		if f.waits() || f.stream != nil && f.stream.off < f.size {
			t.enqueue(f)
		}
	}
}

// unlike reports whether a new file is known to begin as no stream does; then nothing more need be read to know it.
func (t *Tailer) unlike(f *file) bool {
	return f.first != nil && f.first.ok && len(t.begins[f.first.begin]) == 0
}

// meet finds out what a new file is. It is false for a sibling that is nothing of ours.
func (t *Tailer) meet(f *file) bool {
	if !t.unlike(f) {
		if err := t.openFile(f); err != nil {
			t.refuse(f.path, err)
			return false
		}
	}
	t.note(f, t.identify(f, false))
	if f.sibling && f.stream == nil && f.copyOf == nil {
		if !f.held {
			t.strangers[f.key] = f.size
		}
		return false
	}
	return true
}

// retire ends files that nothing more is expected of.
func (t *Tailer) retire(now time.Time) {
	for _, f := range t.files {
		if f.queue != nil || now.Sub(f.changed) < t.o.QuietAfter {
			continue
		}
		gone := !f.gone.IsZero() && now.Sub(f.gone) >= t.o.QuietAfter
		if (gone || t.superseded(f) || f.packed) && !f.ended && f.copyOf == nil && f.unread() && (!gone || f.fd != nil) {
			f.final = true // what is left is read once more, as it is
			t.enqueue(f)
			continue
		}
		if waits := f.copyOf != nil && !f.packed && f.copyOf.off < f.size; gone && !waits {
			t.lose(f, now) // but for a copy that may be needed until its original has been read as far
		}
	}
}

// lose ends f, which has no name and no descriptor that it could be read by, or nothing more to be read. A copy of it may
// go on with its stream.
func (t *Tailer) lose(f *file, now time.Time) {
	t.dequeue(f)
	t.closeFile(f)
	delete(t.files, f.key)
	if s := f.stream; s != nil {
		s.file, s.lostAt = nil, now
		t.continueFromCopy(s)
	}
}

// superseded reports whether f has been rotated: its name says so, and its family has a file that is written to later.
func (t *Tailer) superseded(f *file) bool {
	if !f.unread() || !rotated(f.path) {
		return false
	}
	for _, g := range t.files {
		if g != f && g.fam == f.fam && g.mtime.After(f.mtime) {
			return true
		}
	}
	return false
}

// forget removes streams whose file has been gone for long.
func (t *Tailer) forget(now time.Time) {
	for id, s := range t.streams {
		if s.file != nil || len(s.pending) > 0 || now.Sub(s.SeenAt) < t.o.ForgetAfter || now.Sub(s.lostAt) < t.o.ForgetAfter/24 {
			continue // the second: its volume may be late
		}
		if err := t.o.Registry.ForgetStream(id); err != nil {
			t.o.Logger.Warn("cannot forget a stream whose file is gone; trying again later", zap.Error(err))
			return
		}
		t.unknow(s)
	}
}
