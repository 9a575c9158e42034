package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/live"
)

const (
	// heartbeat is how often a live reader hears something, so that what lies in between keeps the connection.
	heartbeat = 15 * time.Second
	// askAgain is how often it is asked whether a live reader's token is still valid.
	askAgain = time.Minute
	// maxLive is how many live readers there may be at once.
	maxLive = 1000
	// protocol is the WebSocket subprotocol of the events; tokenProtocol begins the one that carries the token, since a
	// page cannot send headers.
	protocol      = "activities"
	tokenProtocol = "bearer."
)

func following() *streaming {
	return &streaming{
		answer:  liveAnswer,
		limits:  func(c Config) (int, int) { return c.Live.PerCaller, maxLive },
		endless: true,
	}
}

var liveDoc = doc{
	summary: "What arrives, as it arrives: server-sent events, or a WebSocket on upgrade",
	params: []param{
		{name: "after", text: "go on after the event with this id"},
		{name: "Last-Event-ID", text: "the same, as browsers send it", header: true},
	},
	without: []string{"limit", "offset", "cursor", "sort"},
	media:   []string{"text/event-stream"},
}

// A channel is how events get to a live reader: server-sent events or a WebSocket.
type channel interface {
	// event sends an activity with the place after it; a nil doc is the place alone.
	event(mark string, doc json.RawMessage) error
	beat() error
	// end says why it is over.
	end(reason string)
}

// liveAnswer sends what arrives, until the client goes, reads too slowly, or the server ends.
func liveAnswer(v *view, w *stream, r *http.Request, now time.Time) error {
	q, after, err := liveQuestion(v.model, r, now)
	if err != nil {
		return err
	}
	upgrade := isUpgrade(r)
	if upgrade && !w.originAllowed(r) {
		return errOrigin
	}
	sub, err := v.Follow(r.Context(), q, after)
	if err != nil {
		return err
	}
	defer sub.Close()
	if !upgrade {
		return serveEvents(w, r, sub, q.Fields, v)
	}
	return serveSocket(w, r, sub, q.Fields, v)
}

// liveQuestion reads the parameters. There are no pages here.
func liveQuestion(m *activity.Model, r *http.Request, now time.Time) (q search.Query, after string, err error) {
	params, err := parameters(r)
	if err != nil {
		return q, "", err
	}
	after = r.Header.Get("Last-Event-ID")
	if text, ok := take(params, "after"); ok {
		after = text
	}
	for _, name := range []string{"limit", "offset", "cursor", "sort"} {
		if _, ok := params[name]; ok {
			return q, "", &search.ParamError{Param: name, Problem: "is for lists: activities come as they arrive"}
		}
	}
	q, err = search.Parse(m, params, nil, now)
	return q, after, err
}

// follow sends the events of sub to c until either ends, and returns why. It is asked now and then whether the caller may go on.
func follow(ctx context.Context, sub *live.Subscription, c channel, fields []string, v *view) error {
	if err := c.event(sub.Mark(), nil); err != nil {
		return err
	}
	selector := search.NewSelector(fields)
	for asked := time.Now(); ; {
		wait, cancel := context.WithTimeoutCause(ctx, heartbeat, errBeat)
		e, err := sub.Next(wait)
		cancel()
		if time.Since(asked) > askAgain {
			if v.still() != nil {
				return errNoLonger
			}
			asked = time.Now()
		}
		switch {
		case errors.Is(err, errBeat):
			err = c.beat()
		case err != nil:
			return err
		case e.Doc == nil:
			err = c.event(e.Mark, nil)
		default:
			var doc json.RawMessage
			if doc, err = selector.Select(e.Doc); err == nil {
				err = c.event(e.Mark, doc)
			}
			if err == nil {
				v.sent++
			}
		}
		if err != nil {
			return err
		}
	}
}

var (
	errBeat     = errors.New("nothing for a while")
	errNoLonger = errors.New("the token is no longer valid")
	errOrigin   = errors.New("pages of this origin may not open a WebSocket here: api.cors_origins names those that may")
)

// endReason is what a live reader is told.
func endReason(err error) string {
	switch {
	case errors.Is(err, live.ErrSlow):
		return "slow"
	case errors.Is(err, errStopping):
		return "stopping"
	case errors.Is(err, errNoLonger):
		return "token"
	}
	return "store"
}

