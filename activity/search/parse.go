package search

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
)

// A ParamError is a mistake in a question. Its text names the parameter and never carries the value.
type ParamError struct {
	Param   string // as the asker wrote it
	Problem string // what is wrong with it, and what to do
}

func (e *ParamError) Error() string { return e.Param + ": " + e.Problem }

func wrong(param, format string, args ...any) error {
	return &ParamError{Param: param, Problem: fmt.Sprintf(format, args...)}
}

// Parameters that are not fields.
var reserved = []string{"kind", "from", "to", "q", "limit", "offset", "cursor", "fields", "sort"}

// Parse reads a question from parameters, as a URL query or command-line flags carry them. Beside kind, from, to, q,
// limit, offset, cursor, fields and sort, every name is a condition, as ParseCondition reads it. kind, fields and sort
// take lists with commas, or several values.
//
// The names are those of m, nil for the built-in kinds. kinds are those that the route stands for; nil lets kind= choose. The error joins one *ParamError for each mistake.
func Parse(m *activity.Model, params map[string][]string, kinds []activity.Kind, now time.Time) (Query, error) {
	q := Query{Model: m, Kinds: kinds}
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if v := params["kind"]; len(v) > 0 && kinds == nil {
		var err error
		q.Kinds, err = parseKinds(m, v)
		note(err)
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		values := params[name]
		switch {
		case len(values) == 0:
		case slices.Contains(reserved, name):
			note(q.set(m, name, values, now))
		default:
			c, err := ParseCondition(m, q.Kinds, name, values, now)
			note(err)
			q.Where = append(q.Where, c)
		}
	}
	if q.Cursor != "" && q.Offset > 0 {
		note(wrong("offset", "cannot be combined with cursor="))
	}
	if !q.From.IsZero() && !q.To.IsZero() && !q.From.Before(q.To) {
		note(wrong("to", "is not after from="))
	}
	if q.Offset+q.PageSize() > MaxWindow {
		note(wrong("offset", "offset + limit may be %d at most: go on with cursor= from there", MaxWindow))
	}
	return q, errors.Join(errs...)
}

// set reads one of the reserved parameters except kind.
func (q *Query) set(m *activity.Model, name string, values []string, now time.Time) (err error) {
	value := values[len(values)-1]
	switch name {
	case "from":
		q.From, err = ParseTime(value, now)
	case "to":
		if q.To, err = ParseTime(value, now); err == nil && isDay(value) {
			q.To = q.To.AddDate(0, 0, 1)
		}
	case "q":
		q.Text = strings.Join(values, " ")
		_, err = ParseText(q.Text)
	case "limit":
		q.Limit, err = parseCount(name, value, 1, MaxLimit)
	case "offset":
		q.Offset, err = parseCount(name, value, 0, MaxWindow)
	case "cursor":
		q.Cursor = value
	case "fields":
		q.Fields, err = parseFields(m, split(values))
	case "sort":
		q.Sort, err = parseSort(m, q.Kinds, split(values))
	}
	var p *ParamError
	if err != nil && !errors.As(err, &p) {
		err = wrong(name, "%v", err)
	}
	return err
}

// split separates lists by commas and leaves out what is empty.
func split(values []string) []string {
	var out []string
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if part = strings.TrimSpace(part); part != "" {
				out = append(out, part)
			}
		}
	}
	return out
}

func parseCount(name, value string, low, high int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		return 0, wrong(name, "must be a number from %d to %d", low, high)
	}
	return n, nil
}

func parseKinds(m *activity.Model, values []string) ([]activity.Kind, error) {
	var out []activity.Kind
	for _, v := range split(values) {
		k, ok := m.ParseKind([]byte(v))
		if !ok {
			return nil, wrong("kind", "is not a kind; the kinds are %s", kindNames(m, m.Kinds()))
		}
		if !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out, nil
}

func kindNames(m *activity.Model, kinds []activity.Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = m.KindName(k)
	}
	return strings.Join(names, ", ")
}

