package kibana

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/estest"
	"github.com/truledgr/activity-agent/sinks/elasticsearch"
)

// A document is the values of an activity by the dotted names of its fields.
type document map[string][]any

// someValues are what the tests' activities have where the panels ask for certain values.
var someValues = map[activity.FieldID][]any{
	activity.StatusCode:         {200, 201, 404, 429, 500, 503},
	activity.Severity:           {"info", "warning", "error", "critical"},
	activity.ECSEventOutcome:    {"success", "failure", "unknown"},
	activity.ECSEventKind:       {"event", "event", "pipeline_error"},
	activity.Operation:          {"create", "update", "read", "DELETE", "user_delete", "KeyPurge"},
	activity.RateLimitRemaining: {0, 12, 4999, 60},
	activity.IntegrityBatch:     {1, 2, 99},
	activity.IPAddress:          {"10.0.0.7", "192.0.2.1", "2001:db8::1"},
}

var firstDay = time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)

// randomValue is a value of a field, of which there are few.
func randomValue(r *rand.Rand, f activity.FieldID) any {
	if some := someValues[f]; some != nil {
		return some[r.IntN(len(some))]
	}
	switch f.Type() {
	case activity.Date:
		return firstDay.Add(time.Duration(r.Int64N(int64(5 * 24 * time.Hour))))
	case activity.Bool:
		return r.IntN(2) == 0
	case activity.Long:
		return r.IntN(2000)
	case activity.Double:
		return float64(r.IntN(100_000)) / 16
	}
	return f.Name() + " " + strconv.Itoa(r.IntN(7))
}

// randomDocuments are n activities of each kind. Most of them have most of the fields that a panel can ask for.
func randomDocuments(n int) map[activity.Kind][]document {
	r := rand.New(rand.NewPCG(1, 2))
	out := map[activity.Kind][]document{}
	for _, k := range activity.Kinds() {
		for range n {
			d := document{}
			for f := activity.FieldID(1); f < activity.FieldCount; f++ {
				typ := f.Type()
				if !f.In(k) || typ == activity.Text || typ == activity.Free || typ == activity.List || r.IntN(5) == 0 && f != activity.Timestamp {
					continue
				}
				d[f.Name()] = []any{randomValue(r, f)}
				if second := randomValue(r, f); typ == activity.Keywords && d[f.Name()][0] != second {
					d[f.Name()] = append(d[f.Name()], second)
				}
			}
			d[activity.KindField.Name()] = []any{k.String()}
			out[k] = append(out[k], d)
		}
	}
	return out
}

// source is the document as Elasticsearch takes it.
func (d document) source() object {
	root := object{}
	for name, values := range d {
		at, parts := root, strings.Split(name, ".")
		for _, part := range parts[:len(parts)-1] {
			if at[part] == nil {
				at[part] = object{}
			}
			at = at[part].(object)
		}
		at[parts[len(parts)-1]] = values
	}
	return root
}

// asNumber is a value as aggregations of numbers take it: dates in milliseconds.
func asNumber(v any) float64 {
	switch v := v.(type) {
	case int:
		return float64(v)
	case float64:
		return v
	case time.Time:
		return float64(v.UnixMilli())
	}
	return math.NaN()
}

// store puts activities into indices made by the agent's templates.
func store(t *testing.T, n *estest.Node, prefix string, all map[activity.Kind][]document) {
	t.Helper()
	c := elasticsearch.DefaultConfig()
	c.Addresses, c.IndexPrefix = []string{n.URL()}, prefix
	if _, err := elasticsearch.Install(context.Background(), c, elasticsearch.Wanted{}); err != nil {
		t.Fatal(err)
	}
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	for k, documents := range all {
		for _, d := range documents {
			fmt.Fprintf(&body, `{"create":{"_index":"%s-%s-2026.01"}}`+"\n", prefix, k.Family())
			if err := enc.Encode(d.source()); err != nil {
				t.Fatal(err)
			}
		}
	}
	var answer struct {
		Errors bool
		Items  json.RawMessage
	}
	n.MustDo(t, "POST", "/_bulk?refresh=true", body.String(), &answer)
	if answer.Errors {
		t.Fatalf("not everything was stored: %.1000s", answer.Items)
	}
}

