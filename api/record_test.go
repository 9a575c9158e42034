package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/amend"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/access"
	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/pipeline/redact"
	"github.com/truledgr/activity-agent/sinks/sqlite"
)

// recorded waits until there are n records of a kind, and returns them, the oldest first.
func recorded(t *testing.T, r *sqlite.Reader, k activity.Kind, n int) (docs []map[string]any) {
	t.Helper()
	q := search.Query{Kinds: []activity.Kind{k}, Sort: []search.SortKey{{Field: activity.CreatedAt}}}
	deadline := time.Now().Add(testenv.Budget(t, 30*time.Second))
	for ; ; time.Sleep(10 * time.Millisecond) {
		p, err := r.Search(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.Items) < n && time.Now().Before(deadline) {
			continue
		}
		if len(p.Items) != n {
			t.Fatalf("%d records, want %d: %s", len(p.Items), n, p.Items)
		}
		for _, item := range p.Items {
			var d map[string]any
			if err := errors.Join(json.Unmarshal(item, &d), activity.Validate(item)); err != nil {
				t.Fatalf("%v: %s", err, item)
			}
			docs = append(docs, d)
		}
		return docs
	}
}

// TestReadingWhatOthersDidIsRecorded: every way to it, with who, what and how much, and without the secrets of a question.
func TestReadingWhatOthersDidIsRecorded(t *testing.T) {
	t.Parallel()
	recorder, records := recorderOf(t, nil)
	s := serve(t, liteStore(t), func(o *Options) { o.Recorder = recorder })
	auditor := token(t, jwt.MapClaims{"sub": "zoe", "roles": "auditor", "tenant": "acme"})
	bob := idOf(14) // of acme: see people
	if w := get(s, "/activities/"+bob.String(), auditor); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, target := range []string{
		"/activities/?limit=3&details.password=hunter2hunter2", "/activities/admin/users/eve/activities", "/activities/aggregate?group_by=user_id",
		"/activities/admin/summary/eve", "/activities/entities/order/7", "/activities/auth-events/failed-logins", "/activities/export?limit=2",
	} {
		if w := get(s, target, auditor); w.Code != 200 {
			t.Fatalf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	docs := recorded(t, records, activity.DataAccess, 9)
	if end := docs[8]; end["activity_type"] != "activities_read_ended" || end["record_count"] != 2.0 || end["endpoint"] != "/activities/export" || end["request_id"] != docs[7]["request_id"] {
		t.Errorf("the end of an export: %v", end)
	}
	for i, d := range docs {
		if d["user_id"] != "zoe" || d["tenant_id"] != "acme" || i < 8 && d["activity_type"] != "activities_read" || d["permission_level"] != "auditor" ||
			d["table_name"] != "activities" || d["operation"] != "read" || d["request_id"] == nil || d["endpoint"] == nil || d["ip_address"] == nil {
			t.Errorf("record %d: %v", i, d)
		}
	}
	if docs[0]["entity_type"] != "activity" || docs[0]["entity_id"] != bob.String() || docs[0]["record_count"] != 1.0 {
		t.Errorf("one activity: %v", docs[0])
	}
	if docs[2]["entity_type"] != "user" || docs[2]["entity_id"] != "eve" || docs[2]["record_count"] != 7.0 {
		t.Errorf("a user's: %v", docs[2])
	}
	if text, _ := json.Marshal(docs); strings.Contains(string(text), "hunter2") || !strings.Contains(string(text), `"group_by":["user_id"]`) {
		t.Errorf("questions: %s", text)
	}
}

// TestTheEndOfAStreamIsRecorded: how many activities were sent, also where the client goes away; and an export whose end cannot be
// recorded breaks off.
func TestTheEndOfAStreamIsRecorded(t *testing.T) {
	t.Parallel()
	src := newSource(t, "sqlite")
	var n notebook
	s := serve(t, src.store, func(o *Options) { o.Recorder = &n })
	base := hosted(t, s)
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
	last := func(records int) (d struct {
		ActivityType string `json:"activity_type"`
		RecordCount  int    `json:"record_count"`
	}) {
		t.Helper()
		for deadline := time.Now().Add(testenv.Budget(t, 30*time.Second)); len(n.all()) < records && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
		all := n.all()
		if len(all) != records {
			t.Fatalf("%d records, want %d: %s", len(all), records, all)
		}
		if err := json.Unmarshal(all[records-1], &d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for i, open := range []opener{readEvents, readSocket} {
		r := open(t, base, "", admin, "")
		src.add(person{"ann", ""}, person{"bob", ""}, person{"eve", ""})
		for came := 0; came < 3; {
			if e := <-r.events; e.Activity != nil {
				came++
			}
		}
		r.stop()
		if end := last(2 + 2*i); end.ActivityType != "activities_read_ended" || end.RecordCount != 3 {
			t.Errorf("live reader %d: %+v", i, end)
		}
	}
	if get(s, "/activities/export?format=csv", admin); last(6).RecordCount != 6 {
		t.Errorf("an export: %+v", last(6))
	}
	n.refuseAfter(7, errors.New("the disk is full"))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/activities/export", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+admin)
	answer, err := http.DefaultClient.Do(r)
	if err == nil {
		_, err = io.ReadAll(answer.Body)
		_ = answer.Body.Close()
	}
	if err == nil || len(n.all()) != 8 {
		t.Errorf("an export whose end is not recorded ends well, after %d records", len(n.all()))
	}
}

// TestNamesInRecordsAreAsDocumentsHaveThem: where identities are hashed, a question has pseudonyms, and they stay as they are; who
// asks under a name is recorded to have asked under the pseudonym.
func TestNamesInRecordsAreAsDocumentsHaveThem(t *testing.T) {
	t.Parallel()
	c := redact.DefaultConfig()
	c.Identity, c.HashKey = "hash", strings.Repeat("k", 32)
	rules, err := redact.Compile(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	pseudonym := func(user string) string {
		var r redact.Replacer
		return string(r.AppendValue(rules.For(activity.Plain), nil, []byte(user), redact.Identify))
	}
	recorder, records := recorderOf(t, func(p *pipeline.Config) { p.Redact = c })
	s := serve(t, liteStore(t), func(o *Options) { o.Recorder, o.Pseudonym = recorder, pseudonym })
	auditor := token(t, jwt.MapClaims{"sub": "zoe", "roles": "auditor"})
	targets := []string{
		"/activities/?user_id=evelyn", "/activities/?user_id=" + pseudonym("evelyn"), "/activities/?user_id.prefix=evelyn",
		"/activities/admin/users/evelyn/activities", "/activities/admin/summary/" + pseudonym("evelyn"),
	}
	for _, target := range targets {
		if w := get(s, target, auditor); w.Code != 200 {
			t.Fatalf("%s: %d %s", target, w.Code, w.Body)
		}
	}
	for i, d := range recorded(t, records, activity.DataAccess, len(targets)) {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), pseudonym("evelyn")) || strings.Contains(string(text), "evelyn") || d["user_id"] != pseudonym("zoe") {
			t.Errorf("%s: %s", targets[i], text)
		}
	}
	get(s, "/activities/?user_id.exists=true", auditor)
	if docs := recorded(t, records, activity.DataAccess, len(targets)+1); !strings.Contains(fmt.Sprint(docs[len(targets)]["query_params"]), "user_id.exists:[true]") {
		t.Errorf("an operator without a name: %v", docs[len(targets)])
	}
}

func TestReadingOnesOwnIsNotRecorded(t *testing.T) {
	t.Parallel()
	var n notebook
	s := serve(t, liteStore(t), func(o *Options) { o.Recorder = &n })
	ann, admin := token(t, jwt.MapClaims{"sub": "ann"}), token(t, jwt.MapClaims{"sub": "ann", "roles": "admin"})
	for _, tt := range []struct{ target, bearer string }{
		{"/activities/", ann}, {"/activities/summary/user", ann}, {"/activities/" + idOf(0).String(), ann}, {"/activities/export", ann},
		{"/activities/?user_id=ann", admin}, {"/activities/summary/user", admin}, {"/activities/" + idOf(0).String(), admin},
		{"/activities/admin/users/ann/activities", admin}, {"/activities/export?user_id=ann", admin},
		{"/activities/nonsense", admin}, {"/activities/" + idOf(9999).String(), admin}, {"/activities/?limit=x", admin},
	} {
		get(s, tt.target, tt.bearer)
		if len(n.notes) > 0 {
			t.Fatalf("%s is recorded: %s", tt.target, n.notes)
		}
	}
	for _, target := range []string{"/activities/?user_id=ann&user_id=bob", "/activities/?user_id.prefix=ann", "/activities/?user_id=bob", "/activities/"} {
		n.notes = nil
		if get(s, target, admin); len(n.notes) != 1 {
			t.Errorf("%s: %d records", target, len(n.notes))
		}
	}
}

// TestWhatCannotBeRecordedIsNotShown, unless that is asked for.
func TestWhatCannotBeRecordedIsNotShown(t *testing.T) {
	t.Parallel()
	store := liteStore(t)
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
	for how, want := range map[string]int{RecordRequired: 503, RecordBest: 200, RecordOff: 200} {
		s := serve(t, store, func(o *Options) {
			o.Config.RecordReads = how
			o.Recorder = &notebook{err: errors.New("the disk is full")}
		})
		for _, target := range []string{"/activities/", "/activities/" + idOf(0).String(), "/activities/aggregate", "/activities/export", "/activities/export?format=csv"} {
			w := get(s, target, admin)
			if w.Code != want || want == 503 && (strings.Contains(w.Body.String(), "word") || !strings.Contains(w.Body.String(), "record_reads")) {
				t.Errorf("%s, %s: %d %s", how, target, w.Code, w.Body)
			}
		}
	}
	c := DefaultConfig()
	if _, err := New(Options{Config: c, Store: store}); err == nil {
		t.Error("a server without a recorder begins, and could record nothing")
	}
}

// send sends a PATCH.
func send(s *Server, id ulid.ULID, body, bearer string, header http.Header) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPatch, "/activities/"+id.String(), strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for name, v := range header {
		r.Header[name] = v
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// TestAnActivityIsAmended in both stores: redacted, recorded, found again, and provable.
func TestAnActivityIsAmended(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) search.Store{"sqlite": liteStore, "elasticsearch": elasticStore} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			recorder, records := recorderOf(t, func(c *pipeline.Config) { c.Redact.Fields = []string{"details.badge"} })
			s := serve(t, open(t), func(o *Options) { o.Recorder = recorder })
			admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
			id := idOf(3) // ann's data change
			before := get(s, "/activities/"+id.String(), admin)
			patch := `{"status":"reviewed","tags":["t0","checked"],"details":{"n":null,"note":"password is hunter2hunter2","badge":"4711"}}`
			w := send(s, id, patch, admin, http.Header{"If-Match": {before.Header().Get("ETag")}})
			if w.Code != 200 || strings.Contains(w.Body.String(), "hunter2") || strings.Contains(w.Body.String(), "4711") {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			after := get(s, "/activities/"+id.String(), admin)
			if after.Body.String() != w.Body.String() || after.Header().Get("ETag") == before.Header().Get("ETag") {
				t.Errorf("answered %s\nand read  %s", w.Body, after.Body)
			}
			var d struct {
				Status     string
				Tags       []string
				Details    map[string]any
				UpdatedAt  string `json:"updated_at"`
				Amendments []struct {
					ID, At, By, Hash string
					Changed          []string
					Old              map[string]any
				}
			}
			if err := json.Unmarshal(after.Body.Bytes(), &d); err != nil {
				t.Fatal(err)
			}
			if d.Status != "reviewed" || len(d.Tags) != 2 || d.Details["n"] != nil || d.Details["note"] != "password is [REDACTED]" || d.UpdatedAt == "" || len(d.Amendments) != 1 {
				t.Errorf("got %+v", d)
			}
			back, err := amend.Original([]byte(strings.TrimSpace(after.Body.String())))
			if err != nil || string(back) != strings.TrimSpace(before.Body.String()) {
				t.Errorf("the original: %s, %v\nwas           %s", back, err, before.Body)
			}
			r := recorded(t, records, activity.DataChange, 1)[0]
			a := d.Amendments[0]
			if a.By != "zoe" || r["id"] != a.ID || r["integrity"].(map[string]any)["hash"] != a.Hash || r["record_id"] != id.String() || r["user_id"] != "zoe" {
				t.Errorf("the amendment %+v is recorded as %v", a, r)
			}
			if w := send(s, id, patch, admin, http.Header{"If-Match": {before.Header().Get("ETag")}}); w.Code != http.StatusPreconditionFailed {
				t.Errorf("from an old version: %d %s", w.Code, w.Body)
			}
		})
	}
}

func TestWhoMayAmendWhat(t *testing.T) {
	t.Parallel()
	store := liteStore(t)
	closed := serve(t, store, nil)
	open := serve(t, store, func(o *Options) { o.Config.AmendOwn = true })
	user, other := token(t, jwt.MapClaims{"sub": "ann"}), token(t, jwt.MapClaims{"sub": "bob"})
	auditor, admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "auditor"}), token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
	elsewhere := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin", "tenant": "acme"})
	const ok = `{"status":"x"}`
	for _, tt := range []struct {
		s            *Server
		bearer, body string
		media        string
		want         int
		says         string
	}{
		{closed, user, ok, "application/json", 403, "may not amend"},
		{closed, auditor, ok, "application/json", 403, "may not amend"},
		{open, auditor, ok, "application/json", 403, "may not amend"},
		{open, other, ok, "application/json", 404, "no such activity"},
		{open, elsewhere, ok, "application/json", 404, "no such activity"},
		{open, "nobody", ok, "application/json", 401, "token"},
		{open, user, ok, "application/merge-patch+json", 200, `"status":"x"`},
		{open, admin, ok, "application/json; charset=utf-8", 200, `"status":"x"`},
		{open, admin, ok, "text/plain", 415, "application/json"},
		{open, admin, `{"user_id":"me","kind":"x"}`, "application/json", 422, `"pointer":"/kind"`},
		{open, admin, `{}`, "application/json", 422, "is empty"},
		{open, admin, `[1]`, "application/json", 422, "JSON object"},
		{open, admin, `{"status":`, "application/json", 422, "JSON object"},
		{open, admin, `{"description":"` + strings.Repeat("x", maxPatch) + `"}`, "application/json", 413, "larger"},
	} {
		w := send(tt.s, idOf(0), tt.body, tt.bearer, http.Header{"Content-Type": {tt.media}})
		if w.Code != tt.want || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%.60s: got %d %s, want %d", tt.body, w.Code, w.Body, tt.want)
		}
	}
}

