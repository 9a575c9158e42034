package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/access"
)

// TestStoresAnswerAlike asks both stores the same, and compares the answers to the byte.
func TestStoresAnswerAlike(t *testing.T) {
	t.Parallel()
	lite, elastic := serve(t, liteStore(t), nil), serve(t, elasticStore(t), nil)
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin", "tenant": "acme"})
	user := token(t, jwt.MapClaims{"sub": "ann"})
	items := 0
	for _, rt := range whole() {
		for i, path := range rt.paths() {
			questions := more()
			if i == 0 && (rt.path == "/activities" || strings.Contains(rt.path, "{user_id}")) {
				questions = append(questions, attempts()...)
			}
			if numeric(rt) {
				questions = sums()
			}
			for _, params := range questions {
				if rt.single() {
					params = nil
				}
				for _, bearer := range []string{admin, user} {
					a, b := get(lite, path+"?"+params.Encode(), bearer), get(elastic, path+"?"+params.Encode(), bearer)
					if a.Code != b.Code || a.Code == http.StatusOK && a.Body.String() != b.Body.String() {
						t.Fatalf("%s?%s:\nSQLite        %d %s\nElasticsearch %d %s", path, params.Encode(), a.Code, a.Body, b.Code, b.Body)
					}
					items += strings.Count(a.Body.String(), `"integrity"`)
				}
				if rt.single() {
					break // has no parameters
				}
			}
		}
	}
	if items < 200 {
		t.Errorf("only %d activities were compared", items)
	}
}

// more are questions of every form.
func more() []url.Values {
	return []url.Values{
		{"status_code.gte": {"201"}}, {"status_code.lt": {"201"}}, {"details.n": {"8"}}, {"details.n.exists": {"true"}}, {"tags": {"t1", "t2"}},
		{"from": {"2026-01-02T03:10:00Z"}}, {"to": {"-47h"}}, {"q": {"orders"}}, {"q": {`"orders" -wordannofx`}}, {"fields": {"id,details.n"}, "limit": {"2"}},
		{"sort": {"user_id,-id"}, "limit": {"3"}}, {"offset": {"2"}, "limit": {"2"}}, {"success": {"false"}}, {"nonsense": {"1"}}, {"limit": {"0"}},
	}
}

func TestCursorsWalkTheWholeAnswer(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), nil)
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin", "tenant": "acme"})
	whole := pageOf(t, get(s, "/activities/", admin))
	var walked []json.RawMessage
	for cursor, pages := "", 0; ; pages++ {
		p := pageOf(t, get(s, "/activities/?limit=3&cursor="+cursor, admin))
		walked = append(walked, p.Items...)
		if p.Total != 14 || p.TotalIsLowerBound || pages > 14 {
			t.Fatalf("page %d: a total of %d", pages, p.Total)
		}
		if p.Next == nil {
			break
		}
		cursor = *p.Next
	}
	if diff := cmp.Diff(whole.Items, walked); diff != "" || len(walked) != 14 {
		t.Errorf("%d walked: %s", len(walked), diff)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), nil)
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
	for _, tc := range []struct {
		target string
		status int
		params []string
	}{
		{"/activities/?limit=x&nonsense=1", 422, []string{"limit", "nonsense"}},
		{"/activities/?status_code.gte=many", 422, []string{"status_code.gte"}},
		{"/activities/auth-events/?table_name=x", 422, []string{"table_name"}},
		{"/activities/auth-events/?kind=data_change", 422, []string{"kind"}},
		{"/activities/?from=yesterday", 422, []string{"from"}},
		{"/activities/?cursor=x", 422, []string{"cursor"}},
		{"/activities/?offset=9999&limit=2", 422, []string{"offset"}},
		{"/activities/?q=%zz", 422, []string{"?"}},
		{"/activities/" + idOf(0).String() + "?fields=id", 422, []string{"fields"}},
		{"/activities/none", 404, nil},
		{"/activities/" + idOf(9999).String(), 404, nil},
		{"/nothing", 404, nil},
		{"/activities//", 404, nil},
		{"/activities/../activities", 404, nil},
	} {
		w := get(s, tc.target, admin)
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Fatalf("%s: %s", tc.target, w.Body)
		}
		var names []string
		for _, e := range p.Errors {
			names = append(names, e.Parameter)
		}
		if w.Code != tc.status || p.Status != tc.status || p.RequestID != w.Header().Get("X-Request-Id") || p.RequestID == "" || !cmp.Equal(names, tc.params) {
			t.Errorf("%s: %d %s", tc.target, w.Code, w.Body)
		}
	}
	r := httptest.NewRequest(http.MethodDelete, "/activities/", nil)
	r.Header.Set("Authorization", "Bearer "+admin)
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") == "" {
		t.Errorf("DELETE: %d", w.Code)
	}
}

