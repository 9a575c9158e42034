package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// MiddlewareOptions say what Middleware logs of a request. The zero value logs route, status, duration, sizes, address and
// user agent.
type MiddlewareOptions struct {
	// User names who makes a request. It is asked after the handler, with the request as it came in. What SetUser was told
	// inside wins.
	User func(*http.Request) string
	// Skip leaves requests out, such as those of probes.
	Skip func(*http.Request) bool
	// Headers are the names of request headers that are logged.
	Headers []string
	// Query logs the query string, in request_data.
	Query bool
	// Bodies is how many bytes of request and response bodies are logged; of a larger one nothing but its size. 0 logs none.
	Bodies int
}

// Middleware returns a handler that logs each request to next as an API transaction: with the pattern of the
// http.ServeMux that took it, or else its path. Flushing, hijacking and http.ResponseController work as without it.
func (c *Client) Middleware(next http.Handler, o MiddlewareOptions) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if o.Skip != nil && o.Skip(r) {
			next.ServeHTTP(w, r)
			return
		}
		user := new(atomic.Pointer[string])
		x := &exchange{w: w, began: time.Now(), request: body{limit: o.Bodies}, response: body{limit: o.Bodies}}
		// The mux notes its pattern in the request that it is given: in this copy.
		seen := r.WithContext(context.WithValue(r.Context(), userKey{}, user))
		if r.Body != nil && r.Body != http.NoBody {
			seen.Body = &countedBody{r.Body, &x.request}
		}
		// No recover: a handler that panics shall show where.
		defer func() {
			a := x.describe(seen, r, o)
			if u := user.Load(); u != nil {
				a.UserID = *u
			} else if o.User != nil {
				a.UserID = c.ask(o.User, seen)
			}
			// Errors are counted. The request's context may be done by now.
			_, _ = c.LogAPITransaction(context.WithoutCancel(r.Context()), a)
		}()
		next.ServeHTTP(x.writer(), seen)
		x.completed = true
	})
}

type userKey struct{}

// SetUser names the user of the request that ctx belongs to, for the Middleware around it; elsewhere it does nothing. It is
// for handlers inside, such as those that check who it is.
func SetUser(ctx context.Context, id string) {
	if user, ok := ctx.Value(userKey{}).(*atomic.Pointer[string]); ok {
		user.Store(&id)
	}
}

// ask asks a function of the application about a request. That it panics is no reason to fail the request.
func (c *Client) ask(f func(*http.Request) string, r *http.Request) (said string) {
	defer func() {
		if p := recover(); p != nil {
			c.complain(fmt.Sprintf("a function that names a user or a service panicked (%T)", p))
		}
	}()
	return f(r)
}

// An exchange is what is seen of a request and its response.
type exchange struct {
	w                 http.ResponseWriter
	began             time.Time
	request, response body
	status            int
	hijacked          bool
	completed         bool // the handler returned
}

// describe makes the activity. seen is the request as the handler had it, original as it came in.
func (x *exchange) describe(seen, original *http.Request, o MiddlewareOptions) APITransaction {
	endpoint := route(seen.Pattern)
	if endpoint == "" {
		endpoint = original.URL.Path
	}
	trace, span := traceparent(original.Header.Get("Traceparent"))
	a := APITransaction{
		Method:             original.Method,
		Endpoint:           endpoint,
		ExecutionTimeMS:    new(float64(time.Since(x.began).Microseconds()) / 1000),
		PerformanceMetrics: map[string]int64{"request_bytes": x.request.bytes(), "response_bytes": x.response.bytes()},
		ResponseData:       x.response.value(x.w.Header().Get("Content-Type")),
		IPAddress:          address(original.RemoteAddr),
		UserAgent:          original.UserAgent(),
		RequestID:          original.Header.Get("X-Request-Id"),
		TraceID:            trace,
		SpanID:             span,
	}
	if endpoint != original.URL.Path {
		a.Details = map[string]string{"path": original.URL.Path}
	}
	a.StatusCode, a.ErrorDetails = x.outcome()
	request := map[string]any{}
	if o.Query && original.URL.RawQuery != "" {
		request["query"] = original.URL.Query()
	}
	if v := x.request.value(original.Header.Get("Content-Type")); v != nil {
		request["body"] = v
	}
	if len(request) > 0 {
		a.RequestData = request
	}
	headers := map[string]string{}
	for _, name := range o.Headers {
		if v := original.Header.Get(name); v != "" {
			headers[strings.ToLower(name)] = v
		}
	}
	if len(headers) > 0 {
		a.Headers = headers
	}
	return a
}

