// Package file stores activities as NDJSON: one document a line, appended to a file or written to standard output.
//
// A file is exact. One batch is in flight; the ledger notes the size of the file before it (Mark), and a replay cuts the
// file back to there (Rewind). Standard output cannot be cut, so there it is at least once.
//
// # When somebody moves the file
//
// Each batch goes to the file that is at the path when it begins: after a rotation by rename, or a deletion, the file is
// made anew. A file that is copied and truncated in place goes on from its new end. A crash right between a rotation and
// the end of a batch may store that batch twice, once in each file: no position in one file says anything of the other.
// Nobody else should write into the file: a replay cuts what came after the mark, whoever wrote it.
package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

// Options are what the store takes from its surroundings.
type Options struct {
	Logger *zap.Logger // nil for none
}

// chunk is how much is handed to the system at once. Chunks end at line ends, so that whoever follows the file sees
// whole lines.
const chunk = 64 << 10

// A Store appends documents to a file. Its methods are for one goroutine.
type Store struct {
	path string
	log  *zap.Logger
	f    *os.File // nil when it must be opened again
	buf  []byte
	// cut is the size that the file must be brought back to before anything else is written, because a failed batch
	// could not be removed at once; -1 for none.
	cut int64
}

var _ sinks.Rewinder = (*Store)(nil)

// Open opens the file for appending and makes it (mode 0600) and its directory (0700) when missing. It leaves a torn last
// line alone: only a replay knows whether it is one.
func Open(c Config, o Options) (sinks.Rewinder, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	switch c.Path {
	case "":
		return nil, errors.New(`store.file.path is empty: name a file, or "-" for standard output`)
	case "-":
		return openStdout()
	}
	s := &Store{path: c.Path, log: o.Logger, cut: -1, buf: make([]byte, 0, chunk)}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Store) open() error {
	dir := filepath.Dir(s.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the directory of the store: %w", err)
	}
	_, statErr := os.Stat(s.path)
	f, err := os.OpenFile(s.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the store: %w: give the agent the right to write it, or change store.file.path", err)
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		_ = f.Close()
		return fmt.Errorf("open the store: %s is not a regular file: name another, or \"-\" for standard output", s.path)
	}
	if errors.Is(statErr, fs.ErrNotExist) {
		if err := syncDir(dir); err != nil {
			_ = f.Close()
			return fmt.Errorf("make the store durable: %w", err)
		}
	}
	s.f = f
	return nil
}

// syncDir makes the entry of a new file durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer func() { _ = d.Close() }()
	return d.Sync()
}

// InFlight returns 1.
func (s *Store) InFlight() int { return 1 }

// Mark returns the size of the file that is at the path now.
func (s *Store) Mark() int64 {
	size, err := s.ready()
	if err != nil {
		// Write will meet the same error and report it; nothing is written at this mark.
		s.log.Warn("the store's size is unknown", zap.String("path", s.path), zap.Error(err))
		return -1
	}
	return size
}

// Rewind cuts the file back to the mark. A mark that cannot be of this file (negative, beyond its end, or not at a line's
// end) cuts nothing: the file was replaced since, and what it holds is good.
func (s *Store) Rewind(mark int64) error {
	size, err := s.ready()
	if err != nil {
		return err
	}
	if mark < 0 || mark >= size {
		return nil
	}
	ok, err := s.lineEnd(mark)
	if err != nil {
		return fmt.Errorf("read the store: %w", err)
	}
	if !ok {
		s.log.Warn("the store is another file than when the batch began: nothing is cut, the batch may be in both",
			zap.String("path", s.path), zap.Int64("mark", mark))
		return nil
	}
	s.cut = mark
	return s.recut()
}

// lineEnd reports whether position at is between two lines: after a newline, or before the one that Write puts after a
// torn line of somebody else.
func (s *Store) lineEnd(at int64) (bool, error) {
	if at == 0 {
		return true, nil
	}
	var b [2]byte
	n, err := s.f.ReadAt(b[:], at-1)
	if err != nil && !(errors.Is(err, io.EOF) && n > 0) {
		return false, err
	}
	return b[0] == '\n' || (n == 2 && b[1] == '\n'), nil
}

