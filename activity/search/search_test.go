package search

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	"github.com/truledgr/activity-agent/activity"
)

var now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse(nil, map[string][]string{
		"kind": {"auth-event,api_transaction"}, "from": {"-24h"}, "to": {"2026-03-04"}, "q": {"a b"}, "limit": {"5"},
		"offset": {"10"}, "fields": {"id,service,details.x"}, "sort": {"-status_code", "user_id"},
		"user_id": {"ann", "bob"}, "status_code.gte": {"500"}, "success": {"false"}, "details.a.b": {"7"},
		"details.gte": {"1"}, "tags.exists": {"true"}, "execution_time_ms.lt": {"1.5"}, "created_at.gt": {"2026-01-02T03:04:05.000000001Z"},
	}, nil, now)
	if err != nil {
		t.Fatal(err)
	}
	want := Query{
		Kinds: []activity.Kind{activity.AuthEvent, activity.APITransaction},
		From:  now.Add(-24 * time.Hour), To: time.Date(2026, 3, 5, 0, 0, 0, 0, time.UTC), Text: "a b", Limit: 5, Offset: 10,
		Fields: []string{"id", "service", "details.x"},
		Sort:   []SortKey{{activity.StatusCode, true}, {activity.UserID, false}},
		Where: []Condition{
			{activity.CreatedAt, "", GT, []any{time.Date(2026, 1, 2, 3, 4, 5, 1, time.UTC)}},
			{activity.Details, "a.b", Any, []any{"7"}},
			{activity.Details, "gte", Any, []any{"1"}},
			{activity.ExecutionTimeMS, "", LT, []any{1.5}},
			{activity.StatusCode, "", GTE, []any{int64(500)}},
			{activity.Success, "", Any, []any{false}},
			{activity.Tags, "", Exists, []any{true}},
			{activity.UserID, "", Any, []any{"ann", "bob"}},
		},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestParseNamesTheParameterAndTheRemedy(t *testing.T) {
	t.Parallel()
	for params, want := range map[string]string{
		"usr_id=x":                            `usr_id: there is no such field; did you mean "user_id"?`,
		"limt=5":                              `limt: there is no such field; did you mean "limit"?`,
		"zzzzzzzzzzzzzz=5":                    `zzzzzzzzzzzzzz: there is no such field`,
		"kind=auth":                           `kind: is not a kind; the kinds are activity, api_transaction`,
		"kind=system_event&status_code=1":     `status_code: status_code is a field of api_transaction, data_access, data_change, auth_event, external_api, not of system_event`,
		"status_code=abc":                     `status_code: must be an integer`,
		"status_code.gte=":                    `status_code.gte: must be an integer`,
		"execution_time_ms=NaN":               `execution_time_ms: must be a number`,
		"success=maybe":                       `success: must be true or false`,
		"user_id.gte=a":                       `user_id.gte: only numbers and dates have ranges`,
		"user_id.exists=x":                    `user_id.exists: must be true or false`,
		"status_code.prefix=5":                `status_code.prefix: only keywords have prefixes`,
		"status_code.gte=1&status_code.gte=2": `status_code.gte: takes one value`,
		"description=x":                       `description: description is text: search it with q=`,
		"details=x":                           `details: details is not a single value: ask for details.exists`,
		"details.=x":                          `details.: there is no such field; did you mean "details"?`,
		"ip_address=10.0.0.300":               `ip_address: must be an IPv4 or IPv6 address`,
		"event.outcome=won":                   `event.outcome: must be one of success, failure, unknown`,
		"event.category=web&event.category=x": `event.category: must be one of api, authentication`,
		"id=5":                                `id: must be a ULID of 26 characters`,
		"from=yesterday":                      `from: must be a time such as`,
		"from=2026-01-02&to=2026-01-01":       `to: is not after from=`,
		"limit=0":                             `limit: must be a number from 1 to 1000`,
		"limit=1001":                          `limit: must be a number from 1 to 1000`,
		"offset=9950":                         `offset: offset + limit may be 10000 at most: go on with cursor= from there`,
		"offset=1&cursor=x":                   `offset: cannot be combined with cursor=`,
		"sort=details":                        `sort: details cannot be sorted by`,
		"sort=-user":                          `sort: there is no such field`,
		"fields=nope":                         `fields: there is no such field`,
		`q="a`:                                `q: a quotation mark is not closed`,
		"q=--":                                `q: has no letter or digit to search for`,
	} {
		values := map[string][]string{}
		for p := range strings.SplitSeq(params, "&") {
			k, v, _ := strings.Cut(p, "=")
			values[k] = append(values[k], v)
		}
		_, err := Parse(nil, values, nil, now)
		var p *ParamError
		if err == nil || !strings.HasPrefix(err.Error(), want) || !errors.As(err, &p) {
			t.Errorf("%s: got %v, want %s", params, err, want)
		}
	}
}

func TestParseReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := Parse(nil, map[string][]string{"limit": {"x"}, "offset": {"y"}, "nonsense": {"z"}}, nil, now)
	if got := strings.Count(fmt.Sprint(err), "\n"); got != 2 {
		t.Errorf("got %v, want three lines", err)
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]time.Time{
		"now": now, "-24h": now.Add(-24 * time.Hour), "-7d": now.AddDate(0, 0, -7), "+2w": now.AddDate(0, 0, 14), "-1h30m": now.Add(-90 * time.Minute),
		"2026-01-02":                          time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC),
		"2026-01-02T03:04:05.123456789+02:00": time.Date(2026, 1, 2, 1, 4, 5, 123456789, time.UTC),
		"2026-01-02 03:04:05":                 time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		"2026-01-02T03:04":                    time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC),
	} {
		if got, err := ParseTime(in, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: got %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-", "+", "24h", "2026-13-01", "-999999999d", "-d", "1700000000"} {
		if got, err := ParseTime(in, now); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
}

func TestAppendWords(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":             "",
		" ... ":        "",
		"Hello, World": "hello world ",
		"user_login":   "user login ",
		"10.0.0.1":     "10 0 0 1 ",
		"Café ÀÉÎÕÜ Ærø ÑñŞş Žižek": "cafe aeiou æro nnss zizek ",
		"e\u0301te\u0301":           "ete ",
		"ПРИВЕТ ½ Ⅷ":                "привет ½ ⅷ ",
		"a\xffb\x00c":               "a b c ",
		"हिन्दी":                    "हिन्दी ",
		strings.Repeat("x", 400):    strings.Repeat("x", MaxWord) + " ",
		strings.Repeat("ж", 400):    strings.Repeat("ж", MaxWord/2) + " ",
	} {
		if got := string(AppendWords(nil, in)); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestLatinTableCoversItsRange(t *testing.T) {
	t.Parallel()
	if len(latin) != 0x180-0xC0 {
		t.Fatalf("the table has %d letters, want %d", len(latin), 0x180-0xC0)
	}
	for r, want := range map[rune]rune{'À': 'a', 'Ç': 'c', 'ß': 'ß', 'ÿ': 'y', 'Ā': 'a', 'đ': 'd', 'Ğ': 'g', 'İ': 'i', 'ı': 'i', 'Ķ': 'k',
		'Ł': 'l', 'ń': 'n', 'Ŋ': 'ŋ', 'Œ': 'œ', 'ř': 'r', 'Š': 's', 'ť': 't', 'ů': 'u', 'Ŷ': 'y', 'Ÿ': 'y', 'ž': 'z', 'ſ': 'ſ', 'Þ': 'þ', '×': '×'} {
		if got := fold(r); got != want {
			t.Errorf("%c: got %c, want %c", r, got, want)
		}
	}
}

// Words are lower case, stay as they are when taken again, and do not depend on what is around them.
func TestWordsAreStable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.String().Draw(t, "text")
		once := AppendWords(nil, in)
		if !utf8.Valid(once) {
			t.Fatalf("%q: not UTF-8", once)
		}
		if twice := AppendWords(nil, once); string(twice) != string(once) {
			t.Fatalf("%q becomes %q", once, twice)
		}
		if both := AppendWords(nil, in+" "+in); string(both) != string(once)+string(once) {
			t.Fatalf("%q twice becomes %q", once, both)
		}
	})
}