func parseFields(m *activity.Model, names []string) ([]string, error) {
	for _, n := range names {
		if _, _, err := findField(m, nil, n, n); err != nil && !isParent(m, n) {
			var p *ParamError
			if errors.As(err, &p) {
				return nil, wrong("fields", "%s", p.Problem)
			}
			return nil, err
		}
	}
	return names, nil
}

// isParent reports whether name is an object that fields are in, such as "service".
func isParent(m *activity.Model, name string) bool {
	return slices.ContainsFunc(m.Fields(), func(f activity.Field) bool { return strings.HasPrefix(f.Name, name+".") })
}

func parseSort(m *activity.Model, kinds []activity.Kind, names []string) ([]SortKey, error) {
	var out []SortKey
	for _, n := range names {
		name, desc := strings.CutPrefix(n, "-")
		f, path, err := findField(m, kinds, "sort", name)
		if err != nil {
			return nil, err
		}
		switch m.FieldType(f) {
		case activity.Keyword, activity.Date, activity.Bool, activity.Long, activity.Double:
		default:
			path = "x"
		}
		if path != "" {
			return nil, wrong("sort", "%s cannot be sorted by: choose a keyword, number, date or bool", m.FieldName(f))
		}
		out = append(out, SortKey{f, desc})
	}
	return out, nil
}

// suffixes are the operators that a name may end in.
var suffixes = map[string]Op{"gte": GTE, "lte": LTE, "gt": GT, "lt": LT, "exists": Exists, "prefix": Prefix}

// ParseCondition reads a condition on a field: "field" (equal to any of the values), "field.gte", "field.lte", "field.gt",
// "field.lt" on numbers and dates, "field.prefix" on keywords, "field.exists" with true or false; "details.x" and
// "details.x.exists" on what lies in a free object. The field must be one of the kinds'; nil is any kind.
func ParseCondition(m *activity.Model, kinds []activity.Kind, name string, values []string, now time.Time) (Condition, error) {
	c := Condition{Op: Any}
	base := name
	if _, exact := m.FieldNamed(name, activity.NoKind); !exact {
		if i := strings.LastIndexByte(name, '.'); i > 0 {
			if op, ok := suffixes[name[i+1:]]; ok && (op == Exists || !inFree(m, name[:i])) {
				c.Op, base = op, name[:i]
			}
		}
	}
	var err error
	if c.Field, c.Path, err = findField(m, kinds, name, base); err != nil {
		return Condition{}, err
	}
	if err := c.allowed(m, name); err != nil {
		return Condition{}, err
	}
	if len(values) > 1 && c.Op != Any {
		return Condition{}, wrong(name, "takes one value")
	}
	for _, v := range values {
		x, err := c.value(m.Field(c.Field), v, now)
		if err != nil {
			return Condition{}, wrong(name, "%v", err)
		}
		c.Values = append(c.Values, x)
	}
	return c, nil
}

// inFree reports whether name lies in a free object, where only equality and existence can be asked for.
func inFree(m *activity.Model, name string) bool {
	top, _, _ := strings.Cut(name, ".")
	f, ok := m.FieldNamed(top, activity.NoKind)
	return ok && m.FieldType(f) == activity.Free
}

// findField finds the field of a dotted name, and the path below it when it is a free object.
func findField(m *activity.Model, kinds []activity.Kind, param, name string) (activity.FieldID, string, error) {
	f, ok := m.FieldNamed(name, activity.NoKind)
	path := ""
	if !ok && inFree(m, name) {
		var top string
		top, path, _ = strings.Cut(name, ".")
		f, ok = m.FieldNamed(top, activity.NoKind)
		ok = ok && path != ""
	}
	if !ok {
		problem := "there is no such field"
		if near := nearest(m, name); near != "" {
			problem += fmt.Sprintf("; did you mean %q?", near)
		}
		return 0, "", wrong(param, "%s", problem)
	}
	if len(kinds) > 0 && !slices.ContainsFunc(kinds, func(k activity.Kind) bool { return m.In(f, k) }) {
		var has []activity.Kind
		for _, k := range m.Kinds() {
			if m.In(f, k) {
				has = append(has, k)
			}
		}
		return 0, "", wrong(param, "%s is a field of %s, not of %s", m.FieldName(f), kindNames(m, has), kindNames(m, kinds))
	}
	return f, path, nil
}

