package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

// A plan is a question as SQL: the conditions, and which index leads to the rows.
type plan struct {
	r     *Reader
	where []string
	args  []any
	// span is how many of where, and spanArgs of args, say where in the index to look: the period and a single kind.
	span, spanArgs int
	// few: the full text has found no more than Reader.narrow rows; look at those alone and sort them.
	few bool
}

// plan translates everything of q but its order and page.
func (r *Reader) plan(ctx context.Context, q *search.Query) (*plan, error) {
	p := &plan{r: r}
	text, err := search.ParseText(q.Text)
	if err != nil {
		return nil, err
	}
	if err := p.period(q); err != nil {
		return nil, err
	}
	if len(q.Kinds) == 1 {
		p.add("kind = ?", p.r.model.KindName(q.Kinds[0]))
	}
	p.span, p.spanArgs = len(p.where), len(p.args)
	for i := range q.Where {
		p.condition(&q.Where[i])
	}
	p.either(q.Either)
	if len(q.Kinds) > 1 { // after what leaves fewer rows
		p.kinds(q.Kinds)
	}
	return p, p.words(ctx, text, q)
}

// either adds that one of the groups of conditions holds.
func (p *plan) either(groups [][]search.Condition) {
	if len(groups) == 0 {
		return
	}
	var ways []string
	var args []any
	for _, group := range groups {
		way := plan{r: p.r}
		for i := range group {
			way.condition(&group[i])
		}
		ways, args = append(ways, "("+strings.Join(way.where, " AND ")+")"), append(args, way.args...)
	}
	p.add("("+strings.Join(ways, " OR ")+")", args...)
}

func (p *plan) add(where string, args ...any) {
	p.where = append(p.where, where)
	p.args = append(p.args, args...)
}

func (p *plan) period(q *search.Query) error {
	if !q.From.IsZero() {
		p.add(`"@timestamp" >= ?`, q.From.UnixNano())
	}
	if !q.To.IsZero() {
		p.add(`"@timestamp" < ?`, q.To.UnixNano())
	}
	return nil
}

// kinds asks for one of several. The index of kind and time is no help (+): their rows would have to be sorted.
func (p *plan) kinds(kinds []activity.Kind) {
	values := make([]any, len(kinds))
	for i, k := range kinds {
		values[i] = p.r.model.KindName(k)
	}
	p.add("+kind IN "+marks(values), values...)
}

// marks makes "(?, ?)".
func marks(values []any) string {
	return "(" + strings.TrimSuffix(strings.Repeat("?, ", len(values)), ", ") + ")"
}

// words adds the full text, and the identifiers that it also knows.
//
// The text itself must be asked for: it has no column. Identifiers have one, so for them the full text only leads to the
// rows, if it leads to few. Then they are named, so that neither counting nor reading asks the full text again.
func (p *plan) words(ctx context.Context, t search.Text, q *search.Query) error {
	must := phrases(t.Must, "")
	not := strings.Join(phrases(t.Not, ""), " OR ")
	if err := p.lead(ctx, must, q); err != nil {
		return err
	}
	in := "seq IN (SELECT rowid FROM " + textTable + " WHERE words MATCH ?)"
	switch {
	case p.few && not != "":
		p.add("NOT "+in, not)
	case p.few:
	case len(must) > 0 && not != "":
		p.add(in, "("+strings.Join(must, " AND ")+") NOT ("+not+")")
	case len(must) > 0:
		p.add(in, strings.Join(must, " AND "))
	case not != "":
		p.add("NOT "+in, not)
	}
	return nil
}

// lead names the rows, if the full text leads to few.
func (p *plan) lead(ctx context.Context, must []string, q *search.Query) error {
	few := p.r.narrow
	if slices.ContainsFunc(q.Where, func(c search.Condition) bool { return c.Field == activity.UserID && c.Op == search.Any }) {
		few /= 3
	}
	lead := append(slices.Clone(must), p.leads(q)...)
	if len(lead) == 0 {
		return nil
	}
	rows, err := p.r.rows(ctx, strings.Join(lead, " AND "), few)
	if p.few = err == nil && int64(len(rows)) <= few; p.few {
		named, err := json.Marshal(rows)
		p.add("seq IN (SELECT value FROM json_each(?))", string(named))
		return err
	}
	return err
}

// leads are the full-text expressions for the identifiers that the question asks for.
func (p *plan) leads(q *search.Query) []string {
	out := p.identifiers(q.Where)
	var either []string
	for _, group := range q.Either {
		if found := p.identifiers(group); len(found) > 0 {
			either = append(either, "("+strings.Join(found, " AND ")+")")
		}
	}
	if len(either) > 0 && len(either) == len(q.Either) {
		out = append(out, "("+strings.Join(either, " OR ")+")")
	}
	return out
}

