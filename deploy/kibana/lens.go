package kibana

import (
	"strconv"

	"github.com/truledgr/activity-agent/activity"
)

// layer is the id of the only layer that a panel has.
const layer = "main"

// A lensPanel is the attributes of a Lens panel.
type lensPanel struct {
	Title             string    `json:"title"`
	Description       string    `json:"description"`
	VisualizationType string    `json:"visualizationType"`
	State             lensState `json:"state"`
}

type lensState struct {
	Datasource         lensDatasources `json:"datasourceStates"`
	Visualization      any             `json:"visualization"`
	Query              query           `json:"query"`
	Filters            []any           `json:"filters"`
	InternalReferences []Reference     `json:"internalReferences"`
	AdHocDataViews     struct{}        `json:"adHocDataViews"`
}

type lensDatasources struct {
	FormBased lensLayers `json:"formBased"`
	TextBased lensLayers `json:"textBased"`
}

type lensLayers struct {
	Layers map[string]lensLayer `json:"layers"`
}

type lensLayer struct {
	Columns             map[string]lensColumn `json:"columns"`
	ColumnOrder         []string              `json:"columnOrder"`
	IncompleteColumns   struct{}              `json:"incompleteColumns"`
	Sampling            int                   `json:"sampling"` // 1: of all documents
	IgnoreGlobalFilters bool                  `json:"ignoreGlobalFilters"`
}

type lensColumn struct {
	Label         string      `json:"label"`
	CustomLabel   bool        `json:"customLabel"`
	DataType      string      `json:"dataType"`
	OperationType string      `json:"operationType"`
	SourceField   string      `json:"sourceField"`
	IsBucketed    bool        `json:"isBucketed"`
	Scale         string      `json:"scale"`
	Filter        *query      `json:"filter,omitempty"`
	Params        *lensParams `json:"params,omitempty"`
}

// lensParams are those of all operations that are used; an operation has its own.
type lensParams struct {
	// of date_histogram
	Interval         string `json:"interval,omitempty"`
	IncludeEmptyRows *bool  `json:"includeEmptyRows,omitempty"`
	DropPartials     *bool  `json:"dropPartials,omitempty"`
	// of terms
	Size           int         `json:"size,omitempty"`
	OrderBy        *lensOrder  `json:"orderBy,omitempty"`
	OrderAgg       *lensColumn `json:"orderAgg,omitempty"` // where it is by none of the columns
	OrderDirection string      `json:"orderDirection,omitempty"`
	OtherBucket    *bool       `json:"otherBucket,omitempty"`
	MissingBucket  *bool       `json:"missingBucket,omitempty"`
	ParentFormat   *lensFormat `json:"parentFormat,omitempty"`
	// of metrics
	EmptyAsNull *bool `json:"emptyAsNull,omitempty"`
	Percentile  int   `json:"percentile,omitempty"`
}

type lensOrder struct {
	Type     string `json:"type"` // column or custom
	ColumnID string `json:"columnId,omitempty"`
}

type lensFormat struct {
	ID string `json:"id"`
}

// The states of the four visualizations. An accessor is the id of a column.
type (
	metricState struct {
		LayerID   string `json:"layerId"`
		LayerType string `json:"layerType"`
		Metric    string `json:"metricAccessor"`
	}
	xyState struct {
		Legend              xyLegend  `json:"legend"`
		ValueLabels         string    `json:"valueLabels"`
		FittingFunction     string    `json:"fittingFunction"`
		PreferredSeriesType string    `json:"preferredSeriesType"`
		Layers              []xyLayer `json:"layers"`
	}
	xyLegend struct {
		IsVisible bool   `json:"isVisible"`
		Position  string `json:"position"`
	}
	xyLayer struct {
		LayerID    string   `json:"layerId"`
		LayerType  string   `json:"layerType"`
		SeriesType string   `json:"seriesType"`
		X          string   `json:"xAccessor"`
		Split      string   `json:"splitAccessor,omitempty"`
		Accessors  []string `json:"accessors"`
	}
	pieState struct {
		Shape  string     `json:"shape"`
		Layers []pieLayer `json:"layers"`
	}
	pieLayer struct {
		LayerID         string   `json:"layerId"`
		LayerType       string   `json:"layerType"`
		PrimaryGroups   []string `json:"primaryGroups"`
		Metrics         []string `json:"metrics"`
		NumberDisplay   string   `json:"numberDisplay"`
		CategoryDisplay string   `json:"categoryDisplay"`
		LegendDisplay   string   `json:"legendDisplay"`
		NestedLegend    bool     `json:"nestedLegend"`
	}
	tableState struct {
		LayerID   string        `json:"layerId"`
		LayerType string        `json:"layerType"`
		Columns   []tableColumn `json:"columns"`
		Paging    tablePaging   `json:"paging"`
	}
	tableColumn struct {
		ColumnID     string `json:"columnId"`
		IsTransposed bool   `json:"isTransposed"`
		IsMetric     bool   `json:"isMetric"`
	}
	tablePaging struct {
		Size    int  `json:"size"`
		Enabled bool `json:"enabled"`
	}
)

