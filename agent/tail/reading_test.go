package tail

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/pipeline"
)

func TestALongLineIsKeptInPart(t *testing.T) {
	t.Parallel()
	const limit, size = 1 << 10, 50 << 20
	dir, reg := t.TempDir(), newMemory()
	c := DefaultConfig()
	c.Include, c.MaxLineBytes = []string{filepath.Join(dir, "*.log")}, limit
	o := Options{Files: []Config{c}, BatchBytes: 64 << 10}
	long := strings.Repeat("x", size)
	write(t, filepath.Join(dir, "app.log"), "a\n", long[:size/2])
	g := start(t, dir, reg, o)
	g.wants("a")
	write(t, g.path("app.log"), long[size/2:], "\r\nb\n", long)
	g.wants("a", long[:limit], "b")
	in := g.intents[1]
	if got, want := in.Pieces[0].Skip, int64(size-limit); got != want {
		t.Errorf("skipped %d bytes, want %d", got, want)
	}
	if got := cap((<-g.free).Buf); got > 64<<10 {
		t.Errorf("a buffer has grown to %d", got)
	}
	g.stop()
	h := reloader(t, dir, reg, o)
	raw, err := h.Reload(in)
	must(t, err)
	if got := recordsOf(raw); got[0] != long[:limit] {
		t.Errorf("reloaded %.20q", got[0])
	}
	must(t, os.Rename(g.path("app.log"), g.path("app.log.1")))
	write(t, g.path("app.log"), "next\n")
	start(t, dir, reg, o).wants(long[:limit], "next")
}

func reloader(t testing.TB, dir string, reg *memory, o Options) *Tailer {
	t.Helper()
	if o.Files == nil {
		c := DefaultConfig()
		c.Include = []string{filepath.Join(dir, "*.log")}
		o.Files = []Config{c}
	}
	o.IDKey, o.Registry = []byte("key"), reg
	tl, err := New(o)
	must(t, err)
	return tl
}

func TestReloadReadsTheSameAgain(t *testing.T) {
	t.Parallel()
	cri := func(tag, s string) string { return "2026-11-23T18:00:00.1Z stdout " + tag + " " + s + "\n" }
	for name, tt := range map[string]struct {
		change func(dir string) error
		lost   bool
	}{
		"untouched": {change: func(string) error { return nil }},
		"renamed": {change: func(dir string) error {
			return os.Rename(filepath.Join(dir, "app.log"), filepath.Join(dir, "app.log.3"))
		}},
		"renamed out of its family": {change: func(dir string) error {
			return os.Rename(filepath.Join(dir, "app.log"), filepath.Join(dir, "archived"))
		}},
		"grown": {change: func(dir string) error {
			f, err := os.OpenFile(filepath.Join(dir, "app.log"), os.O_APPEND|os.O_WRONLY, 0)
			if err == nil {
				_, err = f.WriteString("more\n")
				f.Close()
			}
			return err
		}},
		"gone": {change: func(dir string) error { return os.Remove(filepath.Join(dir, "app.log")) }, lost: true},
		"changed": {change: func(dir string) error {
			b, err := os.ReadFile(filepath.Join(dir, "app.log"))
			if err == nil {
				b[len(b)-9000] ^= 1
				err = os.WriteFile(filepath.Join(dir, "app.log"), b, 0o644)
			}
			return err
		}, lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, reg := t.TempDir(), newMemory()
			write(t, filepath.Join(dir, "app.log"), "\n", cri("P", "part"), cri("F", "end"), text(numbered("a", 200)))
			write(t, filepath.Join(dir, "other.log"), text(numbered("other", 100)))
			g := start(t, dir, reg, Options{Linger: 50 * time.Millisecond})
			until(t, func() bool { return len(g.got()) == 301 })
			g.stop()
			must(t, tt.change(dir))
			h := reloader(t, dir, reg, Options{})
			var at int
			for _, in := range g.intents {
				in.Decisions[0].Fate = pipeline.Drop
				raw, err := h.Reload(in)
				must(t, err)
				want := g.lines[at : at+len(in.Cuts)]
				at += len(in.Cuts)
				for i, c := range raw.Cuts {
					ours := strings.Contains(want[i], `"other"`)
					fate := raw.Replay[i].Fate
					if tt.lost && !ours && i > 0 {
						if raw.Doubt != nil && raw.Doubt[i] && fate == pipeline.Deliver {
							continue // the pipeline compares what it makes of it
						}
						if fate != pipeline.Lost || raw.Replay[i].Reason != pipeline.ReasonGone {
							t.Fatalf("record %d: got %+v, want lost", i, raw.Replay[i])
						}
						continue
					}
					if i > 0 && fate != pipeline.Deliver || i == 0 && fate != pipeline.Drop {
						t.Fatalf("record %d: got fate %d", i, fate)
					}
					if tt.lost && !ours {
						continue
					}
					one := &pipeline.Raw{Buf: raw.Buf, Pieces: raw.Pieces, Cuts: []pipeline.Cut{c}}
					if got := recordsOf(one)[0]; got != want[i] {
						t.Fatalf("record %d: got %.60q, want %.60q", i, got, want[i])
					}
				}
				if len(raw.Ranges) != len(in.Ranges) {
					t.Errorf("got %d ranges, want %d", len(raw.Ranges), len(in.Ranges))
				}
				h.Acked(raw.Ranges)
				h.Release(raw)
			}
			if h.outstanding != 0 {
				t.Errorf("%d ranges still under way", h.outstanding)
			}
		})
	}
}

