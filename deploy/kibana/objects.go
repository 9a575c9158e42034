// Package kibana makes what Kibana shows activities with: data views, saved searches, Lens panels and dashboards. Fields,
// their labels and their formats come from the table of fields; the panels are the table in dashboards.go.
//
// The objects are those of Kibana 8.18 and later. Their ids follow from the index prefix and their names, so that importing
// them again replaces them, and two prefixes can share a Kibana.
package kibana

import (
	"bytes"
	"encoding/json"
)

// Versions of the forms that the objects are written in. A later Kibana migrates them when it imports them.
const (
	coreVersion      = "8.8.0"
	dataViewVersion  = "8.0.0"
	searchVersion    = "8.0.0"
	lensVersion      = "8.9.0"
	dashboardVersion = "10.2.0"
)

// An Object is one saved object, as Kibana's import takes it.
type Object struct {
	Type                 string      `json:"type"` // index-pattern (a data view), search, lens or dashboard
	ID                   string      `json:"id"`
	Attributes           any         `json:"attributes"`
	References           []Reference `json:"references"` // the objects that it needs
	Managed              bool        `json:"managed"`    // false: people may change what they have imported
	CoreMigrationVersion string      `json:"coreMigrationVersion"`
	TypeMigrationVersion string      `json:"typeMigrationVersion"`
}

// A Reference is another object that an object needs. The attributes mean it by its name.
type Reference struct {
	Type string `json:"type"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Objects returns all objects for the indices that begin with prefix ("activities"), each behind those that it refers to.
func Objects(prefix string) []Object {
	p := prefixed(prefix)
	out := p.dataViews()
	for _, s := range searches() {
		out = append(out, p.search(s))
	}
	for _, d := range dashboards() {
		for _, shown := range d.panels {
			out = append(out, p.lens(d, shown))
		}
		out = append(out, p.dashboard(d))
	}
	return out
}

// NDJSON returns the objects as Kibana's import takes them, POST /api/saved_objects/_import?overwrite=true: one on each line.
func NDJSON(prefix string) []byte {
	var b bytes.Buffer
	lines := json.NewEncoder(&b)
	lines.SetEscapeHTML(false)
	for _, o := range Objects(prefix) {
		_ = lines.Encode(o) // structs of texts, numbers and lists always encode
	}
	return b.Bytes()
}

// prefixed is the prefix of index names, and of ids.
type prefixed string

func (p prefixed) id(name string) string { return string(p) + "-" + name }

func (p prefixed) object(typ, version, id string, attributes any, references []Reference) Object {
	return Object{Type: typ, ID: id, Attributes: attributes, References: references,
		CoreMigrationVersion: coreVersion, TypeMigrationVersion: version}
}

// text is JSON within a string, as many attributes of saved objects are.
func text(v any) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
	return string(bytes.TrimSpace(b.Bytes()))
}
