package main

import (
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

func TestEveryCommandTeachesByExample(t *testing.T) {
	t.Parallel()
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Example == "" || !strings.Contains(c.Example, "activity-agent") || c.Short == "" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit((&program{}).root())
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	for _, tc := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"version"}, 0, ""},
		{[]string{"--help"}, 0, ""},
		{[]string{"validate", "-c", s.config}, 0, "is valid"},
		{[]string{"frobnicate"}, 2, "unknown command"},
		{[]string{"run", "--no-such-flag"}, 2, "--help"},
		{[]string{"run", "-c", s.path("absent.yaml")}, 2, "absent.yaml"},
		{[]string{"query", "-c", s.config, "--where", "nonsense"}, 2, "FIELD=VALUE"},
		{[]string{"query", "-c", s.config, "--kind", "nonsense"}, 2, "kind"},
		{[]string{"query", "-c", s.config}, 1, "activity-agent run"},
		{[]string{"health", "-c", s.config}, 2, "admin.listen"},
		{[]string{"deadletter", "list", "-c", s.config}, 0, "0 dead letters"},
		{[]string{"test", "-c", s.config, s.path("absent.log")}, 2, "absent.log"},
	} {
		code, _, errs := call(t, "", tc.args...)
		if code != tc.code || !strings.Contains(errs, tc.says) {
			t.Errorf("%v: exit %d, %q; want %d and %q", tc.args, code, errs, tc.code, tc.says)
		}
	}
}

