package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/access"
	"github.com/truledgr/activity-agent/api/live"
)

// Options are what a server is made of.
type Options struct {
	// Model is the kinds and fields there are; nil for the built-in ones.
	Model  *activity.Model
	Config Config
	Store  search.Store
	Logger *zap.Logger
	// Pseudonym is what documents have for a user's name, where identities are hashed; nil where they are kept. It is
	// called by many goroutines.
	Pseudonym func(user string) string
	// Recorder keeps what is recorded of reads and amendments. Nil where Config.RecordReads is RecordOff and nothing is amended.
	Recorder Recorder
	// Took takes how long each request took, by route and status: see NewTook. Nil for nothing.
	Took *prometheus.HistogramVec
	// Now is the clock; nil for time.Now.
	Now func() time.Time
}

// NewTook makes the metric of Options.Took. A request whose route is not known, and one of nobody known, has the route "".
func NewTook() *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "activity_agent_api_request_seconds",
		Help:    "How long requests of the read API took, by route and status.",
		Buckets: []float64{.005, .02, .1, .5, 2, 10, 30},
	}, []string{"route", "status"})
}

// A Server answers requests.
type Server struct {
	o     Options
	gate  *access.Gate
	limit *limiter
	// failures limits requests of nobody known, by address.
	failures *limiter
	mux      *http.ServeMux
	open     map[string]leaf // what is there without a token

	streams streams
	hub     *live.Hub // nil where the store is no search.Follower
	bodies  sync.Pool // of *bytes.Buffer, for the bodies of answers
}

// New makes a server. Its error says what is wrong with the configuration.
func New(o Options) (*Server, error) {
	if errs := o.Config.Auth.Check(o.Config.Listen); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if o.Recorder == nil && o.Config.RecordReads != RecordOff {
		return nil, errors.New("api.record_reads: there is nothing to record with")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &Server{o: o, gate: access.NewGate(o.Config.Auth), limit: newLimiter(o.Config.RateLimit), mux: http.NewServeMux(), open: leaves(o.Model)}
	s.failures = newLimiter(failuresPerMinute)
	s.bodies.New = func() any { return new(bytes.Buffer) }
	if f, ok := o.Store.(search.Follower); ok {
		s.hub = live.New(f, o.Logger)
	}
	for _, rt := range routes(o.Model) {
		s.mux.HandleFunc(rt.verb()+" "+rt.path, found(rt))
		s.mux.HandleFunc(rt.verb()+" "+rt.path+"/{$}", found(rt))
	}
	return s, nil
}

// A match is what the mux has found out about a request. It takes what the mux itself would answer, to paths that are no
// route or not clean, and throws it away: every answer of the API has one form.
type match struct {
	header  http.Header
	status  int // what the mux would answer; 0 where there is a route
	route   *route
	request *http.Request // with the parts of its path
}

func (m *match) Header() http.Header         { return m.header }
func (m *match) Write(b []byte) (int, error) { return len(b), nil }
func (m *match) WriteHeader(status int)      { m.status = status }

// pattern is the route's, "" where there is none.
func (m *match) pattern() string {
	if m == nil || m.route == nil {
		return ""
	}
	return m.route.path
}

func found(rt route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if m, ok := w.(*match); ok {
			m.route, m.request = &rt, r
		}
	}
}

// askTime is how long a question may take.
const askTime = 30 * time.Second

// ServeHTTP answers a request, and notes it in the access log.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := s.o.Now()
	id := ulid.Make().String()
	h := w.Header()
	h.Set("X-Request-Id", id)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	if s.o.Config.crossOrigin(w, r) {
		s.log(id, &view{}, nil, http.StatusNoContent, began, "", nil)
		return
	}
	if page, ok := s.open[r.URL.Path]; ok && reads(r) {
		page.write(w)
		s.log(id, &view{}, &match{route: &route{path: r.URL.Path}}, http.StatusOK, began, "", nil)
		return
	}
	v, m, err := s.admit(h, r, began)
	v.requestID, v.at = id, m
	out := newStream(w, s.o.Config)
	body := s.bodies.Get().(*bytes.Buffer)
	defer s.free(body)
	switch {
	case err != nil:
	case m.route.stream != nil:
		v.note = func() error { return s.recordRead(m.request.Context(), &v, m, -1) }
		err = s.stream(&v, out, m, began)
	default:
		err = s.answerWhole(&v, m, h, began, body)
	}
	status := http.StatusOK
	switch {
	case out.began:
	case err != nil:
		p := s.problem(h, err)
		p.RequestID, status = id, p.Status
		p.write(w)
	case m.route.stream == nil:
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(body.Len()))
		_, _ = w.Write(body.Bytes()) // the client is gone
	}
	s.log(id, &v, m, status, began, out.end, err)
	if out.began && err != nil {
		panic(http.ErrAbortHandler) // cuts off the connection
	}
}

// log writes the line of the access log.
func (s *Server) log(id string, v *view, m *match, status int, began time.Time, end string, err error) {
	if status == http.StatusUnprocessableEntity {
		err = nil // it has the names of parameters, which can be anything
	}
	took := s.o.Now().Sub(began)
	if s.o.Took != nil {
		s.o.Took.WithLabelValues(m.pattern(), strconv.Itoa(status)).Observe(took.Seconds())
	}
	fields := []zap.Field{zap.String("request_id", id), zap.String("by", v.caller.By), zap.String("user_id", v.user), zap.String("role", string(v.caller.Role)),
		zap.String("route", m.pattern()), zap.Int("status", status), zap.Duration("took", took), zap.Error(err)}
	if end != "" {
		fields = append(fields, zap.String("end", end))
	}
	s.o.Logger.Info("request", fields...)
}