// serveEvents speaks server-sent events.
func serveEvents(w *stream, r *http.Request, sub *live.Subscription, fields []string, v *view) error {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // proxies send at once
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return nil
	}
	c := &eventStream{w: w}
	err := follow(r.Context(), sub, c, fields, v)
	if errors.Is(err, context.Canceled) {
		err = errGone
	}
	if w.end = err.Error(); !errors.Is(err, errGone) {
		c.end(endReason(err))
	}
	return nil
}

// eventStream is the form of the HTML standard, section 9.2.
type eventStream struct {
	w   *stream
	buf bytes.Buffer
}

func (s *eventStream) event(mark string, doc json.RawMessage) error {
	s.buf.WriteString("id: " + mark + "\n")
	if doc != nil {
		s.buf.WriteString("data: ")
		s.buf.Write(doc)
		s.buf.WriteByte('\n')
	}
	return s.send()
}

func (s *eventStream) beat() error {
	s.buf.WriteString(": still here\n")
	return s.send()
}

func (s *eventStream) end(reason string) {
	s.buf.WriteString("event: end\ndata: {\"reason\":\"" + reason + "\"}\n")
	_ = s.send() // the client may be gone
}

func (s *eventStream) send() error {
	s.buf.WriteByte('\n')
	_, err := s.w.Write(s.buf.Bytes())
	s.buf.Reset()
	if err != nil {
		return err
	}
	return s.w.Flush()
}

// isUpgrade reports whether the request is for a WebSocket.
func isUpgrade(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

// protocolToken is the token that a page has put among the WebSocket subprotocols.
func protocolToken(r *http.Request) (string, bool) {
	for p := range strings.SplitSeq(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",") {
		if token, ok := strings.CutPrefix(strings.TrimSpace(p), tokenProtocol); ok {
			return token, true
		}
	}
	return "", false
}

// originAllowed reports whether the page that asks, if it is one, is the API's own or configured: a browser lets any page
// open a WebSocket to anywhere.
func (s *stream) originAllowed(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	u, err := url.Parse(origin)
	return origin == "" || err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host) || slices.Contains(s.config.CORSOrigins, origin)
}

// serveSocket speaks WebSocket (RFC 6455): one JSON object a message.
func serveSocket(w *stream, r *http.Request, sub *live.Subscription, fields []string, v *view) error {
	w.began = true                                                                                                            // Accept answers, also where it refuses
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{protocol}, InsecureSkipVerify: true}) // originAllowed has verified
	if err != nil {
		w.end = "no WebSocket"
		return nil
	}
	defer func() { _ = conn.CloseNow() }()
	there := conn.CloseRead(context.WithoutCancel(r.Context())) // clients send nothing; what ends the reading ends the connection
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	defer context.AfterFunc(there, func() { cancel(errGone) })()
	c := &socket{conn, there}
	err = follow(ctx, sub, c, fields, v)
	w.end = err.Error()
	if !errors.Is(err, errGone) {
		c.end(endReason(err))
	}
	return nil
}

type socket struct {
	conn *websocket.Conn
	ctx  context.Context // of the connection: done when the client is gone
}

// message is what a WebSocket carries: an activity and the place after it, or a place alone.
type message struct {
	ID       string          `json:"id"`
	Activity json.RawMessage `json:"activity,omitempty"`
}

func (s *socket) event(mark string, doc json.RawMessage) error {
	body, err := encode(message{mark, doc})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, pieceTime)
	defer cancel()
	if s.conn.Write(ctx, websocket.MessageText, bytes.TrimSpace(body)) != nil {
		return errGone
	}
	return nil
}

func (s *socket) beat() error {
	ctx, cancel := context.WithTimeout(s.ctx, pieceTime)
	defer cancel()
	if s.conn.Ping(ctx) != nil {
		return errGone
	}
	return nil
}

func (s *socket) end(reason string) {
	code := websocket.StatusTryAgainLater
	if reason == "stopping" {
		code = websocket.StatusGoingAway
	}
	_ = s.conn.Close(code, reason) // the client may be gone
}
