package ingest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/truledgr/activity-agent/activity"
)

// object is a part of the description.
type object = map[string]any

// describe returns the OpenAPI document of the routes (version 3.1), made of the kinds and fields of m.
func describe(c Config, m *activity.Model) []byte {
	schemas := recordSchemas(m)
	schemas["Accepted"] = object{
		"type": "object", "required": []string{"ids"},
		"properties": object{"ids": object{
			"type": "array", "description": "The id of each record, in their order; null for one that a rule of the configuration drops.",
			"items": object{"type": []string{"string", "null"}, "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$"},
		}},
	}
	schemas["Problem"] = problemSchema()
	paths := object{}
	for route, kind := range kindsByRoute(m) {
		paths[route] = object{"post": operation(route, m.KindName(kind))}
	}
	paths["/openapi.json"] = object{"get": object{
		"summary": "This description", "operationId": "describe",
		"responses": object{
			"200": object{"description": "The description.", "content": object{"application/json": object{"schema": object{"type": "object"}}}},
			"401": object{"$ref": "#/components/responses/401"},
		},
	}}
	doc := object{
		"openapi": "3.1.0",
		"info": object{
			"title": "activity-agent: ingest", "version": "1",
			"description": "Activities are posted here. An answer of 202 means that they are on the disk, redacted, and will be in the store once.",
		},
		"paths": paths,
		"components": object{
			"schemas": schemas, "responses": responses(),
			"securitySchemes": object{"token": object{"type": "http", "scheme": "bearer"}},
		},
	}
	if c.Token != "" || c.TokenFile != "" {
		doc["security"] = []any{object{"token": []string{}}}
	}
	b, _ := json.MarshalIndent(doc, "", "  ") // maps, slices, strings and booleans
	return append(b, '\n')
}

// recordSchemas turns the schema of what may be sent into components, and lets every member be null.
func recordSchemas(m *activity.Model) object {
	var whole object
	_ = json.Unmarshal(m.CreateSchema(activity.NoKind), &whole) // made by us
	text, _ := json.Marshal(whole["$defs"])
	var defs object
	_ = json.Unmarshal([]byte(strings.ReplaceAll(string(text), `"#/$defs/`, `"#/components/schemas/`)), &defs)
	for _, def := range defs {
		nullable(def.(object)["properties"])
	}
	for _, k := range m.Kinds() { // what a typed route takes: the kind is the route's
		def := maps.Clone(defs[m.KindName(k)].(object))
		delete(def, "required")
		def["type"] = "object"
		defs[m.KindName(k)+"_record"] = def
	}
	any := []any{object{"$ref": "#/components/schemas/unclassified"}}
	for _, k := range m.Kinds() {
		any = append(any, object{"$ref": "#/components/schemas/" + m.KindName(k)})
	}
	defs["record"] = object{"type": "object", "anyOf": any}
	return defs
}

// nullable lets the members of an object be null: that counts as absent.
func nullable(properties any) {
	members, _ := properties.(object)
	for name, m := range members {
		schema, ok := m.(object)
		if !ok {
			continue
		}
		nullable(schema["properties"])
		switch t := schema["type"].(type) {
		case string:
			schema["type"] = []any{t, "null"}
		case []any:
			schema["type"] = append(slices.Clone(t), "null")
		}
		if formats, ok := schema["anyOf"].([]any); ok {
			schema["anyOf"] = append(formats, object{"type": "null"})
		}
		if name == "kind" && schema["const"] != nil {
			schema["enum"] = []any{schema["const"], nil}
			delete(schema, "const")
		}
	}
}

func operation(route, kind string) object {
	name, summary := "record", "Store activities of any kind"
	if kind != "" {
		name, summary = kind+"_record", "Store activities of the kind "+kind
	}
	one := object{"$ref": "#/components/schemas/" + name}
	answers := object{}
	for code := range responses() {
		answers[code] = object{"$ref": "#/components/responses/" + code}
	}
	return object{
		"summary": summary, "operationId": "post" + strings.ReplaceAll(strings.TrimPrefix(route, "/v1/"), "-", "_"),
		"parameters": []any{object{
			"name": "Idempotency-Key", "in": "header", "required": false,
			"description": "Makes a repeated request harmless for 24 hours.",
			"schema":      object{"type": "string", "minLength": 1, "maxLength": maxKey, "pattern": "^[!-~]+$"},
		}},
		"requestBody": object{"required": true, "content": object{
			"application/json":     object{"schema": object{"oneOf": []any{one, object{"type": "array", "minItems": 1, "maxItems": maxRecords, "items": one}}}},
			"application/x-ndjson": object{"schema": object{"type": "string", "description": "One object a line."}},
		}},
		"responses": answers,
	}
}

// responses are the answers to a post, by status.
func responses() object {
	out := object{"202": object{
		"description": "On the disk.",
		"content":     object{"application/json": object{"schema": object{"$ref": "#/components/schemas/Accepted"}}},
	}}
	for code, text := range map[int]string{
		http.StatusBadRequest:            "The body is not JSON, or a header makes no sense. Nothing was stored.",
		http.StatusUnauthorized:          "The token is missing or wrong.",
		http.StatusRequestTimeout:        "The body did not come in time.",
		http.StatusRequestEntityTooLarge: "The body is larger than ingest.max_body, or has more than 10,000 records.",
		http.StatusUnsupportedMediaType:  "The content type or encoding is not known.",
		http.StatusUnprocessableEntity:   "A record has a field of the wrong type, or an Idempotency-Key came with another body. Nothing was stored.",
		http.StatusTooManyRequests:       "The journal is full. Try again after Retry-After.",
		http.StatusServiceUnavailable:    "Not possible now. Try again after Retry-After.",
	} {
		r := object{
			"description": text,
			"content":     object{"application/problem+json": object{"schema": object{"$ref": "#/components/schemas/Problem"}}},
		}
		if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
			r["headers"] = object{"Retry-After": object{"description": "Seconds to wait.", "schema": object{"type": "integer"}}}
		}
		out[strconv.Itoa(code)] = r
	}
	return out
}

func problemSchema() object {
	str := object{"type": "string"}
	return object{
		"type": "object", "description": "What is wrong (RFC 9457). It never shows anything of the request.",
		"required": []string{"type", "title", "status", "detail"},
		"properties": object{
			"type": str, "title": str, "status": object{"type": "integer"}, "detail": str,
			"errors": object{"type": "array", "items": object{
				"type": "object", "required": []string{"record", "pointer", "detail"},
				"properties": object{
					"record":  object{"type": "integer", "description": "Which record of the request, from 0."},
					"pointer": object{"type": "string", "description": "JSON Pointer into the record; empty for all of it."},
					"detail":  str,
				},
			}},
		},
	}
}
