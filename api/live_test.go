package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/golang-jwt/jwt/v5"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/internal/estest"
	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
	"github.com/truledgr/activity-agent/sinks/elasticsearch"
	"github.com/truledgr/activity-agent/sinks/sqlite"
)

// A source is a store that is written to while it is read.
type source struct {
	t     *testing.T
	sink  sinks.Sink
	store search.Store
	next  int
	// settle makes what was stored visible.
	settle func()
}

func newSource(t *testing.T, kind string) *source {
	t.Helper()
	s := &source{t: t, settle: func() {}}
	var err error
	var reader interface {
		search.Store
		Close() error
	}
	if kind == "sqlite" {
		c := sqlite.Config{Path: filepath.Join(t.TempDir(), "a.db")}
		if s.sink, err = sqlite.Open(c, sqlite.Options{}); err == nil {
			reader, err = sqlite.OpenReader(c, nil)
		}
	} else {
		n := estest.Shared(t)
		c := elasticsearch.DefaultConfig()
		c.Addresses, c.IndexPrefix = []string{n.URL()}, n.Prefix(t)
		s.settle = func() { n.MustDo(t, "POST", "/"+c.IndexPrefix+"-*/_refresh", "", nil) }
		if s.sink, err = elasticsearch.Open(c, elasticsearch.Options{}); err == nil {
			reader, err = elasticsearch.OpenReader(c, nil)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	s.store = reader
	t.Cleanup(func() { _, _ = reader.Close(), s.sink.Close() })
	return s
}

// add stores an activity of each of the people's, in one batch, with the number of the batch.
func (s *source) add(people ...person) {
	s.t.Helper()
	var bodies [][]byte
	var records []pipeline.Record
	for _, p := range people {
		s.next++
		at := day0.Add(time.Duration(s.next) * time.Second)
		kind := activity.Kinds()[s.next%len(activity.Kinds())]
		id := activity.PositionID(at, activity.NewAgentKey("live"), activity.StreamID{}, int64(s.next), 1)
		bodies = append(bodies, fmt.Appendf(nil, `{"id":%q,"@timestamp":%q,"kind":%q,"activity_type":"x","created_at":"2026-01-03T00:00:00Z","user_id":%q,"tenant_id":%q,"description":%q,"details":{"n":%d}}`,
			id, at.Format(time.RFC3339Nano), kind, p.user, p.tenant, word(p), s.next))
		records = append(records, pipeline.Record{Decision: pipeline.Decision{Kind: kind, Time: at.UnixNano()}, ID: id})
	}
	if p := len(people); p > 0 && people[0].tenant == "" {
		for i := range bodies {
			bodies[i] = []byte(strings.Replace(string(bodies[i]), `"tenant_id":"",`, "", 1))
		}
	}
	results := make([]sinks.Result, len(records))
	if err := s.sink.Write(context.Background(), pipeline.Restore(bodies, records), results); err != nil {
		s.t.Error(err)
	}
	for _, r := range results {
		if r.Verdict != sinks.Stored {
			s.t.Errorf("verdict %+v", r)
		}
	}
}

// An incoming is an event as a reader got it.
type incoming struct {
	ID       string          `json:"id"`
	Activity json.RawMessage `json:"activity"`
	end      string
}

func (i incoming) n(t *testing.T) int {
	t.Helper()
	var d struct{ Details struct{ N int } }
	if err := json.Unmarshal(i.Activity, &d); err != nil {
		t.Fatal(err)
	}
	return d.Details.N
}

// A reader is a live reader of a server, over either way.
type reader struct {
	events chan incoming // closed at the end
	stop   context.CancelFunc
}

func readEvents(t *testing.T, base, query, bearer, after string) *reader {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/activities/live?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	if after != "" {
		r.Header.Set("Last-Event-ID", after)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("status %d", answer.StatusCode)
	}
	out := &reader{make(chan incoming, 100_000), stop}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(out.events)
		defer func() { _ = answer.Body.Close() }()
		lines := bufio.NewScanner(answer.Body)
		lines.Buffer(nil, 1<<20)
		var e incoming
		var name string
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "id":
				e.ID = value
			case "event":
				name = value
			case "data":
				e.Activity = json.RawMessage(value)
			case "":
				if name == "end" {
					e.end = string(e.Activity)
				}
				if e.ID != "" || name != "" {
					out.events <- e
				}
				e, name = incoming{}, ""
			}
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	out.first(t)
	return out
}

func readSocket(t *testing.T, base, query, bearer, after string) *reader {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	conn, _, err := websocket.Dial(ctx, base+"/activities/live?"+query+"&after="+after, &websocket.DialOptions{Subprotocols: []string{"activities", "bearer." + bearer}})
	if err != nil {
		t.Fatal(err)
	}
	if conn.Subprotocol() != "activities" {
		t.Errorf("subprotocol %q", conn.Subprotocol())
	}
	conn.SetReadLimit(1 << 20)
	out := &reader{make(chan incoming, 100_000), stop}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(out.events)
		defer func() { _ = conn.CloseNow() }()
		for {
			_, body, err := conn.Read(ctx)
			if code := websocket.CloseStatus(err); code != -1 {
				out.events <- incoming{end: code.String()}
			}
			var e incoming
			if err != nil || json.Unmarshal(body, &e) != nil {
				return
			}
			out.events <- e
		}
	}()
	t.Cleanup(func() { stop(); <-done })
	out.first(t)
	return out
}

