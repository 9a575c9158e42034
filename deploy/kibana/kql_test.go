package kibana

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A clause is one comparison of a condition: what Kibana's query language is used for here.
type clause struct {
	field, op string // op is ":", ">=", "<" and so on
	values    []string
}

// A condition is clauses of which all must hold, or any.
type condition struct {
	clauses []clause
	any     bool
}

var clauseForm = regexp.MustCompile(`^([\w.@]+)(:| >= | <= | > | < )\s*(.+)$`)

// parseKQL reads a condition. One that it cannot read fails the test: the panels keep to what the tests can check.
func parseKQL(t *testing.T, text string) condition {
	t.Helper()
	var c condition
	if text == "" {
		return c
	}
	// The words stand between clauses, and within parentheses, which hold no clauses.
	masked := regexp.MustCompile(`\([^)]*\)`).ReplaceAllStringFunc(text, func(s string) string { return strings.ReplaceAll(s, " or ", "|") })
	parts := strings.Split(masked, " and ")
	if alternatives := strings.Split(masked, " or "); len(alternatives) > 1 {
		if len(parts) > 1 {
			t.Fatalf("%q mixes and with or", text)
		}
		parts, c.any = alternatives, true
	}
	for _, part := range parts {
		m := clauseForm.FindStringSubmatch(part)
		if m == nil {
			t.Fatalf("%q is no clause that the tests know", part)
		}
		c.clauses = append(c.clauses, clause{m[1], strings.TrimSpace(m[2]), strings.Split(strings.Trim(m[3], "()"), "|")})
	}
	return c
}

// fieldsOf are the names in a condition.
func fieldsOf(t *testing.T, text string) []string {
	t.Helper()
	var names []string
	for _, c := range parseKQL(t, text).clauses {
		names = append(names, c.field)
	}
	return names
}

type object = map[string]any

// elastic is the condition as Elasticsearch's query.
func (c condition) elastic() object {
	var all []object
	ranges := map[string]string{">=": "gte", "<=": "lte", ">": "gt", "<": "lt"}
	for _, cl := range c.clauses {
		switch {
		case cl.op != ":":
			all = append(all, object{"range": object{cl.field: object{ranges[cl.op]: cl.values[0]}}})
		case cl.values[0] == "*":
			all = append(all, object{"exists": object{"field": cl.field}})
		default:
			var values []object
			for _, v := range cl.values {
				query := "term"
				if strings.Contains(v, "*") {
					query = "wildcard"
				}
				values = append(values, object{query: object{cl.field: object{"value": v}}})
			}
			all = append(all, object{"bool": object{"should": values, "minimum_should_match": 1}})
		}
	}
	switch {
	case len(all) == 0:
		return object{"match_all": object{}}
	case c.any:
		return object{"bool": object{"should": all, "minimum_should_match": 1}}
	}
	return object{"bool": object{"filter": all}}
}

// holds says whether the condition is true of a document.
func (c condition) holds(d document) bool {
	if c.any {
		return slices.ContainsFunc(c.clauses, func(cl clause) bool { return cl.holds(d) })
	}
	return !slices.ContainsFunc(c.clauses, func(cl clause) bool { return !cl.holds(d) })
}

func (cl clause) holds(d document) bool {
	return slices.ContainsFunc(d[cl.field], func(v any) bool {
		if cl.op == ":" {
			return slices.ContainsFunc(cl.values, func(pattern string) bool { return like(pattern, fmt.Sprint(v)) })
		}
		bound, _ := strconv.ParseFloat(cl.values[0], 64)
		n := asNumber(v)
		switch cl.op {
		case ">=":
			return n >= bound
		case "<=":
			return n <= bound
		case ">":
			return n > bound
		}
		return n < bound
	})
}

// like says that a value fits a pattern, in which * is any text.
func like(pattern, value string) bool {
	parts := strings.Split(pattern, "*")
	for i, part := range parts {
		parts[i] = regexp.QuoteMeta(part)
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(value)
}
