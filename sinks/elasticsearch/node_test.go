package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
	"github.com/truledgr/activity-agent/sinks/sqlite"
)

func TestSetupIsIdempotent(t *testing.T) {
	t.Parallel()
	c, n := onNode(t)
	for round, want := range []string{"created", "unchanged"} {
		done, err := Install(context.Background(), c, Wanted{})
		if err != nil {
			t.Fatal(err)
		}
		if len(done.Changes) != 1+len(activity.Kinds()) {
			t.Errorf("got %d templates", len(done.Changes))
		}
		for _, ch := range done.Changes {
			if ch.Did != want {
				t.Errorf("round %d: %s was %s, want %s", round, ch.Name, ch.Did, want)
			}
		}
	}
	n.MustDo(t, "PUT", "/_index_template/"+c.IndexPrefix+"-auth-event", `{"index_patterns":["`+c.IndexPrefix+`-auth-event-*"],"priority":1}`, nil)
	s := mustOpen(t, c)
	write(t, s, series(activity.Plain, 0, 1)...)
	done, err := Install(context.Background(), c, Wanted{})
	if err != nil {
		t.Fatal(err)
	}
	for _, ch := range done.Changes {
		want := "unchanged"
		if strings.HasSuffix(ch.Name, "auth-event") { // which a start of the agent leaves alone
			want = "updated"
		}
		if ch.Did != want {
			t.Errorf("%s was %s, want %s", ch.Name, ch.Did, want)
		}
	}
}

func TestNodeStoresAndRecognisesDuplicates(t *testing.T) {
	t.Parallel()
	for _, compression := range []string{"gzip", "none"} {
		c, n := onNode(t)
		c.Compression = compression
		c.MaxBody = 64 << 10
		s := mustOpen(t, c)
		docs := series(activity.AuthEvent, 0, 1000)
		for _, want := range []string{"stored", "duplicate"} {
			for i, r := range strings.Fields(verdicts(write(t, s, docs...))) {
				if r != want {
					t.Fatalf("%s: document %d: got %s, want %s", compression, i, r, want)
				}
			}
		}
		seen := map[string]string{}
		for d := range n.Scan(t, c.IndexPrefix+"-*") {
			seen[d.ID] = string(d.Source)
			if want := c.IndexPrefix + "-auth-event-2026.01"; d.Index != want {
				t.Fatalf("got index %s, want %s", d.Index, want)
			}
		}
		for _, d := range docs {
			if got := seen[d.rec.ID.String()]; got != d.body {
				t.Fatalf("%s: got %s, want %s", d.rec.ID, got, d.body)
			}
		}
		var alias map[string]any
		n.Get(t, "/_alias/"+c.IndexPrefix, &alias)
		if len(alias) != 1 {
			t.Errorf("the alias is over %d indices, want 1", len(alias))
		}
	}
}

func TestNodeComparesGivenIDs(t *testing.T) {
	t.Parallel()
	c, n := onNode(t)
	s := mustOpen(t, c)
	first := document(activity.Plain, 1, day0, `"user_id":"ann","log":{"offset":1}`)
	first.rec.Trusted = true
	again, other := first, first
	again.body = strings.NewReplacer(`2026-01-03`, `2026-01-09`, `{"offset":1}`, `{"offset":2}`).Replace(first.body)
	other.body = strings.Replace(first.body, "ann", "bob", 1)
	write(t, s, first)
	if got, want := verdicts(write(t, s, again, other, document(activity.Plain, 2, day0, ""))), "duplicate conflict stored"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	refresh(t, n, c)
	q := search.Query{Where: []search.Condition{{Field: activity.Details, Path: "id", Values: []any{first.rec.ID.String()}}}}
	p, err := mustRead(t, c).Search(context.Background(), q)
	if err != nil || len(p.Items) != 1 || !strings.Contains(string(p.Items[0]), "bob") {
		t.Errorf("by the id it was given: got %s, %v", p.Items, err)
	}
}

