package elasticsearch

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

func all(b *pipeline.Batch) (due []int) {
	for i := range b.Records {
		due = append(due, i)
	}
	return due
}

func TestIndexNames(t *testing.T) {
	t.Parallel()
	at := func(text string) int64 {
		x, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return x.UnixNano()
	}
	to := target{nil, "activities", []string{activity.APITransaction: "day", activity.AuthEvent: "week", activity.DataChange: "month"}}
	var cache names
	for _, tt := range []struct {
		kind activity.Kind
		time string
		want string
	}{
		{activity.Plain, "2026-11-23T10:00:00Z", "activities-activity-2026.11"},
		{activity.DataChange, "2026-01-01T00:30:00+01:00", "activities-data-change-2025.12"},
		{activity.APITransaction, "2026-11-03T23:59:59Z", "activities-api-transaction-2026.11.03"},
		{activity.APITransaction, "2026-11-04T00:00:00Z", "activities-api-transaction-2026.11.04"},
		{activity.AuthEvent, "2026-11-23T10:00:00Z", "activities-auth-event-2026.w48"},
		{activity.AuthEvent, "2027-01-03T10:00:00Z", "activities-auth-event-2026.w53"},
		{activity.AuthEvent, "2027-01-04T10:00:00Z", "activities-auth-event-2027.w01"},
		{activity.SystemEvent, "1970-01-01T00:00:00Z", "activities-system-event-1970.01"},
		{activity.SystemEvent, "1969-12-31T23:59:59Z", "activities-system-event-1969.12"},
	} {
		if got := string(cache.of(to, tt.kind, at(tt.time))); got != tt.want {
			t.Errorf("%s %s: got %s, want %s", tt.kind, tt.time, got, tt.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) { // the cache changes nothing
		k := rapid.SampledFrom(activity.Kinds()).Draw(t, "kind")
		ns := rapid.Int64Range(-1e17, 4e18).Draw(t, "time")
		if got, want := string(cache.of(to, k, ns)), string(to.appendIndex(nil, k, ns)); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

func TestBodiesAreCutAtTheLimit(t *testing.T) {
	t.Parallel()
	b := batchOf(series(activity.Plain, 0, 50)...)
	for _, compression := range []string{"none", "gzip"} {
		c := DefaultConfig()
		c.Compression = compression
		s := newSlot(c)
		s.target = target{prefix: "activities"}
		var whole strings.Builder
		for due := all(b); len(due) > 0; {
			n, size := s.encode(b, due, 1000)
			var r io.Reader = bytes.NewReader(s.body)
			if compression == "gzip" {
				z, err := gzip.NewReader(r)
				if err != nil {
					t.Fatal(err)
				}
				r = z
			}
			text, err := io.ReadAll(r)
			if err != nil || len(text) != size || size > 1000 || n < 2 {
				t.Fatalf("got %d documents in %d bytes, said %d, %v", n, len(text), size, err)
			}
			whole.Write(text)
			due = due[n:]
		}
		var want strings.Builder
		for i := range b.Records {
			fmt.Fprintf(&want, "{\"create\":{\"_index\":\"activities-activity-2026.01\",\"_id\":\"%s\"}}\n%s\n", b.Records[i].ID, b.Doc(i))
		}
		if whole.String() != want.String() {
			t.Errorf("%s: the bodies together differ", compression)
		}
		if n, size := s.encode(b, all(b), 10); n != 1 || size < 100 {
			t.Errorf("a document over the limit: got %d in %d bytes, want it alone", n, size)
		}
	}
}

func TestAllStoredReadsEveryByte(t *testing.T) {
	t.Parallel()
	for _, item := range []string{`{"create":{"status":201}}`, `{"create":{"_index":"a,b","_shards":{"total":2},"status":201}}`} {
		good := `{"took":7,"errors":false,"items":[` + strings.TrimSuffix(strings.Repeat(item+",", 3), ",") + `]}`
		stored := func(answer string, n int) bool { return (&slot{answer: []byte(answer)}).allStored(n) }
		if !stored(good, 3) || stored(good, 2) || stored(good, 4) {
			t.Error("counts are wrong")
		}
		for i := strings.Index(good, "items"); i < len(good); i++ {
			if stored(good[:i], 3) || stored(good[:i]+"~"+good[i+1:], 3) {
				t.Errorf("byte %d makes no difference", i)
			}
		}
		for _, status := range []string{"409", "429", "400", "503"} {
			if stored(strings.ReplaceAll(good, "201", status), 3) {
				t.Errorf("status %s is none", status)
			}
		}
	}
}

// Whatever the answer is: it is judged or refused as a whole, and no reason carries a value.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}},{"create":{"status":201}}]}`,
		`{"errors":true,"items":[{"create":{"status":409}},{"create":{"status":201}},{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":"[1:2] failed to parse field [user_id] of type [ip]"}}}]}`,
		`{"errors":true,"items":[{"create":{"status":1e9}},{"index":{"status":-1}},{}]}`, `{"items":[[],[],[]]}`, `[]`, `{`, ``,
		`{"items":[{"create":{"status":400,"error":{"type":"illegal_argument_exception","reason":"Document contains at least one immense term in field=\"details.swordfish\""}}},{"create":{"status":429,"error":{}}},{"create":{"status":503,"error":null}}]}`,
	} {
		f.Add([]byte(seed))
	}
	b := batchOf(series(activity.Plain, 0, 3)...)
	fields := map[string]bool{"": true}
	for _, field := range activity.Fields() {
		fields[field.Name] = true
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		results := make([]sinks.Result, 3)
		err := new(Sink).judge(&slot{answer: answer}, b, results, all(b))
		open := 0
		for _, r := range results {
			if r.Verdict == sinks.Retry {
				open++
			}
			if _, field, _ := strings.Cut(r.Reason, ": "); !fields[field] {
				t.Errorf("%q names no field of ours", r.Reason)
			}
		}
		if (open > 0) != (err != nil) {
			t.Errorf("%d are open, and the error is %v", open, err)
		}
	})
}

// A server may answer before it has read the request, and net/http then still reads it: the next request must not write
// over those bytes. The race detector watches.
func TestBytesUnderWayAreNotOverwritten(t *testing.T) {
	t.Parallel()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/_bulk" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	t.Cleanup(srv.Close)
	c := DefaultConfig()
	c.Addresses, c.Compression = []string{srv.URL}, "none"
	s := mustOpen(t, c)
	docs := make([]testDoc, 40)
	for i := range docs {
		docs[i] = document(activity.Plain, i, day0, `"description":"`+strings.Repeat("x", 50_000)+`"`)
	}
	b := batchOf(docs...)
	var wg sync.WaitGroup
	for range s.InFlight() {
		wg.Go(func() {
			for range 20 {
				results := make([]sinks.Result, len(docs))
				if err := s.Write(context.Background(), b, results); err == nil {
					t.Error("got no error")
				}
			}
		})
	}
	wg.Wait()
}

func TestOverloadShrinksConcurrencyAndItGrowsBack(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	g := newGate(8)
	pass := func(overloaded bool) {
		n, err := g.enter(ctx)
		if err != nil {
			t.Fatal(err)
		}
		g.leave(n, overloaded)
	}
	atOnce := func() (n int) {
		var shares []int64
		for g.places.TryAcquire(g.share) {
			shares = append(shares, g.share)
		}
		for _, s := range shares {
			g.places.Release(s)
		}
		return len(shares)
	}
	for i, want := range []int{8, 4, 2, 1, 1} {
		if got := atOnce(); got != want {
			t.Errorf("after %d overloads: %d at once, want %d", i, got, want)
		}
		pass(true)
	}
	for _, want := range []int{2, 4, 8, 8} {
		for range recovery {
			pass(false)
		}
		if got := atOnce(); got != want {
			t.Errorf("%d at once, want %d", got, want)
		}
	}
	odd := newGate(3)
	for range 3 {
		n, _ := odd.enter(ctx)
		odd.leave(n, true)
	}
	if odd.share != 3 {
		t.Errorf("a request takes %d of 3 places, want all", odd.share)
	}
	cancelled, cancel := context.WithCancel(ctx)
	n, _ := odd.enter(ctx)
	cancel()
	if _, err := odd.enter(cancelled); err == nil {
		t.Error("got a turn after the end")
	}
	odd.leave(n, false)
}

func TestCertificatesAreVerified(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.NotFoundHandler())
	srv.Config.ErrorLog = nil
	srv.StartTLS()
	t.Cleanup(srv.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"": "x509", ca: "404"} {
		c := DefaultConfig()
		c.Addresses, c.CACert = []string{srv.URL}, path
		err := mustOpen(t, c).Write(context.Background(), batchOf(series(activity.Plain, 0, 1)...), make([]sinks.Result, 1))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ca_cert %q: got %v, want %s", path, err, want)
		}
	}
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c := DefaultConfig()
	c.Addresses, c.CACert = []string{srv.URL}, empty
	if _, err := Open(c, Options{}); err == nil || !strings.Contains(err.Error(), "no certificate") {
		t.Errorf("an empty ca_cert: got %v", err)
	}
}

