package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

var aggregateDoc = doc{
	summary: "Numbers of activities, by groups", without: paging, answer: numbers{},
	params: []param{
		{name: "group_by", text: "up to three fields, whose values make groups", several: true},
		{name: "interval", text: "a length of time that makes groups: minute, hour, day, week, month, or a number with s, m, h, d or w"},
		{name: "metric", text: "count, or a function and a field: sum:, avg:, min:, max:, percentiles:, p95: or cardinality:; ten at most", several: true},
		{name: "order", text: "of the groups: count, key or a metric, with a minus for the largest first"},
		{name: "limit", text: "of the groups; " + strconv.Itoa(search.DefaultGroups) + " unless told", low: 1, high: search.MaxGroups},
	},
}

// numbers is the body of an aggregation.
type numbers struct {
	Groups        []group `json:"groups" doc:"In the order that was asked for. Without group_by= and interval= there is one, of all."`
	Total         int64   `json:"total" doc:"How many activities match."`
	GroupsLeftOut int64   `json:"groups_left_out" doc:"How many groups the limit left out."`
	Other         int64   `json:"other" doc:"How many activities those have that were left out; one in several groups counts in each."`
}

// group is activities with the same values of the fields in group_by=, and of the same interval.
type group struct {
	Key     map[string]any `json:"key" doc:"The values by field, and under @timestamp the begin of the interval; null for activities without the field."`
	Count   int64          `json:"count" doc:"How many activities there are."`
	Metrics map[string]any `json:"metrics,omitempty" doc:"By the names that metric= has; null where no activity has a value."`
}

// aggregate answers with numbers.
func aggregate(v *view, r *http.Request, now time.Time) (any, error) {
	params, err := parameters(r)
	if err != nil {
		return nil, err
	}
	q, a, err := search.ParseAggregation(v.model, params, now)
	if err != nil {
		return nil, err
	}
	tables, err := v.Aggregate(r.Context(), q, a)
	if err != nil {
		return nil, err
	}
	t := tables[0]
	out := numbers{Groups: make([]group, len(t.Groups)), Total: t.Total, GroupsLeftOut: t.Left, Other: t.Other}
	for i, g := range t.Groups {
		out.Groups[i] = groupOf(v.model, &a, g)
	}
	return out, nil
}

func groupOf(model *activity.Model, a *search.Aggregation, g search.Group) group {
	out := group{Key: map[string]any{}, Count: g.Count}
	keys := g.Keys
	if !a.Interval.IsZero() {
		out.Key[activity.Timestamp.Name()], keys = keys[0], keys[1:]
	}
	for i, t := range a.By {
		out.Key[t.Name(model)] = keys[i]
	}
	if len(a.Metrics) > 0 {
		out.Metrics = make(map[string]any, len(a.Metrics))
	}
	for i, m := range a.Metrics {
		out.Metrics[m.Name(model)] = g.Values[i]
	}
	return out
}
