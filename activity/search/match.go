package search

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// A Matcher tells whether documents answer a question, as a store would find them by it: kinds, period, conditions and
// text. Order and page play no part. It may be used by many goroutines.
type Matcher struct {
	model    *activity.Model
	kinds    []string
	from, to int64 // nanoseconds since 1970; 0 for no bound
	where    []Condition
	either   [][]Condition
	text     Text
	worded   bool
}

// NewMatcher makes a matcher. Its error is that of ParseText.
func NewMatcher(q Query) (*Matcher, error) {
	text, err := ParseText(q.Text)
	if err != nil {
		return nil, err
	}
	m := &Matcher{model: q.Model, text: text, worded: len(text.Must)+len(text.Not) > 0, where: q.Where, either: q.Either}
	for _, k := range q.Kinds {
		m.kinds = append(m.kinds, q.Model.KindName(k))
	}
	if !q.From.IsZero() {
		m.from = q.From.UnixNano()
	}
	if !q.To.IsZero() {
		m.to = q.To.UnixNano()
	}
	return m, nil
}

// A Document is a document that is asked by many matchers.
type Document struct {
	tape  tape.Tape
	model *activity.Model
	nodes []uint32 // by field of model: what node has found, or unknown
}

// unknown stands for a field that has not been looked for. Index 0 is the document itself.
const unknown = ^uint32(0)

// Parse reads doc, which must stay as it is until the next call.
func (d *Document) Parse(doc []byte) error {
	d.forget(d.model)
	return d.tape.Parse(doc)
}

// forget begins to look for the fields of m anew.
func (d *Document) forget(m *activity.Model) {
	d.model, d.nodes = m, slices.Grow(d.nodes[:0], int(m.FieldCount()))[:m.FieldCount()]
	for i := range d.nodes {
		d.nodes[i] = unknown
	}
}

// node finds the value of a field: its index, or 0 where there is none or null. It is looked for once for all matchers.
func (d *Document) node(m *activity.Model, f activity.FieldID) uint32 {
	if m != d.model {
		d.forget(m)
	}
	if d.nodes[f] == unknown {
		d.nodes[f] = d.present(d.tape.At(0, m.FieldName(f)))
	}
	return d.nodes[f]
}

func (d *Document) present(j uint32) uint32 {
	if d.tape.Nodes[j].Type == tape.Null {
		return 0
	}
	return j
}

func (d *Document) text(j uint32) string {
	text, _ := d.tape.Text(&d.tape.Nodes[j], nil)
	return string(text)
}

// equals reports whether the string at j is s.
func (d *Document) equals(j uint32, s string) bool {
	n := &d.tape.Nodes[j]
	if n.Type != tape.String {
		return false
	}
	if n.Flags&tape.Escaped == 0 {
		return string(d.tape.Raw(n)) == s
	}
	return d.text(j) == s
}

func (d *Document) answersAll(m *activity.Model, where []Condition) bool {
	for i := range where {
		if !d.answers(m, &where[i]) {
			return false
		}
	}
	return true
}

// Matches reports whether the document answers the question.
func (m *Matcher) Matches(d *Document) bool {
	if kind := d.node(m.model, activity.KindField); len(m.kinds) > 0 && !slices.ContainsFunc(m.kinds, func(k string) bool { return d.equals(kind, k) }) {
		return false
	}
	if m.from != 0 || m.to != 0 {
		at, ok := d.number(m.model, activity.Timestamp).(int64)
		if !ok || m.from != 0 && at < m.from || m.to != 0 && at >= m.to {
			return false
		}
	}
	if !d.answersAll(m.model, m.where) {
		return false
	}
	if len(m.either) > 0 && !slices.ContainsFunc(m.either, func(group []Condition) bool { return d.answersAll(m.model, group) }) {
		return false
	}
	return !m.worded || m.text.Matches(d.texts(m.model))
}

// texts are those of the document's fields of full text.
func (d *Document) texts(m *activity.Model) []string {
	var out []string
	for _, f := range TextFields(m) {
		if j := d.node(m, f); j != 0 && d.tape.Nodes[j].Type == tape.String {
			out = append(out, d.text(j))
		}
	}
	return out
}