// TestNullTakesAway, at any depth, and leaves no null behind.
func TestNullTakesAway(t *testing.T) {
	t.Parallel()
	recorder, _ := recorderOf(t, nil)
	s := serve(t, liteStore(t), func(o *Options) { o.Recorder = recorder })
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
	for _, tt := range []struct{ patch, want string }{
		{`{"details":{"n":null,"a":{"b":1,"c":{"d":null}},"e":null}}`, `"tags":["t0"],"details":{"a":{"b":1}},"amendments"`},
		{`{"details":{"a":{"b":null,"x":"y"}},"metadata":{"k":null}}`, `"tags":["t0"],"details":{"a":{"x":"y"}},"amendments"`},
		{`{"details":{"a":{"x":null}},"tags":["t"]}`, `"tags":["t"],"details":{"a":{}},"amendments"`},
		{`{"details":null,"tags":null,"description":null}`, `"entity_id":"7","amendments"`},
	} {
		if w := send(s, idOf(0), tt.patch, admin, nil); w.Code != 200 || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s: %d %s, want %s", tt.patch, w.Code, w.Body, tt.want)
		}
	}
}

// TestWhoAmendedIsNamed also where the caller is a key of no user.
func TestWhoAmendedIsNamed(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), nil)
	made, secret, err := access.OpenKeys(s.o.Config.Auth.APIKeys).Create(access.Key{Role: access.Admin, Expires: now.Add(time.Hour)}, now)
	if err != nil {
		t.Fatal(err)
	}
	if w := send(s, idOf(0), `{"status":"x"}`, secret, nil); w.Code != 200 || !strings.Contains(w.Body.String(), `"by":"key:`+made.ID+`"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestTheSameAmendmentAgainChangesNothing: an answer may have been lost.
func TestTheSameAmendmentAgainChangesNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), nil)
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
	const patch = `{"status":"x","details":{"k":{"v":1.50}}}`
	first, again := send(s, idOf(0), patch, admin, nil), send(s, idOf(0), patch, admin, nil)
	if first.Code != 200 || again.Code != 200 || first.Body.String() != again.Body.String() || strings.Count(again.Body.String(), `"changed"`) != 1 {
		t.Errorf("first %d %s\nagain %d %s", first.Code, first.Body, again.Code, again.Body)
	}
}

// TestNamesakesOfOtherTenantsAreOthers to who sees every tenant.
func TestNamesakesOfOtherTenantsAreOthers(t *testing.T) {
	t.Parallel()
	notes := &notebook{}
	s := serve(t, liteStore(t), func(o *Options) { o.Recorder = notes })
	_, secret, err := access.OpenKeys(s.o.Config.Auth.APIKeys).Create(access.Key{Role: access.Auditor, User: "ann", AllTenants: true, Expires: now.Add(time.Hour)}, now)
	if err != nil {
		t.Fatal(err)
	}
	if w := get(s, "/activities/?user_id=ann", secret); pageOf(t, w).Total == 0 || len(notes.notes) != 1 {
		t.Errorf("%d records", len(notes.notes))
	}
	get(s, "/activities/"+idOf(14).String(), secret) // of ann of acme
	if len(notes.notes) != 2 {
		t.Errorf("%d records", len(notes.notes))
	}
}

// TestTypesOfAnAmendment: what is wrong is told by its place.
func TestTypesOfAnAmendment(t *testing.T) {
	t.Parallel()
	recorder, _ := recorderOf(t, nil)
	s := serve(t, liteStore(t), func(o *Options) { o.Recorder = recorder })
	admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
	for body, says := range map[string]string{
		`{"status":7}`: `"pointer":"/status"`, `{"tags":"x"}`: `"pointer":"/tags"`, `{"details":[]}`: `"pointer":"/details"`, `{"metadata":"x"}`: `"pointer":"/metadata"`,
		`{"tags":["a",null]}`: `"pointer":"/tags`, `{"status":"a","status":"b"}`: `twice`,
	} {
		if w := send(s, idOf(0), body, admin, nil); w.Code != 422 || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
}