// Whatever the encoder lets through must be stored, however its values differ from what other products send.
func TestNodeTakesEveryShape(t *testing.T) {
	t.Parallel()
	c, n := onNode(t)
	s := mustOpen(t, c)
	long := strings.Repeat("x", 40_000)
	umlauts := strings.Repeat("ü", 40_000)
	deep := strings.Repeat(`{"a":`, 17) + `"` + strings.Repeat(`{`, 4) + `"` + strings.Repeat("}", 17)
	key := strings.Repeat("k", 500)
	var docs []testDoc
	for i, more := range []string{
		`"description":"` + long + `","user_id":"` + long + `"`,
		`"description":"` + umlauts + `","user_id":"` + umlauts + `","details":{"` + key + `":"` + umlauts + `"}`,
		`"details":{"deep":` + deep + `}`,
		`"details":{"level":"error"}`,
		`"details":{"level":{"name":"error","n":1}}`,
		`"details":{"level":[1,"2",{"three":[[3]]}],"level.name":true}`,
		`"details":{"time":"2026-01-01"},"context":{"time":1767323045}`,
		`"details":{"a":{"a.b":{"":"empty name"}},"":1," ":2,".":3,"..":4,"a..b":5}`,
		`"details":{"\u0001\ufffd":"\u0001","n":1e400,"big":123456789012345678901234567890}`,
		`"metadata":{"value":"x"},"details":{}`,
		`"tags":[],"details":{"empty":[],"none":null}`,
		`"description":"","user_id":""`,
		`"trace_id":"\u2028\u0000x"`,
	} {
		docs = append(docs, document(activity.Plain, i, day0, more))
	}
	for i, more := range []string{
		`"ip_address":"not an address"`, `"ip_address":"::1"`, `"ip_address":"10.0.0.1, 10.0.0.2"`, `"ip_address":""`,
		`"user_agent":"` + long + `"`, `"execution_time_ms":1e308,"status_code":9223372036854775807`,
	} {
		docs = append(docs, document(activity.APITransaction, 100+i, day0, more))
	}
	docs = append(docs,
		document(activity.ExternalAPI, 200, day0, `"rate_limit":{"limit":1,"reset_at":"9999-12-31T23:59:59Z"}`),
		document(activity.ExternalAPI, 201, day0, `"rate_limit":{"limit":1,"reset_at":"0001-01-01T00:00:00Z"}`),
		document(activity.SystemEvent, 202, day0, `"stack_trace":"`+long+`"`),
		document(activity.Plain, 203, time.Unix(0, 0), ``),
		document(activity.Plain, 204, time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC), ``),
	)
	for i, r := range write(t, s, docs...) {
		if got := verdicts([]sinks.Result{r}); got != "stored" {
			t.Errorf("%.200s: got %s, want stored", docs[i].body, got)
		}
	}
	seen := 0
	for range n.Scan(t, c.IndexPrefix+"-*") {
		seen++
	}
	if seen != len(docs) {
		t.Errorf("found %d, want %d", seen, len(docs))
	}
}

// A template that somebody else made may refuse documents: only those are rejected, and no value is repeated.
func TestNodeRejectsOneDocumentAndSaysWhichField(t *testing.T) {
	t.Parallel()
	c, n := onNode(t)
	n.MustDo(t, "PUT", "/"+c.IndexPrefix+"-activity-2026.01", `{"mappings":{"dynamic":false,"properties":{
		"user_id":{"type":"long"},"details":{"properties":{"secret":{"type":"ip"}}},"entity_id":{"type":"keyword"}}}}`, nil)
	s := mustOpen(t, c)
	docs := []testDoc{
		document(activity.Plain, 1, day0, `"user_id":"swordfish"`),
		document(activity.Plain, 2, day0, `"user_id":"7"`),
		document(activity.Plain, 3, day0, `"details":{"secret":"swordfish"}`),
		document(activity.Plain, 4, day0, `"entity_id":"`+strings.Repeat("swordfish", 4000)+`"`),
	}
	want := "rejected:document_parsing_exception: user_id stored rejected:document_parsing_exception: details rejected:document_parsing_exception: entity_id"
	got := verdicts(write(t, s, docs...))
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if strings.Contains(got, "swordfish") {
		t.Error("a value is in the reason")
	}
}

