package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

// How many groups are asked for at once: with all metrics, to look through the rest, and to have the metrics of those that
// came out first.
const (
	firstGroups  = search.MaxGroups
	moreGroups   = 10_000
	metricGroups = 250 // clauses with up to four conditions each; a query may have 1024 on the smallest node
)

// Precision of what Elasticsearch estimates.
const (
	compression        = 200    // of the t-digest for percentiles
	precisionThreshold = 40_000 // up to which cardinality is close to exact; the most there is
)

// Aggregate computes numbers of what matches. Groups come from composite aggregations, which are exact, where those of terms
// are estimates as soon as there are several shards. One request has all of up to firstGroups groups; where there are more,
// they are looked through page by page for those that come first. What is stored meanwhile may be in some groups.
func (r *Reader) Aggregate(ctx context.Context, q search.Query, as ...search.Aggregation) ([]search.Table, error) {
	query, err := queryOf(&q)
	if err != nil {
		return nil, err
	}
	aggs := object{}
	for i := range as {
		aggs[nameOf(i)] = aggregation(&as[i], firstGroups, nil, allMetrics)
	}
	total, answers, err := r.numbers(ctx, q.Kinds, query, aggs)
	if err != nil {
		return nil, err
	}
	tables := make([]search.Table, len(as))
	for i := range as {
		a := &as[i]
		if len(sources(a)) == 0 {
			g, err := readGroup(a, answers[nameOf(i)], allMetrics)
			if err != nil {
				return nil, err
			}
			g.Count = total
			tables[i] = search.Table{Groups: []search.Group{g}, Total: total}
			continue
		}
		w := &walk{r: r, a: a, kinds: q.Kinds, query: query, picker: search.NewPicker(a)}
		if err := w.all(ctx, answers[nameOf(i)]); err != nil {
			return nil, err
		}
		if tables[i], err = w.table(ctx, total); err != nil {
			return nil, err
		}
	}
	return tables, nil
}

func nameOf(i int) string { return strconv.Itoa(i) }

// numbers asks for aggregations and returns how many documents match, and the answers by name.
func (r *Reader) numbers(ctx context.Context, kinds []activity.Kind, query, aggs object) (int64, map[string]json.RawMessage, error) {
	answer, err := r.client.call(ctx, "aggregate", esapi.SearchRequest{
		Index: r.indices(kinds), Body: bytes.NewReader(encode(object{"query": query, "size": 0, "track_total_hits": true, "aggs": aggs})),
		IgnoreUnavailable: yes(), AllowNoIndices: yes(), AllowPartialSearchResults: no(),
	})
	if err != nil {
		return 0, nil, question(err)
	}
	var got struct {
		TimedOut bool `json:"timed_out"`
		Hits     struct {
			Total struct {
				Value int64 `json:"value"`
			} `json:"total"`
		} `json:"hits"`
		Aggregations map[string]json.RawMessage `json:"aggregations"`
	}
	if json.Unmarshal(answer, &got) != nil || got.TimedOut {
		return 0, nil, fmt.Errorf("aggregate: %w", errAnswer)
	}
	return got.Hits.Total.Value, got.Aggregations, nil
}

// Which metrics a request computes.
type which bool

const (
	allMetrics  which = true
	orderMetric which = false // the one that the groups are ordered by
)

func (w which) has(a *search.Aggregation, metric int) bool {
	return w == allMetrics || a.Order.Metric == metric+1
}

// aggregation is the body for one page of groups after a key, or for all documents where there are no groups.
func aggregation(a *search.Aggregation, size int, after json.RawMessage, metrics which) object {
	body := object{}
	if from := sources(a); len(from) > 0 {
		composite := object{"size": size, "sources": from}
		if after != nil {
			composite["after"] = after
		}
		body["composite"] = composite
	} else {
		body["filter"] = object{"match_all": object{}}
	}
	below := object{}
	for i, m := range a.Metrics {
		if !metrics.has(a, i) {
			continue
		}
		below[metricName(i, m)] = metricBody(a, m)
	}
	if len(below) > 0 {
		body["aggs"] = below
	}
	return body
}

