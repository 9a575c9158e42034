package api

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/truledgr/activity-agent/api/access"
)

// sums are questions for numbers, of every form.
func sums() []url.Values {
	out := []url.Values{
		{"group_by": {"kind"}}, {"group_by": {"kind,user_id"}}, {"group_by": {"tenant_id", "user_id", "kind"}, "limit": {"5"}}, {"group_by": {"tags"}},
		{"group_by": {"details.n"}}, {"group_by": {"details.n"}, "limit": {"4"}, "order": {"-key"}, "metric": {"max:status_code,sum:record_count"}},
		{"group_by": {"success"}}, {"group_by": {"ip_address"}}, {"group_by": {"status_code"}}, {"group_by": {"status_code"}, "order": {"key"}},
		{"group_by": {"endpoint"}, "metric": {"min:@timestamp", "max:@timestamp"}}, {"group_by": {"id"}, "limit": {"3"}, "order": {"key"}},
		{"interval": {"hour"}}, {"interval": {"15m"}, "group_by": {"kind"}, "metric": {"avg:execution_time_ms"}, "limit": {"7"}}, {"interval": {"week"}},
		{"interval": {"month"}, "order": {"-count"}}, {"interval": {"day"}}, {"interval": {"minute"}, "limit": {"1000"}}, {"interval": {"2d"}}, {"interval": {"1w"}},
		{"metric": {"count,sum:status_code,avg:status_code,min:status_code,max:status_code,cardinality:user_id,cardinality:ip_address,cardinality:success"}},
		{"metric": {"percentiles:execution_time_ms", "p0:execution_time_ms", "p99.9:execution_time_ms,p100:status_code"}}, {"metric": {"sum:execution_time_ms", "avg:execution_time_ms"}},
		{"group_by": {"kind"}, "metric": {"max:created_at,avg:execution_time_ms,cardinality:user_id,p50:execution_time_ms"}, "order": {"-avg:execution_time_ms"}},
		{"group_by": {"user_id"}, "order": {"cardinality:tenant_id"}, "metric": {"cardinality:tenant_id"}}, {"group_by": {"user_id"}, "order": {"count"}, "limit": {"1"}},
		{"group_by": {"changed_fields"}, "metric": {"count"}}, {"group_by": {"tags,changed_fields"}, "limit": {"2"}}, {"group_by": {"details.nothing"}},
		{"kind": {"auth_event"}, "group_by": {"event_type"}}, {"q": {"wordannofx"}, "group_by": {"user_id"}}, {"user_id": {"ann"}, "metric": {"count"}},
		{"group_by": {"event.outcome"}}, {"metric": {"sum:event.duration", "max:event.duration"}}, {"user_id": {"nobody"}, "metric": {"max:@timestamp,sum:status_code,p50:status_code"}},
		{"user_id": {"nobody"}, "group_by": {"kind"}}, {"from": {"2026-01-02T03:10:00Z"}, "interval": {"minute"}}, {"tenant_id.exists": {"true"}, "group_by": {"tenant_id"}},
		{"group_by": {"nothing"}}, {"metric": {"p50:user_id"}}, {"interval": {"1d"}, "order": {"-key"}},
		// for the other routes
		{"from": {"-30d"}}, {"from": {"-30d"}, "kind": {"auth_event"}}, {"from": {"-30d"}, "threshold": {"1"}}, {"threshold": {"1"}, "window": {"7d"}, "limit": {"2"}},
		{"from": {"-30d"}, "threshold": {"1"}, "user_id": {"ann", "eve"}}, {"from": {"-30d"}, "to": {"2026-01-02T03:30:00Z"}, "threshold": {"2"}},
		{"sort": {"@timestamp"}}, {"sort": {"@timestamp"}, "limit": {"3"}, "fields": {"id"}}, {"window": {"x"}}, {"threshold": {"0"}},
	}
	return append(out, attempts()...)
}

// numeric are the routes of numbers, and histories.
func numeric(rt route) bool { return rt.doc.answer != nil }

