package api

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

var (
	ownSummaryDoc  = doc{summary: "What the caller did, in numbers", without: paging, answer: summary{}}
	userSummaryDoc = doc{summary: "What one user did, in numbers", without: paging, answer: summary{}}
)

// summary is what one user did within a time.
type summary struct {
	UserID        string        `json:"user_id"`
	From          time.Time     `json:"from"`
	To            time.Time     `json:"to"`
	Total         int64         `json:"total" doc:"How many activities match."`
	FirstSeen     *time.Time    `json:"first_seen" doc:"The time of the first activity; null where there is none."`
	LastSeen      *time.Time    `json:"last_seen" doc:"The time of the last activity; null where there is none."`
	Kinds         []tally       `json:"kinds"`
	ActivityTypes []tally       `json:"activity_types" doc:"The ten with the most activities."`
	Statuses      []tally       `json:"statuses" doc:"The ten with the most activities."`
	Outcomes      []tally       `json:"outcomes"`
	Days          []dayTally    `json:"days" doc:"The last 1000 that have activities, in UTC."`
	Entities      []entityTally `json:"entities" doc:"The ten with the most activities."`
	Endpoints     []tally       `json:"endpoints" doc:"The ten with the most activities."`
	ErrorRate     *float64      `json:"error_rate" doc:"The share of failures in what has an outcome, from 0 to 1; null where nothing has."`
	FailedLogins  int64         `json:"failed_logins" doc:"How many auth events did not succeed."`
	Latency       *latency      `json:"execution_time_ms" doc:"Percentiles of requests and calls of other services; null where none has a duration."`
}

// tally is how many activities have a value.
type tally struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

// dayTally is how many activities a day has, in UTC.
type dayTally struct {
	Day   string `json:"day"`
	Count int64  `json:"count"`
}

// entityTally is how many activities were about a thing.
type entityTally struct {
	Type  string `json:"entity_type"`
	ID    string `json:"entity_id"`
	Count int64  `json:"count"`
}

// latency is percentiles, in milliseconds.
type latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// top is how many values a summary has of what can have any number of them.
const top = 10

// summaryTime is how far a summary looks back unless told.
const summaryTime = 30 * 24 * time.Hour

var errNoUser = errors.New("this token is nobody's: ask /activities/admin/summary/{user_id}")

// ownSummary answers with what the caller did.
func ownSummary(v *view, r *http.Request, now time.Time) (any, error) {
	if v.user == "" {
		return nil, errNoUser
	}
	return summarise(v, r, v.user, now)
}

// userSummary answers with what a user did.
func userSummary(v *view, r *http.Request, now time.Time) (any, error) {
	return summarise(v, r, r.PathValue("user_id"), now)
}

// The tables that a summary is made of.
const (
	sumAll = iota
	sumKinds
	sumTypes
	sumStatuses
	sumOutcomes
	sumDays
	sumEntities
	sumEndpoints
	sumSuccess
	sumTables
)

func summaryTables() []search.Aggregation {
	by := func(limit int, fields ...activity.FieldID) search.Aggregation {
		a := search.Aggregation{Limit: limit, Present: true}
		for _, f := range fields {
			a.By = append(a.By, search.Term{Field: f})
		}
		return a
	}
	as := make([]search.Aggregation, sumTables)
	as[sumAll].Metrics = []search.Metric{{Function: search.Min, Field: activity.Timestamp}, {Function: search.Max, Field: activity.Timestamp}}
	for _, p := range []float64{50, 90, 95, 99} {
		as[sumAll].Metrics = append(as[sumAll].Metrics, search.Metric{Function: search.Percentile, Field: activity.ExecutionTimeMS, Percent: p})
	}
	as[sumKinds] = by(search.MaxGroups, activity.KindField)
	as[sumTypes] = by(top, activity.ActivityType)
	as[sumStatuses] = by(top, activity.Status)
	as[sumOutcomes] = by(top, activity.ECSEventOutcome)
	as[sumDays] = search.Aggregation{Interval: search.Interval{Every: 24 * time.Hour}, Order: search.GroupOrder{Key: true}, Limit: search.MaxGroups}
	as[sumEntities] = by(top, activity.EntityType, activity.EntityID)
	as[sumEndpoints] = by(top, activity.Endpoint)
	as[sumSuccess] = by(top, activity.Success)
	return as
}

