package testenv

import (
	"os"
	"path/filepath"
	"testing"
)

// recorder stands in for the test that calls Shared, and notes how it ended.
type recorder struct {
	testing.TB
	skipped, failed bool
}

func (r *recorder) Helper()               {}
func (r *recorder) Skip(...any)           { r.skipped = true }
func (r *recorder) Fatal(...any)          { r.failed = true }
func (r *recorder) Fatalf(string, ...any) { r.failed = true }

func TestRootHoldsGoMod(t *testing.T) {
	if _, err := os.Stat(filepath.Join(Root(t), "go.mod")); err != nil {
		t.Error(err)
	}
}

func TestAbsentCorpusSkipsForDevelopersAndFailsInCI(t *testing.T) {
	for _, tt := range []struct {
		ci              string
		skipped, failed bool
	}{{"", true, false}, {"1", false, true}} {
		t.Run("ACTIVITY_CI="+tt.ci, func(t *testing.T) {
			t.Setenv("ACTIVITY_CI", tt.ci)
			r := &recorder{TB: t}
			Shared(r, "no/such/corpus")
			if r.skipped != tt.skipped || r.failed != tt.failed {
				t.Errorf("skipped %v and failed %v, want %v and %v", r.skipped, r.failed, tt.skipped, tt.failed)
			}
		})
	}
}

func TestSharedFindsACorpusThatIsThere(t *testing.T) {
	dir := Shared(t, "corpus/logs")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) == 0 {
		t.Errorf("corpus at the returned path: %d entries, error %v; want some and none", len(entries), err)
	}
}
