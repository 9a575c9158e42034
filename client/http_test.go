package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// A log is a client that writes to a file.
type log struct {
	*Client
	t    *testing.T
	path string
}

func newLog(t *testing.T) log {
	t.Helper()
	path := filepath.Join(t.TempDir(), "app.log")
	return log{open(t, Config{Address: "file://" + path}), t, path}
}

// all is what was logged.
func (l log) all() []map[string]any {
	l.t.Helper()
	flush(l.t, l.Client)
	b, err := os.ReadFile(l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	return records(l.t, string(b))
}

// last is what was logged last.
func (l log) last() map[string]any {
	l.t.Helper()
	all := l.all()
	return all[len(all)-1]
}

// awaits waits until n requests of an endpoint have been logged.
func (l log) awaits(endpoint string, n int) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		logged := 0
		for _, r := range l.all() {
			if r["endpoint"] == endpoint {
				logged++
			}
		}
		if logged >= n {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%d requests of %s were logged, want %d", logged, endpoint, n)
		}
	}
}

// fetch makes a request and returns the body of the answer.
func fetch(t *testing.T, r *http.Request) (*http.Response, string) {
	t.Helper()
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	resp, err := (&http.Client{Transport: tr}).Do(r)
	if err != nil {
		return nil, err.Error()
	}
	b, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return resp, err.Error()
	}
	return resp, string(b)
}

func shop() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		SetUser(r.Context(), "user_123")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = fmt.Fprintf(w, `{"size":%d}`, len(b))
	})
	mux.HandleFunc("GET /files/{path...}", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /panics", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	return mux
}

func TestRequestsAreLoggedByTheirRoute(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	srv := httptest.NewServer(l.Middleware(shop(), MiddlewareOptions{}))
	defer srv.Close()
	for _, tt := range []struct {
		method, path, route string
		status              int
		path2               any // in details
	}{
		{"POST", "/orders/7", "/orders/{id}", 201, "/orders/7"},
		{"GET", "/files/a/b.txt", "/files/{path}", 200, "/files/a/b.txt"},
		{"GET", "/", "/", 204, nil},
		{"GET", "/nope", "/nope", 404, nil},
		{"GET", "/orders/7", "/orders/7", 405, nil},
		{"GET", "/panics", "/panics", 500, nil},
	} {
		req, _ := http.NewRequestWithContext(patiently(t), tt.method, srv.URL+tt.path+"?token=hunter2", http.NoBody)
		fetch(t, req)
		got := l.last()
		if got["kind"] != "api_transaction" || got["method"] != tt.method || got["endpoint"] != tt.route || got["status_code"] != float64(tt.status) {
			t.Errorf("%s %s: logged %v", tt.method, tt.path, got)
		}
		details, _ := got["details"].(map[string]any)
		if details["path"] != tt.path2 || got["ip_address"] != "127.0.0.1" || got["execution_time_ms"].(float64) < 0 {
			t.Errorf("%s %s: logged %v", tt.method, tt.path, got)
		}
		if b, _ := json.Marshal(got); bytes.Contains(b, []byte("hunter2")) {
			t.Errorf("the query is logged unasked: %s", b)
		}
	}
}

func TestWhatElseIsKnownOfARequest(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	srv := httptest.NewServer(l.Middleware(shop(), MiddlewareOptions{
		User: func(*http.Request) string { return "nobody" }, Headers: []string{"X-Shop"}, Query: true, Bodies: 20,
	}))
	defer srv.Close()
	req, _ := http.NewRequestWithContext(patiently(t), "POST", srv.URL+"/orders/7?page=2&page=3", strings.NewReader(`{"a":[1]}`))
	for name, v := range map[string]string{
		"Content-Type": "application/json; charset=utf-8", "X-Shop": "north", "Authorization": "Bearer s3cret", "User-Agent": "test/1",
		"X-Request-Id": "r-1", "Traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	} {
		req.Header.Set(name, v)
	}
	fetch(t, req)
	got := l.last()
	for name, want := range map[string]string{
		"user_id": `"user_123"`, "user_agent": `"test/1"`, "request_id": `"r-1"`, "headers": `{"x-shop":"north"}`,
		"trace_id": `"4bf92f3577b34da6a3ce929d0e0e4736"`, "span_id": `"00f067aa0ba902b7"`,
		"request_data":        `{"body":{"a":[1]},"query":{"page":["2","3"]}}`,
		"response_data":       `{"size":9}`,
		"performance_metrics": `{"request_bytes":9,"response_bytes":10}`,
	} {
		if b, _ := json.Marshal(got[name]); string(b) != want {
			t.Errorf("%s is %s, want %s", name, b, want)
		}
	}
	// One byte more than the limit is not logged, but counted.
	req, _ = http.NewRequestWithContext(patiently(t), "POST", srv.URL+"/orders/7", strings.NewReader(`{"a":[1,2,3,4,5,6,7]}`))
	req.Header.Set("Content-Type", "application/json")
	fetch(t, req)
	if got = l.last(); got["request_data"] != nil || !strings.Contains(fmt.Sprint(got["performance_metrics"]), "request_bytes:21") {
		t.Errorf("logged %v", got)
	}
}

