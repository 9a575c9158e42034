package tail

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/truledgr/activity-agent/pipeline"
)

// TestAFileThatIsCopiedBeforeItIsReadToItsEnd: while the agent reads, and is behind, since what it hands over is not
// wanted yet.
func TestAFileThatIsCopiedBeforeItIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	for name, include := range map[string]string{"the copy is matched": "*", "the copy is not matched": "*.log"} {
		for _, suffix := range []string{"", ".gz", ".zst"} {
			for how, vacate := range map[string]func(path string) error{
				"truncated":    func(path string) error { return os.Truncate(path, 0) },
				"written anew": func(path string) error { return os.WriteFile(path, []byte("{\"anew\":1}\n"), 0o644) },
				"deleted":      os.Remove,
			} {
				t.Run(fmt.Sprintf("%s, %s, as app.log.1%s", name, how, suffix), func(t *testing.T) {
					t.Parallel()
					dir, reg := t.TempDir(), newMemory()
					o := including(dir, include)
					o.BatchBytes, o.Files[0].MaxLineBytes, o.Pool = 16<<10, 1<<10, 1
					first, second := numbered("a", 5000), numbered("b", 3000)
					path := filepath.Join(dir, "app.log")
					write(t, path, text(first))
					tl := reloader(t, dir, reg, o)
					ctx, cancel := contextOf(t)
					done := make(chan error, 1)
					go func() { done <- tl.Run(ctx) }()
					var got []string
					take := func(raw *pipeline.Raw) {
						reg.commit(t, raw)
						got = append(got, recordsOf(raw)...)
						ranges := slices.Clone(raw.Ranges)
						tl.Release(raw)
						tl.Acked(ranges)
					}
					take(<-tl.Batches())
					copyFile(t, path, path+".1")
					if suffix != "" {
						pack(t, path+".1", suffix)
					}
					must(t, vacate(path))
					write(t, path, text(second))
					want := slices.Concat(first, second)
					if how == "written anew" {
						want = append(want, `{"anew":1}`)
					}
					until(t, func() bool {
						select {
						case raw := <-tl.Batches():
							take(raw)
						default:
						}
						return len(got) >= len(want)
					})
					cancel()
					for range tl.Batches() {
					}
					must(t, <-done)
					slices.Sort(got)
					slices.Sort(want)
					if !slices.Equal(got, want) {
						t.Errorf("got %s, want %s", brief(got), brief(want))
					}
					// And the copy is known after a restart.
					start(t, dir, reg, o).wantsOf()
				})
			}
		}
	}
}

// TestACopyElsewhereIsFinished: under another name in another directory, while the agent is down.
func TestACopyElsewhereIsFinished(t *testing.T) {
	t.Parallel()
	for _, suffix := range []string{"", ".gz", ".zst"} {
		t.Run(suffix, func(t *testing.T) {
			t.Parallel()
			dir, reg := t.TempDir(), newMemory()
			must(t, os.Mkdir(filepath.Join(dir, "archive"), 0o755))
			o := including(dir, "**/*")
			lines := numbered("a", 3000)
			g := start(t, dir, reg, o)
			write(t, g.path("app.log"), text(lines[:1000]))
			g.wants(lines[:1000]...)
			g.stop()
			write(t, g.path("app.log"), text(lines[1000:]))
			kept := g.path("archive/monday")
			copyFile(t, g.path("app.log"), kept)
			if suffix != "" {
				pack(t, kept, suffix)
			}
			must(t, os.Remove(g.path("app.log")))
			h := start(t, dir, reg, o)
			h.wantsOf(lines[1000:]...)
			if h.streams[0] != g.streams[0] {
				t.Error("it became another stream")
			}
		})
	}
}
