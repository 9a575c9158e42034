package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/amend"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/access"
)

var update = flag.Bool("update", false, "rewrite openapi.json and docs.html from the table of routes")

func TestDescriptionFollowsTheRoutes(t *testing.T) {
	t.Parallel()
	document := describe(t)
	for file, want := range map[string][]byte{"openapi.json": document, "docs.html": docsHTML(t, document)} {
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s does not follow the routes: run `go test ./api -update` (%v)", file, err)
		}
	}
}

const schemas = "#/components/schemas/"

// A describer makes the OpenAPI document of the routes.
type describer struct {
	t          *testing.T
	registry   huma.Registry
	parameters map[string]*huma.Param // that are shared, by the names of their components
}

// describe returns the document.
func describe(t *testing.T) []byte {
	huma.DefaultArrayNullable = false // no answer has null for an empty list
	d := &describer{t, huma.NewMapRegistry(schemas, huma.DefaultSchemaNamer), map[string]*huma.Param{}}
	paths := map[string]*huma.PathItem{
		"/openapi.json": openPath("openapi", "This description", "application/json", &huma.Schema{Type: huma.TypeObject}),
		"/docs":         openPath("docs", "This description, to read", "text/html", &huma.Schema{Type: huma.TypeString}),
	}
	for _, rt := range routes(nil) {
		if paths[rt.path] == nil {
			paths[rt.path] = &huma.PathItem{}
		}
		switch rt.verb() {
		case http.MethodGet:
			paths[rt.path].Get = d.operation(rt)
		case http.MethodPatch:
			paths[rt.path].Patch = d.operation(rt)
			paths[rt.path].Patch.RequestBody = d.patch()
		default:
			t.Fatalf("%s %s is not described", rt.verb(), rt.path)
		}
	}
	d.registry.Schema(reflect.TypeFor[problem](), true, "")
	d.schemas()
	return pretty(t, &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{Title: "activity-agent: read API", Version: "1", Description: "Answers questions about the activities in a store. " +
			"Each path is there with a slash at its end, too, and to HEAD. What a caller may not see is not there for them."},
		Paths:    paths,
		Security: []map[string][]string{{"token": {}}},
		Components: &huma.Components{
			Schemas: d.registry, Parameters: d.parameters, Responses: errorAnswers(),
			SecuritySchemes: map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "An API key of `activity-agent keys`, or a JSON Web Token."}},
		},
	})
}

func openPath(id, summary, media string, s *huma.Schema) *huma.PathItem {
	return &huma.PathItem{Get: &huma.Operation{
		OperationID: id, Summary: summary, Security: []map[string][]string{}, Tags: []string{"description"},
		Extensions: map[string]any{"security": []any{}}, // which huma leaves out
		Responses:  map[string]*huma.Response{"200": {Description: "The description.", Content: map[string]*huma.MediaType{media: {Schema: s}}}},
	}}
}

// errorTexts are the errors that any route may answer with.
var errorTexts = map[int]string{
	http.StatusUnauthorized:        "There is no token, or it is not valid here.",
	http.StatusForbidden:           "The caller's role may not see this.",
	http.StatusNotFound:            "There is nothing here that the caller may see.",
	http.StatusUnprocessableEntity: "A parameter is wrong; errors names each.",
	http.StatusTooManyRequests:     "Too many requests. Try again after Retry-After.",
	http.StatusServiceUnavailable:  "The store does not answer, or the read cannot be recorded.",
}

// moreErrorTexts are those of some routes.
var moreErrorTexts = map[int]string{
	http.StatusConflict:              "The activity was changed at the same time. Read it again.",
	http.StatusPreconditionFailed:    "The activity is not what If-Match says any more.",
	http.StatusRequestEntityTooLarge: "The body is too large.",
	http.StatusUnsupportedMediaType:  "The body is of another type than JSON.",
}

