package main

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/internal/estest"
)

// asAgent makes the test binary be the agent: tests kill real processes.
const asAgent = "ACTIVITY_AGENT_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) == "1" {
		withoutDumps()
		crashOnSignal()
		p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, hostname: "test-host"}
		os.Exit(p.main(context.Background(), os.Args[1:]))
	}
	os.Exit(m.Run())
}

// command is a process of the agent that has not been started.
func command(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), asAgent+"=1")
	return cmd
}

// command is a process of the agent at the site that has not been started.
func (s *site) command(args ...string) *exec.Cmd {
	if s.exe == "" {
		return command(s.dir, args...)
	}
	cmd := exec.Command(s.exe, args...)
	cmd.Dir = s.dir
	return cmd
}

// binary builds the agent as it is released, without the race detector. It returns the file's path.
func binary(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "activity-agent")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// call runs a command in this process and returns its exit code and output.
func call(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	p := &program{stdin: strings.NewReader(stdin), stdout: &out, stderr: &err, getenv: func(string) string { return "" }, hostname: "test-host"}
	code = p.main(t.Context(), args)
	return code, out.String(), err.String()
}

// site is a directory with a configuration, a log and a store.
type site struct {
	t       *testing.T
	dir     string
	config  string
	log     string
	store   string // sqlite or file
	budget  string // agent.memory_budget
	admin   string // admin.listen
	nonJSON string // files[].non_json
	drain   string // agent.drain_timeout

	stopFile string   // agent.stop_file
	env      []string // of the process, beside the test's

	exe string // the agent as it is released, where what is tested takes long; else it is this test binary

	node   *estest.Node // of the store elasticsearch
	prefix string
}

// usualSite is a site without its files.
func usualSite(t *testing.T, store string) *site {
	t.Helper()
	return &site{t: t, dir: t.TempDir(), store: store, budget: "12MiB", nonJSON: "keep", drain: "25s"}
}

func newSite(t *testing.T, store, more string) *site {
	t.Helper()
	s := usualSite(t, store)
	if store == "elasticsearch" {
		s.node = estest.Shared(t)
		s.prefix = s.node.Prefix(t)
	}
	return s.made(more)
}

// newSiteOn is newSite with a node of the test's own.
func newSiteOn(t *testing.T, node *estest.Node) *site {
	t.Helper()
	s := usualSite(t, "elasticsearch")
	s.node, s.prefix = node, node.Prefix(t)
	return s.made("")
}

func (s *site) made(more string) *site {
	t := s.t
	t.Helper()
	s.log = filepath.Join(s.dir, "logs", "app.log")
	s.config = filepath.Join(s.dir, "agent.yaml")
	if err := os.Mkdir(filepath.Dir(s.log), 0o755); err != nil {
		t.Fatal(err)
	}
	s.configure(more)
	return s
}

// configure writes the configuration; more is added to its end.
func (s *site) configure(more string) {
	s.t.Helper()
	target := "{sqlite: {path: " + s.path("store.db") + "}}"
	switch s.store {
	case "file":
		target = "{file: {path: " + s.path("store.ndjson") + "}}"
	case "elasticsearch":
		target = fmt.Sprintf("{elasticsearch: {addresses: [%q], index_prefix: %s}}", s.node.URL(), s.prefix)
	}
	if !strings.Contains(more, "ingest:") {
		more = "ingest: {listen: \"\"}\n" + more // not the default address, where programs that are no part of the test may post
	}
	text := fmt.Sprintf("agent: {id: test, state_dir: %s, memory_budget: %s, drain_timeout: %s, stop_file: %q}\nfiles: [{include: [%q], non_json: %s}]\nstore: %s\nadmin: {listen: %q}\n%s\n",
		s.path("state"), s.budget, s.drain, s.stopFile, filepath.Join(s.dir, "logs", "*.log*"), s.nonJSON, target, s.admin, more)
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) path(name string) string { return filepath.Join(s.dir, name) }

// runToEnd runs the agent until it is idle and returns its account.
func (s *site) runToEnd() agent.Account {
	s.t.Helper()
	cmd := s.command("run", "-c", s.config, "--exit-when-idle", "300ms", "--summary", s.path("summary.json"))
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("run: %v\n%s", err, out)
	}
	return s.account()
}

