package ledger

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// copyState copies a state directory as a crash at this moment would leave it.
func copyState(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range []string{fileName, newName} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestFailedAppendCountsForNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		op      string
		compact int64
		ok      bool // the old file is sound and takes the intent
	}{
		{op: "write"},
		{op: "sync"},
		{op: "write", compact: 1, ok: true},
		{op: "sync", compact: 1, ok: true},
		{op: "create", compact: 1, ok: true},
		{op: "rename", compact: 1, ok: true},
		{op: "syncdir", compact: 1},
	} {
		name := tt.op
		if tt.compact > 0 {
			name += " while compacting"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, d := t.TempDir(), &faultyDisk{}
			l := mustOpen(t, dir, Options{disk: d, CompactBytes: tt.compact})
			_ = l.PutStream(Stream{ID: id(1), Dir: "d"})
			mustAppend(t, l, batchOf(1, id(1), 0, 100))
			mustFinish(t, l, 1)
			_ = l.PutStream(Stream{ID: id(1), Dir: "moved"})
			if tt.compact > 0 {
				l.limit = 1 // compact again, whatever the size
			}
			d.set(tt.op, 1)
			err := l.Append(batchOf(2, id(1), 100, 200), meta)
			if tt.ok {
				if err != nil {
					t.Fatalf("Append: %v", err)
				}
			} else {
				if !errors.Is(err, errFault) || !strings.Contains(err.Error(), dir) {
					t.Fatalf("Append: got %v, want the fault and the path", err)
				}
				if got, want := l.NextBatch(), uint64(2); got != want {
					t.Errorf("NextBatch: got %d, want %d", got, want)
				}
				if got := numbers(l); len(got) != 0 || l.Durable(1) || offsets(l)[id(1)] != 100 {
					t.Errorf("after the failure: pending %v, durable %v, offsets %v", got, l.Durable(1), offsets(l))
				}
				crashed := mustOpen(t, copyState(t, dir), Options{})
				if got := crashed.NextBatch() - 1; int64(got)*100 != offsets(crashed)[id(1)] {
					t.Errorf("a crash leaves offset %d after batch %d", offsets(crashed)[id(1)], got)
				}
				mustAppend(t, l, batchOf(2, id(1), 100, 300)) // not the same as the one that failed
			}
			want := l.Streams()
			mustClose(t, l)
			l = mustOpen(t, dir, Options{})
			if len(l.Repairs()) > 0 {
				t.Errorf("repairs: %v", l.Repairs())
			}
			if diff := cmp.Diff(want, l.Streams()); diff != "" {
				t.Errorf("streams (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff([]uint64{2}, numbers(l)); diff != "" {
				t.Errorf("pending (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFullDiskIsSurvived(t *testing.T) {
	t.Parallel()
	dir, d := t.TempDir(), &faultyDisk{}
	l := mustOpen(t, dir, Options{disk: d})
	mustAppend(t, l, batchOf(1, id(1), 0, 100))
	d.set("write", 10)
	mustFinish(t, l, 1)
	for range 10 {
		if err := l.Append(batchOf(2, id(1), 100, 200), meta); !errors.Is(err, errFault) {
			t.Fatalf("Append: %v", err)
		}
	}
	mustAppend(t, l, batchOf(2, id(1), 100, 200))
	if !l.Durable(1) {
		t.Error("the outcome did not ride on the intent")
	}
	es, _ := os.ReadDir(dir)
	if len(es) != 2 {
		t.Errorf("files left behind: %v", es)
	}
}

func TestOutcomeOutlivesAFailedFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, d := t.TempDir(), &faultyDisk{}
		l := mustOpen(t, dir, Options{disk: d})
		mustAppend(t, l, batchOf(1, id(1), 0, 100))
		mustFinish(t, l, 1)
		d.set("sync", 2)
		if err := l.Sync(); !errors.Is(err, errFault) {
			t.Errorf("Sync: %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if l.Durable(1) {
			t.Error("durable after a second failure")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !l.Durable(1) {
			t.Error("not durable once the disk works again")
		}
		mustClose(t, l)
		l = mustOpen(t, dir, Options{})
		if got := numbers(l); len(got) != 0 {
			t.Errorf("pending: %v", got)
		}
		mustClose(t, l)
	})
}

func TestRepairThatCannotBeWrittenYet(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	mustAppend(t, l, batchOf(1, id(1), 0, 100))
	mustAppend(t, l, batchOf(2, id(1), 100, 200))
	mustClose(t, l)
	b := readLedger(t, dir)
	at, types := frames(t, b)
	b[at[slices.Index(types, entryIntent)]+20] ^= 1
	writeLedger(t, dir, b)
	d := &faultyDisk{}
	d.set("write", 3) // the quarantine's, the new file's, and the next Append's
	l = mustOpen(t, dir, Options{disk: d})
	if err := l.Append(batchOf(3, id(1), 200, 300), meta); !errors.Is(err, errFault) {
		t.Errorf("Append: %v", err)
	}
	mustAppend(t, l, batchOf(3, id(1), 200, 300))
	if diff := cmp.Diff([]uint64{2, 3}, numbers(l)); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	if _, err := Open(filepath.Join(t.TempDir(), "new"), Options{disk: func() disk { d.set("create", 1); return d }()}); err == nil {
		t.Error("a directory that cannot be written was taken")
	}
}

func TestRepairsAreLoggedWithoutContent(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	b := slices.Clone(s.bytes)
	b[len(b)/2] ^= 1
	dir := t.TempDir()
	writeLedger(t, dir, b)
	core, logs := observer.New(zap.WarnLevel)
	l := mustOpen(t, dir, Options{Logger: zap.New(core)})
	if got, want := logs.Len(), len(l.Repairs()); got != want || want == 0 {
		t.Errorf("got %d log lines, want %d", got, want)
	}
	keys := slices.Sorted(maps.Keys(logs.All()[0].ContextMap()))
	if diff := cmp.Diff([]string{"bytes", "detail", "file", "kind", "offset"}, keys); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

// TestALedgerThatIsDeletedIsWrittenAnew: who deletes it while the agent runs does not make it forget.
func TestALedgerThatIsDeletedIsWrittenAnew(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(dir string) error{
		"the file":      func(dir string) error { return os.Remove(filepath.Join(dir, fileName)) },
		"the directory": os.RemoveAll,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "state")
			core, logs := observer.New(zap.WarnLevel)
			l := mustOpen(t, dir, Options{Logger: zap.New(core)})
			mustAppend(t, l, batchOf(1, id(1), 0, 100))
			if err := remove(dir); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, l, batchOf(2, id(1), 100, 200))
			mustFinish(t, l, 1)
			if logs.FilterMessageSnippet("deleted").Len() != 1 {
				t.Errorf("logged %v", logs.All())
			}
			mustClose(t, l)
			l = mustOpen(t, dir, Options{})
			if got := numbers(l); !slices.Equal(got, []uint64{2}) || offsets(l)[id(1)] != 200 || l.NextBatch() != 3 {
				t.Errorf("pending %v, offsets %v, next %d", got, offsets(l), l.NextBatch())
			}
		})
	}
}

// TestDurableBefore: what a file's records are in may be relied on only when all of it is on the disk.
func TestDurableBefore(t *testing.T) {
	t.Parallel()
	d := &faultyDisk{}
	l := mustOpen(t, t.TempDir(), Options{disk: d})
	want := func(number uint64, want bool) {
		t.Helper()
		if got := l.DurableBefore(number); got != want {
			t.Errorf("before %d: got %v, want %v", number, got, want)
		}
	}
	want(l.NextBatch(), true)
	mustAppend(t, l, batchOf(1, id(1), 0, 100))
	mustAppend(t, l, batchOf(2, id(1), 100, 200))
	want(1, true)
	want(2, false)
	d.set("write", 1000)
	mustFinish(t, l, 2)
	mustFinish(t, l, 1)
	want(3, false)
	_ = l.Sync()
	want(3, false)
	d.set("write", 0)
	if err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	want(3, true)
}
