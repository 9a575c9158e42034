package elasticsearch

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/sinks"
	"github.com/truledgr/activity-agent/sinks/elasticsearch/scripted"
)

// keep keeps auth events for 100 days, and the rest for ever.
func keep(k activity.Kind) int {
	if k == activity.AuthEvent {
		return 100
	}
	return 0
}

func onCluster(c *scripted.Cluster) Config {
	cfg := DefaultConfig()
	cfg.Addresses, cfg.RequestTimeout = []string{c.URL}, time.Minute
	return cfg
}

func did(s Setup) map[string]string {
	out := map[string]string{}
	for _, c := range s.Changes {
		out[c.Kind+"/"+c.Name] = c.Did
	}
	return out
}

func mustInstall(t *testing.T, c Config, w Wanted) Setup {
	t.Helper()
	s, err := Install(t.Context(), c, w)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSetupOfAWholeClusterChangesNothingTheSecondTime(t *testing.T) {
	t.Parallel()
	cluster := scripted.StartCluster(t, "activities", "activities-auth-event-2026.03", "activities-auth-event-2026.04.05", "activities-data-change-2026.03", "other")
	cluster.Set("activities-auth-event-2026.04.05", "index.lifecycle.parse_origination_date", true)
	c := onCluster(cluster)
	w := Wanted{Days: keep, Roles: true}
	first := did(mustInstall(t, c, w))
	for name, want := range map[string]string{
		"ilm_policy/activities-auth-event": "created", "component_template/activities-auth-event-lifecycle": "created",
		"index_template/activities-auth-event": "created", "role/activities-writer": "created", "role/activities-reader": "created",
		"role/activities-admin": "created", "index/activities-auth-event-2026.03": "updated", "index/activities-auth-event-2026.04.05": "updated",
		"ilm_policy/activities-data-change": "", "index/activities-data-change-2026.03": "", "index/other": "",
	} {
		if first[name] != want {
			t.Errorf("%s was %q, want %q", name, first[name], want)
		}
	}
	if got, want := cluster.Setting("activities-auth-event-2026.03", "index.lifecycle.origination_date"), "1772323200000"; got != want {
		t.Errorf("the index begins at %s, want %s", got, want)
	}
	if got := cluster.Setting("activities-auth-event-2026.04.05", "index.lifecycle.origination_date"); got != "" {
		t.Errorf("an index whose name is parsed got %s", got)
	}
	cluster.Changes()
	for name, what := range did(mustInstall(t, c, w)) {
		if what != "unchanged" {
			t.Errorf("the second time %s was %s", name, what)
		}
	}
	if got := cluster.Changes(); len(got) > 0 {
		t.Errorf("the second time changed %v", got)
	}
	c.WarmAfter = "30d"
	if got := did(mustInstall(t, c, w)); got["ilm_policy/activities-auth-event"] != "updated" || got["ilm_policy/activities-data-change"] != "created" {
		t.Errorf("with warm nodes: got %v", got)
	}
}

func TestAgesInPolicies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		period, warm, expiry string
		want                 map[string]string // min_age by phase
	}{
		{"month", "", ExpiryCluster, map[string]string{"hot": "", "delete": "131d"}},
		{"week", "30d", ExpiryCluster, map[string]string{"hot": "", "warm": "37d", "delete": "107d"}},
		{"day", "8w", ExpiryCluster, map[string]string{"hot": "", "warm": "57d", "delete": "101d"}},
		{"day", "100d", ExpiryCluster, map[string]string{"hot": "", "delete": "101d"}},
		{"month", "1d", ExpiryAgent, map[string]string{"hot": "", "warm": "32d"}},
	} {
		c := DefaultConfig()
		c.Period, c.WarmAfter, c.Expiry = tt.period, tt.warm, tt.expiry
		got := map[string]string{}
		for _, w := range c.Wanted(Wanted{Days: keep}) {
			if w.Kind != "ilm_policy" || w.Name != "activities-auth-event" {
				continue
			}
			var policy struct {
				Policy struct {
					Phases map[string]struct {
						MinAge string `json:"min_age"`
					}
				}
			}
			if err := json.Unmarshal(w.Body, &policy); err != nil {
				t.Fatal(err)
			}
			for name, p := range policy.Policy.Phases {
				got[name] = p.MinAge
			}
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%+v: got %v", tt, got)
		}
	}
}