// number is the value of a field that has an order: int64 for Long and Date (nanoseconds), float64 for Double; nil for
// none, and for what the type cannot hold.
func (d *Document) number(m *activity.Model, f activity.FieldID) any {
	j := d.node(m, f)
	if j == 0 {
		return nil
	}
	return cursorText(m.FieldType(f), &d.tape, &d.tape.Nodes[j])
}

// answers reports whether one condition holds.
func (d *Document) answers(m *activity.Model, c *Condition) bool {
	switch {
	case c.Path != "":
		return d.free(m.FieldName(c.Field), c)
	case c.Op == Exists:
		return (d.node(m, c.Field) != 0) == c.Values[0].(bool)
	case c.Op == Any:
		return slices.ContainsFunc(c.Values, func(v any) bool { return d.is(m, c.Field, v) })
	case c.Op == Prefix:
		j := d.node(m, c.Field)
		return j != 0 && d.tape.Nodes[j].Type == tape.String && strings.HasPrefix(d.text(j), c.Values[0].(string))
	}
	v := d.number(m, c.Field)
	if v == nil {
		return false
	}
	order := compare(v, c.Values[0])
	switch c.Op {
	case GTE:
		return order >= 0
	case LTE:
		return order <= 0
	case GT:
		return order > 0
	}
	return order < 0
}

// compare compares a document's value with a condition's.
func compare(v, with any) int {
	switch w := with.(type) {
	case time.Time:
		return cmp.Compare(v.(int64), w.UnixNano())
	case int64:
		return cmp.Compare(v.(int64), w)
	}
	return cmp.Compare(v.(float64), with.(float64))
}

// is reports whether the field, or an element of it, is v.
func (d *Document) is(m *activity.Model, f activity.FieldID, v any) bool {
	j := d.node(m, f)
	if j == 0 {
		return false
	}
	n := &d.tape.Nodes[j]
	switch m.FieldType(f) {
	case activity.Long, activity.Double, activity.Date:
		got := d.number(m, f)
		return got != nil && compare(got, v) == 0
	case activity.Bool:
		return n.Type == tape.True && v == true || n.Type == tape.False && v == false
	case activity.Keywords:
		return n.Type == tape.Array && slices.Contains(d.values(j), v.(string))
	}
	return d.equals(j, v.(string))
}

// free asks for a member of a free object, in both ways that a dotted path may be meant.
func (d *Document) free(name string, c *Condition) bool {
	top := d.tape.Member(0, name)
	found := false
	if top != 0 {
		for _, j := range []uint32{d.nested(top, c.Path), d.tape.Member(top, c.Path)} {
			if j = d.present(j); j != 0 {
				found = found || c.Op == Exists || slices.ContainsFunc(d.values(j), func(s string) bool { return slices.Contains(c.Values, any(s)) })
			}
		}
	}
	if c.Op == Exists {
		return found == c.Values[0].(bool)
	}
	return found
}

// nested follows a path of objects, or returns 0.
func (d *Document) nested(at uint32, path string) uint32 {
	for name := range strings.SplitSeq(path, ".") {
		if at = d.tape.Member(at, name); at == 0 {
			return 0
		}
	}
	return at
}

// values are the elements of an array, or the value itself, as text; what is an object or a list has none.
func (d *Document) values(j uint32) []string {
	if d.tape.Nodes[j].Type != tape.Array {
		return d.scalar(nil, j)
	}
	var out []string
	for e := j + 1; e < d.tape.Nodes[j].Next; e = d.tape.Nodes[e].Next {
		out = d.scalar(out, e)
	}
	return out
}

func (d *Document) scalar(dst []string, j uint32) []string {
	n := &d.tape.Nodes[j]
	switch n.Type {
	case tape.String:
		return append(dst, d.text(j))
	case tape.Number, tape.True, tape.False:
		return append(dst, string(d.tape.Raw(n)))
	}
	return dst
}
