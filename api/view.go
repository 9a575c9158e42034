package api

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/access"
)

// A view is the store as one caller may see it. It is the only place where isolation is added, and all that handlers have.
type view struct {
	model  *activity.Model
	store  search.Store
	caller access.Caller
	// user is the caller as documents name them: a pseudonym where identities are hashed.
	user string
}

// Search answers what the caller may see of the answer to q.
func (v *view) Search(ctx context.Context, q search.Query) (search.Page, error) {
	q, err := v.scope(q)
	if err != nil {
		return search.Page{}, err
	}
	return v.store.Search(ctx, q)
}

// Get returns a document, or search.ErrNotFound where there is none or the caller may not see it.
func (v *view) Get(ctx context.Context, id ulid.ULID) (json.RawMessage, error) {
	doc, err := v.store.Get(ctx, id)
	if err == nil && !v.sees(doc) {
		return nil, search.ErrNotFound
	}
	return doc, err
}

// kinds are those that the caller may see.
func (v *view) kinds() []activity.Kind {
	all := v.model.Kinds()
	if !v.caller.Role.Sees() {
		all = slices.DeleteFunc(slices.Clone(all), func(k activity.Kind) bool { return k == activity.SystemEvent })
	}
	return all
}

// scope narrows q to what the caller may see.
func (v *view) scope(q search.Query) (search.Query, error) {
	if !v.caller.Role.Sees() && v.user == "" {
		return q, errForbidden
	}
	if len(q.Kinds) == 0 {
		q.Kinds = v.kinds()
	}
	q.Kinds = slices.DeleteFunc(slices.Clone(q.Kinds), func(k activity.Kind) bool { return !slices.Contains(v.kinds(), k) })
	if len(q.Kinds) == 0 { // which a store would take for all
		return q, errForbidden
	}
	q.Where = slices.Clone(q.Where)
	if !v.caller.Role.Sees() {
		q.Where = append(q.Where, search.Condition{Field: activity.UserID, Values: []any{v.user}})
	}
	switch {
	case v.caller.AllTenants:
	case v.caller.Tenant == "":
		q.Where = append(q.Where, search.Condition{Field: activity.TenantID, Op: search.Exists, Values: []any{false}})
	default:
		q.Where = append(q.Where, search.Condition{Field: activity.TenantID, Values: []any{v.caller.Tenant}})
	}
	return q, nil
}

// sees is scope for a document at hand. What cannot be read is not seen.
func (v *view) sees(doc json.RawMessage) bool {
	var members map[string]json.RawMessage
	if json.Unmarshal(doc, &members) != nil {
		return false
	}
	text := func(f activity.FieldID) (s string) {
		if json.Unmarshal(members[f.Name()], &s) != nil {
			return ""
		}
		return s
	}
	kind, ok := v.model.ParseKind([]byte(text(activity.KindField)))
	if !ok || !slices.Contains(v.kinds(), kind) {
		return false
	}
	if !v.caller.Role.Sees() && (v.user == "" || text(activity.UserID) != v.user) {
		return false
	}
	_, tenanted := members[activity.TenantID.Name()]
	switch {
	case v.caller.AllTenants:
		return true
	case v.caller.Tenant == "":
		return !tenanted
	}
	return text(activity.TenantID) == v.caller.Tenant
}