func TestNodeRefusingAnIndexStopsDelivery(t *testing.T) {
	t.Parallel()
	c, n := onNode(t)
	index := c.IndexPrefix + "-activity-2026.01"
	docs := append(series(activity.Plain, 0, 2), series(activity.AuthEvent, 5, 1)...)
	for name, set := range map[string][2]string{
		"read-only index":  {`{"index.blocks.write":true}`, "cluster_block_exception"},
		"missing pipeline": {`{"index.default_pipeline":"no-such-pipeline"}`, "illegal_argument_exception"},
	} {
		n.Do(t, "DELETE", "/"+c.IndexPrefix+"-*", "")
		n.Do(t, "DELETE", "/"+index, "")
		n.MustDo(t, "PUT", "/"+index, `{}`, nil)
		n.MustDo(t, "PUT", "/"+index+"/_settings", set[0], nil)
		s := mustOpen(t, c)
		results := make([]sinks.Result, len(docs))
		err := s.Write(context.Background(), batchOf(docs...), results)
		if got := verdicts(results); !strings.HasPrefix(got, "retry retry ") || err == nil || !strings.Contains(err.Error(), set[1]) {
			t.Errorf("%s: got %s, %v", name, got, err)
		}
		n.MustDo(t, "PUT", "/"+index+"/_settings", `{"index.blocks.write":null,"index.default_pipeline":null}`, nil)
		if err := s.Write(context.Background(), batchOf(docs...), results); err != nil {
			t.Errorf("%s, undone: %v", name, err)
		}
	}
}

