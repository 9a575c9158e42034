package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"mime"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent/ingest/journal"
	"github.com/truledgr/activity-agent/pipeline"
)

// Limits of the listener that are not configured.
const (
	maxHeader  = 16 << 10
	maxKey     = 255 // bytes of an idempotency key
	retrySoon  = 1   // seconds
	retryLater = 5
)

// timeouts are how long each part of a request may take.
type timeouts struct {
	header, read time.Duration // from its beginning: the header, and all of it
	answer       time.Duration // beyond that: for the disk, and a client that reads slowly
	idle         time.Duration // between two requests
}

var usual = timeouts{header: 5 * time.Second, read: 15 * time.Second, answer: 30 * time.Second, idle: 2 * time.Minute}

// kindByRoute are the routes that there always are, and the kind that each sets.
var kindByRoute = map[string]activity.Kind{
	"/v1/activities":       activity.NoKind,
	"/v1/api-transactions": activity.APITransaction,
	"/v1/data-access":      activity.DataAccess,
	"/v1/data-changes":     activity.DataChange,
	"/v1/auth-events":      activity.AuthEvent,
	"/v1/external-api":     activity.ExternalAPI,
	"/v1/system-events":    activity.SystemEvent,
}

// kindsByRoute returns the routes for the kinds of m.
func kindsByRoute(m *activity.Model) map[string]activity.Kind {
	routes := maps.Clone(kindByRoute)
	for _, k := range m.Kinds() {
		if word := m.RouteWord(k); word != "" {
			routes["/v1/"+word] = k
		}
	}
	return routes
}

// A Server takes activities over HTTP.
type Server struct {
	intake   *Intake
	log      *zap.Logger
	bodies   *bodies
	token    *token
	openAPI  []byte
	routes   map[string]activity.Kind
	srv      *http.Server
	listener net.Listener
	answers  [600]atomic.Int64
	buffers  sync.Pool // of *[]byte: answers
}

// Listen binds the address, so that one in use is an error at the start.
func Listen(c Config, in *Intake, log *zap.Logger) (*Server, error) {
	return newServer(c, in, log, usual)
}

func newServer(c Config, in *Intake, log *zap.Logger, limit timeouts) (*Server, error) {
	l, err := listen(c)
	if err != nil {
		return nil, fmt.Errorf("ingest.listen: %w; choose another address, or \"\" to switch it off", err)
	}
	s := &Server{
		intake: in, log: log, bodies: newBodies(c.MaxBody), token: newToken(c), openAPI: describe(c, in.o.Model), routes: kindsByRoute(in.o.Model),
		listener: newLimited(l, c.MaxConnections),
	}
	s.buffers.New = func() any { return new([]byte) }
	s.srv = &http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: limit.header,
		ReadTimeout:       limit.read,
		WriteTimeout:      limit.read + limit.answer,
		IdleTimeout:       limit.idle,
		MaxHeaderBytes:    maxHeader - 4096, // net/http allows as much more
		ErrorLog:          zap.NewStdLog(zap.NewNop()),
	}
	return s, nil
}

func listen(c Config) (net.Listener, error) {
	path, ok := strings.CutPrefix(c.Listen, unixPrefix)
	if !ok {
		return net.Listen("tcp", c.Listen)
	}
	mode, err := ParseMode(c.SocketMode)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// removeStale removes the socket of an agent that was killed: one that nobody answers.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s is there and is no socket", path)
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("%s is in use by another process", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// limited accepts connections while there are places for them.
type limited struct {
	net.Listener
	places chan struct{}
	quit   chan struct{}
	close  func()
}

func newLimited(l net.Listener, n int) *limited {
	quit := make(chan struct{})
	return &limited{Listener: l, places: make(chan struct{}, n), quit: quit, close: sync.OnceFunc(func() { close(quit) })}
}

// Close ends an Accept that waits for a place, too.
func (l *limited) Close() error {
	l.close()
	return l.Listener.Close()
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.quit:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placed{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

// placed gives its place back when it is closed.
type placed struct {
	net.Conn
	leave func()
}

func (c *placed) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

// Addr returns the address that was bound.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve answers until Stop is called.
func (s *Server) Serve() error {
	err := s.srv.Serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("ingest listener: %w", err)
}

// Stop takes no more requests, and waits for those under way until ctx is done.
func (s *Server) Stop(ctx context.Context) {
	if s.srv.Shutdown(ctx) != nil {
		_ = s.srv.Close()
	}
}

// Answers returns how many requests were answered, by status.
func (s *Server) Answers() map[int]int64 {
	m := map[int]int64{}
	for code := range s.answers {
		if n := s.answers[code].Load(); n > 0 {
			m[code] = n
		}
	}
	return m
}

// serve answers one request.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	status := http.StatusAccepted
	if p := s.answer(w, r); p != nil {
		status = p.Status
		p.write(w)
	}
	s.answers[status].Add(1)
}

// answer does what a request asks for, or says why not.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) *problem {
	kind, ok := s.routes[strings.TrimSuffix(r.URL.Path, "/")]
	switch {
	case !s.token.admits(r):
		w.Header().Set("WWW-Authenticate", `Bearer realm="activity-agent"`)
		return newProblem(http.StatusUnauthorized, "unauthorized", "send ingest.token as Authorization: Bearer TOKEN")
	case r.URL.Path == "/openapi.json":
		return s.describeTo(w, r)
	case !ok:
		return newProblem(http.StatusNotFound, "no-route", "post to /v1/activities or one of the typed routes; /openapi.json lists them")
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		return newProblem(http.StatusMethodNotAllowed, "method", "activities are posted")
	}
	return s.post(w, r, kind)
}

func (s *Server) describeTo(w http.ResponseWriter, r *http.Request) *problem {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		return newProblem(http.StatusMethodNotAllowed, "method", "the description is only read")
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(s.openAPI)))
	_, _ = w.Write(s.openAPI)
	return nil
}