// TestNumbersAreThoseOfWhatIsSeen asks for numbers as everybody, and asks a store that has nothing but what they may see the same
// as somebody who sees all: a total, a group, a least value or a percentile that knows of more would differ.
func TestNumbersAreThoseOfWhatIsSeen(t *testing.T) {
	t.Parallel()
	whole := serve(t, liteStore(t), nil)
	for _, g := range guests(t) {
		if !g.known {
			continue
		}
		alone := serve(t, liteStoreOf(t, g.sees), func(o *Options) { o.Config.Auth.Anonymous = string(access.Auditor) })
		compared := 0
		for _, rt := range routes(nil) {
			if !numeric(rt) {
				continue
			}
			for _, path := range rt.paths() {
				same := path
				if rt.path == "/activities/summary/user" {
					same = "/activities/admin/summary/" + subject(t, g.token)
				}
				for _, params := range sums() {
					got := get(whole, path+"?"+params.Encode(), g.token)
					if got.Code == http.StatusForbidden {
						continue
					}
					want := get(alone, "http://127.0.0.1:8481"+same+"?"+params.Encode(), "")
					if got.Code != want.Code || got.Code == http.StatusOK && got.Body.String() != want.Body.String() {
						t.Errorf("%s: %s?%s:\ngot  %d %s\nwant %d %s", g.name, path, params.Encode(), got.Code, got.Body, want.Code, want.Body)
					}
					if got.Code == http.StatusOK {
						compared++
					}
				}
			}
		}
		if compared < 60 {
			t.Errorf("%s: only %d answers were compared", g.name, compared)
		}
	}
}

// subject is the user of a token.
func subject(t *testing.T, bearer string) string {
	t.Helper()
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(bearer, claims); err != nil {
		t.Fatal(err)
	}
	return url.PathEscape(claims["sub"].(string))
}

// ask decodes the answer to a question of somebody who sees everything.
func ask[T any](t *testing.T, s *Server, target string) (out T) {
	t.Helper()
	w := get(s, "http://127.0.0.1:8481"+target, "")
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s: %d %s", target, w.Code, w.Body)
	}
	return out
}

func seer(t *testing.T) *Server {
	t.Helper()
	return serve(t, liteStore(t), func(o *Options) { o.Config.Auth.Anonymous = string(access.Auditor) })
}

func TestGroupsAreCounted(t *testing.T) {
	t.Parallel()
	s := seer(t)
	for target, want := range map[string]string{
		"?group_by=user_id":                               `{"groups":[{"key":{"user_id":"ann"},"count":21},{"key":{"user_id":"bob"},"count":7},{"key":{"user_id":"eve"},"count":7},{"key":{"user_id":null},"count":7}],"total":42,"groups_left_out":0,"other":0}`,
		"?group_by=user_id&limit=2":                       `{"groups":[{"key":{"user_id":"ann"},"count":21},{"key":{"user_id":"bob"},"count":7}],"total":42,"groups_left_out":2,"other":14}`,
		"?group_by=tags&kind=activity":                    `{"groups":[{"key":{"tags":"t0"},"count":2},{"key":{"tags":"t1"},"count":2},{"key":{"tags":"t2"},"count":2}],"total":6,"groups_left_out":0,"other":0}`,
		"?interval=15m&order=-key&limit=1":                `{"groups":[{"key":{"@timestamp":"2026-01-02T03:45:00Z"},"count":1}],"total":42,"groups_left_out":3,"other":41}`,
		"?metric=sum:record_count,p50:record_count":       `{"groups":[{"key":{},"count":42,"metrics":{"p50:record_count":1019.5,"sum:record_count":6117}}],"total":42,"groups_left_out":0,"other":0}`,
		"?metric=min:@timestamp&kind=auth_event":          `{"groups":[{"key":{},"count":6,"metrics":{"min:@timestamp":"2026-01-02T03:08:05.123Z"}}],"total":6,"groups_left_out":0,"other":0}`,
		"?group_by=success&user_id=bob":                   `{"groups":[{"key":{"success":null},"count":6},{"key":{"success":true},"count":1}],"total":7,"groups_left_out":0,"other":0}`,
		"?user_id=nobody&metric=max:record_count":         `{"groups":[{"key":{},"count":0,"metrics":{"max:record_count":null}}],"total":0,"groups_left_out":0,"other":0}`,
		"?group_by=kind&interval=week&kind=system_event":  `{"groups":[{"key":{"@timestamp":"2025-12-29T00:00:00Z","kind":"system_event"},"count":6}],"total":6,"groups_left_out":0,"other":0}`,
		"?group_by=kind&interval=month&kind=system_event": `{"groups":[{"key":{"@timestamp":"2026-01-01T00:00:00Z","kind":"system_event"},"count":6}],"total":6,"groups_left_out":0,"other":0}`,
	} {
		if got := strings.TrimSpace(get(s, "http://127.0.0.1/activities/aggregate/"+target, "").Body.String()); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", target, got, want)
		}
	}
}

