package elasticsearch

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/truledgr/activity-agent/activity/search"
)

// TestGroupsAreReadAsTheyArrive: in pieces of any size, and however the answer is written, the same groups are found. Those of
// an answer as Elasticsearch writes it are read before its end.
func TestGroupsAreReadAsTheyArrive(t *testing.T) {
	t.Parallel()
	_, a, err := search.ParseAggregation(nil, map[string][]string{"group_by": {"user_id"}, "limit": {"1000"}}, day0)
	if err != nil {
		t.Fatal(err)
	}
	write := func(form string) string {
		var b strings.Builder
		for i := range 300 {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, form, fmt.Sprintf(`%d},{\"key\":{\"0\":\"buckets\":[`, i), i+1)
		}
		return `{"took":1,"timed_out":false,"hits":{"total":{"value":7}},"aggregations":{"0":{"after_key":{"0":"z"},"buckets":[` + b.String() + `]}}}`
	}
	for name, form := range map[string]string{
		"usual": `{"key":{"0":"%s"},"doc_count":%d}`, "spaced": `{ "key": {"0":"%s"}, "doc_count": %d }`, "turned": `{"doc_count":%[2]d,"key":{"0":"%[1]s"}}`,
	} {
		var want search.Table
		for _, least := range []int{1 << 30, 1, 64, 1000} {
			for size := 1; size < 9000; size = size*3/2 + 1 {
				w := &walk{r: &Reader{groups: portions{bytes: least}}, a: &a, picker: search.NewPicker(&a)}
				some := arriving{w: w}
				var r reply
				body, err := readAnswer(make([]byte, 0, size), iotest.DataErrReader(strings.NewReader(write(form))), some.take)
				if err != nil || some.err != nil || r.tape.Parse(body) != nil {
					t.Fatalf("%s: %v, %v: %s", name, err, some.err, body)
				}
				if err := w.show(&r.tape, onlyOne, orderMetric); err != nil {
					t.Fatal(err)
				}
				if got := w.picker.Table(7); len(want.Groups) == 0 {
					want = got
				} else if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("%s in pieces of %d and %d: %s", name, size, least, diff)
				}
				if early := some.shown > 0; early != (name == "usual" && least < 1<<30) {
					t.Errorf("%s in pieces of %d and %d: %d groups were read early", name, size, least, some.shown)
				}
				if w.after(&r.tape, onlyOne, 300-some.shown) == nil || w.after(&r.tape, onlyOne, 301-some.shown) != nil {
					t.Errorf("%s: a page of 300 groups has %d and those", name, some.shown)
				}
			}
		}
		if len(want.Groups) != 300 {
			t.Errorf("%s: %d groups", name, len(want.Groups))
		}
	}
}

// TestABrokenGroupIsAnError, whether it comes early or at the end.
func TestABrokenGroupIsAnError(t *testing.T) {
	t.Parallel()
	_, a, err := search.ParseAggregation(nil, map[string][]string{"group_by": {"user_id"}}, day0)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`{"key":{"0":tru}`, `{"key":{"1":"x"},"doc_count":1}`, `{"key":{},"doc_count":1}`, `{"key":{"0":"x"},"doc_count":1}}`} {
		good := `{"key":{"0":"x"},"doc_count":1}`
		text := `{"timed_out":false,"hits":{},"aggregations":{"0":{"buckets":[` + strings.Join([]string{good, bad, good, good}, ",") + `]}}}`
		w := &walk{r: &Reader{groups: portions{bytes: 1}}, a: &a, picker: search.NewPicker(&a)}
		some := arriving{w: w}
		var r reply
		body, err := readAnswer(nil, io.MultiReader(strings.NewReader(text)), some.take)
		if err != nil {
			t.Fatal(err)
		}
		if some.err == nil && r.tape.Parse(body) == nil && w.show(&r.tape, onlyOne, orderMetric) == nil {
			t.Errorf("%s: no error", bad)
		}
	}
}