func TestTheUserIsAskedForAndMayFail(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	srv := httptest.NewServer(l.Middleware(shop(), MiddlewareOptions{
		User: func(r *http.Request) string {
			if r.Header.Get("X-User") == "" {
				panic("no user")
			}
			return r.Header.Get("X-User")
		},
		Skip: func(r *http.Request) bool { return r.URL.Path == "/nope" },
	}))
	defer srv.Close()
	for _, user := range []string{"u9", ""} {
		for _, path := range []string{"/", "/nope"} {
			req, _ := http.NewRequestWithContext(patiently(t), "GET", srv.URL+path, http.NoBody)
			req.Header.Set("X-User", user)
			if resp, _ := fetch(t, req); resp == nil {
				t.Error("the request failed")
			}
		}
		got := l.last()
		if got["endpoint"] != "/" || user != "" && got["user_id"] != user || user == "" && got["user_id"] != nil {
			t.Errorf("logged %v", got)
		}
	}
	assertStats(t, l.Client, Stats{Logged: 2, Delivered: 2})
}

// Streaming, hijacking, deadlines, full duplex and sendfile work through the middleware, by assertion and by controller.
func TestTheWriterCanWhatItCouldBefore(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	released := make(chan struct{})
	mux := http.NewServeMux()
	mux.HandleFunc("/flush", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first\n")
		w.(http.Flusher).Flush()
		<-released
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/hijack", func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nraw")
		_ = rw.Flush()
		_ = conn.Close()
	})
	mux.HandleFunc("/control", func(w http.ResponseWriter, _ *http.Request) {
		rc := http.NewResponseController(w)
		if err := errors.Join(rc.SetWriteDeadline(time.Now().Add(patience)), rc.SetReadDeadline(time.Time{}), rc.EnableFullDuplex()); err != nil {
			t.Error(err)
		}
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusTeapot)
	})
	mux.HandleFunc("/copy", func(w http.ResponseWriter, _ *http.Request) {
		if _, ok := w.(io.ReaderFrom); !ok {
			t.Error("the writer is no io.ReaderFrom")
		}
		_, _ = io.Copy(w, struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 100_000))})
	})
	for i, bodies := range []int{0, 10} {
		srv := httptest.NewServer(l.Middleware(mux, MiddlewareOptions{Bodies: bodies}))
		get := func(path string) *http.Request {
			r, _ := http.NewRequestWithContext(patiently(t), "GET", srv.URL+path, http.NoBody)
			return r
		}
		tr := &http.Transport{}
		resp, err := (&http.Client{Transport: tr}).Do(get("/flush"))
		if err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(resp.Body).ReadString('\n'); line != "first\n" {
			t.Errorf("got %q and %v before the handler ended", line, err)
		}
		released <- struct{}{}
		_ = resp.Body.Close()
		tr.CloseIdleConnections()

		if _, body := fetch(t, get("/hijack")); body != "raw" {
			t.Errorf("hijacked: %q", body)
		}
		l.awaits("/flush", i+1) // their answers came before their handlers ended
		l.awaits("/hijack", i+1)
		if resp, _ := fetch(t, get("/control")); resp.StatusCode != http.StatusTeapot || l.last()["status_code"] != 418.0 {
			t.Errorf("status %d, logged %v", resp.StatusCode, l.last())
		}
		if _, body := fetch(t, get("/copy")); len(body) != 100_000 || !strings.Contains(fmt.Sprint(l.last()["performance_metrics"]), "response_bytes:100000") {
			t.Errorf("copied %d bytes, logged %v", len(body), l.last())
		}
		srv.Close()
	}
}

// A handler must not be told that a writer can what it cannot.
func TestTheWriterCanNothingMore(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	plain := struct{ http.ResponseWriter }{httptest.NewRecorder()}
	h := l.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, flushes := w.(http.Flusher)
		_, hijacks := w.(http.Hijacker)
		if flushes || hijacks {
			t.Errorf("flushes %v, hijacks %v, want neither", flushes, hijacks)
		}
	}), MiddlewareOptions{})
	h.ServeHTTP(plain, httptest.NewRequest("GET", "/", http.NoBody))
	h = l.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, flushes := w.(http.Flusher)
		_, hijacks := w.(http.Hijacker)
		if !flushes || hijacks {
			t.Errorf("flushes %v, hijacks %v, want only to flush", flushes, hijacks)
		}
	}), MiddlewareOptions{})
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", http.NoBody))
}

// A reverse proxy reads the body in another goroutine, also after its handler has returned; the race detector looks on.
func TestAProxyInside(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	defer behind.Close()
	target, err := url.Parse(behind.URL)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	srv := httptest.NewServer(l.Middleware(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: l.Transport(tr, TransportOptions{}),
	}, MiddlewareOptions{Bodies: 100}))
	defer srv.Close()
	for range 20 {
		req, _ := http.NewRequestWithContext(patiently(t), "POST", srv.URL, strings.NewReader(strings.Repeat("x", 1<<16)))
		fetch(t, req)
	}
	flush(t, l.Client)
	assertStats(t, l.Client, Stats{Logged: 40, Delivered: 40})
}

