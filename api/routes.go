package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/access"
)

// A route is a path that is answered, to GET and HEAD.
type route struct {
	path   string // a pattern of net/http without the slash at its end
	roles  []access.Role
	handle func(v *view, r *http.Request, now time.Time) (any, error)
}

var (
	everyone = []access.Role{access.User, access.Auditor, access.Admin}
	sighted  = []access.Role{access.Auditor, access.Admin}
)

// routes are all there are, with one for each kind that m declares.
func routes(m *activity.Model) []route {
	all := []route{
		{"/activities", everyone, list(activity.NoKind)},
		{"/activities/{id}", everyone, one},
		{"/activities/api-transactions", everyone, list(activity.APITransaction)},
		{"/activities/data-access", everyone, list(activity.DataAccess)},
		{"/activities/data-changes", everyone, list(activity.DataChange)},
		{"/activities/auth-events", everyone, list(activity.AuthEvent)},
		{"/activities/external-api", everyone, list(activity.ExternalAPI)},
		{"/activities/system-events", sighted, list(activity.SystemEvent)},
		{"/activities/admin/users/{user_id}/activities", sighted, ofUser},
	}
	for _, k := range m.Kinds() {
		if word := m.RouteWord(k); word != "" {
			all = append(all, route{"/activities/" + word, everyone, list(k)})
		}
	}
	return all
}

// page is the body of a list.
type page struct {
	Items []json.RawMessage `json:"items"`
	// Total is how many match; where TotalIsLowerBound, there are more.
	Total             int64 `json:"total"`
	TotalIsLowerBound bool  `json:"total_is_lower_bound"`
	// Next is the cursor of the next page; null on the last.
	Next *string `json:"next"`
}

// list answers with a page of one kind, or of all that the caller may see for NoKind.
func list(kind activity.Kind) func(*view, *http.Request, time.Time) (any, error) {
	var kinds []activity.Kind
	if kind != activity.NoKind {
		kinds = []activity.Kind{kind}
	}
	return func(v *view, r *http.Request, now time.Time) (any, error) {
		q, err := question(v.model, r, kinds, now)
		if err != nil {
			return nil, err
		}
		return answer(v, r, q)
	}
}

// ofUser answers with a page of what one user did.
func ofUser(v *view, r *http.Request, now time.Time) (any, error) {
	q, err := question(v.model, r, nil, now)
	if err != nil {
		return nil, err
	}
	q.Where = append(q.Where, search.Condition{Field: activity.UserID, Values: []any{r.PathValue("user_id")}})
	return answer(v, r, q)
}

// one answers with a document.
func one(v *view, r *http.Request, _ time.Time) (any, error) {
	if name, _, _ := strings.Cut(r.URL.RawQuery, "="); name != "" {
		return nil, &search.ParamError{Param: name, Problem: "there are no parameters on this route"}
	}
	id, err := ulid.ParseStrict(r.PathValue("id"))
	if err != nil {
		return nil, search.ErrNotFound
	}
	return v.Get(r.Context(), id)
}

// question reads the parameters.
func question(m *activity.Model, r *http.Request, kinds []activity.Kind, now time.Time) (search.Query, error) {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return search.Query{}, &search.ParamError{Param: "?", Problem: "the parameters are not percent-encoded as in RFC 3986"}
	}
	if _, ok := params["kind"]; ok && kinds != nil {
		return search.Query{}, &search.ParamError{Param: "kind", Problem: "this route is of one kind: ask /activities/ for others"}
	}
	return search.Parse(m, params, kinds, now)
}

func answer(v *view, r *http.Request, q search.Query) (any, error) {
	p, err := v.Search(r.Context(), q)
	if err != nil {
		return nil, err
	}
	out := page{Items: p.Items, Total: p.Total, TotalIsLowerBound: p.TotalAtLeast}
	if out.Items == nil {
		out.Items = []json.RawMessage{}
	}
	if p.Next != "" {
		out.Next = &p.Next
	}
	return out, nil
}
