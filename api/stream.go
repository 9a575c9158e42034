package api

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"
)

// pieceTime is how long a client may take to read one piece of a streamed answer.
const pieceTime = 30 * time.Second

// A streaming is the answer of a route that is written piece by piece, for as long as it takes.
type streaming struct {
	// answer writes the answer. Before its first byte, an error becomes a problem document; after it, the connection is
	// cut off, so that nobody takes a part for the whole.
	answer func(v *view, w *stream, r *http.Request, now time.Time) error
	// limits are how many there may be at once: of one caller, and in all.
	limits func(Config) (perCaller, total int)
	// endless: it does not end by itself, so that the end of the server does not wait for it.
	endless bool
}

// A stream is a streamed answer on its way.
type stream struct {
	http.ResponseWriter
	control *http.ResponseController
	config  Config
	began   bool   // something was written, or the connection is no longer HTTP's
	end     string // why it ended, for the log
}

func newStream(w http.ResponseWriter, c Config) *stream {
	return &stream{ResponseWriter: w, control: http.NewResponseController(w), config: c}
}

// Unwrap is for http.ResponseController.
func (s *stream) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// WriteHeader begins the answer.
func (s *stream) WriteHeader(status int) {
	s.began = true
	s.ResponseWriter.WriteHeader(status)
}

// Write writes a piece, within pieceTime.
func (s *stream) Write(b []byte) (int, error) {
	s.began = true
	_ = s.control.SetWriteDeadline(time.Now().Add(pieceTime)) // where there are none, as in tests, nothing blocks
	n, err := s.ResponseWriter.Write(b)
	if err != nil {
		err = errGone
	}
	return n, err
}

// Flush sends what is buffered.
func (s *stream) Flush() error {
	s.began = true
	_ = s.control.SetWriteDeadline(time.Now().Add(pieceTime))
	if err := s.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return errGone
	}
	return nil
}

var (
	errGone     = errors.New("the client is gone, or reads too slowly")
	errStopping = errors.New("the server ends")
)

// streams are the streamed answers under way.
type streams struct {
	mu      sync.Mutex
	open    map[*opened]struct{}
	stopped bool
	running sync.WaitGroup
}

type opened struct {
	route, caller string
	end           context.CancelCauseFunc // nil for one that ends by itself
}

// enter notes a stream of the caller, unless there are too many. leave must be called at its end.
func (s *streams) enter(ctx context.Context, rt *route, caller string, c Config) (context.Context, func(), error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	perCaller, total := rt.stream.limits(c)
	own, all := 1, 1
	for o := range s.open {
		if o.route == rt.path {
			all++
			if o.caller == caller {
				own++
			}
		}
	}
	if s.stopped || own > perCaller || all > total {
		return nil, nil, errTooManyStreams
	}
	ctx, cancel := context.WithCancelCause(ctx)
	o := &opened{route: rt.path, caller: caller}
	if rt.stream.endless {
		o.end = cancel
	}
	if s.open == nil {
		s.open = map[*opened]struct{}{}
	}
	s.open[o] = struct{}{}
	s.running.Add(1)
	return ctx, func() {
		cancel(nil)
		s.mu.Lock()
		delete(s.open, o)
		s.mu.Unlock()
		s.running.Done()
	}, nil
}

// stop ends those that do not end by themselves, and lets no more in.
func (s *streams) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	for o := range s.open {
		if o.end != nil {
			o.end(errStopping)
		}
	}
}

// stream gives the route's streamed answer.
func (s *Server) stream(v *view, w *stream, m *match, now time.Time) error {
	ctx, leave, err := s.streams.enter(m.request.Context(), m.route, v.name(), s.o.Config)
	if err != nil {
		w.Header().Set("Retry-After", "5")
		return err
	}
	defer leave()
	_ = w.control.SetReadDeadline(time.Time{}) // which ends the request, while it is answered
	err = m.route.stream.answer(v, w, m.request.WithContext(ctx), now)
	if v.others && w.began {
		// The end of an export goes out after this, so that the client learns where it is not recorded.
		if e := s.recordEnd(ctx, v, m); err == nil && !m.route.stream.endless {
			err = e
		}
	}
	return err
}
