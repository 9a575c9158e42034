package main

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// The users of a pod, as the manifests have them: fsGroup is the group that the volumes belong to.
const (
	agentUser = 65532
	appUser   = 10001
	fsGroup   = 65532
)

// as runs a process as a user who is in fsGroup; as the test's own where the test may not choose.
func as(uid uint32) *syscall.SysProcAttr {
	if os.Getuid() != 0 {
		return nil
	}
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid, Groups: []uint32{fsGroup}}}
}

// newPod is a site whose agent is another user than the application, in whose directory of logs it may not write.
func newPod(t *testing.T) *site {
	t.Helper()
	s := newSite(t, "sqlite", "")
	withAdmin(t, s, "")
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s.exe, s.env, s.user = s.path("activity-agent"), []string{asAgent + "=1"}, as(agentUser)
	// Not by this process: a file that it has open to write, its other children have open, too, and it cannot be run.
	if out, err := exec.Command("cp", exe, s.exe).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	if s.user == nil {
		return s
	}
	for _, dir := range []string{filepath.Dir(s.dir), s.dir} { // others pass through
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	err = filepath.WalkDir(s.dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, agentUser, fsGroup)
	})
	if err != nil {
		t.Fatal(err)
	}
	logs := filepath.Dir(s.log)
	if err := os.Chown(logs, appUser, fsGroup); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(logs, 0o750|os.ModeSetgid); err != nil {
		t.Fatal(err)
	}
	return s
}

// application starts the application of a pod, a script that has the log's path as $LOG.
func (s *site) application(script string) *exec.Cmd {
	s.t.Helper()
	cmd := exec.Command("sh", "-c", script)
	cmd.Env, cmd.Dir, cmd.SysProcAttr = append(os.Environ(), "LOG="+s.log), "/", as(appUser)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	})
	return cmd
}

// linesIn counts the lines that the application has written.
func (s *site) linesIn() int {
	s.t.Helper()
	b, err := os.ReadFile(s.log)
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	return bytes.Count(b, []byte("\n"))
}

// TestTheLifeOfASidecar: the agent is there first, the application is another user and writes until it is told to end, the
// agent's container is killed and started again in between, and it ends last.
func TestTheLifeOfASidecar(t *testing.T) {
	t.Parallel()
	s := newPod(t)
	agent := s.start() // the start-up probe: only then the application begins
	if s.user != nil {
		try := exec.Command("sh", "-c", `: >"$LOG.x"`)
		try.Env, try.Dir, try.SysProcAttr = []string{"LOG=" + s.log}, "/", s.user
		if try.Run() == nil {
			t.Fatal("the agent may write where the logs are: the test shows nothing")
		}
	}
	app := s.application(`umask 027; n=0; trap 'end=1' TERM
		while [ -z "$end" ]; do echo "{\"msg\":\"m\",\"seq\":$n}"; n=$((n+1)); sleep 0.005; done >>"$LOG"
		echo "{\"msg\":\"the last words\",\"seq\":$n}" >>"$LOG"`)
	for range 3 { // the container crashes, and the kubelet starts it again
		before := s.linesIn()
		agent.eventually("the application to write", func() bool { return s.linesIn() > before+20 })
		agent.signal(syscall.SIGKILL)
		_ = agent.wait()
		agent = s.start()
	}
	if err := app.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := app.Wait(); err != nil {
		t.Fatalf("the application: %v", err)
	}
	agent.stop() // native sidecars end after the application
	s.assertOnce(s.linesIn())
}

// TestAJobThatEndsAtOnce: the application is over before the agent has looked once, and the pod ends.
func TestAJobThatEndsAtOnce(t *testing.T) {
	t.Parallel()
	s := newPod(t)
	agent := s.start()
	app := s.application(`umask 027; echo '{"msg":"done","seq":0}' >"$LOG"`)
	began := time.Now()
	if err := app.Wait(); err != nil {
		t.Fatal(err)
	}
	agent.stop()
	s.assertOnce(1)
	t.Logf("the pod ended %v after its application began", time.Since(began))
}