func TestWithoutAWayToAuthenticateTheAnswerSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), func(o *Options) { o.Config.Auth.JWT.Secret = "" })
	if w := get(s, "/activities/", ""); w.Code != 401 || !strings.Contains(w.Body.String(), "activity-agent keys create") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAPIKeysComeAndGo(t *testing.T) {
	t.Parallel()
	var path string
	s := serve(t, liteStore(t), func(o *Options) { path, o.Config.Auth.JWT.Secret = o.Config.Auth.APIKeys, "" })
	keys := access.OpenKeys(path)
	make := func(k access.Key) (string, string) {
		k.Expires = now.Add(time.Hour)
		made, key, err := keys.Create(k, now)
		if err != nil {
			t.Fatal(err)
		}
		return made.ID, key
	}
	_, all := make(access.Key{Role: access.Auditor, AllTenants: true})
	_, acme := make(access.Key{Role: access.Auditor, Tenant: "acme"})
	id, ann := make(access.Key{Role: access.User, User: "ann"})
	for key, want := range map[string]int64{all: 42, acme: 14, ann: 6} {
		if p := pageOf(t, get(s, "/activities", key)); p.Total != want {
			t.Errorf("%d seen, want %d", p.Total, want)
		}
		wrong := key[:len(key)-1] + string('0'+(key[len(key)-1]+1)%2)
		if wrong != key && get(s, "/activities", wrong).Code != 401 {
			t.Error("a wrong secret is accepted")
		}
	}
	if err := keys.Revoke(id); err != nil {
		t.Fatal(err)
	}
	if w := get(s, "/activities", ann); w.Code != 401 {
		t.Errorf("a revoked key: %d", w.Code)
	}
	s.o.Now = func() time.Time { return now.Add(2 * time.Hour) }
	if w := get(s, "/activities", all); w.Code != 401 {
		t.Errorf("an expired key: %d", w.Code)
	}
}

func TestAnonymousIsForThisMachineOnly(t *testing.T) {
	t.Parallel()
	store := liteStore(t)
	s := serve(t, store, func(o *Options) { o.Config.Auth.Anonymous = "auditor" })
	if w := get(s, "http://127.0.0.1:8481/activities/", ""); w.Code != 200 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, target := range []string{"http://rebound.example:8481/activities/", "http://127.0.0.1.example/activities/"} {
		if w := get(s, target, ""); w.Code != 401 {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	c := DefaultConfig()
	c.Listen, c.Auth.Anonymous = ":8481", "auditor"
	if _, err := New(Options{Config: c, Store: store, Logger: zap.NewNop()}); err == nil {
		t.Error("anonymous callers on all interfaces")
	}
}

func TestCallersArePseudonymsWhereIdentitiesAre(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	s := serve(t, liteStore(t), func(o *Options) {
		o.Logger = zap.New(core)
		o.Pseudonym = func(user string) string { return map[string]string{"Ann Real": "ann"}[user] }
	})
	if p := pageOf(t, get(s, "/activities", token(t, jwt.MapClaims{"sub": "Ann Real"}))); p.Total != 6 {
		t.Errorf("%d seen, want ann's 6", p.Total)
	}
	entry := logs.All()[0].ContextMap()
	if entry["user_id"] != "ann" || entry["route"] != "/activities" || entry["status"] != int64(200) {
		t.Errorf("the access log: %v", entry)
	}
}

func TestTheLogHasNoParameters(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.DebugLevel)
	s := serve(t, liteStore(t), func(o *Options) { o.Logger = zap.New(core) })
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
	for _, target := range []string{"/activities/?hunter2=1", "/activities/?q=hunter2", "/activities/hunter2", "/activities/admin/users/hunter2/activities", "/hunter2"} {
		get(s, target, admin)
		get(s, target, "hunter2")
	}
	for _, e := range logs.All() {
		if text, _ := json.Marshal(e.ContextMap()); strings.Contains(string(text), "hunter2") {
			t.Errorf("%s", text)
		}
	}
	if logs.Len() != 10 {
		t.Errorf("%d requests are in the log", logs.Len())
	}
}

func TestRateLimitIsPerCaller(t *testing.T) {
	t.Parallel()
	at := now
	s := serve(t, liteStore(t), func(o *Options) {
		o.Config.RateLimit = 8
		o.Now = func() time.Time { return at }
	})
	ann, bob := token(t, jwt.MapClaims{"sub": "ann"}), token(t, jwt.MapClaims{"sub": "bob"})
	codes := func(bearer string, n int) (out []int) {
		for range n {
			out = append(out, get(s, "/activities", bearer).Code)
		}
		return out
	}
	if got := append(codes(ann, 3), codes(bob, 1)...); !cmp.Equal(got, []int{200, 200, 429, 200}) {
		t.Errorf("got %v", got)
	}
	if w := get(s, "/activities", ann); w.Header().Get("Retry-After") != "8" {
		t.Errorf("Retry-After: %q", w.Header().Get("Retry-After"))
	}
	at = at.Add(8 * time.Second)
	if got := codes(ann, 2); !cmp.Equal(got, []int{200, 429}) {
		t.Errorf("after 8 s: %v", got)
	}
}

// TestNoKindIsNotEveryKind: what a view narrows to nothing must not become everything.
func TestNoKindIsNotEveryKind(t *testing.T) {
	t.Parallel()
	v := &view{caller: access.Caller{Role: access.User, User: "ann"}, user: "ann"}
	if _, err := v.scope(search.Query{Kinds: []activity.Kind{activity.SystemEvent}}); err == nil {
		t.Error("a user's question about system events goes to the store")
	}
}
