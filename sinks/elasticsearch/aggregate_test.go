package elasticsearch

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/sinks"
	"github.com/truledgr/activity-agent/sinks/sqlite"
)

// both stores the documents in SQLite and on the node.
func both(t *testing.T, docs []testDoc) (*Reader, *sqlite.Reader) {
	t.Helper()
	c, n := onNode(t)
	lite := sqlite.Config{Path: filepath.Join(t.TempDir(), "a.db")}
	s, err := sqlite.Open(lite, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	es := mustOpen(t, c)
	for some := range slices.Chunk(docs, 5000) {
		write(t, es, some...)
		if err := s.Write(context.Background(), batchOf(some...), make([]sinks.Result, len(some))); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	refresh(t, n, c)
	r, err := sqlite.OpenReader(lite, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return mustRead(t, c), r
}

// aggregateOf asks a store.
func aggregateOf(t *testing.T, s search.Store, params string) search.Table {
	t.Helper()
	values := map[string][]string{}
	for p := range strings.FieldsFuncSeq(params, func(c rune) bool { return c == '&' }) {
		k, v, _ := strings.Cut(p, "=")
		values[k] = append(values[k], v)
	}
	q, a, err := search.ParseAggregation(nil, values, day0)
	if err != nil {
		t.Fatalf("%s: %v", params, err)
	}
	tables, err := s.Aggregate(context.Background(), q, a)
	if err != nil {
		t.Fatalf("%s: %v", params, err)
	}
	return tables[0]
}

func TestGroupsOfValuesOfEveryShape(t *testing.T) {
	t.Parallel()
	var docs []testDoc
	for i, details := range []string{
		`"a":"x"`, `"a":["x","y","x"]`, `"a":true`, `"a":1`, `"a":1.5`, `"a":null`, `"a":[]`, `"a":{"b":"x"}`, `"a.b":"x"`, `"c":1`, `"a":[true,"true",null]`, `"a":"1"`, `"a\"b":1`, `"a\\":2`,
	} {
		docs = append(docs, document(activity.Kinds()[i%3], i, day0.Add(time.Duration(i)*time.Hour),
			`"details":{`+details+`},"tags":["t","t","u"]`+[]string{"", `,"ip_address":"10.0.0.1"`, `,"ip_address":"2001:db8::1"`, `,"user_id":"ann"`}[i%4]))
	}
	es, lite := both(t, docs)
	for _, params := range []string{"group_by=details.a", "group_by=details.a.b", "group_by=tags", "group_by=tags,details.a&limit=3", "group_by=ip_address",
		"group_by=details.zz,ip_address", `group_by=details.a"b`, `group_by=details.a\`, `group_by=details.a\b`,
		"group_by=details.x\x00y", "group_by=details..", `group_by=details.'`, "group_by=details.$[0]", "group_by=details.é", "group_by=table_name", "group_by=details.a&metric=cardinality:ip_address", "interval=2h&group_by=user_id",
		"interval=week&group_by=success", "interval=1s&limit=2&order=-key"} {
		if diff := cmp.Diff(aggregateOf(t, lite, params), aggregateOf(t, es, params)); diff != "" {
			t.Errorf("%s: SQLite - and Elasticsearch +\n%s", params, diff)
		}
	}
}

// TestGroupsBeyondTheFirstPage looks through the groups in small portions, and finds the same as in one.
func TestGroupsBeyondTheFirstPage(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	var docs []testDoc
	for i := range 400 {
		docs = append(docs, document(activity.APITransaction, i, day0.Add(time.Duration(i)*time.Minute), fmt.Sprintf(
			`"user_id":"u%d","status_code":%d,"tags":["a%d","b%d"],"execution_time_ms":%d`, r.IntN(40), 200+r.IntN(5), r.IntN(9), r.IntN(3), i)))
		if i%7 == 0 {
			docs[i] = document(activity.Plain, i, day0.Add(time.Duration(i)*time.Minute), fmt.Sprintf(
				`"tags":["a1"],"details":{"x":"%d},{\"key\":{\"0\":\"buckets\":["}`, i%50))
		}
	}
	whole, lite := both(t, docs)
	small := *whole
	small.groups = portions{first: 3, rest: 4, complete: 2, bytes: 1}
	for _, params := range []string{
		"group_by=user_id&limit=5", "group_by=user_id&limit=5&metric=p50:execution_time_ms,sum:status_code", "group_by=user_id,status_code&limit=7&metric=max:execution_time_ms",
		"group_by=user_id&metric=sum:status_code,avg:execution_time_ms&order=-avg:execution_time_ms&limit=3", "group_by=tags,user_id&limit=9&metric=cardinality:user_id,min:@timestamp",
		"interval=hour&group_by=status_code&metric=sum:execution_time_ms&limit=20", "interval=month&group_by=user_id&metric=avg:status_code&order=-count&limit=4",
		"group_by=user_id&metric=cardinality:status_code&order=cardinality:status_code&limit=6", "group_by=status_code,user_id&order=-key&limit=3&metric=min:execution_time_ms",
	} {
		want := aggregateOf(t, lite, params)
		for name, s := range map[string]*Reader{"whole": whole, "small": &small} {
			if diff := cmp.Diff(want, aggregateOf(t, s, params)); diff != "" {
				t.Errorf("%s, %s: SQLite - and Elasticsearch +\n%s", params, name, diff)
			}
		}
		if want.Left == 0 {
			t.Errorf("%s: no groups were left out", params)
		}
	}
}

// TestAClusterMayAllowFewerGroupsARequest than there are in a page.
func TestAClusterMayAllowFewerGroupsARequest(t *testing.T) {
	t.Parallel()
	c, n := onNode(t)
	es := mustOpen(t, c)
	var docs []testDoc
	for i := range 3000 {
		docs = append(docs, document(activity.Plain, i, day0.Add(time.Duration(i)*time.Second), fmt.Sprintf(`"user_id":"u%d"`, i/2)))
	}
	write(t, es, docs...)
	refresh(t, n, c)
	t.Cleanup(func() { n.MustDo(t, "PUT", "/_cluster/settings", `{"transient":{"search.max_buckets":null}}`, nil) })
	n.MustDo(t, "PUT", "/_cluster/settings", `{"transient":{"search.max_buckets":11000}}`, nil)
	if got := aggregateOf(t, mustRead(t, c), "group_by=user_id&limit=10"); len(got.Groups) != 10 || got.Left != 1490 || got.Other != 2980 || got.Groups[9].Count != 2 {
		t.Errorf("%+v", got)
	}
}

// TestEstimatesAreWithinTheirTolerance: docs/api.md says how far percentiles and cardinalities may be off.
func TestEstimatesAreWithinTheirTolerance(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	var docs []testDoc
	var times []float64
	users := map[int]bool{}
	for i := range 30_000 {
		ms, user := math.Round(1000*math.Exp(2*r.NormFloat64()))/1000, r.IntN(20_000)
		times, users[user] = append(times, ms), true
		docs = append(docs, document([]activity.Kind{activity.APITransaction, activity.ExternalAPI}[i%2], i, day0.Add(time.Duration(i)*time.Second),
			fmt.Sprintf(`"execution_time_ms":%v,"user_id":"u%d"`, ms, user)))
	}
	slices.Sort(times)
	exact := func(p float64) float64 { return times[int(min(max(p, 0), 100)/100*float64(len(times)-1))] }
	es, lite := both(t, docs)
	percents := []float64{0, 1, 25, 50, 90, 95, 99, 100}
	params := "metric=cardinality:user_id"
	for _, p := range percents {
		params += fmt.Sprintf(",p%v:execution_time_ms", p)
	}
	a, b := aggregateOf(t, lite, params).Groups[0].Values, aggregateOf(t, es, params).Groups[0].Values
	if n := float64(len(users)); a[0] != n || math.Abs(b[0].(float64)-n) > n/100 {
		t.Errorf("%v users: SQLite says %v, Elasticsearch %v", n, a[0], b[0])
	}
	for i, p := range percents {
		if got, want := a[i+1].(float64), exact(p); math.Abs(got-want) > want/100+1e-3 {
			t.Errorf("p%v is %v, SQLite says %v", p, want, got)
		}
		if got := b[i+1].(float64); got < exact(p-1) || got > exact(p+1) {
			t.Errorf("p%v is %v, Elasticsearch says %v", p, exact(p), got)
		}
	}
	grouped := aggregateOf(t, es, "group_by=kind&metric=cardinality:user_id,p95:execution_time_ms")
	for i, g := range aggregateOf(t, lite, "group_by=kind&metric=cardinality:user_id,p95:execution_time_ms").Groups {
		want, got := g.Values[0].(float64), grouped.Groups[i].Values[0].(float64)
		if math.Abs(want-got) > want/20 {
			t.Errorf("%v: %v users, Elasticsearch says %v", g.Keys, want, got)
		}
	}
}