// first takes the event that says where the reader begins.
func (r *reader) first(t *testing.T) {
	t.Helper()
	select {
	case e := <-r.events:
		if e.ID == "" || e.Activity != nil {
			t.Fatalf("the first event is %+v", e)
		}
	case <-time.After(testenv.Budget(t, time.Minute)):
		t.Fatal("no first event")
	}
}

// take returns the next n activities, and the place after them.
func (r *reader) take(t *testing.T, n int) (numbers []int, last string) {
	t.Helper()
	late := time.After(testenv.Budget(t, time.Minute))
	for len(numbers) < n {
		select {
		case e, ok := <-r.events:
			if !ok || e.end != "" {
				t.Fatalf("the stream ended (%s) after %v", e.end, numbers)
			}
			last = e.ID
			if e.Activity != nil {
				numbers = append(numbers, e.n(t))
			}
		case <-late:
			t.Fatalf("only %v came, want %d", numbers, n)
		}
	}
	return numbers, last
}

type opener func(t *testing.T, base, query, bearer, after string) *reader

var ways = map[string]opener{"events": readEvents, "socket": readSocket}

func bothStores(t *testing.T, f func(t *testing.T, s *source)) {
	for _, kind := range []string{"sqlite", "elasticsearch"} {
		t.Run(kind, func(t *testing.T) { t.Parallel(); f(t, newSource(t, kind)) })
	}
}

func hosted(t *testing.T, s *Server) string {
	t.Helper()
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return srv.URL
}

