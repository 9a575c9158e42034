package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/api/access"
)

// A description is what is read back of the OpenAPI document.
type description struct {
	Info       struct{ Title, Description string }
	Paths      map[string]map[string]operation // by path and method
	Components struct {
		Parameters map[string]parameter
		Responses  map[string]response
		Schemas    map[string]schema
	}
}

type operation struct {
	OperationID, Summary, Description string
	Parameters                        []parameter
	RequestBody                       struct {
		Content map[string]struct{ Schema schema }
	}
	Responses map[string]response
	Security  []any
	Roles     []access.Role `json:"x-roles"`
}

type parameter struct {
	Ref                   string `json:"$ref"`
	Name, In, Description string
	Required              bool
	Schema                schema
}

type response struct {
	Description string
	Content     map[string]struct{ Schema schema }
}

type schema struct {
	Ref                 string `json:"$ref"`
	Type                any
	Format, Description string
	Items               *schema
	Enum                []any
	Minimum, Maximum    *float64
	Properties          map[string]schema
	AnyOf, OneOf        []schema
}

func readDescription(t *testing.T, document []byte) *description {
	t.Helper()
	var d description
	if err := json.Unmarshal(document, &d); err != nil {
		t.Fatal(err)
	}
	return &d
}

// resolve follows a reference to a parameter that is shared.
func (d *description) resolve(p parameter) parameter {
	if name, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
		return d.Components.Parameters[name]
	}
	return p
}

// An entry is a name in the page and what there is to say about it.
type entry struct {
	Name, Type, Text, Link string
	Values, Operators      []string
	Where                  string // "path" or "header"
	Shared                 bool
	Members                []entry
}

type routeEntry struct {
	ID, Method, Path, Summary, Text, Body, Answer string
	Own, Lists, Fields                            []entry
}

type docsView struct {
	Title, Text                    string
	Routes                         []routeEntry
	Lists, Fields, Schemas, Errors []entry
}

// docsHTML is the page, made of the document.
func docsHTML(t *testing.T, document []byte) []byte {
	d := readDescription(t, document)
	v := docsView{Title: d.Info.Title, Text: d.Info.Description}
	for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(d.Paths[path])) {
			v.Routes = append(v.Routes, d.routeEntry(method, path))
		}
	}
	for _, p := range listParams() {
		v.Lists = append(v.Lists, d.Components.Parameters[p.name].entry(true))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Components.Parameters)) {
		v.Fields = addField(v.Fields, d.Components.Parameters[name])
	}
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		if s := d.Components.Schemas[name]; strings.ToUpper(name[:1]) == name[:1] && name != "Activity" {
			v.Schemas = append(v.Schemas, s.entry(name))
		}
	}
	for _, status := range slices.Sorted(maps.Keys(d.Components.Responses)) {
		v.Errors = append(v.Errors, entry{Name: status, Text: d.Components.Responses[status].Description})
	}
	tmpl, err := template.ParseFiles("testdata/docs.gohtml")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tmpl.Execute(&b, v); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (d *description) routeEntry(method, path string) routeEntry {
	op := d.Paths[path][method]
	out := routeEntry{ID: op.OperationID, Method: strings.ToUpper(method), Path: path, Summary: op.Summary, Text: op.Description}
	if name, ok := strings.CutPrefix(op.Responses["200"].Content["application/json"].Schema.Ref, schemas); ok && name != "Activity" {
		out.Answer = name
	}
	for _, body := range op.RequestBody.Content {
		out.Body = strings.TrimPrefix(body.Schema.Ref, schemas)
	}
	for _, p := range op.Parameters {
		switch shared := d.resolve(p); {
		case p.Ref == "":
			out.Own = append(out.Own, p.entry(false))
		case isListed(shared.Name):
			out.Lists = append(out.Lists, entry{Name: shared.Name})
		default:
			out.Fields = addField(out.Fields, shared)
		}
	}
	return out
}

func isListed(name string) bool {
	return slices.ContainsFunc(listParams(), func(p param) bool { return p.name == name })
}

// addField adds a condition to the field that it is on.
func addField(to []entry, p parameter) []entry {
	name, suffix := p.Name, ""
	for _, op := range operators[1:] {
		if stem, ok := strings.CutSuffix(p.Name, op.suffix); ok {
			name, suffix = stem, op.suffix
		}
	}
	if isListed(name) && suffix == "" {
		return to
	}
	i := slices.IndexFunc(to, func(e entry) bool { return e.Name == name })
	if i < 0 {
		e := p.entry(true)
		e.Name = name
		to, i = append(to, e), len(to)
	}
	if suffix == "" {
		e := p.entry(true)
		e.Operators, to[i] = to[i].Operators, e
	} else {
		to[i].Operators = append(to[i].Operators, suffix)
	}
	return to
}

func (p parameter) entry(shared bool) entry {
	e := entry{Name: p.Name, Type: p.Schema.name(), Text: p.Description, Where: strings.TrimPrefix(p.In, "query"), Shared: shared}
	s := p.Schema
	if s.Items != nil {
		s = *s.Items
	}
	for _, v := range s.Enum {
		e.Values = append(e.Values, fmt.Sprint(v))
	}
	return e
}

func (s schema) entry(name string) entry {
	e := entry{Name: name, Text: s.Description}
	for _, m := range slices.Sorted(maps.Keys(s.Properties)) {
		p := s.Properties[m]
		e.Members = append(e.Members, entry{Name: m, Type: p.name(), Text: p.Description, Link: p.link()})
	}
	return e
}

// name says the type for people.
func (s schema) name() string {
	switch {
	case s.Ref != "":
		return strings.TrimPrefix(s.Ref, schemas)
	case len(s.AnyOf) > 0:
		return s.AnyOf[0].name() + " or " + s.AnyOf[1].name()
	case s.Items != nil:
		return "any of " + s.Items.name()
	case s.Minimum != nil && s.Maximum == nil:
		return fmt.Sprintf("%v from %.0f", s.Type, *s.Minimum)
	case s.Minimum != nil:
		return fmt.Sprintf("%v from %.0f to %.0f", s.Type, *s.Minimum, *s.Maximum)
	}
	types, several := s.Type.([]any)
	if !several {
		types = []any{s.Type}
	}
	var names []string
	for _, t := range types {
		switch {
		case t == nil:
			t = "any"
		case t == "string" && s.Format != "":
			t = s.Format
		}
		names = append(names, fmt.Sprint(t))
	}
	return strings.Join(names, " or ")
}

// link leads to the schema of the type.
func (s schema) link() string {
	switch {
	case s.Items != nil:
		return s.Items.link()
	case len(s.AnyOf) > 0:
		return s.AnyOf[0].link()
	case s.Ref == schemas+"Activity":
		return ""
	}
	return strings.TrimPrefix(s.Ref, schemas)
}
