package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/agent/tail"
	"github.com/truledgr/activity-agent/sinks/elasticsearch"
	"github.com/truledgr/activity-agent/sinks/file"
	"github.com/truledgr/activity-agent/sinks/sqlite"
)

const (
	examplePath = "../agent.example.yaml"
	schemaPath  = "schema.json"
	docsPath    = "../docs/configuration.md"
)

// switchedOff matches keys of the example that are commented out: "#key", "#  key", "#  -" or deeper, where prose is "# text".
var switchedOff = regexp.MustCompile(`(?m)^( *)#((?:  )*)([-a-z#].*)$`)

func readExample(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(examplePath)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestExampleEqualsTheDefaults(t *testing.T) {
	t.Parallel()
	got, err := Parse("agent.example.yaml", []byte(readExample(t)), nil)
	if err != nil {
		t.Fatal(err)
	}
	want, entry, store := Default(), tail.DefaultConfig(), sqlite.DefaultConfig()
	entry.Include = []string{"/var/log/app/*.log"}
	want.Files, want.Store.SQLite = []tail.Config{entry}, &store
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got:\n%v\nwant:\n%v", got, want)
	}
}

func TestExampleWorksWithTheOtherStores(t *testing.T) {
	t.Parallel()
	text := switchedOff.ReplaceAllString(readExample(t), "$1$2$3")
	begin := func(line string) int {
		at := strings.Index(text, line)
		if at < 0 {
			t.Fatalf("%s has no line %q", examplePath, line)
		}
		return at
	}
	start, cluster, lines, end := begin("  # An embedded"), begin("  # An Elasticsearch"), begin("  # One JSON object"), begin("# For Kubernetes")
	es := elasticsearch.DefaultConfig()
	es.Addresses = []string{"https://localhost:9200"}
	for part, want := range map[string]Store{
		text[cluster:lines]: {Elasticsearch: &es},
		text[lines:end]:     {File: &file.Config{Path: "./activities.ndjson"}},
	} {
		got, err := Parse("x.yaml", []byte(text[:start]+part+text[end:]), nil)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Store, want) {
			t.Errorf("got %+v, want %+v", got.Store, want)
		}
	}
}

// An option is a key as users see it.
type option struct {
	path   string // as in rules
	typ    reflect.Type
	value  reflect.Value // default
	rule   rule
	doc    string // the comment in the example
	secret bool
	below  []option // of a section, or of a list of sections
}

// options joins the structs, the rules and the comments of the example.
func options(v reflect.Value, at place, docs map[string]string) []option {
	var all []option
	for f := range fields(v.Type()) {
		in := at.key(f.Tag.Get("yaml"))
		o := option{path: in.rule, typ: f.Type, value: v.FieldByIndex(f.Index), rule: rules[in.rule], doc: docs[in.rule], secret: f.Tag.Get("secret") == "true"}
		switch t := f.Type; {
		case t.Kind() == reflect.Struct:
			o.below = options(o.value, in, docs)
		case t.Kind() == reflect.Pointer:
			o.below = options(start(t.Elem()), in, docs)
		case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
			o.below = options(start(t.Elem()), in.item(0), docs)
		}
		all = append(all, o)
	}
	return all
}

func allOptions(t *testing.T) []option {
	t.Helper()
	return options(reflect.ValueOf(Default()).Elem(), place{}, comments(t))
}

// comments returns what the example says of every key in it, in use or switched off.
func comments(t *testing.T) map[string]string {
	t.Helper()
	text := switchedOff.ReplaceAllString(readExample(t), "$1$2$3")
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	lines, docs := strings.Split(text, "\n"), map[string]string{}
	var walk func(n *yaml.Node, at place)
	walk = func(n *yaml.Node, at place) {
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i < len(n.Content); i += 2 {
				in := at.key(n.Content[i].Value)
				docs[in.rule] = commentAbove(lines, n.Content[i].Line)
				walk(n.Content[i+1], in)
			}
		case yaml.SequenceNode:
			for i, c := range n.Content {
				walk(c, at.item(i))
			}
		}
	}
	walk(doc.Content[0], place{})
	return docs
}

func commentAbove(lines []string, line int) string {
	var words []string
	for i := line - 2; i >= 0; i-- {
		text, ok := strings.CutPrefix(strings.TrimSpace(lines[i]), "# ")
		if !ok {
			break
		}
		words = append([]string{text}, words...)
	}
	return strings.Join(words, " ")
}

func TestExampleExplainsEveryKey(t *testing.T) {
	t.Parallel()
	known := map[string]bool{"": true} // the whole
	var walk func([]option)
	walk = func(os []option) {
		for _, o := range os {
			known[o.path] = true
			if o.doc == "" {
				t.Errorf("%s is missing in %s, or has no comment above", o.path, examplePath)
			}
			walk(o.below)
		}
	}
	walk(allOptions(t))
	for path := range rules {
		if !known[strings.TrimSuffix(path, "[]")] {
			t.Errorf("there is a rule for %s, but no such key", path)
		}
	}
}

