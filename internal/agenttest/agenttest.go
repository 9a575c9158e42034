// Package agenttest runs the real agent for the tests of its clients.
package agenttest

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a start may take; on a busy machine everything takes longer.
const patience = 2 * time.Minute

// A Way is how activities come in.
type Way string

// The ways.
const (
	TCP  Way = "tcp"
	Unix Way = "unix"
	File Way = "file"
)

// An Agent has a directory of its own, an SQLite store, and one way in.
type Agent struct {
	// Address is where a client sends activities to.
	Address string

	t       *testing.T
	exe     string
	dir     string
	starts  int
	process *exec.Cmd // nil while it does not run
	ended   chan struct{}
	status  error // how it ended
}

var binary struct {
	sync.Mutex
	dir, path string
}

// build makes the agent, once for all tests of a package, unless ACTIVITY_AGENT names one.
func build(t *testing.T) string {
	t.Helper()
	if given := os.Getenv("ACTIVITY_AGENT"); given != "" {
		return given
	}
	binary.Lock()
	defer binary.Unlock()
	if binary.path != "" {
		return binary.path
	}
	dir, err := os.MkdirTemp("", "agenttest")
	if err != nil {
		t.Fatal(err)
	}
	binary.dir = dir
	path := filepath.Join(dir, "activity-agent")
	cmd := exec.Command("go", "build", "-o", path, "github.com/truledgr/activity-agent/cmd/activity-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	binary.path = path
	return path
}

// Remove removes what was built. It is for the end of TestMain.
func Remove() {
	binary.Lock()
	defer binary.Unlock()
	if binary.dir != "" {
		_ = os.RemoveAll(binary.dir)
		binary.dir, binary.path = "", ""
	}
}

// New makes an agent that is not started. It asks for the token, where that is not "".
func New(t *testing.T, in Way, token string) *Agent {
	t.Helper()
	a := &Agent{t: t, exe: build(t), dir: t.TempDir()}
	listen := ""
	switch in {
	case TCP:
		listen = freePort(t)
		a.Address = "http://" + listen
	case Unix:
		// The temporary directory of a test can be too long for the name of a socket.
		dir, err := os.MkdirTemp("", "s")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		listen = "unix:" + dir + "/s"
		a.Address = "unix://" + dir + "/s"
	case File:
		if err := os.Mkdir(filepath.Join(a.dir, "logs"), 0o755); err != nil {
			t.Fatal(err)
		}
		a.Address = "file://" + a.dir + "/logs/app.log"
	}
	config := fmt.Sprintf(`agent: {id: test, state_dir: %[1]s/state}
files: [{include: ["%[1]s/logs/*.log"], trust_ids: true}]
ingest: {listen: %[2]q, token: %[3]q}
store: {sqlite: {path: %[1]s/store.db}}
admin: {listen: ""}
`, a.dir, listen, token)
	if err := os.WriteFile(a.config(), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Kill)
	return a
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func (a *Agent) config() string { return filepath.Join(a.dir, "agent.yaml") }

// Start starts the agent and waits until it takes activities.
func (a *Agent) Start() {
	a.t.Helper()
	a.starts++
	name := filepath.Join(a.dir, fmt.Sprintf("stderr.%d", a.starts))
	stderr, err := os.Create(name)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = stderr.Close() }()
	a.process = exec.Command(a.exe, "run", "-c", a.config())
	a.process.Stderr = stderr
	if err := a.process.Start(); err != nil {
		a.process = nil
		a.t.Fatal(err)
	}
	a.ended = make(chan struct{})
	go func() {
		a.status = a.process.Wait()
		close(a.ended)
	}()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(patience)
	for {
		said, err := os.ReadFile(name)
		if strings.Contains(string(said), `"started"`) {
			return
		}
		select {
		case <-poll.C:
		case <-a.ended:
			a.t.Fatalf("the agent does not start: %v %v %s", a.status, err, said)
		case <-deadline:
			a.t.Fatalf("the agent does not start in time: %v %s", err, said)
		}
	}
}

// Kill kills the agent, if it runs.
func (a *Agent) Kill() {
	if a.process != nil {
		_ = a.process.Process.Kill() // it may have ended
		<-a.ended
		a.process = nil
	}
}

// Stored lets the agent store what it has, ends it, and returns what is in its store, oldest first. args are more flags of
// the command query.
func (a *Agent) Stored(args ...string) []map[string]any {
	a.t.Helper()
	if err := a.process.Process.Signal(syscall.SIGTERM); err != nil {
		a.t.Fatal(err)
	}
	<-a.ended
	a.process = nil
	if a.status != nil {
		a.t.Fatalf("the agent: %v", a.status)
	}
	query := exec.Command(a.exe, append([]string{"query", "-c", a.config(), "--json", "--limit", "0", "--sort", "@timestamp"}, args...)...)
	out, err := query.Output()
	if err != nil {
		a.t.Fatal(err)
	}
	var docs []map[string]any
	for line := range strings.Lines(string(out)) {
		var doc map[string]any
		if err := json.Unmarshal([]byte(line), &doc); err != nil {
			a.t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	return docs
}
