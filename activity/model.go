package activity

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds of a Model.
const (
	// FirstCustom is the number of the first kind that a configuration declares.
	FirstCustom = kindCount
	// MaxCustomKinds is how many kinds a configuration may declare. MaxKinds is the number that all kinds are below, those
	// of an earlier configuration (see Under) among them.
	MaxCustomKinds = 8
	MaxKinds       = FirstCustom + 2*MaxCustomKinds
	// MaxCustomFields is how many fields all declared kinds may have together, and MaxFields the number that all fields are
	// below.
	MaxCustomFields = 64
	MaxFields       = FieldCount + MaxCustomFields
)

// A Model is the kinds and fields that there are: the built-in ones, and those that a configuration declares. It does not
// change once it is made. A nil Model is the built-in ones alone.
//
// Methods of Kind and FieldID that answer without a model know the built-in ones only.
type Model struct {
	custom []customKind
	rows   []Field // by FieldID
}

// customKind is a declared kind. Its number is FirstCustom and its place in the list.
type customKind struct {
	name, family, route string
	categories, types   []string
	retention           string
}

// builtin is what a nil Model means.
var builtin = &Model{rows: table[:]}

func (m *Model) or() *Model {
	if m == nil {
		return builtin
	}
	return m
}

// Kinds lists every kind in the order of the documentation, the declared ones last.
func (m *Model) Kinds() []Kind {
	out := Kinds()
	for i := range m.or().custom {
		out = append(out, FirstCustom+Kind(i))
	}
	return out
}

// CustomNames returns the names of the declared kinds in the order of their numbers.
func (m *Model) CustomNames() []string {
	var out []string
	for i := range m.or().custom {
		out = append(out, m.custom[i].name)
	}
	return out
}

// of returns a declared kind, nil for a built-in one and for none.
func (m *Model) of(k Kind) *customKind {
	if m == nil || k < FirstCustom || int(k-FirstCustom) >= len(m.custom) {
		return nil
	}
	return &m.custom[k-FirstCustom]
}

// KindName returns the name of a kind as documents carry it, or "" for no kind.
func (m *Model) KindName(k Kind) string {
	if c := m.of(k); c != nil {
		return c.name
	}
	return k.String()
}

// Family returns a kind's part of an index name.
func (m *Model) Family(k Kind) string {
	if c := m.of(k); c != nil {
		return c.family
	}
	return k.Family()
}

// RouteWord returns the word that stands for a declared kind in routes, "" for a built-in one.
func (m *Model) RouteWord(k Kind) string {
	if c := m.of(k); c != nil {
		return c.route
	}
	return ""
}

// Route returns the read API's route of a kind.
func (m *Model) Route(k Kind) string {
	if c := m.of(k); c != nil {
		return "/activities/" + c.route + "/"
	}
	return k.Route()
}

// Categories returns the ECS categories of a declared kind's documents, and Types their ECS types.
func (m *Model) Categories(k Kind) []string {
	if c := m.of(k); c != nil {
		return c.categories
	}
	return nil
}

// Types returns the ECS types of a declared kind's documents.
func (m *Model) Types(k Kind) []string {
	if c := m.of(k); c != nil {
		return c.types
	}
	return nil
}

// Retention returns how long documents of a declared kind are to be kept, as ParseAge reads it; "" where its declaration
// does not say.
func (m *Model) Retention(k Kind) string {
	if c := m.of(k); c != nil {
		return c.retention
	}
	return ""
}

// ParseKind finds the kind of a name. Case, and the choice of "-" or "_", make no difference.
func (m *Model) ParseKind(name []byte) (Kind, bool) {
	if k, ok := ParseKind(name); ok || m == nil {
		return k, ok
	}
	for i := range m.custom {
		if sameName(name, m.custom[i].name) {
			return FirstCustom + Kind(i), true
		}
	}
	return NoKind, false
}

// FieldCount is the number that all fields are below.
func (m *Model) FieldCount() FieldID { return FieldID(len(m.or().rows)) }

// Fields returns the row of every field, in document order of the built-in ones, then the declared. The slice is the
// caller's.
func (m *Model) Fields() []Field { return slices.Clone(m.or().rows[1:]) }

// Field returns the row of f; the zero Field for NoField and for none of the model.
func (m *Model) Field(f FieldID) Field {
	if rows := m.or().rows; int(f) < len(rows) {
		return rows[f]
	}
	return Field{}
}

// FieldName returns the path of f in the document.
func (m *Model) FieldName(f FieldID) string { return m.Field(f).Name }

// FieldType returns the type of f.
func (m *Model) FieldType(f FieldID) Type { return m.Field(f).Type }

// In reports whether documents of kind k have field f.
func (m *Model) In(f FieldID, k Kind) bool { return m.Field(f).Kinds.Has(k) }

// Common reports whether documents of every kind have field f.
func (m *Model) Common(f FieldID) bool { return m.Field(f).Kinds == AllKinds }

// FieldNamed finds a field of kind k by its path in the document; k may be NoKind for any kind.
func (m *Model) FieldNamed(name string, k Kind) (FieldID, bool) {
	rows := m.or().rows
	for f := FieldID(1); int(f) < len(rows); f++ {
		if rows[f].Name == name && (k == NoKind || rows[f].Kinds.Has(k)) {
			return f, true
		}
	}
	return NoField, false
}

// Own returns the declared fields of kind k, in the order of the configuration.
func (m *Model) Own(k Kind) []FieldID {
	var out []FieldID
	for f := FieldCount; f < m.FieldCount(); f++ {
		if m.In(f, k) {
			out = append(out, f)
		}
	}
	return out
}

// Under returns the model for what was written when the declared kinds had these names, in this order: kinds are
// numbered as they were then, and what else m declares comes after them. A kind that m has still is as m says; one that m
// has no more has its name and no fields of its own, so that what was decided to be of it goes where it would have gone.
func (m *Model) Under(names []string) *Model {
	now := m.CustomNames()
	if len(names) <= len(now) && slices.Equal(names, now[:len(names)]) {
		return m
	}
	names = slices.Clone(names)
	for _, n := range now {
		if !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	m = m.or()
	then := &Model{rows: slices.Clone(m.rows)}
	for f := range then.rows {
		if then.rows[f].Kinds != AllKinds {
			then.rows[f].Kinds &= 1<<FirstCustom - 1
		}
	}
	for i, name := range names {
		at := slices.IndexFunc(m.custom, func(c customKind) bool { return c.name == name })
		if at < 0 {
			then.custom = append(then.custom, customKind{name: name, family: familyOf(name), route: familyOf(name)})
			continue
		}
		then.custom = append(then.custom, m.custom[at])
		for f := range then.rows {
			if then.rows[f].Kinds != AllKinds && m.rows[f].Kinds.Has(FirstCustom+Kind(at)) {
				then.rows[f].Kinds |= Of(FirstCustom + Kind(i))
			}
		}
	}
	then.nameKinds()
	return then
}

// Fingerprint is a text that two models have in common only if they are alike.
func (m *Model) Fingerprint() string {
	if m == nil {
		return ""
	}
	return fmt.Sprintf("%#v%#v", m.custom, m.rows[FieldCount:])
}

// familyOf is how a name is written in index names and routes.
func familyOf(name string) string { return strings.ReplaceAll(name, "_", "-") }

// nameKinds sets the values that the field kind may have.
func (m *Model) nameKinds() {
	m.rows[KindField].Values = nil
	for _, k := range m.Kinds() {
		m.rows[KindField].Values = append(m.rows[KindField].Values, m.KindName(k))
	}
}