func TestSchemaFollowsTheStructs(t *testing.T) {
	t.Parallel()
	root := sectionSchema(allOptions(t), rule{})
	root["type"] = "object"
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Configuration of activity-agent"
	root["$defs"] = map[string]any{"expansion": map[string]any{
		"description": "Taken from the environment or from a file.", "type": "string", "pattern": `\$\{.+\}`,
	}}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(root); err != nil {
		t.Fatal(err)
	}
	compare(t, schemaPath, b.String())
}

func sectionSchema(os []option, r rule) map[string]any {
	properties, required, either := map[string]any{}, []string{}, []any(nil)
	for _, o := range os {
		name := o.path[strings.LastIndex(o.path, ".")+1:]
		properties[name] = o.schema()
		switch {
		case o.rule.need == "" || !o.value.IsZero() && !o.rule.one:
		case o.rule.unless != "":
			either = append(either, map[string]any{"required": []string{name}}, map[string]any{"required": []string{o.rule.unless}})
		default:
			required = append(required, name)
		}
	}
	s := map[string]any{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"], s["type"] = required, "object"
	}
	if either != nil {
		s["anyOf"] = either
	}
	if r.one {
		s["minProperties"], s["maxProperties"], s["type"] = 1, 1, "object"
	}
	return s
}

func (o option) schema() map[string]any {
	var s map[string]any
	switch k := o.typ.Kind(); k {
	case reflect.Struct, reflect.Pointer:
		s = sectionSchema(o.below, o.rule)
	case reflect.Map:
		s = map[string]any{"type": []string{"object", "null"}, "additionalProperties": map[string]any{"type": []string{"string", "number"}}}
	case reflect.Slice:
		items := map[string]any{"type": []string{"string", "number"}}
		if o.below != nil {
			items = sectionSchema(o.below, rule{})
		}
		s = map[string]any{"type": []string{"array", "null"}, "items": items}
		if o.rule.need != "" {
			s["type"], s["minItems"] = "array", 1
		}
	default:
		s = scalarSchema(o.typ, o.rule)
		if o.value.String() != "" && (o.rule.need == "" || !o.value.IsZero()) {
			s["default"] = plain(o.value, o.rule)
			if k == reflect.Bool {
				s["default"] = o.value.Bool()
			}
		}
	}
	s["description"] = o.doc
	return s
}

