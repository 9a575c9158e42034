package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

// failures is the body of the failed logins: who failed to prove who they are, at least threshold times.
type failures struct {
	From          time.Time      `json:"from"`
	To            time.Time      `json:"to"`
	Threshold     int64          `json:"threshold"`
	Total         int64          `json:"total" doc:"How many auth events failed, of all users and addresses."`
	Users         []userFails    `json:"users"`
	Addresses     []addressFails `json:"addresses"`
	MoreUsers     bool           `json:"more_users" doc:"Whether the limit left users out."`
	MoreAddresses bool           `json:"more_addresses" doc:"Whether the limit left addresses out."`
}

// userFails are the failures of one user.
type userFails struct {
	UserID string `json:"user_id"`
	Fails
	Addresses int64 `json:"addresses" doc:"From how many addresses."`
}

// addressFails are the failures from one address.
type addressFails struct {
	IPAddress string `json:"ip_address"`
	Fails
	Users int64 `json:"users" doc:"Of how many users."`
}

// Fails are some failures; exported, so that the description finds them in the types around them.
type Fails struct {
	Count           int64      `json:"count"`
	First           time.Time  `json:"first"`
	Last            time.Time  `json:"last"`
	SuccessFollowed bool       `json:"success_followed" doc:"Whether there was a success after the first failure."`
	LastSuccess     *time.Time `json:"last_success" doc:"The last success there was; null for none."`
}

// Bounds of the parameters.
const (
	defaultThreshold = 5
	maxThreshold     = 1_000_000
	defaultWindow    = 24 * time.Hour
	defaultLogins    = 100
	maxLogins        = 500
)

var loginsDoc = doc{
	summary: "Users and addresses whose logins failed", kind: activity.AuthEvent, without: append([]string{"success"}, paging...), answer: failures{},
	params: []param{
		{name: "window", text: "how far back to look, such as 1h or 7d; 24h unless told, and not together with from"},
		{name: "threshold", text: "how many failures it takes; " + strconv.Itoa(defaultThreshold) + " unless told", low: 1, high: maxThreshold},
		{name: "limit", text: "users and addresses; " + strconv.Itoa(defaultLogins) + " unless told", low: 1, high: maxLogins},
	},
}

// failedLogins answers with the users and addresses that failed.
func failedLogins(v *view, r *http.Request, now time.Time) (any, error) {
	q, threshold, limit, err := loginQuestion(v.model, r, now)
	if err != nil {
		return nil, err
	}
	out := failures{From: q.From, To: q.To, Threshold: threshold, Users: []userFails{}, Addresses: []addressFails{}}
	users, addresses := failing(activity.UserID, activity.IPAddress, limit), failing(activity.IPAddress, activity.UserID, limit)
	tables, err := v.Aggregate(r.Context(), with(q, activity.Success, false), users, addresses)
	if err != nil {
		return nil, err
	}
	out.Total = tables[0].Total
	byUser, moreUsers := suspects(tables[0].Groups, threshold, limit)
	byAddress, moreAddresses := suspects(tables[1].Groups, threshold, limit)
	if err := judge(r.Context(), v, q, byUser, byAddress); err != nil {
		return nil, err
	}
	out.MoreUsers, out.MoreAddresses = moreUsers, moreAddresses
	for _, f := range byUser {
		out.Users = append(out.Users, userFails{f.who, f.Fails, f.others})
	}
	for _, f := range byAddress {
		out.Addresses = append(out.Addresses, addressFails{f.who, f.Fails, f.others})
	}
	return out, nil
}

// loginQuestion reads the parameters.
func loginQuestion(m *activity.Model, r *http.Request, now time.Time) (q search.Query, threshold int64, limit int, err error) {
	params, err := parameters(r)
	if err != nil {
		return q, 0, 0, err
	}
	var errs []error
	wrong := func(name, problem string) { errs = append(errs, &search.ParamError{Param: name, Problem: problem}) }
	number := func(name string, n, most int) int {
		if params.Has(name) {
			var err error
			if n, err = strconv.Atoi(params.Get(name)); err != nil || n < 1 || n > most {
				wrong(name, "must be a number from 1 to "+strconv.Itoa(most))
			}
			params.Del(name)
		}
		return n
	}
	threshold = int64(number("threshold", defaultThreshold, maxThreshold))
	limit = number("limit", defaultLogins, maxLogins)
	window := defaultWindow
	if params.Has("window") {
		if params.Has("from") {
			wrong("window", "cannot be combined with from=")
		}
		if window, err = search.ParseSpan(params.Get("window")); err != nil {
			wrong("window", err.Error())
		}
		params.Del("window")
	}
	if params.Has("success") {
		wrong("success", "is what this route is about")
		params.Del("success")
	}
	q, err = chosenOf(m, params, []activity.Kind{activity.AuthEvent}, now)
	within(&q, window, now)
	return q, threshold, limit, errors.Join(append(errs, err)...)
}

// failing counts by a field, and how many others there are to each.
func failing(by, others activity.FieldID, limit int) search.Aggregation {
	return search.Aggregation{
		By: []search.Term{{Field: by}}, Present: true, Limit: limit + 1, // one more tells whether there are more
		Metrics: []search.Metric{
			{Function: search.Min, Field: activity.Timestamp}, {Function: search.Max, Field: activity.Timestamp}, {Function: search.Cardinality, Field: others},
		},
	}
}

// with returns the question with one more condition.
func with(q search.Query, f activity.FieldID, values ...any) search.Query {
	q.Where = append(append([]search.Condition(nil), q.Where...), search.Condition{Field: f, Values: values})
	return q
}

// A suspect is a user or an address that failed often enough.
type suspect struct {
	who    string
	others int64
	Fails
}

// suspects are the groups with enough failures, which come with the most first. more says that the limit left some out.
func suspects(groups []search.Group, threshold int64, limit int) (out []suspect, more bool) {
	for _, g := range groups {
		if g.Count < threshold {
			break
		}
		if len(out) == limit {
			return out, true
		}
		out = append(out, suspect{g.Keys[0].(string), int64(g.Values[2].(float64)),
			Fails{Count: g.Count, First: g.Values[0].(time.Time), Last: g.Values[1].(time.Time)}})
	}
	return out, false
}

// judge finds out whether a success followed.
func judge(ctx context.Context, v *view, q search.Query, users, addresses []suspect) error {
	var questions []asked
	var of [][]suspect
	ask := func(by activity.FieldID, some []suspect) {
		if len(some) > 0 {
			questions, of = append(questions, successes(q, by, some)), append(of, some)
		}
	}
	ask(activity.UserID, users)
	ask(activity.IPAddress, addresses)
	tables, err := v.AggregateAll(ctx, questions)
	if err != nil {
		return err
	}
	for i, some := range of {
		last := map[any]time.Time{}
		for _, g := range tables[i].Groups {
			last[g.Keys[0]] = g.Values[0].(time.Time)
		}
		for j := range some {
			if at, ok := last[some[j].who]; ok {
				some[j].LastSuccess, some[j].SuccessFollowed = &at, at.After(some[j].First)
			}
		}
	}
	return nil
}

// successes asks for the last success of each.
func successes(q search.Query, by activity.FieldID, some []suspect) asked {
	names := make([]any, len(some))
	for i := range some {
		names[i] = some[i].who
	}
	return asked{with(with(q, activity.Success, true), by, names...), search.Aggregation{
		By: []search.Term{{Field: by}}, Limit: search.MaxGroups, Metrics: []search.Metric{{Function: search.Max, Field: activity.Timestamp}},
	}}
}
