package kibana

import (
	"strings"
	"unicode"

	"github.com/truledgr/activity-agent/activity"
)

// A dataView is the attributes of a data view; its maps are JSON in strings.
type dataView struct {
	Title           string `json:"title"` // the pattern of index names
	Name            string `json:"name"`
	TimeFieldName   string `json:"timeFieldName"`
	Fields          string `json:"fields"`
	FieldAttrs      string `json:"fieldAttrs"`
	FieldFormatMap  string `json:"fieldFormatMap"`
	RuntimeFieldMap string `json:"runtimeFieldMap"`
	SourceFilters   string `json:"sourceFilters"`
	TypeMeta        string `json:"typeMeta"`
	AllowHidden     bool   `json:"allowHidden"`
	AllowNoIndex    bool   `json:"allowNoIndex"` // it may be there before the first activity is
}

// A fieldAttr is what Kibana shows of a field beside its values.
type fieldAttr struct {
	Label       string `json:"customLabel"`
	Description string `json:"customDescription"`
}

// A format is how Kibana writes the values of a field.
type format struct {
	ID     string         `json:"id"`
	Params map[string]any `json:"params"`
}

// dataViews are one over all kinds, and one of each kind.
func (p prefixed) dataViews() []Object {
	out := []Object{p.dataView(activity.NoKind)}
	for _, k := range activity.Kinds() {
		out = append(out, p.dataView(k))
	}
	return out
}

// viewID is the id of a kind's data view; of the one over all for NoKind.
func (p prefixed) viewID(k activity.Kind) string {
	if k == activity.NoKind {
		return p.id("view-all")
	}
	return p.id("view-" + k.Family())
}

func (p prefixed) dataView(k activity.Kind) Object {
	pattern, name := string(p)+"-*", "Activities"
	if k != activity.NoKind {
		pattern, name = string(p)+"-"+k.Family()+"-*", "Activities: "+kindName(k)
	}
	if p != "activities" {
		name += " (" + string(p) + ")"
	}
	attrs, formats := map[string]fieldAttr{}, map[string]format{}
	for id := activity.FieldID(1); id < activity.FieldCount; id++ {
		if k != activity.NoKind && !id.In(k) {
			continue
		}
		f := id.Field()
		attrs[f.Name] = fieldAttr{label(id), f.Doc}
		if how, ok := formatOf(id); ok {
			formats[f.Name] = how
		}
	}
	return p.object("index-pattern", dataViewVersion, p.viewID(k), dataView{
		Title: pattern, Name: name, TimeFieldName: activity.Timestamp.Name(),
		Fields: "[]", FieldAttrs: text(attrs), FieldFormatMap: text(formats),
		RuntimeFieldMap: "{}", SourceFilters: "[]", TypeMeta: "{}", AllowNoIndex: true,
	}, []Reference{})
}

// kindName is a kind for people.
func kindName(k activity.Kind) string {
	switch k {
	case activity.Plain:
		return "other"
	case activity.APITransaction:
		return "API transactions"
	case activity.DataAccess:
		return "data access"
	case activity.DataChange:
		return "data changes"
	case activity.AuthEvent:
		return "authentication"
	case activity.ExternalAPI:
		return "external APIs"
	case activity.SystemEvent:
		return "system events"
	}
	return strings.ReplaceAll(k.String(), "_", " ")
}

// labels are those that the name of a field does not give.
var labels = map[activity.FieldID]string{
	activity.Timestamp:           "Time",
	activity.CreatedAt:           "Taken at",
	activity.UpdatedAt:           "Amended at",
	activity.UserID:              "User",
	activity.TenantID:            "Tenant",
	activity.ServiceNameExternal: "External service",
	activity.ServiceName:         "Service",
	activity.HostName:            "Host",
	activity.ExecutionTimeMS:     "Duration",
	activity.ECSEventDuration:    "Duration (ECS)",
	activity.TwoFactorMethod:     "Second factor",
	activity.TwoFactorSuccess:    "Second factor accepted",
	activity.ECSEventOutcome:     "Outcome",
	activity.ECSEventType:        "Event type (ECS)",
	activity.TableName:           "Table",
}

var initialisms = map[string]string{"id": "ID", "ip": "IP", "uid": "UID", "ecs": "ECS", "ms": "ms"}

// label is the name of a field for people: service.version is "Service version".
func label(id activity.FieldID) string {
	if l, ok := labels[id]; ok {
		return l
	}
	words := strings.FieldsFunc(id.Name(), func(r rune) bool { return r == '_' || r == '.' })
	for i, w := range words {
		switch whole, ok := initialisms[w]; {
		case ok:
			words[i] = whole
		case i == 0:
			first := []rune(w)
			words[i] = string(unicode.ToUpper(first[0])) + string(first[1:])
		}
	}
	return strings.Join(words, " ")
}

// formatOf is how a field's values are written where Kibana's own way is not the best.
func formatOf(id activity.FieldID) (format, bool) {
	switch id {
	case activity.ExecutionTimeMS:
		return duration("milliseconds"), true
	case activity.ECSEventDuration:
		return duration("nanoseconds"), true
	case activity.StatusCode: // 404 rather than 404.0, 1404 rather than 1,404
		return number("0"), true
	case activity.ECSEventOutcome:
		return colours("failure"), true
	case activity.Severity:
		return colours("error|critical"), true
	}
	if id.Type() == activity.Long {
		return number("0,0"), true
	}
	return format{}, false
}

func duration(unit string) format {
	return format{"duration", map[string]any{"inputFormat": unit, "outputFormat": "humanizePrecise", "outputPrecision": 1, "useShortSuffix": true}}
}

func number(pattern string) format {
	return format{"number", map[string]any{"pattern": pattern}}
}

// colours writes the values that the expression finds in red.
func colours(bad string) format {
	return format{"color", map[string]any{"fieldType": "string", "colors": []map[string]string{
		{"range": "-Infinity:Infinity", "regex": "^(" + bad + ")$", "text": "#ffffff", "background": "#bd271e"},
	}}}
}
