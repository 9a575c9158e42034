package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// socketClient posts to a Unix socket.
func socketClient(path, token string) *http.Client {
	return &http.Client{Timeout: patience, Transport: withToken{token, &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}}}
}

type withToken struct {
	token string
	*http.Transport
}

func (w withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+w.token)
	return w.Transport.RoundTrip(r)
}

// newExecSite is a site without files whose agent runs an application.
func newExecSite(t *testing.T) *site {
	t.Helper()
	s := newSite(t, "sqlite", "")
	config := fmt.Sprintf("agent: {id: test, state_dir: %s}\nfiles: [{include: [\"-\"]}]\ningest: {listen: \"\"}\nstore: {sqlite: {path: %s}}\nadmin: {listen: \"\"}\n",
		s.path("state"), s.path("store.db"))
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return s
}

// exec is the agent with a shell script for an application.
func (s *site) exec(script string) *exec.Cmd {
	return s.command("exec", "-c", s.config, "--summary", s.path("summary.json"), "--", "sh", "-c", script)
}

// descriptions are those of the stored activities.
func (s *site) descriptions() string {
	var all []string
	s.documents(func(doc []byte) {
		_, rest, _ := strings.Cut(string(doc), `"description":"`)
		text, _, _ := strings.Cut(rest, `"`)
		all = append(all, text)
	})
	return strings.Join(all, " ")
}

// TestExecPassesOnAndTakes: the output unchanged, also what is no JSON and has no end, and the exit code.
func TestExecPassesOnAndTakes(t *testing.T) {
	t.Parallel()
	s := newExecSite(t)
	cmd := s.exec(`printf '{"msg":"one","password":"` + leaks[0] + `"}\n\nplain text\n{"msg":"last"}'; echo oops >&2; exit 7`)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != 7 {
		t.Errorf("exit code %d\n%s", code, errs.String())
	}
	if want := "{\"msg\":\"one\",\"password\":\"" + leaks[0] + "\"}\n\nplain text\n{\"msg\":\"last\"}"; out.String() != want {
		t.Errorf("passed on %q, want %q", out.String(), want)
	}
	if !strings.Contains(errs.String(), "oops\n") {
		t.Errorf("standard error is not passed on: %s", errs.String())
	}
	if a := s.account(); a.Read != 3 || a.Stored != 3 {
		t.Errorf("%+v", a)
	}
	if got := s.descriptions(); got != "one plain text last" {
		t.Errorf("stored %q", got)
	}
	s.findNoSecrets("at the end")
}

func TestExecForwardsSignals(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		script string
		signal syscall.Signal
		code   int
	}{
		{`trap 'echo "{\"msg\":\"bye\"}"; exit 3' TERM; echo ready; while :; do sleep 0.05; done`, syscall.SIGTERM, 3},
		{`trap 'echo "{\"msg\":\"bye\"}"; exit 4' USR2; echo ready; while :; do sleep 0.05; done`, syscall.SIGUSR2, 4},
		{`echo ready; exec sleep 1000`, syscall.SIGTERM, 128 + 15},
	} {
		t.Run(fmt.Sprint(tt.code), func(t *testing.T) {
			t.Parallel()
			s := newExecSite(t)
			cmd := s.exec(tt.script)
			var errs bytes.Buffer
			cmd.Stderr = &errs
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			var first [6]byte
			if _, err := io.ReadFull(out, first[:]); err != nil || string(first[:]) != "ready\n" {
				t.Fatalf("%v, %q", err, first)
			}
			if err := cmd.Process.Signal(tt.signal); err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, out)
			_ = cmd.Wait()
			if code := cmd.ProcessState.ExitCode(); code != tt.code {
				t.Errorf("exit code %d, want %d\n%s", code, tt.code, errs.String())
			}
			want := "ready"
			if tt.code < 128 {
				want += " bye"
			}
			if got := s.descriptions(); got != want {
				t.Errorf("stored %q, want %q", got, want)
			}
		})
	}
}

// TestExecEndsThoughAChildKeepsTheOutput: what is left behind does not keep the agent.
func TestExecEndsThoughAChildKeepsTheOutput(t *testing.T) {
	t.Parallel()
	s := newExecSite(t)
	cmd := s.exec(`echo '{"msg":"one"}'; sleep 1000 2>/dev/null & echo $! >pid; exit 0`)
	out, err := cmd.Output()
	if err != nil || string(out) != "{\"msg\":\"one\"}\n" {
		t.Errorf("%v, %q", err, out)
	}
	var pid int
	if text, err := os.ReadFile(s.path("pid")); err != nil {
		t.Error(err)
	} else if _, err := fmt.Sscan(string(text), &pid); err == nil {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	if got := s.descriptions(); got != "one" {
		t.Errorf("stored %q", got)
	}
}

func TestExecOfNothing(t *testing.T) {
	t.Parallel()
	s := newExecSite(t)
	for want, args := range map[int][]string{
		exitNotFound: {"exec", "-c", s.config, "--", "no-such-command"},
		exitUsage:    {"exec", "-c", s.config},
	} {
		cmd := s.command(args...)
		out, _ := cmd.CombinedOutput()
		if code := cmd.ProcessState.ExitCode(); code != want || len(out) == 0 {
			t.Errorf("%v: exit code %d, %s", args, code, out)
		}
	}
	notExecutable := s.command("exec", "-c", s.config, "--", s.config)
	out, _ := notExecutable.CombinedOutput()
	if code := notExecutable.ProcessState.ExitCode(); code != exitNotExecutable {
		t.Errorf("exit code %d, %s", code, out)
	}
}
