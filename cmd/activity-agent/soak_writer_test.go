package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/truledgr/activity-agent/agent/ledger"
)

// A soakWriter is an application that logs: lines with numbers of its own, written in parts and in bursts, into a file
// that is rotated in every way that leaves a reader a chance.
type soakWriter struct {
	s     *soak
	r     *rand.Rand
	path  string
	first int // its numbers are first, first+soakWriters, first+2·soakWriters, …
	dated bool

	f       *os.File
	off     int64
	file    int     // of the one being written: an index into soak.files
	next    int     // how many lines it has written, in all rounds
	places  []place // of the lines of this round
	from    int     // next at the beginning of the round
	rotated int
	numbers []string // rotated files with numbers for names, the youngest first
	pack    []string // rotated files that will be compressed
}

// A place is where a line was written.
type place struct {
	file int
	off  int64
	may  bool // written between the copying and the truncation of a file: it may be missing
}

// write logs until ctx is done. The last line is whole.
func (w *soakWriter) write(ctx context.Context) error {
	if err := w.open(); err != nil {
		return err
	}
	for ctx.Err() == nil {
		before := w.next
		if err := w.step(); err != nil {
			return err
		}
		pause := time.Duration(w.next-before) * time.Second / soakRate
		time.Sleep(pause/2 + time.Duration(w.r.Int64N(int64(pause+time.Millisecond))))
	}
	return w.f.Close()
}

func (w *soakWriter) step() error {
	switch n := w.r.IntN(100); {
	case n < 60:
		return w.burst(1 + w.r.IntN(60))
	case n < 75:
		for range 1 + w.r.IntN(20) {
			if err := w.burst(1); err != nil {
				return err
			}
		}
		return nil
	case n < 91:
		return w.halves()
	case n < 92:
		return w.compress()
	default:
		return w.rotate()
	}
}

// line makes the next line and notes where it will be.
func (w *soakWriter) line(may bool) []byte {
	line := append(logLine(w.r, w.first+w.next*soakWriters, w.dated), '\n')
	w.next++
	w.places = append(w.places, place{w.file, w.off, may})
	w.off += int64(len(line))
	return line
}

// burst writes n lines at once.
func (w *soakWriter) burst(n int) error { return w.lines(n, false) }

func (w *soakWriter) lines(n int, may bool) error {
	var text []byte
	for range n {
		text = append(text, w.line(may)...)
	}
	_, err := w.f.Write(text)
	return err
}

// halves writes one line in two parts, now and then all but its newline first.
func (w *soakWriter) halves() error {
	line := w.line(false)
	cut := w.r.IntN(len(line))
	if w.r.IntN(4) == 0 {
		cut = len(line) - 1
	}
	if _, err := w.f.Write(line[:cut]); err != nil {
		return err
	}
	time.Sleep(time.Duration(w.r.IntN(60)) * time.Millisecond)
	_, err := w.f.Write(line[cut:])
	return err
}

// open begins a new file, or goes on with the one that is there.
func (w *soakWriter) open() (err error) {
	if w.f, err = os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err != nil {
		return err
	}
	info, err := w.f.Stat()
	if err != nil {
		return err
	}
	w.begin(info.Size())
	return nil
}

// begin notes that what is written from now on is in another file, or in another content of this one.
func (w *soakWriter) begin(at int64) {
	w.file, w.off = w.s.newFile(w.path), at
}

func (w *soakWriter) rotate() error {
	if w.off == 0 {
		return nil
	}
	switch w.r.IntN(10) {
	case 0, 1, 2:
		w.s.count("rotations by renaming")
		return w.rename(0)
	case 3, 4, 5:
		w.s.count("rotations by renaming, written on")
		return w.rename(1 + w.r.IntN(40))
	case 6, 7:
		w.s.count("rotations by copying and truncating")
		return w.copyTruncate(0)
	case 8:
		w.s.count("rotations by copying and truncating, written between")
		return w.copyTruncate(1 + w.r.IntN(5))
	default:
		w.s.count("rotations by counting up")
		return w.countUp()
	}
}

// aside is a new name for a file that was written.
func (w *soakWriter) aside() string {
	w.rotated++
	return fmt.Sprintf("%s-%d", w.path, 1_700_000_000+w.rotated)
}

