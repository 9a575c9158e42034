package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/access"
)

// A guest is somebody who asks: with a token, and what they may see at most.
type guest struct {
	name, token string
	known       bool
	sees        func(p person, k activity.Kind) bool
}

func guests(t *testing.T) []guest {
	t.Helper()
	nothing := func(person, activity.Kind) bool { return false }
	own := func(user, tenant string) func(person, activity.Kind) bool {
		return func(p person, k activity.Kind) bool { return p == person{user, tenant} && k != activity.SystemEvent }
	}
	of := func(tenant string) func(person, activity.Kind) bool {
		return func(p person, _ activity.Kind) bool { return p.tenant == tenant }
	}
	sign := func(m jwt.SigningMethod, key any, claims jwt.MapClaims) string {
		s, err := jwt.NewWithClaims(m, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	fresh := func(more jwt.MapClaims) jwt.MapClaims {
		more["exp"] = now.Add(time.Hour).Unix()
		return more
	}
	valid := token(t, jwt.MapClaims{"sub": "ann", "roles": []string{"admin"}})
	return []guest{
		{"no token", "", false, nothing},
		{"wrong signature", sign(jwt.SigningMethodHS256, []byte(strings.Repeat("x", 40)), fresh(jwt.MapClaims{"sub": "ann", "roles": "admin"})), false, nothing},
		{"changed claims", strings.Replace(valid, ".", ".e30", 1), false, nothing},
		{"alg none", sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, fresh(jwt.MapClaims{"sub": "ann", "roles": "admin"})), false, nothing},
		{"other HMAC", sign(jwt.SigningMethodHS512, []byte(secret), fresh(jwt.MapClaims{"sub": "ann"})), false, nothing},
		{"critical extension", critical(t), false, nothing},
		{"expired", token(t, jwt.MapClaims{"sub": "ann", "roles": "admin", "exp": now.Add(-time.Hour).Unix()}), false, nothing},
		{"no expiry", sign(jwt.SigningMethodHS256, []byte(secret), jwt.MapClaims{"sub": "ann"}), false, nothing},
		{"not yet", token(t, jwt.MapClaims{"sub": "ann", "nbf": now.Add(time.Hour).Unix()}), false, nothing},
		{"no user", token(t, jwt.MapClaims{"roles": "admin"}), false, nothing},
		{"user is a number", token(t, jwt.MapClaims{"sub": 7}), false, nothing},
		{"tenant is a list", token(t, jwt.MapClaims{"sub": "ann", "tenant": []string{"acme"}}), false, nothing},
		{"unknown key", "aak_0123456789abcdef_" + strings.Repeat("0", 64), false, nothing},
		{"user", token(t, jwt.MapClaims{"sub": "ann"}), true, own("ann", "")},
		{"other user", token(t, jwt.MapClaims{"sub": "bob", "roles": []string{"Admin", "administrator"}}), true, own("bob", "")},
		{"user of a tenant", token(t, jwt.MapClaims{"sub": "ann", "tenant": "acme"}), true, own("ann", "acme")},
		{"user of another tenant", token(t, jwt.MapClaims{"sub": "ann", "tenant": "*"}), true, nothing},
		{"nobody's namesake", token(t, jwt.MapClaims{"sub": "*"}), true, nothing},
		{"auditor", token(t, jwt.MapClaims{"sub": "zoe", "roles": "auditor"}), true, of("")},
		{"admin", token(t, jwt.MapClaims{"sub": "zoe", "roles": []string{"x", "admin"}}), true, of("")},
		{"auditor of a tenant", token(t, jwt.MapClaims{"sub": "zoe", "roles": "auditor", "tenant": "acme"}), true, of("acme")},
		{"admin of a tenant", token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin", "tenant": "umbrella"}), true, of("umbrella")},
	}
}

func critical(t *testing.T) string {
	t.Helper()
	k := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "ann", "exp": now.Add(time.Hour).Unix()})
	k.Header["crit"] = []string{"x"}
	s, err := k.SignedString([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// attempts are parameters that could name somebody else, or get at them past the filters.
func attempts() []url.Values {
	all := []url.Values{{}, {"sort": {"user_id,-tenant_id"}}, {"fields": {"description,user_id,tenant_id"}}, {"user_id.exists": {"false"}},
		{"tenant_id.exists": {"true"}}, {"user_id.prefix": {""}}, {"tenant_id.prefix": {""}}, {"q": {"-nothing"}}, {"offset": {"3"}}, {"limit": {"1000"}},
		{"role": {"admin"}}, {"access_token": {"x"}}, {"user_id": {"*"}}, {"from": {"-30d"}, "to": {"now"}}}
	for _, p := range people {
		all = append(all, url.Values{"user_id": {p.user, "ann"}}, url.Values{"tenant_id": {p.tenant}}, url.Values{"q": {word(p)}}, url.Values{"description": {word(p)}})
	}
	for _, k := range activity.Kinds() {
		all = append(all, url.Values{"kind": {k.String()}})
	}
	order := (&search.Query{}).Order()
	return append(all, url.Values{"cursor": {search.EncodeCursor(nil, order, []any{day0.Add(24 * time.Hour).UnixNano(), idOf(10).String()})}},
		url.Values{"id": {idOf(0).String(), idOf(8).String(), idOf(15).String()}})
}

// paths are the route's, with everything in it that could be somebody's.
func (rt route) paths() []string {
	var out []string
	switch {
	case strings.Contains(rt.path, "{user_id}"):
		for _, p := range append(slices.Clone(people), person{user: "*"}) {
			if p.user != "" {
				out = append(out, strings.Replace(rt.path, "{user_id}", p.user, 1))
			}
		}
	case strings.Contains(rt.path, "{type}"):
		out = append(out, strings.NewReplacer("{type}", "order", "{id}", "7").Replace(rt.path))
	case strings.Contains(rt.path, "{id}"):
		for n := range len(people) * len(activity.Kinds()) {
			out = append(out, strings.Replace(rt.path, "{id}", idOf(n).String(), 1))
		}
	default:
		out = append(out, rt.path)
	}
	return out
}

// TestNobodySeesWhatIsNotTheirs asks every route in every way as everybody, and looks for words that are others' in all that comes back.
func TestNobodySeesWhatIsNotTheirs(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), nil)
	for _, g := range guests(t) {
		for _, rt := range whole() {
			seen := 0
			for _, path := range rt.paths() {
				questions := attempts()
				if rt.single() {
					questions = questions[:3] // it takes none
				}
				for i, params := range questions {
					slash := []string{"", "/"}[i%2]
					w := get(s, path+slash+"?"+params.Encode(), g.token)
					seen += inspect(t, g, rt, path+slash+"?"+params.Encode(), w)
				}
				seen += inspect(t, g, rt, path+"/", get(s, path+"/", g.token))
			}
			if want := g.known && slices.ContainsFunc(people, func(p person) bool { return rt.shows(g, p) }); want != (seen > 0) {
				t.Errorf("%s on %s saw %d activities", g.name, rt.path, seen)
			}
		}
	}
}

// single reports whether the route answers with one document.
func (rt route) single() bool { return strings.HasSuffix(rt.path, "/{id}") && rt.doc.answer == nil }

// whole are the routes that answer with one JSON value; the others have tests of their own.
func whole() []route {
	return slices.DeleteFunc(routes(nil), func(rt route) bool { return rt.stream != nil })
}

// shows reports whether the route has anything for g of what p did.
func (rt route) shows(g guest, p person) bool {
	if !slices.Contains(rt.roles, access.User) && (strings.Contains(g.name, "user") || strings.Contains(g.name, "namesake")) {
		return false
	}
	return slices.ContainsFunc(activity.Kinds(), func(k activity.Kind) bool {
		switch {
		case rt.path == "/activities/auth-events/failed-logins":
			return g.sees(p, k) && k == activity.AuthEvent && p != people[1]
		case rt.path == "/activities/entities/{type}/{id}":
			return g.sees(p, k) && (k == activity.Plain || k == activity.DataChange)
		case rt.path == "/activities/summary/user" && (strings.HasPrefix(g.name, "auditor") || strings.HasPrefix(g.name, "admin")):
			return false // zoe did nothing
		}
		return g.sees(p, k) && (!strings.Contains(rt.path, "{user_id}") || p.user != "")
	})
}

// inspect checks an answer and returns how many activities it has.
func inspect(t *testing.T, g guest, rt route, target string, w *httptest.ResponseRecorder) int {
	t.Helper()
	body := w.Body.String()
	if !g.known && w.Code != http.StatusUnauthorized || w.Code >= 500 || w.Code == http.StatusOK != (w.Header().Get("Content-Type") == "application/json") {
		t.Errorf("%s: %s: status %d: %s", g.name, target, w.Code, body)
	}
	if w.Code != http.StatusOK {
		for _, p := range people {
			if strings.Contains(body, word(p)) {
				t.Errorf("%s: %s: the error says %s", g.name, target, body)
			}
		}
		return 0
	}
	var items []json.RawMessage
	var some steps
	switch rt.doc.answer.(type) {
	case nil:
		if rt.single() {
			items = append(items, w.Body.Bytes())
			break
		}
		p := pageOf(t, w)
		items, some.Total = p.Items, p.Total
	case steps:
		if err := json.Unmarshal(w.Body.Bytes(), &some); err != nil {
			t.Fatal(err)
		}
		for _, step := range some.Items {
			items = append(items, step.Activity)
		}
	default: // numbers, of which TestNumbersAreThoseOfWhatIsSeen knows more
		if err := json.Unmarshal(w.Body.Bytes(), &some); err != nil || int(some.Total) > visible(g) {
			t.Errorf("%s: %s: a total of %d, and %d are visible", g.name, target, some.Total, visible(g))
		}
		return int(some.Total)
	}
	if !rt.single() && (some.Total < int64(len(items)) || int(some.Total) > visible(g)) {
		t.Errorf("%s: %s: a total of %d, and %d are visible", g.name, target, some.Total, visible(g))
	}
	for _, item := range items {
		if !allowed(g, string(item)) {
			t.Errorf("%s: %s: saw %s", g.name, target, item)
		}
	}
	return len(items)
}

// visible is how many activities g may see.
func visible(g guest) (n int) {
	for _, p := range people {
		for _, k := range activity.Kinds() {
			if g.sees(p, k) {
				n++
			}
		}
	}
	return n
}

// allowed reports whether the document is one of those that g may see: the word tells whose it is.
func allowed(g guest, doc string) bool {
	var d struct{ Kind, Description string }
	if json.Unmarshal([]byte(doc), &d) != nil {
		return false
	}
	return slices.ContainsFunc(people, func(p person) bool {
		return d.Description == word(p) && slices.ContainsFunc(activity.Kinds(), func(k activity.Kind) bool {
			return g.sees(p, k) && (d.Kind == "" || d.Kind == k.String())
		})
	})
}

// TestNoParameterOpensAnything goes by the OpenAPI document, as whoever is looking for a way in would: every operation, with every
// parameter that it has, as everybody. What takes text is given the names of all people, tenants and activities.
func TestNoParameterOpensAnything(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), nil)
	d := readDescription(t, openAPI)
	byPath := map[string]route{}
	for _, rt := range whole() {
		if rt.verb() == http.MethodGet {
			byPath[rt.path] = rt
		}
	}
	for _, g := range guests(t) {
		for path, methods := range d.Paths {
			rt, ok := byPath[path]
			op, reads := methods["get"]
			if !ok || !reads {
				continue // it streams, or has no data; both have tests of their own
			}
			target := rt.paths()[0]
			for _, p := range op.Parameters {
				p = d.resolve(p)
				if p.In != "query" {
					continue
				}
				for _, params := range guesses(p) {
					inspect(t, g, rt, target+"?"+params, get(s, target+"?"+params, g.token))
				}
			}
		}
	}
}

