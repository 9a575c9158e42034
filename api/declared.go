package api

import (
	"encoding/json"
	"maps"

	"github.com/truledgr/activity-agent/activity"
)

// described is the description with the routes of the kinds that m declares: that of all kinds, of one kind, and with
// conditions on the kind's own fields.
func described(m *activity.Model) []byte {
	if len(m.CustomNames()) == 0 {
		return openAPI
	}
	var whole map[string]any
	if json.Unmarshal(openAPI, &whole) != nil {
		return openAPI // cannot be: it is made by us
	}
	paths := whole["paths"].(map[string]any)
	list := paths["/activities"].(map[string]any)["get"].(map[string]any)
	for _, k := range m.Kinds() {
		word := m.RouteWord(k)
		if word == "" {
			continue
		}
		get := maps.Clone(list)
		get["operationId"] = "activities_" + m.KindName(k)
		get["summary"] = "Activities of the kind " + m.KindName(k)
		params := []any{}
		for _, p := range list["parameters"].([]any) {
			if ref, _ := p.(map[string]any)["$ref"].(string); ref != "#/components/parameters/kind" {
				params = append(params, p)
			}
		}
		for _, f := range m.Own(k) {
			params = append(params, conditionsOn(m.Field(f))...)
		}
		get["parameters"] = params
		paths["/activities/"+word] = map[string]any{"get": get}
	}
	body, err := json.MarshalIndent(whole, "", "  ")
	if err != nil {
		return openAPI
	}
	return append(body, '\n')
}

// conditionsOn are the parameters that ask for a declared field.
func conditionsOn(f activity.Field) (out []any) {
	add := func(suffix, typ string) {
		schema := map[string]any{"type": typ}
		if suffix == "" && f.Values != nil {
			schema["enum"] = f.Values
		}
		out = append(out, map[string]any{"name": f.Name + suffix, "in": "query", "description": f.Doc, "schema": schema})
	}
	typ := map[activity.Type]string{activity.Bool: "boolean", activity.Long: "integer", activity.Double: "number"}[f.Type]
	if typ == "" {
		typ = "string"
	}
	if f.Type != activity.Text && f.Type != activity.Free {
		add("", typ)
	}
	if f.Type == activity.Long || f.Type == activity.Double || f.Type == activity.Date {
		for _, op := range []string{".gte", ".lte", ".gt", ".lt"} {
			add(op, typ)
		}
	}
	if f.Type == activity.Keyword {
		add(".prefix", "string")
	}
	add(".exists", "boolean")
	return out
}
