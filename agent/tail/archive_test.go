package tail

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/truledgr/activity-agent/pipeline"
)

// packers are the ways to compress that are read, by the suffix that their programs give.
var packers = map[string]func(string) []byte{
	".gz": func(s string) []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = io.WriteString(w, s)
		_ = w.Close()
		return b.Bytes()
	},
	".zst": func(s string) []byte {
		w, _ := zstd.NewWriter(nil)
		return w.EncodeAll([]byte(s), nil)
	},
}

// pack compresses a file as rotation does: the copy has the time of the file, which is removed.
func pack(t testing.TB, path, suffix string) {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	fi, err := os.Stat(path)
	must(t, err)
	must(t, os.WriteFile(path+suffix, packers[suffix](string(b)), 0o644))
	must(t, os.Chtimes(path+suffix, fi.ModTime(), fi.ModTime()))
	must(t, os.Remove(path))
}

func including(dir, glob string) Options {
	c := DefaultConfig()
	c.Include = []string{filepath.Join(dir, glob)}
	return Options{Files: []Config{c}}
}

// eachPacking runs test for every way to compress.
func eachPacking(t *testing.T, test func(t *testing.T, suffix string)) {
	for suffix := range packers {
		t.Run(suffix[1:], func(t *testing.T) {
			t.Parallel()
			test(t, suffix)
		})
	}
}

// settle waits until everything is read, and all archives are known.
func (g *tailing) settled() {
	g.t.Helper()
	until(g.t, func() bool { _, ok := g.IdleSince(); return ok })
	if _, ok := g.IdleSince(); !ok {
		g.t.Fatalf("never idle: %+v", g.Stats())
	}
}

// wantsOf waits until everything is read, and compares what came out.
func (g *tailing) wantsOf(want ...string) {
	g.t.Helper()
	g.settled()
	g.wants(want...)
}

func TestACompressedBacklogIsReadOnce(t *testing.T) {
	t.Parallel()
	eachPacking(t, func(t *testing.T, suffix string) {
		dir, reg := t.TempDir(), newMemory()
		o := including(dir, "app.log*")
		var want []string
		for i := 3; i > 0; i-- {
			lines := numbered(fmt.Sprint("old", i), 3000*i)
			want = append(want, lines...)
			write(t, filepath.Join(dir, fmt.Sprintf("app.log.%d", i)), text(lines))
			pack(t, filepath.Join(dir, fmt.Sprintf("app.log.%d", i)), suffix)
		}
		write(t, filepath.Join(dir, "app.log"), "live\n")
		time.Sleep(1200 * time.Millisecond) // so that nobody can be thought to be writing them
		g := start(t, dir, reg, o)
		g.wantsOf(append(slices.Clone(want), "live")...)
		if got := g.got(); !slices.Equal(got[:len(want)], want) {
			t.Error("the backlog was not read first, the oldest first")
		}
		if got := len(reg.Streams()); got != 4 {
			t.Errorf("got %d streams, want 4", got)
		}
		g.stop()
		h := start(t, dir, reg, o)
		h.wantsOf()
		h.stop()
		if got := h.unpack.bytes; got > 3*unpackChunk { // the first lines
			t.Errorf("decompressed %d bytes of archives that have not changed", got)
		}
		for i := 3; i > 0; i-- { // the next rotation
			must(t, os.Rename(g.path(fmt.Sprintf("app.log.%d%s", i, suffix)), g.path(fmt.Sprintf("app.log.%d%s", i+1, suffix))))
		}
		start(t, dir, reg, o).wantsOf()
		copyFile(t, g.path("app.log.2"+suffix), g.path("app.log.2.bak"+suffix))
		must(t, os.WriteFile(g.path("app.log.9"), []byte(text(numbered("old2", 6000))), 0o644)) // and one unpacked again
		start(t, dir, reg, o).wantsOf()
		// Without state the same streams are found.
		again := newMemory()
		h = start(t, dir, again, o)
		h.wantsOf(append(slices.Clone(want), "live")...)
		for _, s := range again.Streams() {
			if _, ok := reg.streams[s.ID]; !ok {
				t.Errorf("%s has another id", s.Path)
			}
		}
	})
}

