package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long tests wait for what has to happen: far longer than it takes on the busiest machine.
const patience = 60 * time.Second

// A running is a process of the agent, with its admin listener.
type running struct {
	*site
	cmd  *exec.Cmd
	said *output
}

// output collects what a process writes, to be read while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// start runs the agent, whose site must have an admin listener, and returns when its replay is over. It is killed when the
// test ends, if it still runs then.
func (s *site) start() *running {
	s.t.Helper()
	r := s.launch()
	r.eventually("the agent to have started", func() bool { return r.get("/startupz") == "ok\n" })
	return r
}

// launch is start without waiting.
func (s *site) launch() *running {
	s.t.Helper()
	r := &running{site: s, said: new(output)}
	r.cmd = s.command("run", "-c", s.config, "--summary", s.path("summary.json"))
	r.cmd.Env = append(r.cmd.Environ(), s.env...)
	r.cmd.Stdout, r.cmd.Stderr = r.said, r.said
	if err := r.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if r.cmd.ProcessState == nil {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
		}
	})
	return r
}

// eventually waits until ok holds.
func (r *running) eventually(what string, ok func() bool) {
	r.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("waited in vain for %s; the agent said:\n%s", what, r.said)
		}
	}
}

// get returns what the admin listener answers, "" if it does not.
func (r *running) get(path string) string {
	resp, err := http.Get("http://" + r.admin + path)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(b)
}

// metrics scrapes the agent: values by name and labels, without the prefix activity_agent_.
func (r *running) metrics() map[string]float64 {
	m := map[string]float64{}
	for line := range strings.Lines(r.get("/metrics")) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "activity_agent_")
		at := strings.LastIndexByte(name, ' ')
		if !ok || at < 0 {
			continue
		}
		if v, err := strconv.ParseFloat(name[at+1:], 64); err == nil {
			m[name[:at]] = v
		}
	}
	return m
}

func (r *running) signal(sig syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(sig); err != nil {
		r.t.Fatalf("%v: %v\n%s", sig, err, r.said)
	}
}

// wait returns the exit code.
func (r *running) wait() int {
	r.t.Helper()
	_ = r.cmd.Wait()
	return r.cmd.ProcessState.ExitCode()
}

// stop ends the agent in order, and checks that all was delivered.
func (r *running) stop() {
	r.t.Helper()
	r.signal(syscall.SIGTERM)
	if code := r.wait(); code != exitDone {
		r.t.Fatalf("exit code %d\n%s", code, r.said)
	}
	r.account()
}

// log appends lines with the numbers from, from+1, … to the site's log; format has the number in it.
func (s *site) append(format string, from, n int) {
	s.t.Helper()
	var b bytes.Buffer
	for seq := from; seq < from+n; seq++ {
		fmt.Fprintf(&b, format+"\n", seq)
	}
	f, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := f.Write(b.Bytes()); err != nil {
		s.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// withAdmin gives the site an admin listener.
func withAdmin(t *testing.T, s *site, more string) *site {
	t.Helper()
	s.admin = freeAddress(t)
	s.configure(more)
	return s
}
