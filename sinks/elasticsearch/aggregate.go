package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
	"golang.org/x/sync/errgroup"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/internal/tape"
)

// portions are how many groups are asked for at once, and read.
type portions struct {
	first    int // with all metrics
	rest     int // to look through those after the first
	complete int // to have all metrics of those that came out first
	bytes    int // that have arrived and are worth looking at
}

// usual: of a query's clauses there may be 1024 on the smallest node, and each group of complete takes up to four.
func usual() portions {
	return portions{first: search.MaxGroups, rest: 50_000, complete: 250, bytes: 4 << 10}
}

// Precision of what Elasticsearch estimates.
const (
	compression        = 200    // of the t-digest for percentiles
	precisionThreshold = 40_000 // up to which a cardinality is close to exact; the most there is, and 256 KiB
	groupThreshold     = 3_000  // the same of each group; 16 KiB
)

// atOnce is how many aggregations of a question are looked through at once.
const atOnce = 2

// Aggregate computes numbers of what matches. Groups come from composite aggregations, which are exact, where those of terms
// are estimates as soon as there are several shards. One request has all of up to a thousand groups; where there are more,
// they are looked through page by page for those that come first. What is stored meanwhile may be in some groups.
func (r *Reader) Aggregate(ctx context.Context, q search.Query, as ...search.Aggregation) ([]search.Table, error) {
	query, err := r.queryOf(&q)
	if err != nil {
		return nil, err
	}
	aggs := object{}
	for i := range as {
		aggs[nameOf(i)] = aggregation(&as[i], r.groups.first, nil, allMetrics)
	}
	answer, err := r.numbers(ctx, q.Kinds, query, aggs, nil)
	if err != nil {
		return nil, err
	}
	defer r.done(answer)
	tables := make([]search.Table, len(as))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i := range as {
		w := &walk{r: r, a: &as[i], kinds: q.Kinds, query: query, picker: search.NewPicker(&as[i])}
		group.Go(func() (err error) {
			tables[i], err = w.all(ctx, &answer.tape, nameOf(i))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return tables, nil
}

func nameOf(i int) string { return strconv.Itoa(i) }

// numbers asks for aggregations; see totalOf and answerOf.
func (r *Reader) numbers(ctx context.Context, kinds []activity.Kind, query, aggs object, take taker) (*reply, error) {
	return r.ask(ctx, "aggregate", esapi.SearchRequest{
		Index: r.indices(kinds), Body: bytes.NewReader(encode(object{"query": query, "size": 0, "track_total_hits": true, "aggs": aggs})),
		IgnoreUnavailable: yes(), AllowNoIndices: yes(), AllowPartialSearchResults: no(),
	}, take)
}

// totalOf is how many documents match.
func totalOf(t *tape.Tape) int64 {
	return integer(t, member(t, member(t, top(t, "hits"), "total"), "value"))
}

// answerOf is the index of the answer to one of the aggregations, or 0.
func answerOf(t *tape.Tape, name string) uint32 { return member(t, top(t, "aggregations"), name) }

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
		below[metricName(a, i, m)] = metricBody(a, m)
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
		add(object{"terms": object{"field": t.Name(a.Model), "missing_bucket": !a.Present}})
	}
	return out
}

func keyCount(a *search.Aggregation) int {
	if a.Interval.IsZero() {
		return len(a.By)
	}
	return 1 + len(a.By)
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) + "s" }

// metricName names the metric's aggregation. All percentiles of a field are one.
func metricName(a *search.Aggregation, i int, m search.Metric) string {
	if m.Function == search.Percentile {
		return "percentiles of " + a.Model.FieldName(m.Field)
	}
	return nameOf(i)
}

func metricBody(a *search.Aggregation, m search.Metric) object {
	field := object{"field": a.Model.FieldName(m.Field)}
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
		if keyCount(a) > 0 {
			field["precision_threshold"] = groupThreshold
		}
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
	long   bool      // there was more than the first page, so that groups may lack metrics
	some   tape.Tape // of groups that have arrived
}

// all makes the table, from the first answer on.
func (w *walk) all(ctx context.Context, first *tape.Tape, name string) (search.Table, error) {
	total := totalOf(first)
	if keyCount(w.a) == 0 {
		g, err := readGroup(w.a, first, answerOf(first, name), allMetrics)
		g.Count = total
		return search.Table{Groups: []search.Group{g}, Total: total}, err
	}
	err := w.show(first, name, allMetrics)
	if after := w.after(first, name, w.r.groups.first); after != nil && err == nil {
		w.long = true
		err = w.rest(ctx, after)
	}
	if err != nil {
		return search.Table{}, err
	}
	return w.table(ctx, total)
}

// onlyOne is the name of the one aggregation that a page has.
const onlyOne = "0"

// rest shows the groups after a key to the picker, page by page.
func (w *walk) rest(ctx context.Context, after json.RawMessage) error {
	for size := w.pageSize(); after != nil; {
		some := arriving{w: w}
		page, err := w.page(ctx, w.query, after, size, orderMetric, some.take)
		if tooMany(err) && size > w.r.groups.first {
			size = max(size/5, w.r.groups.first)
			continue
		}
		if err == nil {
			err = some.err
		}
		if err != nil {
			return err
		}
		err = w.show(&page.tape, onlyOne, orderMetric)
		after = w.after(&page.tape, onlyOne, size-some.shown)
		if w.r.done(page); err != nil {
			return err
		}
	}
	return nil
}

