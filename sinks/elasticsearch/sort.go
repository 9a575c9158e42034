package elasticsearch

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

// sortKey is the order by one field. Documents without it come last, as do indices whose kinds do not have it.
func sortKey(t activity.Type, descending bool) object {
	o := object{"order": "asc", "missing": "_last"}
	if descending {
		o["order"] = "desc"
	}
	switch t {
	case activity.Date:
		o["unmapped_type"] = "date_nanos"
	case activity.Bool:
		o["unmapped_type"] = "boolean"
	case activity.Long:
		o["unmapped_type"] = "long"
	case activity.Double:
		o["unmapped_type"] = "double"
	default:
		o["unmapped_type"] = "keyword"
	}
	return o
}

// cursorValues turns the sort values of a document into those of a cursor. Elasticsearch writes the largest or least
// number for a number that is missing, and null for a keyword.
func cursorValues(m *activity.Model, order []search.SortKey, values []any) ([]any, error) {
	bad := fmt.Errorf("search: %w", errAnswer)
	if len(values) != len(order) {
		return nil, bad
	}
	out := make([]any, len(values))
	for i, k := range order {
		switch v := values[i].(type) {
		case nil:
		case bool:
			out[i] = int64(0)
			if v {
				out[i] = int64(1)
			}
		case string:
			if m.FieldType(k.Field) != activity.Double { // for which "Infinity" is missing
				out[i] = v
			}
		case json.Number:
			if m.FieldType(k.Field) == activity.Double {
				f, err := v.Float64()
				if err == nil {
					out[i] = f
				}
				continue
			}
			n, err := v.Int64()
			if err != nil {
				return nil, bad
			}
			if n != missing(m.FieldType(k.Field), k.Descending) {
				out[i] = n
			}
		default:
			return nil, bad
		}
	}
	return out, nil
}

// sortValues turns the values of a cursor into those to search after.
func sortValues(m *activity.Model, order []search.SortKey, values []any) []any {
	out := make([]any, len(values))
	for i, k := range order {
		out[i] = values[i]
		if values[i] != nil {
			continue
		}
		switch m.FieldType(k.Field) {
		case activity.Double:
			out[i] = "Infinity"
			if k.Descending {
				out[i] = "-Infinity"
			}
		case activity.Long, activity.Date, activity.Bool:
			out[i] = missing(m.FieldType(k.Field), k.Descending)
		}
	}
	return out
}

// missing is the number that stands for none in an order that puts those last.
func missing(t activity.Type, descending bool) int64 {
	switch {
	case !descending:
		return math.MaxInt64
	case t == activity.Date: // which begin in 1970
		return 0
	}
	return math.MinInt64
}
