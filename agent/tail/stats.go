package tail

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/truledgr/activity-agent/activity"
)

// A State says what the tailer does with a file.
type State string

// The states of a file.
const (
	Reading State = "reading" // behind
	AtEnd   State = "at_end"  // waiting for more
	Waiting State = "waiting" // for the end of its first line
	Copy    State = "copy"    // of a file that is read
	Rotated State = "rotated" // at its end, and its name is gone
	Failing State = "failing" // cannot be read; tried again
)

// A FileStat describes one file, for metrics. It has no content of it.
type FileStat struct {
	Path   string
	Stream activity.StreamID // zero while Waiting or Failing
	State  State
	Size   int64
	Read   int64         // offset up to where it was handed over
	Acked  int64         // offset up to where the outcome of every record is known
	Lag    int64         // bytes not acked
	Age    time.Duration // how long the file has been ahead of Read, at most; 0 at its end
	Err    string        // of the last attempt; names no content
}

// Damaged counts the archives that end before their end, by why: "truncated", "corrupt", "window" (its zstd window is
// larger than 8 MiB), "dictionary".
func (t *Tailer) Damaged() map[string]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.damaged)
}

// Polling reports whether changes of some files are found by polling only, since the system gives no notifications of
// them. What it silently does not give cannot be known.
func (t *Tailer) Polling() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.notify != nil && (t.notify.failed || t.notify.watcher == nil)
}

// Stats describes every file, by path.
func (t *Tailer) Stats() []FileStat {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.o.Now()
	stats := make([]FileStat, 0, len(t.files)+len(t.refused))
	for _, f := range t.files {
		stats = append(stats, t.stat(f, now))
	}
	for path, why := range t.refused {
		stats = append(stats, FileStat{Path: path, State: Failing, Err: why})
	}
	slices.SortFunc(stats, func(a, b FileStat) int { return cmp.Compare(a.Path, b.Path) })
	return stats
}

func (t *Tailer) stat(f *file, now time.Time) FileStat {
	size := f.size
	if size == unknownSize { // at least
		size = max(f.disk, f.start())
	}
	st := FileStat{Path: f.path, Size: size, Lag: size, State: AtEnd}
	if s := f.stream; s != nil {
		st.Stream, st.Read, st.Acked = s.ID, s.off, s.acked
		if len(s.pending) == 0 {
			st.Acked = s.off
		}
		st.Lag = max(0, size-st.Acked)
	}
	switch {
	case f.err != nil:
		st.State, st.Err = Failing, f.err.Error()
	case f.copyOf != nil:
		st.State, st.Lag = Copy, 0
	case f.queue != nil:
		st.State = Reading
		st.Age = max(0, now.Sub(f.behind))
	case f.stream == nil:
		st.State = Waiting
	case !f.gone.IsZero():
		st.State = Rotated
	}
	return st
}