func TestAFileThatWasCompressedIsFinishedFromTheArchive(t *testing.T) {
	t.Parallel()
	eachPacking(t, func(t *testing.T, suffix string) {
		for name, glob := range map[string]string{"the archive is matched": "app.log*", "the archive is not matched": "*.log"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				dir, reg := t.TempDir(), newMemory()
				o := including(dir, glob)
				first := numbered("a", 5000)
				half := len(first[2500]) / 2
				g := start(t, dir, reg, o)
				write(t, g.path("app.log"), text(first[:2500])+first[2500][:half])
				g.wants(first[:2500]...)
				g.stop()
				write(t, g.path("app.log"), first[2500][half:]+"\n"+text(first[2501:]))
				must(t, os.Rename(g.path("app.log"), g.path("app.log.1")))
				pack(t, g.path("app.log.1"), suffix)
				write(t, g.path("app.log"), "new\n")
				h := start(t, dir, reg, o)
				h.wantsOf(append(slices.Clone(first[2500:]), "new")...)
				if got := h.streams[slices.Index(h.got(), first[2500])]; got != g.streams[0] {
					t.Error("it became another stream")
				}
				h.stop()
				start(t, dir, reg, o).wantsOf()
			})
		}
	})
}

func TestAFinishedFileThatIsCompressedIsNotReadAgain(t *testing.T) {
	t.Parallel()
	eachPacking(t, func(t *testing.T, suffix string) {
		for _, glob := range []string{"app.log*", "*.log"} {
			for _, lines := range []int{1, 2000} {
				for _, open := range []int{0, 1} {
					t.Run(fmt.Sprintf("%s, %d lines, %d open", glob, lines, open), func(t *testing.T) {
						t.Parallel()
						dir, reg := t.TempDir(), newMemory()
						o := including(dir, glob)
						o.OpenFiles = open
						g := start(t, dir, reg, o)
						want := numbered("a", lines)
						write(t, g.path("app.log"), text(want))
						write(t, g.path("other.log"), "other\n")
						if glob == "app.log*" {
							must(t, os.Remove(g.path("other.log")))
						} else {
							want = append(want, "other")
						}
						g.wants(want...)
						must(t, os.Rename(g.path("app.log"), g.path("app.log.1")))
						write(t, g.path("app.log"), "b\n")
						want = append(want, "b")
						g.wants(want...)
						pack(t, g.path("app.log.1"), suffix)
						time.Sleep(200 * time.Millisecond)
						g.wantsOf(want...)
						g.stop()
						start(t, dir, reg, o).wantsOf()
					})
				}
			}
		}
	})
}

func TestACopyIsCompressedWhileItsFileIsRead(t *testing.T) {
	t.Parallel()
	eachPacking(t, func(t *testing.T, suffix string) {
		dir, reg := t.TempDir(), newMemory()
		o := including(dir, "app.log*")
		lines := numbered("a", 3000)
		write(t, filepath.Join(dir, "app.log.1"), text(lines))
		must(t, os.WriteFile(filepath.Join(dir, "app.log.1"+suffix), packers[suffix](text(lines)), 0o644)) // gzip -k
		must(t, os.WriteFile(filepath.Join(dir, "app.log.3"+suffix), packers[suffix](text(lines[:1000])), 0o644))
		write(t, filepath.Join(dir, "app.log.2"), text(lines[:100]))
		g := start(t, dir, reg, o)
		g.wantsOf(lines...)
		must(t, os.Remove(g.path("app.log.1")))
		until(t, func() bool { return len(g.Stats()) == 3 })
		g.stop()
		must(t, os.Remove(g.path("app.log.3"+suffix)))
		must(t, os.Remove(g.path("app.log.2")))
		start(t, dir, reg, o).wantsOf()
	})
}

func TestCopyTruncateAndCompressFinishesTheArchive(t *testing.T) {
	t.Parallel()
	eachPacking(t, func(t *testing.T, suffix string) {
		dir, reg := t.TempDir(), newMemory()
		o := including(dir, "*.log")
		first, second := numbered("a", 3000), numbered("b", 4000)
		g := start(t, dir, reg, o)
		write(t, g.path("app.log"), text(first[:1000]))
		g.wants(first[:1000]...)
		g.stop()
		write(t, g.path("app.log"), text(first[1000:]))
		copyFile(t, g.path("app.log"), g.path("app.log.1"))
		pack(t, g.path("app.log.1"), suffix)
		must(t, os.Truncate(g.path("app.log"), 0))
		write(t, g.path("app.log"), text(second))
		start(t, dir, reg, o).wantsOf(slices.Concat(first[1000:], second)...)
	})
}