// seconds writes how long to wait, as Retry-After has it.
func seconds(wait time.Duration) string { return strconv.Itoa(int(math.Ceil(wait.Seconds()))) }

func reads(r *http.Request) bool { return r.Method == http.MethodGet || r.Method == http.MethodHead }

// A denial is a request of nobody known.
type denial struct{ err error }

func (d denial) Error() string { return d.err.Error() }
func (d denial) Unwrap() error { return d.err }

// admit finds out who asks and what, and whether they may.
func (s *Server) admit(h http.Header, r *http.Request, now time.Time) (v view, m *match, err error) {
	if token, ok := protocolToken(r); ok && isUpgrade(r) && r.Header.Get("Authorization") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+token)
	}
	caller, err := s.gate.Identify(r, now)
	if err != nil {
		// A valid token is good all the same: others may come from the same address, as behind a proxy.
		if wait := s.failures.take(network(r.RemoteAddr), now); wait > 0 {
			h.Set("Retry-After", seconds(wait))
			return v, nil, errTooManyFailures
		}
		return v, nil, denial{err}
	}
	v = view{model: s.o.Model, store: s.o.Store, hub: s.hub, recorder: s.o.Recorder, amendOwn: s.o.Config.AmendOwn, caller: caller, user: caller.User, pseudonym: s.o.Pseudonym}
	v.still = func() error {
		if again, err := s.gate.Identify(r, s.o.Now()); err != nil || again != caller {
			return denial{errors.Join(err, errNoLonger)}
		}
		return nil
	}
	if s.o.Pseudonym != nil && caller.User != "" {
		v.user = s.o.Pseudonym(caller.User)
	}
	if wait := s.limit.take(v.name(), now); wait > 0 {
		h.Set("Retry-After", seconds(wait))
		return v, nil, errTooMany
	}
	m = &match{header: http.Header{}}
	s.mux.ServeHTTP(m, r)
	switch {
	case m.status == http.StatusMethodNotAllowed:
		h.Set("Allow", m.header.Get("Allow"))
		return v, m, errMethod
	case m.route == nil && s.open[r.URL.Path].body != nil:
		h.Set("Allow", "GET, HEAD")
		return v, m, errMethod
	case m.route == nil:
		return v, m, errNoRoute
	}
	if !slices.Contains(m.route.roles, caller.Role) {
		return v, m, errForbidden
	}
	return v, m, nil
}

// answerWhole asks the store and writes the body of the answer, once it is recorded where it has to be.
func (s *Server) answerWhole(v *view, m *match, h http.Header, now time.Time, body *bytes.Buffer) error {
	ctx, cancel := context.WithTimeout(m.request.Context(), askTime)
	defer cancel()
	out, err := m.route.handle(v, m.request.WithContext(ctx), now)
	if err != nil {
		return err
	}
	if v.others {
		if err := s.recordRead(ctx, v, m, v.shown); err != nil {
			return err
		}
	}
	if doc, ok := out.(json.RawMessage); ok {
		h.Set("ETag", etag(doc))
	}
	return encodeTo(body, out)
}

// maxKept is how long a body may be whose memory is kept for the next one.
const maxKept = 1 << 20

// free keeps the memory of a body that has been written.
func (s *Server) free(body *bytes.Buffer) {
	if body.Cap() <= maxKept {
		body.Reset()
		s.bodies.Put(body)
	}
}

func encode(answer any) ([]byte, error) {
	var body bytes.Buffer
	err := encodeTo(&body, answer)
	return body.Bytes(), err
}

// encodeTo writes an answer as JSON.
func encodeTo(body *bytes.Buffer, answer any) error {
	if p, ok := answer.(page); ok {
		p.encode(body)
		return nil
	}
	enc := json.NewEncoder(body)
	enc.SetEscapeHTML(false) // documents stay as they are stored
	return enc.Encode(answer)
}

// problem tells the caller about an error. Why a token was refused is in the log alone.
func (s *Server) problem(h http.Header, err error) problem {
	var d denial
	if !errors.As(err, &d) {
		return problemOf(err)
	}
	p := problem{Title: http.StatusText(http.StatusUnauthorized), Status: http.StatusUnauthorized, Detail: "the token is not valid here"}
	h.Set("WWW-Authenticate", `Bearer error="invalid_token"`)
	for _, known := range []error{access.ErrNoWay, access.ErrNoToken} {
		if errors.Is(err, known) {
			p.Detail = known.Error()
			h.Set("WWW-Authenticate", "Bearer")
		}
	}
	return p
}

// A Listener is a server on an address.
type Listener struct {
	server *Server
	srv    *http.Server
	net    net.Listener
}

// Listen binds api.listen, so that an address in use is an error at the start.
func (s *Server) Listen() (*Listener, error) {
	l, err := net.Listen("tcp", s.o.Config.Listen)
	if err != nil {
		return nil, fmt.Errorf("api.listen: %w; choose another address, or \"\" for no read API in `activity-agent run`", err)
	}
	return &Listener{s, &http.Server{
		Handler:           http.MaxBytesHandler(s, maxPatch),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      askTime + 30*time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          zap.NewStdLog(s.o.Logger),
	}, l}, nil
}

// Addr returns the address that was bound.
func (l *Listener) Addr() string { return l.net.Addr().String() }

// Serve answers until ctx is done; then requests under way have a moment to end.
func (l *Listener) Serve(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- l.srv.Serve(l.net) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	l.server.streams.stop()
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := l.srv.Shutdown(bye)
	if errors.Is(err, context.DeadlineExceeded) {
		err = l.srv.Close()
	}
	if e := <-done; !errors.Is(e, http.ErrServerClosed) {
		err = errors.Join(err, e)
	}
	l.server.streams.running.Wait()
	return err
}
