package kibana

import (
	"strconv"

	a "github.com/truledgr/activity-agent/activity"
)

// A dashboardState is the attributes of a dashboard.
type dashboardState struct {
	Title        string      `json:"title"`
	Description  string      `json:"description"`
	Panels       string      `json:"panelsJSON"`
	Options      string      `json:"optionsJSON"`
	Controls     controls    `json:"controlGroupInput"`
	TimeRestore  bool        `json:"timeRestore"`
	TimeFrom     string      `json:"timeFrom"`
	TimeTo       string      `json:"timeTo"`
	Refresh      refresh     `json:"refreshInterval"`
	SavedSource  savedSource `json:"kibanaSavedObjectMeta"`
	StateVersion int         `json:"version"`
}

type refresh struct {
	Pause bool `json:"pause"`
	Value int  `json:"value"` // in milliseconds
}

type options struct {
	UseMargins      bool `json:"useMargins"`
	SyncColors      bool `json:"syncColors"`
	SyncCursor      bool `json:"syncCursor"`
	SyncTooltips    bool `json:"syncTooltips"`
	HidePanelTitles bool `json:"hidePanelTitles"`
}

// A placed panel is one on a dashboard. What it shows is behind the reference of its index and its name.
type placed struct {
	Type   string     `json:"type"`
	Grid   grid       `json:"gridData"`
	Index  string     `json:"panelIndex"`
	Config embeddable `json:"embeddableConfig"`
	Ref    string     `json:"panelRefName"`
}

type grid struct {
	X int    `json:"x"`
	Y int    `json:"y"`
	W int    `json:"w"`
	H int    `json:"h"`
	I string `json:"i"`
}

type embeddable struct {
	Enhancements struct{} `json:"enhancements"`
}

// Controls are the lists above a dashboard from which people choose.
type controls struct {
	Style          string `json:"controlStyle"`
	Chaining       string `json:"chainingSystem"`
	Panels         string `json:"panelsJSON"`
	IgnoreSettings string `json:"ignoreParentSettingsJSON"`
}

type control struct {
	Order int          `json:"order"`
	Width string       `json:"width"`
	Grow  bool         `json:"grow"`
	Type  string       `json:"type"`
	Input controlInput `json:"explicitInput"`
}

type controlInput struct {
	ID              string   `json:"id"`
	FieldName       string   `json:"fieldName"`
	Title           string   `json:"title"`
	SelectedOptions []string `json:"selectedOptions"`
	Enhancements    struct{} `json:"enhancements"`
}

type ignored struct {
	Filters     bool `json:"ignoreFilters"`
	Query       bool `json:"ignoreQuery"`
	Timerange   bool `json:"ignoreTimerange"`
	Validations bool `json:"ignoreValidations"`
}

// chosen are the fields that every dashboard can be narrowed by.
var chosen = []a.FieldID{a.ServiceName, a.ServiceEnvironment, a.TenantID, a.UserID}

// gridWidth is how many columns Kibana's grid has.
const gridWidth = 48

// size is that of a panel in the grid.
func (s panel) size() (w, h int) {
	switch {
	case s.as == figure:
		return gridWidth / 4, 6
	case s.wide:
		return gridWidth, 14
	}
	return gridWidth / 2, 14
}

func (p prefixed) dashboard(d dashboard) Object {
	var f flow
	for _, s := range d.panels {
		w, h := s.size()
		f.add("lens", p.lensID(d, s), w, h)
	}
	f.add("search", p.searchID(d.search), gridWidth, 18)
	lists, references := p.controls(d)
	return p.object("dashboard", dashboardVersion, p.id("dashboard-"+d.name), dashboardState{
		Title: "Activities: " + d.title, Description: d.description,
		Panels:      text(f.panels),
		Options:     text(options{UseMargins: true, SyncCursor: true}),
		Controls:    lists,
		TimeRestore: true, TimeFrom: "now-24h", TimeTo: "now",
		Refresh:      refresh{true, 60_000},
		SavedSource:  savedSource{text(searchSource{Query: kql(""), Filter: []any{}})},
		StateVersion: 1,
	}, append(f.references, references...))
}

// A flow places panels from left to right, and below when a row is full.
type flow struct {
	panels     []placed
	references []Reference
	x, y, row  int // where the next one goes, and how high the row is
}

func (f *flow) add(typ, id string, w, h int) {
	if f.x+w > gridWidth {
		f.x, f.y, f.row = 0, f.y+f.row, 0
	}
	index := strconv.Itoa(len(f.panels) + 1)
	name := "panel_" + index
	f.panels = append(f.panels, placed{Type: typ, Grid: grid{f.x, f.y, w, h, index}, Index: index, Ref: name})
	f.references = append(f.references, Reference{typ, id, index + ":" + name})
	f.x, f.row = f.x+w, max(f.row, h)
}

// controls are the lists above a dashboard, and what they refer to.
func (p prefixed) controls(d dashboard) (controls, []Reference) {
	lists := map[string]control{}
	var references []Reference
	for i, f := range chosen {
		id := "control-" + strconv.Itoa(i+1)
		lists[id] = control{Order: i, Width: "medium", Grow: true, Type: "optionsListControl",
			Input: controlInput{ID: id, FieldName: f.Name(), Title: label(f), SelectedOptions: []string{}}}
		references = append(references, Reference{"index-pattern", p.viewID(d.of), "controlGroup_" + id + ":optionsListDataView"})
	}
	return controls{"oneLine", "HIERARCHICAL", text(lists), text(ignored{})}, references
}