// outcome is the status, and what went wrong.
func (x *exchange) outcome() (status *int, problem string) {
	switch {
	case x.status != 0:
		status = &x.status
	case x.hijacked:
		status = new(http.StatusSwitchingProtocols)
	case x.completed:
		status = new(http.StatusOK) // what net/http makes of it
	default:
		status = new(http.StatusInternalServerError)
	}
	if !x.completed {
		problem = "the handler panicked"
	}
	return status, problem
}

// route is the path of a pattern of http.ServeMux: "POST example.com/orders/{id...}" is /orders/{id}.
func route(pattern string) string {
	i := strings.IndexByte(pattern, '/')
	if i < 0 {
		return ""
	}
	return strings.ReplaceAll(strings.TrimSuffix(pattern[i:], "{$}"), "...}", "}")
}

func address(remote string) netip.Addr {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{} // a Unix socket
	}
	return at.Addr().Unmap().WithZone("")
}

var traceparentForm = regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}`)

// traceparent reads the header of that name (W3C Trace Context).
func traceparent(v string) (trace, span string) {
	m := traceparentForm.FindStringSubmatch(v)
	if m == nil {
		return "", ""
	}
	return m[1], m[2]
}

// --- bodies

// A body counts its bytes, and keeps them while they are few. A handler may leave it to another goroutine, as a proxy does.
type body struct {
	limit int

	mu   sync.Mutex
	size int64
	kept []byte
}

func (b *body) bytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size
}

func (b *body) add(p []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size += int64(len(p))
	if b.size <= int64(b.limit) {
		b.kept = append(b.kept, p...)
	}
}

// count adds n bytes that nobody saw.
func (b *body) count(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size += n
}

// value is what was kept: of JSON its value, of other text the text, else nil.
func (b *body) value(contentType string) any {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.kept) == 0 || b.size > int64(b.limit) {
		return nil
	}
	media, _, _ := mime.ParseMediaType(contentType) // one that is none is no text
	switch {
	case media == "application/json" || strings.HasSuffix(media, "+json"):
		if json.Valid(b.kept) {
			return json.RawMessage(bytes.Clone(b.kept))
		}
		return string(b.kept)
	case strings.HasPrefix(media, "text/"), media == "application/x-www-form-urlencoded":
		return string(b.kept)
	}
	return nil
}

type countedBody struct {
	io.ReadCloser
	seen *body
}

func (c *countedBody) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.seen.add(p[:n])
	return n, err
}

// --- the writer

// writer is a response writer that is seen through, with the optional interfaces that the one below has, and no others:
// handlers ask for them by assertion.
func (x *exchange) writer() http.ResponseWriter {
	_, flushes := x.w.(http.Flusher)
	_, hijacks := x.w.(http.Hijacker)
	switch w := (recorder{x}); {
	case flushes && hijacks:
		return struct {
			recorder
			flusher
			hijacker
		}{w, flusher{x}, hijacker{x}}
	case flushes:
		return struct {
			recorder
			flusher
		}{w, flusher{x}}
	case hijacks:
		return struct {
			recorder
			hijacker
		}{w, hijacker{x}}
	default:
		return w
	}
}

type recorder struct{ x *exchange }

// Unwrap is for http.ResponseController.
func (w recorder) Unwrap() http.ResponseWriter { return w.x.w }

func (w recorder) Header() http.Header { return w.x.w.Header() }

func (w recorder) WriteHeader(status int) {
	// Of the informational answers, one after which another protocol is spoken is final.
	if w.x.status == 0 && (status >= 200 || status == http.StatusSwitchingProtocols) {
		w.x.status = status
	}
	w.x.w.WriteHeader(status)
}

func (w recorder) Write(p []byte) (int, error) {
	w.x.wrote()
	n, err := w.x.w.Write(p)
	w.x.response.add(p[:n])
	return n, err
}

// ReadFrom lets the writer below copy in its own way, such as with sendfile, unless the body is kept.
func (w recorder) ReadFrom(r io.Reader) (int64, error) {
	if w.x.response.limit > 0 {
		return io.Copy(onlyWriter{w}, r)
	}
	w.x.wrote()
	n, err := io.Copy(w.x.w, r)
	w.x.response.count(n)
	return n, err
}

type onlyWriter struct{ io.Writer }

func (x *exchange) wrote() {
	if x.status == 0 {
		x.status = http.StatusOK
	}
}

type flusher struct{ x *exchange }

func (f flusher) Flush() {
	f.x.wrote()
	f.x.w.(http.Flusher).Flush()
}

// FlushError is for http.ResponseController.
func (f flusher) FlushError() error {
	f.x.wrote()
	return http.NewResponseController(f.x.w).Flush()
}

type hijacker struct{ x *exchange }

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := h.x.w.(http.Hijacker).Hijack()
	h.x.hijacked = h.x.hijacked || err == nil
	return conn, rw, err
}
