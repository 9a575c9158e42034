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

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/pipeline"
)

// A tailing is a Tailer at work on the files of a directory, and what came out of it.
type tailing struct {
	*Tailer
	t    testing.TB
	dir  string
	reg  *memory
	stop func()

	mu      sync.Mutex
	lines   []string
	streams []string // of each line
	intents []*ledger.Intent
	ranges  []pipeline.Range
	newline int64
}

// start tails dir/*.log, unless o names files.
func start(t testing.TB, dir string, reg *memory, o Options) *tailing {
	t.Helper()
	if o.Files == nil {
		c := DefaultConfig()
		c.Include = []string{filepath.Join(dir, "*.log")}
		o.Files = []Config{c}
	}
	o.IDKey, o.Registry = []byte("key"), reg
	if o.Linger == 0 {
		o.Linger = time.Millisecond
	}
	if o.PollEvery == 0 {
		o.PollEvery = 10 * time.Millisecond
	}
	if o.ScanEvery == 0 {
		o.ScanEvery = 20 * time.Millisecond
	}
	if o.JoinWait == 0 {
		o.JoinWait = 5 * time.Millisecond
	}
	if o.QuietAfter == 0 {
		o.QuietAfter = 60 * time.Millisecond
	}
	if testing.Verbose() && o.Logger == nil {
		o.Logger, _ = zap.NewDevelopment()
	}
	tl, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	g := &tailing{Tailer: tl, t: t, dir: dir, reg: reg}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() {
		if err := tl.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	done.Go(g.consume)
	g.stop = sync.OnceFunc(func() { cancel(); done.Wait() })
	t.Cleanup(g.stop)
	return g
}

func (g *tailing) consume() {
	for raw := range g.Batches() {
		g.mu.Lock()
		g.reg.commit(g.t, raw)
		records := recordsOf(raw)
		g.lines = append(g.lines, records...)
		for _, c := range raw.Cuts {
			g.streams = append(g.streams, fmt.Sprintf("%x", raw.Ranges[c.Range].Stream.ID))
		}
		for _, r := range raw.Ranges {
			g.newline += r.Lines
		}
		g.intents = append(g.intents, intentOf(raw))
		ranges := slices.Clone(raw.Ranges)
		g.ranges = append(g.ranges, ranges...)
		g.mu.Unlock()
		g.Release(raw)
		g.Acked(ranges)
	}
}

// drain reads to the end and stops.
func (g *tailing) drain() {
	g.Drain()
	until(g.t, func() bool {
		g.Tailer.mu.Lock()
		defer g.Tailer.mu.Unlock()
		return g.finished && g.next == nil
	})
	g.stop()
}

func (g *tailing) got() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.lines)
}

// wants waits until what came out is want, in any order between files, and a little longer for what should not come.
func (g *tailing) wants(want ...string) {
	g.t.Helper()
	until(g.t, func() bool { return len(g.got()) >= len(want) })
	time.Sleep(60 * time.Millisecond)
	got := g.got()
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		g.t.Fatalf("got  %s\nwant %s", brief(got), brief(want))
	}
}

func brief(lines []string) string {
	if len(lines) > 20 {
		return fmt.Sprintf("%d lines: %.40q …", len(lines), lines[:3])
	}
	return fmt.Sprintf("%.500q", lines)
}

func until(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
}

func (g *tailing) path(name string) string { return filepath.Join(g.dir, name) }

func write(t testing.TB, path string, text ...string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(strings.Join(text, "")); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestATinyFileIsReadAtOnce(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{PollEvery: time.Hour, ScanEvery: time.Hour})
	until(t, func() bool { _, ok := g.IdleSince(); return ok })
	begun := time.Now()
	write(t, g.path("app.log"), "{\"a\":1}\n")
	g.wants(`{"a":1}`)
	if d := time.Since(begun); d > time.Second {
		t.Errorf("took %v", d)
	}
}

func TestAGrowingFile(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{})
	write(t, g.path("app.log"), "a\n", "b")
	g.wants("a")
	write(t, g.path("app.log"), "b\n", "c\n")
	g.wants("a", "bb", "c")
}

func TestRenameRotationIsFollowedToTheEnd(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{})
	write(t, g.path("app.log"), "a1\n")
	g.wants("a1")
	must(t, os.Rename(g.path("app.log"), g.path("app.log.1")))
	write(t, g.path("app.log.1"), "a2\n")
	write(t, g.path("app.log"), "b1\n")
	write(t, g.path("app.log.1"), "a3\n")
	g.wants("a1", "a2", "a3", "b1")
	time.Sleep(100 * time.Millisecond)
	write(t, g.path("app.log.1"), "a4\n")
	g.wants("a1", "a2", "a3", "a4", "b1")
}

func TestRestartGoesOnWhereItWas(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	g := start(t, dir, reg, Options{})
	write(t, g.path("app.log"), "a\n", "b\n", "part")
	g.wants("a", "b")
	g.stop()
	write(t, g.path("app.log"), "ial\n", "c\n")
	start(t, dir, reg, Options{}).wants("partial", "c")
}

func TestRotationWhileTheAgentIsDown(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	g := start(t, dir, reg, Options{})
	write(t, g.path("app.log"), "a1\n")
	g.wants("a1")
	g.stop()
	write(t, g.path("app.log"), "a2\n")
	must(t, os.Rename(g.path("app.log"), g.path("app.log.1")))
	time.Sleep(5 * time.Millisecond)
	write(t, g.path("app.log"), "b1\n")
	g = start(t, dir, reg, Options{})
	g.wants("a2", "b1")
	if got := g.got(); got[0] != "a2" {
		t.Errorf("the new file was read before the rotated one")
	}
}

func contextOf(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}