func TestASummaryHasWhatAUserDid(t *testing.T) {
	t.Parallel()
	s := ask[summary](t, seer(t), "/activities/admin/summary/ann?tenant_id.exists=false")
	rate := 0.0
	want := summary{UserID: "ann", Total: 7, FirstSeen: s.FirstSeen, LastSeen: s.LastSeen, Kinds: s.Kinds, ActivityTypes: s.ActivityTypes, From: s.From, To: s.To,
		Statuses: []tally{}, Outcomes: []tally{{"success", 1}}, Days: []dayTally{{"2026-01-02", 7}}, Entities: []entityTally{{"order", "7", 1}},
		Endpoints: []tally{{"/orders/<1>", 1}}, ErrorRate: &rate, FailedLogins: 1, Latency: s.Latency}
	if diff := cmp.Diff(want, s); diff != "" || len(s.Kinds) != 7 || len(s.ActivityTypes) != 7 || s.Latency == nil ||
		!s.FirstSeen.Equal(day0.Truncate(time.Millisecond)) || s.LastSeen.Sub(*s.FirstSeen).Minutes() != 6 || s.To != now || now.Sub(s.From) != summaryTime {
		t.Errorf("%+v\n%s", s, diff)
	}
	none := ask[summary](t, seer(t), "/activities/admin/summary/nobody")
	if none.Total != 0 || none.FirstSeen != nil || none.ErrorRate != nil || none.Latency != nil || none.Kinds == nil {
		t.Errorf("of nobody: %+v", none)
	}
}

func TestAHistoryHasWhatChanged(t *testing.T) {
	t.Parallel()
	s := seer(t)
	h := ask[steps](t, s, "/activities/entities/order/7/?user_id=ann&sort=@timestamp&tenant_id.exists=false&fields=kind")
	want := steps{Total: 2, Items: []step{
		{json.RawMessage(`{"kind":"activity"}`), []fieldChange{}},
		{json.RawMessage(`{"kind":"data_change"}`), []fieldChange{{"n", json.RawMessage(`3`), nil}, {"state", json.RawMessage(`"new"`), json.RawMessage(`"paid"`)}}},
	}}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Error(diff)
	}
	walked := 0
	for cursor := ""; ; {
		p := ask[steps](t, s, "/activities/entities/order/7?limit=5&cursor="+cursor)
		if walked += len(p.Items); p.Next == nil {
			break
		}
		cursor = *p.Next
	}
	if walked != 12 {
		t.Errorf("%d steps, want 12", walked)
	}
	if p := ask[steps](t, s, "/activities/entities/order/8"); len(p.Items) != 0 || p.Items == nil {
		t.Errorf("of another: %+v", p)
	}
}

