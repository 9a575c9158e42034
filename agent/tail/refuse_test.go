package tail

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

func TestAFileThatMayNotBeReadIsSaidOnceWithAdvice(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	tl := reloader(t, t.TempDir(), newMemory(), Options{Logger: zap.New(core)})
	path := filepath.Join(t.TempDir(), "app.log")
	for range 3 {
		tl.expand(lister{})
		tl.refuse(path, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission})
	}
	if logs.Len() != 1 {
		t.Fatalf("got %d log lines, want 1", logs.Len())
	}
	for _, want := range []string{"uid", "gid", "fsGroup"} {
		if got := logs.All()[0].Message; !strings.Contains(got, want) {
			t.Errorf("%q does not mention %s", got, want)
		}
	}
	if s := tl.Stats(); len(s) != 1 || s[0].State != Failing || s[0].Err == "" {
		t.Errorf("got %+v", s)
	}
}

func TestADeletedFilesRemainderIsNotLostByDraining(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{QuietAfter: 1 << 40})
	write(t, g.path("app.log"), "a\nrest")
	g.wants("a")
	must(t, os.Remove(g.path("app.log")))
	g.drain()
	g.wants("a", "rest")
}
