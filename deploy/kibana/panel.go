package kibana

import "github.com/truledgr/activity-agent/activity"

// A panel is one chart, as the table in dashboards.go says it.
type panel struct {
	name  string // part of its id: never changed
	title string
	as    shape
	of    activity.Kind // whose activities; NoKind: all
	where string        // in KQL; "" for all
	by    []bucket      // what the activities are divided by; in charts with an axis of time it is the last
	show  []metric      // what is counted of each part
	wide  bool          // over the whole width
}

// A shape is how a panel draws its figures.
type shape uint8

const (
	figure shape = iota // one number
	lines               // over time
	bars                // over time, or one for each value; stacked
	donut
	table
)

// A bucket divides activities.
type bucket struct {
	field activity.FieldID
	most  int  // so many of its values, those with most of the first metric; 0: by time
	rest  bool // whether what is left is shown as Other
}

// over divides by time.
func over(f activity.FieldID) bucket { return bucket{field: f} }

// top divides by the values that come first.
func top(n int, f activity.FieldID) bucket { return bucket{field: f, most: n} }

// mostly is top, with Other for all the others.
func mostly(n int, f activity.FieldID) bucket { return bucket{field: f, most: n, rest: true} }

// A metric is a figure of a set of activities.
type metric struct {
	operation  string // of Lens
	field      activity.FieldID
	percentile int
	label      string
	where      string // of those activities, in KQL
}

func count(label string) metric { return metric{operation: "count", label: label} }

// only counts the activities that are so.
func (m metric) only(where string) metric {
	m.where = where
	return m
}

func distinct(f activity.FieldID, label string) metric {
	return metric{operation: "unique_count", field: f, label: label}
}

func sum(f activity.FieldID, label string) metric {
	return metric{operation: "sum", field: f, label: label}
}

func least(f activity.FieldID, label string) metric {
	return metric{operation: "min", field: f, label: label}
}

func greatest(f activity.FieldID, label string) metric {
	return metric{operation: "max", field: f, label: label}
}

func percentile(n int, f activity.FieldID, label string) metric {
	return metric{operation: "percentile", field: f, percentile: n, label: label}
}
