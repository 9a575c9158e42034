package sqlite

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/internal/tape"
)

// kindColumns are the fields with a column that documents of kind k can have.
func kindColumns(m *activity.Model, k activity.Kind) []activity.FieldID {
	return slices.DeleteFunc(columnFields(m), func(f activity.FieldID) bool { return !m.In(f, k) })
}

// An extractor takes the values of columns, and the words of the full text, out of documents. It keeps its memory from
// one document to the next.
type extractor struct {
	model   *activity.Model
	byKind  map[activity.Kind][]activity.FieldID
	members map[string]member
	text    []activity.FieldID
	tape    tape.Tape
	nodes   [activity.MaxFields]uint32 // of the document at hand, by field; 0 for absent
	scratch []byte                     // unescaped strings of the document at hand
	words   []byte
}

// A member is what a name at some level of a document stands for: a field, or an object that fields are in.
type member struct {
	field activity.FieldID
	below map[string]member
}

func newExtractor(m *activity.Model) *extractor {
	x := &extractor{
		model:   m,
		byKind:  map[activity.Kind][]activity.FieldID{},
		members: map[string]member{},
		text:    search.TextFields(m),
	}
	for _, k := range m.Kinds() {
		x.byKind[k] = kindColumns(m, k)
	}
	for _, f := range append(columnFields(m), x.text...) {
		at, path := x.members, strings.Split(m.FieldName(f), ".")
		for _, name := range path[:len(path)-1] {
			o := at[name]
			if o.below == nil {
				o.below = map[string]member{}
				at[name] = o
			}
			at = o.below
		}
		o := at[path[len(path)-1]]
		o.field = f
		at[path[len(path)-1]] = o
	}
	return x
}

// load reads a document. What the other methods return is valid until the next call, and as long as doc is.
func (x *extractor) load(doc []byte) error {
	x.scratch = x.scratch[:0]
	clear(x.nodes[:])
	if err := x.tape.Parse(doc); err != nil {
		return err
	}
	x.walk(0, x.members)
	return nil
}

func (x *extractor) walk(at uint32, members map[string]member) {
	nodes := x.tape.Nodes
	for j := at + 1; j < nodes[at].Next; j = nodes[j].Next {
		m, known := members[string(x.tape.Key(&nodes[j]))]
		if !known || nodes[j].Flags&tape.Duplicate != 0 {
			continue
		}
		if m.field != activity.NoField {
			x.nodes[m.field] = j
		}
		if m.below != nil && nodes[j].Type == tape.Object {
			x.walk(j, m.below)
		}
	}
}

// columns appends the values of kind's columns, in the order of kindColumns.
func (x *extractor) columns(kind activity.Kind, dst []any) []any {
	for _, f := range x.byKind[kind] {
		dst = append(dst, x.value(f))
	}
	return dst
}

// value returns what the column of f holds; nil for absent, and for what does not fit the column.
func (x *extractor) value(f activity.FieldID) any {
	j := x.nodes[f]
	if j == 0 {
		return nil
	}
	n := &x.tape.Nodes[j]
	switch x.model.FieldType(f) {
	case activity.Bool:
		if n.Type == tape.True || n.Type == tape.False {
			return n.Type == tape.True
		}
	case activity.Long:
		if v, err := strconv.ParseInt(view(x.tape.Raw(n)), 10, 64); err == nil {
			return v
		}
	case activity.Double:
		if v, err := strconv.ParseFloat(view(x.tape.Raw(n)), 64); err == nil {
			return v
		}
	case activity.Date:
		if t, err := time.Parse(time.RFC3339Nano, view(x.tape.Raw(n))); err == nil {
			return t.UnixNano()
		}
	case activity.Keywords:
		if n.Type == tape.Array {
			return view(x.tape.Raw(n))
		}
	default:
		if n.Type == tape.String {
			return view(x.string(n))
		}
	}
	return nil
}

func (x *extractor) string(n *tape.Node) (text []byte) {
	text, x.scratch = x.tape.Text(n, x.scratch)
	return text
}

// fullText returns the words of the document's text fields, each field's after its marker; "" when there are none.
func (x *extractor) fullText() string {
	x.words = x.words[:0]
	for _, f := range x.text {
		j := x.nodes[f]
		if j == 0 || x.tape.Nodes[j].Type != tape.String {
			continue
		}
		x.words = append(append(append(x.words, '|'), x.model.FieldName(f)...), ' ')
		x.words = search.AppendWords(x.words, x.string(&x.tape.Nodes[j]))
	}
	return view(x.words)
}

// view makes a string of bytes that do not change as long as it is used: the driver copies what is bound.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