func TestParseText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Text{
		"":                 {},
		"a B":              {Must: []Phrase{{"a"}, {"b"}}},
		`"a b" -c -"d e"`:  {Must: []Phrase{{"a", "b"}}, Not: []Phrase{{"c"}, {"d", "e"}}},
		"/api/v1 x-y":      {Must: []Phrase{{"api", "v1"}, {"x", "y"}}},
		`a"b c`:            {Must: []Phrase{{"a", "b"}, {"c"}}},
		`a - b ""`:         {Must: []Phrase{{"a"}, {"b"}}},
		"  tab\tnewline\n": {Must: []Phrase{{"tab"}, {"newline"}}},
	} {
		got, err := ParseText(in)
		if err != nil || !cmp.Equal(got, want) {
			t.Errorf("%q: got %v, %v, want %v", in, got, err, want)
		}
	}
}

func TestCursorKeepsValues(t *testing.T) {
	t.Parallel()
	order := []SortKey{{activity.Timestamp, true}, {activity.UserID, false}, {activity.ExecutionTimeMS, false}, {activity.StatusCode, true}, {activity.ID, true}}
	want := []any{int64(1767323045123456789), nil, 0.1, int64(-5), ulid.ULID{1}.String()}
	c := EncodeCursor(nil, order, want)
	got, err := DecodeCursor(nil, order, c)
	if err != nil || !cmp.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if _, err := DecodeCursor(nil, order[:1], c); err == nil || !strings.Contains(err.Error(), "another sort order") {
		t.Errorf("another order: got %v", err)
	}
	for _, bad := range []string{"x", "!", "e30", EncodeCursor(nil, order, want[:2]), EncodeCursor(nil, order, []any{"a", "b", "c", "d", "e"}),
		EncodeCursor(nil, order, []any{nil, nil, nil, nil, ulid.ULID{1}.String()})} {
		if _, err := DecodeCursor(nil, order, bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestOrderEndsWithTheID(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "-@timestamp,-id", "user_id": "user_id,-id", "id": "id", "-id,user_id": "-id"} {
		q, err := Parse(nil, map[string][]string{"sort": {in}}, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		if got := FormatSort(nil, q.Order()); got != want {
			t.Errorf("%q: got %s, want %s", in, got, want)
		}
	}
}

// What Params writes, Parse reads.
func TestParamsAreThoseOfTheQuestion(t *testing.T) {
	t.Parallel()
	for _, in := range []map[string][]string{
		{}, {"kind": {"auth_event,data_change"}, "user_id": {"a,b", "c"}, "status": {""}},
		{"status_code.gte": {"500"}, "status_code.lt": {"600"}, "execution_time_ms.gt": {"0.25"}, "success": {"true"}, "tags.exists": {"false"}},
		{"from": {"-24h"}, "to": {"2026-12-02"}, "q": {`"a b" -c`}, "sort": {"-status_code,user_id"}, "fields": {"id,service.name,details.x"}},
		{"details.x.y": {"z"}, "details.x.gte": {"1"}, "details.x.exists": {"true"}, "endpoint.prefix": {"/a"}, "created_at.lte": {"2026-01-02T03:04:05.123456789Z"}},
		{"limit": {"7"}, "offset": {"3"}}, {"cursor": {"abc"}}, {"ip_address": {"::1"}, "id": {ulid.ULID{1}.String()}},
	} {
		want, err := Parse(nil, in, nil, now)
		if err != nil {
			t.Fatal(err)
		}
		params, err := want.Params()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(nil, params, nil, now.Add(time.Hour))
		slices.SortFunc(got.Where, func(a, b Condition) int { return strings.Compare(a.name(a.Field.Name()), b.name(b.Field.Name())) })
		slices.SortFunc(want.Where, func(a, b Condition) int { return strings.Compare(a.name(a.Field.Name()), b.name(b.Field.Name())) })
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%v became %v (%v): %s", in, params, err, diff)
		}
	}
	same := Condition{Field: activity.UserID, Values: []any{"a"}}
	if _, err := (&Query{Where: []Condition{same, same}}).Params(); err == nil {
		t.Error("two conditions of one name were taken for one")
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	const doc = `{"id":"1","service":{"name":"a\"b","version":"2"},"details":{"x":[1,{"y":2}],"p.q":"z","d":{"e":null}},"n":1.50}`
	for fields, want := range map[string]string{
		"":                      doc,
		"id":                    `{"id":"1"}`,
		"n,id":                  `{"id":"1","n":1.50}`,
		"service":               `{"service":{"name":"a\"b","version":"2"}}`,
		"service.name":          `{"service":{"name":"a\"b"}}`,
		"details.x,details.d.e": `{"details":{"x":[1,{"y":2}],"d":{"e":null}}}`,
		"details.p.q":           `{"details":{"p.q":"z"}}`,
		"nothing,details.x.y":   `{}`,
		"details,details.x":     `{"details":{"x":[1,{"y":2}],"p.q":"z","d":{"e":null}}}`,
	} {
		got, err := Select([]byte(doc), slices.DeleteFunc(strings.Split(fields, ","), func(s string) bool { return s == "" }))
		if err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", fields, got, err, want)
		}
	}
}

// pages is a store of n items that answers by offset hidden in the cursor.
type pages struct {
	Store
	n     int
	calls int
}

func (p *pages) Search(_ context.Context, q Query) (Page, error) {
	p.calls++
	from, page := len(q.Cursor), Page{}
	for i := from; i < p.n && len(page.Items) < q.PageSize(); i++ {
		page.Items = append(page.Items, json.RawMessage("1"))
	}
	if next := from + len(page.Items); next < p.n {
		page.Next = strings.Repeat("x", next)
	}
	return page, nil
}

func TestEachWalksAllPages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ n, max, want, calls int }{{0, 0, 0, 1}, {2500, 0, 2500, 4}, {2500, 10, 10, 1}, {2500, 2000, 2000, 3}, {5, 10, 5, 1}} {
		s, got := &pages{n: tt.n}, 0
		if err := Each(context.Background(), s, Query{}, tt.max, func(json.RawMessage) error { got++; return nil }); err != nil {
			t.Fatal(err)
		}
		if got != tt.want || s.calls != tt.calls {
			t.Errorf("%d of %d: got %d in %d calls, want %d in %d", tt.max, tt.n, got, s.calls, tt.want, tt.calls)
		}
	}
	stop := errors.New("stop")
	if err := Each(context.Background(), &pages{n: 5}, Query{}, 0, func(json.RawMessage) error { return stop }); err != stop {
		t.Errorf("got %v, want the caller's error", err)
	}
}

func BenchmarkAppendWords(b *testing.B) {
	text := []byte(strings.Repeat("POST /api/v1/orders/4711 failed: upstream timed out after 30s (request_id=req-9f3a). ", 4))
	b.SetBytes(int64(len(text)))
	var dst []byte
	for b.Loop() {
		dst = AppendWords(dst[:0], text)
	}
}