// tooMany reports whether a page may have been refused for its size, which the cluster's search.max_buckets limits: 65,536 unless
// somebody lowered it. The answer does not name the reason where it can be found.
func tooMany(err error) bool {
	var q *questionError
	return errors.As(err, &q)
}

// pageSize is how many groups to look through at once.
func (w *walk) pageSize() int {
	if m := w.a.Order.Metric; m > 0 && w.a.Metrics[m-1].Function == search.Cardinality {
		return w.r.groups.first // each takes kilobytes of the node's memory
	}
	return w.r.groups.rest
}

// page asks for the groups after a key.
func (w *walk) page(ctx context.Context, query object, after json.RawMessage, size int, metrics which, take taker) (*reply, error) {
	return w.r.numbers(ctx, w.kinds, query, object{onlyOne: aggregation(w.a, size, after, metrics)}, take)
}

// after is a copy of the last key of a page that was to have so many groups; nil for the last page.
func (w *walk) after(t *tape.Tape, name string, size int) json.RawMessage {
	page := answerOf(t, name)
	i, buckets := member(t, page, "after_key"), member(t, page, "buckets")
	if i == 0 || buckets == 0 || int(t.Nodes[buckets].Children) < size {
		return nil
	}
	return bytes.Clone(t.Raw(&t.Nodes[i]))
}

// show shows the groups of a page to the picker.
func (w *walk) show(t *tape.Tape, name string, metrics which) error {
	for _, b := range elements(t, member(t, answerOf(t, name), "buckets")) {
		if err := w.showGroup(t, b, metrics); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) showGroup(t *tape.Tape, bucket uint32, metrics which) error {
	if count := member(t, bucket, "doc_count"); count != 0 && w.picker.PassOver(integer(t, count)) {
		return nil
	}
	g, err := readGroup(w.a, t, bucket, metrics)
	if err == nil {
		w.picker.Add(g)
	}
	return err
}

// table returns the groups that were picked, and sees to it that they have all metrics.
func (w *walk) table(ctx context.Context, total int64) (search.Table, error) {
	t := w.picker.Table(total)
	if !w.long || len(w.a.Metrics) == 0 {
		return t, nil
	}
	for some := range slices.Chunk(t.Groups, w.r.groups.complete) {
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
		ways[i] = w.within(&some[i])
	}
	query := object{"bool": object{"filter": []object{w.query, either(ways...)}}}
	for after := json.RawMessage(nil); ; {
		page, err := w.page(ctx, query, after, w.r.groups.first, allMetrics, nil)
		if err != nil {
			return err
		}
		after = w.after(&page.tape, onlyOne, w.r.groups.first)
		err = w.fill(&page.tape, wanted)
		if w.r.done(page); err != nil || after == nil {
			return err
		}
	}
}

// fill gives the groups of a page that are wanted their values.
func (w *walk) fill(t *tape.Tape, wanted map[string]*search.Group) error {
	for _, b := range elements(t, member(t, answerOf(t, onlyOne), "buckets")) {
		g, err := readGroup(w.a, t, b, allMetrics)
		if err != nil {
			return err
		}
		if to := wanted[fmt.Sprintf("%#v", g.Keys)]; to != nil {
			to.Values = g.Values
		}
	}
	return nil
}

// within is the query for the activities of a group.
func (w *walk) within(g *search.Group) object {
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
			not = append(not, object{"exists": object{"field": t.Name(w.a.Model)}})
		} else {
			must = append(must, object{"term": object{t.Name(w.a.Model): keys[i]}})
		}
	}
	return object{"bool": object{"filter": must, "must_not": not}}
}

// readGroup decodes a bucket with the metrics that the request had.
func readGroup(a *search.Aggregation, t *tape.Tape, bucket uint32, metrics which) (search.Group, error) {
	g := search.Group{Values: make([]any, len(a.Metrics))}
	count := member(t, bucket, "doc_count")
	if count == 0 || !readKeys(a, t, member(t, bucket, "key"), &g) {
		return g, fmt.Errorf("aggregate: %w", errAnswer)
	}
	g.Count = integer(t, count)
	for i, m := range a.Metrics {
		if metrics.has(a, i) {
			g.Values[i] = readMetric(a, m, t, member(t, bucket, metricName(a, i, m)))
		}
	}
	return g, nil
}

// readMetric decodes the value of a metric; nil for none.
func readMetric(a *search.Aggregation, m search.Metric, t *tape.Tape, i uint32) any {
	at := member(t, i, "value")
	for _, v := range elements(t, member(t, i, "values")) {
		if p, ok := float(t, member(t, v, "key")); ok && p == m.Percent {
			at = member(t, v, "value")
		}
	}
	x, ok := float(t, at)
	switch {
	case !ok:
		return nil
	case a.Model.FieldType(m.Field) == activity.Date:
		return time.UnixMilli(int64(x)).UTC()
	}
	return x
}

// readKeys decodes the key of a bucket. It reports whether it could.
func readKeys(a *search.Aggregation, t *tape.Tape, key uint32, g *search.Group) bool {
	for i := range keyCount(a) {
		k := member(t, key, nameOf(i))
		if k == 0 {
			return false
		}
		v := value(t, k)
		if n, ok := v.(json.Number); ok {
			whole, err := n.Int64()
			if err != nil {
				return false
			}
			v = whole
		}
		term := i
		if !a.Interval.IsZero() {
			if term--; term < 0 {
				v = time.UnixMilli(integer(t, k)).UTC()
			}
		}
		if n, ok := v.(int64); ok && a.Model.FieldType(a.By[term].Field) == activity.Bool {
			v = n != 0
		}
		g.Keys = append(g.Keys, v)
	}
	return true
}