// rename moves the file aside, writes on into it for some lines, and begins another.
func (w *soakWriter) rename(on int) error {
	to := w.aside()
	if err := os.Rename(w.path, to); err != nil {
		return err
	}
	if w.r.IntN(2) == 0 {
		w.pack = append(w.pack, to)
	}
	for ; on > 0; on-- {
		if err := w.burst(1); err != nil {
			return err
		}
		if w.r.IntN(8) == 0 {
			time.Sleep(time.Duration(w.r.IntN(20)) * time.Millisecond)
		}
	}
	return w.reopen()
}

func (w *soakWriter) reopen() error {
	if err := w.f.Close(); err != nil {
		return err
	}
	time.Sleep(time.Duration(w.r.IntN(30)) * time.Millisecond)
	return w.open()
}

// compress does what is left to be compressed, as gzip does: an archive beside the file, with its time, and then the file
// goes, whether or not anybody has read it.
func (w *soakWriter) compress() error {
	for _, path := range w.pack {
		w.s.count("rotated files compressed")
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		_, _ = z.Write(b)
		if err := z.Close(); err != nil {
			return err
		}
		f, err := os.Create(path + ".gz")
		if err != nil {
			return err
		}
		for half := packed.Len() / 2; packed.Len() > 0; half = packed.Len() {
			if _, err := f.Write(packed.Next(max(half, 1))); err != nil {
				return err
			}
			time.Sleep(time.Duration(w.r.IntN(20)) * time.Millisecond)
		}
		if err := errors.Join(f.Close(), os.Chtimes(path+".gz", info.ModTime(), info.ModTime()), os.Remove(path)); err != nil {
			return err
		}
	}
	w.pack = nil
	return nil
}

// countUp renames app.log.2 to app.log.3, app.log.1 to app.log.2 and app.log to app.log.1.
func (w *soakWriter) countUp() error {
	const most = 5
	if len(w.numbers) == most {
		if err := os.Rename(w.numbers[most-1], w.aside()); err != nil {
			return err
		}
		w.numbers = w.numbers[:most-1]
	}
	w.numbers = append(w.numbers, fmt.Sprintf("%s.%d", w.path, len(w.numbers)+1))
	for i := len(w.numbers) - 1; i > 0; i-- {
		if err := os.Rename(w.numbers[i-1], w.numbers[i]); err != nil {
			return err
		}
	}
	if err := os.Rename(w.path, w.numbers[0]); err != nil {
		return err
	}
	return w.reopen()
}

// copyTruncate copies the file, writes some lines that are not in the copy, and truncates it. A log of less than 1 KiB may be
// a banner, and is read again rather than not at all (docs/guarantees.md).
func (w *soakWriter) copyTruncate(between int) error {
	for w.off < ledger.Banner {
		if err := w.burst(5); err != nil {
			return err
		}
	}
	if err := w.copyTo(w.aside()); err != nil {
		return err
	}
	if between > 0 {
		if err := w.lines(between, true); err != nil {
			return err
		}
		time.Sleep(time.Duration(w.r.IntN(40)) * time.Millisecond)
	}
	if err := w.f.Truncate(0); err != nil {
		return err
	}
	w.begin(0)
	return nil
}

// copyTo copies the file piece by piece, so that a reader sees the copy grow.
func (w *soakWriter) copyTo(path string) error {
	from, err := os.Open(w.path)
	if err != nil {
		return err
	}
	defer func() { _ = from.Close() }()
	to, err := os.Create(path)
	if err != nil {
		return err
	}
	for {
		if _, err = io.CopyN(to, from, 1+w.r.Int64N(1<<20)); err == io.EOF {
			return to.Close()
		} else if err != nil {
			_ = to.Close()
			return err
		}
		time.Sleep(time.Duration(w.r.IntN(5)) * time.Millisecond)
	}
}

// forget removes the files of a round that is over and verified, whose lines nobody needs any more.
func (w *soakWriter) forget() error {
	paths, err := filepath.Glob(w.path + "?*")
	if err != nil {
		return err
	}
	if w.r.IntN(2) == 0 {
		paths = append(paths, w.path)
	}
	for _, path := range paths {
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	w.places, w.numbers, w.pack, w.from = w.places[:0], nil, nil, w.next
	return nil
}
