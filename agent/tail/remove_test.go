package tail

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// deleting is a configuration that deletes rotated files soon.
func deleting(dir string) Options {
	o := including(dir, "app*")
	o.Files[0].Delete = "after_ack"
	o.DeleteAfter = 50 * time.Millisecond
	return o
}

// stays fails if a file goes away within some scans.
func (g *tailing) stays(name string) {
	g.t.Helper()
	time.Sleep(250 * time.Millisecond)
	if !pathExists(g.path(name)) {
		g.t.Errorf("%s was deleted", name)
	}
}

func (g *tailing) goes(name string) {
	g.t.Helper()
	until(g.t, func() bool { return !pathExists(g.path(name)) })
	if pathExists(g.path(name)) {
		g.t.Errorf("%s is still there", name)
	}
}

// rotate makes app.log app.log.1, and begins another.
func (g *tailing) rotate() {
	g.t.Helper()
	must(g.t, os.Rename(g.path("app.log"), g.path("app.log.1")))
	time.Sleep(5 * time.Millisecond)
	write(g.t, g.path("app.log"), "{\"next\":1}\n")
}

func TestARotatedFileIsDeletedOnceItIsDoneWith(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	g := start(t, dir, reg, deleting(dir))
	write(t, g.path("app.log"), "{\"a\":1}\n", "{\"rest\":1}")
	g.wants(`{"a":1}`)
	g.rotate()
	g.goes("app.log.1")
	g.wants(`{"a":1}`, `{"rest":1}`, `{"next":1}`)
	g.stays("app.log")
	if got := g.Removed(); got.Files != 1 || got.Bytes != int64(len("{\"a\":1}\n{\"rest\":1}")) {
		t.Errorf("counted %+v", got)
	}
	g.stop()
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left %v", left)
	}
	start(t, dir, reg, deleting(dir)).wantsOf()
}

func TestAnArchiveIsDeletedOnceItIsDoneWith(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "app.log.2.gz"), string(packers[".gz"]("{\"old\":1}\n")))
	whole := packers[".gz"](text(numbered("b", 3000)))
	write(t, filepath.Join(dir, "app.log.3.gz"), string(whole[:len(whole)/2]))
	time.Sleep(5 * time.Millisecond)
	write(t, filepath.Join(dir, "app.log"), "{\"a\":1}\n")
	g := start(t, dir, newMemory(), deleting(dir))
	g.goes("app.log.2.gz")
	g.settled()
	if g.Damaged()[damageTruncated] != 1 {
		t.Errorf("counted %v", g.Damaged())
	}
	g.stays("app.log.3.gz") // damaged
}

func TestAFileIsKeptUntilItsOutcomeIsDurable(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	reg.sink(true)
	g := start(t, dir, reg, deleting(dir))
	write(t, g.path("app.log"), "{\"a\":1}\n")
	g.wants(`{"a":1}`)
	g.rotate()
	g.wants(`{"a":1}`, `{"next":1}`)
	g.stays("app.log.1")
	reg.sink(false)
	g.goes("app.log.1")
}

func TestAFileIsKeptUntilEveryRangeIsAcked(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	write(t, filepath.Join(dir, "app.log.1"), "{\"a\":1}\n")
	time.Sleep(5 * time.Millisecond)
	write(t, filepath.Join(dir, "app.log"), "{\"b\":1}\n")
	o := deleting(dir)
	o.ScanEvery, o.PollEvery, o.Linger = 10*time.Millisecond, 10*time.Millisecond, time.Millisecond
	tl := reloader(t, dir, reg, o)
	ctx, cancel := contextOf(t)
	done := make(chan error, 1)
	go func() { done <- tl.Run(ctx) }()
	defer func() { cancel(); must(t, <-done) }()
	raw := <-tl.Batches()
	reg.commit(t, raw)
	time.Sleep(200 * time.Millisecond)
	if !pathExists(filepath.Join(dir, "app.log.1")) {
		t.Error("deleted before its records had an outcome")
	}
	tl.Acked(raw.Ranges)
	until(t, func() bool { return !pathExists(filepath.Join(dir, "app.log.1")) })
	if pathExists(filepath.Join(dir, "app.log.1")) {
		t.Error("never deleted")
	}
}

