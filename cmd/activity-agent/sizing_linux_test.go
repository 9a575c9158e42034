//go:build sizing

package main

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSizing measures what the agent costs at some rates, for docs/operations.md: `make sizing`.
func TestSizing(t *testing.T) {
	seconds, err := strconv.Atoi(os.Getenv("ACTIVITY_SIZING"))
	if err != nil {
		t.Fatalf("ACTIVITY_SIZING, in seconds: %v", err)
	}
	fmt.Printf("| store | lines/s | processor, %% of a core | RSS at the end, MB | peak RSS, MB | of it the agent's own memory, MB |\n|---|---|---|---|---|---|\n")
	for _, store := range []string{"sqlite", "elasticsearch"} {
		for _, rate := range []int{0, 10, 1000, 20_000} {
			t.Run(fmt.Sprintf("%s/%d", store, rate), func(t *testing.T) {
				m := measure(t, store, rate, time.Duration(seconds)*time.Second)
				fmt.Printf("| %s | %d | %.2f | %.0f | %.0f | %.0f |\n", store, m.rate, m.cpu*100, m.rss, m.peak, m.own)
			})
		}
	}
}

// A cost is what an agent took while lines came in at a rate.
type cost struct {
	rate           int     // that was reached, lines/s
	cpu            float64 // of one core
	rss, peak, own float64 // MB
}

// measure runs an agent as it is released over ten files, and lets it settle before it looks.
func measure(t *testing.T, store string, rate int, long time.Duration) cost {
	s := newSite(t, "sqlite", "")
	s.exe = binary(t)
	withAdmin(t, s, "")
	if store == "elasticsearch" {
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		target := fmt.Sprintf("store: {elasticsearch: {addresses: [%q]}}", nothing(t).URL)
		text = []byte(strings.Replace(string(text), "store: {sqlite: {path: "+s.path("store.db")+"}}", target, 1))
		if err := os.WriteFile(s.config, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var logs []*os.File
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 10 {
		f, err := os.Create(filepath.Join(filepath.Dir(s.log), fmt.Sprintf("app-%d.log", i)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		_, _ = f.Write(append(logLine(r, i, false), '\n'))
		logs = append(logs, f)
	}
	run := s.start()
	wrote := 10
	write := func(until time.Time) (lines int) {
		const tick = 50 * time.Millisecond
		began := time.Now()
		for time.Now().Before(until) {
			for due := int(float64(rate) * time.Since(began).Seconds()); lines < due; {
				var b []byte // some lines for one file, as an application's buffer has them
				for range min(100, due-lines) {
					b = append(append(b, logLine(r, wrote, false)...), '\n')
					lines, wrote = lines+1, wrote+1
				}
				if _, err := logs[wrote%len(logs)].Write(b); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(tick)
		}
		return lines
	}
	write(time.Now().Add(10 * time.Second)) // until the start is over, and the number of processors fits the work
	if rate == 0 {
		long = max(long, time.Minute)
	}
	began, before := time.Now(), processor(t, run.cmd.Process.Pid)
	lines := write(began.Add(long))
	m := cost{cpu: (processor(t, run.cmd.Process.Pid) - before).Seconds() / time.Since(began).Seconds(), rate: int(float64(lines)/time.Since(began).Seconds() + 0.5)}
	status := statusOf(t, run.cmd.Process.Pid)
	m.rss, m.peak, m.own = status["VmRSS"], status["VmHWM"], status["RssAnon"]
	run.eventually("all to be stored", func() bool { return run.metrics()["records_stored_total"] == float64(wrote) })
	run.stop()
	return m
}

// processor returns the processor time of a process.
func processor(t *testing.T, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var sum time.Duration
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		sum += time.Duration(n) * 10 * time.Millisecond
	}
	return sum
}

// statusOf returns the sizes in a process's status, in MB.
func statusOf(t *testing.T, pid int) map[string]float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		var name string
		var kib float64
		if n, _ := fmt.Sscanf(line, "%s %f kB", &name, &kib); n == 2 {
			out[strings.TrimSuffix(name, ":")] = kib * 1024 / 1e6
		}
	}
	return out
}

// nothing is an Elasticsearch that takes everything and keeps nothing.
func nothing(t *testing.T) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		if r.URL.Path != "/_bulk" {
			_, _ = io.WriteString(w, `{"acknowledged":true,"tokens":[]}`)
			return
		}
		var in io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				http.Error(w, "", http.StatusBadRequest)
				return
			}
			in = z
		}
		lines, n := bufio.NewScanner(in), 0
		lines.Buffer(nil, 8<<20)
		for lines.Scan() {
			n++
		}
		_, _ = io.WriteString(w, `{"errors":false,"items":[`+strings.TrimSuffix(strings.Repeat(`{"create":{"status":201}},`, n/2), ",")+"]}")
	}))
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv
}
