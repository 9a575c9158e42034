package activity

import (
	"bytes"
	"encoding/json"
)

// CreateSchema returns the JSON Schema (2020-12) of what a sender may give for an activity of kind k, or of any kind
// where k is NoKind; then a missing kind is fine too, since the agent finds one. Members that the schema does not name
// are welcome: they go to `details`. The bytes are indented, end with a newline, and are the same every time.
func CreateSchema(k Kind) []byte { return builtin.CreateSchema(k) }

// ResponseSchema returns the JSON Schema (2020-12) of a stored document of kind k, or of any kind where k is NoKind.
// It names every member there can be. The bytes are indented, end with a newline, and are the same every time.
func ResponseSchema(k Kind) []byte { return builtin.ResponseSchema(k) }

// CreateSchema is the function CreateSchema for the kinds and fields of m.
func (m *Model) CreateSchema(k Kind) []byte { return createSchema(m.or()).document(k) }

// ResponseSchema is the function ResponseSchema for the kinds and fields of m.
func (m *Model) ResponseSchema(k Kind) []byte { return responseSchema(m.or()).document(k) }

// What a value of a type looks like beyond its JSON type; Validate asks the same.
const (
	ulidPattern = `^[0-7][0-9A-HJKMNP-TV-Z]{25}$`
	datePattern = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z$`
	hashPattern = `^[A-Za-z0-9_-]{43}$`
)

// required are the fields that no stored document lacks.
func required() []FieldID { return []FieldID{ID, Timestamp, KindField, ActivityType, CreatedAt} }

// A schema is one of the two views of a document.
type schema struct {
	model      *Model
	title, doc string
	stored     bool // what is stored, not what may be sent
}

func createSchema(m *Model) schema {
	return schema{
		model: m,
		title: "An activity to create",
		doc:   "What a sender may give. Members that are not named here are kept in details.",
	}
}

func responseSchema(m *Model) schema {
	return schema{
		model:  m,
		title:  "A stored activity",
		doc:    "What a store holds and the read API returns. Members without a value are absent.",
		stored: true,
	}
}

func (s schema) document(k Kind) []byte {
	ks := s.model.Kinds()
	if k != NoKind {
		ks = []Kind{k}
	}
	defs := object{{"common", s.common()}}
	var branches []any
	for _, k := range ks {
		defs = append(defs, member{s.model.KindName(k), s.kind(k)})
		branches = append(branches, ref(s.model.KindName(k)))
	}
	if k == NoKind && !s.stored {
		defs = append(defs, member{"unclassified", s.unclassified()})
		branches = append(branches, ref("unclassified"))
	}
	doc := object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", s.title},
		{"description", s.doc},
		{"type", "object"},
		{"oneOf", branches},
		{"$defs", defs},
	}
	return doc.indented()
}

// common describes the fields of every kind, but for the kind itself, by which the branches differ.
func (s schema) common() object {
	o := object{{"properties", s.properties(func(f FieldID) bool { return s.model.Common(f) && f != KindField })}}
	if s.stored {
		var names []string
		for _, f := range required() {
			names = append(names, f.Name())
		}
		o = append(o, member{"required", names})
	}
	return o
}

func (s schema) kind(k Kind) object {
	own := s.properties(func(f FieldID) bool { return s.model.In(f, k) && !s.model.Common(f) })
	kind := object{{"const", s.model.KindName(k)}, {"description", KindField.Field().Doc}}
	o := object{
		{"allOf", []any{ref("common")}},
		{"properties", append(object{{KindField.Name(), kind}}, own...)},
	}
	if s.stored {
		return append(o, member{"unevaluatedProperties", false})
	}
	return append(o, member{"required", []string{KindField.Name()}})
}

// unclassified describes a record that leaves it to the agent to find the kind.
func (s schema) unclassified() object {
	return object{
		{"allOf", []any{ref("common")}},
		{"properties", object{{KindField.Name(), false}}},
	}
}

func (s schema) properties(keep func(FieldID) bool) object {
	return s.members(s.model.tree(func(f FieldID) bool {
		return keep(f) && (s.stored || s.model.Field(f).Origin != Agent)
	}))
}

func (s schema) members(nodes []*node) object {
	o := object{}
	for _, n := range nodes {
		o = append(o, member{n.name, s.node(n)})
	}
	return o
}

func (s schema) node(n *node) object {
	if n.field != NoField {
		return s.field(n.field)
	}
	o := object{{"type", "object"}, {"properties", s.members(n.sub)}}
	if s.stored {
		o = append(o, member{"additionalProperties", false})
	}
	if n.list {
		return object{{"type", "array"}, {"items", o}}
	}
	return o
}

func (s schema) field(f FieldID) object {
	row := s.model.Field(f)
	o := s.value(f)
	if row.Values != nil {
		if row.Type == Keywords {
			o = object{{"type", "array"}, {"items", object{{"type", "string"}, {"enum", row.Values}}}}
		} else {
			o = append(o, member{"enum", row.Values})
		}
	}
	return append(o, member{"description", row.Doc})
}

func (s schema) value(f FieldID) object {
	str := object{{"type", "string"}}
	if p := s.model.pattern(f); p != "" && (s.stored || f == ID) {
		str = append(str, member{"pattern", p})
	}
	switch s.model.FieldType(f) {
	case Keywords:
		return object{{"type", "array"}, {"items", str}}
	case IP:
		formats := []any{object{{"format", "ipv4"}}, object{{"format", "ipv6"}}}
		return append(str, member{"anyOf", formats})
	case Date:
		if s.stored {
			return append(str, member{"format", "date-time"})
		}
		// RFC 3339, or seconds, milliseconds, microseconds or nanoseconds since 1970, told by their size.
		return object{{"type", []string{"string", "number"}}}
	case Bool:
		return object{{"type", "boolean"}}
	case Long:
		return object{{"type", "integer"}}
	case Double:
		return object{{"type", "number"}}
	case Free:
		if s.stored {
			return object{{"type", "object"}}
		}
		return object{} // the encoder wraps what is no object
	case List:
		return object{{"type", "array"}, {"items", object{{"type", "object"}}}}
	default:
		return str
	}
}

// pattern returns the regular expression that every value of f matches, or "".
func (m *Model) pattern(f FieldID) string {
	switch {
	case f == ID:
		return ulidPattern
	case f == IntegrityHash:
		return hashPattern
	case m.FieldType(f) == Date:
		return datePattern
	default:
		return ""
	}
}

func ref(name string) object { return object{{"$ref", "#/$defs/" + name}} }

// An object is a JSON object whose members keep their order.
type object []member

type member struct {
	key   string
	value any
}

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		key, err := json.Marshal(m.key)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.value)
		if err != nil {
			return nil, err
		}
		b.Write(key)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// indented cannot fail: an object here holds nothing but strings, false, slices and objects.
func (o object) indented() []byte {
	compact, _ := o.MarshalJSON()
	var b bytes.Buffer
	_ = json.Indent(&b, compact, "", "  ")
	b.WriteByte('\n')
	return b.Bytes()
}