func TestFilesThatAreNotDeleted(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(t *testing.T, dir string) (after func())
		file   string
		set    func(o *Options)
	}{
		"by default": {file: "app.log.1", set: func(o *Options) { o.Files[0].Delete = "never" }},
		"the active one, whose name has a date": {file: "app-2026-11-24.log", change: func(t *testing.T, dir string) func() {
			write(t, filepath.Join(dir, "app-2026-11-24.log"), "{\"today\":1}\n")
			must(t, os.Remove(filepath.Join(dir, "app.log")))
			return nil
		}},
		"one that something holds open to write": {file: "app.log.1", change: func(t *testing.T, dir string) func() {
			f, err := os.OpenFile(filepath.Join(dir, "app.log.1"), os.O_WRONLY|os.O_APPEND, 0)
			must(t, err)
			return func() { must(t, f.Close()) }
		}},
		"one that has changed a moment ago": {file: "app.log.1", set: func(o *Options) { o.DeleteAfter = time.Hour }},
		"one whose new name is taken": {file: "app.log.1", change: func(t *testing.T, dir string) func() {
			must(t, os.Mkdir(filepath.Join(dir, "app.log.1.old"), 0o755))
			return nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "app.log.1"), "{\"a\":1}\n")
			time.Sleep(5 * time.Millisecond)
			write(t, filepath.Join(dir, "app.log"), "{\"b\":1}\n")
			if tt.change != nil {
				if after := tt.change(t, dir); after != nil {
					defer after()
				}
			}
			o := deleting(dir)
			if tt.set != nil {
				tt.set(&o)
			}
			g := start(t, dir, newMemory(), o)
			g.settled()
			g.stays(tt.file)
		})
	}
}

// TestANameThatIsAnotherFilesByNow: a rotation may give the name away between any two looks.
func TestANameThatIsAnotherFilesByNow(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := deleting(dir)
	o.DeleteAfter = time.Hour
	write(t, filepath.Join(dir, "app.log.1"), "{\"a\":1}\n")
	time.Sleep(5 * time.Millisecond)
	write(t, filepath.Join(dir, "app.log"), "{\"b\":1}\n")
	g := start(t, dir, newMemory(), o)
	g.settled()
	g.Tailer.mu.Lock()
	defer g.Tailer.mu.Unlock()
	f := g.byPath(g.path("app.log.1"))
	must(t, g.openFile(f))
	must(t, os.Rename(g.path("app.log.1"), g.path("app.log.2")))
	must(t, os.Rename(g.path("app.log"), g.path("app.log.1")))
	if err := g.remove(f); err == nil {
		t.Error("no error")
	}
	for name, want := range map[string]string{"app.log.1": "{\"b\":1}\n", "app.log.2": "{\"a\":1}\n"} {
		if got, err := os.ReadFile(g.path(name)); err != nil || string(got) != want {
			t.Errorf("%s has %q, %v", name, got, err)
		}
	}
	if pathExists(g.path("app.log.1.old")) {
		t.Error("a second name is left")
	}
}

func TestAWarningBeforeTheVolumeIsFull(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	dir := t.TempDir()
	o := including(dir, "*")
	o.Logger = zap.New(core)
	write(t, filepath.Join(dir, "app.log"), "{\"a\":1}\n")
	g := start(t, dir, newMemory(), o)
	g.settled()
	if v := g.Volumes(); len(v) != 1 || v[0].Dir != dir || v[0].Size <= 0 || v[0].Free > v[0].Size {
		t.Errorf("got %+v", v)
	}
	g.stop()
	g.Tailer.mu.Lock()
	defer g.Tailer.mu.Unlock()
	free := int64(100)
	g.statVolume = func(string) (int64, int64, error) { return 100, free, nil }
	said := func() (n int) {
		for _, e := range logs.All() {
			if strings.Contains(e.Message, "volume") {
				n++
			}
		}
		return n
	}
	now := time.Now().Add(volumeEvery)
	g.lookAtVolumes(now) // whatever this machine's disk is like
	before := said()
	for _, step := range []struct {
		free int64
		want int // lines logged so far
	}{{16, 0}, {15, 1}, {10, 1}, {18, 1}, {21, 2}, {0, 3}} {
		free = step.free
		now = now.Add(volumeEvery)
		g.lookAtVolumes(now)
		if got := said() - before; got != step.want {
			t.Errorf("%d free: got %d log lines, want %d", step.free, got, step.want)
		}
	}
}