// TestLiveReadersGetTheirsOnceAndResume: who reads sees what is theirs and nothing else, once each, and goes on after the
// last event that they saw, whatever has come meanwhile.
func TestLiveReadersGetTheirsOnceAndResume(t *testing.T) {
	t.Parallel()
	bothStores(t, func(t *testing.T, s *source) {
		ann, bob := person{"ann", ""}, person{"bob", ""}
		base := hosted(t, serve(t, s.store, nil))
		bearer := token(t, jwt.MapClaims{"sub": "ann", "roles": "auditor"})
		s.add(ann, bob) // before: nobody gets it
		for name, open := range ways {
			t.Run(name, func(t *testing.T) {
				s.settle()
				r := open(t, base, "user_id=ann", bearer, "")
				from := s.next
				for range 5 {
					s.add(ann, bob, ann)
				}
				got, last := r.take(t, 10)
				r.stop()
				for range 5 {
					s.add(bob, ann)
				}
				again := open(t, base, "user_id=ann", bearer, last)
				s.add(bob, ann)
				more, _ := again.take(t, 6)
				got = append(got, more...)
				slices.Sort(got)
				var want []int
				for i := range 5 {
					want = append(want, from+3*i+1, from+3*i+3)
				}
				for i := range 6 {
					want = append(want, from+15+2*i+2)
				}
				if !slices.Equal(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
				again.stop()
			})
		}
	})
}

// TestLiveReadersAreToldWhyItEnds: the server ends, both ways.
func TestLiveReadersAreToldWhyItEnds(t *testing.T) {
	t.Parallel()
	src := newSource(t, "sqlite")
	s := serve(t, src.store, func(o *Options) { o.Config.Listen = "127.0.0.1:0" })
	l, err := s.Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Serve(ctx) }()
	bearer := token(t, jwt.MapClaims{"sub": "ann", "roles": "auditor"})
	events, socket := readEvents(t, "http://"+l.Addr(), "", bearer, ""), readSocket(t, "http://"+l.Addr(), "", bearer, "")
	src.add(person{"ann", ""})
	events.take(t, 1)
	socket.take(t, 1)
	stop()
	for r, want := range map[*reader]string{events: `{"reason":"stopping"}`, socket: "StatusGoingAway"} {
		for e := range r.events {
			if e.end != "" && e.end != want {
				t.Errorf("ended with %s, want %s", e.end, want)
			}
			if e.end == want {
				want = ""
			}
		}
		if want != "" {
			t.Errorf("was not told %s", want)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestLiveReadersAreLimited(t *testing.T) {
	t.Parallel()
	src := newSource(t, "sqlite")
	base := hosted(t, serve(t, src.store, func(o *Options) { o.Config.Live.PerCaller = 2 }))
	bearer := token(t, jwt.MapClaims{"sub": "ann"})
	first, second := readEvents(t, base, "", bearer, ""), readSocket(t, base, "", bearer, "")
	if code, retry := status(t, base+"/activities/live", bearer, nil); code != http.StatusTooManyRequests || retry == "" {
		t.Errorf("the third: %d", code)
	}
	other := readEvents(t, base, "", token(t, jwt.MapClaims{"sub": "bob"}), "")
	other.stop()
	first.stop()
	second.stop()
	for end := time.Now().Add(testenv.Budget(t, time.Minute)); ; time.Sleep(10 * time.Millisecond) {
		if code, _ := status(t, base+"/activities/live?user_id=x&limit=1", bearer, nil); code == http.StatusUnprocessableEntity {
			break // there is room: the parameters were looked at
		}
		if time.Now().After(end) {
			t.Fatal("those that have gone still count")
		}
	}
}

// status is that of an answer, and its Retry-After.
func status(t *testing.T, target, bearer string, header http.Header) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	for name, values := range header {
		r.Header[name] = values
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode, answer.Header.Get("Retry-After")
}

// TestPagesOfOthersOpenNoWebSocket: a browser lets any page try.
func TestPagesOfOthersOpenNoWebSocket(t *testing.T) {
	t.Parallel()
	src := newSource(t, "sqlite")
	base := hosted(t, serve(t, src.store, func(o *Options) { o.Config.CORSOrigins = []string{"https://app.example.com"} }))
	bearer := token(t, jwt.MapClaims{"sub": "ann"})
	for origin, want := range map[string]bool{
		"": true, base: true, "https://app.example.com": true, "https://app.example.com.evil.example": false, "http://app.example.com": false, "null": false,
		"https://evil.example": false, "https://evil.example/" + base: false,
	} {
		h := http.Header{}
		if origin != "" {
			h.Set("Origin", origin)
		}
		conn, answer, err := websocket.Dial(t.Context(), base+"/activities/live", &websocket.DialOptions{HTTPHeader: h, Subprotocols: []string{"activities", "bearer." + bearer}})
		if (err == nil) != want {
			t.Errorf("%q: %v", origin, err)
		}
		if err == nil {
			_ = conn.CloseNow()
		} else if answer.StatusCode != http.StatusForbidden {
			t.Errorf("%q: status %d", origin, answer.StatusCode)
		}
	}
	for name, protocols := range map[string][]string{"no token": {"activities"}, "a wrong token": {"activities", "bearer.x"}} {
		if _, answer, err := websocket.Dial(t.Context(), base+"/activities/live", &websocket.DialOptions{Subprotocols: protocols}); err == nil || answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
	if w := get(serve(t, src.store, nil), "/activities/?x=1", ""); w.Code != http.StatusUnauthorized {
		t.Errorf("status %d", w.Code)
	}
}

func TestSubprotocolsCarryTokensForWebSocketsAlone(t *testing.T) {
	t.Parallel()
	s := serve(t, newSource(t, "sqlite").store, nil)
	r := httptest.NewRequest(http.MethodGet, "/activities/", nil)
	r.Header.Set("Sec-WebSocket-Protocol", "bearer."+token(t, jwt.MapClaims{"sub": "ann", "roles": "admin"}))
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized {
		t.Errorf("status %d", w.Code)
	}
}

// TestLiveReadersGoOnAtAnotherServer: a mark is one of the store, not of the server.
func TestLiveReadersGoOnAtAnotherServer(t *testing.T) {
	t.Parallel()
	bothStores(t, func(t *testing.T, src *source) {
		bearer := token(t, jwt.MapClaims{"sub": "ann", "roles": "auditor"})
		src.add(person{"ann", ""})
		src.settle()
		first := readEvents(t, hosted(t, serve(t, src.store, nil)), "", bearer, "")
		from := src.next
		src.add(person{"ann", ""}, person{"bob", ""})
		_, last := first.take(t, 2)
		first.stop()
		src.add(person{"ann", ""}, person{"bob", ""}, person{"bob", ""})
		other := hosted(t, serve(t, src.store, nil))
		readEvents(t, other, "", bearer, "") // its feed runs already
		src.add(person{"bob", ""})
		got, _ := readSocket(t, other, "", bearer, last).take(t, 4)
		slices.Sort(got)
		if !slices.Equal(got, []int{from + 3, from + 4, from + 5, from + 6}) {
			t.Errorf("got %v after %d", got, from+2)
		}
	})
}
