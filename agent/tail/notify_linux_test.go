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
		for _, dir := range g.notify.watcher.WatchList() {
			must(t, g.notify.watcher.Remove(dir))
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

// notifying is a notifier of what happens in a directory.
func notifying(t *testing.T) (n *notifier, dir string) {
	t.Helper()
	n, dir = newNotifier(zap.NewNop(), false), t.TempDir()
	t.Cleanup(n.stop)
	n.watch(map[string]bool{dir: true})
	return n, dir
}

// TestManyWritesWakeOnce: of a thousand events until the next look, the first one says that there is something.
func TestManyWritesWakeOnce(t *testing.T) {
	t.Parallel()
	n, dir := notifying(t)
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
		got := map[string]bool{}
		for quiet := 0; quiet < 3; time.Sleep(burst) { // what is told of later is taken later
			paths, lost := n.writes()
			if lost {
				t.Fatalf("round %d: some are lost", round)
			}
			maps.Copy(got, paths)
			if quiet++; len(paths) > 0 {
				quiet = 0
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("round %d: got %v, want %v", round, got, want)
		}
		select { // by a write that was told of after a look that found nothing
		case <-n.written:
		default:
		}
	}
}

// TestTheNewsOfARotationComesWithTheNextLook: while writes are told of later, since there are many. The news of one that follows comes
// without a look: what is written between two rotations may be gone by then.
func TestTheNewsOfARotationComesWithTheNextLook(t *testing.T) {
	t.Parallel()
	n, dir := notifying(t)
	path := filepath.Join(dir, "app.log")
	write(t, path, "x\n")
	<-n.written
	rotate := func(look bool) {
		for range 3 { // the notifier waits from the first one on
			write(t, path, "x\n")
			time.Sleep(2 * burst)
		}
		select {
		case <-n.named: // it was made
		default:
		}
		must(t, os.Rename(path, path+".1"))
		if look {
			n.writes()
		}
		select {
		case <-n.named:
		case <-time.After(10 * time.Second):
			t.Errorf("nothing was said of it; looked: %t", look)
		}
	}
	rotate(true)
	rotate(false)
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
	return g.notify.watcher.WatchList()
}
