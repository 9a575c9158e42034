// Package sinks is the contract between delivery and the stores. Each store is a package below it.
package sinks

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/truledgr/activity-agent/activity"
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

// An Expirer is a Sink that can delete what has been kept long enough. Its methods may be called while Write runs.
type Expirer interface {
	Sink
	// Expired looks for what is older than the limits of its kind, and returns a part of it that can be deleted by itself;
	// false where there is nothing, or where that is not the agent's business. It changes nothing.
	Expired(ctx context.Context, limits []Limit) (Expired, bool, error)
	// Delete makes one step at deleting x, short enough for Write to wait for it, and reports how far it is. It may be
	// repeated, by other processes too, until it is.
	Delete(ctx context.Context, x Expired) (Progress, error)
}

// A Limit says which activities of a kind have expired.
type Limit struct {
	Kind   activity.Kind
	Before time.Time // those that happened before
}

// Expired is what can be deleted: an index, or all activities of a kind before a time.
type Expired struct {
	Kind    string    `json:"kind"`
	Index   string    `json:"index,omitempty"` // of Elasticsearch; "" for rows of a table
	Before  time.Time `json:"before"`          // what happened before this
	Since   time.Time `json:"since"`           // when the oldest may have happened
	Last    int64     `json:"last,omitempty"`  // the number of the last row that may go
	Records int64     `json:"records"`         // how many they are; -1 where the store does not say
}

// Within reports whether everything in x is over a limit of its kind, which m names.
func (x Expired) Within(m *activity.Model, limits []Limit) bool {
	return slices.ContainsFunc(limits, func(l Limit) bool { return m.KindName(l.Kind) == x.Kind && !x.Before.After(l.Before) })
}

// Progress says how far a deletion is.
type Progress uint8

// The states of a deletion.
const (
	More    Progress = iota // another step is needed
	Deleted                 // all is gone, and this process deleted the last of it
	Gone                    // there was nothing any more: another process was faster
)

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
