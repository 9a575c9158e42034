package search

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/truledgr/activity-agent/activity"
)

// The parameters of aggregations alone, and those of lists that an aggregation does not take.
var (
	aggregating = []string{"group_by", "interval", "metric", "order", "limit"}
	listing     = []string{"offset", "cursor", "fields", "sort"}
)

// ParseAggregation reads a question for numbers: an aggregation from group_by, interval, metric, order and limit, and what
// it is of from all other parameters, as Parse reads them. group_by and metric take lists with commas, or several values.
// The error joins one *ParamError for each mistake.
func ParseAggregation(m *activity.Model, params map[string][]string, now time.Time) (Query, Aggregation, error) {
	rest := maps.Clone(params)
	var errs []error
	for _, name := range aggregating {
		delete(rest, name)
	}
	for _, name := range listing {
		if _, ok := rest[name]; ok {
			errs = append(errs, wrong(name, "is for lists: numbers have none"))
			delete(rest, name)
		}
	}
	q, err := Parse(m, rest, nil, now)
	errs = append(errs, err)
	a := Aggregation{Model: m}
	if a.By, err = parseTerms(m, q.Kinds, split(params["group_by"])); err != nil {
		errs = append(errs, err)
	}
	if v := last(params["interval"]); v != "" {
		if a.Interval, err = parseInterval(v); err != nil {
			errs = append(errs, err)
		}
	}
	metrics := split(params["metric"])
	names, err := a.setMetrics(m, q.Kinds, metrics)
	errs = append(errs, err)
	a.Order = GroupOrder{Key: !a.Interval.IsZero(), Ascending: !a.Interval.IsZero()}
	if v := last(params["order"]); v != "" && err == nil {
		if a.Order, err = a.parseOrder(v, names); err != nil {
			errs = append(errs, err)
		}
	}
	if v := last(params["limit"]); v != "" {
		a.Limit, err = parseCount("limit", v, 1, MaxGroups)
		errs = append(errs, err)
	}
	return q, a, errors.Join(errs...)
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

func parseTerms(m *activity.Model, kinds []activity.Kind, names []string) ([]Term, error) {
	if len(names) > MaxTerms {
		return nil, wrong("group_by", "takes %d fields at most", MaxTerms)
	}
	var out []Term
	for _, name := range names {
		f, path, err := findField(m, kinds, "group_by", name)
		if err != nil {
			return nil, err
		}
		t := Term{f, path}
		switch m.FieldType(f) {
		case activity.Keyword, activity.Keywords, activity.IP, activity.Bool, activity.Long:
		case activity.Free:
			if path == "" {
				return nil, wrong("group_by", "%s is not a single value: name a member of it, such as %s.x", name, name)
			}
		case activity.Date:
			return nil, wrong("group_by", "%s is a date: use interval=, which groups by @timestamp", name)
		default:
			return nil, wrong("group_by", "%s cannot be grouped by: choose a keyword, address, integer, bool or a member of a free object", name)
		}
		if f == activity.RedactedPath || f == activity.RedactedDetector {
			return nil, wrong("group_by", "%s cannot be grouped by", name)
		}
		if slices.Contains(out, t) {
			return nil, wrong("group_by", "names a field twice")
		}
		out = append(out, t)
	}
	return out, nil
}

// parseInterval reads minute, hour, day, week, month, or a number with s, m, h, d or w.
func parseInterval(s string) (Interval, error) {
	named := map[string]Interval{
		"minute": {Every: time.Minute}, "hour": {Every: time.Hour}, "day": {Every: 24 * time.Hour},
		"week": {Every: Week}, "month": {Month: true},
	}
	if i, ok := named[s]; ok {
		return i, nil
	}
	d, ok := parseSpan(s)
	if !ok || d < time.Second || d%time.Second != 0 || d > 366*24*time.Hour {
		return Interval{}, wrong("interval", "must be minute, hour, day, week, month, or whole seconds up to a year, such as 15m, 6h or 2d")
	}
	return Interval{Every: d}, nil
}

var defaultPercents = []string{"50", "90", "95", "99"}

// setMetrics reads metrics and returns their names in order.
func (a *Aggregation) setMetrics(model *activity.Model, kinds []activity.Kind, metrics []string) ([]string, error) {
	var names []string
	for _, m := range metrics {
		if m == "count" { // is in every answer
			continue
		}
		function, field, _ := strings.Cut(m, ":")
		all := []string{function}
		if function == "percentiles" {
			all = nil
			for _, p := range defaultPercents {
				all = append(all, "p"+p)
			}
		}
		for _, function := range all {
			metric, err := parseMetric(model, kinds, function, field)
			if err != nil {
				return nil, err
			}
			if !slices.Contains(a.Metrics, metric) {
				a.Metrics, names = append(a.Metrics, metric), append(names, metric.Name(model))
			}
		}
	}
	if len(a.Metrics) > MaxMetrics {
		return nil, wrong("metric", "takes %d at most; percentiles are four", MaxMetrics)
	}
	return names, nil
}

var functions = map[string]Function{"sum": Sum, "avg": Avg, "min": Min, "max": Max, "cardinality": Cardinality}

// Name writes the metric, of a field of model, as the parameter metric= takes it.
func (m Metric) Name(model *activity.Model) string {
	for name, f := range functions {
		if f == m.Function {
			return name + ":" + model.FieldName(m.Field)
		}
	}
	return "p" + strconv.FormatFloat(m.Percent, 'f', -1, 64) + ":" + model.FieldName(m.Field)
}

func parseMetric(model *activity.Model, kinds []activity.Kind, function, field string) (Metric, error) {
	var m Metric
	f, known := functions[function]
	if percent, ok := strings.CutPrefix(function, "p"); ok && !known {
		n, err := strconv.ParseFloat(percent, 64)
		if err != nil || !(n >= 0 && n <= 100) {
			return m, wrong("metric", "a percentile is p and a number from 0 to 100, such as p99.9:execution_time_ms")
		}
		f, known, m.Percent = Percentile, true, n
	}
	if !known || field == "" {
		return m, wrong("metric", "must be count, or sum, avg, min, max, percentiles, p95 or cardinality, a colon and a field")
	}
	id, path, err := findField(model, kinds, "metric", field)
	if err != nil {
		return m, err
	}
	m.Function, m.Field = f, id
	t := model.FieldType(id)
	switch number := t == activity.Long || t == activity.Double; {
	case path != "":
		return m, wrong("metric", "%s has no type: choose a field of the table", field)
	case f == Cardinality:
		if t != activity.Keyword && t != activity.IP && t != activity.Bool && t != activity.Long || id == activity.RedactedPath || id == activity.RedactedDetector {
			return m, wrong("metric", "cardinality is of keywords, addresses, integers and bools")
		}
	case f == Min || f == Max:
		if !number && t != activity.Date {
			return m, wrong("metric", "%s is neither a number nor a date", field)
		}
	case !number:
		return m, wrong("metric", "%s is not a number", field)
	}
	return m, nil
}

// parseOrder reads count, key or a metric, with a minus for the largest first.
func (a *Aggregation) parseOrder(s string, names []string) (GroupOrder, error) {
	name, descending := strings.CutPrefix(s, "-")
	o := GroupOrder{Ascending: !descending}
	switch i := slices.Index(names, name); {
	case name == "count":
	case name == "key":
		o.Key = true
	case i < 0:
		return o, wrong("order", "must be count, key or one of metric=, with a minus for the largest first")
	case a.Metrics[i].Function == Percentile:
		return o, wrong("order", "percentiles have no order: take avg or max of the field")
	default:
		o.Metric = i + 1
	}
	return o, nil
}
