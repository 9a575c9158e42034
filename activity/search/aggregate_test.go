package search

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
)

// TestAPickerKeepsTheFirst: however many groups come, in whatever order, the first ones stay and the others are counted, also
// those that are passed over.
func TestAPickerKeepsTheFirst(t *testing.T) {
	t.Parallel()
	for _, order := range []GroupOrder{{}, {Ascending: true}, {Key: true}, {Key: true, Ascending: true}} {
		a := &Aggregation{By: []Term{{Field: activity.UserID}}, Limit: 5, Order: order}
		r := rand.New(rand.NewPCG(1, 1))
		var all []Group
		total := int64(0)
		for i := range 1000 {
			all = append(all, Group{Keys: []any{fmt.Sprint(i)}, Count: r.Int64N(50)})
			total += all[i].Count
		}
		p, passed := NewPicker(a), 0
		for _, i := range r.Perm(len(all)) {
			if p.PassOver(all[i].Count) {
				passed++
				continue
			}
			p.Add(all[i])
		}
		got := p.Table(total)
		slices.SortFunc(all, func(x, y Group) int {
			byKey, by := cmp.Compare(x.Keys[0].(string), y.Keys[0].(string)), cmp.Compare(x.Count, y.Count)
			if order.Key {
				by = byKey
			}
			if !order.Ascending {
				by = -by
			}
			return cmp.Or(by, byKey)
		})
		shown := int64(0)
		for i, g := range got.Groups {
			shown += g.Count
			if g.Keys[0] != all[i].Keys[0] {
				t.Errorf("%+v: group %d is %v, want %v", order, i, g, all[i])
			}
		}
		if len(got.Groups) != 5 || got.Left != 995 || got.Other != total-shown {
			t.Errorf("%+v: %d groups, %d left out with %d of %d", order, len(got.Groups), got.Left, got.Other, total)
		}
		if most := order == (GroupOrder{}); most != (passed > 500) {
			t.Errorf("%+v: %d passed over", order, passed)
		}
	}
}

func TestGroupsWithoutAValueComeLast(t *testing.T) {
	t.Parallel()
	at := time.Unix(5, 0)
	for _, ascending := range []bool{true, false} {
		a := &Aggregation{Metrics: []Metric{{Function: Max, Field: activity.Timestamp}}, Order: GroupOrder{Metric: 1, Ascending: ascending}}
		p := NewPicker(a)
		p.Add(Group{Keys: []any{"a"}, Values: []any{nil}})
		p.Add(Group{Keys: []any{"b"}, Values: []any{at}})
		if first := p.Table(0).Groups[0].Keys[0]; first != "b" {
			t.Errorf("ascending %v: %v is first", ascending, first)
		}
	}
}
