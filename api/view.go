package api

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/oklog/ulid/v2"
	"golang.org/x/sync/errgroup"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/access"
	"github.com/truledgr/activity-agent/api/live"
)

// A view is the store as one caller may see it. It is the only place where isolation is added, and all that handlers have.
type view struct {
	model  *activity.Model
	store  search.Store
	hub    *live.Hub // nil where the store tells nothing of arrivals
	caller access.Caller
	// still tells whether the caller is who they were, for answers that go on for long.
	still func() error
	// user is the caller as documents name them: a pseudonym where identities are hashed.
	user      string
	pseudonym func(user string) string // Options.Pseudonym

	recorder  Recorder // nil where nothing is recorded or amended
	amendOwn  bool
	requestID string
	at        *match // the route that is asked

	// others: what others did was asked for, and is recorded before it is shown. A streamed answer has note for that, and any
	// other is recorded when it is known how many activities it has.
	others bool
	shown  int
	sent   int // by a streamed answer
	note   func() error
}

// name tells callers apart.
func (v *view) name() string { return v.caller.By + "\x00" + v.caller.Tenant + "\x00" + v.caller.User }

// Search answers what the caller may see of the answer to q.
func (v *view) Search(ctx context.Context, q search.Query) (search.Page, error) {
	q, err := v.scope(q)
	if err != nil {
		return search.Page{}, err
	}
	p, err := v.store.Search(ctx, q)
	v.shown += len(p.Items)
	return p, err
}

// Aggregate computes numbers of what the caller may see of what q selects.
func (v *view) Aggregate(ctx context.Context, q search.Query, as ...search.Aggregation) ([]search.Table, error) {
	q, err := v.scope(q)
	if err != nil {
		return nil, err
	}
	return v.store.Aggregate(ctx, q, as...)
}

// An asked is a question that is one of several that are asked at once.
type asked struct {
	query search.Query
	of    search.Aggregation
}

// AggregateAll answers several questions for numbers, a table for each, at the same time.
func (v *view) AggregateAll(ctx context.Context, all []asked) ([]search.Table, error) {
	for i := range all {
		var err error
		if all[i].query, err = v.scope(all[i].query); err != nil {
			return nil, err
		}
	}
	out := make([]search.Table, len(all))
	group, ctx := errgroup.WithContext(ctx)
	for i, a := range all {
		group.Go(func() error {
			tables, err := v.store.Aggregate(ctx, a.query, a.of)
			if err == nil {
				out[i] = tables[0]
			}
			return err
		})
	}
	return out, group.Wait()
}

// Follow subscribes to what arrives, as far as the caller may see it.
func (v *view) Follow(ctx context.Context, q search.Query, after string) (*live.Subscription, error) {
	if v.hub == nil {
		return nil, errNoRoute
	}
	q, err := v.scope(q)
	if err != nil {
		return nil, err
	}
	match, err := search.NewMatcher(q)
	if err != nil {
		return nil, err
	}
	return v.hub.Subscribe(ctx, match, after)
}

// Get returns a document, or search.ErrNotFound where there is none or the caller may not see it.
func (v *view) Get(ctx context.Context, id ulid.ULID) (json.RawMessage, error) {
	doc, err := v.store.Get(ctx, id)
	switch {
	case err != nil:
		return nil, err
	case !v.sees(doc):
		return nil, search.ErrNotFound
	}
	v.shown++
	if v.caller.Role.Sees() && !v.owns(doc) {
		err = v.ofOthers()
	}
	return doc, err
}

// ofOthers notes that what others did is read.
func (v *view) ofOthers() error {
	if v.others {
		return nil
	}
	v.others = true
	if v.note != nil {
		return v.note()
	}
	return nil
}

// own reports whether q asks for what the caller did alone.
func (v *view) own(q *search.Query) bool {
	return v.user != "" && !v.caller.AllTenants && slices.ContainsFunc(q.Where, func(c search.Condition) bool {
		return c.Field == activity.UserID && c.Op == search.Any && len(c.Values) == 1 && c.Values[0] == v.user
	})
}

// kinds are those that the caller may see.
func (v *view) kinds() []activity.Kind {
	all := v.model.Kinds()
	if !v.caller.Role.Sees() {
		all = slices.DeleteFunc(slices.Clone(all), func(k activity.Kind) bool { return k == activity.SystemEvent })
	}
	return all
}

// scope narrows q to what the caller may see, and notes whether that is what others did.
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
	switch {
	case !v.caller.Role.Sees():
		q.Where = append(q.Where, search.Condition{Field: activity.UserID, Values: []any{v.user}})
	case !v.own(&q):
		if err := v.ofOthers(); err != nil {
			return q, err
		}
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
