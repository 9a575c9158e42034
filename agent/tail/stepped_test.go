package tail

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap"
)

// A stepped Tailer does what is due when it is told to, by a clock of the test's own.
type stepped struct {
	*Tailer
	t       testing.TB
	dir     string
	o       Options
	reg     *memory
	now     time.Time
	stalled bool // nothing that it hands over is taken
	got     []string
}

func newStepped(t testing.TB, include string) *stepped {
	w := &stepped{t: t, dir: t.TempDir(), reg: newMemory(), now: time.Now().Add(-24 * time.Hour).Truncate(time.Second)}
	w.o = including(w.dir, include)
	w.o.BatchBytes, w.o.NoNotify, w.o.Now = 2<<10, true, func() time.Time { return w.now }
	w.o.Files[0].MaxLineBytes = 1 << 10
	w.run()
	t.Cleanup(w.stop)
	return w
}

func (w *stepped) run() {
	w.Tailer = reloader(w.t, w.dir, w.reg, w.o)
	w.notify = newNotifier(zap.NewNop(), true)
}

func (w *stepped) stop() {
	w.closeFiles()
	w.notify.stop()
}

// write appends lines to a file at the time of the clock.
func (w *stepped) write(name string, lines []string) {
	w.t.Helper()
	write(w.t, w.path(name), text(lines))
	must(w.t, os.Chtimes(w.path(name), w.now, w.now))
}

func (w *stepped) path(name string) string { return filepath.Join(w.dir, name) }

// passes lets some time pass, and does what is due after each second of it.
func (w *stepped) passes(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(time.Second) {
		w.mu.Lock()
		w.step()
		w.mu.Unlock()
		for !w.stalled && (w.next != nil || w.filled() || len(w.ring) > 0) {
			if raw := w.next; raw != nil {
				w.next = nil
				w.reg.commit(w.t, raw)
				w.got = append(w.got, recordsOf(raw)...)
				ranges := slices.Clone(raw.Ranges)
				w.Release(raw)
				w.Acked(ranges)
			}
			w.now = w.now.Add(w.Tailer.o.Linger)
			w.mu.Lock()
			w.step()
			w.mu.Unlock()
		}
	}
}

func (w *stepped) wants(want ...string) {
	w.t.Helper()
	got := slices.Sorted(slices.Values(w.got))
	if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
		w.t.Fatalf("got  %s\nwant %s", brief(got), brief(want))
	}
}

// TestTheLongestCopyIsRead: of several that were made of a log before it was truncated, and before it was read.
func TestTheLongestCopyIsRead(t *testing.T) {
	t.Parallel()
	for _, longest := range []string{"app.log.1", "app.log.4", "app.log.8"} {
		t.Run(longest, func(t *testing.T) {
			t.Parallel()
			w := newStepped(t, "app.log*")
			w.stalled = true
			lines := numbered("a", 400)
			w.write("app.log", lines[:200])
			for _, name := range []string{"app.log.1", "app.log.2", "app.log.3", "app.log.4", "app.log.5", "app.log.6", "app.log.7", "app.log.8"} {
				if name != longest {
					copyFile(t, w.path("app.log"), w.path(name))
				}
			}
			w.passes(10 * time.Second)
			w.write("app.log", lines[200:])
			copyFile(t, w.path("app.log"), w.path(longest))
			w.passes(10 * time.Second)
			must(t, os.Truncate(w.path("app.log"), 0))
			w.passes(10 * time.Second)
			w.stalled = false
			w.passes(30 * time.Second)
			w.wants(lines...)
		})
	}
}

// TestADeletedCopyIsKeptUntilItsOriginalIsRead: the original may be truncated before.
func TestADeletedCopyIsKeptUntilItsOriginalIsRead(t *testing.T) {
	t.Parallel()
	w := newStepped(t, "app.log*")
	w.stalled = true
	lines := numbered("a", 400)
	w.write("app.log", lines)
	w.passes(10 * time.Second)
	copyFile(t, w.path("app.log"), w.path("app.log.1"))
	w.passes(10 * time.Second)
	must(t, os.Remove(w.path("app.log.1")))
	w.passes(30 * time.Second) // longer than a file without a name is kept open
	must(t, os.Truncate(w.path("app.log"), 0))
	w.passes(10 * time.Second)
	w.stalled = false
	w.passes(30 * time.Second)
	w.wants(lines...)
	if n := len(w.files); n != 1 {
		t.Errorf("%d files are known, want the log alone", n)
	}
}

// TestARotatedFileThatNoGlobNamesIsReadAfterARestart: one that came and was rotated while the agent was down; also by the
// start after the next, when newer files have been read and nothing is left of older ones.
func TestARotatedFileThatNoGlobNamesIsReadAfterARestart(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", ".gz", ".zst"} {
		t.Run("app.log.1"+suffix, func(t *testing.T) {
			t.Parallel()
			w := newStepped(t, "*.log")
			first, second, third := numbered("a", 30), numbered("b", 30), numbered("c", 30)
			w.write("app.log", first)
			w.passes(10 * time.Second)
			old := w.reg.Streams()
			w.stop()

			w.now = w.now.Add(time.Hour)
			must(t, os.Remove(w.path("app.log")))
			w.write("app.log.1", second)
			if suffix != "" {
				pack(t, w.path("app.log.1"), suffix)
				must(t, os.Chtimes(w.path("app.log.1"+suffix), w.now, w.now))
			}
			w.now = w.now.Add(time.Hour)
			w.run()
			if suffix != "" { // which nobody has seen grow is not read before some seconds have passed
				w.write("app.log", third)
				w.passes(2 * time.Second)
				w.wants(slices.Concat(first, third)...)
				w.stop()
				for _, s := range old {
					must(t, w.reg.ForgetStream(s.ID))
				}
				w.now = w.now.Add(time.Hour)
				w.run()
			} else {
				w.write("app.log", third)
			}
			w.passes(30 * time.Second)
			w.wants(slices.Concat(first, second, third)...)
		})
	}
}

// TestALookAndABatchFallTogether: also where a poll has found what was written, and not a look. Else lines that are read with a
// look would wait for the next batch as long again.
func TestALookAndABatchFallTogether(t *testing.T) {
	t.Parallel()
	w := newStepped(t, "app.log")
	w.write("app.log", numbered("a", 1))
	w.passes(5 * time.Second)
	w.write("app.log", numbered("b", 1))
	w.lookAt = w.now.Add(w.Tailer.o.Gather) // as when the write has been told of
	w.pollAt = w.now
	w.step()
	if w.next == nil || !w.lookAt.Equal(w.now.Add(w.Tailer.o.Linger)) {
		t.Errorf("handed over: %v; the next look is in %v, want %v", w.next != nil, w.lookAt.Sub(w.now), w.Tailer.o.Linger)
	}
}