func TestArchivesThatBeginAlikeAreAllRead(t *testing.T) {
	t.Parallel()
	eachPacking(t, func(t *testing.T, suffix string) {
		dir, reg := t.TempDir(), newMemory()
		o := including(dir, "app.log*")
		want := []string{}
		for i := range 4 {
			lines := append([]string{"banner"}, numbered(fmt.Sprint(i), 500)...)
			want = append(want, lines...)
			write(t, filepath.Join(dir, fmt.Sprintf("app.log.%d", i)), text(lines))
			if i > 1 {
				pack(t, filepath.Join(dir, fmt.Sprintf("app.log.%d", i)), suffix)
			}
		}
		g := start(t, dir, reg, o)
		g.wantsOf(want...)
		g.stop()
		pack(t, g.path("app.log.0"), suffix)
		pack(t, g.path("app.log.1"), suffix)
		must(t, os.WriteFile(g.path("app.log.4"+suffix), packers[suffix]("banner\nanother\n"), 0o644))
		start(t, dir, reg, o).wantsOf("banner", "another")
	})
}

func TestTheInodeOfAnArchiveIsUsedAgain(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	o := including(dir, "app.log*")
	path := filepath.Join(dir, "app.log.1.gz")
	write(t, path, string(packers[".gz"]("banner\nold\n")))
	g := start(t, dir, reg, o)
	g.wantsOf("banner", "old")
	g.stop()
	must(t, os.WriteFile(path, packers[".gz"]("banner\nnew\nlonger\n"), 0o644)) // the same inode
	start(t, dir, reg, o).wantsOf("banner", "new", "longer")
}

