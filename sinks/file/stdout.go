package file

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

// stdout writes documents to standard output. Nothing written can be taken back, so it has no mark and a replay may
// repeat a batch.
type stdout struct {
	f   *os.File
	buf []byte
}

// openStdout duplicates the descriptor: a write to descriptor 1 whose reader has gone ends a Go program by SIGPIPE, and
// one to a copy of it is an error to report.
func openStdout() (sinks.Rewinder, error) {
	fd, err := syscall.Dup(int(os.Stdout.Fd()))
	if err != nil {
		return nil, fmt.Errorf("open standard output: %w", err)
	}
	syscall.CloseOnExec(fd)
	return &stdout{f: os.NewFile(uintptr(fd), "standard output")}, nil
}

func (s *stdout) InFlight() int      { return 1 }
func (s *stdout) Mark() int64        { return -1 }
func (s *stdout) Rewind(int64) error { return nil }
func (s *stdout) Close() error       { return s.f.Close() }

func (s *stdout) Write(ctx context.Context, b *pipeline.Batch, results []sinks.Result) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	buf, err := writeLines(s.f, s.buf[:0], b, results)
	s.buf = buf
	if err != nil {
		return fmt.Errorf("write to standard output: %w", advise(err))
	}
	settle(b, results)
	return nil
}