func TestConfigMistakes(t *testing.T) {
	t.Parallel()
	good := func() Config {
		c := DefaultConfig()
		c.Addresses = []string{"https://es"}
		return c
	}
	for want, change := range map[string]func(*Config){
		"":                               func(*Config) {},
		"addresses: name the cluster":    func(c *Config) { c.Addresses = nil },
		"one of the two":                 func(c *Config) { c.CloudID = "x:ZXMuaW8kYWJj" },
		"addresses[0]: write the user":   func(c *Config) { c.Addresses = []string{"https://ann:swordfish@es"} },
		"addresses[1]: write it as":      func(c *Config) { c.Addresses = append(c.Addresses, "es:9200") },
		"api_key: there is a username":   func(c *Config) { c.APIKey, c.Username = "swordfish", "ann" },
		"client_cert: it takes both":     func(c *Config) { c.ClientKey = "x" },
		"index_prefix":                   func(c *Config) { c.IndexPrefix = "A,*" },
		"periods: that of auth_event is": func(c *Config) { c.Periods.AuthEvent = "hour" },
		"cloud_id: it is not one":        func(c *Config) { c.Addresses, c.CloudID = nil, "swordfish" },
	} {
		c := good()
		change(&c)
		err := c.validate()
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "swordfish")) {
			t.Errorf("%q: got %v", want, err)
		}
	}
}