func TestReadAtFindsARecordAgain(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	g := start(t, dir, reg, Options{})
	write(t, g.path("app.log"), "first\nsecond\n")
	g.wants("first", "second")
	g.stop()
	must(t, os.Rename(g.path("app.log"), g.path("app.log.1")))
	h := reloader(t, dir, reg, Options{})
	b, err := h.ReadAt(reg.Streams()[0].ID, 6, 6)
	if err != nil || string(b) != "second" {
		t.Errorf("got %q, %v", b, err)
	}
	must(t, os.WriteFile(g.path("app.log.1"), []byte("other\nthings\n"), 0o644))
	if _, err := h.ReadAt(reg.Streams()[0].ID, 6, 6); err == nil {
		t.Error("read something else")
	}
}

func TestPartialLinesAreJoinedOverReads(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{QuietAfter: time.Minute})
	write(t, g.path("app.log"), `{"log":"one ","stream":"stdout","time":"t"}`+"\n", `{"log":"x\n","stream":"stderr","time":"t"}`+"\n")
	time.Sleep(50 * time.Millisecond)
	if got := g.got(); len(got) != 0 {
		t.Errorf("got %q before the record was complete", got)
	}
	write(t, g.path("app.log"), `{"log":"two\n","stream":"stdout","time":"t"}`+"\n")
	g.wants(`{"log":"x\n","stream":"stderr","time":"t"}`,
		`{"log":"one ","stream":"stdout","time":"t"}|{"log":"two\n","stream":"stdout","time":"t"}`)
}

// Everything is accounted for: ranges follow each other from 0 to the end, and lines are counted.
// TestShortLinesMakeSmallBatches: a batch is bounded by its records too, and nothing is left behind at the end of a file,
// of a rotated file or of a drain.
func TestShortLinesMakeSmallBatches(t *testing.T) {
	t.Parallel()
	const most, lines = 50, 20_000
	g := start(t, t.TempDir(), newMemory(), Options{BatchRecords: most})
	var want []string
	var text strings.Builder
	for i := range lines {
		want = append(want, strconv.Itoa(i))
		fmt.Fprintf(&text, "%d\n\n", i)
	}
	write(t, g.path("app.log"), text.String())
	g.wants(want...)
	write(t, g.path("app.log"), text.String())
	must(t, os.Rename(g.path("app.log"), g.path("app.log.1")))
	g.wants(slices.Concat(want, want)...)
	write(t, g.path("app.log"), "other\n"+text.String()) // and one that all partial lines of must be there for
	cri := make([]string, 0, 3*most)
	for i := range 3 * most {
		cri = append(cri, fmt.Sprintf("2026-11-24T10:00:00Z stdout P part%d\n", i))
	}
	write(t, g.path("app.log"), strings.Join(cri, ""), "2026-11-24T10:00:00Z stdout F end\n")
	g.drain()
	if got := len(g.got()); got != 3*lines+2 {
		t.Errorf("got %d records, want %d", got, 3*lines+2)
	}
	for i, in := range g.intents {
		if len(in.Cuts) > most+1 {
			t.Errorf("batch %d has %d records", i, len(in.Cuts))
		}
	}
}

func TestManyFilesAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var want []string
	for i := range 40 {
		lines := numbered(fmt.Sprint("f", i), 500)
		want = append(want, lines...)
		write(t, filepath.Join(dir, fmt.Sprintf("f%d.log", i)), text(lines))
	}
	g := start(t, dir, newMemory(), Options{BatchBytes: 32 << 10, OpenFiles: 4, Files: []Config{func() Config {
		c := DefaultConfig()
		c.Include, c.MaxLineBytes = []string{filepath.Join(dir, "*.log")}, 1<<10
		return c
	}()}})
	g.wants(want...)
	if g.newline != int64(len(want)) {
		t.Errorf("counted %d lines, want %d", g.newline, len(want))
	}
	g.Tailer.mu.Lock()
	if g.open > 5 {
		t.Errorf("%d files are open", g.open)
	}
	g.Tailer.mu.Unlock()
	write(t, g.path("f7.log"), "more\n")
	g.wants(append(want, "more")...)
	var at int64
	seen := map[*pipeline.Stream]int64{}
	for _, r := range g.ranges {
		if seen[r.Stream] != r.Start {
			t.Fatalf("a range begins at %d after %d", r.Start, seen[r.Stream])
		}
		seen[r.Stream] = r.End
		at += r.End - r.Start
	}
	if n := int64(len(text(want)) + len("more\n")); at != n {
		t.Errorf("ranges cover %d bytes, want %d", at, n)
	}
	until(t, func() bool { _, ok := g.IdleSince(); return ok })
	for _, s := range g.Stats() {
		if s.Lag != 0 || s.Read != s.Size || s.Acked != s.Size || s.State != AtEnd {
			t.Errorf("got %+v", s)
		}
	}
}

func TestIdlingAllocatesNothing(t *testing.T) {
	dir := t.TempDir()
	for i := range 10 {
		write(t, filepath.Join(dir, fmt.Sprintf("f%d.log", i)), "line\n")
	}
	g := start(t, dir, newMemory(), Options{PollEvery: time.Millisecond, ScanEvery: time.Hour})
	until(t, func() bool { _, ok := g.IdleSince(); return ok })
	time.Sleep(20 * time.Millisecond)
	var a, b runtime.MemStats
	runtime.ReadMemStats(&a)
	time.Sleep(300 * time.Millisecond)
	runtime.ReadMemStats(&b)
	// 10 files at about 250 polls; an os.FileInfo each is what a look costs.
	t.Logf("%d bytes, %d objects", b.TotalAlloc-a.TotalAlloc, b.Mallocs-a.Mallocs)
	if got := (b.TotalAlloc - a.TotalAlloc) / 1000; got > 1500 {
		t.Errorf("allocated %d KB in 300 ms of 1 ms polls", got)
	}
}

func BenchmarkTail(b *testing.B) {
	dir := b.TempDir()
	line := `{"ts":1763921234.1234,"level":"info","msg":"user logged in","user_id":"u-1234","ip":"10.1.2.3","path":"/api/v1/login","status":200,"duration_ms":12.25,"request_id":"01JD0000000000000000000000"}` + "\n"
	data := bytes.Repeat([]byte(line), (256<<20)/len(line))
	must(b, os.WriteFile(filepath.Join(dir, "app.log"), data, 0o644))
	c := DefaultConfig()
	c.Include = []string{filepath.Join(dir, "*.log")}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		tl, err := New(Options{Files: []Config{c}, IDKey: []byte("k"), Registry: newMemory(), NoNotify: true})
		must(b, err)
		tl.Drain()
		done := make(chan error, 1)
		go func() { done <- tl.Run(b.Context()) }()
		var n int
		for raw := range tl.Batches() {
			n += len(raw.Cuts)
			tl.Release(raw)
		}
		must(b, <-done)
		if n != len(data)/len(line) {
			b.Fatalf("got %d records, want %d", n, len(data)/len(line))
		}
	}
}

