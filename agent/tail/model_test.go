package tail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world is a directory with a program that logs into it, rotations of all kinds, and a Tailer that is stopped and
// started. What it should do is simple: hand over every line once, and those of one file in order.
type world struct {
	t    *rapid.T
	dir  string
	reg  *memory
	stop func()
	tl   *Tailer

	next    int      // of the line written next
	partial string   // what is written of a line so far
	written []string // whole lines
	old     int      // rotated files so far

	mu   sync.Mutex
	got  map[string]int // line → how often it was committed
	last int            // batches to lose: not committed
}

func (w *world) path() string { return filepath.Join(w.dir, "app.log") }

func (w *world) run() {
	c := DefaultConfig()
	c.Include = []string{filepath.Join(w.dir, "app.log*")}
	tl, err := New(Options{
		Files: []Config{c}, IDKey: []byte("k"), Registry: w.reg, BatchBytes: 2 << 10, Linger: time.Millisecond,
		PollEvery: 2 * time.Millisecond, ScanEvery: 5 * time.Millisecond, QuietAfter: 100 * time.Millisecond,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = tl.Run(ctx) })
	wg.Go(func() { w.consume(tl) })
	w.tl, w.stop = tl, sync.OnceFunc(func() { cancel(); wg.Wait() })
}

func (w *world) consume(tl *Tailer) {
	losing := false
	for raw := range tl.Batches() {
		w.mu.Lock()
		if w.last > 0 {
			losing = true
		}
		if !losing { // a crash loses every batch after some point
			w.reg.commit(w.t, raw)
			for _, s := range recordsOf(raw) {
				w.got[s]++
			}
		}
		ranges := slices.Clone(raw.Ranges)
		w.mu.Unlock()
		tl.Release(raw)
		tl.Acked(ranges)
	}
}

func (w *world) append(s string) {
	f, err := os.OpenFile(w.path(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(s); err != nil {
		w.t.Fatal(err)
	}
}

// line makes the text of the next line: unlike every other.
func (w *world) line() string {
	w.next++
	return fmt.Sprintf("%06d %s", w.next, strings.Repeat("x", w.next*7%90))
}

func (w *world) finish() {
	if w.partial != "" {
		w.append(w.partial[len(w.partial)/2:] + "\n")
		w.written, w.partial = append(w.written, w.partial), ""
	}
}

// quiet waits until all that is written is read.
func (w *world) quiet() {
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		w.mu.Lock()
		n := len(w.got)
		w.mu.Unlock()
		if n >= len(w.written) {
			return
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var missing []string
	for _, s := range w.written {
		if w.got[s] == 0 {
			missing = append(missing, s[:6])
		}
	}
	w.t.Fatalf("%d of %d lines never came: %v; files %+v", len(missing), len(w.written), missing, w.tl.Stats())
}

func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"write half a line": func(*rapid.T) {
			w.finish()
			w.partial = w.line()
			w.append(w.partial[:len(w.partial)/2])
		},
		"finish the line": func(*rapid.T) { w.finish() },
		"write many": func(t *rapid.T) {
			w.finish()
			var b strings.Builder
			for range rapid.IntRange(1, 100).Draw(t, "lines") {
				w.written = append(w.written, w.line())
				b.WriteString(w.written[len(w.written)-1] + "\n")
			}
			w.append(b.String())
		},
		"rotate by renaming": func(*rapid.T) {
			w.finish()
			w.rename()
		},
		"rename, write on": func(*rapid.T) {
			w.finish()
			if w.rename() {
				w.next++
				s := fmt.Sprintf("%06d after the rename", w.next)
				f, err := os.OpenFile(w.rotated(w.old), os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					w.t.Fatal(err)
				}
				_, _ = f.WriteString(s + "\n")
				f.Close()
				w.written = append(w.written, s)
			}
		},
		"copy and truncate": func(*rapid.T) {
			w.finish()
			b, err := os.ReadFile(w.path())
			if err != nil || len(b) == 0 {
				return
			}
			w.old++
			_ = os.WriteFile(w.rotated(w.old), b, 0o644)
			_ = os.Truncate(w.path(), 0)
		},
		"copy": func(*rapid.T) {
			w.finish()
			if b, err := os.ReadFile(w.path()); err == nil && len(b) > 0 {
				_ = os.WriteFile(filepath.Join(w.dir, fmt.Sprintf("app.log.%d.bak", w.next)), b, 0o644)
			}
		},
		"delete after all is read": func(*rapid.T) {
			w.finish()
			w.quiet()
			_ = os.Remove(w.path())
			// A copy that is shorter than what was read of a file that is gone is not known again after a restart.
			copies, _ := filepath.Glob(filepath.Join(w.dir, "*.bak"))
			for _, path := range copies {
				_ = os.Remove(path)
			}
		},
		"wait until all is read": func(*rapid.T) { w.quiet() },
		"pause":                  func(*rapid.T) { time.Sleep(3 * time.Millisecond) },
		"restart":                func(*rapid.T) { w.stop(); w.run() },
		"crash": func(t *rapid.T) {
			w.mu.Lock()
			w.last = 1
			w.mu.Unlock()
			time.Sleep(time.Duration(rapid.IntRange(0, 5).Draw(t, "ms")) * time.Millisecond)
			w.stop()
			w.last = 0
			w.run()
		},
		"rotate while down": func(t *rapid.T) {
			w.finish()
			w.stop()
			for range rapid.IntRange(1, 2).Draw(t, "times") {
				w.rename()
				w.written = append(w.written, w.line())
				w.append(w.written[len(w.written)-1] + "\n")
			}
			w.run()
		},
	}
}

func (w *world) rotated(n int) string { return filepath.Join(w.dir, fmt.Sprintf("app.log.%d", n)) }

func (w *world) rename() bool {
	w.old++
	return os.Rename(w.path(), w.rotated(w.old)) == nil
}

// TestEveryLineOnceWhateverHappens is run longer with -rapid.checks, and by `make soak`.
func TestEveryLineOnceWhateverHappens(t *testing.T) {
	end := time.Now().Add(4 * time.Second)
	if os.Getenv("ACTIVITY_SOAK") != "" {
		end = time.Now().Add(5 * time.Minute)
	}
	for checks := 0; time.Now().Before(end) && !t.Failed(); checks++ {
		rapid.Check(t, func(rt *rapid.T) {
			if time.Now().After(end) {
				return
			}
			w := &world{t: rt, dir: t.TempDir(), reg: newMemory(), got: map[string]int{}}
			w.run()
			defer func() { w.stop() }()
			rt.Repeat(w.actions())
			w.finish()
			w.quiet()
			time.Sleep(10 * time.Millisecond)
			w.stop()
			for _, s := range w.written {
				if n := w.got[s]; n != 1 {
					rt.Errorf("%.6s came %d times", s, n)
				}
				delete(w.got, s)
			}
			for s := range w.got {
				rt.Errorf("%.20q was never written", s)
			}
		})
	}
}
