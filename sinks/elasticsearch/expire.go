package elasticsearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/truledgr/activity-agent/sinks"
)

var _ sinks.Expirer = (*Sink)(nil)

// Expired returns an index all of whose period is over a limit. An index counts as ours if it has our alias, as the
// templates give it, and a name that appendIndex makes, whatever the period is today: no other is ever deleted. Where the
// cluster does it (expiry), there is nothing to delete.
func (s *Sink) Expired(ctx context.Context, limits []sinks.Limit) (sinks.Expired, bool, error) {
	if s.c.Expiry != ExpiryAgent {
		return sinks.Expired{}, false, nil
	}
	names, err := s.client.indices(ctx, "look for expired indices", s.own.prefix)
	if err != nil {
		return sinks.Expired{}, false, explained(err)
	}
	for _, l := range limits {
		for _, name := range names {
			since, until, ours := s.own.covers(name, s.model.Family(l.Kind))
			if !ours || until.After(l.Before) {
				continue
			}
			x := sinks.Expired{Kind: s.model.KindName(l.Kind), Index: name, Before: until, Since: since}
			if x.Records, err = s.client.count(ctx, name); err != nil {
				return x, false, err
			}
			return x, true, nil
		}
	}
	return sinks.Expired{}, false, nil
}

// Delete deletes an index, in one step.
func (s *Sink) Delete(ctx context.Context, x sinks.Expired) (sinks.Progress, error) {
	if strings.ContainsAny(x.Index, "*?,<") || !strings.HasPrefix(x.Index, s.own.prefix+"-") {
		return sinks.Gone, nil // of a target before; the next look finds what is to go now
	}
	_, err := s.client.call(ctx, "delete the expired index "+x.Index, esapi.IndicesDeleteRequest{Index: []string{x.Index}, ExpandWildcards: "none"})
	var e *Error
	switch {
	case err == nil:
		return sinks.Deleted, nil
	case errors.As(err, &e) && e.Type == "index_not_found_exception":
		return sinks.Gone, nil
	}
	return sinks.More, explained(err)
}

// indices returns the names of all indices that have the alias.
func (c *client) indices(ctx context.Context, op, alias string) ([]string, error) {
	answer, err := c.call(ctx, op, esapi.IndicesGetAliasRequest{Index: []string{alias + "-*"}, Name: []string{alias}})
	if e := (*Error)(nil); errors.As(err, &e) && e.Status == http.StatusNotFound {
		return nil, nil // there is no such alias yet
	} else if err != nil {
		return nil, err
	}
	var byName map[string]json.RawMessage
	if json.Unmarshal(answer, &byName) != nil {
		return nil, fmt.Errorf("%s: %w", op, errAnswer)
	}
	return slices.Sorted(maps.Keys(byName)), nil
}

// count returns how many documents an index has; -1 where the cluster does not say.
func (c *client) count(ctx context.Context, index string) (int64, error) {
	answer, err := c.call(ctx, "count an expired index", esapi.IndicesStatsRequest{Index: []string{index}, Metric: []string{"docs"}})
	if e := (*Error)(nil); errors.As(err, &e) && (e.Status == http.StatusForbidden || e.Status == http.StatusNotFound) {
		return -1, nil // the count is not worth a privilege
	} else if err != nil {
		return 0, err
	}
	var got struct {
		All struct {
			Primaries struct {
				Docs struct{ Count int64 }
			}
		} `json:"_all"`
	}
	if json.Unmarshal(answer, &got) != nil {
		return -1, nil
	}
	return got.All.Primaries.Docs.Count, nil
}

// explained says which privileges deleting takes, where one is missing.
func explained(err error) error {
	if e := (*Error)(nil); errors.As(err, &e) && e.Status == http.StatusForbidden {
		return fmt.Errorf("%s: Elasticsearch answered 403: the API key or user lacks a privilege: deleting what has expired takes "+
			"delete_index, view_index_metadata and monitor on the indices, and on their alias; grant them, or set store.elasticsearch.expiry to cluster", e.Op)
	}
	return err
}

// covers returns the period of an index of ours of a family; false for any other name.
func (t target) covers(name, family string) (since, until time.Time, ours bool) {
	date, ok := strings.CutPrefix(name, t.prefix+"-"+family+"-")
	if !ok {
		return since, until, false
	}
	period := "month"
	switch year, week, weekly := strings.Cut(date, ".w"); {
	case weekly:
		period = "week"
		n, _ := strconv.Atoi(week)
		first, _ := time.Parse("2006-01-02", year+"-01-04") // is in the first week of the year, which begins on a Monday
		since = first.AddDate(0, 0, 7*(n-1)-(int(first.Weekday())+6)%7)
		until = since.AddDate(0, 0, 7)
	case strings.Count(date, ".") == 2:
		period = "day"
		since, _ = time.Parse("2006.01.02", date)
		until = since.AddDate(0, 0, 1)
	default:
		since, _ = time.Parse("2006.01", date)
		until = since.AddDate(0, 1, 0)
	}
	return since, until, string(appendPeriod(nil, period, since)) == date // not so for what could not be read
}