func scalarSchema(t reflect.Type, r rule) map[string]any {
	orExpansion := func(forms ...map[string]any) map[string]any {
		return map[string]any{"anyOf": append(forms, map[string]any{"$ref": "#/$defs/expansion"})}
	}
	switch {
	case len(r.enum) > 0:
		return orExpansion(map[string]any{"enum": r.enum})
	case t.Kind() == reflect.Bool:
		return orExpansion(map[string]any{"type": "boolean"})
	case t.Kind() == reflect.Float64:
		return orExpansion(map[string]any{"type": "number"})
	case t == reflect.TypeFor[time.Duration]():
		return orExpansion(map[string]any{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`})
	case t == reflect.TypeFor[agent.Bytes]() || r.size:
		number := map[string]any{"type": "integer", "minimum": r.min}
		if r.max > 0 {
			number["maximum"] = r.max
		}
		return orExpansion(number, map[string]any{"type": "string", "pattern": `^[0-9]+( *(KiB|MiB|GiB))?$`})
	case r.need != "":
		return map[string]any{"type": []string{"string", "number"}, "minLength": 1}
	default:
		return map[string]any{"type": []string{"string", "number"}}
	}
}

func TestSchemaAgreesWithTheParser(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(schemaPath)
	if err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal(data, &schema); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{
		examplePath: true, "testdata/good/all.yaml": true, "testdata/good/aliases.yaml": true,
		"testdata/unknown_keys.yaml": false, "testdata/wrong_types.yaml": false, "testdata/wrong_bool.yaml": false,
		"testdata/wrong_enums.yaml": false, "testdata/durations.yaml": false, "testdata/sizes.yaml": false,
		"testdata/no_files.yaml": false, "testdata/empty_files.yaml": false, "testdata/no_include.yaml": false,
		"testdata/good/posted.yaml": true, "testdata/no_store.yaml": false, "testdata/empty_store.yaml": false, "testdata/two_stores.yaml": false,
		"testdata/file_without_path.yaml": false,
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var value any
		if err := yaml.Unmarshal(text, &value); err != nil {
			t.Fatal(path, err)
		}
		if got := accepts(schema, schema, value); got != want {
			t.Errorf("%s: the schema says %v, want %v", path, got, want)
		}
	}
}

// accepts evaluates the part of JSON Schema that the schema uses.
func accepts(root, s map[string]any, v any) bool {
	if s["$ref"] != nil {
		s = root["$defs"].(map[string]any)["expansion"].(map[string]any)
	}
	if forms, ok := s["anyOf"].([]any); ok {
		ok := slices.ContainsFunc(forms, func(a any) bool { return accepts(root, a.(map[string]any), v) })
		if !ok || s["type"] == nil {
			return ok
		}
	}
	if enum, ok := s["enum"].([]any); ok {
		return slices.Contains(enum, v)
	}
	number := func(key string, fallback int) int {
		if f, ok := s[key].(float64); ok {
			return int(f)
		}
		return fallback
	}
	name := ""
	switch x := v.(type) {
	case nil:
		name = "null"
	case bool:
		name = "boolean"
	case int:
		name = "integer"
		if x < number("minimum", x) || x > number("maximum", x) {
			return false
		}
	case float64:
		name = "number"
	case string:
		name = "string"
		if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(x) || len(x) < number("minLength", 0) {
			return false
		}
	case []any:
		name = "array"
		items, _ := s["items"].(map[string]any)
		if len(x) < number("minItems", 0) || slices.ContainsFunc(x, func(e any) bool { return !accepts(root, items, e) }) {
			return false
		}
	case map[string]any:
		name = "object"
		properties, closed := s["properties"].(map[string]any)
		for k, e := range x {
			if !closed {
				break // a form that only requires
			}
			p, ok := properties[k].(map[string]any)
			if more, open := s["additionalProperties"].(map[string]any); !ok && open {
				p, ok = more, true
			}
			if !ok || !accepts(root, p, e) {
				return false
			}
		}
		required, _ := s["required"].([]any)
		if slices.ContainsFunc(required, func(r any) bool { _, ok := x[r.(string)]; return !ok }) {
			return false
		}
		if len(x) < number("minProperties", 0) || len(x) > number("maxProperties", len(x)) {
			return false
		}
	}
	if s["type"] == nil {
		return true
	}
	types := fmt.Sprint(s["type"])
	return strings.Contains(types, name) || name == "integer" && strings.Contains(types, "number")
}

func TestDocsFollowTheStructs(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(docsPath)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- keys: written by go test ./config -update -->\n", "<!-- end of keys -->"
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatalf("%s has lost its markers %q and %q", docsPath, begin, end)
	}
	var b strings.Builder
	for _, o := range allOptions(t) {
		fmt.Fprintf(&b, "\n### `%s`\n\n%s\n", o.path, markdown(o.doc))
		b.WriteString("\n| key | value | default | meaning |\n|---|---|---|---|\n")
		for _, c := range o.below {
			c.rows(&b)
		}
	}
	compare(t, docsPath, before+begin+b.String()+"\n"+end+after)
}

// rows writes a line of the table for a key and those below it.
func (o option) rows(b *strings.Builder) {
	meaning := o.doc
	if o.rule.restart {
		meaning += " A change takes a restart."
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", o.path, o.kind(), o.fallback(), markdown(meaning))
	for _, c := range o.below {
		c.rows(b)
	}
}

func (o option) kind() string {
	text := func(n int64) string { return plain(reflect.ValueOf(n).Convert(o.typ), o.rule) }
	span := ""
	if o.typ.Kind() == reflect.Int || o.typ.Kind() == reflect.Int64 {
		if span = o.rule.span(text); span != "" {
			span = ": " + span
		}
	}
	switch t := o.typ; {
	case len(o.rule.enum) > 0:
		return "`" + strings.Join(o.rule.enum, "`, `") + "`"
	case o.below != nil:
		return "section"
	case t.Kind() == reflect.Map:
		return "names and texts"
	case t.Kind() == reflect.Float64:
		return "number"
	case t.Kind() == reflect.Slice:
		return "list of texts"
	case t == reflect.TypeFor[time.Duration]():
		return "duration" + span
	case t == reflect.TypeFor[agent.Bytes]() || o.rule.size:
		return "size" + span
	case t.Kind() == reflect.Bool:
		return "`true`, `false`"
	case t.Kind() == reflect.Int:
		return "number" + span
	case o.secret:
		return "text, secret"
	default:
		return "text"
	}
}

func (o option) fallback() string {
	switch {
	case o.typ.Kind() == reflect.Pointer:
		return "not chosen"
	case o.below != nil:
		return ""
	case o.rule.need != "" && o.value.IsZero():
		return "required"
	case o.typ.Kind() == reflect.Slice:
		return "`[]`"
	case o.typ.Kind() == reflect.Map:
		return "`{}`"
	case o.value.Kind() == reflect.String && o.value.Len() == 0:
		return "`\"\"`"
	default:
		return "`" + plain(o.value, o.rule) + "`"
	}
}

// markdown escapes text for a table, but not what is in backticks.
func markdown(text string) string {
	parts := strings.Split(text, "`")
	for i := 0; i < len(parts); i += 2 {
		parts[i] = strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`, "|", `\|`).Replace(parts[i])
	}
	return strings.Join(parts, "`")
}
