package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/internal/testenv"
)

// number returns the n that the test gave the document, which its metadata holds.
func number(tb testing.TB, item json.RawMessage) int {
	tb.Helper()
	var d struct {
		Metadata struct{ N int }
	}
	if err := json.Unmarshal(item, &d); err != nil {
		tb.Fatal(err)
	}
	return d.Metadata.N
}

// library is a store with one document of each sort that the tables below ask for.
func library(tb testing.TB) *Reader {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "a.db")
	s := mustOpen(tb, path)
	add := func(k activity.Kind, n int, more string) testDoc {
		return document(k, n, day0.Add(time.Duration(n)*time.Hour), more+fmt.Sprintf(`,"metadata":{"n":%d}`, n))
	}
	write(tb, s,
		add(activity.Plain, 1, `"user_id":"ann","description":"Payment of Zoë’s café failed: no_such_card","tags":["eu","web"]`),
		add(activity.APITransaction, 2, `"user_id":"ann smith","endpoint":"/api/v1/orders/17","status_code":503,"execution_time_ms":12.5,"ip_address":"10.0.0.1","error_details":"upstream timed out"`),
		add(activity.SystemEvent, 3, `"severity":"error","stack_trace":"panic: x\n\tat Main.run(Main.java:7)","details":{"x":{"y":"deep"},"p.q":"dotted","ok":true,"n":1.5,"list":["a","b"],"none":null}`),
		add(activity.AuthEvent, 4, `"user_id":"bob","success":false,"session_id":"S-9F","login_method":"sso"`),
		add(activity.DataChange, 5, `"record_id":"550e8400-e29b-41d4-a716-446655440000","table_name":"orders","changed_fields":["a","b"],"description":"card failed of payment","request_id":"ann"`),
		add(activity.ExternalAPI, 6, `"service_name":"stripe","service":{"name":"shop","version":"1.2"},"rate_limit":{"limit":10,"reset_at":"2026-01-02T00:00:00.5Z"},"description":"Ünïcödé ПРИВЕТ 東京 naïve a\u0301b"`),
	)
	return mustRead(tb, path)
}

func ask(tb testing.TB, r *Reader, params string) []int {
	tb.Helper()
	values := map[string][]string{}
	for p := range strings.FieldsFuncSeq(params, func(c rune) bool { return c == '&' }) {
		k, v, _ := strings.Cut(p, "=")
		values[k] = append(values[k], v)
	}
	q, err := search.Parse(nil, values, nil, day0)
	if err != nil {
		tb.Fatalf("%s: %v", params, err)
	}
	page, err := r.Search(context.Background(), q)
	if err != nil {
		tb.Fatalf("%s: %v", params, err)
	}
	got := []int{}
	for _, item := range page.Items {
		got = append(got, number(tb, item))
	}
	if page.Total != int64(len(got)) {
		tb.Errorf("%s: total %d, items %d", params, page.Total, len(got))
	}
	slices.Sort(got)
	if matched := match(tb, r, q); !slices.Equal(matched, got) {
		tb.Errorf("%s: the store finds %v, and the matcher %v", params, got, matched)
	}
	return got
}

