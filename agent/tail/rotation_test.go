package tail

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// numbered returns n lines of some length that differ from all others.
func numbered(name string, n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"file":%q,"seq":%d,"msg":"something has happened"}`, name, i)
	}
	return lines
}

func text(lines []string) string { return strings.Join(lines, "\n") + "\n" }

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, b, 0o644))
}

func TestCopyTruncateReadsNothingTwice(t *testing.T) {
	t.Parallel()
	for name, include := range map[string]string{"copy is matched": "*.log*", "copy is not matched": "*.log"} {
		for _, n := range []int{1, 3, 200} {
			t.Run(fmt.Sprintf("%s, %d lines", name, n), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				c := DefaultConfig()
				c.Include = []string{filepath.Join(dir, include)}
				g := start(t, dir, newMemory(), Options{Files: []Config{c}})
				first, second := numbered("a", n), numbered("b", n+5)
				write(t, g.path("app.log"), text(first))
				g.wants(first...)
				copyFile(t, g.path("app.log"), g.path("app.log.1"))
				must(t, os.Truncate(g.path("app.log"), 0))
				write(t, g.path("app.log"), text(second))
				g.wants(slices.Concat(first, second)...)
			})
		}
	}
}

func TestCopyTruncateWhileDownFinishesTheCopy(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	g := start(t, dir, reg, Options{})
	first, second := numbered("a", 100), numbered("b", 90)
	write(t, g.path("app.log"), text(first[:50]))
	g.wants(first[:50]...)
	g.stop()
	write(t, g.path("app.log"), text(first[50:]))
	copyFile(t, g.path("app.log"), g.path("app.log.1"))
	must(t, os.Truncate(g.path("app.log"), 0))
	write(t, g.path("app.log"), text(second))
	g = start(t, dir, reg, Options{})
	g.wants(slices.Concat(first[50:], second)...)
	if got := g.got(); got[0] != first[50] {
		t.Errorf("the copy was not read first")
	}
}

func TestAFileWrittenAnewIsReadFromItsBeginning(t *testing.T) {
	t.Parallel()
	a, b := numbered("a", 20), numbered("b", 20)
	for name, second := range map[string][]string{"shorter": b[:10], "of the same size": b, "longer": numbered("b", 50)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := start(t, t.TempDir(), newMemory(), Options{})
			write(t, g.path("app.log"), text(a))
			g.wants(a...)
			must(t, os.WriteFile(g.path("app.log"), []byte(text(second)), 0o644))
			g.wants(slices.Concat(a, second)...)
		})
		t.Run(name+", while down", func(t *testing.T) {
			t.Parallel()
			dir, reg := t.TempDir(), newMemory()
			g := start(t, dir, reg, Options{})
			write(t, g.path("app.log"), text(a))
			g.wants(a...)
			g.stop()
			must(t, os.WriteFile(g.path("app.log"), []byte(text(second)), 0o644))
			g = start(t, dir, reg, Options{})
			g.wants(second...)
			g.stop()
			start(t, dir, reg, Options{}).wants() // the reset was kept
		})
	}
}

func TestNULsAfterATruncationAreNoContent(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{})
	f, err := os.Create(g.path("app.log"))
	must(t, err)
	defer f.Close()
	a, b := numbered("a", 50), numbered("b", 50)
	_, err = f.WriteString(text(a))
	must(t, err)
	g.wants(a...)
	must(t, f.Truncate(0))
	_, err = f.WriteString(text(b)) // the descriptor has no O_APPEND: it goes on at its offset
	must(t, err)
	g.wants(slices.Concat(a, b)...)
}

func TestALongRunOfNULs(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{})
	f, err := os.Create(g.path("app.log"))
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt([]byte("{\"a\":1}\nb\n"), 20<<20)
	must(t, err)
	g.wants(`{"a":1}`, "b")
}

func TestFilesThatBeginAlikeAreBothRead(t *testing.T) {
	t.Parallel()
	header := text(numbered("header", 100))
	for name, tt := range map[string]struct{ a, b string }{
		"4 KiB alike":    {header + text(numbered("a", 10)), header + text(numbered("b", 12))},
		"a banner":       {"banner\n" + text(numbered("a", 10)), "banner\n" + text(numbered("b", 10))},
		"a banner alone": {"banner\n" + text(numbered("a", 10)), "banner\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := DefaultConfig()
			c.Include = []string{filepath.Join(dir, "*")}
			write(t, filepath.Join(dir, "app.log.1"), tt.a)
			time.Sleep(5 * time.Millisecond)
			write(t, filepath.Join(dir, "app.log"), tt.b)
			g := start(t, dir, newMemory(), Options{Files: []Config{c}})
			g.wants(strings.Split(strings.TrimSuffix(tt.a+tt.b, "\n"), "\n")...)
		})
		t.Run(name+", one after the other", func(t *testing.T) {
			t.Parallel()
			g := start(t, t.TempDir(), newMemory(), Options{})
			write(t, g.path("app.log"), tt.a)
			g.wants(strings.Split(strings.TrimSuffix(tt.a, "\n"), "\n")...)
			must(t, os.Rename(g.path("app.log"), g.path("app.log.1")))
			for _, line := range strings.SplitAfter(tt.b, "\n") {
				write(t, g.path("app.log"), line)
			}
			g.wants(strings.Split(strings.TrimSuffix(tt.a+tt.b, "\n"), "\n")...)
		})
	}
}

// TestNamesOfCopies: of files that begin alike with less than 1 KiB, the names tell which are copies. The last row is a
// rotation of which the new file was noticed before the new name of the old one.
func TestNamesOfCopies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		f, g string
		want bool
	}{
		{"app.log.1", "app.log", true}, {"app.log", "app.log.1", false}, {"app.log.gz", "app.log", true},
		{"app.log.bak", "app.log", true}, {"app.log.2", "app.log.1", false}, {"app.log", "app.log", false},
	} {
		if got := copyByName(&file{path: tt.f}, &file{path: tt.g}, 7); got != tt.want {
			t.Errorf("%s may be a copy of %s: %v, want %v", tt.f, tt.g, got, tt.want)
		}
	}
}

func TestCopiesAreNotReadAgain(t *testing.T) {
	t.Parallel()
	lines := numbered("a", 100)
	for _, name := range []string{"app.log.1", "app.log.bak", "app-copy.log", "app.log-20261123", "app (1).log"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, reg := t.TempDir(), newMemory()
			c := DefaultConfig()
			c.Include = []string{filepath.Join(dir, "*")}
			o := Options{Files: []Config{c}}
			g := start(t, dir, reg, o)
			write(t, g.path("app.log"), text(lines))
			g.wants(lines...)
			copyFile(t, g.path("app.log"), g.path(name))
			g.wants(lines...)
			write(t, g.path("app.log"), "more\n")
			g.wants(append(slices.Clone(lines), "more")...)
			g.stop()
			start(t, dir, reg, o).wants()
			start(t, dir, newMemory(), o).wants(append(slices.Clone(lines), "more")...)
		})
	}
}

func TestAStreamKeepsItsIDWhenTheStateIsLost(t *testing.T) {
	t.Parallel()
	lines := numbered("a", 30)
	for _, name := range []string{"app.log", "app.log.1", "app-2026-01-02.log", "app.log.2026-01-02T15-04-05.000", "app.log.old"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			c := DefaultConfig()
			c.Include = []string{filepath.Join(dir, "*")}
			o := Options{Files: []Config{c}}
			g := start(t, dir, newMemory(), o)
			write(t, g.path("app.log"), text(lines))
			write(t, g.path("other.log"), text(lines))
			g.wants(slices.Concat(lines, lines)...)
			g.stop()
			if name != "app.log" {
				must(t, os.Rename(g.path("app.log"), g.path(name)))
			}
			h := start(t, dir, newMemory(), o)
			h.wants(slices.Concat(lines, lines)...)
			want := slices.Compact(slices.Sorted(slices.Values(g.streams)))
			got := slices.Compact(slices.Sorted(slices.Values(h.streams)))
			if len(want) != 2 || !slices.Equal(got, want) {
				t.Errorf("got streams %v, want %v, two of them", got, want)
			}
		})
	}
}

func TestAReusedInodeIsAnotherStream(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	g := start(t, dir, reg, Options{})
	a, b := numbered("a", 20), numbered("b", 40)
	write(t, g.path("app.log"), text(a))
	g.wants(a...)
	g.stop()
	must(t, os.WriteFile(g.path("app.log"), []byte(text(b)), 0o644)) // the same inode
	start(t, dir, reg, Options{}).wants(b...)
}

func TestAFileWithManyNamesIsReadOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "sub"), 0o755))
	c := DefaultConfig()
	c.Include = []string{filepath.Join(dir, "*.log"), filepath.Join(dir, "**", "*.log"), filepath.Join(dir, "app.log")}
	d := DefaultConfig()
	d.Include = []string{filepath.Join(dir, "a*")}
	write(t, filepath.Join(dir, "app.log"), "a\n")
	must(t, os.Symlink(filepath.Join(dir, "app.log"), filepath.Join(dir, "current.log")))
	must(t, os.Link(filepath.Join(dir, "app.log"), filepath.Join(dir, "hard.log")))
	write(t, filepath.Join(dir, "sub", "b.log"), "b\n")
	g := start(t, dir, newMemory(), Options{Files: []Config{c, d}})
	g.wants("a", "b")
	write(t, g.path("hard.log"), "c\n")
	g.wants("a", "b", "c")
}

func TestASymbolicLinkIsFollowedToItsNewTarget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := DefaultConfig()
	c.Include = []string{filepath.Join(dir, "current.log")}
	write(t, filepath.Join(dir, "a.txt"), "a1\n")
	must(t, os.Symlink("a.txt", filepath.Join(dir, "current.log")))
	g := start(t, dir, newMemory(), Options{Files: []Config{c}})
	g.wants("a1")
	write(t, g.path("b.txt"), "b1\n")
	write(t, g.path("a.txt"), "a2\n")
	must(t, os.Symlink("b.txt", g.path("new")))
	must(t, os.Rename(g.path("new"), g.path("current.log")))
	g.wants("a1", "a2", "b1")
}

func TestADeletedFileIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{})
	f, err := os.Create(g.path("app.log"))
	must(t, err)
	defer f.Close()
	_, _ = f.WriteString("a\n")
	g.wants("a")
	must(t, os.Remove(g.path("app.log")))
	_, _ = f.WriteString("b\nrest")
	g.wants("a", "b", "rest")
	until(t, func() bool { return len(g.Stats()) == 0 })
	if got := g.Stats(); len(got) != 0 {
		t.Errorf("still following %v", got)
	}
	write(t, g.path("app.log"), "new\n")
	g.wants("a", "b", "rest", "new")
}

func TestTheRemainderOfARotatedFileIsARecord(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{})
	write(t, g.path("app.log"), "a\nno newline")
	g.wants("a")
	must(t, os.Rename(g.path("app.log"), g.path("app.log.1")))
	write(t, g.path("app.log"), "b\n")
	g.wants("a", "b", "no newline")
}

func TestDrainEmitsWholeObjectsOnly(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	g := start(t, dir, reg, Options{Linger: time.Hour})
	write(t, g.path("a.log"), "a\n", `{"whole":true}`)
	write(t, g.path("b.log"), "b\n", `{"whole":`)
	until(t, func() bool { return len(g.Stats()) == 2 })
	g.drain()
	g.wants("a", "b", `{"whole":true}`)
	write(t, g.path("a.log"), "\nc\n")
	write(t, g.path("b.log"), "false}\n")
	start(t, dir, reg, Options{}).wants("c", `{"whole":false}`)
}

func TestStartAtEnd(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	c := DefaultConfig()
	c.Include, c.StartAt = []string{filepath.Join(dir, "*.log")}, "end"
	o := Options{Files: []Config{c}}
	write(t, filepath.Join(dir, "old.log"), text(numbered("old", 100)), "half a ")
	g := start(t, dir, reg, o)
	until(t, func() bool { _, ok := g.IdleSince(); return ok })
	write(t, g.path("old.log"), "line\nnew\n")
	write(t, g.path("later.log"), "later\n")
	g.wants("half a line", "new", "later")
	g.stop()
	write(t, g.path("old.log"), "more\n")
	write(t, g.path("down.log"), "written while down\n")
	start(t, dir, reg, o).wants("more", "written while down")
}

func TestStartAtEndIsKeptWithoutARecord(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	c := DefaultConfig()
	c.Include, c.StartAt = []string{filepath.Join(dir, "*.log")}, "end"
	o := Options{Files: []Config{c}}
	write(t, filepath.Join(dir, "old.log"), text(numbered("old", 100)))
	g := start(t, dir, reg, o)
	until(t, func() bool { _, ok := g.IdleSince(); return ok })
	g.stop()
	write(t, g.path("old.log"), "new\n")
	start(t, dir, reg, o).wants("new")
}

func TestWhatIsNoFileIsPassedOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "dir.log"), 0o755))
	must(t, syscall.Mkfifo(filepath.Join(dir, "pipe.log"), 0o644))
	write(t, filepath.Join(dir, "app.log"), "a\n")
	g := start(t, dir, newMemory(), Options{})
	g.wants("a")
	stats := g.Stats()
	if len(stats) != 2 || stats[1].State != Failing {
		t.Errorf("got %+v, want app.log and a failing pipe.log", stats)
	}
}

func TestFastRotationLosesNothing(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{})
	write(t, g.path("app.log"), "begin\n")
	g.wants("begin")
	want := []string{"begin"}
	for i := range 30 {
		lines := numbered(fmt.Sprint("r", i), 5)
		want = append(want, lines...)
		write(t, g.path("app.log"), text(lines))
		must(t, os.Rename(g.path("app.log"), g.path(fmt.Sprintf("app.log.%d", 100-i))))
		time.Sleep(time.Millisecond)
	}
	g.wants(want...)
}

func TestPollingAlone(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{NoNotify: true})
	write(t, g.path("app.log"), "a\n")
	g.wants("a")
	must(t, os.Rename(g.path("app.log"), g.path("app.log.1")))
	write(t, g.path("app.log"), "b\n")
	g.wants("a", "b")
}

func TestAStreamIsForgottenSomeTimeAfterItsFile(t *testing.T) {
	t.Parallel()
	reg := newMemory()
	g := start(t, t.TempDir(), reg, Options{ForgetAfter: 50 * time.Millisecond})
	write(t, g.path("app.log"), "a\n")
	g.wants("a")
	must(t, os.Remove(g.path("app.log")))
	until(t, func() bool { return len(reg.Streams()) == 0 })
	if n := len(reg.Streams()); n != 0 {
		t.Errorf("still %d streams", n)
	}
}

// TestACopyThatIsShorterThanWhatWasRead: lines that were written between the copying and the truncation have been read, so
// the copy does not reach to the end of what was. It is a copy all the same: at once, later, and after a restart.
func TestACopyThatIsShorterThanWhatWasRead(t *testing.T) {
	t.Parallel()
	for _, n := range []int{20, 400} {
		for _, how := range []string{"", "down", "gz", "down, gz"} {
			t.Run(fmt.Sprintf("%d lines %s", n, how), func(t *testing.T) {
				t.Parallel()
				restarted, packed := strings.Contains(how, "down"), strings.Contains(how, "gz")
				dir, reg := t.TempDir(), newMemory()
				first, second, third := numbered("a", n), numbered("b", 10), numbered("c", 10)
				c := DefaultConfig()
				c.Include = []string{filepath.Join(dir, "*.log*")}
				o := Options{Files: []Config{c}, NoNotify: true, BatchBytes: 4 << 10}
				g := start(t, dir, reg, o)
				for i := 0; i < n; i += 10 {
					write(t, g.path("app.log"), text(first[i:i+10]))
					if n < 100 {
						g.wants(first[:i+10]...)
					}
				}
				g.wants(first...)
				// The copy is made under a name that is not looked at until the file has been truncated.
				copyFile(t, g.path("app.log"), g.path("hidden"))
				write(t, g.path("app.log"), text(second))
				g.wants(slices.Concat(first, second)...)
				if restarted {
					g.stop()
				}
				must(t, os.Truncate(g.path("app.log"), 0))
				must(t, os.Rename(g.path("hidden"), g.path("app.log.1")))
				if packed {
					pack(t, g.path("app.log.1"), ".gz")
				}
				write(t, g.path("app.log"), text(third))
				want := slices.Concat(first, second, third)
				for range 2 {
					if restarted {
						g = start(t, dir, reg, o)
						g.wants(third...)
						want, restarted = third, false
					}
					g.wants(want...)
					time.Sleep(200 * time.Millisecond) // longer than anything is waited for
					g.wants(want...)
					g.stop()
					g = start(t, dir, reg, o)
					want = nil
				}
			})
		}
	}
}

// TestALogThatSharesABannerWithOneThatIsGone: a program writes the same first line into every log. A rotated log that is
// shorter than one that was read and is gone has nothing but that line in common with it, and is no copy of it.
func TestALogThatSharesABannerWithOneThatIsGone(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", ".gz"} {
		for _, banner := range []int{1, 3} {
			t.Run(fmt.Sprintf("%d lines %s", banner, suffix), func(t *testing.T) {
				t.Parallel()
				dir, reg := t.TempDir(), newMemory()
				c := DefaultConfig()
				c.Include = []string{filepath.Join(dir, "*.log*")}
				o := Options{Files: []Config{c}, NoNotify: true, BatchBytes: 4 << 10}
				g := start(t, dir, reg, o)
				first := numbered("banner", banner)
				write(t, g.path("app.log"), text(first))
				g.wants(first...)
				rest := numbered("a", 400)
				write(t, g.path("app.log"), text(rest))
				g.wants(slices.Concat(first, rest)...)
				g.stop()
				other := slices.Concat(first, numbered("b", 2))
				write(t, g.path("app.log.1"), text(other)) // before the other goes, whose inode it would get
				must(t, os.Remove(g.path("app.log")))
				if suffix != "" {
					pack(t, g.path("app.log.1"), suffix)
				}
				start(t, dir, reg, o).wantsOf(other...)
			})
		}
	}
}

// TestAnIdleFileIsNeverForgotten: however long nothing is written to a file, what was read of it is known as long as it is
// there, also over restarts.
func TestAnIdleFileIsNeverForgotten(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	now := &fakeTime{t: time.Now()}
	o := Options{Now: now.now, NoNotify: true}
	lines := numbered("a", 6)
	g := start(t, dir, reg, o)
	write(t, g.path("app.log"), text(lines[:2]))
	for i := 2; i < 6; i += 2 {
		until(t, func() bool { now.add(time.Second); return len(g.got()) == 2 })
		for range 60 {
			now.add(time.Hour)
			time.Sleep(3 * time.Millisecond)
		}
		if len(reg.Streams()) != 1 {
			t.Fatalf("after 60 hours: %d streams", len(reg.Streams()))
		}
		g.stop()
		write(t, g.path("app.log"), text(lines[i:i+2]))
		g = start(t, dir, reg, o)
	}
	until(t, func() bool { now.add(time.Second); return len(g.got()) >= 2 })
	if got := g.got(); !slices.Equal(got, lines[4:]) {
		t.Errorf("got %q, want %q", got, lines[4:])
	}
}

// A fakeTime is a clock that is set.
type fakeTime struct {
	mu sync.Mutex
	t  time.Time
}

func (f *fakeTime) now() time.Time { f.mu.Lock(); defer f.mu.Unlock(); return f.t }

func (f *fakeTime) add(d time.Duration) { f.mu.Lock(); defer f.mu.Unlock(); f.t = f.t.Add(d) }

// TestACopyThatIsWrittenAnewIsRead: a file that was taken for a copy of another one has other content by now, of the same
// size or more.
func TestACopyThatIsWrittenAnewIsRead(t *testing.T) {
	t.Parallel()
	first := numbered("a", 30)
	for name, second := range map[string][]string{"the same size": numbered("b", 30), "longer": numbered("b", 40)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "app.log.bak"), text(first))
			g := start(t, dir, newMemory(), including(dir, "*.log*"))
			g.wants(first...)
			write(t, g.path("app.log"), text(first))
			until(t, func() bool {
				stats := g.Stats()
				return len(stats) == 2 && (stats[0].State == Copy || stats[1].State == Copy)
			})
			f, err := os.OpenFile(g.path("app.log"), os.O_WRONLY, 0)
			must(t, err)
			defer f.Close()
			_, err = f.WriteAt([]byte(text(second)), 0) // at once: nobody sees it short
			must(t, err)
			g.wants(slices.Concat(first, second)...)
		})
	}
}