// guesses are values for a parameter by which somebody might be found.
func guesses(p parameter) []string {
	one, several := p.Schema, false
	if one.Items != nil {
		one, several = *one.Items, true
	}
	switch one.Type {
	case "boolean":
		return []string{url.Values{p.Name: {"false"}}.Encode()}
	case "integer", "number":
		return []string{url.Values{p.Name: {"1"}}.Encode()}
	}
	var names []string
	for _, known := range people {
		names = append(names, known.user, known.tenant, word(known))
	}
	if several {
		return []string{url.Values{p.Name: append(names, "*", idOf(1).String())}.Encode()}
	}
	out := []string{url.Values{p.Name: {""}}.Encode(), url.Values{p.Name: {"bob"}}.Encode()}
	if !strings.Contains(p.Name, ".") { // no condition on a field, but something of its own
		for _, name := range names {
			out = append(out, url.Values{p.Name: {name}}.Encode())
		}
	}
	return out
}

// TestDescriptionHasEveryRoute, with the roles that it is for.
func TestDescriptionHasEveryRoute(t *testing.T) {
	t.Parallel()
	d := readDescription(t, openAPI)
	for _, rt := range routes(nil) {
		op, ok := d.Paths[rt.path][strings.ToLower(rt.verb())]
		if !ok || !slices.Equal(op.Roles, rt.roles) {
			t.Errorf("%s %s is not in the document, or with other roles: %v", rt.verb(), rt.path, op.Roles)
		}
	}
}