func TestTestShowsWhatLinesBecome(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	code, out, errs := call(t, `{"level":"info","msg":"hi","password":"hunter22"}`+"\nplain words\n", "test", "-c", s.config)
	if code != 0 {
		t.Fatal(errs)
	}
	for _, want := range []string{"system_event", "redacted details.password", "secret_name", `"description": "plain words"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "hunter22") {
		t.Error("the secret is shown")
	}
	_, out, _ = call(t, `{"msg":"hi"}`, "test", "-c", s.config, "--json")
	if !json.Valid([]byte(out)) {
		t.Errorf("--json printed %q", out)
	}
}

func TestTestRunsTheConfigurationsTests(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", `
pipeline:
  classify:
    - {name: orders, when: total > 100, kind: data_change, rename: {no: entity_id}}
    - {name: noise, when: level == "debug", drop: true}
`)
	base, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	with := func(name, tests string) string {
		path := s.path(name)
		if err := os.WriteFile(path, append(slices.Clone(base), tests...), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := with("good.yaml", `
tests:
  - {line: '{"total":101,"no":"A-1"}', expect: {kind: data_change, entity_id: A-1, details.total: "101", user_id: ""}}
  - {line: '{"level":"debug","msg":"x"}', dropped: noise}
`)
	if code, out, errs := call(t, "", "test", "-c", good); code != 0 || out != "ok  2 tests of the configuration\n" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	bad := with("bad.yaml", `
tests:
  - {name: large, line: '{"total":101,"no":"A-1"}', expect: {entity_id: A-2, user_id: ann}}
  - {line: '{"level":"info","msg":"x"}', dropped: noise}
`)
	code, out, errs := call(t, "", "test", "-c", bad)
	for _, want := range []string{"FAIL  large", `entity_id is "A-1", want "A-2"`, `user_id is nothing, want "ann"`, "rule:orders", "FAIL  tests[1]", `dropped by nothing, want "noise"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if code != 1 || !strings.Contains(errs, "2 of 2") {
		t.Errorf("exit %d, %q; want 1 and how many failed", code, errs)
	}
}

func TestQueryFindsWhatRunStored(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	lines := `{"kind":"auth_event","user_id":"ann","event_type":"login","success":false,"description":"wrong password"}
{"method":"GET","path":"/a","status_code":503,"user_id":"bob"}
{"method":"GET","path":"/b","status_code":200,"user_id":"ann"}
`
	if err := os.WriteFile(s.log, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	s.runToEnd()
	for _, tc := range []struct {
		args []string
		want int
	}{
		{nil, 3},
		{[]string{"--user-id", "ann"}, 2},
		{[]string{"--kind", "api_transaction"}, 2},
		{[]string{"--where", "status_code.gte=500"}, 1},
		{[]string{"--q", "wrong"}, 1},
		{[]string{"--from", "-1h"}, 3},
		{[]string{"--to", "-1h"}, 0},
		{[]string{"--limit", "1"}, 1},
		{[]string{"--limit", "0"}, 3},
	} {
		code, out, errs := call(t, "", append([]string{"query", "-c", s.config, "--json"}, tc.args...)...)
		if got := len(splitLines(out)); code != 0 || got != tc.want {
			t.Errorf("%v: exit %d, %d activities, want %d; %s", tc.args, code, got, tc.want, errs)
		}
	}
	_, out, errs := call(t, "", "query", "-c", s.config)
	if !strings.Contains(out, "GET /a 503") || !strings.Contains(errs, "3 of 3") {
		t.Errorf("the table is\n%s%s", out, errs)
	}
}

// TestSIGTERMReadsToTheEnd stops an agent while its application still writes: what was written is stored.
func TestSIGTERMReadsToTheEnd(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	const lines = 5000
	cmd := command(s.dir, "run", "-c", s.config, "--summary", s.path("summary.json"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond)
	if err := s.write(lines, false); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("the agent ended with %v", err)
	}
	balance(t, s.account())
	s.assertOnce(lines)
}

// TestASecondAgentIsRefused: one state directory, one agent.
func TestASecondAgentIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	cmd := command(s.dir, "run", "-c", s.config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for range 200 {
		if _, err := os.Stat(filepath.Join(s.path("state"), "lock")); err == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond)
	code, _, errs := call(t, "", "run", "-c", s.config, "--exit-when-idle", "100ms")
	if code != 1 || !strings.Contains(errs, s.path("state")) {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// TestAdminAddressInUse: an agent that is to stay says so and ends; one that ends by itself goes on without.
func TestAdminAddressInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	s := newSite(t, "sqlite", "")
	s.admin = l.Addr().String()
	s.configure("")
	if err := s.write(10, true); err != nil {
		t.Fatal(err)
	}
	if a := s.runToEnd(); a.Stored != 10 {
		t.Errorf("%+v", a)
	}
	code, _, errs := call(t, "", "run", "-c", s.config)
	if code != 1 || !strings.Contains(errs, "admin.listen") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

// TestDamagedLedgerDoesNotStopTheAgent flips bytes of the ledger between runs: the agent starts, and since ids follow
// from positions nothing is stored twice.
func TestDamagedLedgerDoesNotStopTheAgent(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	const lines = 3000
	if err := s.write(lines, true); err != nil {
		t.Fatal(err)
	}
	s.runToEnd()
	whole, err := os.ReadFile(s.path("state/ledger"))
	if err != nil {
		t.Fatal(err)
	}
	for _, damage := range []func(b []byte) []byte{
		func(b []byte) []byte { return b[:len(b)/2] },
		func(b []byte) []byte { b[len(b)/3] ^= 0x40; return b },
		func(b []byte) []byte { b[5] ^= 1; return b },
		func([]byte) []byte { return nil },
		func(b []byte) []byte { return append(b, "torn tail"...) },
	} {
		if err := os.WriteFile(s.path("state/ledger"), damage(append([]byte(nil), whole...)), 0o600); err != nil {
			t.Fatal(err)
		}
		if a := s.runToEnd(); a.Stored != 0 {
			t.Errorf("stored again: %+v", a)
		}
	}
	if err := os.Remove(s.path("state/ledger")); err != nil {
		t.Fatal(err)
	}
	s.runToEnd()
	s.assertOnce(lines)
}

// TestDeadLettersAreReplayed: what one configuration refuses is delivered under another, once, also from a file that has
// been renamed; what is gone stays a letter.
func TestDeadLettersAreReplayed(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	s.nonJSON = "dead_letter"
	s.configure("")
	if err := os.WriteFile(s.log, []byte("{\"msg\":\"good\"}\nplain words\n2026-11-23T10:00:00Z stdout F more words\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if a := s.runToEnd(); a.DeadLettered != 2 || a.Stored != 1 {
		t.Fatalf("%+v", a)
	}
	if err := os.Rename(s.log, s.log+".1"); err != nil {
		t.Fatal(err)
	}
	code, out, errs := call(t, "", "deadletter", "replay", "-c", s.config)
	if code != 0 || !strings.Contains(out, "2 dead letters: 2 delivered") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	code, out, _ = call(t, "", "query", "-c", s.config, "--json", "--q", "words")
	if got := len(splitLines(out)); code != 0 || got != 2 {
		t.Errorf("%d activities with the words, want 2:\n%s", got, out)
	}
	if _, list, _ := listLetters(t, s); strings.Contains(string(list), "non_json") {
		t.Errorf("letters are left:\n%s", list)
	}
	if a := s.runToEnd(); a.Read != 0 {
		t.Errorf("read again: %+v", a)
	}
	if err := os.WriteFile(s.log, []byte("{\"msg\":\"new\"}\ngone words\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.runToEnd()
	if err := os.Remove(s.log); err != nil {
		t.Fatal(err)
	}
	if _, out, _ = call(t, "", "deadletter", "replay", "-c", s.config); !strings.Contains(out, "1 no longer to be found") {
		t.Errorf("%s", out)
	}
}

// TestWhatDamageTookIsReadAgain destroys a third of the ledger, intents and outcomes: what was in it is read again, once.
func TestWhatDamageTookIsReadAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	s.budget = "6MiB"
	s.configure("")
	const lines = 30000
	if err := s.write(lines, true); err != nil {
		t.Fatal(err)
	}
	s.runToEnd()
	b, err := os.ReadFile(s.path("state/ledger"))
	if err != nil {
		t.Fatal(err)
	}
	for i := len(b) / 3; i < len(b)*2/3; i += 32 {
		b[i] ^= 0x55
	}
	if err := os.WriteFile(s.path("state/ledger"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	a := s.runToEnd()
	if a.Read == 0 || a.Read == lines || a.Duplicate != a.Read {
		t.Errorf("after the damage: %+v", a)
	}
	if a := s.runToEnd(); a.Read != 0 {
		t.Errorf("read again and again: %+v", a)
	}
	s.assertOnce(lines)
}
