package kibana

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/sinks/elasticsearch"
)

var update = flag.Bool("update", false, "rewrite activities.ndjson from the tables")

func TestFileFollowsTheTables(t *testing.T) {
	t.Parallel()
	const file = "activities.ndjson"
	want := NDJSON("activities")
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(file); err != nil {
		t.Error(err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("%s does not follow the tables: run `go test ./deploy/kibana -update`", file)
	}
}

// A savedObject is a line of NDJSON as Kibana reads it. The tests read the lines, not the structs that wrote them.
type savedObject struct {
	Type                 string
	ID                   string
	Attributes           json.RawMessage
	References           []Reference
	CoreMigrationVersion string
	TypeMigrationVersion string
}

// reference is the id of the object that the name means, and whether there is one.
func (o savedObject) reference(name string) (string, bool) {
	i := slices.IndexFunc(o.References, func(r Reference) bool { return r.Name == name })
	if i < 0 {
		return "", false
	}
	return o.References[i].ID, true
}

// objects reads the lines strictly.
func objects(t *testing.T, prefix string) []savedObject {
	t.Helper()
	var all []savedObject
	for line := range bytes.Lines(NDJSON(prefix)) {
		var o savedObject
		mustDecode(t, line, &struct {
			*savedObject
			Managed bool
		}{&o, false})
		all = append(all, o)
	}
	return all
}

// mustDecode decodes JSON into a type that has to name all its members.
func mustDecode(t *testing.T, from []byte, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(from))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%v in %.200s", err, from)
	}
}

func attributes[T any](t *testing.T, o savedObject) T {
	t.Helper()
	var v T
	mustDecode(t, o.Attributes, &v)
	return v
}

func inText[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	mustDecode(t, []byte(text), &v)
	return v
}

func TestIDsAreFixedAndReferencesResolve(t *testing.T) {
	t.Parallel()
	versions := map[string]string{"index-pattern": "8.0.0", "search": "8.0.0", "lens": "8.9.0", "dashboard": "10.2.0"}
	seen, counts := map[string]bool{}, map[string]int{}
	for _, o := range objects(t, "activities") {
		if seen[o.ID] {
			t.Errorf("the id %s comes twice", o.ID)
		}
		if !strings.HasPrefix(o.ID, "activities-") {
			t.Errorf("the id %s does not begin with the prefix", o.ID)
		}
		if o.CoreMigrationVersion != "8.8.0" || o.TypeMigrationVersion != versions[o.Type] {
			t.Errorf("%s: got versions %s and %s, want 8.8.0 and %s", o.ID, o.CoreMigrationVersion, o.TypeMigrationVersion, versions[o.Type])
		}
		names := map[string]bool{}
		for _, r := range o.References {
			if !seen[r.ID] {
				t.Errorf("%s refers to %s, which does not come before it", o.ID, r.ID)
			}
			if names[r.Name] {
				t.Errorf("%s has two references named %s", o.ID, r.Name)
			}
			names[r.Name] = true
		}
		seen[o.ID] = true
		counts[o.Type]++
	}
	// What people have bookmarked stays where it is.
	for _, id := range []string{"activities-view-all", "activities-view-auth-event", "activities-search-auth-failures", "activities-lens-auth-failures-by-user",
		"activities-dashboard-overview", "activities-dashboard-api", "activities-dashboard-auth", "activities-dashboard-data-changes",
		"activities-dashboard-data-access", "activities-dashboard-external", "activities-dashboard-system", "activities-dashboard-agent"} {
		if !seen[id] {
			t.Errorf("there is no %s any more", id)
		}
	}
	if want := 1 + len(activity.Kinds()); counts["index-pattern"] != want {
		t.Errorf("got %d data views, want %d", counts["index-pattern"], want)
	}
}

func TestAnotherPrefixIsAnotherSet(t *testing.T) {
	t.Parallel()
	if other := NDJSON("audit"); bytes.Contains(other, []byte("activities-")) {
		t.Error("the objects of another prefix name ids or indices of activities-*")
	}
}