// Write appends the documents and syncs the file. After an error the file is as long as before, and every result is still
// Retry.
func (s *Store) Write(ctx context.Context, b *pipeline.Batch, results []sinks.Result) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	start, err := s.ready()
	if err != nil {
		return err
	}
	if err := s.append(b, results, start); err != nil {
		s.undo(start)
		return fmt.Errorf("write %s: %w", s.path, advise(err))
	}
	if err := s.f.Sync(); err != nil {
		s.undo(start)
		// The system may have dropped the pages: what this descriptor says of later syncs is worth nothing.
		_ = s.f.Close()
		s.f = nil
		return fmt.Errorf("sync %s: %w", s.path, advise(err))
	}
	settle(b, results)
	return nil
}

// append writes the documents in chunks of whole lines.
func (s *Store) append(b *pipeline.Batch, results []sinks.Result, start int64) error {
	s.buf = s.buf[:0]
	if ok, err := s.lineEnd(start); err != nil {
		return err
	} else if !ok {
		s.buf = append(s.buf, '\n')
	}
	buf, err := writeLines(s.f, s.buf, b, results)
	if cap(buf) <= 4*chunk { // a rare huge document does not stay in memory
		s.buf = buf
	} else {
		s.buf = make([]byte, 0, chunk)
	}
	return err
}

// writeLines writes what buf holds and then every document that is due, and returns the buffer for the next time.
func writeLines(w io.Writer, buf []byte, b *pipeline.Batch, results []sinks.Result) ([]byte, error) {
	for i := range b.Records {
		if !due(b, results, i) {
			continue
		}
		doc := b.Doc(i)
		if len(buf) > 0 && len(buf)+len(doc)+1 > chunk {
			if _, err := w.Write(buf); err != nil {
				return buf, err
			}
			buf = buf[:0]
		}
		buf = append(append(buf, doc...), '\n')
	}
	_, err := w.Write(buf)
	return buf, err
}

func due(b *pipeline.Batch, results []sinks.Result, i int) bool {
	return b.Records[i].Fate == pipeline.Deliver && results[i].Verdict == sinks.Retry
}

func settle(b *pipeline.Batch, results []sinks.Result) {
	for i := range b.Records {
		if due(b, results, i) {
			results[i] = sinks.Result{Verdict: sinks.Stored}
		}
	}
}

// ready opens the file again when it is not the one at the path any more, finishes a cut that failed before, and
// returns the size.
func (s *Store) ready() (int64, error) {
	if s.f != nil && !s.current() {
		_ = s.f.Close()
		s.f, s.cut = nil, -1 // what was to be cut went away with the old file
		s.log.Info("the store was moved or deleted: it is made anew", zap.String("path", s.path))
	}
	if s.f == nil {
		if err := s.open(); err != nil {
			return 0, err
		}
	}
	if err := s.recut(); err != nil {
		return 0, err
	}
	st, err := s.f.Stat()
	if err != nil {
		return 0, fmt.Errorf("stat the store: %w", err)
	}
	return st.Size(), nil
}

// current reports whether the open file is the one at the path.
func (s *Store) current() bool {
	at, err := os.Stat(s.path)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	open, err := s.f.Stat()
	return err == nil && os.SameFile(at, open)
}

// undo removes a batch that failed half-way, now or before the next one.
func (s *Store) undo(size int64) {
	s.cut = size
	if err := s.recut(); err != nil {
		s.log.Warn("a failed batch is still in the store; it is cut before the next one", zap.Error(err))
	}
}

func (s *Store) recut() error {
	if s.cut < 0 {
		return nil
	}
	if err := s.f.Truncate(s.cut); err != nil {
		return fmt.Errorf("cut %s back to %d bytes: %w", s.path, s.cut, err)
	}
	if err := s.f.Sync(); err != nil {
		return fmt.Errorf("sync %s after the cut: %w", s.path, err)
	}
	s.cut = -1
	return nil
}

// advise adds what to do to the errors that have a remedy.
func advise(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: free some space; the agent waits and goes on", err)
	case errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%w: whoever read the output has gone", err)
	}
	return err
}

// Close closes the file.
func (s *Store) Close() error {
	if s.f == nil {
		return nil
	}
	err := s.f.Close()
	s.f = nil
	return err
}