// allowed reports whether the field's type answers the operator.
func (c *Condition) allowed(m *activity.Model, param string) error {
	t, field := m.FieldType(c.Field), m.FieldName(c.Field)
	switch c.Op {
	case Exists:
		return nil
	case Prefix:
		if t != activity.Keyword || c.Field == activity.ID {
			return wrong(param, "only keywords have prefixes")
		}
		return nil
	case Any:
		switch {
		case t == activity.Text:
			return wrong(param, "%s is text: search it with q=", field)
		case t == activity.List, t == activity.Free && c.Path == "":
			return wrong(param, "%s is not a single value: ask for %s.exists", field, field)
		}
		return nil
	}
	if t != activity.Long && t != activity.Double && t != activity.Date {
		return wrong(param, "only numbers and dates have ranges")
	}
	return nil
}

// value reads one value of the condition. Its errors carry no value.
func (c *Condition) value(f activity.Field, s string, now time.Time) (any, error) {
	t := f.Type
	if c.Op == Exists {
		t = activity.Bool
	}
	switch t {
	case activity.Bool:
		b, err := strconv.ParseBool(s)
		if err != nil {
			return nil, errors.New("must be true or false")
		}
		return b, nil
	case activity.Long:
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return nil, errors.New("must be an integer")
		}
		return n, nil
	case activity.Double:
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return nil, errors.New("must be a number")
		}
		return n, nil
	case activity.Date:
		return ParseTime(s, now)
	case activity.IP:
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, errors.New("must be an IPv4 or IPv6 address")
		}
		return a.String(), nil
	}
	if c.Field == activity.ID {
		id, err := ulid.ParseStrict(s)
		if err != nil {
			return nil, errors.New("must be a ULID of 26 characters")
		}
		return id.String(), nil
	}
	if c.Op == Any && f.Values != nil && !slices.Contains(f.Values, s) {
		return nil, errors.New("must be one of " + strings.Join(f.Values, ", "))
	}
	return s, nil
}

// ParseTime reads a point in time: RFC 3339 with up to nine fraction digits; a day ("2026-01-02") or a day and time
// without a zone, in UTC; "now"; or a time before or after now ("-24h", "-7d", "+30m": s, m, h, d, w).
func ParseTime(s string, now time.Time) (time.Time, error) {
	if s == "now" {
		return now, nil
	}
	if len(s) > 1 && (s[0] == '-' || s[0] == '+') {
		if d, ok := parseSpan(s); ok {
			return now.Add(d), nil
		}
	}
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly, "2006-01-02T15:04:05", "2006-01-02T15:04", time.DateTime} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, errors.New(`must be a time such as 2026-01-02, 2026-01-02T15:04:05Z or -24h`)
}

func isDay(s string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

// parseSpan reads a duration; days and weeks are 24 hours and seven times that.
func parseSpan(s string) (time.Duration, bool) {
	unit := map[byte]time.Duration{'d': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[s[len(s)-1]]
	if unit == 0 {
		d, err := time.ParseDuration(s)
		return d, err == nil
	}
	n, err := strconv.Atoi(s[:len(s)-1])
	return time.Duration(n) * unit, err == nil && n < 100_000 && n > -100_000
}

// ParseSpan reads a length of time, such as 90m, 24h or 7d, of a second to ten years.
func ParseSpan(s string) (time.Duration, error) {
	if s != "" {
		if d, ok := parseSpan(s); ok && d >= time.Second && d <= 3660*24*time.Hour {
			return d, nil
		}
	}
	return 0, errors.New("must be a length of time such as 90m, 24h or 7d")
}

// nearest returns the known name that differs least from name, or "" when none is near.
func nearest(m *activity.Model, name string) string {
	best, distance := "", len(name)/3+1
	try := func(known string) {
		if d := editDistance(name, known); d <= distance && (best == "" || d < distance) {
			best, distance = known, d
		}
	}
	for _, r := range reserved {
		try(r)
	}
	for _, f := range m.Fields() {
		try(f.Name)
	}
	return best
}

// editDistance is Levenshtein's, over bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
