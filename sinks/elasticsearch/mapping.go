package elasticsearch

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

// Limits of what is indexed of one value; the document keeps all of it. A keyword's characters take four bytes at most,
// so that none is longer than Lucene's 32,766.
const (
	ignoreAbove = 4096
	depthLimit  = 20 // of a free object; the encoder stops at 18
)

// A Template is what `setup` puts into the cluster.
type Template struct {
	Kind string // "component_template", "index_template", "ilm_policy", "ism_policy", "role" or "api_key"
	Name string
	Body json.RawMessage

	print string // by which a later setup knows whether anything is different; "" for what is only made when missing
}

// Request returns how t is put into a cluster: the method and path, for Kibana's console.
func (t Template) Request() (method, path string) {
	switch t.Kind {
	case "ilm_policy":
		return "PUT", "/_ilm/policy/" + t.Name
	case "ism_policy":
		return "PUT", "/_plugins/_ism/policies/" + t.Name
	case "role":
		return "PUT", "/_security/role/" + t.Name
	case "api_key":
		return "POST", "/_security/api_key"
	}
	return "PUT", "/_" + t.Kind + "/" + t.Name
}

// object is a JSON object; encoding/json writes its members in the order of their names.
type object = map[string]any

// Templates returns a component template that all kinds share, and an index template for each kind of m. exact says whether the
// cluster can cut text into words just as search.AppendWords does: see textParts.
func (c Config) Templates(m *activity.Model, exact bool) []Template {
	return c.templates(m, exact, nil)
}

// templates is Templates for kinds that may have a life.
func (c Config) templates(m *activity.Model, exact bool, lives []life) []Template {
	common := c.IndexPrefix + "-common"
	settings := object{
		"number_of_shards":     1,
		"auto_expand_replicas": "0-1", // a copy, as soon as there is a second node
		"codec":                "best_compression",
	}
	if exact {
		settings["analysis"] = analysis()
	}
	custom := c.IndexPrefix + "@custom"
	out := []Template{template("component_template", common, object{
		"template": object{
			"settings": object{"index": settings},
			"mappings": object{"dynamic": false, "properties": c.properties(m, func(f activity.Field) bool { return f.Kinds == activity.AllKinds }, exact)},
		},
	})}
	if c.Flavor == FlavorOpenSearch { // which takes no component that may be missing
		out = append(out, Template{Kind: "component_template", Name: custom, Body: encode(object{"template": object{}})})
	}
	for _, k := range m.Kinds() {
		name := c.IndexPrefix + "-" + m.Family(k)
		// The users' own settings go into the last component, and win.
		composed := []string{common, custom}
		if i := slices.IndexFunc(lives, func(l life) bool { return l.kind == k }); i >= 0 && c.Flavor != FlavorOpenSearch {
			composed = []string{common, lives[i].component(), custom}
		}
		body := object{
			"index_patterns": []string{name + "-*"},
			"composed_of":    composed,
			// Where one name begins with another, the longer one is meant. 100 is what Elastic's own templates have.
			"priority": 200 + len(name),
			"template": object{
				"aliases": object{c.IndexPrefix: object{}},
				"mappings": object{"properties": c.properties(m, func(f activity.Field) bool {
					return f.Kinds != activity.AllKinds && f.Kinds.Has(k)
				}, exact)},
			},
		}
		if c.Flavor != FlavorOpenSearch {
			body["ignore_missing_component_templates"] = []string{custom}
		}
		out = append(out, template("index_template", name, body))
	}
	return out
}

// template adds who made it, and a fingerprint by which a later setup knows whether anything is different.
func template(kind, name string, body object) Template {
	print := fingerprint(body)
	body["_meta"] = object{"managed_by": "activity-agent", "fingerprint": print}
	return Template{kind, name, encode(body), print}
}

// fingerprint tells one body from another.
func fingerprint(body object) string {
	sum := sha256.Sum256(encode(body))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // objects, lists, texts and numbers always encode
	return bytes.TrimSpace(b.Bytes())
}

// otherNames are ECS names beyond the one in the table.
var otherNames = map[string]activity.FieldID{"source.ip": activity.IPAddress}

// properties maps the fields that in chooses, and their ECS names.
func (c Config) properties(m *activity.Model, in func(activity.Field) bool, exact bool) object {
	root := object{}
	for id := activity.FieldID(1); id < m.FieldCount(); id++ {
		f := m.Field(id)
		if !in(f) {
			continue
		}
		put(root, f.Name, c.fieldMapping(m, id, exact))
		// A name below the field itself is a multi-field of it (user_agent.original): see fieldMapping.
		if f.ECS != "" && f.ECS != f.Name && !strings.HasPrefix(f.ECS, f.Name+".") {
			put(root, f.ECS, object{"type": "alias", "path": f.Name})
		}
	}
	for name, id := range otherNames {
		if in(m.Field(id)) {
			put(root, name, object{"type": "alias", "path": id.Name()})
		}
	}
	return root
}

// put sets the mapping of a dotted name, making the objects above it.
func put(root object, name string, mapping object) {
	for {
		first, rest, below := strings.Cut(name, ".")
		if !below {
			root[name] = mapping
			return
		}
		parent, ok := root[first].(object)
		if !ok {
			parent = object{"properties": object{}}
			root[first] = parent
		}
		root, name = parent["properties"].(object), rest
	}
}

// fieldMapping is the mapping of one field. A value that its type cannot hold must not cost the document, so whatever
// Elasticsearch can pass over it does.
func (c Config) fieldMapping(model *activity.Model, id activity.FieldID, exact bool) object {
	f := model.Field(id)
	m, below := object{}, object{}
	switch f.Type {
	case activity.Keyword, activity.Keywords:
		m["type"], m["ignore_above"] = "keyword", ignoreAbove
	case activity.Text:
		m["type"], m["norms"] = "text", false
	case activity.IP:
		m["type"], m["ignore_malformed"] = "ip", true
	case activity.Date:
		m["type"] = "date_nanos"
		if id != activity.Timestamp {
			m["ignore_malformed"] = true
		}
	case activity.Bool:
		m["type"] = "boolean"
	case activity.Long:
		m["type"], m["ignore_malformed"] = "long", true
	case activity.Double:
		m["type"], m["ignore_malformed"] = "double", true
	case activity.Free:
		if c.Flavor == FlavorOpenSearch {
			m["type"] = "flat_object"
			break
		}
		m["type"], m["ignore_above"], m["depth_limit"] = "flattened", ignoreAbove, depthLimit
	case activity.List:
		m["type"], m["enabled"] = "object", false
	}
	if below2, ok := strings.CutPrefix(f.ECS, f.Name+"."); ok {
		below[below2] = object{"type": m["type"], "ignore_above": ignoreAbove}
	}
	if slices.Contains(search.TextFields(model), id) {
		maps.Copy(below, textParts(exact))
	}
	if len(below) > 0 {
		m["fields"] = below
	}
	return m
}
