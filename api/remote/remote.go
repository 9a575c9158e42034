// Package remote asks the read API of another machine: search.Searcher over HTTP, and what else commands ask.
package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity/search"
)

// A Client asks one API.
type Client struct {
	base  *url.URL
	token func() (string, error)
	http  *http.Client
}

var _ search.Searcher = (*Client)(nil)

const (
	maxAnswer  = 256 << 20 // bytes of one page
	maxProblem = 64 << 10  // bytes of an error's body
	silence    = time.Minute
	maxWait    = 2 * time.Minute // for a caller who asked too often
)

// Open prepares for questions to the API at an address such as https://activities.example.com. token returns the bearer
// token, "" for none, each time that one is needed. It connects to nothing yet.
func Open(address string, token func() (string, error)) (*Client, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return nil, errors.New("--url: must be an address such as https://activities.example.com")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("--url: must have no user, parameters or fragment: a token is read from a file or the environment")
	}
	u.Path = strings.TrimSuffix(u.Path, "/")
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: silence,
		IdleConnTimeout:       30 * time.Second,
	}
	stay := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse } // the token is for this address
	return &Client{u, token, &http.Client{Transport: t, CheckRedirect: stay}}, nil
}

// Close ends the connections.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// An Error is an answer that is none.
type Error struct {
	Status    int
	Detail    string // of the problem document
	RequestID string
}

func (e *Error) Error() string {
	text := fmt.Sprintf("the API answers %d", e.Status)
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.Status == http.StatusUnauthorized {
		text += "; give a token with --token-file or ACTIVITY_AGENT_TOKEN"
	}
	if e.RequestID != "" {
		text += " (request " + e.RequestID + ")"
	}
	return text
}

// get sends a request, again for a caller who asked too often, and returns an answer of status 200.
func (c *Client) get(ctx context.Context, path string, params url.Values, header http.Header) (*http.Response, error) {
	for {
		u := *c.base
		u.Path += path
		u.RawQuery = params.Encode()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, fmt.Errorf("ask the API: %w", err)
		}
		for name, values := range header {
			r.Header[name] = values
		}
		token, err := c.token()
		if err != nil {
			return nil, err
		}
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		answer, err := c.http.Do(r)
		if err != nil {
			return nil, c.failed(err)
		}
		if answer.StatusCode == http.StatusOK {
			return answer, nil
		}
		err = problem(answer)
		if answer.StatusCode != http.StatusTooManyRequests || !later(ctx, answer.Header.Get("Retry-After")) {
			return nil, err
		}
	}
}

// failed leaves the address with its parameters out of an error.
func (c *Client) failed(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("cannot reach the API at %s: %w", c.base.Host, err)
}

// later waits as long as the API says.
func later(ctx context.Context, text string) bool {
	seconds, err := strconv.Atoi(text)
	wait := time.Duration(seconds) * time.Second
	if err != nil || seconds < 0 || wait > maxWait {
		return false
	}
	t := time.NewTimer(max(wait, time.Second))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// problem reads what an answer says is wrong, and closes it.
func problem(answer *http.Response) error {
	defer func() { _ = answer.Body.Close() }()
	e := &Error{Status: answer.StatusCode, RequestID: clean(answer.Header.Get("X-Request-Id"))}
	if media, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); media != "application/problem+json" {
		e.Detail = "what answers is no read API of activity-agent"
		return e
	}
	var p struct {
		Detail string
		Errors []struct{ Parameter, Detail string }
	}
	if json.NewDecoder(io.LimitReader(answer.Body, maxProblem)).Decode(&p) == nil {
		e.Detail = clean(p.Detail)
		for i, mistake := range p.Errors {
			e.Detail += map[bool]string{true: ": ", false: "; "}[i == 0] + clean(mistake.Parameter+" "+mistake.Detail)
		}
	}
	return e
}

// clean leaves out what could act on a terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}

// read decodes the JSON of an answer.
func (c *Client) read(ctx context.Context, path string, params url.Values, into any) error {
	answer, err := c.get(ctx, path, params, nil)
	if err != nil {
		return err
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(into); err != nil {
		return errors.New("the API's answer breaks off, or is no JSON")
	}
	return nil
}

// Search returns one page.
func (c *Client) Search(ctx context.Context, q search.Query) (search.Page, error) {
	params, err := q.Params()
	if err != nil {
		return search.Page{}, err
	}
	var p struct {
		Items             []json.RawMessage `json:"items"`
		Total             int64             `json:"total"`
		TotalIsLowerBound bool              `json:"total_is_lower_bound"`
		Next              *string           `json:"next"`
	}
	if err := c.read(ctx, "/activities/", params, &p); err != nil {
		return search.Page{}, err
	}
	page := search.Page{Items: p.Items, Total: p.Total, TotalAtLeast: p.TotalIsLowerBound}
	if p.Next != nil {
		page.Next = *p.Next
	}
	return page, nil
}

// Count returns how many match.
func (c *Client) Count(ctx context.Context, q search.Query) (int64, error) {
	q.Limit, q.Offset, q.Cursor, q.Fields, q.Sort = 0, 0, "", nil, nil
	params, err := q.Params()
	if err != nil {
		return 0, err
	}
	var numbers struct {
		Total int64 `json:"total"`
	}
	err = c.read(ctx, "/activities/aggregate", params, &numbers)
	return numbers.Total, err
}

// Get returns a document.
func (c *Client) Get(ctx context.Context, id ulid.ULID) (json.RawMessage, error) {
	var doc json.RawMessage
	err := c.read(ctx, "/activities/"+id.String(), nil, &doc)
	if e := (*Error)(nil); errors.As(err, &e) && e.Status == http.StatusNotFound {
		return nil, search.ErrNotFound
	}
	return doc, err
}