// match answers q with a matcher.
func match(tb testing.TB, r *Reader, q search.Query) []int {
	tb.Helper()
	m, err := search.NewMatcher(q)
	if err != nil {
		tb.Fatal(err)
	}
	found := []int{}
	err = search.Each(context.Background(), r, search.Query{}, 0, func(item json.RawMessage) error {
		var d search.Document
		if err := d.Parse(item); err != nil {
			return err
		}
		if m.Matches(&d) {
			found = append(found, number(tb, item))
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	slices.Sort(found)
	return found
}

func TestSearchAnswers(t *testing.T) {
	t.Parallel()
	r := library(t)
	for params, want := range map[string][]int{
		"":                            {1, 2, 3, 4, 5, 6},
		"kind=activity":               {1},
		"kind=auth_event,data-change": {4, 5},
		"user_id=ann":                 {1},
		"user_id=ann smith":           {2},
		"user_id=ann&user_id=bob":     {1, 4},
		"user_id=Ann":                 {},
		"user_id=!":                   {},
		"user_id.prefix=ann":          {1, 2},
		"user_id.exists=true":         {1, 2, 4},
		"user_id.exists=false":        {3, 5, 6},
		"tags=web":                    {1},
		"tags=x&tags=eu":              {1},
		"status_code.gte=500":         {2},
		"status_code.gt=503":          {},
		"execution_time_ms.lte=12.5":  {2},
		"ip_address=10.0.0.1":         {2},
		"success=false":               {4},
		"login_method=sso":            {4},
		"changed_fields=b":            {5},
		"service.name=shop":           {6},
		"service.version=1.2":         {6},
		"rate_limit.limit.gte=10":     {6},
		"rate_limit.reset_at.gt=2026-01-02T00:00:00.4Z": {6},
		"rate_limit.reset_at.gt=2026-01-02T00:00:00.6Z": {},
		"details.x.y=deep":                              {3},
		"details.p.q=dotted":                            {3},
		"details.ok=true":                               {3},
		"details.n=1.5":                                 {3},
		"details.list=b":                                {3},
		"details.x=deep":                                {},
		"details.x.exists=true":                         {3},
		"details.none.exists=true":                      {},
		"details.zz.exists=false":                       {1, 2, 3, 4, 5, 6},
		"from=2026-01-02T07:00:00Z":                     {4, 5, 6},
		"to=2026-01-02T07:00:00Z":                       {1, 2, 3},
		"from=2026-01-02&to=2026-01-02":                 {1, 2, 3, 4, 5, 6},
		"@timestamp.lte=2026-01-02T04:04:05.123456789Z": {1},
		"@timestamp.lt=2026-01-02T04:04:05.123456789Z":  {},
		"id=" + idAt(day0.Add(3*time.Hour), 3).String(): {3},
	} {
		if got := ask(t, r, params); !cmp.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", params, got, want)
		}
	}
}

func TestFullTextAnswers(t *testing.T) {
	t.Parallel()
	r := library(t)
	for q, want := range map[string][]int{
		"payment":                              {1, 5},
		"PAYMENT failed":                       {1, 5},
		`"failed of payment"`:                  {5},
		`"payment of zoe"`:                     {1},
		"cafe":                                 {1},
		"café":                                 {1},
		"payment -cafe":                        {5},
		"-payment":                             {2, 3, 4, 6},
		`-"card failed" payment`:               {1},
		"no_such_card":                         {1},
		`"such card"`:                          {1},
		"/api/v1/orders":                       {2},
		"orders/17":                            {2},
		"v1/17":                                {},
		"timed":                                {2},
		"time":                                 {},
		"main.java:7":                          {3},
		"ann":                                  {1, 2, 5},
		`"ann smith api"`:                      {},
		`"smith description"`:                  {},
		"user_id":                              {},
		"s-9f":                                 {4},
		"550e8400-e29b-41d4-a716-446655440000": {5},
		"446655440000":                         {5},
		"unicode":                              {6},
		"привет":                               {6},
		"東京":                                   {6},
		"naive":                                {6},
		"ab":                                   {6},
		`payment AND failed OR "x"`:            {},
		"NOT":                                  {},
		"pay*":                                 {},
		"stripe":                               {}, // service_name is no text field
		strings.Repeat("x", 300):               {},
	} {
		if got := ask(t, r, "q="+q); !cmp.Equal(got, want) {
			t.Errorf("q=%s: got %v, want %v", q, got, want)
		}
	}
}

func TestSearchSelectsFields(t *testing.T) {
	t.Parallel()
	r := library(t)
	p, err := r.Search(context.Background(), search.Query{Kinds: []activity.Kind{activity.ExternalAPI},
		Fields: []string{"service.name", "kind", "rate_limit", "nothing"}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"external_api","service":{"name":"shop"},"rate_limit":{"limit":10,"reset_at":"2026-01-02T00:00:00.5Z"}}`
	if len(p.Items) != 1 || string(p.Items[0]) != want {
		t.Errorf("got %s, want %s", p.Items, want)
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	r := library(t)
	doc, err := r.Get(context.Background(), idAt(day0.Add(4*time.Hour), 4))
	if err != nil || number(t, doc) != 4 {
		t.Errorf("got %s, %v", doc, err)
	}
	if _, err := r.Get(context.Background(), idAt(day0, 99)); !errors.Is(err, search.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}

func TestSortPutsAbsentLastAndCursorsFollow(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	var docs []testDoc
	for n := range 30 {
		more := fmt.Sprintf(`"metadata":{"n":%d}`, n)
		if n%3 != 0 {
			more += fmt.Sprintf(`,"status_code":%d,"user_id":"u%d"`, 200+n%5, n%2)
		}
		docs = append(docs, document(activity.APITransaction, n, day0.Add(time.Duration(n%4)*time.Second), more))
	}
	write(t, s, docs...)
	r := mustRead(t, path)
	for _, order := range []string{"status_code", "-status_code,user_id", "user_id,-@timestamp", "id", "-id", "@timestamp", "kind,success"} {
		q, err := search.Parse(nil, map[string][]string{"sort": {order}}, nil, day0)
		if err != nil {
			t.Fatal(err)
		}
		var whole, paged []int
		if err := search.Each(context.Background(), r, q, 0, func(item json.RawMessage) error {
			whole = append(whole, number(t, item))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for q.Limit = 4; ; {
			p, err := r.Search(context.Background(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range p.Items {
				paged = append(paged, number(t, item))
			}
			if q.Cursor = p.Next; q.Cursor == "" {
				break
			}
		}
		if len(whole) != 30 || !cmp.Equal(whole, paged) {
			t.Errorf("%s: pages give %v, want %v", order, paged, whole)
		}
		if strings.HasPrefix(order, "status_code") && whole[29]%3 != 0 {
			t.Errorf("%s: the last has the field", order)
		}
	}
}

func TestCursorWalkWhileRowsArrive(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	total := 20_000
	if testenv.Race { // which makes SQLite thirty times slower
		total = 2000
	}
	for from := 0; from < total; from += 1000 {
		docs := make([]testDoc, 1000)
		for i := range docs { // many share a second
			n := from + i
			docs[i] = document(activity.Plain, n, day0.Add(time.Duration(n/50)*time.Second), fmt.Sprintf(`"metadata":{"n":%d}`, n))
		}
		write(t, s, docs...)
	}
	r := mustRead(t, path)
	seen := map[int]int{}
	q := search.Query{Limit: total/30 + 1, SkipTotal: true}
	for page := 0; ; page++ {
		p, err := r.Search(context.Background(), q)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range p.Items {
			seen[number(t, item)]++
		}
		if q.Cursor = p.Next; q.Cursor == "" {
			break
		}
		late := document(activity.Plain, total+page, day0.Add(24*time.Hour+time.Duration(page)*time.Second), fmt.Sprintf(`"metadata":{"n":%d}`, total+page))
		write(t, s, late)
	}
	for n := range total {
		if seen[n] != 1 {
			t.Fatalf("%d was seen %d times", n, seen[n])
		}
	}
	if len(seen) != total {
		t.Errorf("saw %d, want %d", len(seen), total)
	}
}

func TestTotalsAreBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	write(t, s, series(activity.Plain, 0, 25)...)
	r := mustRead(t, path)
	for limit, want := range map[int64]string{24: "24 true", 25: "25 false", 26: "25 false"} {
		r.maxTotal = limit
		p, err := r.Search(context.Background(), search.Query{Limit: 1})
		if got := fmt.Sprint(p.Total, " ", p.TotalAtLeast); err != nil || got != want {
			t.Errorf("up to %d: got %s, %v, want %s", limit, got, err, want)
		}
	}
	if n, err := r.Count(context.Background(), search.Query{}); err != nil || n != 25 {
		t.Errorf("Count: got %d, %v", n, err)
	}
}

// Identifiers that many rows have, and those that few have, are found by different ways.
func TestIdentifiersAreFoundHoweverManyHaveThem(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	const many = 1000
	docs := make([]testDoc, many)
	for i := range docs {
		user := "many"
		if i%50 == 0 {
			user = "few"
		}
		docs[i] = document(activity.Plain, i, day0.Add(time.Duration(i)*time.Millisecond), `"user_id":"`+user+`","description":"note"`)
	}
	write(t, s, docs...)
	r := mustRead(t, path)
	r.narrow = 500
	for params, want := range map[string]int64{
		"user_id=few": 20, "user_id=many": many - 20, "user_id=few&user_id=many": many,
		"user_id=few&q=note": 20, "user_id=many&q=note": many - 20, "user_id=many&q=-note": 0, "user_id=few&q=-many": 20,
	} {
		values := map[string][]string{}
		for p := range strings.SplitSeq(params, "&") {
			k, v, _ := strings.Cut(p, "=")
			values[k] = append(values[k], v)
		}
		q, err := search.Parse(nil, values, nil, day0)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Count(context.Background(), q); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", params, got, err, want)
		}
	}
}

// The query command is another process than the agent.
func TestAnotherProcessReadsWhileTheAgentWrites(t *testing.T) {
	t.Parallel()
	if path := os.Getenv("READ_STORE"); path != "" {
		last := int64(0)
		for end := time.Now().Add(time.Second); time.Now().Before(end); {
			n := count(t, path)
			if n < last || n%100 != 0 {
				t.Fatalf("saw %d after %d: not whole batches", n, last)
			}
			last = n
		}
		fmt.Println("saw", last)
		return
	}
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	write(t, s, series(activity.Plain, 0, 100)...)
	cmd := exec.Command(os.Args[0], "-test.run=^TestAnotherProcessReadsWhileTheAgentWrites$")
	cmd.Env = append(os.Environ(), "READ_STORE="+path)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for n := 100; ; n += 100 {
		write(t, s, series(activity.Plain, n, 100)...)
		select {
		case err := <-done:
			if err != nil || !strings.Contains(out.String(), "saw") {
				t.Errorf("the reader: %v\n%s", err, &out)
			}
			return
		default:
		}
	}
}

// The usual questions must not read the whole table, nor sort it.
func TestUsualQuestionsUseAnIndex(t *testing.T) {
	t.Parallel()
	r := library(t)
	r.narrow = -3 // as with a large store: many rows have every identifier
	for params, want := range map[string]string{
		"":                                 "activities_time",
		"from=2026-01-01":                  "activities_time",
		"kind=auth_event":                  "activities_kind_time",
		"kind=auth_event&to=-1h&status=ok": "activities_kind_time",
		"kind=auth_event,activity":         "activities_time",
		"user_id=ann":                      "activities_time",
		"sort=@timestamp":                  "activities_time",
		"id=01KDYF2GBKKFQ3DW3ZKQ1TVB4J":    "activities_id",
	} {
		values := map[string][]string{}
		for p := range strings.FieldsFuncSeq(params, func(c rune) bool { return c == '&' }) {
			k, v, _ := strings.Cut(p, "=")
			values[k] = append(values[k], v)
		}
		q, err := search.Parse(nil, values, nil, day0)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the first page, and one after a cursor
			p, err := r.plan(context.Background(), &q)
			if err != nil {
				t.Fatal(err)
			}
			query, args, err := p.page(&q)
			if err != nil {
				t.Fatal(err)
			}
			got := explain(t, r, query, args)
			if !strings.Contains(got, want) || strings.Contains(got, "TEMP B-TREE FOR ORDER BY") {
				t.Errorf("%s %s: got %s, want index %s and no sorting", params, q.Cursor, got, want)
			}
			q.Cursor = search.EncodeCursor(nil, q.Order(), []any{day0.UnixNano(), idAt(day0, 1).String()})
		}
	}
}

func explain(tb testing.TB, r *Reader, query string, args []any) string {
	tb.Helper()
	rows, err := r.db.Query("EXPLAIN QUERY PLAN "+query, args...)
	if err != nil {
		tb.Fatal(err)
	}
	defer rows.Close()
	var plan []string
	for rows.Next() {
		var a, b, c int
		var detail string
		if err := rows.Scan(&a, &b, &c, &detail); err != nil {
			tb.Fatal(err)
		}
		plan = append(plan, detail)
	}
	if err := rows.Err(); err != nil {
		tb.Fatal(err)
	}
	return strings.Join(plan, "; ")
}
