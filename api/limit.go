package api

import (
	"net/netip"
	"sync"
	"time"
)

// A limiter gives each caller a bucket of tokens, one a request, that fills up steadily.
type limiter struct {
	perSecond, burst float64

	mu      sync.Mutex
	buckets map[string]bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// maxBuckets bounds how many callers are remembered. Those whose bucket is full again are forgotten first.
const maxBuckets = 10_000

// failuresPerMinute is how many requests without a valid token an address may send.
const failuresPerMinute = 60

// network is what is counted as one address: of IPv6, the part that one customer has.
func network(remote string) string {
	a, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	bits := 64
	if a.Addr().Unmap().Is4() {
		bits = 32
	}
	p, _ := a.Addr().Unmap().WithZone("").Prefix(bits)
	return p.String()
}

func newLimiter(perMinute int) *limiter {
	return &limiter{perSecond: float64(perMinute) / 60, burst: max(1, float64(perMinute)/4), buckets: map[string]bucket{}}
}

// take takes a token from the caller's bucket, or tells how long it takes until there is one.
func (l *limiter) take(caller string, now time.Time) (wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, ok := l.buckets[caller]
	if !ok {
		l.makeRoom(now)
		b = bucket{l.burst, now}
	}
	b.tokens = l.level(b, now)
	b.at = now
	if b.tokens < 1 {
		wait = time.Duration((1 - b.tokens) / l.perSecond * float64(time.Second))
	} else {
		b.tokens--
	}
	l.buckets[caller] = b
	return wait
}

func (l *limiter) level(b bucket, now time.Time) float64 {
	return min(l.burst, b.tokens+max(0, now.Sub(b.at).Seconds())*l.perSecond)
}

func (l *limiter) makeRoom(now time.Time) {
	if len(l.buckets) < maxBuckets {
		return
	}
	for name, b := range l.buckets {
		if l.level(b, now) >= l.burst {
			delete(l.buckets, name)
		}
	}
	for name := range l.buckets {
		if len(l.buckets) < maxBuckets {
			return
		}
		delete(l.buckets, name)
	}
}