// post takes the records of a request.
func (s *Server) post(w http.ResponseWriter, r *http.Request, kind activity.Kind) *problem {
	split, p := splitter(r.Header.Get("Content-Type"))
	if p != nil {
		return p
	}
	keys := r.Header["Idempotency-Key"]
	if len(keys) > 1 || len(keys) == 1 && (keys[0] == "" || len(keys[0]) > maxKey) {
		return newProblem(http.StatusBadRequest, "idempotency-key", "send one Idempotency-Key of 1 to 255 bytes")
	}
	b, err := s.bodies.read(r)
	if err != nil {
		return s.refusal(err)
	}
	defer b.release()
	req := Request{Body: b.bytes, Split: split, Kind: kind}
	if len(keys) == 1 {
		req.Key = keys[0]
	}
	buf := s.buffers.Get().(*[]byte)
	defer s.buffers.Put(buf)
	err = s.intake.Take(r.Context(), &req, func(batch *pipeline.Batch) {
		*buf = append((*buf)[:0], `{"ids":`...)
		*buf = append(appendIDs(*buf, batch), "}\n"...)
	})
	if err != nil {
		return s.refusal(err)
	}
	h := w.Header()
	h["Content-Type"] = contentJSON
	h["Content-Length"] = []string{strconv.Itoa(len(*buf))}
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(*buf)
	return nil
}

var contentJSON = []string{"application/json"}

// splitter chooses how the records in a body are found.
func splitter(contentType string) (func(*pipeline.Raw) error, *problem) {
	media := contentType
	if contentType != "application/json" {
		var params map[string]string
		var err error
		media, params, err = mime.ParseMediaType(contentType)
		if charset := params["charset"]; err == nil && charset != "" && !strings.EqualFold(charset, "utf-8") {
			media = ""
		}
	}
	switch media {
	case "application/json":
		return splitJSON, nil
	case "application/x-ndjson", "application/ndjson", "application/jsonl":
		return splitLines, nil
	}
	return nil, newProblem(http.StatusUnsupportedMediaType, "content-type",
		"send JSON in UTF-8 as application/json, or one object a line as application/x-ndjson")
}

// refusal says what an error means to the client.
func (s *Server) refusal(err error) *problem {
	var inv *InvalidError
	var syntax syntaxError
	switch {
	case errors.As(err, &inv):
		return invalid(inv.Problems)
	case errors.As(err, &syntax):
		return newProblem(http.StatusBadRequest, "not-json", string(syntax))
	case errors.Is(err, ErrReused):
		return newProblem(http.StatusUnprocessableEntity, "idempotency-key", "this Idempotency-Key was used with another body; nothing was stored")
	case errors.Is(err, errTooLarge):
		p := newProblem(http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf("a body may have %d bytes, after decompression; send fewer records at once, or raise ingest.max_body", s.bodies.max))
		p.close = true
		return p
	case errors.Is(err, errTooMany):
		return newProblem(http.StatusRequestEntityTooLarge, "too-large", fmt.Sprintf("a request may have %d records; send fewer at once", maxRecords))
	case errors.Is(err, errEncoding):
		return newProblem(http.StatusUnsupportedMediaType, "content-encoding", "send the body as it is, or with Content-Encoding: gzip")
	case errors.Is(err, errNotGzip):
		return newProblem(http.StatusBadRequest, "not-gzip", "the body is not what its Content-Encoding says")
	case errors.Is(err, errSlow):
		p := newProblem(http.StatusRequestTimeout, "slow", "the body did not come in time")
		p.close = true
		return p
	case errors.Is(err, errCut):
		p := newProblem(http.StatusBadRequest, "cut", "the body ended before its time")
		p.close = true
		return p
	case errors.Is(err, journal.ErrFull):
		p := newProblem(http.StatusTooManyRequests, "journal-full", "the store has not taken what was posted before, and the journal's disk budget is used up; try again later")
		p.retryAfter = retryLater
		return p
	case errors.Is(err, errNoMemory):
		p := newProblem(http.StatusServiceUnavailable, "busy", "too many large requests at once; try again")
		p.retryAfter = retrySoon
		return p
	}
	if !errors.Is(err, context.Canceled) {
		s.log.Warn("posted records were not taken; the client was told to try again", zap.Error(err))
	}
	p := newProblem(http.StatusServiceUnavailable, "unavailable", "the records could not be made durable; try again")
	p.retryAfter = retrySoon
	return p
}
