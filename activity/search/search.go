// Package search is the question that people ask of a store, and the answer: the model that every store implements, and
// the parsing that the command line and the read API share. Names, types and operators follow from the field table of
// package activity.
package search

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
)

// Limits of one page.
const (
	DefaultLimit = 100
	MaxLimit     = 1000   // of Query.Limit
	MaxWindow    = 10_000 // of Offset + Limit; a cursor goes beyond
	MaxTotal     = 10_000 // up to which Page.Total is exact
)

// ErrNotFound says that there is no activity with the id.
var ErrNotFound = errors.New("no such activity")

// A Searcher answers questions with pages. It may be used by many goroutines at once.
type Searcher interface {
	// Search returns one page. A *ParamError is the asker's mistake, any other error the store's.
	Search(ctx context.Context, q Query) (Page, error)
}

// A Walker is a Searcher with a way of its own to walk a whole answer, however long.
type Walker interface {
	// Walk calls f for the items of q in order, some at a time, until f returns an error; max is how many at most, 0 for all.
	Walk(ctx context.Context, q Query, max int, f func(p Page) error) error
}

// A Store answers questions. Its methods may be called by many goroutines at once.
type Store interface {
	Searcher
	// Count returns how many activities match q, exactly; Limit, Offset, Cursor, Fields and Sort play no part.
	Count(ctx context.Context, q Query) (int64, error)
	// Aggregate computes numbers of the activities that q selects, a table for each aggregation; Limit, Offset, Cursor,
	// Fields and Sort of q play no part. Counts, sums, averages, least and largest values are exact, as are the groups and
	// their order; what Metric says is approximate is so.
	Aggregate(ctx context.Context, q Query, as ...Aggregation) ([]Table, error)
	// Get returns a document, or ErrNotFound.
	Get(ctx context.Context, id ulid.ULID) (json.RawMessage, error)
}

// A Query selects activities: those of any of the kinds, in the period, for which every condition holds, and whose text
// matches. The zero Query selects all, newest first.
type Query struct {
	// Model is what the kinds and fields are of; nil for the built-in ones. Parse sets it.
	Model *activity.Model

	Kinds []activity.Kind // any of these; empty for all
	Where []Condition     // all of these
	// Either is groups of conditions, of which one must hold as a whole; empty for no such demand.
	Either [][]Condition
	From   time.Time // @timestamp at or after; zero for no bound
	To     time.Time // @timestamp before; zero for no bound
	Text   string    // full text, as ParseText reads it; "" for none

	Sort      []SortKey // empty for newest first; Order completes it
	Limit     int       // of the page; 0 for DefaultLimit
	Offset    int       // matches to skip; not together with Cursor
	Cursor    string    // Page.Next of the page before; "" for the first
	Fields    []string  // paths of what to return of each document; empty for all
	SkipTotal bool      // do not count
}

// Op is what a condition asks of a field.
type Op uint8

// The operators.
const (
	Any    Op = iota // equal to any of Values; of an array, any element
	GTE              // at least Values[0]
	LTE              // at most
	GT               // more than
	LT               // less than
	Exists           // present (Values[0] is true) or absent (false)
	Prefix           // begins with Values[0]
)

// A Condition is one condition on a field. The Go type of Values follows from the field's: string for Keyword, Keywords, IP
// and Free, bool for Bool, int64 for Long, float64 for Double, time.Time for Date; bool for Exists always.
type Condition struct {
	Field  activity.FieldID
	Path   string // below a Free field, dotted ("x.y" of details.x.y); "" otherwise
	Op     Op
	Values []any
}

// A SortKey is a field to sort by. Documents without the field come last either way.
type SortKey struct {
	Field      activity.FieldID
	Descending bool
}

// A Page is one page of an answer.
type Page struct {
	Items []json.RawMessage // documents, or the selected fields of them
	Next  string            // cursor of the next page, "" when this is the last
	// Total is how many match; where TotalAtLeast, there are more. 0 when the query said SkipTotal.
	Total        int64
	TotalAtLeast bool
}

// Order returns the complete order of the query: its Sort, or newest first, and the id at the end, which makes the order
// total.
func (q *Query) Order() []SortKey {
	order := []SortKey{{activity.Timestamp, true}}
	if len(q.Sort) > 0 {
		order = slices.Clone(q.Sort)
	}
	if i := slices.IndexFunc(order, func(k SortKey) bool { return k.Field == activity.ID }); i >= 0 {
		return order[:i+1]
	}
	return append(order, SortKey{activity.ID, true})
}

// PageSize returns the limit to use.
func (q *Query) PageSize() int {
	if q.Limit == 0 {
		return DefaultLimit
	}
	return q.Limit
}

// Each calls f for the items of all pages of q, one after another, until f returns an error. max is how many at most; 0
// for all. The whole answer is never in memory.
func Each(ctx context.Context, s Searcher, q Query, max int, f func(item json.RawMessage) error) error {
	return Pages(ctx, s, q, max, func(p Page) error {
		for _, item := range p.Items {
			if err := f(item); err != nil {
				return err
			}
		}
		return nil
	})
}

// pageBytes is about how many bytes of documents Pages has in memory at once.
const pageBytes = 4 << 20

// Pages calls f for the pages of q, one after another, until f returns an error. max is how many items at most; 0 for all.
// Pages of large documents have fewer of them.
func Pages(ctx context.Context, s Searcher, q Query, max int, f func(p Page) error) error {
	if w, ok := s.(Walker); ok && q.Offset == 0 && (max == 0 || max > MaxLimit) {
		return w.Walk(ctx, q, max, f)
	}
	q.SkipTotal = true
	size := min(MaxLimit, 250) // of what is not known to be small
	for left := max; ; {
		q.Limit = size
		if max > 0 {
			q.Limit = min(left, size)
		}
		p, err := s.Search(ctx, q)
		if err != nil {
			return err
		}
		if err := f(p); err != nil {
			return err
		}
		left -= len(p.Items)
		if p.Next == "" || max > 0 && left <= 0 {
			return nil
		}
		q.Cursor, q.Offset = p.Next, 0
		size = nextSize(p.Items)
	}
}

// nextSize is how many documents like these a page may have.
func nextSize(items []json.RawMessage) int {
	bytes := 1
	for _, item := range items {
		bytes += len(item)
	}
	return min(MaxLimit, max(1, pageBytes*len(items)/bytes))
}