// fieldTypes are the types of all names in the indices of a kind, NoKind for any: of fields, their parts, and their ECS names.
func fieldTypes(t *testing.T, k activity.Kind) map[string]string {
	t.Helper()
	type mapped struct {
		Type, Path string
		Properties map[string]mapped
		Fields     map[string]mapped
	}
	all := map[string]mapped{}
	var flat func(under string, names map[string]mapped)
	flat = func(under string, names map[string]mapped) {
		for name, m := range names {
			all[under+name] = m
			flat(under+name+".", m.Properties)
			flat(under+name+".", m.Fields)
		}
	}
	for _, template := range elasticsearch.DefaultConfig().Templates(nil, true) {
		if template.Kind == "index_template" && k != activity.NoKind && template.Name != "activities-"+k.Family() {
			continue
		}
		var body struct {
			Template struct {
				Mappings struct{ Properties map[string]mapped }
			}
		}
		if err := json.Unmarshal(template.Body, &body); err != nil {
			t.Fatal(err)
		}
		flat("", body.Template.Mappings.Properties)
	}
	types := map[string]string{}
	for name, m := range all {
		if m.Type == "alias" {
			m = all[m.Path]
		}
		if m.Type != "" {
			types[name] = m.Type
		}
	}
	return types
}

// viewKind is the kind that a data view is of, by its index pattern.
func viewKind(t *testing.T, prefix, pattern string) activity.Kind {
	t.Helper()
	if pattern == prefix+"-*" {
		return activity.NoKind
	}
	for _, k := range activity.Kinds() {
		if pattern == prefix+"-"+k.Family()+"-*" {
			return k
		}
	}
	t.Fatalf("no kind has the indices %s", pattern)
	return activity.NoKind
}

// kindsOfViews are the kinds of the data views by their ids.
func kindsOfViews(t *testing.T, prefix string, all []savedObject) map[string]activity.Kind {
	t.Helper()
	kinds := map[string]activity.Kind{}
	for _, o := range all {
		if o.Type == "index-pattern" {
			kinds[o.ID] = viewKind(t, prefix, attributes[dataView](t, o).Title)
		}
	}
	return kinds
}

func TestDataViewsLabelEveryFieldOnce(t *testing.T) {
	t.Parallel()
	for _, o := range objects(t, "activities") {
		if o.Type != "index-pattern" {
			continue
		}
		view := attributes[dataView](t, o)
		types := fieldTypes(t, viewKind(t, "activities", view.Title))
		if types[view.TimeFieldName] != "date_nanos" {
			t.Errorf("%s: the time field %s is no date", view.Title, view.TimeFieldName)
		}
		labelled := map[string]string{}
		for name, attr := range inText[map[string]fieldAttr](t, view.FieldAttrs) {
			if attr.Description == "" || len(attr.Description) > 300 || attr.Label == "" { // Kibana takes no longer one
				t.Errorf("%s: %s has no label, or a description of %d characters", view.Title, name, len(attr.Description))
			}
			if other := labelled[attr.Label]; other != "" {
				t.Errorf("%s: %s and %s are both called %s", view.Title, other, name, attr.Label)
			}
			labelled[attr.Label] = name
			// Of a list that is only kept, no member has a type.
			if f, ok := activity.FieldNamed(name, activity.NoKind); !ok || types[name] == "" && f.Type() != activity.List {
				t.Errorf("%s: %s is not in the mapping", view.Title, name)
			}
		}
		fits := map[string][]string{"duration": {"double", "long"}, "number": {"long", "double"}, "color": {"keyword"}}
		for name, how := range inText[map[string]format](t, view.FieldFormatMap) {
			if !slices.Contains(fits[how.ID], types[name]) {
				t.Errorf("%s: the format %s does not fit %s, a %s", view.Title, how.ID, name, types[name])
			}
		}
		if view.RuntimeFieldMap != "{}" {
			t.Errorf("%s computes fields at run time: %s", view.Title, view.RuntimeFieldMap)
		}
	}
}

