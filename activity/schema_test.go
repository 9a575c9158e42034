package activity

import (
	"bytes"
	"encoding/json"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A jsonSchema evaluates the part of JSON Schema 2020-12 that the package's schemas use, and panics on any other part.
// `format` is asserted.
type jsonSchema struct{ root map[string]any }

func parseSchema(t *testing.T, raw []byte) jsonSchema {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(raw, &root); err != nil {
		t.Fatal(err)
	}
	return jsonSchema{root}
}

func (s jsonSchema) accepts(doc []byte) bool {
	var value any
	if err := json.Unmarshal(doc, &value); err != nil {
		return false
	}
	ok, _ := s.eval(s.root, value)
	return ok
}

// eval also returns the names of the members that the schema has looked at.
func (s jsonSchema) eval(schema, value any) (ok bool, seen map[string]bool) {
	if b, isBool := schema.(bool); isBool {
		return b, nil
	}
	rules := schema.(map[string]any)
	seen, ok = map[string]bool{}, true
	merge := func(good bool, more map[string]bool) bool {
		for name := range more {
			seen[name] = seen[name] || good
		}
		return good
	}
	members, isObject := value.(map[string]any)
	for word, rule := range rules {
		switch word {
		case "$schema", "$defs", "title", "description", "unevaluatedProperties", "additionalProperties":
		case "$ref":
			name := strings.TrimPrefix(rule.(string), "#/$defs/")
			ok = merge(s.eval(s.root["$defs"].(map[string]any)[name], value)) && ok
		case "allOf":
			for _, branch := range rule.([]any) {
				ok = merge(s.eval(branch, value)) && ok
			}
		case "oneOf", "anyOf":
			n := 0
			for _, branch := range rule.([]any) {
				if good, more := s.eval(branch, value); good {
					merge(true, more)
					n++
				}
			}
			ok = ok && (n == 1 || n > 1 && word == "anyOf")
		case "properties":
			for name, branch := range rule.(map[string]any) {
				if member, there := members[name]; isObject && there {
					good, _ := s.eval(branch, member)
					seen[name], ok = true, ok && good
				}
			}
		case "required":
			for _, name := range rule.([]any) {
				_, there := members[name.(string)]
				ok = ok && (there || !isObject)
			}
		case "items":
			items, _ := value.([]any)
			for _, item := range items {
				good, _ := s.eval(rule, item)
				ok = ok && good
			}
		default:
			ok = ok && assert(word, rule, value)
		}
	}
	if rules["unevaluatedProperties"] == false || rules["additionalProperties"] == false {
		for name := range members {
			ok = ok && seen[name]
		}
	}
	return ok, seen
}

func assert(word string, rule, value any) bool {
	s, isString := value.(string)
	switch word {
	case "type":
		if one, ok := rule.(string); ok {
			rule = []any{one}
		}
		return slices.ContainsFunc(rule.([]any), func(name any) bool { return isType(name.(string), value) })
	case "const":
		return reflect.DeepEqual(rule, value)
	case "enum":
		return slices.ContainsFunc(rule.([]any), func(one any) bool { return reflect.DeepEqual(one, value) })
	case "pattern":
		return !isString || patterns[rule.(string)].MatchString(s) // compiled once; a nil map entry panics
	case "format":
		return !isString || hasFormat(rule.(string), s)
	default:
		panic("unknown keyword " + word)
	}
}

func isType(name string, value any) bool {
	switch value := value.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case float64:
		return name == "number" || name == "integer" && value == math.Trunc(value)
	case string:
		return name == "string"
	case []any:
		return name == "array"
	default:
		return name == "object"
	}
}

func hasFormat(format, s string) bool {
	addr, err := netip.ParseAddr(s)
	switch format {
	case "ipv4":
		return err == nil && addr.Is4()
	case "ipv6":
		return err == nil && addr.Is6() && addr.Zone() == ""
	case "date-time":
		_, err := time.Parse(time.RFC3339Nano, s)
		return err == nil
	default:
		panic("unknown format " + format)
	}
}

func TestCreateSchema(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, doc string
		want      bool
	}{
		{"nothing but a word", `{"description":"hello"}`, true},
		{"unknown members", `{"kind":"auth_event","colour":"blue"}`, true},
		{"no kind, any member", `{"success":"perhaps"}`, true},
		{"typed", `{"kind":"auth_event","success":true,"@timestamp":"2026-11-17T09:00:00+01:00"}`, true},
		{"time as a number", `{"kind":"activity","@timestamp":1794902412377}`, true},
		{"own id", `{"id":"01M7M8AK2SC610CFQMCVJK9YY1"}`, true},
		{"free JSON of any type", `{"kind":"api_transaction","request_data":[1,"a"],"details":null}`, true},
		{"a member of another kind", `{"kind":"activity","success":"perhaps"}`, true},
		{"nested", `{"kind":"external_api","rate_limit":{"limit":50,"reset_at":1794902412},"service":{"name":"shop"}}`, true},
		{"what only the agent says", `{"created_at":7,"integrity":"mine"}`, true}, // it goes to details

		{"no object", `[]`, false},
		{"unknown kind", `{"kind":"party"}`, false},
		{"wrong type", `{"kind":"auth_event","success":"yes"}`, false},
		{"wrong type nested", `{"kind":"external_api","rate_limit":{"limit":"many"}}`, false},
		{"wrong type of a common field", `{"tags":"a"}`, false},
		{"id that is no ULID", `{"id":"42"}`, false},
		{"no address", `{"kind":"auth_event","ip_address":"here"}`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := parseSchema(t, CreateSchema(NoKind)).accepts([]byte(tt.doc)); got != tt.want {
				t.Errorf("%s is accepted: %v, want %v", tt.doc, got, tt.want)
			}
		})
	}
}

func TestSchemaOfOneKindTakesNoOther(t *testing.T) {
	t.Parallel()
	for _, k := range Kinds() {
		create, response := parseSchema(t, CreateSchema(k)), parseSchema(t, ResponseSchema(k))
		for _, other := range Kinds() {
			raw := []byte(doc(minimal(other)))
			if got := create.accepts(raw); got != (k == other) {
				t.Errorf("the create schema of %s accepts a %s: %v", k, other, got)
			}
			if got := response.accepts(raw); got != (k == other) {
				t.Errorf("the response schema of %s accepts a %s: %v", k, other, got)
			}
		}
	}
}

// What was stored can be sent again: the response is a special case of what may be created.
func TestAStoredDocumentMayBeCreated(t *testing.T) {
	t.Parallel()
	create := parseSchema(t, CreateSchema(NoKind))
	rapid.Check(t, func(t *rapid.T) {
		raw := []byte(doc(documents().Draw(t, "document")))
		if !create.accepts(raw) {
			t.Errorf("the create schema refuses the stored document %s", raw)
		}
	})
}

func TestSchemasAreTheSameEveryTime(t *testing.T) {
	t.Parallel()
	for _, k := range append(Kinds(), NoKind) {
		for range 5 {
			if !bytes.Equal(CreateSchema(k), CreateSchema(k)) || !bytes.Equal(ResponseSchema(k), ResponseSchema(k)) {
				t.Fatalf("a schema of kind %q differs from one call to the next", k)
			}
		}
	}
}
