package deadletter

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truledgr/activity-agent/activity"
)

func letter(batch uint64, seq int) Letter {
	return Letter{
		Time: time.Date(2026, 11, 23, 12, 0, 0, 5, time.UTC), Reason: "too_deep", Kind: "auth_event", ID: "01J", Stream: activity.StreamID{1, 0xff},
		Path: "/var/log/app.log", Offset: 100 * int64(seq), Length: 99, Batch: batch, Seq: seq,
	}
}

func mustOpen(t *testing.T, dir string) *Log {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func mustAdd(t *testing.T, l *Log, ls ...Letter) {
	t.Helper()
	if err := l.Add(ls); err != nil {
		t.Fatal(err)
	}
}

func expect(t *testing.T, dir string, damaged int, want ...Letter) {
	t.Helper()
	got, bad, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("letters (-want +got):\n%s", diff)
	}
	if bad != damaged {
		t.Errorf("damaged lines: got %d, want %d", bad, damaged)
	}
}

func TestLettersComeBack(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	expect(t, dir, 0)
	l := mustOpen(t, dir)
	joined := letter(2, 0)
	joined.Pieces = []Place{{Offset: 1, Length: 2}, {Offset: 5, Length: 6}}
	plain := Letter{Time: joined.Time, Reason: "non_json"}
	mustAdd(t, l)
	mustAdd(t, l, letter(1, 0), letter(1, 1))
	mustAdd(t, mustOpen(t, dir), joined, plain)
	expect(t, dir, 0, letter(1, 0), letter(1, 1), joined, plain)
	info, err := os.Stat(filepath.Join(dir, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Mode().Perm(), os.FileMode(0o600); got != want {
		t.Errorf("mode: got %v, want %v", got, want)
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mustAdd(t, mustOpen(t, dir), letter(7, 3))
	got, _ := os.ReadFile(filepath.Join(dir, FileName))
	want := `{"time":"2026-11-23T12:00:00.000000005Z","reason":"too_deep","kind":"auth_event","id":"01J","path":"/var/log/app.log",` +
		`"offset":300,"length":99,"batch":7,"seq":3,"stream":"01ff0000000000000000000000000000"}` + "\n"
	if string(got) != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestReplayedBatchAddsNoSecondLetter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir)
	mustAdd(t, l, letter(1, 0), letter(1, 1))
	again := letter(1, 1)
	again.Time, again.Reason = again.Time.Add(time.Hour), "other words"
	mustAdd(t, l, again, letter(2, 1))
	expect(t, dir, 0, letter(1, 0), letter(1, 1), letter(2, 1))
}

func TestTornTailAtEveryLength(t *testing.T) {
	t.Parallel()
	first := t.TempDir()
	mustAdd(t, mustOpen(t, first), letter(1, 0), letter(1, 1))
	whole, _ := os.ReadFile(filepath.Join(first, FileName))
	one := bytes.IndexByte(whole, '\n') + 1
	for n := 0; n < len(whole); n += 3 {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, FileName), whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		var want []Letter
		if n >= one {
			want = append(want, letter(1, 0))
		}
		expect(t, dir, 0, want...)
		mustAdd(t, mustOpen(t, dir), letter(3, 3))
		expect(t, dir, 0, append(want, letter(3, 3))...)
	}
}

func TestLongTornTailIsCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir)
	mustAdd(t, l, letter(1, 0))
	f, _ := os.OpenFile(filepath.Join(dir, FileName), os.O_APPEND|os.O_WRONLY, 0)
	_, _ = f.WriteString(strings.Repeat("x", 10_000))
	_ = f.Close()
	mustAdd(t, l, letter(1, 1))
	expect(t, dir, 0, letter(1, 0), letter(1, 1))
}

func TestDamagedLinesArePassedOverAndKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir)
	mustAdd(t, l, letter(1, 0))
	f, _ := os.OpenFile(filepath.Join(dir, FileName), os.O_APPEND|os.O_WRONLY, 0)
	_, _ = f.WriteString("\x00\x00garbage\n{}\n{\"stream\":\"01\"}\n")
	_ = f.Close()
	mustAdd(t, l, letter(1, 1))
	expect(t, dir, 3, letter(1, 0), letter(1, 1))
	if err := Remove(dir, []Letter{letter(1, 0)}); err != nil {
		t.Fatal(err)
	}
	expect(t, dir, 3, letter(1, 1))
}

func TestRemoveTakesAllCopiesAndLeavesTheRest(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir)
	mustAdd(t, l, letter(1, 0), letter(1, 1), letter(1, 0))
	if err := Remove(dir, []Letter{letter(1, 0), letter(9, 9)}); err != nil {
		t.Fatal(err)
	}
	expect(t, dir, 0, letter(1, 1))
	mustAdd(t, l, letter(2, 0)) // into the new file
	expect(t, dir, 0, letter(1, 1), letter(2, 0))
	es, _ := os.ReadDir(dir)
	if len(es) != 1 {
		t.Errorf("files left behind: %v", es)
	}
	if err := Remove(t.TempDir(), []Letter{letter(1, 0)}); err != nil {
		t.Errorf("nothing to remove from: %v", err)
	}
}

func TestRemoveWhileLettersAreAddedLosesNone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir)
	const n = 40
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			if err := l.Add([]Letter{letter(1, i)}); err != nil {
				t.Error(err)
			}
		}
	})
	for range n {
		if err := Remove(dir, []Letter{letter(9, 9)}); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	got, _, err := Read(dir)
	if err != nil || len(got) != n {
		t.Errorf("got %d letters and error %v, want %d", len(got), err, n)
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	if _, err := Open(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("Open without a directory: %v", err)
	}
	dir := t.TempDir()
	l := mustOpen(t, dir)
	_ = os.Remove(filepath.Join(dir, FileName))
	_ = os.Mkdir(filepath.Join(dir, FileName), 0o700)
	if err := l.Add([]Letter{letter(1, 0)}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("Add to a directory: got %v, want an error naming %s", err, dir)
	}
	_ = l.Close()
	if err := l.Add([]Letter{letter(1, 0)}); !errors.Is(err, ErrClosed) {
		t.Errorf("Add after Close: %v", err)
	}
}

func BenchmarkAdd(b *testing.B) {
	l, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	ls := []Letter{letter(1, 1)}
	b.ReportAllocs()
	for b.Loop() {
		if err := l.Add(ls); err != nil {
			b.Fatal(err)
		}
	}
}