// TestTheUsersOwnLifeCycleWins: their component comes after ours, and an index with another policy is left alone.
func TestTheUsersOwnLifeCycleWins(t *testing.T) {
	t.Parallel()
	cluster := scripted.StartCluster(t, "activities", "activities-auth-event-2026.03")
	cluster.Set("activities-auth-event-2026.03", "index.lifecycle.name", "theirs")
	mustInstall(t, onCluster(cluster), Wanted{Days: keep})
	if got := cluster.Setting("activities-auth-event-2026.03", "index.lifecycle.name"); got != "theirs" {
		t.Errorf("the index has the policy %s", got)
	}
	var tmpl struct {
		ComposedOf []string `json:"composed_of"`
	}
	if err := json.Unmarshal(cluster.Thing("/_index_template/activities-auth-event"), &tmpl); err != nil {
		t.Fatal(err)
	}
	if want := []string{"activities-common", "activities-auth-event-lifecycle", "activities@custom"}; !slices.Equal(tmpl.ComposedOf, want) {
		t.Errorf("got %v, want %v", tmpl.ComposedOf, want)
	}
}

// TestOnlyNamesWithADayAreParsed: Elasticsearch refuses to make an index whose name does not end with yyyy.MM.dd then.
func TestOnlyNamesWithADayAreParsed(t *testing.T) {
	t.Parallel()
	for _, period := range []string{"day", "week", "month"} {
		c := DefaultConfig()
		c.Period = period
		for _, w := range c.Wanted(Wanted{Days: keep}) {
			if strings.HasSuffix(w.Name, "-lifecycle") && strings.Contains(string(w.Body), "parse_origination_date") != (period == "day") {
				t.Errorf("%s: %s", period, w.Body)
			}
		}
	}
}

func TestWhatAClusterLacksIsSaidAndTheRestIsDone(t *testing.T) {
	t.Parallel()
	cluster := scripted.StartCluster(t, "activities", "activities-auth-event-2026.03")
	cluster.Lack("/_ilm", "/_security")
	s := mustInstall(t, onCluster(cluster), Wanted{Days: keep, Roles: true})
	if want := []string{"life-cycle policies", "roles"}; !slices.Equal(s.Lacking, want) {
		t.Errorf("lacks %v, want %v", s.Lacking, want)
	}
	if len(s.Changes) != 8 || cluster.Thing("/_index_template/activities-auth-event") == nil {
		t.Errorf("got %v", s.Changes)
	}
}

// TestTheNodeOfTheTestsLacksLifeCycles, and says so in a way that setup understands.
func TestTheNodeOfTheTestsLacksLifeCycles(t *testing.T) {
	t.Parallel()
	c, _ := onNode(t)
	for _, want := range []string{"created", "unchanged"} {
		s := mustInstall(t, c, Wanted{Days: keep, Roles: true})
		if !slices.Equal(s.Lacking, []string{"life-cycle policies", "roles"}) {
			t.Errorf("lacks %v", s.Lacking)
		}
		for _, ch := range s.Changes {
			if ch.Did != want {
				t.Errorf("%s was %s, want %s", ch.Name, ch.Did, want)
			}
		}
	}
}

func TestAMissingPrivilegeIsNotALack(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/_ilm", "/_security"} {
		cluster := scripted.StartCluster(t, "activities")
		cluster.Forbid(path)
		_, err := Install(t.Context(), onCluster(cluster), Wanted{Days: keep, Roles: true})
		if e := (*Error)(nil); !errors.As(err, &e) || e.Status != http.StatusForbidden || strings.Contains(err.Error(), "swordfish") {
			t.Errorf("%s: got %v", path, err)
		}
	}
}

// TestRolesMayDoNoMoreThanTheyNeed: the agent's cannot change, read or delete.
func TestRolesMayDoNoMoreThanTheyNeed(t *testing.T) {
	t.Parallel()
	c := DefaultConfig()
	for expiry, want := range map[string][]string{
		ExpiryCluster: {"create_doc", "auto_configure"},
		ExpiryAgent:   {"create_doc", "auto_configure", "delete_index", "view_index_metadata", "monitor"},
	} {
		c.Expiry = expiry
		var role struct {
			Cluster []string
			Indices []struct{ Names, Privileges []string }
		}
		if err := json.Unmarshal(c.Roles()[0].Body, &role); err != nil {
			t.Fatal(err)
		}
		if len(role.Cluster) > 0 || !slices.Equal(role.Indices[0].Privileges, want) || !slices.Equal(role.Indices[0].Names, []string{"activities-*", "activities"}) {
			t.Errorf("%s: got %+v", expiry, role)
		}
	}
}

