package agent

import (
	"context"
	"time"
)

// An agent with nothing to do gives back what it does not need then, but not at every pause of its application.
const (
	restAfter   = 10 * time.Second // without anything to do
	restEvery   = 5 * time.Minute  // at most
	lookForRest = 5 * time.Second
)

// rest calls trim once in a time with nothing to do, when that has lasted for as long as after says.
func (a *Agent) rest(ctx context.Context, trim func(), after, look time.Duration) {
	var last time.Time
	rested := false
	for sleep(ctx, look) == nil {
		switch {
		case !a.quietFor(after):
			rested = false
		case !rested && time.Since(last) >= restEvery:
			trim()
			last, rested = time.Now(), true
		}
	}
}
