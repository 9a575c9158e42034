package elasticsearch

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

// ecsTypes reads testdata/ecs.txt.
func ecsTypes(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("testdata/ecs.txt")
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{}
	for line := range strings.Lines(string(data)) {
		if name, typ, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			types[name] = typ
		}
	}
	return types
}

// family says which types answer the same questions.
func family(typ string) string {
	switch typ {
	case "keyword", "wildcard", "constant_keyword":
		return "keyword"
	case "text", "match_only_text":
		return "text"
	case "date", "date_nanos":
		return "date"
	}
	return typ
}

// differs lists the names whose type is not ECS's, and why.
var differs = map[string]string{
	"error.stack_trace": "searched by words here, where ECS has a wildcard field with a text field below",
}

type mapped struct {
	Type       string
	Path       string
	Fields     map[string]mapped
	Properties map[string]mapped
}

// flat lists the mapping of every name, multi-fields and aliases included.
func flat(into map[string]mapped, under string, properties map[string]mapped) {
	for name, m := range properties {
		into[under+name] = m
		flat(into, under+name+".", m.Properties)
		flat(into, under+name+".", m.Fields)
	}
}

// mappings are those of each kind, with what it shares.
func mappings(t *testing.T, exact bool) map[activity.Kind]map[string]mapped {
	t.Helper()
	out := map[activity.Kind]map[string]mapped{}
	templates := DefaultConfig().Templates(nil, exact)
	for i, k := range activity.Kinds() {
		out[k] = map[string]mapped{}
		for _, at := range []int{0, i + 1} {
			var body struct {
				Template struct {
					Mappings struct{ Properties map[string]mapped }
				}
			}
			if err := json.Unmarshal(templates[at].Body, &body); err != nil {
				t.Fatal(err)
			}
			flat(out[k], "", body.Template.Mappings.Properties)
		}
	}
	return out
}

func TestEveryFieldAndECSNameIsMapped(t *testing.T) {
	t.Parallel()
	types := ecsTypes(t)
	for k, m := range mappings(t, true) {
		for id := activity.FieldID(1); id < activity.FieldCount; id++ {
			f := id.Field()
			if _, ok := m[f.Name]; ok != id.In(k) {
				t.Errorf("%s: %s: mapped is %v, want %v", k, f.Name, ok, id.In(k))
			}
			if f.ECS == "" || !id.In(k) {
				continue
			}
			got := m[f.ECS]
			if got.Type == "alias" {
				if got.Path != f.Name {
					t.Errorf("%s: %s is an alias of %s, want %s", k, f.ECS, got.Path, f.Name)
				}
				got = m[got.Path]
			}
			want, known := types[f.ECS]
			if !known {
				t.Errorf("%s is not in testdata/ecs.txt", f.ECS)
			}
			if _, differ := differs[f.ECS]; family(got.Type) != family(want) && !differ {
				t.Errorf("%s: %s is %s, and %s in ECS", k, f.ECS, got.Type, want)
			}
		}
	}
}

// The names that the design promises, whatever the table says.
func TestPromisedNamesAreThere(t *testing.T) {
	t.Parallel()
	all := map[string]mapped{}
	for _, m := range mappings(t, true) {
		for name, f := range m {
			all[name] = f
		}
	}
	for _, name := range []string{"event.id", "event.action", "user.id", "client.ip", "source.ip", "http.request.method",
		"http.response.status_code", "url.path", "log.level", "error.code", "error.stack_trace", "session.id", "trace.id"} {
		if all[name].Type != "alias" {
			t.Errorf("%s is %q, want an alias", name, all[name].Type)
		}
	}
	if got := all["user_agent"].Fields["original"].Type; got != "keyword" {
		t.Errorf("user_agent.original is %q, want a multi-field", got)
	}
	for name := range ecsTypes(t) {
		if all[name].Type == "" {
			t.Errorf("%s is in testdata/ecs.txt and nowhere else", name)
		}
	}
}

func TestFullTextHasItsParts(t *testing.T) {
	t.Parallel()
	for exact, parts := range map[bool]string{true: wordsPart, false: lettersPart + " " + standardPart} {
		for k, m := range mappings(t, exact) {
			for _, f := range search.TextFields(nil) {
				for part := range strings.FieldsSeq(parts) {
					if got := m[f.Name()+"."+part].Type; f.In(k) && got != "text" {
						t.Errorf("%s: %s.%s is %q, want text", k, f.Name(), part, got)
					}
				}
			}
		}
	}
}

func TestTemplatesNeverMakeSurprises(t *testing.T) {
	t.Parallel()
	for _, p := range []string{"activities", "activities-eu"} {
		c := DefaultConfig()
		c.IndexPrefix = p
		for _, tt := range c.Templates(nil, true) {
			text := string(tt.Body)
			if strings.Contains(text, "async") || strings.Contains(text, `"dynamic":true`) {
				t.Errorf("%s: %s", tt.Name, text)
			}
			if tt.Kind == "component_template" && !strings.Contains(text, `"dynamic":false`) {
				t.Errorf("%s has dynamic fields", tt.Name)
			}
		}
	}
	short, long := DefaultConfig(), DefaultConfig()
	long.IndexPrefix = "activities-auth-event"
	priority := func(c Config) (n struct{ Priority int }) {
		if err := json.Unmarshal(c.Templates(nil, true)[1].Body, &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if s, l := priority(short).Priority, priority(long).Priority; s >= l || s <= 100 {
		t.Errorf("priorities are %d and %d: the longer prefix must win, and both over 100", s, l)
	}
}

// TestTheTemplateOfTheLongerNameWins: names of declared kinds may begin as others do. An index must have the mapping of its kind.
func TestTheTemplateOfTheLongerNameWins(t *testing.T) {
	t.Parallel()
	m, err := activity.NewModel([]activity.KindConfig{
		{Name: "data", Fields: []activity.FieldConfig{{Name: "amount", Type: "double"}, {Name: "network", Type: "keyword", ECS: "transaction.network"}}},
		{Name: "data_access_log"},
	})
	if err != nil {
		t.Fatal(err)
	}
	best, priority := "", 0
	for _, tt := range DefaultConfig().Templates(m, true) {
		var body struct {
			IndexPatterns []string `json:"index_patterns"`
			Priority      int
		}
		if err := json.Unmarshal(tt.Body, &body); err != nil {
			t.Fatal(err)
		}
		if tt.Kind != "index_template" {
			continue
		}
		if strings.HasPrefix("activities-data-access-2026.11", strings.TrimSuffix(body.IndexPatterns[0], "*")) {
			if body.Priority == priority {
				t.Errorf("%s and %s have one priority", best, tt.Name)
			}
			if body.Priority > priority {
				best, priority = tt.Name, body.Priority
			}
		}
		text := string(tt.Body)
		if own := strings.Contains(text, `"amount":{"ignore_malformed":true,"type":"double"}`) && strings.Contains(text, `"path":"network"`); own != (tt.Name == "activities-data") {
			t.Errorf("%s: %s", tt.Name, text)
		}
	}
	if best != "activities-data-access" {
		t.Errorf("the index of data_access has the template %s", best)
	}
}
