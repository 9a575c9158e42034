// Package elasticsearch stores activities in Elasticsearch, and answers questions from it.
//
// A batch goes out in as few bulk requests as max_body allows, every document as a "create" with our own id, so that
// sending again what is stored already is told and harmless. Each Write is one attempt, and every document gets its own
// verdict: see item.verdict and refusal for what each answer means. When to come again is the deliverer's business.
package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

// Options are what the store takes from its surroundings.
type Options struct {
	Model  *activity.Model // the kinds and fields there are; nil for the built-in ones
	Logger *zap.Logger     // nil for none
}

// A Sink writes activities. Write may be called by as many goroutines as InFlight says.
type Sink struct {
	c      Config
	model  *activity.Model
	own    target
	client *client
	log    *zap.Logger
	gate   *gate
	slots  sync.Pool    // of *slot
	limit  atomic.Int64 // bytes of one request: max_body, or less where a proxy allows less

	mu    sync.Mutex
	ready bool // templates have been looked at
}

var _ sinks.Targeted = (*Sink)(nil)

// Open prepares the store. It connects to nothing: an Elasticsearch that is down delays delivery, not the start.
func Open(c Config, o Options) (*Sink, error) {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	cl, err := newClient(c)
	if err != nil {
		return nil, err
	}
	s := &Sink{c: c, model: o.Model, client: cl, log: o.Logger, gate: newGate(c.Concurrency)}
	s.own = c.target(o.Model)
	s.slots.New = func() any { return newSlot(c) }
	s.limit.Store(int64(c.MaxBody))
	return s, nil
}

// InFlight returns the configured concurrency.
func (s *Sink) InFlight() int { return s.c.Concurrency }

// Target returns where Write puts documents, for the intent: the prefix of the index names, and by activity.Kind the
// period that an index covers.
func (s *Sink) Target() (prefix string, periods []string) { return s.own.prefix, s.own.periods }

// Close ends the connections.
func (s *Sink) Close() error { return s.client.close() }

// Write makes one attempt to store the batch; see sinks.Sink.
func (s *Sink) Write(ctx context.Context, b *pipeline.Batch, results []sinks.Result) error {
	return s.write(ctx, b, results, s.own)
}

// WriteTo is Write for a replay: documents go where Target pointed when the intent was written. An empty prefix, of an
// intent that does not say, is today's target.
func (s *Sink) WriteTo(ctx context.Context, b *pipeline.Batch, results []sinks.Result, prefix string, periods []string) error {
	if prefix == "" {
		return s.Write(ctx, b, results)
	}
	return s.write(ctx, b, results, target{prefix: prefix, periods: periods})
}

func (s *Sink) write(ctx context.Context, b *pipeline.Batch, results []sinks.Result, to target) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	sl := s.slots.Get().(*slot)
	defer s.slots.Put(sl)
	to.model = b.Model // what numbers its kinds
	sl.target, sl.names, sl.due, sl.taken = to, names{}, sl.due[:0], sl.taken[:0]
	for i := range b.Records {
		if b.Records[i].Fate == pipeline.Deliver && results[i].Verdict == sinks.Retry {
			sl.due = append(sl.due, i)
		}
	}
	err := s.send(ctx, sl, b, results)
	if len(sl.taken) == 0 {
		return err
	}
	if err2 := s.settle(ctx, sl, b, results); err2 != nil {
		return errors.Join(err, err2)
	}
	if err != nil || len(sl.due) == 0 {
		return err
	}
	return s.send(ctx, sl, b, results) // under ids of our own
}

// send makes the requests for the records in sl.due, until one fails.
func (s *Sink) send(ctx context.Context, sl *slot, b *pipeline.Batch, results []sinks.Result) error {
	full := int(s.limit.Load())
	limit, single := full, false
	for lo := 0; lo < len(sl.due); {
		n, size := sl.encode(b, sl.due[lo:], limit)
		err := s.request(ctx, sl, b, results, sl.due[lo:lo+n])
		var e *Error
		switch {
		case err == nil:
			lo += n
		case !errors.As(err, &e) || e.Status != http.StatusRequestEntityTooLarge:
			return err
		case n == 1:
			results[sl.due[lo]] = sinks.Result{Verdict: sinks.Rejected, Reason: "too_large"}
			lo++
			limit, single = full, true
		default:
			limit = size / 2
		}
	}
	if limit < full && !single {
		s.log.Warn("requests are too large for what is before Elasticsearch; smaller ones are sent from now on",
			zap.Int("bytes", limit), zap.Int("max_body", s.c.MaxBody))
		s.limit.Store(int64(limit))
	}
	return nil
}