// rows are those that a full-text expression finds, to one over few.
func (r *Reader) rows(ctx context.Context, match string, few int64) ([]int64, error) {
	found, err := r.db.QueryContext(ctx, fmt.Sprintf("SELECT rowid FROM %s WHERE words MATCH ? LIMIT %d", textTable, few+1), match)
	if err != nil {
		return nil, failed("search", r.path, err)
	}
	defer func() { _ = found.Close() }()
	rows := []int64{}
	for found.Next() {
		var n int64
		if err := found.Scan(&n); err != nil {
			return nil, failed("search", r.path, err)
		}
		rows = append(rows, n)
	}
	return rows, failed("search", r.path, found.Err())
}

// phrases writes phrases for FTS5, after a marker. Words are letters and digits alone, so that nothing needs an escape.
func phrases(ps []search.Phrase, marker string) []string {
	out := make([]string, len(ps))
	for i, ph := range ps {
		out[i] = `"` + marker + strings.Join(ph, " ") + `"`
	}
	return out
}

// identifiers are the full-text expressions for those of the conditions that have one.
func (p *plan) identifiers(where []search.Condition) []string {
	var out []string
	for i := range where {
		if e := p.identifier(&where[i]); e != "" {
			out = append(out, e)
		}
	}
	return out
}

// identifier is the full-text expression that every row with the condition's value answers, "" where there is none. Few rows
// have several words one after another in another field. The marker, which tells the fields apart, is in nearly every row and
// makes a phrase slow, so only a single word has it.
func (p *plan) identifier(c *search.Condition) string {
	if c.Op != search.Any || !slices.Contains(search.TextFields(p.r.model), c.Field) {
		return ""
	}
	var ways []string
	for _, v := range c.Values {
		words, marker := search.Phrase(strings.Fields(string(search.AppendWords(nil, v.(string))))), ""
		if len(words) < 2 {
			marker = "|" + p.r.model.FieldName(c.Field) + " "
		}
		ways = append(ways, phrases([]search.Phrase{words}, marker)...)
	}
	return "(" + strings.Join(ways, " OR ") + ")"
}

// expr is the SQL expression of a field's value.
func (p *plan) expr(f activity.FieldID) string {
	row := p.r.model.Field(f)
	if p.r.columns[row.Name] {
		return quote(row.Name)
	}
	return fromDoc(row)
}

func (p *plan) condition(c *search.Condition) {
	values := make([]any, len(c.Values))
	for i, v := range c.Values {
		values[i] = v
		if t, ok := v.(time.Time); ok {
			values[i] = t.UnixNano()
		}
	}
	if c.Path != "" {
		p.free(c, values)
		return
	}
	x := p.expr(c.Field)
	switch c.Op {
	case search.Any:
		if p.r.model.FieldType(c.Field) == activity.Keywords {
			p.add("EXISTS (SELECT 1 FROM json_each("+x+") WHERE value IN "+marks(values)+")", values...)
			return
		}
		p.add(x+" IN "+marks(values), values...)
	case search.Exists:
		if values[0] == true {
			p.add(x + " IS NOT NULL")
		} else {
			p.add(x + " IS NULL")
		}
	case search.Prefix:
		p.add("substr("+x+", 1, length(?)) = ?", values[0], values[0])
	default:
		sign := map[search.Op]string{search.GTE: ">=", search.LTE: "<=", search.GT: ">", search.LT: "<"}[c.Op]
		p.add(x+" "+sign+" ?", values[0])
	}
}

// free asks for a member of a free object. As in an Elasticsearch flattened field, all values are compared as text, any
// element of an array may be the one, and "a.b" is both a member b of an object a and a member that is named "a.b".
func (p *plan) free(c *search.Condition, values []any) {
	var ways []string
	var args []any
	for _, path := range freePaths(p.r.model.FieldName(c.Field), c.Path) {
		if c.Op == search.Exists {
			ways = append(ways, "coalesce(json_type(doc, ?), 'null') <> 'null'")
			args = append(args, path)
			continue
		}
		ways = append(ways, "(json_type(doc, ?) <> 'object' AND EXISTS (SELECT 1 FROM json_each(doc, ?) WHERE"+
			" CASE type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE CAST(atom AS TEXT) END IN "+marks(values)+"))")
		args = append(append(args, path, path), values...)
	}
	where := "(" + strings.Join(ways, " OR ") + ")"
	if c.Op == search.Exists && values[0] == false {
		where = "NOT " + where
	}
	p.add(where, args...)
}