func TestCallsAreLogged(t *testing.T) {
	t.Parallel()
	l := newLog(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-RateLimit-Limit", "100")
		w.Header().Set("X-RateLimit-Remaining", "0")
		w.Header().Set("X-RateLimit-Reset", "1795000000")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	base := &http.Transport{}
	hc := &http.Client{Transport: l.Transport(base, TransportOptions{
		Service: func(*http.Request) string { return "mail" }, User: func(*http.Request) string { return "u1" },
	})}
	req, _ := http.NewRequestWithContext(patiently(t), "GET", "http://user:hunter2@"+strings.TrimPrefix(srv.URL, "http://")+"/send%2Fnow?key=hunter2", http.NoBody)
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	got := l.last()
	if b, _ := json.Marshal(got); bytes.Contains(b, []byte("hunter2")) || got["endpoint"] != srv.URL+"/send%2Fnow" || got["method"] != "GET" ||
		got["status_code"] != 429.0 || got["service_name"] != "mail" || got["user_id"] != "u1" ||
		!reflect.DeepEqual(got["rate_limit"], map[string]any{"limit": 100.0, "remaining": 0.0, "reset_at": "2026-11-18T11:06:40Z"}) {
		t.Errorf("logged %s", b)
	}
	hc.CloseIdleConnections()
	srv.Close()
	if resp, err := hc.Do(req); err == nil {
		_ = resp.Body.Close()
		t.Fatal("a closed server answered")
	}
	if got := l.last(); got["status_code"] != nil || !strings.Contains(got["error_details"].(string), "refused") {
		t.Errorf("logged %v", got)
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 17, 8, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	for name, tt := range map[string]struct {
		header string // Name: value, with newlines between
		status int
		want   RateLimit
	}{
		"none":                  {"", 200, RateLimit{}},
		"fields of the draft":   {"RateLimit: \"default\";r=50;t=30\nRateLimit-Policy: \"default\";q=100;w=60, \"day\";q=1000;w=86400", 200, RateLimit{new(100), new(50), at(30)}},
		"older draft":           {"RateLimit-Limit: 100, 100;w=60\nRateLimit-Remaining: 7\nRateLimit-Reset: 12", 200, RateLimit{new(100), new(7), at(12)}},
		"seconds since 1970":    {"X-RateLimit-Limit: 5000\nX-RateLimit-Reset: 1794902460", 200, RateLimit{Limit: new(5000), ResetAt: time.Unix(1794902460, 0).UTC()}},
		"milliseconds":          {"X-Rate-Limit-Reset: 1794902460500", 200, RateLimit{ResetAt: time.UnixMilli(1794902460500).UTC()}},
		"date":                  {"X-RateLimit-Reset: Tue, 17 Nov 2026 08:00:20 GMT", 200, RateLimit{ResetAt: at(20)}},
		"RFC 3339":              {"X-RateLimit-Reset: 2026-11-17T09:00:20+01:00", 200, RateLimit{ResetAt: at(20)}},
		"retry after":           {"Retry-After: 5", 429, RateLimit{ResetAt: at(5)}},
		"retry after otherwise": {"Retry-After: 5", 503, RateLimit{}},
		"nonsense":              {"X-RateLimit-Limit: many\nX-RateLimit-Remaining: -1\nX-RateLimit-Reset: NaN\nRateLimit: ;;=r,\nRateLimit-Policy: q", 429, RateLimit{}},
		"beyond all numbers":    {"X-RateLimit-Limit: 99999999999999999999\nX-RateLimit-Reset: 1e300", 200, RateLimit{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := http.Header{}
			for line := range strings.SplitSeq(tt.header, "\n") {
				if k, v, ok := strings.Cut(line, ": "); ok {
					h.Set(k, v)
				}
			}
			got := rateLimit(&http.Response{StatusCode: tt.status, Header: h}, now)
			if !reflect.DeepEqual(got, tt.want) {
				g, _ := json.Marshal(got)
				w, _ := json.Marshal(tt.want)
				t.Errorf("got %s, want %s", g, w)
			}
		})
	}
}

func FuzzRateLimit(f *testing.F) {
	f.Add("\"default\";r=50;t=30", "100, 100;w=60", "1794902460")
	f.Fuzz(func(t *testing.T, item, limit, reset string) {
		h := http.Header{"Ratelimit": {item}, "X-Ratelimit-Limit": {limit}, "X-Ratelimit-Reset": {reset}}
		l := rateLimit(&http.Response{Header: h}, time.Now())
		if _, err := json.Marshal(ExternalAPI{RateLimit: l}); err != nil {
			t.Errorf("it cannot be written: %v", err)
		}
		if y := l.ResetAt.Year(); !l.ResetAt.IsZero() && (y < 1970 || y > 2200) {
			t.Errorf("it ends in the year %d", y)
		}
	})
}

func TestSetUserOutsideOfARequestDoesNothing(t *testing.T) {
	t.Parallel()
	SetUser(context.Background(), "u1")
}
