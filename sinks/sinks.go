// Package sinks is the contract between delivery and the stores. Each store is a package below it.
package sinks

import (
	"context"
	"errors"
	"time"

	"github.com/truledgr/activity-agent/pipeline"
)

// Verdict is what a store said of one record.
type Verdict uint8

// The verdicts. A record is done with once its verdict is not Retry.
const (
	Retry     Verdict = iota // nothing is known, or the store asked to come again
	Stored                   // durably stored now
	Duplicate                // was stored before, by us
	Conflict                 // stored under an id of our own, the given one being taken
	Rejected                 // the store refuses this document for good
)

// A Result is the verdict for one record of a batch. Reason is set for Rejected, and names the error and the field but
// never carries a value.
type Result struct {
	Verdict Verdict
	Reason  string
}

// A Sink is a store to deliver into.
type Sink interface {
	// Write makes one attempt to store every record of b whose fate is Deliver and whose result is still Retry, and
	// sets the results of those it learnt about. results is as long as b.Records. It returns when the attempt is over;
	// "stored" means durable by then. An error says why some results are still Retry; the caller comes again later, as a
	// Delay in it asks. Write never panics on data and never retains b.
	//
	// Up to InFlight calls may run at the same time, for different batches.
	Write(ctx context.Context, b *pipeline.Batch, results []Result) error
	// InFlight is how many batches may be under way at once, at least 1.
	InFlight() int
	// Close flushes nothing (Write has) and releases the store.
	Close() error
}

// A Rewinder is a Sink that cannot tell a duplicate, and is exact by another way: it notes how far it had written
// before a batch, and a replay of that batch goes back to there first.
type Rewinder interface {
	Sink
	// Mark returns the position that the next batch will be written at.
	Mark() int64
	// Rewind cuts everything after a position that Mark returned.
	Rewind(mark int64) error
}

// A Targeted is a Sink that derives from its configuration where a document goes. A replay must not change that, so its
// intent holds the target, and is written to it.
type Targeted interface {
	Sink
	// Target returns where Write puts documents: the prefix of index names, and by activity.Kind the period that an
	// index covers ("day", "week", or "" for a month).
	Target() (prefix string, periods []string)
	// WriteTo is Write to another target than the configured one.
	WriteTo(ctx context.Context, b *pipeline.Batch, results []Result, prefix string, periods []string) error
}

// A DelayError is an error with the time after which the store wants to be asked again (Retry-After).
type DelayError struct {
	Err   error
	After time.Duration
}

func (e *DelayError) Error() string { return e.Err.Error() }

// Unwrap returns the error behind.
func (e *DelayError) Unwrap() error { return e.Err }

// RetryAfter returns the delay that err asks for, or 0.
func RetryAfter(err error) time.Duration {
	var d *DelayError
	if errors.As(err, &d) {
		return d.After
	}
	return 0
}
