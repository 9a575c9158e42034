package agent

import (
	"context"
	"sync"

	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/sinks"
)

// An outlet is the sink that batches go to. Another one may take its place between two attempts: a batch under way keeps
// its results, and the rest of it goes to the new sink, where its intent says.
type outlet struct {
	inFlight int

	mu     sync.RWMutex // held for reading during an attempt
	sink   sinks.Sink
	change chan struct{} // closed when the sink is exchanged
}

func newOutlet(s sinks.Sink) *outlet {
	return &outlet{inFlight: s.InFlight(), sink: s, change: make(chan struct{})}
}

// exchange puts another sink in the place of the one there is, after the attempts under way, and closes the old one.
func (o *outlet) exchange(next sinks.Sink) error {
	o.mu.Lock()
	old := o.sink
	o.sink = next
	close(o.change)
	o.change = make(chan struct{})
	o.mu.Unlock()
	return old.Close()
}

// changed is closed when the sink is another one.
func (o *outlet) changed() <-chan struct{} {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.change
}

// describe fills in what an intent says of the sink.
func (o *outlet) describe(m *ledger.Meta) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	m.Mark = -1
	if r, ok := o.sink.(sinks.Rewinder); ok {
		m.Mark = r.Mark()
	}
	if t, ok := o.sink.(sinks.Targeted); ok {
		m.Target.IndexPrefix, m.Target.Periods = t.Target()
	}
}

// rewind goes back to an intent's mark.
func (o *outlet) rewind(mark int64) error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if r, ok := o.sink.(sinks.Rewinder); ok && mark >= 0 {
		return r.Rewind(mark)
	}
	return nil
}

// write makes one attempt to deliver p, to where its intent says.
func (o *outlet) write(ctx context.Context, p *parcel) error {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if t, ok := o.sink.(sinks.Targeted); ok {
		return t.WriteTo(ctx, &p.batch, p.results, p.target.IndexPrefix, p.target.Periods)
	}
	return o.sink.Write(ctx, &p.batch, p.results)
}

// expired looks for what has expired in a sink that can delete; see sinks.Expirer.
func (o *outlet) expired(ctx context.Context, limits []sinks.Limit) (sinks.Expired, bool, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if e, ok := o.sink.(sinks.Expirer); ok {
		return e.Expired(ctx, limits)
	}
	return sinks.Expired{}, false, nil
}

// delete makes one step at deleting x.
func (o *outlet) delete(ctx context.Context, x sinks.Expired) (sinks.Progress, error) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	if e, ok := o.sink.(sinks.Expirer); ok {
		return e.Delete(ctx, x)
	}
	return sinks.Gone, nil
}

func (o *outlet) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sink.Close()
}
