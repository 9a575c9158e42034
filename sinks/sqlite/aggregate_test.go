package sqlite

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

func TestADigestIsExactForFewAndNearForMany(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 1))
	for name, next := range map[string]func() float64{
		"latencies": func() float64 { return math.Exp(3 * r.NormFloat64()) },
		"signed":    func() float64 { return 1e6 * r.NormFloat64() },
		"mostly 0":  func() float64 { return max(0, r.NormFloat64()) },
		"tiny":      func() float64 { return 1e-300 * r.Float64() },
		"huge":      func() float64 { return 1e300 * r.Float64() },
	} {
		for _, n := range []int{1, 2, 1000, exactly, exactly + 1, 200_000} {
			var d digest
			var all []float64
			for range n {
				x := next()
				d.add(x)
				all = append(all, x)
			}
			slices.Sort(all)
			for _, p := range []float64{0, 0.1, 25, 50, 95, 99.99, 100} {
				rank := p / 100 * float64(n-1)
				low, high := all[int(rank)], all[min(int(rank)+1, n-1)]
				if n > exactly {
					low, high = low-math.Abs(low)/100, high+math.Abs(high)/100
				}
				if got := d.percentile(p); got < low || got > high {
					t.Errorf("%s: p%v of %d is %v, want %v to %v", name, p, n, got, low, high)
				}
			}
			if len(d.exact)+len(d.buckets) > exactly {
				t.Errorf("%s: %d numbers are kept as %d", name, n, len(d.exact)+len(d.buckets))
			}
		}
	}
}

// TestALongAggregationEndsWithItsContext: nobody waits for what nobody wants any more.
func TestALongAggregationEndsWithItsContext(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	write(t, s, series(activity.Plain, 0, 5000)...)
	r := mustRead(t, path)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	as := make([]search.Aggregation, 9)
	for i := range as {
		as[i] = search.Aggregation{By: []search.Term{{Field: activity.ID}, {Field: activity.Details, Path: fmt.Sprint("x", i)}}}
	}
	if _, err := r.Aggregate(ctx, search.Query{}, as...); err == nil {
		t.Error("an aggregation of a request that ended went on")
	}
	ctx, cancel = context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := r.Aggregate(ctx, search.Query{}, as...); err == nil {
		t.Errorf("took %v, and its time was over after one millisecond", time.Since(began))
	}
}

// TestATotalLooksAtSomeRows: what it says beyond is a lower bound.
func TestATotalLooksAtSomeRows(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	for n := range 40 {
		write(t, s, document(activity.Plain, n, day0.Add(time.Duration(n)*time.Minute), fmt.Sprintf(`"status":"s%d"`, n/10)))
	}
	r := mustRead(t, path)
	r.looks = 15
	for _, tc := range []struct {
		status  string
		from    int
		total   int64
		atLeast bool
	}{
		{"s3", 0, 10, true},   // the newest
		{"s2", 0, 10, true},   // five are looked at, and ten are on the page
		{"s3", 20, 10, true},  // twenty are in the time
		{"s3", 28, 10, false}, // twelve
	} {
		q := search.Query{Where: []search.Condition{{Field: activity.Status, Values: []any{tc.status}}}, From: day0.Add(time.Duration(tc.from) * time.Minute)}
		p, err := r.Search(context.Background(), q)
		if err != nil || p.Total != tc.total || p.TotalAtLeast != tc.atLeast || len(p.Items) != 10 {
			t.Errorf("%+v: got %d, %v of %d items, %v", tc, p.Total, p.TotalAtLeast, len(p.Items), err)
		}
		if n, err := r.Count(context.Background(), q); n != 10 || err != nil {
			t.Errorf("counted %d, %v", n, err)
		}
	}
}