func (p prefixed) lensID(d dashboard, shown panel) string {
	return p.id("lens-" + d.name + "-" + shown.name)
}

// lens makes a panel of a dashboard.
func (p prefixed) lens(d dashboard, shown panel) Object {
	columns, buckets, metrics := shown.columns()
	kind, state := shown.visualization(buckets, metrics)
	return p.object("lens", lensVersion, p.lensID(d, shown), lensPanel{
		Title: shown.title, VisualizationType: kind,
		State: lensState{
			Datasource: lensDatasources{
				FormBased: lensLayers{map[string]lensLayer{layer: {
					Columns: columns, ColumnOrder: append(append([]string{}, buckets...), metrics...), Sampling: 1,
				}}},
				TextBased: lensLayers{map[string]lensLayer{}},
			},
			Visualization: state, Query: kql(shown.where), Filters: []any{}, InternalReferences: []Reference{},
		},
	}, []Reference{{"index-pattern", p.viewID(shown.of), "indexpattern-datasource-layer-" + layer}})
}

// columns are those of the panel's buckets and metrics, with their ids in order.
func (s panel) columns() (columns map[string]lensColumn, buckets, metrics []string) {
	columns = map[string]lensColumn{}
	for i, m := range s.show {
		id := "metric" + strconv.Itoa(i)
		metrics = append(metrics, id)
		columns[id] = m.column()
	}
	for i, b := range s.by {
		id := "bucket" + strconv.Itoa(i)
		buckets = append(buckets, id)
		columns[id] = b.column(s.show[0], metrics[0])
	}
	return columns, buckets, metrics
}

// column divides by the values with most of the first metric, or by those with most activities where that does not add up.
func (b bucket) column(first metric, id string) lensColumn {
	c := lensColumn{Label: label(b.field), CustomLabel: true, DataType: dataType(b.field), SourceField: b.field.Name(), IsBucketed: true}
	if b.most == 0 {
		c.OperationType, c.Scale = "date_histogram", "interval"
		c.Params = &lensParams{Interval: "auto", IncludeEmptyRows: yes(true), DropPartials: yes(false)}
		return c
	}
	c.OperationType, c.Scale = "terms", "ordinal"
	c.Params = &lensParams{
		Size: b.most, OrderBy: &lensOrder{"column", id}, OrderDirection: "desc",
		OtherBucket: yes(b.rest), MissingBucket: yes(false), ParentFormat: &lensFormat{"terms"},
	}
	if first.operation != "count" && first.operation != "sum" {
		most := count("Activities").column()
		c.Params.OrderBy, c.Params.OrderAgg = &lensOrder{Type: "custom"}, &most
	}
	return c
}

func (m metric) column() lensColumn {
	c := lensColumn{Label: m.label, CustomLabel: true, DataType: "number", OperationType: m.operation, SourceField: m.field.Name(), Scale: "ratio"}
	switch m.operation {
	case "count":
		c.SourceField, c.Params = "___records___", &lensParams{EmptyAsNull: yes(false)}
	case "unique_count":
		c.Params = &lensParams{EmptyAsNull: yes(false)}
	case "percentile":
		c.Params = &lensParams{Percentile: m.percentile}
	case "min", "max":
		c.DataType = dataType(m.field)
	}
	if m.where != "" {
		q := kql(m.where)
		c.Filter = &q
	}
	return c
}

// visualization is the kind and the state of what draws the columns.
func (s panel) visualization(buckets, metrics []string) (kind string, state any) {
	switch s.as {
	case figure:
		return "lnsMetric", metricState{layer, "data", metrics[0]}
	case donut:
		return "lnsPie", pieState{"donut", []pieLayer{{layer, "data", buckets, metrics, "percent", "default", "default", false}}}
	case table:
		t := tableState{LayerID: layer, LayerType: "data", Paging: tablePaging{10, true}}
		for _, id := range buckets {
			t.Columns = append(t.Columns, tableColumn{ColumnID: id})
		}
		for _, id := range metrics {
			t.Columns = append(t.Columns, tableColumn{ColumnID: id, IsMetric: true})
		}
		return "lnsDatatable", t
	}
	series := "line"
	if s.as == bars {
		series = "bar_stacked"
	}
	xy := xyLayer{LayerID: layer, LayerType: "data", SeriesType: series, Accessors: metrics}
	last := len(buckets) - 1
	xy.X = buckets[last]
	if last > 0 {
		xy.Split = buckets[0]
	}
	return "lnsXY", xyState{xyLegend{true, "right"}, "hide", "None", series, []xyLayer{xy}}
}

// dataType is Lens's name for the type of a field's values.
func dataType(id activity.FieldID) string {
	switch id.Type() {
	case activity.IP:
		return "ip"
	case activity.Date:
		return "date"
	case activity.Bool:
		return "boolean"
	case activity.Long, activity.Double:
		return "number"
	}
	return "string"
}

func yes(b bool) *bool { return &b }
