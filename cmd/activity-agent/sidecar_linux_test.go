package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Users of a pod: an application and a sidecar that share a group, as fsGroup makes them.
const (
	appUser   = 10_001
	agentUser = 65_532
)

// A pod is a site whose agent runs as a user of its own, without capabilities, and sees the application's logs through a
// mount that is read-only.
type pod struct{ *site }

func newPod(t *testing.T) *pod {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to be two other users")
	}
	for _, tool := range [][]string{{"unshare", "-m", "true"}, {"setpriv", "--version"}} {
		if err := exec.Command(tool[0], tool[1:]...).Run(); err != nil {
			t.Skipf("%v: %v", tool, err)
		}
	}
	s := usualSite(t, "sqlite")
	// The directories that t.TempDir makes cannot be entered by others.
	dir, err := os.MkdirTemp("", "pod")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.dir, s.drain = dir, "5m"
	s.made("")
	withAdmin(t, s, "")
	p := &pod{s}
	p.give(dir, agentUser, agentUser, 0o755)
	p.give(filepath.Dir(s.log), appUser, agentUser, 0o750|os.ModeSetgid)
	p.give(s.config, agentUser, agentUser, 0o400)
	exe := filepath.Join(dir, "activity-agent")
	if err := os.Rename(binary(t), exe); err != nil {
		t.Fatal(err)
	}
	p.give(exe, 0, 0, 0o755)
	s.exe = filepath.Join(dir, "sidecar")
	script := fmt.Sprintf(`#!/bin/sh
exec unshare -m sh -c 'mount --bind %[1]s %[1]s && mount -o remount,bind,ro %[1]s &&
	exec setpriv --reuid %[2]d --regid %[2]d --clear-groups --no-new-privs --bounding-set=-all %[3]s "$@"' sidecar "$@"
`, filepath.Dir(s.log), agentUser, exe)
	if err := os.WriteFile(s.exe, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *pod) give(path string, user, group int, mode os.FileMode) {
	p.t.Helper()
	if err := os.Chown(path, user, group); err != nil {
		p.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		p.t.Fatal(err)
	}
}

// as is a command that a user of the pod gives.
func (p *pod) as(user int, script string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", script)
	cmd.Dir = filepath.Dir(p.log)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(user), Gid: uint32(user)}}
	return cmd
}

// app starts an application that logs lines until it is told to end, rotates its log now and then, and has a last word. It
// returns how to end it, and then how many lines there are.
func (p *pod) app() (end func() int) {
	p.t.Helper()
	cmd := p.as(appUser, `umask 027
n=0
trap 'over=1' TERM
while [ -z "$over" ]; do
	echo "{\"msg\":\"m\",\"seq\":$n}" >> app.log
	n=$((n+1))
	[ $((n % 700)) -ne 0 ] || mv app.log app.log.$n
	[ $((n % 50)) -ne 0 ] || sleep 0.01
done
for i in 1 2 3; do echo "{\"seq\":$n}" >> app.log; n=$((n+1)); done
echo $n > lines`)
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := false
	p.t.Cleanup(func() {
		if !ended {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return func() (n int) {
		p.t.Helper()
		ended = true
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			p.t.Fatal(err)
		}
		if err := cmd.Wait(); err != nil {
			p.t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(filepath.Dir(p.log), "lines"))
		if _, err2 := fmt.Sscan(string(text), &n); err != nil || err2 != nil {
			p.t.Fatal(err, err2)
		}
		return n
	}
}

// TestASidecarsLife: the agent starts first and ends last, as Kubernetes has native sidecars do, and is killed in between.
func TestASidecarsLife(t *testing.T) {
	t.Parallel()
	p := newPod(t)
	r := p.start()
	end := p.app()
	r.eventually("some lines to be stored", func() bool { return r.metrics()["records_stored_total"] > 100 })
	for range 3 {
		r.signal(syscall.SIGTERM)
		_ = r.cmd.Process.Kill()
		_ = r.wait()
		r = p.start()
	}
	r.eventually("more lines to be stored", func() bool { return r.metrics()["records_stored_total"] > 100 })
	n := end()
	r.stop()
	p.assertOnce(n)
}

// TestASidecarThatComesLate: the application has logged for a while when the agent starts, and both are told to end at once.
func TestASidecarThatComesLate(t *testing.T) {
	t.Parallel()
	p := newPod(t)
	end := p.app()
	time.Sleep(300 * time.Millisecond)
	r := p.start()
	r.signal(syscall.SIGTERM)
	n := end()
	if code := r.wait(); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, r.said)
	}
	p.account()
	p.assertOnce(n)
}

// TestAJobThatEndsAtOnce: its only container is over before the agent has looked at anything.
func TestAJobThatEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := newPod(t)
	r := p.launch()
	const lines = 300
	if out, err := p.as(appUser, fmt.Sprintf(`umask 027; n=0; while [ $n -lt %d ]; do echo "{\"seq\":$n}"; n=$((n+1)); done > app.log`, lines)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	r.eventually("the agent to take signals", func() bool { return strings.Contains(r.said.String(), `"started"`) })
	r.signal(syscall.SIGTERM)
	if code := r.wait(); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, r.said)
	}
	p.assertOnce(lines)
}

// TestNeitherUserReachesTheOthers: what the agent keeps is its own, and it can change nothing of the application's.
func TestNeitherUserReachesTheOthers(t *testing.T) {
	t.Parallel()
	p := newPod(t)
	end := p.app()
	r := p.start()
	r.eventually("some lines to be stored", func() bool { return r.metrics()["records_stored_total"] > 0 })
	logs := filepath.Dir(p.log)
	for _, tt := range []struct {
		user   int
		script string
	}{
		{appUser, "cat " + p.path("state") + "/*"}, {appUser, "cat " + p.path("store.db")}, {appUser, "cat " + p.config}, {appUser, "touch " + p.path("x")},
		{agentUser, "touch " + logs + "/x"}, {agentUser, "echo x >> " + p.log}, {agentUser, "rm -f " + p.log},
	} {
		if out, err := p.as(tt.user, tt.script).CombinedOutput(); err == nil {
			t.Errorf("user %d can do %s: %s", tt.user, tt.script, out)
		}
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", r.cmd.Process.Pid))
	if err != nil || !strings.Contains(string(mounts), " "+logs+" ") {
		t.Errorf("the agent has no mount of its own for the logs: %v", err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, " "+logs+" ") && !strings.Contains(line, " ro,") {
			t.Errorf("it can be written: %s", line)
		}
	}
	n := end()
	r.signal(syscall.SIGTERM)
	if code := r.wait(); code != exitDone {
		t.Errorf("exit code %d\n%s", code, r.said)
	}
	p.assertOnce(n)
}
