package activity

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// KindConfig is an entry of `kinds`.
type KindConfig struct {
	// Name of the kind in documents; index names have it with hyphens.
	Name string `yaml:"name"`
	// Route is the word for it in routes, as in /activities/ROUTE/ and POST /v1/ROUTE. Default: Name with hyphens.
	Route string `yaml:"route"`
	// Retention is how long activities of the kind are kept, as ParseAge reads it; "" is `retention.default`.
	Retention string `yaml:"retention"`
	// Category holds ECS categories, and Type ECS types, of its documents.
	Category []string `yaml:"category"`
	Type     []string `yaml:"type"`
	// Fields are those that it has beside the common ones.
	Fields []FieldConfig `yaml:"fields"`
}

// FieldConfig is an entry of `kinds[].fields`.
type FieldConfig struct {
	Name string `yaml:"name"`
	// Type is a name of FieldTypes.
	Type string `yaml:"type"`
	// ECS is another name to find the field by in Elasticsearch, "" for none.
	ECS string `yaml:"ecs"`
	// Values are the only ones of a keyword, where the set is closed.
	Values []string `yaml:"values"`
}

// FieldTypes are the types that a declared field may have.
func FieldTypes() []string {
	var names []string
	for t := Keyword; t < List; t++ {
		names = append(names, t.String())
	}
	return names
}

// ECSCategories and ECSTypes are the values that ECS allows in event.category and event.type.
func ECSCategories() []string { return slices.Clone(ecsCategories) }

// ECSTypes returns the values that ECS allows in event.type.
func ECSTypes() []string { return slices.Clone(ecsTypes) }

// A DeclarationError is something wrong with a declared kind.
type DeclarationError struct {
	Kind  int // place in the list
	Field int // place among the kind's fields; -1 where it is none of them
	// Problem and Advice say what is wrong and what to do.
	Problem, Advice string
}

func (e *DeclarationError) Error() string {
	at := fmt.Sprintf("kinds[%d]", e.Kind)
	if e.Field >= 0 {
		at += fmt.Sprintf(".fields[%d]", e.Field)
	}
	return at + ": " + e.Problem + "; " + e.Advice
}

// Words that routes and descriptions have a use for, or may have one day.
var (
	reservedRoutes = []string{"activities", "admin", "aggregate", "api-transactions", "auth-events", "by-user", "count", "data-access",
		"data-changes", "docs", "entities", "entity", "export", "external-api", "failed-logins", "health", "history", "kinds", "live",
		"me", "metrics", "openapi", "proof", "schema", "search", "stats", "summary", "system-events", "tail", "timeline", "user", "users",
		"verify"}
	reservedKinds = []string{"all", "common", "custom", "default", "none", "record", "unclassified"}
)

// reservedFields are parameters of the read API: nobody could filter by a field that is called so.
var reservedFields = []string{"by", "cursor", "days", "fields", "format", "from", "group_by", "interval", "limit", "metric", "offset", "page",
	"q", "since", "size", "sort", "to", "top", "until"}