// request makes one bulk request for the records in due, whose encoded form is sl.body, and sets their results. An error
// says why some of them are still open, which all are when nothing of the answer can be read.
func (s *Sink) request(ctx context.Context, sl *slot, b *pipeline.Batch, results []sinks.Result, due []int) error {
	share, err := s.gate.enter(ctx)
	if err != nil {
		return err
	}
	err = s.exchange(ctx, sl)
	if err != nil {
		s.gate.leave(share, overloaded(err))
		return err
	}
	err = s.judge(sl, b, results, due)
	s.gate.leave(share, overloaded(err))
	return err
}

// overloaded reports whether an error asks for fewer requests.
func overloaded(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return e.Status == http.StatusTooManyRequests || e.Status == http.StatusServiceUnavailable || e.Status == http.StatusGatewayTimeout
	}
	return errors.Is(err, context.DeadlineExceeded)
}

const opStore = "store documents"

// exchange posts sl.body and reads the answer into sl.answer.
func (s *Sink) exchange(ctx context.Context, sl *slot) error {
	var open atomic.Int32 // bodies that net/http has not let go of
	defer func() {
		if open.Load() != 0 { // it may still be reading, so these bytes are its own from now on
			sl.body = nil
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, s.c.RequestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://es/_bulk?filter_path="+filterPath, newBody(sl.body, &open))
	if err != nil {
		return err
	}
	bytes := sl.body
	req.GetBody = func() (io.ReadCloser, error) { return newBody(bytes, &open), nil }
	req.ContentLength = int64(len(sl.body))
	req.Header.Set("Content-Type", "application/x-ndjson")
	if sl.zip != nil {
		req.Header.Set("Content-Encoding", "gzip")
	}
	res, err := s.client.Perform(req)
	if err != nil {
		return s.client.failed(ctx, opStore, err)
	}
	defer func() { _ = res.Body.Close() }()
	if sl.answer, err = readAnswer(sl.answer, res.Body, nil); err != nil {
		return s.client.failed(ctx, opStore, err)
	}
	if res.StatusCode != http.StatusOK {
		return s.client.refused(opStore, res.StatusCode, res.Header, sl.answer)
	}
	return nil
}

// allStored reports whether the answer says, in the same words of each, that all of n documents were stored.
func (s *slot) allStored(n int) bool {
	one, ok := alike(s.answer, n, s.line)
	s.line = one[:0]
	created := false
	return ok && items(&s.tape, one, 1, func(_ int, it item) {
		res, _, _ := it.verdict()
		created = res.Verdict == sinks.Stored
	}) == nil && created
}

// judge reads the answer and sets the results of the records in due.
func (s *Sink) judge(sl *slot, b *pipeline.Batch, results []sinks.Result, due []int) error {
	if sl.allStored(len(due)) {
		for _, i := range due {
			stored(&results[i])
		}
		return nil
	}
	var first *Error
	again := 0
	err := items(&sl.tape, sl.answer, len(due), func(n int, it item) {
		i := due[n]
		it.model = s.model
		res, taken, err := it.verdict()
		switch {
		case taken && b.Records[i].Trusted:
			sl.taken = append(sl.taken, i)
		case taken: // nobody else makes this id
			results[i] = sinks.Result{Verdict: sinks.Duplicate}
		case err != nil:
			if again++; first == nil || overloaded(err) {
				first = err
			}
		case res.Verdict == sinks.Stored:
			stored(&results[i])
		default:
			results[i] = res
		}
	})
	if err != nil {
		return fmt.Errorf("%s: %w", opStore, err)
	}
	if first != nil {
		first.Op = fmt.Sprintf("store %d of %d documents", again, len(due))
		return first
	}
	return nil
}

// ownID marks, in an open result, a record that got an id of our own, so that the next attempt knows.
const ownID = "the given id is taken"

func stored(r *sinks.Result) {
	if r.Reason == ownID {
		*r = sinks.Result{Verdict: sinks.Conflict}
		return
	}
	*r = sinks.Result{Verdict: sinks.Stored}
}
