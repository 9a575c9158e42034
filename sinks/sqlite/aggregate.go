package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

// Aggregate computes numbers of what matches, all in one statement. It reads the rows once: of several aggregations, what
// they need is put aside first, in memory or a temporary file.
func (r *Reader) Aggregate(ctx context.Context, q search.Query, as ...search.Aggregation) ([]search.Table, error) {
	p, err := r.plan(ctx, &q)
	if err != nil {
		return nil, err
	}
	s := &aggregates{plan: p, aliases: map[string]string{}}
	for i := range as {
		s.add(i, &as[i])
	}
	query, args := s.statement()
	rows, err := r.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, failed("aggregate", r.path, err)
	}
	defer func() { _ = rows.Close() }()
	return s.read(rows, as)
}

// aggregates are a statement in the making.
type aggregates struct {
	plan    *plan
	aliases map[string]string // of the expressions over a row of the table
	columns []string          // those expressions, with their aliases
	args    []any             // of columns
	selects []string
	whole   bool // in the groups of some aggregation each row is once: together they are the total
	sum     int  // which
	json    bool // a column holds JSON, which is used several times and must be cut out of the document once
}

// width is the columns of the answer: which aggregation, the keys, the count, the metrics.
const (
	keyColumns = 1 + search.MaxTerms
	width      = 1 + keyColumns + 1 + search.MaxMetrics
)

// totals is the number of the row that counts everything.
const totals = -1

// column makes an expression a column of `hit` and returns its name there.
func (s *aggregates) column(expr string, args ...any) string {
	id := expr + fmt.Sprint(args...)
	if _, ok := s.aliases[id]; !ok {
		s.aliases[id] = "c" + strconv.Itoa(len(s.aliases))
		s.columns = append(s.columns, expr+" AS "+s.aliases[id])
		s.args = append(s.args, args...)
	}
	return s.aliases[id]
}

// add makes the SELECT of aggregation n.
func (s *aggregates) add(n int, a *search.Aggregation) {
	out := []string{strconv.Itoa(n)}
	from, join, present := "hit", " LEFT JOIN json_each(", []string(nil)
	if a.Present {
		join = " JOIN json_each("
	}
	if !a.Interval.IsZero() {
		out = append(out, s.column(begin(a.Interval)))
	}
	for i, t := range a.By {
		if !t.Several(s.plan.r.model) {
			x := s.column(s.plan.expr(t.Field))
			out, present = append(out, x), append(present, x+" IS NOT NULL")
			continue
		}
		each := "e" + strconv.Itoa(i)
		from += join + distinct(s.values(t)) + ") AS " + each + " ON " + each + ".atom IS NOT NULL AND typeof(" + each + ".key) <> 'text'" // not an object
		s.json = true
		out = append(out, atom(each+"."))
	}
	keys := len(out) - 1
	out = append(out, slices.Repeat([]string{"NULL"}, keyColumns-keys)...)
	out = append(append(out, "count(*)"), s.metrics(a)...)
	query := "SELECT " + strings.Join(append(out, slices.Repeat([]string{"NULL"}, width-len(out))...), ", ") + " FROM " + from
	if a.Present && len(present) > 0 {
		query += " WHERE " + strings.Join(present, " AND ")
	}
	if keys > 0 {
		by := make([]string, keys)
		for i := range by {
			by[i] = strconv.Itoa(i + 2)
		}
		query += " GROUP BY " + strings.Join(by, ", ")
	}
	s.selects = append(s.selects, query)
	if !a.Present && !slices.ContainsFunc(a.By, func(t search.Term) bool { return t.Several(s.plan.r.model) }) {
		s.whole, s.sum = true, n
	}
}

// begin is the SQL expression of the begin of the interval that a row is in.
func begin(i search.Interval) string {
	if i.Month {
		return `unixepoch("@timestamp" / 1000000000, 'unixepoch', 'start of month') * 1000000000`
	}
	return fmt.Sprintf(`("@timestamp" - %d) / %d * %[2]d + %[1]d`, i.Offset().Nanoseconds(), i.Every.Nanoseconds())
}

// values is the column with the JSON of a term's values.
func (s *aggregates) values(t search.Term) string {
	if t.Path == "" {
		return s.column(s.plan.expr(t.Field))
	}
	ways, args := []string{}, []any{}
	for _, path := range freePaths(s.plan.r.model.FieldName(t.Field), t.Path) {
		ways, args = append(ways, "nullif(doc -> ?, 'null')"), append(args, path)
	}
	if len(ways) == 1 {
		return s.column(ways[0], args...)
	}
	return s.column("coalesce("+strings.Join(ways, ", ")+")", args...)
}

// atom is the text of an element of JSON, as a flattened field of Elasticsearch has it.
func atom(of string) string {
	return fmt.Sprintf("CASE %[1]stype WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(%[1]satom AS TEXT) END", of)
}

// distinct makes an array without elements that are there twice.
func distinct(x string) string {
	return fmt.Sprintf("CASE WHEN json_array_length(%[1]s) > 1 THEN (SELECT json_group_array(DISTINCT %[2]s) FROM json_each(%[1]s)"+
		" WHERE atom IS NOT NULL) ELSE %[1]s END", x, atom(""))
}

