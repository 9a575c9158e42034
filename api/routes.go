package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/access"
)

// A route is a path that is answered.
type route struct {
	method string // "" for GET, and HEAD
	path   string // a pattern of net/http without the slash at its end
	roles  []access.Role
	handle func(v *view, r *http.Request, now time.Time) (any, error) // answers with one JSON value
	stream *streaming                                                 // answers piece by piece, instead of handle
	doc    doc
}

// verb is the method that the route is asked by. That of GET takes HEAD as well.
func (rt route) verb() string { return cmp.Or(rt.method, http.MethodGet) }

var (
	everyone = []access.Role{access.User, access.Auditor, access.Admin}
	sighted  = []access.Role{access.Auditor, access.Admin}
)

// routes are all there are, with one for each kind that m declares.
func routes(m *activity.Model) []route {
	all := []route{
		{path: "/activities", roles: everyone, handle: list(activity.NoKind), doc: doc{summary: "Activities of all kinds that the caller may see"}},
		{path: "/activities/{id}", roles: everyone, handle: one, doc: doc{summary: "One activity, whole", single: true}},
		{method: http.MethodPatch, path: "/activities/{id}", roles: everyone, handle: amendOne, doc: amendDoc},
		ofKind("/activities/api-transactions", everyone, activity.APITransaction),
		ofKind("/activities/data-access", everyone, activity.DataAccess),
		ofKind("/activities/data-changes", everyone, activity.DataChange),
		ofKind("/activities/auth-events", everyone, activity.AuthEvent),
		ofKind("/activities/external-api", everyone, activity.ExternalAPI),
		ofKind("/activities/system-events", sighted, activity.SystemEvent),
		{path: "/activities/admin/users/{user_id}/activities", roles: sighted, handle: ofUser, doc: doc{summary: "Activities of one user"}},
		{path: "/activities/aggregate", roles: everyone, handle: aggregate, doc: aggregateDoc},
		{path: "/activities/summary/user", roles: everyone, handle: ownSummary, doc: ownSummaryDoc},
		{path: "/activities/admin/summary/{user_id}", roles: sighted, handle: userSummary, doc: userSummaryDoc},
		{path: "/activities/entities/{type}/{id}", roles: everyone, handle: history, doc: historyDoc},
		{path: "/activities/auth-events/failed-logins", roles: everyone, handle: failedLogins, doc: loginsDoc},
		{path: "/activities/export", roles: everyone, stream: exporting(), doc: exportDoc},
		{path: "/activities/live", roles: everyone, stream: following(), doc: liveDoc},
	}
	for _, k := range m.Kinds() {
		if word := m.RouteWord(k); word != "" {
			all = append(all, ofKind("/activities/"+word, everyone, k))
		}
	}
	return all
}

// ofKind is a list of one kind.
func ofKind(path string, roles []access.Role, k activity.Kind) route {
	return route{path: path, roles: roles, handle: list(k), doc: doc{summary: "Activities of the kind " + k.String(), kind: k}}
}

// page is the body of a list.
type page struct {
	Items             []json.RawMessage `json:"items" doc:"The activities, or the fields= of them."`
	Total             int64             `json:"total" doc:"How many match."`
	TotalIsLowerBound bool              `json:"total_is_lower_bound" doc:"Whether there are more than total."`
	Next              *string           `json:"next" doc:"The cursor of the next page; null on the last."`
}

// encode writes the page as encoding/json does, but for looking through the documents, which are JSON: of a page they are
// nearly all, and it would take as long as the rest of the request.
func (p page) encode(body *bytes.Buffer) {
	size := 256
	for _, item := range p.Items {
		size += len(item) + 1
	}
	body.Grow(size)
	body.WriteString(`{"items":[`)
	for i, item := range p.Items {
		if i > 0 {
			body.WriteByte(',')
		}
		body.Write(item)
	}
	b := strconv.AppendInt(append(body.AvailableBuffer(), `],"total":`...), p.Total, 10)
	b = strconv.AppendBool(append(b, `,"total_is_lower_bound":`...), p.TotalIsLowerBound)
	b = append(b, `,"next":`...)
	if p.Next == nil {
		b = append(b, "null}\n"...)
	} else {
		b = append(append(append(b, '"'), *p.Next...), "\"}\n"...) // a cursor has nothing to escape
	}
	body.Write(b)
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
	params, err := parameters(r)
	if err != nil {
		return search.Query{}, err
	}
	return questionOf(m, params, kinds, now)
}

// parameters returns those of the request.
func parameters(r *http.Request) (url.Values, error) {
	params, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &search.ParamError{Param: "?", Problem: "the parameters are not percent-encoded as in RFC 3986"}
	}
	return params, nil
}

func questionOf(m *activity.Model, params url.Values, kinds []activity.Kind, now time.Time) (search.Query, error) {
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
