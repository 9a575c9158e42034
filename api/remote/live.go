package remote

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/live"
)

// ErrEnded says that the stream of live activities is over. Follow again, after the last mark, goes on.
var ErrEnded = errors.New("the API has ended the stream")

// maxEvent is how many bytes one event may have.
const maxEvent = 32 << 20

// A Stream is the live activities of an API, as server-sent events.
type Stream struct {
	answer *http.Response
	lines  *bufio.Reader
	mark   string
	stop   context.CancelFunc
	body   *watched // ends a stream in which not even a heartbeat comes
}

// Follow subscribes to what arrives and matches q, after a mark, or from now on for "". Close ends it.
func (c *Client) Follow(ctx context.Context, q search.Query, after string) (*Stream, error) {
	params, err := q.Params()
	if err != nil {
		return nil, err
	}
	header := http.Header{"Accept": {"text/event-stream"}}
	if after != "" {
		header.Set("Last-Event-ID", after)
	}
	ctx, stop := context.WithCancel(ctx)
	answer, err := c.get(ctx, "/activities/live", params, header) //nolint:bodyclose // Stream.Close does
	if err != nil {
		stop()
		return nil, err
	}
	body := watch(answer.Body, stop)
	s := &Stream{answer: answer, body: body, lines: bufio.NewReader(body), stop: stop}
	first, err := s.Next(ctx)
	if err != nil {
		s.Close()
		return nil, err
	}
	s.mark = first.Mark
	return s, nil
}

// Mark is the place where the stream began.
func (s *Stream) Mark() string { return s.mark }

// Close ends the stream.
func (s *Stream) Close() {
	s.body.end()
	s.stop()
	_ = s.answer.Body.Close()
}

// Next waits for the next event. ctx must be that of Follow, or end with it.
func (s *Stream) Next(ctx context.Context) (live.Event, error) {
	for {
		e, name, err := s.event()
		switch {
		case ctx.Err() != nil:
			return live.Event{}, context.Cause(ctx)
		case err != nil:
			return live.Event{}, ErrEnded
		case name == "end":
			return live.Event{}, fmt.Errorf("%w (%s)", ErrEnded, reason(e.Doc))
		case e.Mark != "":
			return e, nil
		}
	}
}

func reason(doc []byte) string {
	var r struct{ Reason string }
	_ = json.Unmarshal(doc, &r) // no reason, then
	return clean(r.Reason)
}

// event reads the lines of one event.
func (s *Stream) event() (e live.Event, name string, err error) {
	for size := 0; ; {
		line, err := s.lines.ReadBytes('\n')
		if size += len(line); err != nil || size > maxEvent {
			return e, name, ErrEnded
		}
		field, value, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(": "))
		switch string(field) {
		case "":
			return e, name, identify(&e)
		case "id":
			e.Mark = string(value)
		case "event":
			name = string(value)
		case "data":
			e.Doc = value
		}
	}
}

// identify reads the activity's id.
func identify(e *live.Event) error {
	if e.Doc == nil {
		return nil
	}
	var d struct{ ID string }
	if err := json.Unmarshal(e.Doc, &d); err != nil {
		return err
	}
	_ = e.ID.UnmarshalText([]byte(d.ID)) // fields= may leave it out
	return nil
}
