package client

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/oklog/ulid/v2"
)

// Pauses between tries; they double.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 10 * time.Second
)

// A fate is what is known of lines that were sent.
type fate int

const (
	unknown   fate = iota // send them again
	delivered             // the agent has them
	refused               // for what they are: sending them again as they are changes nothing
)

// An answer is what came of one try.
type answer struct {
	fate       fate
	why        string        // of unknown and refused
	retryAfter time.Duration // 0: as it seems best
}

// A way leads out of the process. It is used by one goroutine.
type way interface {
	// send tries once. The same lines have the same key at every try.
	send(ctx context.Context, lines [][]byte, key string) answer
	// close lets go of connections and files.
	close()
}

// send is the sender: the only goroutine of a client.
func (c *Client) send(ctx context.Context) {
	defer close(c.done)
	defer c.way.close()
	for {
		batch := c.queue.take(ctx)
		if len(batch) == 0 || !c.deliver(ctx, batch) {
			return
		}
	}
}

// deliver sends lines until their fate is known; it returns false if ctx was done before. An agent that refuses a request
// has stored nothing of it, so the lines are sent in halves until those to blame are alone.
func (c *Client) deliver(ctx context.Context, lines [][]byte) bool {
	a := c.persist(ctx, lines)
	switch {
	case a.fate == unknown:
		return false
	case a.fate == refused && len(lines) > 1:
		middle := len(lines) / 2
		return c.deliver(ctx, lines[:middle]) && c.deliver(ctx, lines[middle:])
	}
	c.queue.settle(lines, a.fate == delivered)
	if a.fate == refused {
		c.complain("the agent refused an activity: " + a.why)
	}
	return true
}

// persist tries until there is an answer about the lines, under one key, so that no try makes a second activity.
func (c *Client) persist(ctx context.Context, lines [][]byte) answer {
	key := ulid.Make().String()
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		a := c.try(ctx, lines, key)
		if a.fate != unknown || ctx.Err() != nil {
			return a
		}
		c.complain(fmt.Sprintf("%s does not take them (%s); trying again", c.c.Address, a.why))
		wait := a.retryAfter
		if wait == 0 {
			wait = pause/2 + rand.N(pause/2)
		}
		if !c.rest(ctx, wait) {
			return a
		}
	}
}

func (c *Client) try(ctx context.Context, lines [][]byte, key string) answer {
	ctx, cancel := context.WithTimeout(ctx, c.c.RequestTimeout)
	defer cancel()
	return c.way.send(ctx, lines, key)
}

// rest waits between tries; once the client is to end, not for long. It returns false when ctx is done.
func (c *Client) rest(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-c.queue.ended:
		timer.Reset(min(wait, firstPause))
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}