var (
	words      = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	routeWords = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	ecsName    = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$`)
)

// Bounds of names and closed sets. A route is shorter than an id, whose place in a path it has.
const (
	maxKindName  = 25
	maxFieldName = 64
	maxValues    = 100
)

// NewModel makes the model of declared kinds; nil for none. Its error joins a *DeclarationError for each mistake.
func NewModel(kinds []KindConfig) (*Model, error) {
	if len(kinds) == 0 {
		return nil, nil
	}
	d := declaration{m: &Model{rows: slices.Clone(table[:])}}
	for i, c := range kinds {
		d.kind(i, c)
	}
	if len(d.errs) > 0 {
		return nil, errors.Join(d.errs...)
	}
	d.m.nameKinds()
	return d.m, nil
}

// A declaration is a model in the making.
type declaration struct {
	m     *Model
	at    int // kind that is looked at
	field int // and its field
	errs  []error
}

func (d *declaration) fail(problem, advice string) {
	d.errs = append(d.errs, &DeclarationError{d.at, d.field, problem, advice})
}

func (d *declaration) kind(i int, c KindConfig) {
	d.at, d.field = i, -1
	if i == MaxCustomKinds {
		d.fail(fmt.Sprintf("there can be %d kinds of your own", MaxCustomKinds), "make one of two that are alike, told apart by activity_type")
	}
	k := customKind{name: c.Name, family: familyOf(c.Name), route: c.Route, categories: c.Category, types: c.Type, retention: c.Retention}
	if k.route == "" {
		k.route = k.family
	}
	d.name(c.Name)
	d.route(k.route)
	if _, err := ParseAge(c.Retention); err != nil && c.Retention != "" {
		d.fail("retention: expected an age", "write whole days, weeks, months or years, such as 400d")
	}
	d.among("category", c.Category, ecsCategories)
	d.among("type", c.Type, ecsTypes)
	d.m.custom = append(d.m.custom, k)
	seen := map[string]bool{}
	for j, f := range c.Fields {
		d.field = j
		if seen[f.Name] {
			d.fail("the kind has a field "+f.Name+" already", "keep one of the two")
			continue
		}
		seen[f.Name] = true
		d.declare(f)
	}
}

func (d *declaration) name(name string) {
	switch _, taken := d.m.ParseKind([]byte(name)); {
	case len(name) > maxKindName || !words.MatchString(name):
		d.fail("no kind can be called so", fmt.Sprintf("write lower-case words and digits joined by underscores, at most %d bytes, such as card_payment", maxKindName))
	case taken:
		d.fail("there is a kind "+name+" already", "choose another name")
	case slices.Contains(reservedKinds, name), strings.HasSuffix(name, "_record"):
		d.fail("the name "+name+" is reserved", "choose another name")
	}
}

func (d *declaration) route(word string) {
	switch {
	case len(word) > maxKindName || !routeWords.MatchString(word):
		d.fail("route: expected one word", fmt.Sprintf("write lower-case words and digits joined by hyphens, at most %d bytes, such as card-payments", maxKindName))
	case slices.Contains(reservedRoutes, word):
		d.fail("route: the word "+word+" is reserved", "choose another, such as "+word+"-list")
	case slices.ContainsFunc(d.m.custom, func(k customKind) bool { return k.route == word }):
		d.fail("route: another kind has the word "+word, "choose another")
	}
}

func (d *declaration) among(key string, values, allowed []string) {
	for _, v := range values {
		if !slices.Contains(allowed, v) {
			d.fail(key+": ECS knows no such value", "use values of: "+strings.Join(allowed, ", "))
		}
	}
}

// declare adds a field to the last kind.
func (d *declaration) declare(c FieldConfig) {
	kind := Of(FirstCustom + Kind(len(d.m.custom)-1))
	t := slices.Index(FieldTypes(), c.Type)
	if len(c.Name) > maxFieldName || !words.MatchString(c.Name) {
		d.fail("no field can be called so", fmt.Sprintf("write lower-case words and digits joined by underscores, at most %d bytes, such as card_network", maxFieldName))
		return
	}
	if slices.Contains(reservedFields, c.Name) {
		d.fail("the name "+c.Name+" is a parameter of the read API", "choose another name")
		return
	}
	if t < 0 {
		d.fail("there is no such type", "use one of "+strings.Join(FieldTypes(), ", "))
		return
	}
	f := Field{Name: c.Name, Type: Type(t), Kinds: kind, ECS: c.ECS, Values: c.Values, Doc: "A field of the configuration."}
	f.Column = f.Type != Text && f.Type != Free
	if before, ok := d.m.FieldNamed(c.Name, NoKind); ok {
		d.share(before, f)
		return
	}
	if owner := d.clash(c.Name); owner != "" {
		d.fail("the name "+c.Name+" would be in the way of "+owner, "choose another name")
		return
	}
	d.values(f)
	if owner := d.clash(c.ECS); c.ECS != "" && (owner != "" || !ecsName.MatchString(c.ECS)) {
		problem, advice := "ecs: no name of ECS looks so", "write one such as transaction.id, or leave it out"
		if owner != "" {
			problem, advice = "ecs: the name "+c.ECS+" would be in the way of "+owner, "leave it out"
		}
		d.fail(problem, advice)
		return
	}
	if len(d.m.rows) == int(MaxFields) {
		d.fail(fmt.Sprintf("all kinds of your own together can have %d fields", MaxCustomFields), "leave the rest in details, where they are found too")
		return
	}
	d.m.rows = append(d.m.rows, f)
}

// share gives the last kind a field that there is.
func (d *declaration) share(id FieldID, f Field) {
	row := &d.m.rows[id]
	switch {
	case row.Kinds == AllKinds:
		d.fail("every kind has the field "+f.Name, "leave it out")
	case row.Type != f.Type:
		d.fail(fmt.Sprintf("the field %s is of the type %s in another kind, and a name has one type", f.Name, row.Type), "write that type, or choose another name")
	case id < FieldCount && (f.ECS != "" || f.Values != nil):
		d.fail("the field "+f.Name+" is built in", "write its name and type only")
	case id >= FieldCount && (f.ECS != row.ECS || !slices.Equal(f.Values, row.Values)):
		d.fail("the field "+f.Name+" has another ecs or other values in another kind", "write the same, or choose another name")
	default:
		row.Kinds |= f.Kinds
	}
}

func (d *declaration) values(f Field) {
	switch {
	case f.Values == nil:
	case f.Type != Keyword:
		d.fail("values: only a keyword can have a closed set", "leave them out")
	case len(f.Values) > maxValues:
		d.fail(fmt.Sprintf("values: there are more than %d", maxValues), "leave them out")
	case slices.ContainsFunc(f.Values, func(v string) bool { return v == "" || len(v) > 256 || strings.ContainsFunc(v, unicode.IsControl) }):
		d.fail("values: one is empty, too long, or has a control character", "write the words as the log has them")
	}
}

// clash returns the field whose name, in documents or in ECS, cannot stand beside the given one: it is the same, or one
// would be an object that holds the other. "" is none.
func (d *declaration) clash(name string) string {
	if name == "source" || name == "source.ip" {
		return IPAddress.Name()
	}
	for _, f := range d.m.rows[1:] {
		for _, other := range []string{f.Name, f.ECS} {
			if other != "" && (other == name || strings.HasPrefix(other, name+".") || strings.HasPrefix(name, other+".")) {
				return f.Name
			}
		}
	}
	return ""
}
