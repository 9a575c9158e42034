package api

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// cross asks as a page of an origin does.
func cross(s *Server, method, target, origin string, more ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	r.Header.Set("Origin", origin)
	for i := 0; i < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestPagesOfConfiguredOriginsMayRead(t *testing.T) {
	t.Parallel()
	const app = "https://app.example.com"
	s := serve(t, liteStore(t), func(o *Options) { o.Config.CORSOrigins = []string{app} })
	bearer := "Bearer " + token(t, jwt.MapClaims{"sub": "ann"})
	for _, path := range []string{"/activities/", "/activities/export", "/openapi.json", "/nowhere"} {
		for _, auth := range []string{"", bearer} {
			w := cross(s, "GET", path, app, "Authorization", auth)
			if h := w.Header(); h.Get("Access-Control-Allow-Origin") != app || !slices.Contains(h.Values("Vary"), "Origin") || h.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s: %d %v", path, w.Code, h)
			}
		}
	}
	w := cross(s, "OPTIONS", "/activities/", app, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization")
	if h := w.Header(); w.Code != 204 || w.Body.Len() > 0 || !strings.Contains(h.Get("Access-Control-Allow-Headers"), "Authorization") || h.Get("Access-Control-Allow-Methods") != "GET, HEAD, PATCH" {
		t.Errorf("preflight: %d %v %s", w.Code, h, w.Body)
	}
	if w := cross(s, "OPTIONS", "/activities/", app); w.Code != 401 {
		t.Errorf("OPTIONS that is no preflight: %d", w.Code)
	}
	for _, other := range []string{"https://app.example.com.evil.example", "http://app.example.com", "https://APP.example.com", "null", "*", ""} {
		for _, method := range []string{"GET", "OPTIONS"} {
			w := cross(s, method, "/activities/", other, "Authorization", bearer, "Access-Control-Request-Method", "GET")
			if h := w.Header(); h.Get("Access-Control-Allow-Origin") != "" || !slices.Contains(h.Values("Vary"), "Origin") || method == "OPTIONS" && w.Code == 204 {
				t.Errorf("%s of %s: %d %v", method, other, w.Code, h)
			}
		}
	}
}

func TestNoPageMayReadUnlessToldSo(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), nil)
	for _, method := range []string{"GET", "OPTIONS"} {
		w := cross(s, method, "/activities/", "https://app.example.com", "Access-Control-Request-Method", "GET")
		if w.Code != 401 || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
	}
}

func TestOriginsAreChecked(t *testing.T) {
	t.Parallel()
	for origin, ok := range map[string]bool{
		"https://app.example.com": true, "http://localhost:3000": true, "https://app.example.com:8443": true, "https://[::1]:3000": true,
		"": false, "*": false, "null": false, "app.example.com": false, "https://app.example.com/": false, "https://app.example.com/x": false,
		"https://*.example.com": false, "https://user@app.example.com": false, "HTTPS://app.example.com": false, "https://app.example.com:443": false, "file:///x": false,
	} {
		if advice := CheckOrigin(origin); advice == "" != ok {
			t.Errorf("%q: %q", origin, advice)
		}
	}
}

// Who fails again and again is told to wait; whoever else comes from there, and has a token, is not.
func TestFailedAuthenticationIsLimited(t *testing.T) {
	t.Parallel()
	at := now
	s := serve(t, liteStore(t), func(o *Options) { o.Now = func() time.Time { return at } })
	s.failures = newLimiter(failuresPerMinute)
	ask := func(address, bearer string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/activities/", nil)
		r.RemoteAddr = address
		r.Header.Set("Authorization", "Bearer "+bearer)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
	refused := 0
	for i := range 2 * failuresPerMinute {
		w := ask(fmt.Sprintf("[2001:db8::%x]:4711", i), "aak_wrong") // one network
		switch {
		case w.Code == 429 && w.Header().Get("Retry-After") != "" && strings.Contains(w.Body.String(), "failed"):
			refused++
		case w.Code != 401:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if refused < failuresPerMinute {
		t.Errorf("%d were told to wait", refused)
	}
	if w := ask("[2001:db8::1]:1", token(t, jwt.MapClaims{"sub": "ann"})); w.Code != 200 {
		t.Errorf("a valid token from there: %d %s", w.Code, w.Body)
	}
	if w := ask("[2001:db8:0:1::1]:1", "aak_wrong"); w.Code != 401 {
		t.Errorf("from another network: %d", w.Code)
	}
	at = at.Add(time.Minute)
	if w := ask("[2001:db8::1]:1", "aak_wrong"); w.Code != 401 {
		t.Errorf("a minute later: %d", w.Code)
	}
}