func TestADamagedArchiveIsReadAsFarAsItGoes(t *testing.T) {
	t.Parallel()
	lines := make([]string, 20_000) // that do not compress well, so that there is a middle
	r := rand.New(rand.NewPCG(1, 2))
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"seq":%d,"key":"%x%x"}`, i, r.Uint64(), r.Uint64())
	}
	eachPacking(t, func(t *testing.T, suffix string) {
		whole := packers[suffix](text(lines))
		for name, tt := range map[string]struct {
			data []byte
			why  string
			all  bool // lines are there
		}{
			"cut off":            {whole[:len(whole)*2/3], damageTruncated, false},
			"cut off at the end": {whole[:len(whole)-3], damageTruncated, suffix == ".gz"},
			"damaged":            {slices.Concat(whole[:len(whole)/2], bytes.Repeat([]byte{0xaa}, 300), whole[len(whole)/2+300:]), damageCorrupt, false},
			"something behind":   {slices.Concat(whole, []byte("garbage that is longer than a header")), damageCorrupt, true},
			"only the magic":     {whole[:4], damageTruncated, false},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				dir, reg := t.TempDir(), newMemory()
				o := including(dir, "*")
				must(t, os.WriteFile(filepath.Join(dir, "a.log"+suffix), tt.data, 0o644))
				write(t, filepath.Join(dir, "b.log"), "b\n")
				g := start(t, dir, reg, o)
				g.settled()
				got := slices.DeleteFunc(g.got(), func(s string) bool { return s == "b" })
				n := 0 // lines that are right: what is damaged may still decompress to something
				for n < min(len(got), len(lines)) && got[n] == lines[n] {
					n++
				}
				if tt.all && n != len(lines) || name != "only the magic" && n < len(lines)/8 || name != "damaged" && len(got) > n+1 {
					t.Errorf("got %d lines: %s", len(got), brief(got))
				}
				if got := g.Damaged(); got[tt.why] != 1 || len(got) != 1 {
					t.Errorf("counted %v, want one %s", got, tt.why)
				}
				g.stop()
				h := start(t, dir, reg, o)
				h.wantsOf()
			})
		}
	})
}

func TestAnArchiveThatIsStillWrittenIsLeftAlone(t *testing.T) {
	t.Parallel()
	eachPacking(t, func(t *testing.T, suffix string) {
		dir := t.TempDir()
		o := including(dir, "*")
		o.QuietAfter = 400 * time.Millisecond
		lines := numbered("a", 2000)
		data := packers[suffix](text(lines))
		g := start(t, dir, newMemory(), o)
		for part := range slices.Chunk(data, len(data)/10+1) {
			write(t, g.path("app.log.1"+suffix), string(part))
			time.Sleep(20 * time.Millisecond)
		}
		g.wantsOf(lines...)
		if got := g.Damaged(); len(got) != 0 {
			t.Errorf("counted %v", got)
		}
	})
}

func TestABombTakesNoMemory(t *testing.T) {
	t.Parallel()
	eachPacking(t, func(t *testing.T, suffix string) {
		for name, fill := range map[string]string{"NULs": "\x00", "newlines": "\n", "one line": "x"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				const size = 16 << 20
				dir := t.TempDir()
				o := including(dir, "*")
				o.Files[0].MaxLineBytes = 1 << 10
				o.BatchBytes = 64 << 10
				write(t, filepath.Join(dir, "app.log.1"+suffix), string(packers[suffix](strings.Repeat(fill, size)+"\nend\n")))
				want := []string{"end"}
				if fill == "x" {
					want = []string{strings.Repeat("x", 1<<10), "end"}
				}
				g := start(t, dir, newMemory(), o)
				g.wantsOf(want...)
				g.Tailer.mu.Lock()
				defer g.Tailer.mu.Unlock()
				for _, cursors := range g.unpack.spare {
					for _, c := range cursors {
						if len(c.ring) > 512<<10 {
							t.Errorf("kept %d bytes", len(c.ring))
						}
					}
				}
			})
		}
	})
}

func TestAnArchiveThatNeedsTooMuchMemoryIsRefusedByName(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithWindowSize(64<<20))
	must(t, err)
	r := rand.NewChaCha8([32]byte{1})
	_, err = io.CopyN(w, r, 1<<20)
	must(t, err)
	must(t, w.Close())
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "a.log.zst"), b.Bytes(), 0o644))
	g := start(t, dir, newMemory(), including(dir, "*"))
	g.wantsOf()
	if got := g.Damaged(); got[damageWindow] != 1 {
		t.Errorf("counted %v", got)
	}
}

func TestOtherCompressionIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.log.xz"), "\xfd7zXZ\x00\x00\n")
	write(t, filepath.Join(dir, "b.log"), "b\n")
	g := start(t, dir, newMemory(), including(dir, "*"))
	g.wants("b")
	if s := g.Stats(); len(s) != 2 || s[0].State != Failing || !strings.Contains(s[0].Err, "gzip and zstd") {
		t.Errorf("got %+v", s)
	}
}

func TestAnArchiveIsKnownByItsBytes(t *testing.T) {
	t.Parallel()
	eachPacking(t, func(t *testing.T, suffix string) {
		dir := t.TempDir()
		lines := numbered("a", 100)
		write(t, filepath.Join(dir, "app.log.1"), string(packers[suffix](text(lines))))
		write(t, filepath.Join(dir, "plain.log"+suffix), "plain\n")
		skipped := "\x5a\x2a\x4d\x18\x03\x00\x00\x00abc" // a frame to be skipped, then two of content
		if suffix == ".gz" {
			skipped = ""
		}
		write(t, filepath.Join(dir, "two.log"), skipped+string(packers[suffix]("one\n"))+string(packers[suffix]("two\n")))
		start(t, dir, newMemory(), including(dir, "*")).wantsOf(append(slices.Clone(lines), "plain", "one", "two")...)
	})
}

func TestACrashInTheMiddleOfAnArchive(t *testing.T) {
	t.Parallel()
	eachPacking(t, func(t *testing.T, suffix string) {
		dir, reg := t.TempDir(), newMemory()
		o := including(dir, "*")
		o.BatchBytes, o.Files[0].MaxLineBytes, o.Pool = 16<<10, 1<<10, 2
		lines := numbered("a", 20_000)
		lines[777] = strings.Repeat("long", 5000)
		write(t, filepath.Join(dir, "app.log.1"+suffix), string(packers[suffix](text(lines))))
		write(t, filepath.Join(dir, "live.log"), "live\n")
		lines[777] = lines[777][:1<<10]
		want := append(slices.Clone(lines), "live")
		var got []string
		for n := 1; len(got) < len(want); n++ {
			tl := reloader(t, dir, reg, o)
			done := make(chan error, 1)
			ctx, cancel := contextOf(t)
			go func() { done <- tl.Run(ctx) }()
			for range 20 * n { // what is committed; the rest is lost with the crash
				select {
				case raw := <-tl.Batches():
					reg.commit(t, raw)
					got = append(got, recordsOf(raw)...)
					tl.Release(raw)
				case <-time.After(50 * time.Millisecond): // it is done, or slow
				}
			}
			cancel()
			for range tl.Batches() {
			}
			must(t, <-done)
			if n > 200 {
				t.Fatalf("%d of %d lines after %d crashes", len(got), len(want), n)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %d lines, want %d", len(got), len(want))
		}
	})
}

func TestReloadReadsFromAnArchive(t *testing.T) {
	t.Parallel()
	eachPacking(t, func(t *testing.T, suffix string) {
		for _, packedFirst := range []bool{false, true} {
			dir, reg := t.TempDir(), newMemory()
			o := including(dir, "*")
			o.BatchBytes, o.Files[0].MaxLineBytes = 32<<10, 8<<10
			lines := numbered("a", 5000)
			lines[2000] = strings.Repeat("x", 100<<10)
			write(t, filepath.Join(dir, "app.log.1"), text(lines))
			if packedFirst {
				pack(t, filepath.Join(dir, "app.log.1"), suffix)
			}
			g := start(t, dir, reg, o)
			g.settled()
			g.stop()
			if !packedFirst {
				pack(t, g.path("app.log.1"), suffix)
				must(t, os.WriteFile(g.path("app.log.2"+suffix), packers[suffix]("another\n"), 0o644))
			}
			h := reloader(t, dir, reg, o)
			var got []string
			for _, in := range g.intents {
				raw, err := h.Reload(in)
				must(t, err)
				for i, d := range raw.Replay {
					if d.Fate != pipeline.Deliver {
						t.Fatalf("record %d is %+v", i, d)
					}
				}
				got = append(got, recordsOf(raw)...)
				h.Acked(raw.Ranges)
				h.Release(raw)
			}
			if !slices.Equal(got, g.lines) {
				t.Errorf("got %s, want %s", brief(got), brief(g.lines))
			}
			s := reg.Streams()[0]
			b, err := h.ReadAt(s.ID, int64(len(lines[0])+1), int64(len(lines[1])))
			if err != nil || string(b) != lines[1] {
				t.Errorf("got %q, %v", b, err)
			}
			if _, err := h.ReadAt(s.ID, s.Offset, 10); err == nil {
				t.Error("read behind the end")
			}
		}
	})
}

func TestArchivesAtTheEndOfAStart(t *testing.T) {
	t.Parallel()
	eachPacking(t, func(t *testing.T, suffix string) {
		dir, reg := t.TempDir(), newMemory()
		o := including(dir, "*")
		o.Files[0].StartAt = "end"
		write(t, filepath.Join(dir, "app.log.1"+suffix), string(packers[suffix](text(numbered("old", 1000)))))
		g := start(t, dir, reg, o)
		g.settled()
		write(t, g.path("app.log.2"+suffix), string(packers[suffix]("later\n")))
		g.wantsOf("later")
		g.stop()
		start(t, dir, reg, o).wantsOf()
	})
}

func TestManyArchivesOfManyFamilies(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	o := including(dir, "*")
	o.BatchBytes, o.Files[0].MaxLineBytes = 64<<10, 4<<10
	var want []string
	for i := range 12 {
		for suffix := range packers {
			lines := numbered(fmt.Sprint(i, suffix), 4000)
			want = append(want, lines...)
			write(t, filepath.Join(dir, fmt.Sprintf("f%d%s.log.1", i, suffix[1:])+suffix), string(packers[suffix](text(lines))))
		}
	}
	g := start(t, dir, reg, o)
	g.wantsOf(want...)
	g.Tailer.mu.Lock()
	defer g.Tailer.mu.Unlock()
	if g.open > 0 {
		t.Errorf("%d archives are still open", g.open)
	}
}

// TestLinesThatAreTooLongForAnArchive: each is gone through twice, not all before it again.
func TestLongLinesOfAnArchive(t *testing.T) {
	t.Parallel()
	eachPacking(t, func(t *testing.T, suffix string) {
		dir := t.TempDir()
		o := including(dir, "*")
		o.BatchBytes, o.Files[0].MaxLineBytes = 64<<10, 1<<10
		var want []string
		var all strings.Builder
		for i := range 40 {
			line := strings.Repeat(fmt.Sprintf("%06d ", i), 40_000)
			all.WriteString(line + "\n")
			want = append(want, line[:1<<10])
		}
		must(t, os.WriteFile(filepath.Join(dir, "app.log"+suffix), packers[suffix](all.String()), 0o644))
		g := start(t, dir, newMemory(), o)
		g.wantsOf(want...)
		g.Tailer.mu.Lock()
		unpacked := g.unpack.bytes
		g.Tailer.mu.Unlock()
		if limit := int64(3 * all.Len()); unpacked > limit {
			t.Errorf("decompressed %d bytes for %d", unpacked, all.Len())
		}
	})
}