// account reads the summary that the last run wrote.
func (s *site) account() agent.Account {
	s.t.Helper()
	b, err := os.ReadFile(s.path("summary.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	var a agent.Account
	if err := json.Unmarshal(b, &a); err != nil {
		s.t.Fatal(err)
	}
	balance(s.t, a)
	return a
}

// balance checks that the account adds up, with nothing left in flight.
func balance(t *testing.T, a agent.Account) {
	t.Helper()
	sum := a.Stored + a.Duplicate + a.Conflict + a.DeadLettered + total(a.Dropped) + total(a.Lost) + a.InFlight
	if a.Read != sum || a.InFlight != 0 {
		t.Errorf("the account does not add up: %+v", a)
	}
}

// documents calls f with every stored document.
func (s *site) documents(f func(doc []byte)) {
	s.t.Helper()
	if s.store == "elasticsearch" {
		for d := range s.node.Scan(s.t, s.prefix+"-*") {
			f(d.Source)
		}
		return
	}
	if s.store == "file" {
		file, err := os.Open(s.path("store.ndjson"))
		if err != nil {
			s.t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		in := bufio.NewReaderSize(file, 1<<20)
		for {
			line, err := in.ReadBytes('\n')
			if errors.Is(err, io.EOF) {
				if len(line) > 0 {
					s.t.Errorf("the file ends within a line")
				}
				return
			}
			f(line)
		}
	}
	db, err := sql.Open("sqlite", s.path("store.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Query("SELECT doc FROM activities")
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var doc []byte
		if err := rows.Scan(&doc); err != nil {
			s.t.Fatal(err)
		}
		f(doc)
	}
	if err := rows.Err(); err != nil {
		s.t.Fatal(err)
	}
}

// assertOnce checks that each sequence number from 0 to n-1 is stored exactly once.
func (s *site) assertOnce(n int) {
	s.t.Helper()
	seen := make([]int, n)
	s.documents(func(doc []byte) {
		var d struct {
			Details struct {
				Seq *int `json:"seq"`
			} `json:"details"`
		}
		if err := json.Unmarshal(doc, &d); err != nil || d.Details.Seq == nil {
			s.t.Fatalf("a document without seq: %v %s", err, doc)
		}
		seen[*d.Details.Seq]++
	})
	missing, twice := 0, 0
	for _, c := range seen {
		switch {
		case c == 0:
			missing++
		case c > 1:
			twice++
		}
	}
	if missing+twice > 0 {
		s.t.Errorf("%d of %d missing, %d twice", missing, n, twice)
	}
}

// logLine is line seq of a generated log, without its newline: every kind in turn, with things to redact.
func logLine(r *rand.Rand, seq int, dated bool) []byte {
	b := []byte("{")
	if dated {
		at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC).Add(time.Duration(seq) * 137 * time.Microsecond)
		if at.Before(time.Now().Add(-390 * 24 * time.Hour)) {
			at = time.Now().Truncate(24 * time.Hour).Add(time.Duration(seq) * 137 * time.Microsecond)
		}
		b = fmt.Appendf(b, `"timestamp":%q,`, at.Format(time.RFC3339Nano))
	}
	switch seq % 7 {
	case 0:
		b = fmt.Appendf(b, `"method":"GET","path":"/orders/%d","status_code":%d,"user_id":"u%d","headers":{"authorization":"Bearer %016x%016x"}`, r.IntN(1e6), 200+r.IntN(4)*100, r.IntN(99), r.Uint64(), r.Uint64())
	case 1:
		b = fmt.Appendf(b, `"kind":"data_access","table_name":"users","operation":"read","record_count":%d`, r.IntN(100))
	case 2:
		b = fmt.Appendf(b, `"kind":"data_change","table_name":"users","record_id":"%d","old_values":{"a":%d},"new_values":{"a":%d}`, r.IntN(1e6), r.IntN(9), r.IntN(9))
	case 3:
		b = fmt.Appendf(b, `"event_type":"login","success":%v,"user_id":"u%d","password":"pw-%x"`, r.IntN(4) > 0, r.IntN(99), r.Uint64())
	case 4:
		b = fmt.Appendf(b, `"kind":"external_api","service_name":"mail","endpoint":"https://mail.example.com/send","status_code":202,"request":{"to":"user%d@example.com"}`, r.IntN(1e6))
	case 5:
		b = fmt.Appendf(b, `"level":"error","msg":"pool exhausted","logger":"db","stack":"goroutine 1\n%s"`, strings.Repeat("x", r.IntN(300)))
	default:
		b = fmt.Appendf(b, `"activity_type":"note_added","entity_type":"order","entity_id":"%d"`, r.IntN(1e6))
	}
	return fmt.Appendf(b, `,"seq":%d}`, seq)
}