func TestCloudIDs(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"name:ZXUtd2VzdC0xLmF3cy5mb3VuZC5pbyRhYmMkZGVm":         "https://abc.eu-west-1.aws.found.io:443",
		"name:ZXUtd2VzdC0xLmF3cy5mb3VuZC5pbzo5MjQzJGFiYyRkZWY=": "https://abc.eu-west-1.aws.found.io:9243",
		"": "", "name:": "", "name:!": "", "ZXUt": "",
	} {
		if got, ok := cloudAddress(id); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, want %q", id, got, want)
		}
	}
}

// Between batches nothing runs: not even a timer.
func TestIdleCostsNothing(t *testing.T) {
	t.Parallel()
	var dials atomic.Int32
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
			dials.Add(1)
		}
	}()
	c := DefaultConfig()
	c.Addresses = []string{"http://" + l.Addr().String()}
	mustOpen(t, c)
	mustRead(t, c)
	time.Sleep(50 * time.Millisecond)
	if n := dials.Load(); n != 0 {
		t.Errorf("%d connections before there is anything to send", n)
	}
}

// realistic documents of some 700 bytes.
func realistic(n int) *pipeline.Batch {
	docs := make([]testDoc, n)
	for i := range docs {
		docs[i] = document(activity.APITransaction, i, day0.Add(time.Duration(i)*time.Millisecond), fmt.Sprintf(
			`"user_id":"u-%d","description":"handled request","method":"POST","endpoint":"/api/v1/orders/%d","status_code":200,`+
				`"execution_time_ms":%d.25,"ip_address":"10.0.%d.%d","request_id":"req-%x","trace_id":"%032x","service":{"name":"shop","version":"1.2.3"},`+
				`"details":{"region":"eu-west-1","cart":{"items":%d,"total":"%d.99"}},"log":{"file":{"path":"/var/log/app/app.log"},"offset":%d}`,
			i%97, i*31, i%400, i%256, i%199, i*7919, i*104729, i%9, i%1000, i*512))
	}
	return batchOf(docs...)
}

func BenchmarkEncode(b *testing.B) {
	batch := realistic(1000)
	due := all(batch)
	for _, name := range []string{"none", "gzip-1", "gzip-6"} {
		b.Run(name, func(b *testing.B) {
			c := DefaultConfig()
			c.Compression, _, _ = strings.Cut(name, "-")
			if name == "gzip-6" {
				c.CompressionLevel = 6
			}
			s := newSlot(c)
			s.target = target{prefix: "activities"}
			b.SetBytes(int64(batch.Bytes()))
			b.ReportAllocs()
			for b.Loop() {
				if n, _ := s.encode(batch, due, 64<<20); n != len(due) {
					b.Fatal(n)
				}
			}
			b.ReportMetric(float64(len(s.body))/float64(batch.Bytes()), "of-size")
		})
	}
}

func BenchmarkJudge(b *testing.B) {
	const n = 1000
	fine := `{"errors":false,"items":[` + strings.TrimSuffix(strings.Repeat(`{"create":{"status":201}},`, n), ",") + `]}`
	again := strings.Replace(strings.Replace(fine, "false", "true", 1), `{"status":201}`, `{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"x"}}`, 1)
	batch := realistic(n)
	due := all(batch)
	for name, answer := range map[string]string{"stored": fine, "duplicate": again} {
		b.Run(name, func(b *testing.B) {
			s, sl := new(Sink), &slot{answer: []byte(answer)}
			results := make([]sinks.Result, n)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.judge(sl, batch, results, due); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