// TestPanelsGiveTheRightNumbers asks a real Elasticsearch what Lens asks for each panel, and computes the same from the
// activities by itself.
func TestPanelsGiveTheRightNumbers(t *testing.T) {
	t.Parallel()
	n := estest.Shared(t)
	prefix := n.Prefix(t)
	stored := randomDocuments(120)
	store(t, n, prefix, stored)
	all := objects(t, prefix)
	kinds := kindsOfViews(t, prefix, all)
	titles := map[string]string{}
	panels := 0
	for _, o := range all {
		switch o.Type {
		case "index-pattern":
			titles[o.ID] = attributes[dataView](t, o).Title
		case "lens":
			view, _ := o.reference("indexpattern-datasource-layer-main")
			panels++
			t.Run(strings.TrimPrefix(o.ID, prefix+"-lens-"), func(t *testing.T) {
				documents := documentsOf(stored, kinds[view])
				l, answer, total := ask(t, n, o, titles[view], documents)
				if l.VisualizationType == "lnsMetric" {
					got := float64(total)
					if answer["metric0"] != nil {
						got = figureOf(t, answer["metric0"])
					}
					operation := l.State.Datasource.FormBased.Layers["main"].Columns["metric0"].OperationType
					checkFigure(t, strings.TrimPrefix(o.ID, prefix+"-lens-"), operation, got, documents)
				}
			})
		}
	}
	if panels < 60 {
		t.Errorf("got %d panels, want all of them", panels)
	}
}

func documentsOf(stored map[activity.Kind][]document, k activity.Kind) []document {
	if k != activity.NoKind {
		return stored[k]
	}
	var all []document
	for _, documents := range stored {
		all = append(all, documents...)
	}
	return all
}

// ask compares the answer to one panel with what its documents say, and returns it and how many of them match.
func ask(t *testing.T, n *estest.Node, o savedObject, indices string, documents []document) (lensPanel, map[string]json.RawMessage, int) {
	t.Helper()
	l, asked := lensOf(t, o)
	where := parseKQL(t, l.State.Query.Query)
	p := question{asked}
	request, err := json.Marshal(object{"size": 0, "track_total_hits": true, "query": where.elastic(), "aggs": p.aggregations(t, asked.ColumnOrder)})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Hits         struct{ Total struct{ Value int } }
		Aggregations map[string]json.RawMessage
	}
	n.MustDo(t, "POST", "/"+indices+"/_search", string(request), &answer)
	documents = filtered(documents, where)
	if len(documents) == 0 || answer.Hits.Total.Value != len(documents) {
		t.Errorf("%d documents match, want %d and more than none", answer.Hits.Total.Value, len(documents))
	}
	p.compare(t, "", asked.ColumnOrder, answer.Aggregations, answer.Hits.Total.Value, documents)
	return l, answer.Aggregations, answer.Hits.Total.Value
}

func filtered(documents []document, c condition) []document {
	return slices.DeleteFunc(slices.Clone(documents), func(d document) bool { return !c.holds(d) })
}

// A question is what one panel asks: what Lens makes of its layer.
type question struct{ lensLayer }

// metrics are the columns that are no buckets.
func (q question) metrics() []string {
	return slices.DeleteFunc(slices.Clone(q.ColumnOrder), func(id string) bool { return q.Columns[id].IsBucketed })
}

// aggregations are those of the columns from the first of order on: each bucket holds the next, and all metrics.
func (q question) aggregations(t *testing.T, order []string) object {
	t.Helper()
	out := object{}
	for _, id := range q.metrics() {
		if agg := q.metric(t, id); agg != nil {
			out[id] = agg
		}
	}
	if c := q.Columns[order[0]]; c.IsBucketed {
		out[order[0]] = object{c.OperationType: q.bucket(t, c), "aggs": q.aggregations(t, order[1:])}
	}
	return out
}

func (q question) bucket(t *testing.T, c lensColumn) object {
	t.Helper()
	if c.OperationType == "date_histogram" { // for which Lens takes an interval that suits the time on the screen
		return object{"field": c.SourceField, "fixed_interval": "1d", "min_doc_count": 1}
	}
	by := c.Params.OrderBy.ColumnID
	if by == "" || q.metric(t, by) == nil {
		by = "_count"
	}
	return object{"field": c.SourceField, "size": c.Params.Size, "order": object{by: c.Params.OrderDirection}}
}

// metric is the aggregation of a column; nil where the number of documents says it already.
func (q question) metric(t *testing.T, id string) object {
	t.Helper()
	c := q.Columns[id]
	of := object{"field": c.SourceField}
	switch c.OperationType {
	case "count":
		if c.Filter == nil {
			return nil
		}
		return object{"filter": parseKQL(t, c.Filter.Query).elastic()}
	case "unique_count":
		return object{"cardinality": of}
	case "percentile":
		of["percents"] = []int{c.Params.Percentile}
		return object{"percentiles": of}
	}
	return object{c.OperationType: of}
}