func errorAnswers() map[string]*huma.Response {
	out := map[string]*huma.Response{}
	texts := maps.Clone(errorTexts)
	maps.Copy(texts, moreErrorTexts)
	for status, text := range texts {
		r := &huma.Response{Description: text, Content: map[string]*huma.MediaType{"application/problem+json": {Schema: &huma.Schema{Ref: schemas + "Problem"}}}}
		switch status {
		case http.StatusTooManyRequests:
			r.Headers = map[string]*huma.Param{"Retry-After": {Description: "Seconds to wait.", Schema: &huma.Schema{Type: huma.TypeInteger}}}
		case http.StatusUnauthorized:
			r.Headers = map[string]*huma.Param{"WWW-Authenticate": {Description: "Bearer.", Schema: &huma.Schema{Type: huma.TypeString}}}
		}
		out[strconv.Itoa(status)] = r
	}
	return out
}

func (d *describer) operation(rt route) *huma.Operation {
	op := &huma.Operation{
		OperationID: strings.ToLower(strings.NewReplacer("GET_", "", "/", "_", "-", "_", "{", "", "}", "").Replace(rt.verb() + "_" + rt.path[1:])),
		Summary:     rt.doc.summary, Tags: []string{"activities"}, Parameters: d.parametersOf(rt),
		Responses:  map[string]*huma.Response{"200": {Description: "The answer.", Content: d.content(rt)}},
		Extensions: map[string]any{"x-roles": rt.roles},
	}
	if !slices.Contains(rt.roles, access.User) {
		op.Description = "For auditors and admins."
	}
	for _, status := range slices.AppendSeq(slices.Clone(rt.doc.errors), maps.Keys(errorTexts)) {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Ref: "#/components/responses/" + strconv.Itoa(status)}
	}
	return op
}

// patch is the body that amends: a merge patch (RFC 7396) of what can be amended.
func (d *describer) patch() *huma.RequestBody {
	one := 1
	s := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}, AdditionalProperties: false, MinProperties: &one, Description: "New values; null takes a field away."}
	for _, f := range amend.Fields() {
		p := &huma.Schema{Type: huma.TypeString, Nullable: true, Description: f.Field().Doc}
		switch f.Type() {
		case activity.Keywords:
			p.Type, p.Items = huma.TypeArray, &huma.Schema{Type: huma.TypeString}
		case activity.Free:
			p.Type = huma.TypeObject
			p.Description += " A merge patch: members that are not named stay."
		}
		s.Properties[f.Name()] = p
	}
	d.registry.Map()["Amendment"] = s
	content := map[string]*huma.MediaType{}
	for _, media := range []string{"application/json", "application/merge-patch+json"} {
		content[media] = &huma.MediaType{Schema: &huma.Schema{Ref: schemas + "Amendment"}}
	}
	return &huma.RequestBody{Required: true, Content: content}
}

func (d *describer) content(rt route) map[string]*huma.MediaType {
	if rt.doc.media == nil {
		return map[string]*huma.MediaType{"application/json": {Schema: d.answer(rt)}}
	}
	out := map[string]*huma.MediaType{}
	for _, media := range rt.doc.media {
		name, _, _ := strings.Cut(media, ";")
		out[name] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
		if name == "application/json" {
			out[name].Schema = &huma.Schema{Type: huma.TypeArray, Items: some()}
		}
	}
	return out
}

// some is a document, or the fields= of one.
func some() *huma.Schema {
	return &huma.Schema{AnyOf: []*huma.Schema{{Ref: schemas + "Activity"}, {Type: huma.TypeObject}}}
}

func (d *describer) answer(rt route) *huma.Schema {
	var body any = page{}
	switch {
	case rt.doc.answer != nil:
		body = rt.doc.answer
	case rt.doc.single:
		return &huma.Schema{Ref: schemas + "Activity"}
	}
	return d.registry.Schema(reflect.TypeOf(body), true, "")
}

