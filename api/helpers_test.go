package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/agent/ingest"
	"github.com/truledgr/activity-agent/internal/estest"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
	"github.com/truledgr/activity-agent/sinks/elasticsearch"
	"github.com/truledgr/activity-agent/sinks/sqlite"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	day0 = time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)
	now  = day0.Add(48 * time.Hour)
)

const secret = "a secret that only this test has, of 32 bytes and more"

func idOf(n int) ulid.ULID {
	return activity.PositionID(day0.Add(time.Duration(n)*time.Minute), activity.NewAgentKey("test"), activity.StreamID{}, int64(n), 1)
}

// A person is somebody whose activities are in the library: of each kind one.
type person struct{ user, tenant string }

var people = []person{{"ann", ""}, {"bob", ""}, {"ann", "acme"}, {"eve", "acme"}, {"ann", "umbrella"}, {"", ""}}

// library is the same documents for every store: each kind for each person, as far as keep wants them. Each has a word that
// is nobody else's.
func library(keep func(person, activity.Kind) bool) *pipeline.Batch {
	var bodies [][]byte
	var records []pipeline.Record
	for i, p := range people {
		for j, k := range activity.Kinds() {
			if !keep(p, k) {
				continue
			}
			n := i*len(activity.Kinds()) + j
			at, more := day0.Add(time.Duration(n)*time.Minute), ""
			if p.user != "" {
				more += fmt.Sprintf(`,"user_id":%q`, p.user)
			}
			if p.tenant != "" {
				more += fmt.Sprintf(`,"tenant_id":%q`, p.tenant)
			}
			switch k {
			case activity.APITransaction:
				more += fmt.Sprintf(`,"status_code":%d,"endpoint":"/orders/<%d>","execution_time_ms":%d.25,"event":{"outcome":%q}`, 200+i, n, n, []string{"success", "failure"}[i%2])
			case activity.ExternalAPI:
				more += fmt.Sprintf(`,"execution_time_ms":%d`, n)
			case activity.AuthEvent:
				more += fmt.Sprintf(`,"success":%t,"event_type":"login","ip_address":"10.0.0.%d"`, i == 1, i%4)
			case activity.DataChange:
				more += fmt.Sprintf(`,"table_name":"order","record_id":"7","old_values":{"state":"new","n":%d},"new_values":{"state":"paid"},"changed_fields":["n","state"]`, n)
			case activity.Plain:
				more += `,"entity_type":"order","entity_id":"7"`
			case activity.DataAccess:
				more += fmt.Sprintf(`,"record_count":%d`, 1000+n)
			}
			bodies = append(bodies, fmt.Appendf(nil, `{"id":%q,"@timestamp":%q,"kind":%q,"activity_type":%q,"created_at":"2026-01-03T00:00:00Z"%s,"description":"%s","tags":["t%d"],"details":{"n":%d},"integrity":{"seq":1}}`,
				idOf(n), at.Format(time.RFC3339Nano), k, k, more, word(p), n%3, n))
			records = append(records, pipeline.Record{Decision: pipeline.Decision{Kind: k, Time: at.UnixNano()}, ID: idOf(n)})
		}
	}
	return pipeline.Restore(bodies, records)
}

// word is in everything that p did, and in nothing of others.
func word(p person) string { return fmt.Sprintf("word%sof%sx", p.user, p.tenant) }

func everything(person, activity.Kind) bool { return true }

func liteStore(t *testing.T) search.Store {
	t.Helper()
	return liteStoreOf(t, everything)
}

func liteStoreOf(t *testing.T, keep func(person, activity.Kind) bool) search.Store {
	t.Helper()
	c := sqlite.Config{Path: filepath.Join(t.TempDir(), "a.db")}
	s, err := sqlite.Open(c, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, keep)
	r, err := sqlite.OpenReader(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func elasticStore(t *testing.T) search.Store {
	t.Helper()
	n := estest.Shared(t)
	c := elasticsearch.DefaultConfig()
	c.Addresses, c.IndexPrefix = []string{n.URL()}, n.Prefix(t)
	s, err := elasticsearch.Open(c, elasticsearch.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, everything)
	n.MustDo(t, "POST", "/"+c.IndexPrefix+"-*/_refresh", "", nil)
	r, err := elasticsearch.OpenReader(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func fill(t *testing.T, s sinks.Sink, keep func(person, activity.Kind) bool) {
	t.Helper()
	b := library(keep)
	results := make([]sinks.Result, len(b.Records))
	if err := s.Write(context.Background(), b, results); err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Verdict != sinks.Stored {
			t.Fatalf("document %d: %+v", i, r)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// serve is a server over the store that knows the tests' secret and time.
func serve(t testing.TB, store search.Store, edit func(*Options)) *Server {
	t.Helper()
	o := Options{Config: DefaultConfig(), Store: store, Logger: zap.NewNop(), Recorder: new(notebook), Now: func() time.Time { return now }}
	o.Config.Auth.JWT.Secret = secret
	o.Config.Auth.APIKeys = filepath.Join(t.TempDir(), "keys.yaml")
	o.Config.RateLimit = 1_000_000
	if edit != nil {
		edit(&o)
	}
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.failures = newLimiter(1_000_000) // all come from one address
	return s
}

// A notebook is a Recorder in memory, for tests of what is not recorded.
type notebook struct {
	mu    sync.Mutex
	notes []json.RawMessage
	err   error // of every record
	after int   // … after so many
}

// all returns the notes, while there may be more.
func (n *notebook) all() []json.RawMessage {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.notes)
}

// refuseAfter lets records fail after the first ones.
func (n *notebook) refuseAfter(records int, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.after, n.err = records, err
}

func (n *notebook) Record(_ context.Context, _ activity.Kind, doc []byte) (ulid.ULID, [32]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = append(n.notes, doc)
	if len(n.notes) <= n.after {
		return ulid.Make(), sha256.Sum256(doc), nil
	}
	return ulid.Make(), sha256.Sum256(doc), n.err
}

func (n *notebook) Redact(_ context.Context, _ activity.Kind, doc []byte) (json.RawMessage, error) {
	return doc, n.err
}

// recorderOf is an agent that delivers into an SQLite file what is recorded, and what reads that.
func recorderOf(t *testing.T, edit func(*pipeline.Config)) (Recorder, *sqlite.Reader) {
	t.Helper()
	c := sqlite.Config{Path: filepath.Join(t.TempDir(), "records.db")}
	sink, err := sqlite.Open(c, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := agent.Options{Config: agent.DefaultConfig(), Ingest: ingest.DefaultConfig(), Pipeline: pipeline.DefaultConfig(), Records: true, Sink: sink}
	o.Config.StateDir, o.Ingest.Listen = t.TempDir(), ""
	if edit != nil {
		edit(&o.Pipeline)
	}
	a, err := agent.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-done, a.Close()); err != nil {
			t.Error(err)
		}
	})
	r, err := sqlite.OpenReader(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return a.Intake(), r
}

// token makes a token with more claims than exp.
func token(t testing.TB, claims jwt.MapClaims) string {
	t.Helper()
	if claims["exp"] == nil {
		claims["exp"] = now.Add(time.Hour).Unix()
	}
	signed, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// get asks a server; bearer "" is none.
func get(s *Server, target, bearer string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// pageOf decodes the body of a list.
func pageOf(t *testing.T, w *httptest.ResponseRecorder) page {
	t.Helper()
	var p page
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d: %s (%v)", w.Code, w.Body, err)
	}
	return p
}
