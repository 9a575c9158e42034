// Package live hands what arrives at a store to live readers.
//
//	store ─ Trail ─► feed: one goroutine ─► match ─► queue ─► Subscription.Next
//	                      └► ring of the last arrivals        ▲
//	store ─ Trail of one that resumes ─────────────────────────┘ until it has caught up with the feed
//
// One feed reads the store for all; it is there as long as there are subscriptions. Each has a bounded queue: one that is
// full ends its subscription, and nobody waits. A subscription that resumes reads the store itself from its mark on, and
// joins the feed where that has come to: what it has read and the feed brings again is left out, so that there is neither
// a gap nor a repeat.
package live

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity/search"
)

// ErrSlow ends a subscription whose reader did not keep up.
var ErrSlow = errors.New("the reader is too slow")

const (
	pollEvery = 500 * time.Millisecond
	markEvery = 10 * time.Second // without anything to tell, where the feed is
	retryMost = 5 * time.Second  // between attempts, while the store does not answer
	queueSize = 1024             // arrivals that a reader may be behind

	ringSize  = 16 << 10
	ringBytes = 16 << 20
	// lateBy is how much later than the feed another read may see an arrival, such as from another copy of a shard.
	lateBy = time.Second
	// overlap is for how long after joining the feed it may bring what was read before.
	overlap = time.Minute
)

// An Event is an activity, or, where Doc is nil, a place without one.
type Event struct {
	ID   ulid.ULID
	Doc  json.RawMessage
	Mark string // Subscribe goes on after it
}

// A Hub serves the live readers of one store.
type Hub struct {
	store search.Follower
	log   *zap.Logger

	mu   sync.Mutex
	feed *feed // nil without subscriptions
}

// New makes a hub. It does nothing before the first subscription.
func New(store search.Follower, log *zap.Logger) *Hub { return &Hub{store: store, log: log} }

// A feed is one reading of the store, for all subscriptions.
type feed struct {
	hub   *Hub
	trail *search.Trail // of its goroutine
	stop  context.CancelFunc
	done  chan struct{}

	// Under Hub.mu.
	mark    string
	subs    map[*Subscription]bool // whether it has joined
	ring    []published
	bytes   int
	evicted time.Time // when the newest of those that the ring has no more was published
}

type published struct {
	search.Arrival
	at time.Time
}

// A Subscription is one live reader. Next is for one goroutine.
type Subscription struct {
	hub   *Hub
	feed  *feed
	match *search.Matcher
	queue chan published // closed when the reader is too slow
	mark  string         // where it began

	trail   *search.Trail // of one that resumes, until overlap after it joined
	joined  time.Time
	pending []Event // read by itself, or of the ring
}

