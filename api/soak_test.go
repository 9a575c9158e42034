package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/estest"
	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
	"github.com/truledgr/activity-agent/sinks/elasticsearch"
	"github.com/truledgr/activity-agent/sinks/sqlite"
)

// many is how many activities the tests of size and speed have: a million where tests may take minutes.
func many() int {
	if testenv.Soak() {
		return 1_000_000
	}
	return 3_000
}

// span is the time that they are spread over, up to now.
const span = 30 * 24 * time.Hour

// usual makes activity n of total as applications have them: a few busy users and many others, quick requests and slow ones.
func usual(n, total int) ([]byte, pipeline.Record) {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	at := now.Add(-span + time.Duration(float64(span)*float64(n)/float64(total)))
	id := activity.PositionID(at, activity.NewAgentKey("soak"), activity.StreamID{}, int64(n), 1)
	k := []activity.Kind{
		activity.APITransaction, activity.APITransaction, activity.APITransaction, activity.APITransaction, activity.DataAccess, activity.DataAccess,
		activity.DataChange, activity.AuthEvent, activity.ExternalAPI, activity.Plain, activity.SystemEvent,
	}[r.IntN(11)]
	user := int(5000 * math.Pow(r.Float64(), 3))
	ms := 5 * math.Exp(1.2*r.NormFloat64())
	var more string
	switch k {
	case activity.APITransaction:
		status := []int{200, 200, 200, 200, 200, 201, 204, 302, 404, 500}[r.IntN(10)]
		outcome := "success"
		if status >= 400 {
			outcome = "failure"
		}
		more = fmt.Sprintf(`,"method":"GET","endpoint":"/api/v1/orders/%d","status_code":%d,"execution_time_ms":%.3f,"headers":{"accept":"application/json"},"event":{"kind":"event","category":["api","web"],"outcome":%q}`,
			r.IntN(200), status, ms, outcome)
	case activity.DataAccess:
		more = fmt.Sprintf(`,"table_name":"orders","operation":"read","record_count":%d,"fields_accessed":["id","state","total"]`, r.IntN(500))
	case activity.DataChange:
		more = fmt.Sprintf(`,"table_name":"orders","operation":"update","record_id":"%d","old_values":{"state":"new"},"new_values":{"state":"paid"},"changed_fields":["state"]`, r.IntN(100_000))
	case activity.AuthEvent:
		more = fmt.Sprintf(`,"event_type":"login","success":%t,"session_id":"s-%d","login_method":"password"`, r.IntN(8) > 0, n)
	case activity.ExternalAPI:
		more = fmt.Sprintf(`,"service_name":"stripe","endpoint":"/v1/charges","status_code":200,"execution_time_ms":%.3f`, 20*ms)
	case activity.SystemEvent:
		more = `,"event_type":"startup","severity":"info","component":"worker"`
	}
	doc := fmt.Appendf(nil, `{"id":%q,"@timestamp":%q,"kind":%q,"activity_type":"%s_%d","created_at":%[2]q,"user_id":"u-%[6]d","entity_type":"order","entity_id":"%[7]d","description":"order %[7]d was looked at by a person of team %[8]d","status":%[9]q,"tags":["web","eu-%[8]d"],"ip_address":"10.%[10]d.%[11]d.7","details":{"cart":{"items":%[12]d},"team":"t%[8]d"},"request_id":"%[13]016x","service":{"name":"shop","version":"1.2.3"}%[14]s,"integrity":{"chain":"c","batch":%[15]d,"seq":1}}`,
		id, at.Format(time.RFC3339Nano), k, k, r.IntN(5), user, r.IntN(100_000), r.IntN(40), []string{"done", "open"}[r.IntN(2)], user%250, user/250, r.IntN(9), r.Uint64(), more, n)
	return doc, pipeline.Record{Decision: pipeline.Decision{Kind: k, Time: at.UnixNano()}, ID: id}
}