// TestNobodyAmendsWhatIsNotTheirs: everybody tries to amend everything. Admins amend what they see, and nobody else anything; what
// somebody does not see is not there.
func TestNobodyAmendsWhatIsNotTheirs(t *testing.T) {
	t.Parallel()
	store := liteStore(t)
	s := serve(t, store, nil)
	kinds := activity.Kinds()
	for _, g := range guests(t) {
		for i, p := range people {
			for j, k := range kinds {
				id := idOf(i*len(kinds) + j)
				before, err := store.Get(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				w := send(s, id, `{"status":"`+g.name+`"}`, g.token, nil)
				want := http.StatusNotFound
				switch {
				case !g.known:
					want = http.StatusUnauthorized
				case g.sees(p, k) && strings.HasPrefix(g.name, "admin"):
					want = http.StatusOK
				case g.sees(p, k):
					want = http.StatusForbidden
				}
				if w.Code != want {
					t.Errorf("%s amends the %s of %v: %d, want %d: %s", g.name, k, p, w.Code, want, w.Body)
				}
				if after, err := store.Get(t.Context(), id); err != nil || want != http.StatusOK && string(after) != string(before) {
					t.Errorf("%s changed the %s of %v (%v)", g.name, k, p, err)
				}
				if want != http.StatusOK && strings.Contains(w.Body.String(), word(p)) {
					t.Errorf("%s is told of the %s of %v: %s", g.name, k, p, w.Body)
				}
			}
		}
	}
}
