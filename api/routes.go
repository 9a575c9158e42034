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
	handle func(v *view, r *http.Request, now time.Time) (any, error) // answers with one JSON value
	stream *streaming                                                 // answers piece by piece, instead of handle
	doc    doc
}

// A doc is what a route adds to the parameters and the JSON that all have, for who describes the API.
type doc struct {
	summary string
	params  []param  // beside those of a list
	media   []string // of the answer; none for application/json
}

// A param is a parameter of the query.
type param struct {
	name, text string
	values     []string // the only ones, where the set is closed
}

var (
	everyone = []access.Role{access.User, access.Auditor, access.Admin}
	sighted  = []access.Role{access.Auditor, access.Admin}
)

// routes are all there are.
func routes() []route {
	return []route{
		{path: "/activities", roles: everyone, handle: list(activity.NoKind)},
		{path: "/activities/{id}", roles: everyone, handle: one},
		{path: "/activities/api-transactions", roles: everyone, handle: list(activity.APITransaction)},
		{path: "/activities/data-access", roles: everyone, handle: list(activity.DataAccess)},
		{path: "/activities/data-changes", roles: everyone, handle: list(activity.DataChange)},
		{path: "/activities/auth-events", roles: everyone, handle: list(activity.AuthEvent)},
		{path: "/activities/external-api", roles: everyone, handle: list(activity.ExternalAPI)},
		{path: "/activities/system-events", roles: sighted, handle: list(activity.SystemEvent)},
		{path: "/activities/admin/users/{user_id}/activities", roles: sighted, handle: ofUser},
		{path: "/activities/export", roles: everyone, stream: exporting(), doc: exportDoc},
		{path: "/activities/live", roles: everyone, stream: following(), doc: liveDoc},
	}
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
		q, err := question(r, kinds, now)
		if err != nil {
			return nil, err
		}
		return answer(v, r, q)
	}
}

// ofUser answers with a page of what one user did.
func ofUser(v *view, r *http.Request, now time.Time) (any, error) {
	q, err := question(r, nil, now)
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
func question(r *http.Request, kinds []activity.Kind, now time.Time) (search.Query, error) {
	params, err := parameters(r)
	if err != nil {
		return search.Query{}, err
	}
	if _, ok := params["kind"]; ok && kinds != nil {
		return search.Query{}, &search.ParamError{Param: "kind", Problem: "this route is of one kind: ask /activities/ for others"}
	}
	return search.Parse(params, kinds, now)
}

func parameters(r *http.Request) (url.Values, error) {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &search.ParamError{Param: "?", Problem: "the parameters are not percent-encoded as in RFC 3986"}
	}
	return params, nil
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
