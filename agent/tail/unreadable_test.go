package tail

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/pipeline"
)

// lockAway puts a link to itself in the place of a file, which nobody can open, and returns what undoes it.
func lockAway(t testing.TB, path string) (back func()) {
	t.Helper()
	kept := filepath.Join(t.TempDir(), "kept")
	must(t, os.Rename(path, kept))
	must(t, os.Symlink(filepath.Base(path), path))
	return func() {
		must(t, os.Remove(path))
		must(t, os.Rename(kept, path))
	}
}

// readOnce reads a log of some lines, and returns it with the intent.
func readOnce(t testing.TB, lines []string) (dir string, reg *memory, in *ledger.Intent) {
	t.Helper()
	dir, reg = t.TempDir(), newMemory()
	write(t, filepath.Join(dir, "app.log"), text(lines))
	g := start(t, dir, reg, Options{})
	g.wants(lines...)
	g.stop()
	if len(g.intents) != 1 {
		t.Fatalf("got %d batches, want 1", len(g.intents))
	}
	return dir, reg, g.intents[0]
}

// refusesToReload checks that nothing is lost, and the file named, while it cannot be read.
func refusesToReload(t *testing.T, tl *Tailer, in *ledger.Intent, path string) {
	t.Helper()
	for range 5 { // more than the pool has
		if _, err := tl.Reload(in); !errors.Is(err, ErrUnreadable) {
			t.Fatalf("Reload: got %v, want ErrUnreadable", err)
		}
	}
	if !slices.ContainsFunc(tl.Stats(), func(s FileStat) bool { return s.Path == path && s.State == Failing && s.Err != "" }) {
		t.Errorf("%+v does not name %s", tl.Stats(), path)
	}
	r := in.Ranges[0]
	if _, _, err := tl.ReadAgain(r.Stream, r.Start, r.End); !errors.Is(err, ErrUnreadable) {
		t.Errorf("ReadAgain: got %v, want ErrUnreadable", err)
	}
	if _, err := tl.ReadAt(r.Stream, r.Start, 1); !errors.Is(err, ErrUnreadable) {
		t.Errorf("ReadAt: got %v, want ErrUnreadable", err)
	}
	if tl.outstanding != 0 {
		t.Errorf("%d ranges are under way", tl.outstanding)
	}
}

func reloads(t *testing.T, tl *Tailer, in *ledger.Intent, want []string) {
	t.Helper()
	raw, err := tl.Reload(in)
	must(t, err)
	if got := recordsOf(raw); !slices.Equal(got, want) {
		t.Errorf("got %s, want %s", brief(got), brief(want))
	}
	for i, d := range raw.Replay {
		if d.Fate != pipeline.Deliver {
			t.Errorf("record %d: got %+v", i, d)
		}
	}
	if s := tl.Stats(); len(s) != 0 {
		t.Errorf("still complains: %+v", s)
	}
	tl.Acked(raw.Ranges)
	tl.Release(raw)
}

// TestReloadWaitsForAFileThatCannotBeRead: what is there and cannot be opened is not gone.
func TestReloadWaitsForAFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"app.log", "app.log.1", "app.log.1.gz"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lines := numbered("a", 20)
			dir, reg, in := readOnce(t, lines)
			path := filepath.Join(dir, name)
			if name != "app.log" {
				copyFile(t, filepath.Join(dir, "app.log"), filepath.Join(dir, "app.log.1"))
				must(t, os.Remove(filepath.Join(dir, "app.log")))
			}
			if filepath.Ext(name) == ".gz" {
				pack(t, filepath.Join(dir, "app.log.1"), ".gz")
			}
			back := lockAway(t, path)
			tl := reloader(t, dir, reg, Options{})
			refusesToReload(t, tl, in, path)
			back()
			reloads(t, tl, in, lines)
		})
	}
}

// TestReloadDoesNotWaitForWhatIsNoneOfOurs: a file of another name, or one of which nothing is to be delivered.
func TestReloadDoesNotWaitForWhatIsNoneOfOurs(t *testing.T) {
	t.Parallel()
	dir, reg, in := readOnce(t, numbered("a", 20))
	must(t, os.Remove(filepath.Join(dir, "app.log")))
	must(t, os.Symlink("private", filepath.Join(dir, "private")))
	raw, err := reloader(t, dir, reg, Options{}).Reload(in)
	must(t, err)
	for i, d := range raw.Replay {
		if d.Fate != pipeline.Lost || d.Reason != pipeline.ReasonGone {
			t.Errorf("record %d: got %+v", i, d)
		}
	}
	for i := range in.Decisions {
		in.Decisions[i].Fate = pipeline.Drop
	}
	must(t, os.Symlink("app.log", filepath.Join(dir, "app.log")))
	_, err = reloader(t, dir, reg, Options{}).Reload(in)
	must(t, err)
}