func TestFailedLoginsAreCounted(t *testing.T) {
	t.Parallel()
	f := ask[failures](t, seer(t), "/activities/auth-events/failed-logins/?window=30d&threshold=2")
	if f.Total != 5 || len(f.Users) != 1 || len(f.Addresses) != 1 || f.MoreUsers || f.MoreAddresses {
		t.Fatalf("%+v", f)
	}
	if u := f.Users[0]; u.UserID != "ann" || u.Count != 3 || u.Addresses != 2 || u.SuccessFollowed || u.First.After(u.Last) {
		t.Errorf("%+v", u)
	}
	if a := f.Addresses[0]; a.IPAddress != "10.0.0.0" || a.Count != 2 || a.Users != 1 {
		t.Errorf("%+v", a)
	}
	f = ask[failures](t, seer(t), "/activities/auth-events/failed-logins?from=-30d&threshold=1&limit=2")
	if len(f.Users) != 2 || f.MoreUsers || len(f.Addresses) != 2 || !f.MoreAddresses {
		t.Errorf("%+v", f)
	}
}

func TestASuccessThatFollowedIsTold(t *testing.T) {
	t.Parallel()
	f := ask[failures](t, seer(t), "/activities/auth-events/failed-logins?from=-30d&threshold=1&ip_address=10.0.0.1")
	if len(f.Addresses) != 1 || f.Addresses[0].LastSuccess == nil || f.Addresses[0].SuccessFollowed {
		t.Errorf("bob's success was before: %+v", f)
	}
}

func TestMistakesInQuestionsForNumbersAreNamed(t *testing.T) {
	t.Parallel()
	s := seer(t)
	for target, want := range map[string][]string{
		"aggregate?group_by=a,b,c,d":                    {"group_by"},
		"aggregate?group_by=description":                {"group_by"},
		"aggregate?group_by=details":                    {"group_by"},
		"aggregate?group_by=execution_time_ms":          {"group_by"},
		"aggregate?group_by=@timestamp":                 {"group_by"},
		"aggregate?group_by=kind,kind":                  {"group_by"},
		"aggregate?kind=auth_event&group_by=table_name": {"group_by"},
		"aggregate?interval=fortnight&limit=1001":       {"interval", "limit"},
		"aggregate?interval=0s":                         {"interval"},
		"aggregate?interval=1ms":                        {"interval"},
		"aggregate?metric=median:status_code":           {"metric"},
		"aggregate?metric=p101:status_code":             {"metric"},
		"aggregate?metric=pNaN:status_code":             {"metric"},
		"aggregate?metric=sum:user_id":                  {"metric"},
		"aggregate?metric=sum:details.n":                {"metric"},
		"aggregate?metric=cardinality:tags":             {"metric"},
		"aggregate?metric=p1:status_code,p2:status_code,p3:status_code,p4:status_code,p5:status_code,p6:status_code,p7:status_code,percentiles:log.offset": {"metric"},
		"aggregate?metric=p50:status_code&order=p50:status_code":       {"order"},
		"aggregate?order=sum:status_code":                              {"order"},
		"aggregate?sort=id&cursor=x&colour=red":                        {"cursor", "sort", "colour"},
		"summary/user?limit=3":                                         {"limit"},
		"admin/summary/ann?from=x":                                     {"from"},
		"entities/order/7?group_by=kind":                               {"group_by"},
		"auth-events/failed-logins?threshold=0&window=1y&success=true": {"threshold", "window", "success"},
		"auth-events/failed-logins?from=-1h&window=1h":                 {"window"},
		"auth-events/failed-logins?kind=auth_event":                    {"kind"},
		"auth-events/failed-logins?from=-1h&to=-2h":                    {"to"},
		"auth-events/failed-logins?limit=501":                          {"limit"},
	} {
		if target == "summary/user?limit=3" {
			target = "admin/summary/ann?limit=3" // nobody has no summary
		}
		w := get(s, "http://127.0.0.1/activities/"+target, "")
		var p problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range p.Errors {
			names = append(names, e.Parameter)
		}
		if w.Code != http.StatusUnprocessableEntity || !cmp.Equal(names, want) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}
