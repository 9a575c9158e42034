package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/internal/estest"
	"github.com/truledgr/activity-agent/internal/testenv"
)

// kindOf is what logLine makes of a sequence number.
func kindOf(seq int) string {
	return [...]string{"api_transaction", "data_access", "data_change", "auth_event", "external_api", "system_event", "activity"}[seq%7]
}

// TestElasticsearchThroughKillsAndARestart ships a log into a real node while the agent is killed again and again and
// the node is killed and started in between: a scan of the indices finds every line once, and of the right kind.
func TestElasticsearchThroughKillsAndARestart(t *testing.T) {
	lines, kills := 100_000, 20
	switch {
	case testenv.Soak():
		lines, kills = 400_000, 100
	case testing.Short():
		lines, kills = 10_000, 5
	}
	for _, dated := range []bool{true, false} {
		t.Run(fmt.Sprintf("dated=%v", dated), func(t *testing.T) {
			n, k := lines, kills
			if !dated {
				n, k = lines/4, kills/2
			}
			throughKillsAndARestart(t, n, k, dated)
		})
	}
}

func throughKillsAndARestart(t *testing.T, lines, kills int, dated bool) {
	cluster := estest.Start(t, 1)
	s := newSiteOn(t, cluster.Node(0))
	s.budget, s.exe = "6MiB", binary(t)
	s.configure("")
	r := rand.New(rand.NewPCG(crashSeed, 3))
	written := make(chan error, 1)
	go func() { written <- s.write(lines, dated) }()
	for i := range kills {
		if i == kills/2 {
			cluster.Kill(t, 0)
		}
		cmd := s.command("run", "-c", s.config)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if i == kills/2 {
			time.Sleep(300 * time.Millisecond)
			cluster.Restart(t, 0)
			cluster.WaitReady(t)
		}
		s.awaitProgress(int64(r.IntN(3 * bytesPerIntent * lines / kills / 2)))
		time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	a := s.runToEnd()
	t.Logf("after %d kills and a restart of the node: the last run read %d, replayed %d, stored %d, duplicate %d", kills, a.Read, a.Replayed, a.Stored, a.Duplicate)
	s.node.MustDo(t, "POST", "/"+s.prefix+"-*/_refresh", "", nil)
	s.assertOnce(lines)
	s.assertKinds(lines)
}

// assertKinds checks the number of documents of each kind.
func (s *site) assertKinds(lines int) {
	s.t.Helper()
	want, got := map[string]int{}, map[string]int{}
	for seq := range lines {
		want[kindOf(seq)]++
	}
	s.documents(func(doc []byte) {
		var d struct {
			Kind string `json:"kind"`
		}
		if err := json.Unmarshal(doc, &d); err != nil {
			s.t.Fatal(err)
		}
		got[d.Kind]++
	})
	for kind, n := range want {
		if got[kind] != n {
			s.t.Errorf("%d of kind %s, want %d", got[kind], kind, n)
		}
	}
}

// TestElasticsearchIsDownWhileMuchWaits: memory stays flat while nothing can be delivered, and all of it is afterwards.
func TestElasticsearchIsDownWhileMuchWaits(t *testing.T) {
	lines, down := 60_000, 8*time.Second
	if testenv.Soak() {
		lines, down = 1_500_000, 5*time.Minute
	}
	if testing.Short() {
		t.Skip("takes a while; run without -short")
	}
	cluster := estest.Start(t, 1)
	s := newSiteOn(t, cluster.Node(0))
	s.exe = binary(t)
	cluster.Stop(t, 0)
	if err := s.write(lines, true); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(s.log)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := s.command("run", "-c", s.config, "--exit-when-idle", "1s", "--summary", s.path("summary.json"))
	cmd.Stderr = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	peak := 0
	for end := time.Now().Add(down); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		peak = max(peak, residentMiB(t, cmd))
	}
	cluster.Restart(t, 0)
	cluster.WaitReady(t)
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for running := true; running; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("%v\n%s", err, out.Bytes())
			}
			running = false
		case <-time.After(100 * time.Millisecond):
			peak = max(peak, residentMiB(t, cmd))
		}
	}
	t.Logf("%d MB waited for %v; peak of resident memory %d MiB", info.Size()/1e6, down, peak)
	if limit := 64; peak > limit {
		t.Errorf("%d MiB resident, the limit is %d", peak, limit)
	}
	balance(t, s.account())
	s.node.MustDo(t, "POST", "/"+s.prefix+"-*/_refresh", "", nil)
	s.assertOnce(lines)
}

// residentMiB is the resident memory of a process, or 0 where it has ended or the system has no /proc.
func residentMiB(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(b), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			var kb int
			_, _ = fmt.Sscan(rest, &kb)
			return kb >> 10
		}
	}
	return 0
}

// TestIdleAgainstALiveNode: an agent with ten files and nothing to do costs next to nothing.
func TestIdleAgainstALiveNode(t *testing.T) {
	idle := 10 * time.Second
	if testenv.Soak() {
		idle = time.Minute
	}
	s := newSite(t, "elasticsearch", "")
	s.admin, s.exe = freeAddress(t), binary(t)
	s.configure("")
	r := rand.New(rand.NewPCG(crashSeed, 4))
	for i := range 10 {
		var b bytes.Buffer
		for seq := range 100 {
			b.Write(append(logLine(r, 100*i+seq, true), '\n'))
		}
		if err := os.WriteFile(filepath.Join(s.dir, "logs", fmt.Sprintf("app%d.log", i)), b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := s.command("run", "-c", s.config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		if h, err := askHealth(t.Context(), s.admin); err == nil && h.Account.Stored == 1000 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the lines were not stored within a minute")
		}
	}
	time.Sleep(20 * time.Second) // until it has given back what it does not use
	before := cpuTime(t, cmd)
	time.Sleep(idle)
	used, resident := cpuTime(t, cmd)-before, residentMiB(t, cmd)
	share := float64(used) / float64(idle)
	t.Logf("idle for %v: %v of processor time (%.3f %% of a core), %d MiB resident", idle, used, 100*share, resident)
	if resident >= 20 {
		t.Errorf("%d MiB resident, the limit is 20", resident)
	}
	if share > 0.002+0.02/idle.Seconds() { // /proc counts in hundredths of a second
		t.Errorf("%.3f %% of a core, the limit is 0.2", 100*share)
	}
}

// cpuTime is the processor time that a process has used.
func cpuTime(t *testing.T, cmd *exec.Cmd) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
	if err != nil {
		t.Skip("this system has no /proc")
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+2:]))
	var user, system int64
	_, _ = fmt.Sscan(fields[11], &user)
	_, _ = fmt.Sscan(fields[12], &system)
	return time.Duration(user+system) * 10 * time.Millisecond
}
