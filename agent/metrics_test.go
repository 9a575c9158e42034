package agent

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

// scrape returns the agent's metrics by name and labels, without the prefix.
func (f *fixture) scrape() map[string]float64 {
	w := httptest.NewRecorder()
	adminHandler(f.agent, "test").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	m := map[string]float64{}
	for line := range strings.Lines(w.Body.String()) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "activity_agent_")
		if at := strings.LastIndexByte(name, ' '); ok && at > 0 {
			m[name[:at]], _ = strconv.ParseFloat(name[at+1:], 64)
		}
	}
	return m
}

// TestManyFilesHaveFewMetrics: the files that are furthest behind are named, and all are in the sums.
func TestManyFilesHaveFewMetrics(t *testing.T) {
	t.Parallel()
	const files = 150
	f := newFixture(t, 0, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, errors.New("down") })
	var bytes float64
	for i := range files {
		line := fmt.Sprintf("{\"file\":%d,\"pad\":%q}\n", i, strings.Repeat("x", i))
		bytes += float64(len(line))
		if err := os.WriteFile(filepath.Join(f.dir, fmt.Sprintf("f%d.log", i)), []byte(line), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { _, _ = f.run(t, ctx) })
	eventually(t, "every file to be read", func() bool {
		m := f.scrape()
		return m["lag_bytes"] == 0 && m["unacked_bytes"] == bytes && m["oldest_unacked_seconds"] > 0
	})
	m := f.scrape()
	for _, name := range []string{"file_lag_bytes", "file_unacked_bytes", "file_lag_seconds"} {
		n := 0
		for series := range m {
			if strings.HasPrefix(series, name+"{") {
				n++
			}
		}
		if n != maxFiles {
			t.Errorf("%d files have %s, want %d", n, name, maxFiles)
		}
	}
	most := fmt.Sprintf("file_unacked_bytes{path=%q}", filepath.Join(f.dir, "f149.log"))
	if m["files"] != files+1 || m[most] == 0 {
		t.Errorf("%v files, and %v of the one with the most to do", m["files"], m[most])
	}
	if m["records_in_flight"] == 0 || m["stuck"] != 0 || m["trouble"] != 1 {
		t.Errorf("in flight %v, stuck %v, trouble %v", m["records_in_flight"], m["stuck"], m["trouble"])
	}
	f.agent.Abort()
	cancel()
	done.Wait()
}

// TestAFileNameThatIsNoText: file systems take any bytes, metrics do not.
func TestAFileNameThatIsNoText(t *testing.T) {
	t.Parallel()
	f := newFixture(t, 1, func(int, *pipeline.Batch, []sinks.Result) (bool, error) { return false, nil })
	if err := os.WriteFile(filepath.Join(f.dir, "a\xff.log"), []byte("{\"msg\":\"m\"}\n"), 0o644); err != nil {
		t.Logf("not tried: this file system refuses such names: %v", err)
	}
	if err := f.agent.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	adminHandler(f.agent, "test").ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Errorf("status %d: %s", w.Code, w.Body)
	}
	if err := f.agent.Close(); err != nil {
		t.Error(err)
	}
}
