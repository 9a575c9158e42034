package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/truledgr/activity-agent/activity/search"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// asking is a client of a server that answers with h, with the token "t".
func asking(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	srv := httptest.NewServer(h)
	c, err := Open(srv.URL+"/prefix/", func() (string, error) { return "t", nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(); srv.Close() })
	return c
}

func TestAnswersThatAreNoneSayWhatToDo(t *testing.T) {
	t.Parallel()
	problem := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("X-Request-Id", "R1")
			w.WriteHeader(status)
			fmt.Fprint(w, body)
		}
	}
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"a mistake":        {problem(422, `{"detail":"mistakes","errors":[{"parameter":"a","detail":"b"},{"parameter":"c","detail":"d"}]}`), "422: mistakes: a b; c d (request R1)"},
		"no token":         {problem(401, `{"detail":"no"}`), "ACTIVITY_AGENT_TOKEN"},
		"a terminal's":     {problem(403, `{"detail":"\u001b[2Jx\u0007"}`), "403: [2Jx (request"},
		"no JSON":          {problem(503, `<html>`), "the API answers 503"},
		"another server's": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }, "no read API"},
		"a proxy's login":  {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>") }, "no JSON"},
		"cut off": {func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"items":[`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "breaks off"},
		"never soon": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "86400")
			problem(429, `{"detail":"too many"}`)(w, r)
		}, "429: too many"},
	} {
		_, err := asking(t, tc.answer).Search(context.Background(), search.Query{})
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q in it", name, err, tc.want)
		}
	}
}

// A redirect is not followed: the token is for the address that was given.
func TestTheTokenGoesNowhereElse(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer other.Close()
	c := asking(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	if _, err := c.Search(context.Background(), search.Query{}); err == nil || asked.Load() > 0 {
		t.Errorf("asked %d times, %v", asked.Load(), err)
	}
}

func TestWhoAsksTooOftenWaits(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	c := asking(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer t" || r.URL.Path != "/prefix/activities/" || r.URL.RawQuery != "limit=3&user_id=a%26b" {
			t.Errorf("asked for %s", r.URL)
		}
		if asked.Add(1) == 1 {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, `{"items":[{"id":"1"}],"total":7,"total_is_lower_bound":true,"next":"n"}`)
	})
	q, err := search.Parse(nil, map[string][]string{"user_id": {"a&b"}, "limit": {"3"}}, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Search(context.Background(), q)
	if err != nil || len(p.Items) != 1 || p.Total != 7 || !p.TotalAtLeast || p.Next != "n" || asked.Load() != 2 {
		t.Errorf("got %+v, %v", p, err)
	}
}

func TestNothingThereIsNotFound(t *testing.T) {
	t.Parallel()
	c := asking(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusNotFound)
	})
	if _, err := c.Get(context.Background(), ulid.ULID{1}); !errors.Is(err, search.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	c := asking(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Last-Event-ID") != "m0" {
			t.Errorf("after %q", r.Header.Get("Last-Event-ID"))
		}
		fmt.Fprintf(w, "id: m1\n\n: still here\n\nid: m2\ndata: {\"id\":%q}\n\nid: m3\r\n\r\nevent: end\ndata: {\"reason\":\"slow\"}\n\n", ulid.ULID{1})
	})
	s, err := c.Follow(context.Background(), search.Query{}, "m0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Mark() != "m1" {
		t.Errorf("begins at %s", s.Mark())
	}
	e, err := s.Next(context.Background())
	if err != nil || e.Mark != "m2" || e.ID != (ulid.ULID{1}) || !json.Valid(e.Doc) {
		t.Errorf("got %+v, %v", e, err)
	}
	if e, err = s.Next(context.Background()); err != nil || e.Mark != "m3" || e.Doc != nil {
		t.Errorf("got %+v, %v", e, err)
	}
	if _, err = s.Next(context.Background()); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "slow") {
		t.Errorf("got %v", err)
	}
}

// An export that breaks off, in a line or between two, is an error; what came before it was handed on.
func TestWalks(t *testing.T) {
	t.Parallel()
	const all = 3 * walkItems / 2
	for name, tc := range map[string]struct {
		end   string
		whole bool
		abort bool
	}{"whole": {"", true, false}, "in a line": {`{"id":`, false, false}, "between lines": {"", false, true}} {
		c := asking(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/prefix/activities/export" || r.URL.RawQuery != "cursor=x&format=ndjson&limit=5000" {
				t.Errorf("asked for %s", r.URL)
			}
			for n := range all {
				fmt.Fprintf(w, "{\"n\":%d}\n", n)
			}
			fmt.Fprint(w, tc.end)
			_ = http.NewResponseController(w).Flush()
			if tc.abort {
				panic(http.ErrAbortHandler)
			}
		})
		n := 0
		err := search.Each(context.Background(), c, search.Query{Cursor: "x"}, 5000, func(item json.RawMessage) error {
			if string(item) != fmt.Sprintf("{\"n\":%d}", n) {
				t.Errorf("item %d is %s", n, item)
			}
			n++
			return nil
		})
		if (err == nil) != tc.whole || tc.whole && n != all || n < walkItems {
			t.Errorf("%s: %d came, %v", name, n, err)
		}
	}
}

func TestAddressesThatAreNone(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "x", "ftp://x", "http://", "http://u:p@x", "https://x/?token=y", "https://x/#y", "://"} {
		if _, err := Open(address, nil); err == nil || strings.Contains(err.Error(), "p@") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
