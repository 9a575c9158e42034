package search

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/truledgr/activity-agent/activity"
)

// Limits of one aggregation.
const (
	MaxTerms      = 3    // of Aggregation.By
	MaxMetrics    = 10   // of Aggregation.Metrics
	DefaultGroups = 100  // where Aggregation.Limit is 0
	MaxGroups     = 1000 // of Aggregation.Limit
)

// An Aggregation says what to compute of the activities that a query selects: how many there are, and metrics, of all of
// them or of each group.
type Aggregation struct {
	// Model is what the fields are of; nil for the built-in ones. ParseAggregation sets it.
	Model *activity.Model

	Interval Interval // of @timestamp, the first key of a group; the zero Interval for none
	By       []Term   // the further keys
	Present  bool     // only groups that have a value of every key
	Metrics  []Metric
	Order    GroupOrder
	Limit    int // of the groups; 0 for DefaultGroups
}

// A Term is a field whose values make groups: Keyword, Keywords, IP, Bool, Long, or what lies below a Free field. An
// activity with several values is in several groups; one without the field is in the group of nil.
type Term struct {
	Field activity.FieldID
	Path  string // below a Free field, dotted; "" otherwise
}

// Name writes the term, of a field of m, as the parameter group_by= takes it.
func (t Term) Name(m *activity.Model) string {
	if t.Path != "" {
		return m.FieldName(t.Field) + "." + t.Path
	}
	return m.FieldName(t.Field)
}

// Several reports whether an activity may have several values of the term.
func (t Term) Several(m *activity.Model) bool {
	return m.FieldType(t.Field) == activity.Keywords || t.Path != ""
}

// An Interval is a length of time, in UTC.
type Interval struct {
	Month bool // a month of the calendar
	// Every is any other length, in whole seconds. It is counted from 1970; whole weeks are counted from a Monday, as in
	// ISO 8601.
	Every time.Duration
}

// Week is the interval of a week.
const Week = 7 * 24 * time.Hour

// IsZero reports whether there is no interval.
func (i Interval) IsZero() bool { return i == Interval{} }

// Offset is how long after 1970 the first interval begins.
func (i Interval) Offset() time.Duration {
	if i.Every > 0 && i.Every%Week == 0 {
		return 4 * 24 * time.Hour // 1970 began on a Thursday
	}
	return 0
}

// Function is what a metric computes.
type Function uint8

// The functions. Sum, Avg and Percentile are of numbers, Min and Max of numbers and dates, Cardinality of Keyword, IP,
// Bool and Long.
const (
	Sum Function = iota
	Avg
	Min
	Max
	Percentile
	Cardinality
)

// A Metric is a function of a field's values. What it is of no value is nil; a sum or cardinality then is 0.
//
// Percentiles interpolate between the two nearest values. Of many values (see the store) they are approximate, as are
// cardinalities. Of a date, what is less than a millisecond is left out.
type Metric struct {
	Function Function
	Field    activity.FieldID
	Percent  float64 // of Percentile, from 0 to 100
}

// GroupOrder is the order of groups. The zero GroupOrder puts the most activities first. Groups that are equal come in the
// order of their keys.
type GroupOrder struct {
	Key       bool // by the keys
	Metric    int  // by a metric: 1 for the first; not a percentile
	Ascending bool
}

// A Table is the answer to an aggregation.
type Table struct {
	Groups []Group
	Total  int64 // how many activities the query selects, exactly
	Left   int64 // how many groups were left out because of the limit
	Other  int64 // how many activities those have, each counted once a group
}

// A Group is activities that have the same keys.
type Group struct {
	// Keys are the interval's begin (time.Time), where there is an interval, and a value of each term: string, bool or
	// int64; nil for none.
	Keys  []any
	Count int64
	// Values are of the metrics: float64, or time.Time for Min and Max of a date; nil for none.
	Values []any
}

// MaxGroups returns the limit to use.
func (a *Aggregation) MaxGroups() int {
	if a.Limit == 0 {
		return DefaultGroups
	}
	return a.Limit
}

// A Picker keeps the groups that come first in an aggregation's order. Stores add every group there is.
type Picker struct {
	a           *Aggregation
	groups      []Group
	left, other int64
	least       int64 // of the activities that a group needs to be among the first; 0 where that is not known
}

// NewPicker returns a Picker for the aggregation.
func NewPicker(a *Aggregation) *Picker { return &Picker{a: a} }

// Add takes a group, once.
func (p *Picker) Add(g Group) {
	p.groups = append(p.groups, g)
	if len(p.groups) >= 2*p.a.MaxGroups()+100 {
		p.cut()
	}
}

// PassOver reports whether a group of so many activities cannot come first, whatever its keys. If so it has been added.
func (p *Picker) PassOver(count int64) bool {
	if count >= p.least {
		return false
	}
	p.left++
	p.other += count
	return true
}

func (p *Picker) cut() {
	slices.SortFunc(p.groups, p.a.compare)
	n := min(len(p.groups), p.a.MaxGroups())
	if n == p.a.MaxGroups() && p.a.Order == (GroupOrder{}) {
		p.least = p.groups[n-1].Count
	}
	for _, g := range p.groups[n:] {
		p.left++
		p.other += g.Count
	}
	clear(p.groups[n:])
	p.groups = p.groups[:n]
}

// Table returns the answer; total is how many activities the query selects.
func (p *Picker) Table(total int64) Table {
	p.cut()
	return Table{Groups: p.groups, Total: total, Left: p.left, Other: p.other}
}

func (a *Aggregation) compare(x, y Group) int {
	by := cmp.Compare(x.Count, y.Count)
	switch {
	case a.Order.Key:
		by = compareKeys(x.Keys, y.Keys)
	case a.Order.Metric > 0:
		v, w := x.Values[a.Order.Metric-1], y.Values[a.Order.Metric-1]
		if v == nil || w == nil {
			return cmp.Or(compareKey(v, w), compareKeys(x.Keys, y.Keys))
		}
		by = compareKey(v, w)
	}
	if !a.Order.Ascending {
		by = -by
	}
	return cmp.Or(by, compareKeys(x.Keys, y.Keys))
}

func compareKeys(x, y []any) int { return slices.CompareFunc(x, y, compareKey) }

// compareKey compares two values of one field; nil comes last.
func compareKey(x, y any) int {
	switch {
	case x == nil || y == nil:
		return compareBools(x == nil, y == nil)
	}
	switch x := x.(type) {
	case string:
		return strings.Compare(x, y.(string))
	case bool:
		return compareBools(x, y.(bool))
	case int64:
		return cmp.Compare(x, y.(int64))
	case float64:
		return cmp.Compare(x, y.(float64))
	case time.Time:
		return x.Compare(y.(time.Time))
	}
	return 0
}

func compareBools(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return 1
	}
	return -1
}
