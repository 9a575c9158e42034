package elasticsearch

import (
	"fmt"
	"slices"
	"strconv"
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
	for name, form := range map[string]string{
		"usual": `{"key":{"0":"%s"},"doc_count":%d}`, "spaced": `{ "key": {"0":"%s"}, "doc_count": %d }`, "turned": `{"doc_count":%[2]d,"key":{"0":"%[1]s"}}`,
		"with more": `{"key":{"0":"%s"},"doc_count":%d,"1":{"values":[{"key":1},{"key":2}]}}`,
	} {
		answer := pageOf(form)
		for _, limit := range []int{1000, 5} { // with five, most can be passed over
			want := pagedOf(t, answer, limit, 1<<16, 1<<30)
			if len(want.Groups) != min(limit, 300) {
				t.Errorf("%s: %d groups", name, len(want.Groups))
			}
			for _, least := range []int{1, 64, 1000} {
				for size := 1; size < 9000; size = size*3/2 + 1 {
					if diff := cmp.Diff(want, pagedOf(t, answer, limit, size, least)); diff != "" {
						t.Fatalf("%s in pieces of %d and %d: %s", name, size, least, diff)
					}
				}
			}
		}
	}
}

// pageOf is an answer with 300 groups, whose names try to look like its own parts.
func pageOf(form string) string {
	var b strings.Builder
	for i := range 300 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, form, fmt.Sprintf(`%d},{\"key\":{\"0\":\"buckets\":[},\"doc_count\":9},`, i), 1+i*7919%300)
	}
	return `{"took":1,"timed_out":false,"hits":{"total":{"value":7}},"aggregations":{"0":{"after_key":{"0":"z"},"buckets":[` + b.String() + `]}}}`
}

// pagedOf reads an answer of pageOf that arrives in pieces of some size, and is looked at when there are so many bytes of groups.
func pagedOf(t *testing.T, answer string, limit, size, least int) search.Table {
	t.Helper()
	_, a, err := search.ParseAggregation(nil, map[string][]string{"group_by": {"user_id"}, "limit": {strconv.Itoa(limit)}}, day0)
	if err != nil {
		t.Fatal(err)
	}
	w := &walk{r: &Reader{groups: portions{bytes: least}}, a: &a, picker: search.NewPicker(&a)}
	some := arriving{w: w}
	var r reply
	body, err := readAnswer(make([]byte, 0, size), iotest.DataErrReader(strings.NewReader(answer)), some.take)
	if err != nil || some.err != nil || r.tape.Parse(body) != nil {
		t.Fatalf("in pieces of %d and %d: %v, %v: %s", size, least, err, some.err, body)
	}
	if err := w.show(&r.tape, onlyOne, orderMetric); err != nil {
		t.Fatal(err)
	}
	if usual := strings.Contains(answer, `"},"doc_count":300},`); usual && some.shown == 0 && least < 1<<30 {
		t.Errorf("in pieces of %d and %d: no groups were read early", size, least)
	}
	if w.after(&r.tape, onlyOne, 300-some.shown) == nil || w.after(&r.tape, onlyOne, 301-some.shown) != nil {
		t.Errorf("a page of 300 groups has %d and those", some.shown)
	}
	return w.picker.Table(7)
}

// TestABrokenGroupIsAnError, whether it comes early or at the end.
func TestABrokenGroupIsAnError(t *testing.T) {
	t.Parallel()
	_, a, err := search.ParseAggregation(nil, map[string][]string{"group_by": {"user_id"}, "limit": {"2"}}, day0)
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{`{"key":{"0":tru}},"doc_count":10}`, `{"key":{"0":tru}`, `{"key":{"1":"x"},"doc_count":10}`, `{"key":{},"doc_count":10}`, `{"key":{"0":"x"},"doc_count":1}}`} {
		good := `{"key":{"0":"x"},"doc_count":9}`
		groups := slices.Repeat([]string{good}, 150)
		for range 150 {
			groups = append(groups, `{"key":{"0":"y"},"doc_count":1}`)
		}
		groups = append(groups, good, bad, good, good)
		text := `{"timed_out":false,"hits":{},"aggregations":{"0":{"buckets":[` + strings.Join(groups, ",") + `]}}}`
		for _, size := range []int{16, 300, 1 << 14} {
			w := &walk{r: &Reader{groups: portions{bytes: 1}}, a: &a, picker: search.NewPicker(&a)}
			some := arriving{w: w}
			var r reply
			body, err := readAnswer(make([]byte, 0, size), strings.NewReader(text), some.take)
			if err != nil {
				t.Fatal(err)
			}
			if some.err == nil && r.tape.Parse(body) == nil && w.show(&r.tape, onlyOne, orderMetric) == nil {
				t.Errorf("%s: no error", bad)
			}
		}
	}
}
