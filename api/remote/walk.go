package remote

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/truledgr/activity-agent/activity/search"
)

var _ search.Walker = (*Client)(nil)

const (
	walkItems = 500
	walkBytes = 1 << 20
)

// Walk reads the whole answer as one export, which the API counts and records as one request. Where it breaks off, what f
// got is a part, and the error says so.
func (c *Client) Walk(ctx context.Context, q search.Query, max int, f func(search.Page) error) error {
	q.Limit = 0
	params, err := q.Params()
	if err != nil {
		return err
	}
	values := url.Values(params)
	values.Set("format", "ndjson")
	if max > 0 {
		values.Set("limit", strconv.Itoa(max))
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	answer, err := c.get(ctx, "/activities/export", values, nil)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	body := watch(answer.Body, stop)
	defer body.end()
	lines := bufio.NewReaderSize(body, 64<<10)
	for whole := false; !whole; {
		var p search.Page
		if p, whole, err = nextPage(lines); err != nil {
			return err
		}
		if err := f(p); err != nil {
			return err
		}
	}
	return nil
}

// nextPage reads some lines; whole says that they were the last.
func nextPage(lines *bufio.Reader) (p search.Page, whole bool, err error) {
	for size := 0; len(p.Items) < walkItems && size < walkBytes; {
		line, err := lines.ReadBytes('\n')
		switch {
		case errors.Is(err, io.EOF) && len(line) == 0:
			return p, true, nil
		case err != nil || !json.Valid(line):
			return p, false, errors.New("the API's export breaks off: it is not whole")
		}
		p.Items = append(p.Items, line[:len(line)-1])
		size += len(line)
	}
	return p, false, nil
}

// watched is a body that may not be silent for longer than silence.
type watched struct {
	io.Reader
	quiet *time.Timer
}

func watch(r io.Reader, stop func()) *watched { return &watched{r, time.AfterFunc(silence, stop)} }

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	w.quiet.Reset(silence)
	return n, err
}

func (w *watched) end() { w.quiet.Stop() }
