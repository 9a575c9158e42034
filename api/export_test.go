package api

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/truledgr/activity-agent/activity/search"
)

// TestStoresExportAlike compares exports of both stores to the byte.
func TestStoresExportAlike(t *testing.T) {
	t.Parallel()
	lite, elastic := serve(t, liteStore(t), nil), serve(t, elasticStore(t), nil)
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
	for _, query := range []string{"", "format=csv", "format=json", "format=csv&fields=id,details,tags,details.n", "sort=user_id&format=csv&fields=user_id", "limit=5", "kind=auth_event&format=csv", "q=orders",
		"cursor=" + idOf(9).String()} {
		a, b := get(lite, "/activities/export?"+query, admin), get(elastic, "/activities/export/?"+query, admin)
		if a.Code != http.StatusOK || a.Body.Len() == 0 || a.Body.String() != b.Body.String() {
			t.Errorf("%s:\nSQLite        %d %.300s\nElasticsearch %d %.300s", query, a.Code, a.Body, b.Code, b.Body)
		}
	}
}

// TestExportsGoOn: after the id of the last activity, and at the cursor of the trailer.
func TestExportsGoOn(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), nil)
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
	for _, sort := range []string{"", "&sort=user_id,status_code"} {
		whole := strings.SplitAfter(get(s, "/activities/export?"+sort, admin).Body.String(), "\n")
		whole = whole[:len(whole)-1]
		var byTrailer, byID []string
		for cursor := ""; ; {
			w := get(s, "/activities/export?limit=4&cursor="+cursor+sort, admin)
			byTrailer = append(byTrailer, strings.SplitAfter(strings.TrimSuffix(w.Body.String(), "\n"), "\n")...)
			byTrailer[len(byTrailer)-1] += "\n"
			if cursor = w.Result().Trailer.Get(nextCursor); cursor == "" {
				break
			}
		}
		for i := range whole {
			id := strings.Split(whole[i], `"`)[3]
			rest := get(s, "/activities/export?limit=1&cursor="+id+sort, admin).Body.String()
			byID = append(byID, rest)
		}
		if diff := cmp.Diff(whole, byTrailer); diff != "" {
			t.Errorf("by the trailer: %s", diff)
		}
		if diff := cmp.Diff(append(whole[1:], ""), byID); diff != "" {
			t.Errorf("by the id: %s", diff)
		}
	}
}

func TestExportsAreAskedForInSeveralWays(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), nil)
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
	for _, tc := range []struct{ query, accept, coding, media string }{
		{"", "", "", "application/x-ndjson"},
		{"", "*/*", "", "application/x-ndjson"},
		{"", "text/html, text/csv;q=0.9", "", "text/csv"},
		{"", "application/json", "gzip", "application/json"},
		{"format=ndjson", "application/json", "br, gzip;q=0.5", "application/x-ndjson"},
		{"format=csv", "", "gzip;q=0", "text/csv"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/activities/export?"+tc.query, nil)
		for name, value := range map[string]string{"Authorization": "Bearer " + admin, "Accept": tc.accept, "Accept-Encoding": tc.coding} {
			r.Header.Set(name, value)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		var body io.Reader = w.Body
		zipped := strings.Contains(tc.coding, "gzip") && !strings.Contains(tc.coding, "q=0") || strings.Contains(tc.coding, "0.5")
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != zipped {
			t.Errorf("%+v: compressed: %v", tc, got)
		} else if zipped {
			var err error
			if body, err = gzip.NewReader(w.Body); err != nil {
				t.Fatal(err)
			}
		}
		text, err := io.ReadAll(body)
		media, _, _ := strings.Cut(w.Header().Get("Content-Type"), ";")
		name := w.Header().Get("Content-Disposition")
		if err != nil || media != tc.media || strings.Count(string(text), "wordannofx") == 0 || !strings.HasPrefix(name, `attachment; filename="activities-2026`) {
			t.Errorf("%+v: %s %s %v %.100s", tc, media, name, err, text)
		}
	}
	for query, param := range map[string]string{"format=xml": "format", "limit=0": "limit", "limit=x": "limit", "offset=1": "offset", "nonsense=1": "nonsense", "cursor=x": "cursor"} {
		if w := get(s, "/activities/export?"+query, admin); w.Code != http.StatusUnprocessableEntity || !strings.Contains(w.Body.String(), `"parameter":"`+param+`"`) {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

// breaking is a store that answers so many pages.
type breaking struct {
	search.Store
	pages int
}

func (f *breaking) Search(ctx context.Context, q search.Query) (search.Page, error) {
	if f.pages--; f.pages < 0 {
		return search.Page{}, errors.New("the disk is gone")
	}
	q.Limit = 3
	return f.Store.Search(ctx, q)
}

// TestAnExportThatFailsIsNotTakenForWhole: before its first byte it is a problem, and later a connection that breaks off.
func TestAnExportThatFailsIsNotTakenForWhole(t *testing.T) {
	t.Parallel()
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
	store := liteStore(t)
	if w := get(serve(t, &breaking{store, 0}, nil), "/activities/export", admin); w.Code != http.StatusServiceUnavailable || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	for _, coding := range []string{"", "gzip"} {
		base := hosted(t, serve(t, &breaking{store, 2}, nil))
		r, err := http.NewRequest(http.MethodGet, base+"/activities/export", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+admin)
		r.Header.Set("Accept-Encoding", coding)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			continue // broken off before the header was sent
		}
		_, err = io.Copy(io.Discard, answer.Body)
		_ = answer.Body.Close()
		if err == nil {
			t.Errorf("%s: a part is taken for the whole", coding)
		}
	}
}

// TestExportsAreLimited: a caller has two, another may still have one.
func TestExportsAreLimited(t *testing.T) {
	t.Parallel()
	store := &blocking{Store: liteStore(t), in: make(chan struct{}, 10), out: make(chan struct{})}
	s := serve(t, store, nil)
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
	done := make(chan int, 3)
	for range 2 {
		go func() { done <- get(s, "/activities/export", admin).Code }()
		<-store.in
	}
	if w := get(s, "/activities/export", admin); w.Code != http.StatusTooManyRequests || w.Header().Get("Retry-After") == "" {
		t.Errorf("the third: %d", w.Code)
	}
	go func() { done <- get(s, "/activities/export", token(t, jwt.MapClaims{"sub": "ann"})).Code }()
	<-store.in
	close(store.out)
	for range 3 {
		if code := <-done; code != http.StatusOK {
			t.Errorf("status %d", code)
		}
	}
}

type blocking struct {
	search.Store
	in, out chan struct{}
}

func (b *blocking) Search(ctx context.Context, q search.Query) (search.Page, error) {
	b.in <- struct{}{}
	<-b.out
	return b.Store.Search(ctx, q)
}