// metrics are the expressions of the metrics. All percentiles of a field are computed together, where the first is.
func (s *aggregates) metrics(a *search.Aggregation) []string {
	var out []string
	for i, m := range a.Metrics {
		x := s.column(s.plan.expr(m.Field))
		switch m.Function {
		case search.Sum:
			x = "total(" + x + ")"
		case search.Avg:
			x = "avg(" + x + ")"
		case search.Min:
			x = "min(" + x + ")"
		case search.Max:
			x = "max(" + x + ")"
		case search.Cardinality:
			x = "count(DISTINCT " + x + ")"
		case search.Percentile:
			if first, percents := percentiles(a, m.Field); first == i {
				x = percentilesFunction + "(" + x + ", '" + formatFloats(percents) + "')"
			} else {
				x = "NULL"
			}
		}
		out = append(out, x)
	}
	return out
}

// percentiles returns which metric is the first percentile of the field, and what percentiles are asked for.
func percentiles(a *search.Aggregation, f activity.FieldID) (first int, percents []float64) {
	first = -1
	for i, m := range a.Metrics {
		if m.Function == search.Percentile && m.Field == f {
			if first < 0 {
				first = i
			}
			percents = append(percents, m.Percent)
		}
	}
	return first, percents
}

// statement puts the SELECTs together. The order at the end makes the first step do all the work, in which SQLite can be
// interrupted.
func (s *aggregates) statement() (string, []any) {
	if !s.whole {
		s.selects = append(s.selects, fmt.Sprintf("SELECT %d, %s count(*)%s FROM hit", totals, strings.Repeat("NULL, ", keyColumns),
			strings.Repeat(", NULL", search.MaxMetrics)))
	}
	how := "NOT MATERIALIZED"
	if len(s.selects) > 1 || s.json {
		how = "MATERIALIZED"
	}
	columns := "1"
	if len(s.columns) > 0 {
		columns = strings.Join(s.columns, ", ")
	}
	return fmt.Sprintf("WITH hit AS %s (SELECT %s %s) SELECT * FROM (%s) ORDER BY 1", how, columns, s.plan.from(""),
		strings.Join(s.selects, " UNION ALL ")), append(s.args, s.plan.args...)
}

// read makes tables of the rows.
func (s *aggregates) read(rows *sql.Rows, as []search.Aggregation) ([]search.Table, error) {
	row, dest := make([]any, width), make([]any, width)
	for i := range row {
		dest[i] = &row[i]
	}
	pickers := make([]*search.Picker, len(as))
	for i := range as {
		pickers[i] = search.NewPicker(&as[i])
	}
	var total int64
	for rows.Next() {
		if err := rows.Scan(dest...); err != nil {
			return nil, failed("aggregate", s.plan.r.path, err)
		}
		n, count := row[0].(int64), row[1+keyColumns].(int64)
		if n == totals {
			total = count
			continue
		}
		if s.whole && int(n) == s.sum {
			total += count
		}
		a := &as[n]
		values, err := metricValues(a, row[2+keyColumns:])
		if err != nil {
			return nil, failed("aggregate", s.plan.r.path, err)
		}
		pickers[n].Add(search.Group{Keys: keysOf(a, row[1:]), Count: count, Values: values})
	}
	if err := rows.Err(); err != nil {
		return nil, failed("aggregate", s.plan.r.path, err)
	}
	tables := make([]search.Table, len(as))
	for i := range pickers {
		tables[i] = pickers[i].Table(total)
	}
	return tables, nil
}

// keysOf turns columns into keys.
func keysOf(a *search.Aggregation, columns []any) []any {
	var keys []any
	if !a.Interval.IsZero() {
		keys = append(keys, time.Unix(0, columns[0].(int64)).UTC())
		columns = columns[1:]
	}
	for i, t := range a.By {
		key := columns[i]
		if n, ok := key.(int64); ok && a.Model.FieldType(t.Field) == activity.Bool {
			key = n != 0
		}
		keys = append(keys, key)
	}
	return keys
}

// metricValues turns columns into the values of metrics.
func metricValues(a *search.Aggregation, columns []any) ([]any, error) {
	values := make([]any, len(a.Metrics))
	for i, m := range a.Metrics {
		if m.Function == search.Percentile {
			first, percents := percentiles(a, m.Field)
			text, _ := columns[first].(string)
			if text == "" {
				continue
			}
			all, err := parseFloats(text)
			if err != nil || len(all) != len(percents) {
				return nil, errors.New("percentiles cannot be read")
			}
			values[i] = all[slices.Index(percents, m.Percent)]
			continue
		}
		switch v := columns[i].(type) {
		case int64:
			values[i] = float64(v)
			if a.Model.FieldType(m.Field) == activity.Date {
				values[i] = time.UnixMilli(time.Duration(v).Milliseconds()).UTC()
			}
		case float64:
			values[i] = v
		}
	}
	return values, nil
}
