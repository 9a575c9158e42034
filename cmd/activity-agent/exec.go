package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
)

func (p *program) execCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "exec -c FILE -- CMD ARG...",
		Short: "Run an application, and ship what it writes to standard output",
		Long: `Starts CMD and passes on what it writes, unchanged. Each line of its standard output is taken as if it stood in a
log file; an entry of files with include: ["-"] says how. Signals go to CMD, and when it ends, what it wrote is
delivered within agent.drain_timeout. The exit code is that of CMD, 128+n where a signal n ended it.

Files are read and posts are taken as with run.`,
		Example: `  activity-agent exec -c agent.yaml -- /app/server --port 8080`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{fmt.Errorf("no command to run; write it behind --, as in %s", cmd.Example)}
			}
			return nil
		},
	}
	path := configFlag(cmd)
	cmd.Flags().StringVar(&o.summary, "summary", "", "on exit, write the account of this run as JSON to `file`; - for standard output")
	cmd.Flags().SetInterspersed(false)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := p.loadRun(*path)
		if err != nil {
			return err
		}
		if o.app, err = p.newApplication(args); err != nil {
			return err
		}
		o.configPath = *path
		err = p.run(cmd.Context(), c, o)
		if code, ended := o.app.result(); ended {
			if err != nil {
				fmt.Fprintln(p.stderr, "activity-agent:", err)
			}
			return code
		}
		return err
	}
	return cmd
}

// Exit codes of commands that cannot be run, as shells give them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

// An exitError is an exit code to pass on. It says nothing.
type exitError int

func (e exitError) Error() string { return "" }

// An application is a process whose standard output is passed on, and read by the agent on the way.
type application struct {
	cmd    *exec.Cmd
	out    io.Writer // what it writes goes here, too
	r, w   *os.File  // its standard output
	quiet  bool      // nobody reads out any more
	ended  chan struct{}
	mu     sync.Mutex // of started, and of signals to the process
	runs   bool
	waited sync.WaitGroup
}

func (p *program) newApplication(args []string) (*application, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		code := exitNotFound
		if errors.Is(err, os.ErrPermission) {
			code = exitNotExecutable
		}
		fmt.Fprintf(p.stderr, "activity-agent: cannot run %v\n", err)
		return nil, exitError(code)
	}
	a := &application{out: p.stdout, ended: make(chan struct{})}
	if a.r, a.w, err = os.Pipe(); err != nil {
		return nil, err
	}
	a.cmd = exec.Command(path, args[1:]...)
	a.cmd.Args[0] = args[0]
	a.cmd.Stdout = a.w
	if f, ok := p.stdin.(*os.File); ok {
		a.cmd.Stdin = f
	}
	if f, ok := p.stderr.(*os.File); ok {
		a.cmd.Stderr = f
	}
	return a, nil
}

// start runs the application.
func (a *application) start() error {
	signal.Ignore(syscall.SIGPIPE) // whoever reads our output may go: the records are still taken
	if err := a.cmd.Start(); err != nil {
		return fmt.Errorf("start the application: %w", err)
	}
	a.mu.Lock()
	a.runs = true
	a.mu.Unlock()
	_ = a.w.Close() // the application's own copy is open
	a.waited.Go(func() {
		_ = a.cmd.Wait() // its state says how it ended
		a.mu.Lock()
		a.runs = false
		a.mu.Unlock()
		close(a.ended)
	})
	return nil
}

// forward sends a signal to the application, and reports whether it was there to get it.
func (a *application) forward(sig os.Signal) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.runs {
		return false
	}
	if f, ok := a.cmd.Stdin.(*os.File); ok && sig == syscall.SIGINT && isTerminal(f) {
		return true // the terminal has sent it to the application, too
	}
	return a.cmd.Process.Signal(sig) == nil
}

// Read reads what the application has written, and passes it on.
func (a *application) Read(b []byte) (int, error) {
	n, err := a.r.Read(b)
	if n > 0 && !a.quiet {
		if _, werr := a.out.Write(b[:n]); werr != nil {
			a.quiet = true
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

// outputGrace is how long the output of an application is read on that has ended: a process it has left behind may keep it
// open for ever.
const outputGrace = time.Second

// stopReading makes Read end soon.
func (a *application) stopReading() { _ = a.r.SetReadDeadline(time.Now().Add(outputGrace)) }

// finish waits for the application, and passes its output on when the agent has ended before it.
func (a *application) finish(log *zap.Logger) {
	defer func() { _ = a.r.Close() }()
	if a.cmd.Process == nil {
		return
	}
	select {
	case <-a.ended:
		return
	default:
	}
	log.Error("the agent ended before the application: its output is only passed on from here")
	_ = a.r.SetReadDeadline(time.Time{})
	a.waited.Go(func() { _, _ = io.Copy(io.Discard, struct{ io.Reader }{a}) })
	<-a.ended
	a.stopReading()
	a.waited.Wait()
}

// result returns the application's exit code, nil for 0, and whether it was started and has ended.
func (a *application) result() (code error, ended bool) {
	state := a.cmd.ProcessState
	if state == nil {
		return nil, false
	}
	n := state.ExitCode()
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		n = 128 + int(ws.Signal())
	}
	if n == exitDone {
		return nil, true
	}
	return exitError(n), true
}