// Subscribe begins a subscription to what match answers, after a mark, or from now on for "". Close ends it. The error may
// be a *search.ParamError about the mark.
func (h *Hub) Subscribe(ctx context.Context, match *search.Matcher, after string) (*Subscription, error) {
	s := &Subscription{hub: h, match: match, queue: make(chan published, queueSize), mark: after}
	if after != "" {
		var err error
		if s.trail, err = search.ContinueTrail(h.store, after, time.Now); err != nil {
			return nil, err
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.feed == nil {
		if err := h.begin(ctx); err != nil {
			return nil, err
		}
	}
	s.feed = h.feed
	s.feed.subs[s] = s.trail == nil
	if s.trail == nil {
		s.mark = s.feed.mark
	}
	return s, nil
}

// begin starts a feed.
func (h *Hub) begin(ctx context.Context) error {
	trail, err := search.StartTrail(ctx, h.store, time.Now)
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	f := &feed{hub: h, trail: trail, stop: stop, done: make(chan struct{}), mark: trail.Mark(), subs: map[*Subscription]bool{}}
	h.feed = f
	go f.run(run)
	return nil
}

// run reads until ctx is done.
func (f *feed) run(ctx context.Context) {
	defer close(f.done)
	wait, marked := pollEvery, time.Now()
	for failing := false; ctx.Err() == nil; {
		arrivals, more, err := f.trail.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if wait = min(2*wait, retryMost); !failing {
				f.hub.log.Warn("live readers wait: the store does not answer", zap.Error(err))
			}
		default:
			if wait = pollEvery; failing {
				f.hub.log.Info("live readers go on")
			}
		}
		failing = err != nil
		if len(arrivals) > 0 || time.Since(marked) > markEvery {
			f.publish(arrivals)
			marked = time.Now()
		}
		if !more {
			select {
			case <-ctx.Done():
			case <-time.After(wait):
			}
		}
	}
}

// publish hands arrivals to those whom they are for, or where the feed is when there are none.
func (f *feed) publish(arrivals []search.Arrival) {
	now := time.Now()
	f.hub.mu.Lock()
	defer f.hub.mu.Unlock()
	f.mark = f.trail.Mark()
	if len(arrivals) == 0 {
		for s, joined := range f.subs {
			if joined && len(s.queue) == 0 {
				s.put(published{search.Arrival{Mark: f.mark}, now})
			}
		}
		return
	}
	var d search.Document
	for _, a := range arrivals {
		p := published{a, now}
		f.keep(p)
		if d.Parse(a.Doc) != nil {
			continue // no document of ours
		}
		for s, joined := range f.subs {
			if joined && s.match.Matches(&d) {
				s.put(p)
			}
		}
	}
}

// put queues p, or ends the subscription when there is no room. Under Hub.mu.
func (s *Subscription) put(p published) {
	select {
	case s.queue <- p:
	default:
		s.feed.subs[s] = false
		close(s.queue)
	}
}

// keep puts p into the ring.
func (f *feed) keep(p published) {
	f.ring = append(f.ring, p)
	f.bytes += len(p.Doc)
	drop := 0
	for len(f.ring)-drop > ringSize || f.bytes > ringBytes {
		f.bytes -= len(f.ring[drop].Doc)
		f.evicted = f.ring[drop].at
		f.ring[drop] = published{}
		drop++
	}
	f.ring = f.ring[drop:]
}

// Mark is the place where the subscription began.
func (s *Subscription) Mark() string { return s.mark }

// Next waits for the next event. Its error is ErrSlow, the store's while it resumes, or that of ctx.
func (s *Subscription) Next(ctx context.Context) (Event, error) {
	for len(s.pending) == 0 && s.trail != nil && s.joined.IsZero() {
		if err := s.catchUp(ctx); err != nil {
			return Event{}, err
		}
	}
	if len(s.pending) > 0 {
		e := s.pending[0]
		s.pending = s.pending[1:]
		return e, nil
	}
	for {
		select {
		case p, ok := <-s.queue:
			if !ok {
				return Event{}, ErrSlow
			}
			if p.Doc == nil || s.trail == nil || !s.trail.Covers(&p.Arrival) {
				return s.event(&p), nil
			}
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

// event is what the feed brought. Its mark covers what the subscription has read itself, where that may be more.
func (s *Subscription) event(p *published) Event {
	e := Event{p.ID, p.Doc, p.Mark}
	if s.trail != nil {
		e.Mark = s.trail.MarkWith(p.Mark)
		if time.Since(s.joined) > overlap {
			s.trail = nil
		}
	}
	return e
}

// catchUp reads what has arrived since, and joins the feed once there is no more.
func (s *Subscription) catchUp(ctx context.Context) error {
	at := time.Now()
	arrivals, more, err := s.trail.Next(ctx)
	if err != nil {
		return err
	}
	var d search.Document
	for _, a := range arrivals {
		if d.Parse(a.Doc) == nil && s.match.Matches(&d) {
			s.pending = append(s.pending, Event{a.ID, a.Doc, a.Mark})
		}
	}
	if !more {
		s.join(at, &d)
	}
	return nil
}

// join makes the feed's next arrivals the subscription's, and takes those that the feed had since at, when the subscription
// read itself. Where the ring does not reach back so far, nothing changes, and reading goes on.
func (s *Subscription) join(at time.Time, d *search.Document) {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	if s.feed.evicted.After(at.Add(-lateBy)) {
		return
	}
	s.joined = time.Now()
	for _, p := range s.feed.ring {
		if !s.trail.Covers(&p.Arrival) && d.Parse(p.Doc) == nil && s.match.Matches(d) {
			s.pending = append(s.pending, s.event(&p))
		}
	}
	s.feed.subs[s] = true
}

// Close ends the subscription, and the feed with the last one.
func (s *Subscription) Close() {
	h, f := s.hub, s.feed
	h.mu.Lock()
	delete(f.subs, s)
	last := len(f.subs) == 0
	if last {
		h.feed = nil
	}
	h.mu.Unlock()
	if last {
		f.stop()
		<-f.done
	}
}
