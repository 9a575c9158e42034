package main

import (
	"context"
	"runtime"
	"syscall"
	"time"
)

// An agent with little to do is given one processor: then Go's scheduler wakes no second thread to look for work whenever
// something is handed on, which is a fifth of what a thousand lines a second cost (ADR 024).
const (
	lookAtUse = 2 * time.Second
	busyAbove = 0.5  // of a processor: all of them at the next look
	calmBelow = 0.25 // of a processor: one of them, once it lasts
	calmLooks = 3
)

// A pacer decides how many processors there are to be, from how much of one was used between two looks.
type pacer struct {
	one  bool // there is one; all otherwise
	calm int  // looks in a row with little use
}

// look takes the use since the last one, and reports whether the number is to change.
func (p *pacer) look(use float64) (changed bool) {
	if p.calm++; use >= calmBelow {
		p.calm = 0
	}
	one := p.calm >= calmLooks || p.one && use <= busyAbove
	changed, p.one = one != p.one, one
	return changed
}

// pace adapts the number of processors to the work, until ctx is done. GOMAXPROCS, where it is set, is what the user wants.
func (p *program) pace(ctx context.Context) {
	if p.getenv("GOMAXPROCS") != "" || runtime.GOMAXPROCS(0) == 1 {
		return
	}
	defer runtime.SetDefaultGOMAXPROCS()
	tick := time.NewTicker(lookAtUse)
	defer tick.Stop()
	var pacer pacer
	for used, at := processorTime(), time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		before, since := used, at
		used, at = processorTime(), time.Now()
		switch {
		case !pacer.look(float64(used-before) / float64(at.Sub(since))):
		case pacer.one:
			runtime.GOMAXPROCS(1)
		default:
			runtime.SetDefaultGOMAXPROCS()
		}
	}
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0 // it cannot fail with these arguments; as if nothing were used, one processor would do
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