// sources are the keys of a composite aggregation, by their numbers.
func sources(a *search.Aggregation) []object {
	var out []object
	add := func(key object) { out = append(out, object{nameOf(len(out)): key}) }
	switch i := a.Interval; {
	case i.Month:
		add(object{"date_histogram": object{"field": activity.Timestamp.Name(), "calendar_interval": "month"}})
	case i.Every > 0:
		add(object{"date_histogram": object{
			"field": activity.Timestamp.Name(), "fixed_interval": seconds(i.Every), "offset": seconds(i.Offset()),
		}})
	}
	for _, t := range a.By {
		add(object{"terms": object{"field": t.Name(), "missing_bucket": !a.Present}})
	}
	return out
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }

// metricName names the metric's aggregation. All percentiles of a field are one.
func metricName(i int, m search.Metric) string {
	if m.Function == search.Percentile {
		return "percentiles of " + m.Field.Name()
	}
	return nameOf(i)
}

func metricBody(a *search.Aggregation, m search.Metric) object {
	field := object{"field": m.Field.Name()}
	switch m.Function {
	case search.Sum:
		return object{"sum": field}
	case search.Avg:
		return object{"avg": field}
	case search.Min:
		return object{"min": field}
	case search.Max:
		return object{"max": field}
	case search.Cardinality:
		field["precision_threshold"] = precisionThreshold
		return object{"cardinality": field}
	}
	var percents []float64
	for _, o := range a.Metrics {
		if o.Function == search.Percentile && o.Field == m.Field {
			percents = append(percents, o.Percent)
		}
	}
	field["percents"], field["keyed"], field["tdigest"] = percents, false, object{"compression": compression}
	return object{"percentiles": field}
}

// A walk goes through the groups of one aggregation.
type walk struct {
	r      *Reader
	a      *search.Aggregation
	kinds  []activity.Kind
	query  object
	picker *search.Picker
	long   bool // there was more than the first page, so that groups may lack metrics
}

// A pageOfGroups is the answer to a composite aggregation.
type pageOfGroups struct {
	After   json.RawMessage   `json:"after_key"`
	Buckets []json.RawMessage `json:"buckets"`
}

// read decodes a page.
func (p *pageOfGroups) read(a *search.Aggregation, answer json.RawMessage, metrics which) ([]search.Group, error) {
	*p = pageOfGroups{}
	if json.Unmarshal(answer, p) != nil {
		return nil, fmt.Errorf("aggregate: %w", errAnswer)
	}
	groups := make([]search.Group, len(p.Buckets))
	for i, b := range p.Buckets {
		var err error
		if groups[i], err = readGroup(a, b, metrics); err != nil {
			return nil, err
		}
	}
	return groups, nil
}

// all shows every group to the picker, from the first page, which has all metrics, on.
func (w *walk) all(ctx context.Context, first json.RawMessage) error {
	var p pageOfGroups
	groups, err := p.read(w.a, first, allMetrics)
	size := firstGroups
	for {
		if err != nil {
			return err
		}
		for _, g := range groups {
			w.picker.Add(g)
		}
		if len(groups) < size || p.After == nil {
			return nil
		}
		w.long, size = true, moreGroups
		groups, err = w.page(ctx, w.query, &p, size, orderMetric)
	}
}

// page asks for the groups after those of p.
func (w *walk) page(ctx context.Context, query object, p *pageOfGroups, size int, metrics which) ([]search.Group, error) {
	_, answers, err := w.r.numbers(ctx, w.kinds, query, object{"0": aggregation(w.a, size, p.After, metrics)})
	if err != nil {
		return nil, err
	}
	return p.read(w.a, answers["0"], metrics)
}

// table returns the groups that were picked, and sees to it that they have all metrics.
func (w *walk) table(ctx context.Context, total int64) (search.Table, error) {
	t := w.picker.Table(total)
	if !w.long || len(w.a.Metrics) == 0 {
		return t, nil
	}
	for some := range slices.Chunk(t.Groups, metricGroups) {
		if err := w.complete(ctx, some); err != nil {
			return t, err
		}
	}
	return t, nil
}