// compare holds an answer against documents.
func (q question) compare(t *testing.T, at string, order []string, answer map[string]json.RawMessage, count int, documents []document) {
	t.Helper()
	for _, id := range q.metrics() {
		got := float64(count)
		if answer[id] != nil {
			got = figureOf(t, answer[id])
		}
		low, high := q.figure(t, id, documents)
		if !(got >= low && got <= high) && !(math.IsNaN(got) && math.IsNaN(low)) {
			t.Errorf("%s%s: got %v, want %v to %v", at, q.Columns[id].Label, got, low, high)
		}
	}
	id := order[0]
	if !q.Columns[id].IsBucketed {
		return
	}
	var found struct{ Buckets []map[string]json.RawMessage }
	if err := json.Unmarshal(answer[id], &found); err != nil {
		t.Fatal(err)
	}
	groups := q.groups(id, documents)
	q.comparePlaces(t, at, id, len(found.Buckets), groups, keysOf(found.Buckets))
	for _, b := range found.Buckets {
		key := keyOf(b)
		var count int
		if err := json.Unmarshal(b["doc_count"], &count); err != nil || count != len(groups[key]) {
			t.Errorf("%s%s: got %d documents, want %d", at, key, count, len(groups[key]))
		}
		q.compare(t, at+key+": ", order[1:], b, count, groups[key])
	}
}

// comparePlaces checks that the buckets of an answer are those with most of what they are ordered by.
func (q question) comparePlaces(t *testing.T, at, id string, got int, groups map[string][]document, keys []string) {
	t.Helper()
	c := q.Columns[id]
	if want := len(groups); c.OperationType == "date_histogram" && got != want || got == 0 {
		t.Errorf("%s%s: got %d buckets, want %d and more than none", at, c.Label, got, want)
	}
	if c.OperationType != "terms" {
		return
	}
	if want := min(len(groups), c.Params.Size); got != want {
		t.Errorf("%s%s: got %d buckets, want %d", at, c.Label, got, want)
	}
	least, most := math.Inf(1), math.Inf(-1)
	for key, documents := range groups {
		low := float64(len(documents))
		if by := c.Params.OrderBy.ColumnID; by != "" {
			low, _ = q.figure(t, by, documents)
		}
		if slices.Contains(keys, key) {
			least = min(least, low)
		} else {
			most = max(most, low)
		}
	}
	if most > least {
		t.Errorf("%s%s: a bucket with %v is shown, and one with %v is not", at, c.Label, least, most)
	}
}

// figure is the value of a metric: between two numbers, since percentiles are estimates.
func (q question) figure(t *testing.T, id string, documents []document) (low, high float64) {
	t.Helper()
	c := q.Columns[id]
	if c.Filter != nil {
		documents = filtered(documents, parseKQL(t, c.Filter.Query))
	}
	distinct := map[any]bool{}
	var values []float64
	for _, d := range documents {
		for _, v := range d[c.SourceField] {
			distinct[v] = true
			values = append(values, asNumber(v))
		}
	}
	slices.Sort(values)
	exact := math.NaN()
	switch {
	case c.OperationType == "count":
		exact = float64(len(documents))
	case c.OperationType == "unique_count":
		exact = float64(len(distinct))
	case c.OperationType == "sum":
		exact = 0
		for _, v := range values {
			exact += v
		}
	case len(values) == 0:
	case c.OperationType == "min":
		exact = values[0]
	case c.OperationType == "max":
		exact = values[len(values)-1]
	default:
		rank := float64(c.Params.Percentile) / 100 * float64(len(values)-1)
		return values[max(0, int(rank)-1)], values[min(len(values)-1, int(math.Ceil(rank))+1)]
	}
	return exact, exact
}

// groups divides documents by what a bucket divides them by.
func (q question) groups(id string, documents []document) map[string][]document {
	c := q.Columns[id]
	out := map[string][]document{}
	for _, d := range documents {
		for _, v := range d[c.SourceField] {
			key := fmt.Sprint(v)
			if at, ok := v.(time.Time); ok {
				key = strconv.FormatInt(at.Truncate(24*time.Hour).UnixMilli(), 10)
			}
			out[key] = append(out[key], d)
		}
	}
	return out
}

func keysOf(buckets []map[string]json.RawMessage) []string {
	var keys []string
	for _, b := range buckets {
		keys = append(keys, keyOf(b))
	}
	return keys
}

// keyOf is a bucket's key as groups has it.
func keyOf(bucket map[string]json.RawMessage) string {
	if s := strings.Trim(string(bucket["key_as_string"]), `"`); s == "true" || s == "false" {
		return s
	}
	return strings.Trim(string(bucket["key"]), `"`)
}

// figureOf is the number in the answer to a metric; NaN where there is none.
func figureOf(t *testing.T, answer json.RawMessage) float64 {
	t.Helper()
	var a struct {
		Value  *float64
		Values map[string]*float64
		Count  *float64 `json:"doc_count"`
	}
	if err := json.Unmarshal(answer, &a); err != nil {
		t.Fatal(err)
	}
	for _, v := range a.Values {
		a.Value = v
	}
	switch {
	case a.Count != nil:
		return *a.Count
	case a.Value != nil:
		return *a.Value
	}
	return math.NaN()
}