// load writes the activities from up to to of total through a sink.
func load(t *testing.T, s sinks.Sink, from, to, total int) {
	t.Helper()
	const batch = 2000
	for ; from < to; from += batch {
		var bodies [][]byte
		var records []pipeline.Record
		for n := from; n < min(from+batch, to); n++ {
			doc, record := usual(n, total)
			bodies, records = append(bodies, doc), append(records, record)
		}
		results := make([]sinks.Result, len(bodies))
		if err := s.Write(context.Background(), pipeline.Restore(bodies, records), results); err != nil {
			t.Error(err)
			return
		}
		for i, r := range results {
			if r.Verdict != sinks.Stored {
				t.Errorf("document %d: %+v", from+i, r)
				return
			}
		}
	}
}

// auditorOf is a request for a route by somebody who sees all.
func auditorOf(t testing.TB) func(target string) *http.Request {
	t.Helper()
	bearer := token(t, jwt.MapClaims{"sub": "zoe", "roles": "auditor"})
	return func(target string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, target, nil)
		r.Header.Set("Authorization", "Bearer "+bearer)
		return r
	}
}

// firstPages are lists as people and pages of products ask for them; n varies the values.
func firstPages(n int) []string {
	user, order := n*37%5000, n*7919%100_000
	return []string{
		"/activities/",
		fmt.Sprintf("/activities/?user_id=u-%d", user),
		fmt.Sprintf("/activities/?user_id=u-%d", n%3),
		fmt.Sprintf("/activities/?entity_type=order&entity_id=%d", order),
		"/activities/api-transactions/?status_code.gte=500",
		"/activities/auth-events/?success=false&limit=50",
		fmt.Sprintf("/activities/?from=-%dh&kind=data_change", 1+n%500),
		fmt.Sprintf("/activities/?from=-%dh&to=-%dh&status=open", 500+n%200, 100+n%300),
		fmt.Sprintf("/activities/data-changes/?table_name=orders&record_id=%d", order),
		fmt.Sprintf("/activities/?q=%d+looked&limit=20", order),
		fmt.Sprintf("/activities/entities/order/%d", order),
		"/activities/?tags=eu-7&limit=20",
	}
}

// sumsOfMany are questions for numbers, as a dashboard asks them.
var sumsOfMany = []string{
	"/activities/aggregate",
	"/activities/aggregate?group_by=kind",
	"/activities/aggregate?interval=day&group_by=kind",
	"/activities/aggregate?kind=api_transaction&group_by=endpoint&metric=percentiles:execution_time_ms&limit=10",
	"/activities/aggregate?group_by=user_id&limit=10&metric=cardinality:ip_address",
	"/activities/aggregate?group_by=user_id,status_code&limit=10",
	"/activities/aggregate?metric=percentiles:execution_time_ms,cardinality:user_id,cardinality:session_id",
	"/activities/aggregate?group_by=tags",
	"/activities/aggregate?from=-24h&interval=hour",
	"/activities/admin/summary/u-0",
	"/activities/admin/summary/u-3777",
	"/activities/auth-events/failed-logins",
	"/activities/auth-events/failed-logins?window=30d",
}

