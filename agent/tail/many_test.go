package tail

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// TestAThousandFilesAtOnce: those with little to read do not wait for those with much, and few are open at a time.
func TestAThousandFilesAtOnce(t *testing.T) {
	t.Parallel()
	const files, large = 1000, 3
	dir, reg := t.TempDir(), newMemory()
	o := including(dir, "*")
	o.OpenFiles, o.BatchBytes, o.Files[0].MaxLineBytes = 50, 128<<10, 4<<10
	big := numbered("big", 20_000) // of several turns each
	for i := range files {
		content := fmt.Sprintf("{\"n\":%d}\n", i)
		if i < large {
			content = text(big)
		}
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%04d.log", i)), []byte(content), 0o644))
	}
	tl := reloader(t, dir, reg, o)
	ctx, cancel := contextOf(t)
	done := make(chan error, 1)
	go func() { done <- tl.Run(ctx) }()
	small, seen, open := 0, 0, 0
	for seen < files-large+large*len(big) {
		raw := <-tl.Batches()
		reg.commit(t, raw)
		for _, r := range raw.Ranges {
			if r.Start >= 2*turnBytes && small < files-large {
				t.Fatalf("a large file was read for the third time when %d of %d small ones had been read", small, files-large)
			}
			if r.End < 100 {
				small++
			}
		}
		seen += len(raw.Cuts)
		ranges := slices.Clone(raw.Ranges)
		tl.Release(raw)
		tl.Acked(ranges)
		tl.mu.Lock()
		open = max(open, tl.open)
		tl.mu.Unlock()
	}
	// All of them grow at the same time.
	for i := range files {
		write(t, filepath.Join(dir, fmt.Sprintf("f%04d.log", i)), fmt.Sprintf("{\"more\":%d}\n", i))
	}
	for seen = 0; seen < files; {
		raw := <-tl.Batches()
		reg.commit(t, raw)
		seen += len(raw.Cuts)
		tl.Release(raw)
		tl.mu.Lock()
		open = max(open, tl.open)
		tl.mu.Unlock()
	}
	cancel()
	for range tl.Batches() {
	}
	must(t, <-done)
	if open > o.OpenFiles+2 {
		t.Errorf("%d files were open at once, want at most %d", open, o.OpenFiles)
	}
}

// TestTenThousandRotatedFilesStartFast: each is looked at, opened and read a few times, however many there are. That is
// counted, since time says little on a busy machine: a start takes a third of a second where nothing else runs.
func TestTenThousandRotatedFilesStartFast(t *testing.T) {
	dir, reg := t.TempDir(), newMemory()
	o := including(dir, "*")
	o.ScanEvery, o.PollEvery = time.Hour, time.Hour
	const n = 10_000
	for i := range n {
		must(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("app.log.%d", i)), fmt.Appendf(nil, "{\"n\":%d}\n", i), 0o644))
	}
	for _, run := range []struct {
		name  string
		lines int
	}{{"first", n}, {"second", 0}} {
		before, begun := systemCalls(t), time.Now()
		g := start(t, dir, reg, o)
		g.settled()
		d, calls := time.Since(begun), systemCalls(t)-before
		t.Logf("%s start: %v, %d reads", run.name, d, calls)
		until(t, func() bool { return len(g.got()) >= run.lines })
		if got := len(g.got()); got != run.lines {
			t.Errorf("%s start: got %d lines, want %d", run.name, got, run.lines)
		}
		if calls > 6*n {
			t.Errorf("%s start: %d reads for %d files", run.name, calls, n)
		}
		if d > 60*time.Second {
			t.Errorf("%s start took %v", run.name, d)
		}
		g.stop()
	}
}

// systemCalls is how many read system calls this process has made.
func systemCalls(t testing.TB) (n int) {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0 // not Linux
	}
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "syscr: %d", &n); err == nil {
			return n
		}
	}
	t.Error("no syscr in /proc/self/io")
	return 0
}

// TestADirectoryThatCannotBeWatched is what inotify's limits come to: it is said once, and files are polled.
func TestADirectoryThatCannotBeWatched(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	n := newNotifier(zap.New(core), false)
	defer n.stop()
	for range 3 {
		n.watch(map[string]bool{filepath.Join(t.TempDir(), "missing"): true})
	}
	if !n.failed || logs.Len() != 1 {
		t.Errorf("failed %v, said %d times", n.failed, logs.Len())
	}
	n.watch(map[string]bool{t.TempDir(): true})
	if n.failed {
		t.Error("still failed")
	}
	dir := t.TempDir()
	g := start(t, dir, newMemory(), Options{NoNotify: true})
	until(t, g.Polling)
	if !g.Polling() {
		t.Error("polling is not told")
	}
}

// TestIdleFilesAreNotPolled: of thousands of rotated files none is looked at but by scans.
func TestIdleFilesAreNotPolled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := including(dir, "*")
	o.OpenFiles, o.ScanEvery, o.PollEvery, o.NoNotify = 1, time.Hour, time.Hour, true
	for i := range 20 {
		write(t, filepath.Join(dir, fmt.Sprintf("f%d.log", i)), "{\"a\":1}\n")
	}
	g := start(t, dir, newMemory(), o)
	g.settled()
	g.stop()
	g.Tailer.mu.Lock()
	defer g.Tailer.mu.Unlock()
	late := time.Now().Add(2 * idleAfter)
	g.o.Now = func() time.Time { return late }
	for _, f := range g.files {
		f.disk = 0 // what a look would put right
		g.poll()
		if f.disk != 0 {
			t.Fatalf("%s was polled", f.path)
		}
		f.changed = late
		g.poll()
		if f.disk == 0 {
			t.Fatalf("%s was not polled", f.path)
		}
	}
}