// schemas adds those of documents, and mends what huma cannot know of the others.
func (d *describer) schemas() {
	all := d.registry.Map()
	for name, s := range all {
		if name != "Amendment" {
			s.AdditionalProperties = nil // there may be more one day
		}
	}
	all["Page"].Properties["items"].Items = some()
	all["Step"].Properties["activity"].AnyOf = some().AnyOf
	latency := all["Summary"].Properties["execution_time_ms"]
	all["Summary"].Properties["execution_time_ms"] = &huma.Schema{Description: latency.Description, AnyOf: []*huma.Schema{{Ref: latency.Ref}, {Type: "null"}}}

	var stored struct {
		Description string                    `json:"description"`
		OneOf       []map[string]any          `json:"oneOf"`
		Defs        map[string]map[string]any `json:"$defs"`
	}
	text := bytes.ReplaceAll(activity.ResponseSchema(activity.NoKind), []byte(`"#/$defs/`), []byte(`"`+schemas))
	if err := json.Unmarshal(text, &stored); err != nil {
		d.t.Fatal(err)
	}
	all["Activity"] = &huma.Schema{Type: huma.TypeObject, Description: stored.Description, Extensions: map[string]any{"oneOf": stored.OneOf}}
	for name, def := range stored.Defs {
		all[name] = &huma.Schema{Type: huma.TypeObject, Extensions: def}
	}
}

// parametersOf lists the route's parameters: those in the path, its own, those of lists, and conditions on fields.
func (d *describer) parametersOf(rt route) []*huma.Param {
	var out []*huma.Param
	for part := range strings.SplitSeq(rt.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			one := 1
			out = append(out, &huma.Param{Name: strings.TrimSuffix(name, "}"), In: "path", Required: true, Description: "As documents have it.", Schema: &huma.Schema{Type: huma.TypeString, MinLength: &one}})
		}
	}
	if rt.doc.single {
		for _, p := range rt.doc.params {
			out = append(out, p.describe())
		}
		return out
	}
	taken := slices.Clone(rt.doc.without)
	if rt.doc.kind != activity.NoKind {
		taken = append(taken, "kind")
	}
	for _, p := range rt.doc.params {
		out, taken = append(out, p.describe()), append(taken, p.name)
	}
	for _, p := range append(d.listed(), d.conditions(rt.doc.kind)...) {
		if slices.Contains(taken, p.Name) {
			continue
		}
		name := strings.TrimPrefix(p.Name, "@")
		d.parameters[name] = p
		out = append(out, &huma.Param{Ref: "#/components/parameters/" + name})
	}
	return out
}

func (d *describer) listed() (out []*huma.Param) {
	for _, p := range listParams() {
		out = append(out, p.describe())
	}
	return out
}

func (p param) describe() *huma.Param {
	s := &huma.Schema{Type: huma.TypeString}
	for _, v := range p.values {
		s.Enum = append(s.Enum, v)
	}
	if p.low != 0 || p.high != 0 {
		low, high := float64(p.low), float64(p.high)
		if s = (&huma.Schema{Type: huma.TypeInteger, Minimum: &low}); p.high != 0 {
			s.Maximum = &high
		}
	}
	out := &huma.Param{Name: p.name, In: "query", Description: strings.ToUpper(p.text[:1]) + p.text[1:] + ".", Schema: s}
	if p.header {
		out.In = "header"
	}
	if p.several {
		together := false // commas keep a list in one parameter
		out.Schema, out.Explode = &huma.Schema{Type: huma.TypeArray, Items: s}, &together
	}
	return out
}

// probes are values that are valid for some type of field.
var probes = []string{"x", "true", "1", "2026-01-02", "127.0.0.1", idOf(1).String()}

// operators are what a parameter's name may end in, and what that means.
var operators = []struct{ suffix, text string }{
	{"", ""}, {".gte", "At least."}, {".lte", "At most."}, {".gt", "More than."}, {".lt", "Less than."}, {".prefix", "Begins with."}, {".exists", "Whether there is a value."},
}

// conditions are the conditions on fields that the parser takes, of a kind or of all.
func (d *describer) conditions(k activity.Kind) (out []*huma.Param) {
	var kinds []activity.Kind
	if k != activity.NoKind {
		kinds = []activity.Kind{k}
	}
	for _, f := range activity.Fields() {
		first := true
		for _, op := range operators {
			takes := func(value string) bool {
				c, err := search.ParseCondition(nil, kinds, f.Name+op.suffix, []string{value}, now)
				return err == nil && c.Path == "" // details.gt is a member of details
			}
			if slices.ContainsFunc(slices.Concat(probes, f.Values), takes) && !(f.Name == "kind" && op.suffix == "") {
				text := cmp.Or(op.text, f.Doc)
				if first && op.text != "" { // the only one that there is
					text += " " + f.Doc
				}
				first = false
				out = append(out, condition(f, op.suffix, text))
			}
		}
	}
	return out
}

