package main

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/truledgr/activity-agent/internal/testenv"
)

// TestCorpus ships every file of the shared corpus: each line is accounted for, and whatever is in a file, the good
// lines around it are stored.
func TestCorpus(t *testing.T) {
	t.Parallel()
	corpus := testenv.Shared(t, "corpus")
	s := newSite(t, "sqlite", "")
	var records int64
	for _, glob := range []string{"logs/*.log", "logs/*.ndjson", "json/suite/*.json"} {
		files, err := filepath.Glob(filepath.Join(corpus, glob))
		if err != nil || len(files) == 0 {
			t.Fatalf("no %s: %v", glob, err)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			dst, err := os.Create(filepath.Join(s.dir, "logs", filepath.Base(f)+".log"))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(dst, "{\"msg\":\"before\",\"mark\":1}\n")
			_, _ = dst.Write(b)
			_, _ = io.WriteString(dst, "\n{\"msg\":\"after\",\"mark\":1}\n")
			if err := dst.Close(); err != nil {
				t.Fatal(err)
			}
			records += 2
		}
	}
	a := s.runToEnd()
	if a.DeadLettered > 0 || total(a.Lost) > 0 || a.Panics > 0 {
		t.Errorf("%+v", a)
	}
	code, out, errs := call(t, "", "query", "-c", s.config, "--where", "details.mark=1", "--limit", "0", "--fields", "id")
	if code != 0 {
		t.Fatal(errs)
	}
	if got := int64(len(splitLines(out))); got != records {
		t.Errorf("%d of %d marked lines are stored", got, records)
	}
}

func splitLines(s string) []string {
	var out []string
	for len(s) > 0 {
		i := 0
		for i < len(s) && s[i] != '\n' {
			i++
		}
		out = append(out, s[:i])
		s = s[min(i+1, len(s)):]
	}
	return out
}