// TestAmendmentsAtOnce: all that were answered 200 are there, each once, and what each changed can be taken back.
func TestAmendmentsAtOnce(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*testing.T) search.Store{"sqlite": liteStore, "elasticsearch": elasticStore} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, open(t), nil)
			admin := token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"})
			before := get(s, "/activities/"+idOf(0).String(), admin).Body.String()
			var g sync.WaitGroup
			var mu sync.Mutex
			codes := map[int]int{}
			for i := range 12 {
				body := fmt.Sprintf([]string{`{"status":"a%d"}`, `{"metadata":{"k":"v%d"}}`, `{"description":"b%d"}`}[i%3], i)
				g.Go(func() {
					w := send(s, idOf(0), body, admin, nil)
					mu.Lock()
					defer mu.Unlock()
					codes[w.Code]++
				})
			}
			g.Wait()
			after := get(s, "/activities/"+idOf(0).String(), admin).Body.String()
			if codes[200] == 0 || codes[200]+codes[409] != 12 || strings.Count(after, `"changed"`) != codes[200] {
				t.Errorf("%v, and %d amendments", codes, strings.Count(after, `"changed"`))
			}
			if back, err := amend.Original([]byte(strings.TrimSpace(after))); err != nil || string(back) != strings.TrimSpace(before) {
				t.Errorf("the original: %s, %v", back, err)
			}
		})
	}
}

var _ Recorder = (*notebook)(nil)

// TestARecorderThatHangs does not hang the API for ever.
func TestARecorderThatHangs(t *testing.T) {
	t.Parallel()
	s := serve(t, liteStore(t), func(o *Options) { o.Recorder = hanging{} })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/activities/", nil)
	r.Header.Set("Authorization", "Bearer "+token(t, jwt.MapClaims{"sub": "zoe", "roles": "admin"}))
	w := httptest.NewRecorder()
	if s.ServeHTTP(w, r); w.Code != 503 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

type hanging struct{ *notebook }

func (hanging) Record(ctx context.Context, _ activity.Kind, _ []byte) (id ulid.ULID, leaf [32]byte, err error) {
	<-ctx.Done()
	return id, leaf, ctx.Err()
}