func condition(f activity.Field, suffix, text string) *huma.Param {
	p := &huma.Param{Name: f.Name + suffix, In: "query", Description: text, Schema: valueSchema(f)}
	switch suffix {
	case "":
		for _, v := range f.Values {
			p.Schema.Enum = append(p.Schema.Enum, v)
		}
		p.Schema = &huma.Schema{Type: huma.TypeArray, Items: p.Schema}
	case ".prefix":
		p.Schema = &huma.Schema{Type: huma.TypeString}
	case ".exists":
		p.Schema = &huma.Schema{Type: huma.TypeBoolean}
	}
	return p
}

// valueSchema is what a value is that a field is compared with.
func valueSchema(f activity.Field) *huma.Schema {
	switch f.Type {
	case activity.Bool:
		return &huma.Schema{Type: huma.TypeBoolean}
	case activity.Long:
		return &huma.Schema{Type: huma.TypeInteger, Format: "int64"}
	case activity.Double:
		return &huma.Schema{Type: huma.TypeNumber}
	case activity.IP:
		return &huma.Schema{Type: huma.TypeString, Format: "ip"}
	case activity.Date:
		return &huma.Schema{Type: huma.TypeString, Format: "time"}
	}
	return &huma.Schema{Type: huma.TypeString}
}

// pretty writes JSON so that people can read it and compare two: what fits into a line is in one.
func pretty(t *testing.T, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return append(layOut(nil, text, ""), '\n')
}

func layOut(b, text []byte, indent string) []byte {
	if len(text)+len(indent) < 120 || text[0] != '{' && text[0] != '[' {
		return append(b, text...)
	}
	inner := indent + "  "
	begin := func(i int) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, '\n'), inner...)
	}
	if text[0] == '[' {
		var items []json.RawMessage
		_ = json.Unmarshal(text, &items) // it is JSON
		b = append(b, '[')
		for i, item := range items {
			begin(i)
			b = layOut(b, item, inner)
		}
		return append(append(append(b, '\n'), indent...), ']')
	}
	var members map[string]json.RawMessage
	_ = json.Unmarshal(text, &members) // it is JSON
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(members)) {
		begin(i)
		b = append(strconv.AppendQuote(b, name), ": "...)
		b = layOut(b, members[name], inner)
	}
	return append(append(append(b, '\n'), indent...), '}')
}

func TestDescriptionIsThereWithoutAToken(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), nil)
	for path, want := range map[string]string{"/openapi.json": "application/json", "/docs": "text/html; charset=utf-8"} {
		w := get(s, path, "")
		policy := w.Header().Get("Content-Security-Policy")
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") != want || w.Body.Len() < 1000 || !strings.HasPrefix(policy, "default-src 'none'") {
			t.Errorf("%s: status %d, %s, %s, %d bytes", path, w.Code, w.Header().Get("Content-Type"), policy, w.Body.Len())
		}
	}
	if page := string(docsPage); strings.Contains(page, "<script") || strings.Contains(page, "style=") || strings.Contains(page, "//") {
		t.Error("the page has something that its policy forbids, or comes from elsewhere")
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/docs", nil))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("POST: status %d", w.Code)
	}
	r := auditorOf(t)("/docs")
	r.Method, w = http.MethodTrace, httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
		t.Errorf("TRACE: status %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
}

// Every reference leads somewhere, and no two operations share an id.
func TestDescriptionHoldsTogether(t *testing.T) {
	t.Parallel()
	var whole any
	if err := json.Unmarshal(openAPI, &whole); err != nil {
		t.Fatal(err)
	}
	ids := map[any]bool{}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, item := range v {
				walk(item)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				at := whole
				for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
					at, _ = at.(map[string]any)[part]
				}
				if at == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			if id := v["operationId"]; id != nil && ids[id] {
				t.Errorf("two operations are %v", id)
			} else if id != nil {
				ids[id] = true
			}
			for _, item := range v {
				walk(item)
			}
		}
	}
	walk(whole)
	if len(ids) != len(routes(nil))+len(leaves(nil)) {
		t.Errorf("%d operations", len(ids))
	}
}
