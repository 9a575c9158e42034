package agent

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// heldBack is how far the system's clock may step back without batches following it, and how far it may step ahead
// without a word.
const heldBack = time.Minute

// clock gives batches their time. Small steps back of the system's clock (NTP) are held, so that batches stay in order;
// larger ones, and such ahead, are followed and logged: nobody here can tell which time was the right one.
//
// It is the only thing that goes by the system's clock, besides the dates in the ledger.
type clock struct {
	now   func() time.Time
	since func(time.Time) time.Duration // by the monotonic clock
	log   *zap.Logger

	mu   sync.Mutex
	last time.Time
	at   time.Time // when last was given
}

func (c *clock) batchTime() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, passed := c.now().Round(0).UTC(), c.since(c.at)
	switch step := now.Sub(c.last); {
	case c.last.IsZero():
	case -heldBack < step && step < 0:
		return c.last
	case step < 0:
		c.log.Warn("system clock stepped back; following it", zap.Duration("by", passed-step))
	case step > passed+heldBack:
		c.log.Warn("system clock stepped ahead; following it", zap.Duration("by", step-passed))
	}
	c.last, c.at = now, time.Now()
	return now
}
