package api

import (
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/activity"
)

// TestNoDeclaredKindTakesARoute: the words of routes are reserved, and a declared kind gets a route of its own.
func TestNoDeclaredKindTakesARoute(t *testing.T) {
	t.Parallel()
	for _, rt := range routes(nil) {
		for word := range strings.SplitSeq(rt.path, "/") {
			if word == "" || strings.ContainsAny(word, "{}") || word == "openapi.json" {
				continue
			}
			if _, err := activity.NewModel([]activity.KindConfig{{Name: "payment", Route: word}}); err == nil || !strings.Contains(err.Error(), "is reserved") {
				t.Errorf("%s: %v", word, err)
			}
		}
	}
	m, err := activity.NewModel([]activity.KindConfig{{Name: "card_payment", Fields: []activity.FieldConfig{{Name: "amount", Type: "double"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if text := string(leaves(m)["/openapi.json"].body); !strings.Contains(text, `"/activities/card-payment"`) || !strings.Contains(text, `"amount.gte"`) {
		t.Error("the description has no route of the kind, or no condition on its field")
	}
	if all := routes(m); all[len(all)-1].path != "/activities/card-payment" || len(all) != len(routes(nil))+1 {
		t.Errorf("the last route is %s", all[len(all)-1].path)
	}
}
