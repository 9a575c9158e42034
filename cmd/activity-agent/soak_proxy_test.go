package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"
)

// A troublemaker stands before the nodes of a cluster. Most of the time it passes everything on; in a storm it answers
// instead of them, or cuts connections before or after the node has done its work.
type troublemaker struct {
	s     *soak
	storm atomic.Bool
	calm  atomic.Bool // nothing goes wrong any more
	urls  []string
}

// before starts a proxy for each node.
func (s *soak) before(t *testing.T, nodes []string) *troublemaker {
	p := &troublemaker{s: s}
	for _, node := range nodes {
		to, err := url.Parse(node)
		if err != nil {
			t.Fatal(err)
		}
		proxy := httputil.NewSingleHostReverseProxy(to)
		transport := http.DefaultTransport.(*http.Transport).Clone()
		proxy.Transport = transport
		proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { cut(w) } // as a node that is down does
		srv := httptest.NewServer(p.handler(proxy))
		t.Cleanup(func() {
			srv.CloseClientConnections()
			srv.Close()
			transport.CloseIdleConnections()
		})
		p.urls = append(p.urls, srv.URL)
	}
	return p
}

// cut ends the connection without an answer.
func cut(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close()
	}
}

func (p *troublemaker) handler(node http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		odds := 100 // one request of so many goes wrong
		if p.storm.Load() {
			odds = 1
		}
		if p.calm.Load() || rand.IntN(odds) > 0 { // which request meets this is up to the clock, whatever the seed
			node.ServeHTTP(w, r)
			return
		}
		switch rand.IntN(8) {
		case 0, 1, 2:
			p.s.count("requests answered 429")
			if rand.IntN(2) == 0 {
				w.Header().Set("Retry-After", "1")
			}
			w.WriteHeader(http.StatusTooManyRequests)
		case 3:
			p.s.count("requests answered 503")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 4:
			p.s.count("connections cut before the request")
			cut(w)
		case 5:
			p.s.count("connections cut after the request")
			answer(node, r)
			cut(w)
		case 6:
			p.s.count("connections cut within the answer")
			a := answer(node, r)
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = a.Result().Write(&truncating{conn, 20 + rand.IntN(max(a.Body.Len(), 1))})
				_ = conn.Close()
			}
		default:
			p.s.count("requests delayed")
			time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond)
			node.ServeHTTP(w, r)
		}
	})
}

// answer has the node do its work, and keeps what it says.
func answer(node http.Handler, r *http.Request) *httptest.ResponseRecorder {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	a := httptest.NewRecorder()
	node.ServeHTTP(a, r)
	return a
}

// truncating passes on so many bytes and then none.
type truncating struct {
	w    io.Writer
	left int
}

func (t *truncating) Write(b []byte) (int, error) {
	n := min(len(b), t.left)
	t.left -= n
	_, err := t.w.Write(b[:n])
	return len(b), err
}
