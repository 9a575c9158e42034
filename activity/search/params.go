package search

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Params returns the parameters that Parse makes q of. It fails for a question that none make: with two conditions of one
// name, or with Either.
func (q *Query) Params() (map[string][]string, error) {
	if len(q.Either) > 0 {
		return nil, errors.New("no parameters ask for one of several groups of conditions")
	}
	p := map[string][]string{}
	set := func(name, value string) {
		if value != "" {
			p[name] = []string{value}
		}
	}
	for i := range q.Where {
		c := &q.Where[i]
		name := c.name(q.Model.FieldName(c.Field))
		if p[name] != nil {
			return nil, fmt.Errorf("two conditions on %s", name)
		}
		for _, v := range c.Values {
			p[name] = append(p[name], valueText(v))
		}
	}
	set("kind", strings.ReplaceAll(kindNames(q.Model, q.Kinds), ", ", ","))
	if !q.From.IsZero() {
		set("from", valueText(q.From))
	}
	if !q.To.IsZero() {
		set("to", valueText(q.To))
	}
	set("q", q.Text)
	set("sort", FormatSort(q.Model, q.Sort))
	set("fields", strings.Join(q.Fields, ","))
	set("cursor", q.Cursor)
	for name, n := range map[string]int{"limit": q.Limit, "offset": q.Offset} {
		if n > 0 {
			set(name, strconv.Itoa(n))
		}
	}
	return p, nil
}

// name is the parameter of the condition on the field of that name, as ParseCondition reads it.
func (c *Condition) name(name string) string {
	if c.Path != "" {
		name += "." + c.Path
	}
	for suffix, op := range suffixes {
		if op == c.Op {
			name += "." + suffix
		}
	}
	return name
}

func valueText(v any) string {
	switch v := v.(type) {
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	}
	return fmt.Sprint(v)
}