func TestManyActivitiesInSQLite(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	c := sqlite.Config{Path: filepath.Join(t.TempDir(), "a.db")}
	sink, err := sqlite.Open(c, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	load(t, sink, 0, many(), many())
	t.Logf("%d activities stored in %v", many(), time.Since(began).Round(time.Second))
	r, err := sqlite.OpenReader(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := serve(t, r, nil)
	pagesAreQuick(t, s)
	sumsAreQuick(t, s)
	numbersEndWithTheRequest(t, s)
	cursorsWalkAll(t, s, sink)
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
}

// sumsAreQuick: numbers of a million activities take seconds at most.
func sumsAreQuick(t *testing.T, s *Server) {
	t.Helper()
	for _, target := range sumsOfMany {
		began := time.Now()
		w := answerOf(s, auditorOf(t)(target))
		took := time.Since(began)
		t.Logf("%8.3f s  %s  %d bytes", took.Seconds(), target, w.Body.Len())
		if w.Code != http.StatusOK || took > 10*time.Second {
			t.Errorf("%s: status %d after %v", target, w.Code, took)
		}
	}
}

func answerOf(s *Server, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// pagesAreQuick: of a million activities, a filtered first page takes less than 20 ms at p99.
func pagesAreQuick(t *testing.T, s *Server) {
	t.Helper()
	request := auditorOf(t)
	var all []time.Duration
	for q := range firstPages(0) {
		var some []time.Duration
		for n := range 100 {
			target := firstPages(n)[q]
			began := time.Now()
			w := answerOf(s, request(target))
			some = append(some, time.Since(began))
			if w.Code != http.StatusOK {
				t.Fatalf("%s: %d %s", target, w.Code, w.Body)
			}
		}
		t.Logf("p50 %7.3f ms  p99 %7.3f ms  %s", quantile(some, 50), quantile(some, 99), firstPages(0)[q])
		all = append(all, some...)
	}
	if p99 := quantile(all, 99); p99 > 20 && testenv.Soak() {
		t.Errorf("p99 of a first page is %.1f ms", p99)
	}
}

// quantile returns a percentile in milliseconds.
func quantile(times []time.Duration, percent int) float64 {
	times = slices.Sorted(slices.Values(times))
	return float64(times[(len(times)-1)*percent/100].Microseconds()) / 1000
}

// numbersEndWithTheRequest: who goes away does not keep the database busy.
func numbersEndWithTheRequest(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	w := answerOf(s, auditorOf(t)("/activities/aggregate?group_by=user_id,entity_id,tags&metric=percentiles:execution_time_ms").WithContext(ctx))
	if took := time.Since(began); took > 2*time.Second || testenv.Soak() && w.Code == http.StatusOK {
		t.Errorf("ended after %v with status %d", took, w.Code)
	}
}

// cursorsWalkAll: cursors lead through all activities without repeats, while new ones arrive.
func cursorsWalkAll(t *testing.T, s *Server, sink sinks.Sink) {
	t.Helper()
	var writing sync.WaitGroup
	var done atomic.Bool
	writing.Go(func() {
		for n := many(); !done.Load() && n < 2*many(); n += 100 { // newer ones
			load(t, sink, n, n+100, many())
			time.Sleep(20 * time.Millisecond)
		}
	})
	defer writing.Wait()
	defer done.Store(true)
	request := auditorOf(t)
	seen := make(map[ulid.ULID]bool, many())
	began := time.Now()
	for cursor := ""; ; {
		p := pageOf(t, answerOf(s, request("/activities/?limit=1000&fields=id&cursor="+cursor)))
		for _, item := range p.Items {
			var d struct{ ID ulid.ULID }
			if err := json.Unmarshal(item, &d); err != nil {
				t.Fatal(err)
			}
			if seen[d.ID] {
				t.Fatalf("%s is there twice", d.ID)
			}
			seen[d.ID] = true
		}
		if p.Next == nil {
			break
		}
		cursor = *p.Next
	}
	missing := 0
	for n := range many() {
		if _, record := usual(n, many()); !seen[record.ID] {
			missing++
		}
	}
	t.Logf("%d activities walked through in %v", len(seen), time.Since(began).Round(time.Millisecond))
	if missing > 0 {
		t.Errorf("%d activities were missed", missing)
	}
}

func TestManyActivitiesInElasticsearch(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	n := estest.Shared(t)
	c := elasticsearch.DefaultConfig()
	c.Addresses, c.IndexPrefix = []string{n.URL()}, n.Prefix(t)
	sink, err := elasticsearch.Open(c, elasticsearch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	load(t, sink, 0, many(), many())
	t.Logf("%d activities stored in %v", many(), time.Since(began).Round(time.Second))
	n.MustDo(t, "POST", "/"+c.IndexPrefix+"-*/_refresh", "", nil)
	s := serve(t, readerOf(t, c, n.URL()), nil)
	asQuickAsTheStore(t, s, c, n)
	cursorsWalkAll(t, s, sink)
	if err := sink.Close(); err != nil {
		t.Error(err)
	}
}

// asQuickAsTheStore: what the API adds at p50 to the time that its own requests to the store take, one after another, is at most a
// millisecond. Where the store takes so long that it varies by more than that, what counts is what the API adds with the answers at
// hand.
func asQuickAsTheStore(t *testing.T, s *Server, c elasticsearch.Config, n *estest.Node) {
	t.Helper()
	front := httptest.NewServer(s)
	defer front.Close()
	for _, target := range append(firstPages(1), sumsOfMany...) {
		told := overheard(t, c, n, auditorOf(t)(target))
		direct, through, more := compared(t, n.URL(), front.URL, target, told)
		_, _, own := atHand(t, c, target, told)
		t.Logf("p50 %8.3f ms direct  %8.3f ms through the API, %6.3f ms more (%6.3f ms of answers at hand)  %s (%d requests)",
			direct, through, more, own, target, len(told))
		if min(more, own) > 1 && testenv.Soak() {
			t.Errorf("%s: p50 is %.3f ms more than directly, %.3f ms of answers at hand", target, more, own)
		}
	}
}

// compared asks a store, and the API before it, in turn, and returns the milliseconds at p50, and those of the difference.
func compared(t *testing.T, store, front, target string, told []told) (direct, through, more float64) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	bearer := auditorOf(t)(target).Header.Get("Authorization")
	var times [2][]time.Duration
	var differences []time.Duration
	ask := []func(){func() {
		for _, r := range told {
			fetch(t, client, http.MethodPost, store+r.path, r.body, "")
		}
	}, func() {
		fetch(t, client, http.MethodGet, front+target, nil, bearer)
	}}
	for start := time.Now(); len(differences) < 100 && (len(differences) < 9 || time.Since(start) < 5*time.Second); {
		for i := range ask { // either one first, in turn: a busy machine is busy for both
			which := (i + len(differences)) % 2
			began := time.Now()
			ask[which]()
			times[which] = append(times[which], time.Since(began))
		}
		last := len(differences)
		differences = append(differences, times[1][last]-times[0][last])
	}
	return quantile(times[0], 50), quantile(times[1], 50), quantile(differences, 50)
}

// atHand is compared with a store that has the answers at hand.
func atHand(t *testing.T, c elasticsearch.Config, target string, told []told) (direct, through, more float64) {
	t.Helper()
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, known := range told {
			if known.path == r.URL.RequestURI() && bytes.Equal(known.body, body) {
				w.Header().Set("X-Elastic-Product", "Elasticsearch")
				w.Header().Set("Content-Type", "application/json")
				w.Header().Set("Content-Length", strconv.Itoa(len(known.answer)))
				_, _ = w.Write(known.answer)
				return
			}
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	defer store.Close()
	reader := readerOf(t, c, store.URL)
	front := httptest.NewServer(serve(t, reader, nil))
	defer front.Close()
	return compared(t, store.URL, front.URL, target, told)
}

// readerOf reads the store at an address.
func readerOf(t testing.TB, c elasticsearch.Config, address string) *elasticsearch.Reader {
	t.Helper()
	c.Addresses = []string{address}
	r, err := elasticsearch.OpenReader(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func fetch(t testing.TB, client *http.Client, method, target string, body []byte, bearer string) {
	t.Helper()
	r, err := http.NewRequest(method, target, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	if bearer != "" {
		r.Header.Set("Authorization", bearer)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", target, res.StatusCode, err)
	}
}

// A told is a request as Elasticsearch gets it, and its answer.
type told struct {
	path         string
	body, answer []byte
}

// overheard returns what is asked of Elasticsearch for a request to the API.
func overheard(t *testing.T, c elasticsearch.Config, n *estest.Node, r *http.Request) (out []told) {
	t.Helper()
	to, err := url.Parse(n.URL())
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(to)
	var mu sync.Mutex
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer := httptest.NewRecorder()
		proxy.ServeHTTP(answer, r)
		mu.Lock()
		out = append(out, told{r.URL.RequestURI(), body, answer.Body.Bytes()})
		mu.Unlock()
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
	}))
	defer between.Close()
	reader := readerOf(t, c, between.URL)
	if w := answerOf(serve(t, reader, nil), r); w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", r.URL, w.Code, w.Body)
	}
	return out
}
