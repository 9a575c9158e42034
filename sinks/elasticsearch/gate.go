package elasticsearch

import (
	"context"
	"sync"

	"golang.org/x/sync/semaphore"
)

// recovery is how many requests in a row must go well before more are allowed again.
const recovery = 10

// A gate lets as many requests through at once as the store bears: all at first, half as many each time it is overloaded,
// down to one, and twice as many after a number that went well.
//
// There is a fixed number of places. When half as many requests are allowed, each takes twice as many.
type gate struct {
	places *semaphore.Weighted
	all    int64

	mu    sync.Mutex
	share int64 // places that a request takes
	good  int   // requests that went well since the last change
}

func newGate(n int) *gate {
	return &gate{places: semaphore.NewWeighted(int64(n)), all: int64(n), share: 1}
}

// enter waits for a turn and returns what leave takes.
func (g *gate) enter(ctx context.Context) (share int64, err error) {
	g.mu.Lock()
	share = g.share
	g.mu.Unlock()
	return share, g.places.Acquire(ctx, share)
}

// leave ends a turn. overloaded tells whether the store asked for less.
func (g *gate) leave(share int64, overloaded bool) {
	g.places.Release(share)
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case overloaded:
		g.share, g.good = min(2*g.share, g.all), 0
	case g.share > 1:
		if g.good++; g.good >= recovery {
			g.share, g.good = g.share/2, 0
		}
	}
}