func TestSearchesShowFieldsOfTheirKind(t *testing.T) {
	t.Parallel()
	all := objects(t, "activities")
	kinds := kindsOfViews(t, "activities", all)
	for _, o := range all {
		if o.Type != "search" {
			continue
		}
		s := attributes[discover](t, o)
		source := inText[searchSource](t, s.Source.SearchSource)
		view, ok := o.reference(source.IndexRefName)
		if !ok {
			t.Errorf("%s has no data view", o.ID)
		}
		types := fieldTypes(t, kinds[view])
		names := append(fieldsOf(t, source.Query.Query), s.Columns...)
		for _, sorted := range s.Sort {
			names = append(names, sorted[0])
		}
		for _, name := range names {
			if types[name] == "" {
				t.Errorf("%s: %s is not in the mapping", o.ID, name)
			}
		}
	}
}

// operations says which types each operation of Lens can be of: those that are aggregatable, are numbers, or have an order.
var operations = map[string][]string{
	"date_histogram": {"date_nanos"},
	"terms":          {"keyword", "ip", "boolean", "long"},
	"count":          {""},
	"unique_count":   {"keyword", "ip", "long"},
	"sum":            {"long", "double"},
	"percentile":     {"long", "double"},
	"min":            {"long", "double", "date_nanos"},
	"max":            {"long", "double", "date_nanos"},
}

// lensTypes are Lens's names for the types of a mapping.
var lensTypes = map[string]string{"keyword": "string", "ip": "ip", "boolean": "boolean", "long": "number", "double": "number", "date_nanos": "date"}

func TestPanelsAskOnlyWhatFieldsCanAnswer(t *testing.T) {
	t.Parallel()
	all := objects(t, "activities")
	kinds := kindsOfViews(t, "activities", all)
	for _, o := range all {
		if o.Type != "lens" {
			continue
		}
		view, ok := o.reference("indexpattern-datasource-layer-main")
		if !ok || len(o.References) != 1 {
			t.Errorf("%s: got references %v, want one to a data view", o.ID, o.References)
		}
		types := fieldTypes(t, kinds[view])
		l, asked := lensOf(t, o)
		conditions := []string{l.State.Query.Query}
		if len(asked.ColumnOrder) != len(asked.Columns) {
			t.Errorf("%s: got %d columns in order of %d", o.ID, len(asked.ColumnOrder), len(asked.Columns))
		}
		buckets := true
		for _, id := range asked.ColumnOrder {
			c, ok := asked.Columns[id]
			if !ok {
				t.Fatalf("%s: no column %s", o.ID, id)
			}
			if c.IsBucketed && !buckets {
				t.Errorf("%s: the bucket %s comes after a metric", o.ID, id)
			}
			buckets = c.IsBucketed
			if err := fits(asked, c, types[c.SourceField]); err != nil {
				t.Errorf("%s: %s: %v", o.ID, id, err)
			}
			if c.Filter != nil {
				conditions = append(conditions, c.Filter.Query)
			}
		}
		for _, condition := range conditions {
			for _, name := range fieldsOf(t, condition) {
				if types[name] == "" {
					t.Errorf("%s asks for %s, which is not in the mapping", o.ID, name)
				}
			}
		}
		for _, id := range accessors(t, l) {
			if _, ok := asked.Columns[id]; !ok {
				t.Errorf("%s draws %s, which is no column", o.ID, id)
			}
		}
	}
}

// fits says whether a column asks for what a field of this type can answer.
func fits(layer lensLayer, c lensColumn, typ string) error {
	if !slices.Contains(operations[c.OperationType], typ) {
		return fmt.Errorf("%s of %s, a %q", c.OperationType, c.SourceField, typ)
	}
	if want := lensTypes[typ]; c.IsBucketed && c.DataType != want {
		return fmt.Errorf("%s is a %s to Lens, want %s", c.SourceField, c.DataType, want)
	}
	if c.OperationType != "terms" {
		return nil
	}
	by, column := layer.Columns[c.Params.OrderBy.ColumnID]
	custom := c.Params.OrderBy.Type == "custom" && c.Params.OrderAgg != nil && c.Params.OrderAgg.OperationType == "count"
	if column == custom || by.IsBucketed {
		return fmt.Errorf("it is ordered by %+v, want a metric or the number of documents", c.Params.OrderBy)
	}
	return nil
}

