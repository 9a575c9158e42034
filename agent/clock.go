package agent

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// heldBack is how far the system's clock may step back without batches following it.
const heldBack = time.Minute

// clock gives batches their time. Small steps back of the system's clock (NTP) are held, so that batches stay in order;
// larger ones are followed and logged.
type clock struct {
	now  func() time.Time
	log  *zap.Logger
	mu   sync.Mutex
	last time.Time
}

func (c *clock) batchTime() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now().Round(0).UTC()
	switch back := c.last.Sub(now); {
	case back <= 0:
	case back < heldBack:
		return c.last
	default:
		c.log.Warn("system clock stepped back; following it", zap.Duration("by", back))
	}
	c.last = now
	return now
}