// complete computes all metrics of some groups. Their activities may have several values and be in others as well.
func (w *walk) complete(ctx context.Context, some []search.Group) error {
	wanted, ways := map[string]*search.Group{}, make([]object, len(some))
	for i := range some {
		wanted[fmt.Sprintf("%#v", some[i].Keys)] = &some[i]
		ways[i] = w.member(&some[i])
	}
	query := object{"bool": object{"filter": []object{w.query, either(ways...)}}}
	for p, size := (&pageOfGroups{}), firstGroups; ; {
		groups, err := w.page(ctx, query, p, size, allMetrics)
		if err != nil {
			return err
		}
		for _, g := range groups {
			if to := wanted[fmt.Sprintf("%#v", g.Keys)]; to != nil {
				to.Values = g.Values
			}
		}
		if len(groups) < size || p.After == nil {
			return nil
		}
	}
}

// member is the query for the activities of a group.
func (w *walk) member(g *search.Group) object {
	must, not := []object{}, []object{}
	keys := g.Keys
	if i := w.a.Interval; !i.IsZero() {
		from := keys[0].(time.Time)
		to := from.Add(i.Every)
		if i.Month {
			to = from.AddDate(0, 1, 0)
		}
		must = append(must, object{"range": object{activity.Timestamp.Name(): object{"gte": instant(from), "lt": instant(to)}}})
		keys = keys[1:]
	}
	for i, t := range w.a.By {
		if keys[i] == nil {
			not = append(not, object{"exists": object{"field": t.Name()}})
		} else {
			must = append(must, object{"term": object{t.Name(): keys[i]}})
		}
	}
	return object{"bool": object{"filter": must, "must_not": not}}
}

// readGroup decodes a bucket with the metrics that the request had.
func readGroup(a *search.Aggregation, bucket json.RawMessage, metrics which) (search.Group, error) {
	g := search.Group{}
	bad := fmt.Errorf("aggregate: %w", errAnswer)
	var members map[string]json.RawMessage
	if json.Unmarshal(bucket, &members) != nil || json.Unmarshal(members["doc_count"], &g.Count) != nil {
		return g, bad
	}
	if err := readKeys(a, members["key"], &g); err != nil {
		return g, err
	}
	g.Values = make([]any, len(a.Metrics))
	for i, m := range a.Metrics {
		if !metrics.has(a, i) {
			continue
		}
		var got struct {
			Value  *float64 `json:"value"`
			Values []struct {
				Key   float64  `json:"key"`
				Value *float64 `json:"value"`
			} `json:"values"`
		}
		if json.Unmarshal(members[metricName(i, m)], &got) != nil {
			return g, bad
		}
		for _, v := range got.Values {
			if v.Key == m.Percent {
				got.Value = v.Value
			}
		}
		switch {
		case got.Value == nil:
		case m.Field.Type() == activity.Date:
			g.Values[i] = time.UnixMilli(int64(*got.Value)).UTC()
		default:
			g.Values[i] = *got.Value
		}
	}
	return g, nil
}

// readKeys decodes the key of a bucket.
func readKeys(a *search.Aggregation, text json.RawMessage, g *search.Group) error {
	n := len(sources(a))
	if n == 0 {
		return nil
	}
	bad := fmt.Errorf("aggregate: %w", errAnswer)
	keys := map[string]any{}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if d.Decode(&keys) != nil || len(keys) != n {
		return bad
	}
	g.Keys = make([]any, n)
	terms := g.Keys
	if !a.Interval.IsZero() {
		ms, ok := keys["0"].(json.Number)
		at, err := ms.Int64()
		if !ok || err != nil {
			return bad
		}
		g.Keys[0], terms = time.UnixMilli(at).UTC(), g.Keys[1:]
	}
	for i, t := range a.By {
		switch key := keys[nameOf(i+n-len(terms))].(type) {
		case json.Number:
			number, err := key.Int64()
			if err != nil {
				return bad
			}
			terms[i] = number
			if t.Field.Type() == activity.Bool {
				terms[i] = number != 0
			}
		default:
			terms[i] = key
		}
	}
	return nil
}
