package api

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

var historyDoc = doc{summary: "What happened to one thing, with the fields that changed", answer: steps{}}

// steps is the body of a history: a page of what happened to one thing.
type steps struct {
	Items             []step  `json:"items"`
	Total             int64   `json:"total" doc:"How many match."`
	TotalIsLowerBound bool    `json:"total_is_lower_bound" doc:"Whether there are more than total."`
	Next              *string `json:"next" doc:"The cursor of the next page; null on the last."`
}

// step is an activity and what it changed.
type step struct {
	Activity json.RawMessage `json:"activity" doc:"The activity, or the fields= of it."`
	Changes  []fieldChange   `json:"changes" doc:"By field; none where the activity changed nothing, or nobody knows what."`
}

// fieldChange is a field before and after.
type fieldChange struct {
	Field string          `json:"field"`
	Old   json.RawMessage `json:"old,omitempty" doc:"The value before; absent where there was none."`
	New   json.RawMessage `json:"new,omitempty" doc:"The value after; absent where there is none."`
}

// history answers with a page of what happened to one thing: what names it as its entity, and changes and reads of data that
// name it by table and record.
func history(v *view, r *http.Request, now time.Time) (any, error) {
	q, err := question(v.model, r, nil, now)
	if err != nil {
		return nil, err
	}
	is := func(f activity.FieldID, part string) search.Condition {
		return search.Condition{Field: f, Values: []any{r.PathValue(part)}}
	}
	q.Either = [][]search.Condition{
		{is(activity.EntityType, "type"), is(activity.EntityID, "id")},
		{is(activity.TableName, "type"), is(activity.RecordID, "id")},
	}
	fields := q.Fields
	q.Fields = nil // what changed may be in others
	p, err := v.Search(r.Context(), q)
	if err != nil {
		return nil, err
	}
	out := steps{Items: make([]step, len(p.Items)), Total: p.Total, TotalIsLowerBound: p.TotalAtLeast}
	selector := search.NewSelector(fields)
	for i, doc := range p.Items {
		out.Items[i].Changes = changes(doc)
		if out.Items[i].Activity, err = selector.Select(doc); err != nil {
			return nil, err
		}
	}
	if p.Next != "" {
		out.Next = &p.Next
	}
	return out, nil
}

// changes lists what a document says has changed: the fields it names, or those whose values differ.
func changes(doc json.RawMessage) []fieldChange {
	var d struct {
		Old     map[string]json.RawMessage `json:"old_values"`
		New     map[string]json.RawMessage `json:"new_values"`
		Changed []string                   `json:"changed_fields"`
	}
	out := []fieldChange{}
	if json.Unmarshal(doc, &d) != nil {
		return out
	}
	if len(d.Changed) == 0 {
		before, _ := json.Marshal(d.Old) // they come from JSON
		after, _ := json.Marshal(d.New)
		d.Changed, _ = activity.Changed(before, after)
	}
	for i, name := range d.Changed {
		if !slices.Contains(d.Changed[:i], name) {
			out = append(out, fieldChange{name, d.Old[name], d.New[name]})
		}
	}
	return out
}