func summarise(v *view, r *http.Request, user string, now time.Time) (any, error) {
	q, err := chosen(v.model, r, nil, now)
	if err != nil {
		return nil, err
	}
	within(&q, summaryTime, now)
	q.Where = append(q.Where, search.Condition{Field: activity.UserID, Values: []any{user}})
	tables, err := v.Aggregate(r.Context(), q, summaryTables()...)
	if err != nil {
		return nil, err
	}
	s := summary{
		UserID: user, From: q.From, To: q.To, Total: tables[sumAll].Total,
		Kinds: tallies(tables[sumKinds]), ActivityTypes: tallies(tables[sumTypes]), Statuses: tallies(tables[sumStatuses]),
		Outcomes: tallies(tables[sumOutcomes]), Endpoints: tallies(tables[sumEndpoints]),
		Days: []dayTally{}, Entities: []entityTally{},
	}
	for _, g := range slices.Backward(tables[sumDays].Groups) {
		s.Days = append(s.Days, dayTally{g.Keys[0].(time.Time).Format(time.DateOnly), g.Count})
	}
	for _, g := range tables[sumEntities].Groups {
		s.Entities = append(s.Entities, entityTally{g.Keys[0].(string), g.Keys[1].(string), g.Count})
	}
	for _, g := range tables[sumSuccess].Groups {
		if g.Keys[0] == false {
			s.FailedLogins = g.Count
		}
	}
	s.ErrorRate = errorRate(s.Outcomes)
	s.setMetrics(tables[sumAll].Groups[0].Values)
	return s, nil
}

// setMetrics takes the metrics of sumAll.
func (s *summary) setMetrics(values []any) {
	if s.Total > 0 {
		first, last := values[0].(time.Time), values[1].(time.Time)
		s.FirstSeen, s.LastSeen = &first, &last
	}
	if p50, ok := values[2].(float64); ok {
		s.Latency = &latency{p50, values[3].(float64), values[4].(float64), values[5].(float64)}
	}
}

// tallies returns a table of one field of text.
func tallies(t search.Table) []tally {
	out := []tally{}
	for _, g := range t.Groups {
		out = append(out, tally{g.Keys[0].(string), g.Count})
	}
	return out
}

func errorRate(outcomes []tally) *float64 {
	count := map[string]int64{}
	for _, o := range outcomes {
		count[o.Value] = o.Count
	}
	known := count["success"] + count["failure"]
	if known == 0 {
		return nil
	}
	rate := float64(count["failure"]) / float64(known)
	return &rate
}

// chosen reads the parameters of a question that has no pages.
func chosen(m *activity.Model, r *http.Request, kinds []activity.Kind, now time.Time) (search.Query, error) {
	params, err := parameters(r)
	if err != nil {
		return search.Query{}, err
	}
	return chosenOf(m, params, kinds, now)
}

func chosenOf(m *activity.Model, params url.Values, kinds []activity.Kind, now time.Time) (search.Query, error) {
	var errs []error
	for _, name := range paging {
		if _, ok := params[name]; ok {
			errs = append(errs, &search.ParamError{Param: name, Problem: "is for lists"})
			params.Del(name)
		}
	}
	q, err := questionOf(m, params, kinds, now)
	return q, errors.Join(append(errs, err)...)
}

// within gives the question an end, now, and a begin so long before.
func within(q *search.Query, length time.Duration, now time.Time) {
	if q.To.IsZero() {
		q.To = now.UTC()
	}
	if q.From.IsZero() {
		q.From = q.To.Add(-length)
	}
}
