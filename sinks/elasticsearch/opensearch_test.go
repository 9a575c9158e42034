package elasticsearch

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/internal/estest"
	"github.com/truledgr/activity-agent/sinks"
	"github.com/truledgr/activity-agent/sinks/elasticsearch/scripted"
)

// onOpenSearch is onNode with a real node of OpenSearch.
func onOpenSearch(t *testing.T) Config {
	t.Helper()
	n := estest.OpenSearch(t)
	c := DefaultConfig()
	c.Flavor, c.Expiry = FlavorOpenSearch, ExpiryAgent
	c.Addresses, c.IndexPrefix = []string{n.URL()}, n.Prefix(t)
	return c
}

func TestOpenSearchIsSetUpOnce(t *testing.T) {
	t.Parallel()
	c := onOpenSearch(t)
	for _, want := range []string{"created", "unchanged"} {
		s := mustInstall(t, c, Wanted{Days: keep, Roles: true})
		for _, ch := range s.Changes {
			if ch.Did != want {
				t.Errorf("%s was %s, want %s", ch.Name, ch.Did, want)
			}
		}
		if len(s.Changes) != 9 || !slices.Equal(s.Lacking, []string{"roles"}) {
			t.Errorf("got %d, lacking %v", len(s.Changes), s.Lacking)
		}
	}
	c.Expiry = ExpiryCluster
	if s := mustInstall(t, c, Wanted{Days: keep}); !slices.Equal(s.Lacking, []string{"life-cycle policies"}) {
		t.Errorf("lacking %v", s.Lacking)
	}
}

func TestOpenSearchStoresFindsAndDeletes(t *testing.T) {
	t.Parallel()
	c := onOpenSearch(t)
	s := mustOpen(t, c)
	good := document(activity.AuthEvent, 1, day0, `"user_id":"ann","client":{"x":1},"details":{"a":{"b":"deep"}},"description":"signed in from abroad"`)
	bad := document(activity.AuthEvent, 2, day0, `"user_id":{"no":"keyword"}`)
	late := document(activity.AuthEvent, 3, day0.AddDate(0, 2, 0), `"user_id":"bob"`)
	for _, want := range []sinks.Verdict{sinks.Stored, sinks.Duplicate} {
		got := write(t, s, good, bad, late)
		if got[0].Verdict != want || got[1].Verdict != sinks.Rejected || got[1].Reason != "mapper_parsing_exception: user_id" || got[2].Verdict != want {
			t.Errorf("got %v, want %v and a refusal", got, want)
		}
	}
	r, err := OpenReader(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	for _, tt := range []struct {
		name, value string
		want        int64
	}{
		{"user_id", "ann", 1}, {"kind", "auth_event", 2}, {"details.a.b", "deep", 1}, {"details.a.b", "other", 0}, {"q", "abroad", 1}, {"q", "nowhere", 0},
	} {
		q, err := search.Parse(nil, map[string][]string{tt.name: {tt.value}}, nil, day0)
		if err != nil {
			t.Fatal(err)
		}
		var got int64
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if got, err = r.Count(t.Context(), q); err == nil && got == tt.want {
				break
			}
		}
		if err != nil || got != tt.want {
			t.Errorf("%s=%s: got %d, %v; want %d", tt.name, tt.value, got, err, tt.want)
		}
	}
	limits := []sinks.Limit{{Kind: activity.AuthEvent, Before: day0.AddDate(0, 2, 0)}}
	x, ok, err := s.Expired(t.Context(), limits)
	if err != nil || !ok || x.Records != 1 {
		t.Fatalf("got %+v, %v, %v", x, ok, err)
	}
	if p, err := s.Delete(t.Context(), x); err != nil || p != sinks.Deleted {
		t.Errorf("got %v, %v", p, err)
	}
	if x, ok, err := s.Expired(t.Context(), limits); ok || err != nil {
		t.Errorf("left is %+v, %v", x, err)
	}
}

// TestOpenSearchPolicies: a policy that is there is changed only with its number. They name their indices themselves, so no
// template names them.
func TestOpenSearchPolicies(t *testing.T) {
	t.Parallel()
	cluster := scripted.StartCluster(t, "activities", "activities-auth-event-2026.03")
	c := onCluster(cluster)
	c.Flavor = FlavorOpenSearch
	kept := 100
	w := Wanted{Days: func(activity.Kind) int { return kept }}
	for _, want := range []string{"created", "unchanged", "updated", "unchanged"} {
		if want == "updated" {
			kept = 200
		}
		got := did(mustInstall(t, c, w))
		if p := got["ism_policy/activities-auth-event"]; p != want || len(got) != 7+1+1+7 {
			t.Errorf("the policy was %s, want %s; %d in all", p, want, len(got))
		}
	}
	if body := string(cluster.Thing("/_plugins/_ism/policies/activities-auth-event")); !strings.Contains(body, `"min_index_age":"231d"`) {
		t.Errorf("got %s", body)
	}
}
