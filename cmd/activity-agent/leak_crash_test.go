package main

import (
	"bytes"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// crashOnSignal makes a goroutine of its own panic on SIGUSR1, for the tests of what a crash leaves behind.
func crashOnSignal() {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGUSR1)
	go func() {
		<-c
		var none []int
		none[len(os.Args)]++ // a bug
	}()
}

// TestACrashShowsNoSecret lets the agent crash in the middle of its work, with core dumps allowed and all that the runtime
// can say asked for: by a panic that nobody recovers, and by the signal that makes the runtime dump its goroutines.
func TestACrashShowsNoSecret(t *testing.T) {
	t.Parallel()
	for name, sig := range map[string]syscall.Signal{"panic": syscall.SIGUSR1, "quit": syscall.SIGQUIT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newConfessor(t, "sqlite", leakSeed)
			c.add(100, leakSeed)
			text := bytes.Repeat(c.lines.Bytes(), 200)
			if err := os.WriteFile(c.log, text, 0o644); err != nil {
				t.Fatal(err)
			}
			r := c.launch()
			r.eventually("the agent to read", func() bool {
				h, err := askHealth(t.Context(), c.admin)
				return err == nil && h.Account.Read > 0
			})
			r.signal(sig)
			if code := r.wait(); code == exitDone {
				t.Fatal("it did not crash")
			}
			if status, ok := r.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.CoreDump() {
				t.Error("it has left a core dump")
			}
			if !strings.Contains(r.said.String(), "goroutine ") {
				t.Errorf("no traces to look at:\n%s", r.said)
			}
			c.hear("traces", []byte(r.said.String()))
			c.files(true)
		})
	}
}