// freePaths are SQLite's paths of what a dotted path below a free field can mean.
func freePaths(field, path string) []any {
	names := append([]string{field}, strings.Split(path, ".")...)
	paths := []any{jsonPath(names...)}
	if len(names) > 2 {
		paths = append(paths, jsonPath(field, path))
	}
	return paths
}

// from is the part of the statement from FROM to the conditions. by is the index to walk, "" for SQLite's choice.
func (p *plan) from(by string) string {
	s := "FROM " + table
	switch {
	case p.few:
		s += " NOT INDEXED" // seq, the rowid, remains
	case by != "":
		s += " INDEXED BY " + by
	}
	if len(p.where) > 0 {
		s += " WHERE " + strings.Join(p.where, " AND ")
	}
	return s
}

// walk names the index whose order is the answer's, so that a page ends the reading. SQLite, which knows nothing of how
// many rows a condition leaves, would rather sort them all.
func (p *plan) walk(q *search.Query) string {
	switch {
	case q.Order()[0].Field != activity.Timestamp, byID(q):
		return ""
	case len(q.Kinds) == 1:
		return "activities_kind_time"
	}
	return "activities_time"
}

// total is the statement that counts what matches among the newest rows, as many as Reader.looks, and how many rows those
// are: a condition that holds for few would have all be looked at.
func (p *plan) total(q *search.Query) (string, []any) {
	matching, by := "1", "activities_time"
	if p.span < len(p.where) {
		matching = strings.Join(p.where[p.span:], " AND ")
	}
	if len(q.Kinds) == 1 {
		by = "activities_kind_time"
	}
	from := "FROM " + table + " INDEXED BY " + by
	if p.span > 0 {
		from += " WHERE " + strings.Join(p.where[:p.span], " AND ")
	}
	return fmt.Sprintf(`SELECT coalesce(sum(matching), 0), count(*) FROM (SELECT (%s) AS matching %s ORDER BY "@timestamp" DESC LIMIT %d)`,
		matching, from, p.r.looks+1), append(slices.Clone(p.args[p.spanArgs:]), p.args[:p.spanArgs]...)
}

// byID reports whether the index of ids leads to what is asked for.
func byID(q *search.Query) bool {
	return slices.ContainsFunc(q.Where, func(c search.Condition) bool { return c.Field == activity.ID && c.Op == search.Any })
}

// page is the statement of one page: the document and the sort keys of each row, and one row more than the page has.
func (p *plan) page(q *search.Query) (string, []any, error) {
	order := q.Order()
	keys, by := make([]string, len(order)), []string{}
	for i, k := range order {
		keys[i] = p.expr(k.Field)
		if nullable(k.Field) {
			by = append(by, keys[i]+" IS NULL")
		}
		by = append(by, keys[i]+direction(k))
	}
	whole := *p
	whole.where, whole.args = slices.Clone(p.where), slices.Clone(p.args)
	if q.Cursor != "" {
		values, err := search.DecodeCursor(p.r.model, order, q.Cursor)
		if err != nil {
			return "", nil, err
		}
		whole.after(order, keys, values)
	}
	return fmt.Sprintf("SELECT doc, %s %s ORDER BY %s LIMIT %d OFFSET %d", strings.Join(keys, ", "), whole.from(p.walk(q)),
		strings.Join(by, ", "), q.PageSize()+1, q.Offset), whole.args, nil
}

func direction(k search.SortKey) string {
	if k.Descending {
		return " DESC"
	}
	return ""
}

// nullable reports whether documents may lack the field; those that do come last.
func nullable(f activity.FieldID) bool {
	return f != activity.ID && f != activity.Timestamp && f != activity.KindField
}

// after adds that a row comes after the one with the values: it is beyond in the first key, or equal there and beyond in
// the second, and so on.
func (p *plan) after(order []search.SortKey, keys []string, values []any) {
	var ways []string
	var args []any
	equal, equalArgs := "", []any(nil)
	for i, k := range order {
		beyond := " > ?"
		if k.Descending {
			beyond = " < ?"
		}
		if values[i] != nil {
			way := keys[i] + beyond
			if nullable(k.Field) {
				way = "(" + way + " OR " + keys[i] + " IS NULL)"
			}
			ways = append(ways, "("+equal+way+")")
			args = append(append(args, equalArgs...), values[i])
		}
		equal += keys[i] + " IS ? AND "
		equalArgs = append(equalArgs, values[i])
	}
	p.add("("+strings.Join(ways, " OR ")+")", args...)
	if first := order[0]; !nullable(first.Field) { // where the index may begin
		sign := " >= ?"
		if first.Descending {
			sign = " <= ?"
		}
		p.add(keys[0]+sign, values[0])
	}
}