func TestStemOf(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"app.log", "app.log.1", "app.log.2", "app.log.10", "app.log.1.gz", "app.log-20260102", "app.log-20260102.gz",
		"app.log-20260102-150405", "app.log.2026-01-02", "app.log-2026-01-02", "app.2026-01-02.log", "app-2026-01-02.log",
		"app-2026-01-02T15-04-05.000.log", "app.log.2026-01-02T15-04-05.000", "app.log-1700000000", "app.1.log",
		"app.log.old", "app.log.bak", "app.log.orig", "app.log.copy", "app.log.save", "app.log~", "app-copy.log",
		"app_copy.log", "app copy.log", "app(1).log", "app (1).log", "app.log.1.zst", "app.log.bz2", "app.log.xz",
		"app.log-copy", "app.log (2)", "app-20260102.log", "app_2026-01-02_15.log", "app.log.20260102150405",
	} {
		if got, want := stemOf(name), "app.log"; got != want {
			t.Errorf("%s: got %s", name, got)
		}
	}
	for _, name := range []string{"0.log", "server.8080.log", "copy.log", "1", "2026-01-02.log", "app-1.log", "my-2.log", ".1"} {
		if got := stemOf(name); got != name {
			t.Errorf("%s: got %s", name, got)
		}
	}
	if got := stemOf("0.log.20260102-150405"); got != "0.log" {
		t.Errorf("got %s", got)
	}
}

func TestValidateNamesTheKeys(t *testing.T) {
	t.Parallel()
	c := Config{Include: []string{"/a/[", ""}, StartAt: "middle", Format: "xml", NonJSON: "eat", MaxLineBytes: 5}
	var got []string
	for _, err := range c.Validate() {
		got = append(got, strings.SplitN(err.Error(), ":", 2)[0])
	}
	want := []string{"include[0]", "include[1]", "start_at", "format", "non_json", "multiline", "delete", "max_line_bytes"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	d := DefaultConfig()
	d.Include = []string{"/var/log/**/*.log"}
	if errs := d.Validate(); len(errs) != 0 {
		t.Errorf("got %v", errs)
	}
}

// TestARecordThatWaitsInVainIsReadWithoutItsEnd: the first lines of a joined record, whose last one never comes, hold up
// neither the lines behind them nor the end.
func TestARecordThatWaitsInVainIsReadWithoutItsEnd(t *testing.T) {
	t.Parallel()
	const first, other = "2026-11-23T10:00:00Z stdout P begun", "2026-11-23T10:00:01Z stderr F other"
	t.Run("while running", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a.log"), first+"\n", other+"\n")
		g := start(t, dir, newMemory(), Options{QuietAfter: 300 * time.Millisecond, PollEvery: 20 * time.Millisecond})
		g.wants(other, first)
		g.drain()
		g.wants(other, first)
	})
	t.Run("at the end", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		write(t, filepath.Join(dir, "a.log"), first+"\n", other+"\n")
		g := start(t, dir, newMemory(), Options{})
		g.drain()
		g.wants(other, first)
	})
}

// TestTheLastLineWithoutANewline: only what more bytes could not be part of is taken at the end.
func TestTheLastLineWithoutANewline(t *testing.T) {
	t.Parallel()
	for text, taken := range map[string]bool{
		`{"a":1}`: true, `[1]`: true, `"x"`: true, `true`: true, `12`: false, `{"a":`: false, `words`: false,
	} {
		for _, before := range []string{"", "{\"first\":1}\n"} {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "a.log"), []byte(before+text), 0o644); err != nil {
				t.Fatal(err)
			}
			reg := newMemory()
			g := start(t, dir, reg, Options{})
			g.drain()
			var want []string
			if before != "" {
				want = append(want, before[:len(before)-1])
			}
			if taken {
				want = append(want, text)
			}
			g.wants(want...)
			// Once its newline and more have come, the rest is read, and nothing twice.
			f, err := os.OpenFile(filepath.Join(dir, "a.log"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteString("\n{\"next\":1}\n"); err != nil {
				t.Fatal(err)
			}
			must(t, f.Close())
			h := start(t, dir, reg, Options{})
			h.drain()
			if want = []string{`{"next":1}`}; !taken {
				want = []string{text, `{"next":1}`}
			}
			h.wants(want...)
		}
	}
}
