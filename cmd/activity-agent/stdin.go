package main

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/agent/tail"
	"github.com/truledgr/activity-agent/config"
)

// streams returns what can be read only once: the output of the application, or standard input if files[].include names it.
// release gives their descriptors back.
func (p *program) streams(c *config.Config, app *application) (_ []agent.Stream, release func(), err error) {
	_, entry := agent.SplitStdin(c.Files)
	switch {
	case app != nil:
		if entry == nil {
			d := tail.DefaultConfig()
			entry = &d
		}
		return []agent.Stream{{Source: app, Config: *entry, Stop: app.stopReading}}, func() {}, nil
	case entry == nil:
		return nil, func() {}, nil
	}
	f, ok := p.stdin.(*os.File)
	if !ok {
		return []agent.Stream{{Source: p.stdin, Config: *entry, Stop: func() {}}}, func() {}, nil
	}
	in, err := newInterruptible(f)
	if err != nil {
		return nil, nil, err
	}
	return []agent.Stream{{Source: in, Config: *entry, Stop: in.stop}}, in.release, nil
}

// An interruptible reads a file that may keep it waiting for ever, until it is told to stop. Go cannot end a read of
// standard input, whose descriptor is shared with others and so must stay as it is.
type interruptible struct {
	f          *os.File
	wait, wake *os.File // a pipe: closing wake ends the wait
	stop       func()
}

func newInterruptible(f *os.File) (*interruptible, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	return &interruptible{f: f, wait: r, wake: w, stop: sync.OnceFunc(func() { _ = w.Close() })}, nil
}

// Read returns io.EOF once stop was called and nothing is there to be read.
func (i *interruptible) Read(b []byte) (int, error) {
	fds := []unix.PollFd{{Fd: int32(i.f.Fd()), Events: unix.POLLIN}, {Fd: int32(i.wait.Fd()), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(fds, -1)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case fds[0].Revents != 0:
			return i.f.Read(b)
		case fds[1].Revents != 0:
			return 0, io.EOF
		}
	}
}

func (i *interruptible) release() {
	i.stop()
	_ = i.wait.Close()
}
