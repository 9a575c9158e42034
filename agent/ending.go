package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"go.uber.org/zap"
)

const (
	// quiet is how long nothing must have been written for the application to count as ended: longer than the time
	// between two looks at a file.
	quiet = 1500 * time.Millisecond
	// lookForEnd is how often the stop file is looked for, and whether the inputs are idle.
	lookForEnd = 100 * time.Millisecond
	// abandonAfter is how long a part may take to come back once it was told to leave everything.
	abandonAfter = 4 * time.Second
)

// Run replays what a crash left open, then ships until ctx is done, the inputs are idle or the stop file is there, and
// ends in order: reads to the end of what is written, delivers and records it. After the end of ctx that takes the drain
// timeout at most, and reading goes on for up to half of it while the application still writes. What takes longer is left
// to the next start's replay; Run then returns an error that says so.
//
// A part that does not come back even when it is told to leave everything is abandoned: Run returns without it, and the
// process should end.
func (a *Agent) Run(ctx context.Context) error {
	hard, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	a.running.Go(func() { a.supervise(ctx, hard, cancel) })
	a.running.Go(func() { a.watchdog.watch(hard) })
	if a.o.Trim != nil {
		a.running.Go(func() { a.rest(hard, a.o.Trim, restAfter, lookForRest) })
	}
	done := make(chan error, 1)
	go func() { done <- a.run(hard) }() // waited for below, but not for ever
	var err error
	select {
	case err = <-done:
	case <-a.overdue(hard):
		a.abandoned.Store(true)
		return errors.Join(a.unfinished(), errors.New("a part of the agent did not come back, and was left behind: "+a.watchdog.longest()))
	}
	cut := hard.Err() != nil
	cancel()
	a.in.stop(hard)
	a.running.Wait()
	if cut && (err != nil || !a.quietFor(0)) {
		return a.unfinished()
	}
	return err
}

func (a *Agent) unfinished() error {
	return fmt.Errorf("stopped before everything was delivered; what is left is in the ledger and will be sent at the next start (%d records under way)", a.books.snapshot().InFlight)
}

// overdue is closed some time after hard is done.
func (a *Agent) overdue(hard context.Context) <-chan struct{} {
	late := make(chan struct{})
	context.AfterFunc(hard, func() { time.AfterFunc(abandonAfter, func() { close(late) }) })
	return late
}

// Abort makes Run return at once. Nothing is lost: what is under way is replayed at the next start.
func (a *Agent) Abort() { a.once.Do(func() { close(a.aborted) }) }

// supervise turns the end of ctx into a drain, and its time-out or Abort into the end of hard.
func (a *Agent) supervise(ctx, hard context.Context, cancel func()) {
	defer cancel()
	select {
	case <-hard.Done():
		return
	case <-a.aborted:
		return
	case <-ctx.Done():
	}
	a.mu.Lock()
	within := a.drainTimeout
	a.mu.Unlock()
	a.log.Info("stopping: reading to the end of what is written", zap.Duration("within", within))
	limit := time.NewTimer(within)
	defer limit.Stop()
	wrote := time.NewTimer(within / 2)
	defer wrote.Stop()
	look := time.NewTicker(lookForEnd)
	defer look.Stop()
	for {
		select {
		case <-hard.Done():
			return
		case <-a.aborted:
			return
		case <-limit.C:
			return
		case <-wrote.C:
			a.drain(hard)
		case <-look.C:
			if a.quietFor(quiet) {
				a.drain(hard)
			}
		}
	}
}

// drain has every source end with what it has. It does not wait for that.
func (a *Agent) drain(hard context.Context) {
	a.tailer.Drain()
	a.draining.Do(func() { a.running.Go(func() { a.in.stop(hard) }) })
}

// quietFor reports whether nothing has been written, and all of it is settled, for so long.
func (a *Agent) quietFor(d time.Duration) bool {
	since, idle := a.idleSince()
	return idle && time.Since(since) >= d && a.books.snapshot().InFlight == 0
}

// idleSince reports whether every source is at its end, and all of it acked, and since when.
func (a *Agent) idleSince() (time.Time, bool) {
	read, idle := a.tailer.IdleSince()
	taken, quiet := a.in.journal.IdleSince()
	if taken.After(read) {
		read = taken
	}
	return read, idle && quiet
}

// watchEnd drains when there has been nothing to do for long enough, when the stop file is there, and when nothing can
// come any more.
func (a *Agent) watchEnd(ctx, hard context.Context) {
	idle, file := a.o.ExitWhenIdle, a.o.Config.StopFile
	onlyStreams := a.onlyStreams()
	if idle <= 0 && file == "" && !onlyStreams {
		return
	}
	every := lookForEnd
	if idle > 0 {
		every = min(idle/4, every)
	}
	for sleep(ctx, every) == nil {
		switch {
		case idle > 0 && a.in.ended() && a.quietFor(idle):
		case onlyStreams && a.in.ended():
		case file != "" && exists(file):
			a.log.Info("the stop file is there: delivering what is written, however long it takes, and ending", zap.String("stop_file", file))
		default:
			continue
		}
		a.drain(hard)
		return
	}
}

// onlyStreams reports whether all that can come is from streams, which end.
func (a *Agent) onlyStreams() bool {
	rest, _ := SplitStdin(a.o.Files)
	return len(a.o.Streams) > 0 && len(rest) == 0 && a.in.server == nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
