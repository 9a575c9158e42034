package tail

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// TestEventsThatAreLost: the kernel says that some are, or says nothing.
func TestEventsThatAreLost(t *testing.T) {
	t.Parallel()
	t.Run("and it says so", func(t *testing.T) {
		t.Parallel()
		g := start(t, t.TempDir(), newMemory(), Options{PollEvery: time.Hour, ScanEvery: time.Hour})
		until(t, func() bool { _, ok := g.IdleSince(); return ok })
		write(t, g.path("app.log"), "{\"a\":1}\n")
		g.wants(`{"a":1}`)
		g.Tailer.mu.Lock() // so that it takes none of them
		overflow(t, g.path("x.other"), g.path("y.other"))
		write(t, g.path("app.log"), "{\"a\":2}\n")
		g.Tailer.mu.Unlock()
		g.wants(`{"a":1}`, `{"a":2}`)
	})
	t.Run("and it says nothing", func(t *testing.T) {
		t.Parallel()
		g := start(t, t.TempDir(), newMemory(), Options{ScanEvery: 300 * time.Millisecond})
		until(t, func() bool { _, ok := g.IdleSince(); return ok })
		g.Tailer.mu.Lock()
		for _, i := range []*inotify{g.notify.source.names, g.notify.source.written} {
			for wd := range i.dirs {
				_, err := unix.InotifyRmWatch(i.fd, uint32(wd))
				must(t, err)
			}
		}
		g.Tailer.mu.Unlock()
		write(t, g.path("app.log"), "{\"a\":1}\n")
		g.wants(`{"a":1}`)
	})
}

// overflow makes more events than the kernel keeps. Those of one file that follow each other are one event.
func overflow(t *testing.T, a, b string) {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/fs/inotify/max_queued_events")
	must(t, err)
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	must(t, err)
	var files [2]*os.File
	for i, path := range []string{a, b} {
		files[i], err = os.Create(path)
		must(t, err)
		defer func() { _ = files[i].Close() }()
	}
	for i := range most + 2 {
		_, err := files[i%2].WriteString("x")
		must(t, err)
	}
}

// TestManyWritesWakeOnce: of a thousand events until the next look, the first one says that there is something.
func TestManyWritesWakeOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newNotifier(zap.NewNop(), false)
	defer n.stop()
	n.watch(map[string]bool{dir: true})
	for round := range 3 {
		want := map[string]bool{}
		for i := range 1000 {
			path := filepath.Join(dir, fmt.Sprintf("%d.log", i%7))
			write(t, path, "x\n")
			want[path] = true
			if i == 0 {
				<-n.written
			}
		}
		time.Sleep(20 * time.Millisecond)
		select {
		case <-n.written:
			t.Fatalf("round %d: woken again", round)
		default:
		}
		if got, lost := n.writes(); !maps.Equal(got, want) || lost {
			t.Fatalf("round %d: got %v, lost %v", round, got, lost)
		}
		if got, lost := n.writes(); len(got) > 0 || lost {
			t.Fatalf("round %d: got %v again, lost %v", round, got, lost)
		}
	}
}

// TestWritesDoNotDelayTheNewsOfARotation: while writes are told of later, since there are many.
func TestWritesDoNotDelayTheNewsOfARotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := newNotifier(zap.NewNop(), false)
	defer n.stop()
	n.watch(map[string]bool{dir: true})
	path := filepath.Join(dir, "app.log")
	write(t, path, "x\n")
	<-n.named
	<-n.written
	n.scanning()
	write(t, path, "x\n")
	must(t, os.Rename(path, path+".1"))
	select {
	case <-n.named:
	case <-time.After(10 * time.Second):
		t.Error("nothing was said of it")
	}
}

func TestADirectoryThatIsMadeAnewIsWatchedAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "logs")
	must(t, os.Mkdir(dir, 0o755))
	g := start(t, dir, newMemory(), Options{})
	until(t, func() bool { return slices.Contains(watched(g), dir) })
	must(t, os.RemoveAll(dir))
	must(t, os.Mkdir(dir, 0o755))
	time.Sleep(50 * time.Millisecond)
	until(t, func() bool { return slices.Contains(watched(g), dir) })
	if !slices.Contains(watched(g), dir) {
		t.Error("it is not watched")
	}
	write(t, g.path("app.log"), "{\"a\":1}\n")
	g.wants(`{"a":1}`)
}

func watched(g *tailing) []string {
	g.Tailer.mu.Lock()
	defer g.Tailer.mu.Unlock()
	if g.notify == nil {
		return nil
	}
	return slices.Collect(maps.Values(g.notify.source.names.dirs))
}