func TestDeletingNamesThePrivilegesThatItLacks(t *testing.T) {
	t.Parallel()
	cluster := scripted.StartCluster(t, "activities", "activities-auth-event-2020.03", "activities-auth-event-2020.04", "activities-auth-event-2020.05")
	c := onCluster(cluster)
	limits := []sinks.Limit{{Kind: activity.AuthEvent, Before: time.Date(2020, 5, 1, 0, 0, 0, 0, time.UTC)}}
	if _, ok, err := mustOpen(t, c).Expired(t.Context(), limits); ok || err != nil {
		t.Errorf("the cluster's business: got %v, %v", ok, err)
	}
	c.Expiry = ExpiryAgent
	s := mustOpen(t, c)
	x, ok, err := s.Expired(t.Context(), limits)
	if want := (sinks.Expired{
		Kind: "auth_event", Index: "activities-auth-event-2020.03", Records: 7,
		Since: time.Date(2020, 3, 1, 0, 0, 0, 0, time.UTC), Before: time.Date(2020, 4, 1, 0, 0, 0, 0, time.UTC),
	}); err != nil || !ok || x != want {
		t.Fatalf("got %+v, %v, %v", x, ok, err)
	}
	cluster.Forbid("/activities-")
	if _, err := s.Delete(t.Context(), x); err == nil || !strings.Contains(err.Error(), "delete_index") {
		t.Errorf("got %v", err)
	}
	cluster.Forbid()
	for _, want := range []sinks.Progress{sinks.Deleted, sinks.Gone} {
		if got, err := s.Delete(t.Context(), x); err != nil || got != want {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	if got := cluster.Indices(); len(got) != 2 {
		t.Errorf("left are %v", got)
	}
}

const twoObjects = `{"type":"index-pattern","id":"a","attributes":{"title":"x"},"references":[]}
{"type":"dashboard","id":"b","attributes":{"title":"y"},"references":[]}
`

func TestSavedObjectsAreImportedOnce(t *testing.T) {
	t.Parallel()
	k := scripted.StartKibana(t, "swordfish")
	c := DefaultConfig()
	c.Addresses, c.APIKey = []string{"http://127.0.0.1:1"}, "swordfish"
	other := strings.Replace(twoObjects, `"y"`, `"z"`, 1)
	for i, tt := range []struct {
		before  func()
		objects string
		did     string
		imports int
	}{
		{nil, twoObjects, "created", 1},
		{nil, twoObjects, "unchanged", 1},
		{nil, other, "updated", 2},
		{nil, other, "unchanged", 2},
		{func() { k.Delete("dashboard", "b") }, other, "created", 3},
		{nil, other, "unchanged", 3},
	} {
		if tt.before != nil {
			tt.before()
		}
		got, lacking, err := ImportObjects(t.Context(), c, k.URL+"/s/audit/", []byte(tt.objects))
		if err != nil || lacking || got.Did != tt.did || k.Imports() != tt.imports || k.Objects() != 3 {
			t.Errorf("%d: got %v, %v, %v, %d imports of %d; want %+v", i, got, lacking, err, k.Imports(), k.Objects(), tt)
		}
	}
}

func TestWhatKibanaRefusesIsExplained(t *testing.T) {
	t.Parallel()
	k := scripted.StartKibana(t, "the key")
	c := DefaultConfig()
	c.Addresses, c.APIKey = []string{"http://127.0.0.1:1"}, "swordfish"
	if _, _, err := ImportObjects(t.Context(), c, k.URL, []byte(twoObjects)); err == nil || !strings.Contains(err.Error(), "Kibana answered 401") || strings.Contains(err.Error(), "swordfish") {
		t.Errorf("got %v", err)
	}
	c.APIKey = "the key"
	k.Refuse("unsupported_type")
	if _, _, err := ImportObjects(t.Context(), c, k.URL, []byte(twoObjects)); err == nil || !strings.Contains(err.Error(), "index-pattern a) for unsupported_type") || strings.Contains(err.Error(), "swordfish") {
		t.Errorf("got %v", err)
	}
	c.APIKey = ""
	if _, lacking, err := ImportObjects(t.Context(), c, scripted.Start(t).URL, []byte(twoObjects)); err != nil || !lacking {
		t.Errorf("no Kibana: got %v, %v", lacking, err)
	}
	if _, _, err := ImportObjects(t.Context(), c, "http://127.0.0.1:1", []byte(twoObjects)); err == nil || !strings.Contains(err.Error(), "cannot reach Kibana") {
		t.Errorf("nobody there: got %v", err)
	}
}