// lensOf are the attributes of a panel, and its layer.
func lensOf(t *testing.T, o savedObject) (lensPanel, lensLayer) {
	t.Helper()
	l := attributes[lensPanel](t, o)
	layers := l.State.Datasource.FormBased.Layers
	if len(layers) != 1 {
		t.Fatalf("%s has %d layers, want 1", o.ID, len(layers))
	}
	return l, layers["main"]
}

// accessors are the columns that a visualization draws.
func accessors(t *testing.T, l lensPanel) []string {
	t.Helper()
	state, err := json.Marshal(l.State.Visualization)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	switch l.VisualizationType {
	case "lnsMetric":
		ids = []string{inText[metricState](t, string(state)).Metric}
	case "lnsXY":
		for _, layer := range inText[xyState](t, string(state)).Layers {
			ids = append(append(ids, layer.X), layer.Accessors...)
			if layer.Split != "" {
				ids = append(ids, layer.Split)
			}
		}
	case "lnsPie":
		for _, layer := range inText[pieState](t, string(state)).Layers {
			ids = append(append(ids, layer.PrimaryGroups...), layer.Metrics...)
		}
	case "lnsDatatable":
		for _, column := range inText[tableState](t, string(state)).Columns {
			ids = append(ids, column.ColumnID)
		}
	default:
		t.Fatalf("no test knows %s", l.VisualizationType)
	}
	return ids
}

func TestDashboardsPlaceEveryPanelWithoutOverlap(t *testing.T) {
	t.Parallel()
	all := objects(t, "activities")
	shown := map[string]bool{}
	for _, o := range all {
		if o.Type != "dashboard" {
			continue
		}
		d := attributes[dashboardState](t, o)
		taken := map[[2]int]string{}
		used := 0
		for _, p := range inText[[]placed](t, d.Panels) {
			id, ok := o.reference(p.Index + ":" + p.Ref)
			if !ok {
				t.Errorf("%s: the panel %s refers to nothing", o.ID, p.Index)
			}
			shown[id] = true
			used++
			if p.Grid.X < 0 || p.Grid.X+p.Grid.W > 48 || p.Grid.I != p.Index {
				t.Errorf("%s: the panel %s lies at %+v", o.ID, p.Index, p.Grid)
			}
			for x := p.Grid.X; x < p.Grid.X+p.Grid.W; x++ {
				for y := p.Grid.Y; y < p.Grid.Y+p.Grid.H; y++ {
					if other := taken[[2]int{x, y}]; other != "" {
						t.Fatalf("%s: the panels %s and %s overlap", o.ID, other, p.Index)
					}
					taken[[2]int{x, y}] = p.Index
				}
			}
		}
		types := fieldTypes(t, activity.NoKind)
		for id, c := range inText[map[string]control](t, d.Controls.Panels) {
			if _, ok := o.reference("controlGroup_" + id + ":optionsListDataView"); !ok || types[c.Input.FieldName] != "keyword" {
				t.Errorf("%s: the control %s of %s has no data view, or no values", o.ID, id, c.Input.FieldName)
			}
			used++
		}
		if used != len(o.References) {
			t.Errorf("%s uses %d of its %d references", o.ID, used, len(o.References))
		}
	}
	for _, o := range all {
		if o.Type == "lens" && !shown[o.ID] {
			t.Errorf("%s is on no dashboard", o.ID)
		}
	}
}

func TestThePageNamesEveryDashboard(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/kibana.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dashboards() {
		if !strings.Contains(string(page), "\n| "+d.title+" | ") {
			t.Errorf("docs/kibana.md does not say what %s shows", d.title)
		}
	}
}