// The real files of logs, through the real pipeline: no mapping refuses any of it.
func TestNodeTakesTheRealLogs(t *testing.T) {
	t.Parallel()
	c, n := onNode(t)
	s := mustOpen(t, c)
	pipe, err := pipeline.New(pipeline.Options{Config: pipeline.DefaultConfig(), AgentID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(testenv.Shared(t, "corpus/logs"), "*"))
	if err != nil {
		t.Fatal(err)
	}
	delivered := 0
	for i, file := range files {
		if strings.HasSuffix(file, ".provenance") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		raw := &pipeline.Raw{Buf: text}
		stream := &pipeline.Stream{ID: activity.StreamID{byte(i)}, Path: file}
		cutter := pipeline.Cutter{MaxLine: 1 << 20}
		raw.Ranges = []pipeline.Range{{Stream: stream, End: int64(len(text))}}
		cutter.Cut(raw, 0, len(text), 0, true)
		var b pipeline.Batch
		pipe.Process(raw, uint64(i+1), time.Now().UTC(), &b)
		for _, want := range []string{"stored", "duplicate"} {
			results := make([]sinks.Result, len(b.Records))
			if err := s.Write(context.Background(), &b, results); err != nil {
				t.Fatal(file, err)
			}
			for k, r := range results {
				if got := verdicts(results[k : k+1]); b.Records[k].Fate == pipeline.Deliver && got != want {
					t.Errorf("%s: record %d: got %s, want %s", filepath.Base(file), k, got, want)
				}
				if r.Verdict == sinks.Stored {
					delivered++
				}
			}
		}
	}
	seen := 0
	for range n.Scan(t, c.IndexPrefix+"-*") {
		seen++
	}
	if seen != delivered || seen < 1000 {
		t.Errorf("found %d, want the %d that were stored, more than 1000", seen, delivered)
	}
	t.Logf("%d records", seen)
}

// library stores one document of each sort in SQLite and in Elasticsearch.
func library(t *testing.T) (*Reader, *sqlite.Reader) {
	t.Helper()
	add := func(k activity.Kind, n int, more string) testDoc {
		return document(k, n, day0.Add(time.Duration(n)*time.Hour), more+fmt.Sprintf(`,"metadata":{"n":%d}`, n))
	}
	docs := []testDoc{
		add(activity.Plain, 1, `"user_id":"ann","description":"Payment of Zoë’s café failed: no_such_card","tags":["eu","web"]`),
		add(activity.APITransaction, 2, `"user_id":"ann smith","endpoint":"/api/v1/orders/17","status_code":503,"execution_time_ms":12.5,"ip_address":"10.0.0.1","error_details":"upstream timed out"`),
		add(activity.SystemEvent, 3, `"severity":"error","stack_trace":"panic: x\n\tat Main.run(Main.java:7)","details":{"x":{"y":"deep"},"p.q":"dotted","ok":true,"n":1.5,"list":["a","b"],"none":null}`),
		add(activity.AuthEvent, 4, `"user_id":"bob","success":false,"session_id":"S-9F","login_method":"sso"`),
		add(activity.DataChange, 5, `"record_id":"550e8400-e29b-41d4-a716-446655440000","table_name":"orders","changed_fields":["a","b"],"description":"card failed of payment","request_id":"ann"`),
		add(activity.ExternalAPI, 6, `"service_name":"stripe","service":{"name":"shop","version":"1.2"},"rate_limit":{"limit":10,"reset_at":"2026-01-02T00:00:00.5Z"},"description":"ПРИВЕТ 東京 user_login at 10.0.0.1"`),
	}
	for i := range 40 {
		more := ""
		if i%3 != 0 {
			more = fmt.Sprintf(`"status_code":%d,"execution_time_ms":%g,"user_id":"u%d",`, 200+i%5, float64(i%4)/8, i%2)
		}
		docs = append(docs, document(activity.APITransaction, 100+i, day0.Add(100*time.Hour+time.Duration(i%4)*time.Nanosecond), more+fmt.Sprintf(`"metadata":{"n":%d}`, 100+i)))
	}
	c, n := onNode(t)
	write(t, mustOpen(t, c), docs...)
	refresh(t, n, c)

	lite := sqlite.Config{Path: filepath.Join(t.TempDir(), "a.db")}
	s, err := sqlite.Open(lite, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(context.Background(), batchOf(docs...), make([]sinks.Result, len(docs))); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := sqlite.OpenReader(lite, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return mustRead(t, c), r
}

func numbers(t *testing.T, items []json.RawMessage) []int {
	t.Helper()
	out := []int{}
	for _, item := range items {
		var d struct {
			Metadata struct{ N int }
		}
		if err := json.Unmarshal(item, &d); err != nil {
			t.Fatal(err)
		}
		out = append(out, d.Metadata.N)
	}
	return out
}

func parse(t *testing.T, params string) search.Query {
	t.Helper()
	values := map[string][]string{}
	for p := range strings.FieldsFuncSeq(params, func(c rune) bool { return c == '&' }) {
		k, v, _ := strings.Cut(p, "=")
		values[k] = append(values[k], v)
	}
	q, err := search.Parse(nil, values, nil, day0)
	if err != nil {
		t.Fatalf("%s: %v", params, err)
	}
	return q
}

func TestReader(t *testing.T) {
	t.Parallel()
	es, lite := library(t)
	t.Run("answers are those of SQLite", func(t *testing.T) { sameAnswers(t, es, lite) })
	t.Run("cursors follow every order", func(t *testing.T) { cursors(t, es, lite) })
	t.Run("a page at the end of the window has a cursor", func(t *testing.T) {
		p, err := es.Search(context.Background(), search.Query{Limit: 10, Offset: search.MaxWindow - 10})
		if err != nil || len(p.Items) != 0 || p.Next != "" || p.Total != 46 {
			t.Errorf("got %+v, %v", p, err)
		}
	})
	t.Run("known differences", func(t *testing.T) { differences(t, es) })
}

func sameAnswers(t *testing.T, es, lite search.Store) {
	for _, params := range []string{
		"", "kind=activity", "kind=auth_event,data-change", "user_id=ann", "user_id=ann smith", "user_id=ann&user_id=bob",
		"user_id=Ann", "user_id=!", "user_id.prefix=ann", "user_id.prefix=ANN", "user_id.exists=true", "user_id.exists=false", "tags=web",
		"tags=x&tags=eu", "tags.exists=true", "status_code.gte=500", "status_code.gt=503", "status_code.lt=202", "execution_time_ms.lte=12.5",
		"execution_time_ms=0.25", "ip_address=10.0.0.1", "success=false", "success=true", "login_method=sso", "changed_fields=b", "service.name=shop",
		"service.version=1.2", "rate_limit.limit.gte=10", "rate_limit.reset_at.gt=2026-01-02T00:00:00.4Z",
		"rate_limit.reset_at.gt=2026-01-02T00:00:00.6Z", "details.x.y=deep", "details.p.q=dotted", "details.ok=true", "details.n=1.5",
		"details.list=b", "details.x=deep", "details.x.y.exists=true", "details.none.exists=true", "details.zz.exists=false",
		"details.exists=true", "details.exists=false", "description.exists=true", "amendments.exists=true", "amendments.exists=false",
		"from=2026-01-02T07:00:00Z", "to=2026-01-02T07:00:00Z", "from=2026-01-02&to=2026-01-02",
		"@timestamp.lte=2026-01-02T04:04:05.123456789Z", "@timestamp.lt=2026-01-02T04:04:05.123456789Z",
		"@timestamp.gt=2026-01-06T07:04:05.123456790Z", "id=" + idAt(day0.Add(3*time.Hour), 3).String(),
		"limit=7", "limit=7&offset=3", "limit=7&sort=status_code", "limit=50&sort=-status_code,user_id", "sort=user_id,-@timestamp", "sort=id",
		"sort=-id", "sort=@timestamp", "sort=kind,success", "sort=-success", "sort=execution_time_ms", "sort=-execution_time_ms,@timestamp",
		"sort=rate_limit.reset_at", "fields=service.name,kind,metadata&kind=external_api",
		"q=payment", "q=PAYMENT failed", `q="failed of payment"`, `q="payment of zoë"`, "q=café", "q=payment -café", "q=-payment",
		`q=-"card failed" payment`, "q=no_such_card", `q="such card"`, "q=card", "q=/api/v1/orders", "q=orders/17", "q=v1/17", "q=timed", "q=time",
		"q=main.java:7", "q=ann", `q="ann smith api"`, `q="smith description"`, "q=user_id", "q=s-9f", "q=550e8400-e29b-41d4-a716-446655440000",
		"q=446655440000", "q=привет", "q=東京", "q=login", "q=user_login", "q=10.0.0.1", `q=payment AND failed OR "x"`, "q=NOT", "q=pay*", "q=stripe",
		"q=" + strings.Repeat("x", 300), "q=ann&user_id.prefix=ann",
	} {
		q := parse(t, params)
		want, err := lite.Search(context.Background(), q)
		if err != nil {
			t.Fatal(params, err)
		}
		got, err := es.Search(context.Background(), q)
		if err != nil {
			t.Errorf("%s: %v", params, err)
			continue
		}
		if g, w := numbers(t, got.Items), numbers(t, want.Items); !cmp.Equal(g, w) || got.Total != want.Total || got.TotalAtLeast != want.TotalAtLeast || got.Next != want.Next {
			t.Errorf("%s: got %v of %d, next %q, want %v of %d, next %q", params, g, got.Total, got.Next, w, want.Total, want.Next)
		}
		for i := range got.Items {
			if i < len(want.Items) && string(got.Items[i]) != string(want.Items[i]) {
				t.Errorf("%s: got %s, want %s", params, got.Items[i], want.Items[i])
			}
		}
		n, err := es.Count(context.Background(), q)
		if m, err2 := lite.Count(context.Background(), q); n != m || err != nil || err2 != nil {
			t.Errorf("%s: counted %d, %v, want %d, %v", params, n, err, m, err2)
		}
		if m := matching(t, es, q); m != int(n) {
			t.Errorf("%s: the matcher finds %d, and the store %d", params, m, n)
		}
	}
}

// matching is how many documents a matcher finds for q.
func matching(t *testing.T, s search.Store, q search.Query) (n int) {
	t.Helper()
	m, err := search.NewMatcher(q)
	if err != nil {
		t.Fatal(err)
	}
	err = search.Each(context.Background(), s, search.Query{}, 0, func(item json.RawMessage) error {
		var d search.Document
		if err := d.Parse(item); err != nil {
			return err
		}
		if m.Matches(&d) {
			n++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// What differs on a node without the module analysis-common, so that a change of it is seen.
func differences(t *testing.T, es search.Store) {
	for params, want := range map[string][]int{
		"details.x.exists=true": {},  // an object
		"q=cafe":                {},  // an accent
		"q=v":                   {2}, // letters that are joined to digits
		"q=10.0":                {},  // digits within something longer
	} {
		p, err := es.Search(context.Background(), parse(t, params))
		if err != nil {
			t.Fatal(err)
		}
		if got := numbers(t, p.Items); !cmp.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", params, got, want)
		}
	}
}

func cursors(t *testing.T, es, lite search.Store) {
	for _, order := range []string{"", "status_code", "-status_code,user_id", "user_id,-@timestamp", "-user_id", "id", "-id", "@timestamp",
		"kind,success", "-success", "execution_time_ms", "-execution_time_ms", "rate_limit.reset_at", "-rate_limit.reset_at", "service.name"} {
		q := parse(t, "limit=5&sort="+order)
		var all []int
		for pages := 0; pages < 20; pages++ {
			p, err := es.Search(context.Background(), q)
			if err != nil {
				t.Fatalf("%s: %v", order, err)
			}
			l, err := lite.Search(context.Background(), q)
			if err != nil || l.Next != p.Next {
				t.Errorf("%s: got next %q, want %q, %v", order, p.Next, l.Next, err)
			}
			all = append(all, numbers(t, p.Items)...)
			if q.Cursor = p.Next; q.Cursor == "" {
				break
			}
		}
		sorted := slices.Clone(all)
		slices.Sort(sorted)
		if len(slices.Compact(sorted)) != 46 || len(all) != 46 {
			t.Errorf("%s: saw %d, %v", order, len(all), all)
		}
	}
}

func TestGetFindsWhatNoSearchFindsYet(t *testing.T) {
	t.Parallel()
	c, n := onNode(t)
	r, s := mustRead(t, c), mustOpen(t, c)
	if _, err := r.Get(context.Background(), idAt(day0, 1)); !errors.Is(err, search.ErrNotFound) {
		t.Errorf("no index: got %v, want ErrNotFound", err)
	}
	if p, err := r.Search(context.Background(), search.Query{}); err != nil || len(p.Items) != 0 {
		t.Errorf("no index: got %v, %v", p, err)
	}
	d := document(activity.DataChange, 1, day0, `"table_name":"orders","details":{"n":1.50,"big":12345678901234567890123,"e":1e400}`)
	moved := document(activity.Plain, 2, day0, "")
	moved.rec.Time = day0.AddDate(0, -3, 0).UnixNano() // a given id need not have the document's time
	write(t, s, d, moved)
	got, err := r.Get(context.Background(), d.rec.ID)
	if err != nil || string(got) != d.body {
		t.Errorf("got %s, %v, want %s", got, err, d.body)
	}
	refresh(t, n, c)
	if got, err := r.Get(context.Background(), moved.rec.ID); err != nil || string(got) != moved.body {
		t.Errorf("got %s, %v, want %s", got, err, moved.body)
	}
	if _, err := r.Get(context.Background(), idAt(day0, 9)); !errors.Is(err, search.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestReplayKeepsTheTargetOfItsIntent(t *testing.T) {
	t.Parallel()
	c, n := onNode(t)
	prefix, periods := c.Target()
	docs := series(activity.Plain, 0, 3)
	s := mustOpen(t, c)
	write(t, s, docs...)
	c.Period = "day"
	today := mustOpen(t, c)
	results := make([]sinks.Result, 3)
	if err := today.WriteTo(context.Background(), batchOf(docs...), results, prefix, periods); err != nil {
		t.Fatal(err)
	}
	if got, want := verdicts(results), "duplicate duplicate duplicate"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	write(t, today, series(activity.Plain, 10, 1)...)
	seen := map[string]int{}
	for d := range n.Scan(t, c.IndexPrefix+"-*") {
		seen[strings.TrimPrefix(d.Index, c.IndexPrefix)]++
	}
	if want := map[string]int{"-activity-2026.01": 3, "-activity-2026.01.02": 1}; !cmp.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
}
