package elasticsearch

import (
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
)

func TestPeriodsOfIndexNames(t *testing.T) {
	t.Parallel()
	to := target{prefix: "activities"}
	for name, want := range map[string][2]string{
		"activities-auth-event-2026.11":    {"2026-11-01", "2026-12-01"},
		"activities-auth-event-2026.12":    {"2026-12-01", "2027-01-01"},
		"activities-auth-event-2024.02.29": {"2024-02-29", "2024-03-01"},
		"activities-auth-event-2026.w01":   {"2025-12-29", "2026-01-05"},
		"activities-auth-event-2026.w53":   {"2026-12-28", "2027-01-04"},
		"activities-auth-event-2021.w01":   {"2021-01-04", "2021-01-11"},
	} {
		since, until, ours := to.covers(name, "auth-event")
		if got := [2]string{since.Format("2006-01-02"), until.Format("2006-01-02")}; !ours || got != want {
			t.Errorf("%s: got %v, %v; want %v", name, got, ours, want)
		}
	}
}

// TestIndicesOfOthersAreNotOurs: what looks nearly like one of ours belongs to somebody else.
func TestIndicesOfOthersAreNotOurs(t *testing.T) {
	t.Parallel()
	to := target{prefix: "activities"}
	for _, name := range []string{
		"activities-auth-event", "activities-auth-event-", "activities-auth-event-2026", "activities-auth-event-2026.1", "activities-auth-event-2026.13",
		"activities-auth-event-2026.02.30", "activities-auth-event-2026.w00", "activities-auth-event-2026.w54", "activities-auth-event-2025.w53",
		"activities-auth-event-2026.w1", "activities-auth-event-2026.w+1", "activities-auth-event-2026.11-000001", "activities-auth-event-2026.11.01-1",
		"activities-auth-event-0000.w00", "activities-auth-event-.w", "activities-auth-event-x.w01", "activities-auth-event-2026.011",
		"activities-auth-event-old-2026.11", "my-activities-auth-event-2026.11", "activities2-auth-event-2026.11", "activities-data-access-2026.11",
		"partial-activities-auth-event-2026.11", "Activities-auth-event-2026.11",
	} {
		if since, _, ours := to.covers(name, "auth-event"); ours {
			t.Errorf("%s counts as ours, of %v", name, since)
		}
	}
}

// TestEveryIndexNameIsReadBack: the names that documents go to are the ones that expire.
func TestEveryIndexNameIsReadBack(t *testing.T) {
	t.Parallel()
	for _, period := range []string{"day", "week", "month"} {
		for _, k := range activity.Kinds() {
			to := target{prefix: "a.b-c_d", periods: make([]string, k+1)}
			to.periods[k] = period
			for at := time.Date(2019, 12, 25, 13, 0, 0, 0, time.UTC); at.Year() < 2030; at = at.AddDate(0, 0, 1) {
				name := string(to.appendIndex(nil, k, at.UnixNano()))
				since, until, ours := to.covers(name, k.Family())
				if !ours || at.Before(since) || !at.Before(until) {
					t.Fatalf("%s of %v: got %v to %v, %v", name, at, since, until, ours)
				}
			}
		}
	}
}
