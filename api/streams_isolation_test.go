package api

import (
	"encoding/csv"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/api/export"
	"github.com/truledgr/activity-agent/internal/testenv"
)

// TestEveryStreamedRouteIsTestedForIsolation: a new one has to come into this file.
func TestEveryStreamedRouteIsTestedForIsolation(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{"/activities/export": true, "/activities/live": true}
	for _, rt := range routes(nil) {
		if rt.stream != nil && !tested[rt.path] {
			t.Errorf("%s is not", rt.path)
		}
	}
}

// TestNobodyExportsWhatIsNotTheirs asks in every way, in every format, as everybody.
func TestNobodyExportsWhatIsNotTheirs(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), func(o *Options) { o.Config.Exports = 1000 })
	for _, g := range guests(t) {
		for _, f := range export.Formats() {
			seen := 0
			for _, params := range exportAttempts() {
				params.Set("format", string(f))
				target := "/activities/export?" + params.Encode()
				w := get(s, target, g.token)
				if !g.known && w.Code != http.StatusUnauthorized || w.Code >= 500 {
					t.Errorf("%s: %s: status %d", g.name, target, w.Code)
				}
				for _, doc := range exported(t, f, w) {
					seen++
					if !allowed(g, doc) {
						t.Errorf("%s: %s: saw %s", g.name, target, doc)
					}
				}
				for _, p := range people {
					if w.Code != http.StatusOK && strings.Contains(w.Body.String(), word(p)) {
						t.Errorf("%s: %s: the error says %s", g.name, target, w.Body)
					}
				}
			}
			if (visible(g) > 0) != (seen > 0) {
				t.Errorf("%s saw %d activities as %s", g.name, seen, f)
			}
		}
	}
}

// exportAttempts are attempts, and the ids of others' activities as cursors.
func exportAttempts() []url.Values {
	all := append(attempts(), url.Values{"limit": {"2"}})
	for n := 0; n < len(people)*len(activity.Kinds()); n += 5 {
		all = append(all, url.Values{"cursor": {idOf(n).String()}})
	}
	return all
}

// exported returns the activities of an export as JSON: those of a CSV by its columns.
func exported(t *testing.T, f export.Format, w *httptest.ResponseRecorder) (docs []string) {
	t.Helper()
	if w.Code != http.StatusOK {
		return nil
	}
	switch f {
	case export.NDJSON:
		for line := range strings.Lines(w.Body.String()) {
			docs = append(docs, line)
		}
	case export.JSON:
		var items []json.RawMessage
		if err := json.Unmarshal(w.Body.Bytes(), &items); err != nil {
			t.Error(err)
		}
		for _, i := range items {
			docs = append(docs, string(i))
		}
	case export.CSV:
		r := csv.NewReader(w.Body)
		var header []string
		for {
			row, err := r.Read()
			if err == io.EOF {
				return docs
			}
			if err != nil {
				t.Fatal(err)
			}
			if header == nil && !strings.HasPrefix(row[0], "01") {
				header = row
				continue
			}
			if header == nil {
				header = export.Columns(nil, nil, nil)
			}
			doc := map[string]string{}
			for i, cell := range row {
				if text, ok := export.Unescape(cell); ok {
					doc[header[i]] = text
				}
			}
			b, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			docs = append(docs, string(b))
		}
	}
	return docs
}

// TestACursorOfOthersIsLikeOneOfNothing: whether an id is there is not told.
func TestACursorOfOthersIsLikeOneOfNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), nil)
	for _, g := range guests(t) {
		if g.name != "user" {
			continue
		}
		strip := func(w *httptest.ResponseRecorder) string {
			body, _, _ := strings.Cut(w.Body.String(), `"request_id"`)
			return body
		}
		nothing := get(s, "/activities/export?cursor="+idOf(9999).String(), g.token)
		others := get(s, "/activities/export?cursor="+idOf(9).String(), g.token)
		if nothing.Code != http.StatusUnprocessableEntity || strip(nothing) != strip(others) {
			t.Errorf("got %d %s and %d %s", nothing.Code, nothing.Body, others.Code, others.Body)
		}
	}
}

// TestNobodyHearsWhatIsNotTheirs: everybody reads along in several ways while everybody's activities arrive.
func TestNobodyHearsWhatIsNotTheirs(t *testing.T) {
	t.Parallel()
	src := newSource(t, "sqlite")
	s := serve(t, src.store, func(o *Options) { o.Config.Live.PerCaller = 1000 })
	base := hosted(t, s)
	type listener struct {
		g guest
		r *reader
		q string
	}
	var listeners []listener
	for _, g := range guests(t) {
		for i, params := range attempts() {
			for _, name := range []string{"limit", "offset", "cursor", "sort"} {
				if params.Has(name) {
					params = url.Values{}
				}
			}
			if w := head(s, "/activities/live?"+params.Encode(), g.token); w.Code != http.StatusOK {
				if !g.known && w.Code != http.StatusUnauthorized || w.Code >= 500 {
					t.Errorf("%s: %v: status %d", g.name, params, w.Code)
				}
				continue
			}
			if params.Encode() == "" && i > 0 {
				continue
			}
			open := readEvents
			if i%2 == 1 {
				open = readSocket
			}
			listeners = append(listeners, listener{g, open(t, base, params.Encode(), g.token, ""), params.Encode()})
		}
	}
	const rounds = 14 // each kind for each person
	for range rounds {
		for _, p := range people {
			src.add(p)
		}
	}
	whole := map[string]int{}
	late := time.After(testenv.Budget(t, time.Minute))
	for _, complete := range []bool{true, false} { // those that wait for everything of theirs first; by then the others have theirs
		for _, l := range listeners {
			if (l.q == "") != complete {
				continue
			}
			want, seen := rounds/len(activity.Kinds())*visible(l.g), 0
			for complete && seen < want || len(l.r.events) > 0 {
				select {
				case e, ok := <-l.r.events:
					if !ok || e.end != "" {
						t.Fatalf("%s: %s: ended: %s", l.g.name, l.q, e.end)
					}
					if e.Activity == nil {
						continue
					}
					seen++
					if !allowed(l.g, string(e.Activity)) {
						t.Errorf("%s: %s: heard %s", l.g.name, l.q, e.Activity)
					}
				case <-late:
					t.Fatalf("%s heard %d, want %d", l.g.name, seen, want)
				}
			}
			if complete && seen != want {
				t.Errorf("%s heard %d, want %d", l.g.name, seen, want)
			}
			whole[l.g.name] += seen
		}
		time.Sleep(200 * time.Millisecond)
	}
	if whole["admin"] == 0 || whole["user"] == 0 {
		t.Errorf("heard: %v", whole)
	}
	var closing sync.WaitGroup
	for _, l := range listeners {
		closing.Go(l.r.stop)
	}
	closing.Wait()
}

func head(s *Server, target, bearer string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodHead, target, nil)
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}
