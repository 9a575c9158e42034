package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/internal/tape"
)

// A Reader answers questions from the cluster. What was stored in the last second or so (index.refresh_interval) is in no
// search yet; Get finds it.
//
// Answers are those of the SQLite store, but for these: a keyword, and a value in a free object, of more than 4096
// characters is not searched and not sorted by; details.x.exists does not see that details.x is an object; and where the
// cluster has no pattern tokeniser (see Setup.Exact), full text differs as phrase.query says.
type Reader struct {
	model  *activity.Model
	target target
	client *client
	groups portions

	replies *sync.Pool // of *reply
}

var _ search.Store = (*Reader)(nil)

// maxIdle is how many connections to a node are kept for the next questions. Concurrency is of what is written.
const maxIdle = 32

// OpenReader prepares for questions about the kinds of m, nil for the built-in ones. It connects to nothing yet.
func OpenReader(c Config, m *activity.Model) (*Reader, error) {
	cl, err := newClient(c)
	if err != nil {
		return nil, err
	}
	cl.http.MaxIdleConnsPerHost = maxIdle
	return &Reader{m, c.target(m), cl, usual(), &sync.Pool{New: func() any { return &reply{body: make([]byte, 0, firstRoom)} }}}, nil
}

// Close ends the connections.
func (r *Reader) Close() error { return r.client.close() }

// Search returns one page.
func (r *Reader) Search(ctx context.Context, q search.Query) (search.Page, error) {
	var page search.Page
	body, err := r.searchBody(&q)
	if err != nil {
		return page, err
	}
	answer, err := r.ask(ctx, "search", esapi.SearchRequest{
		Index: r.indices(q.Kinds), Body: bytes.NewReader(encode(body)),
		IgnoreUnavailable: yes(), AllowNoIndices: yes(), AllowPartialSearchResults: no(),
	}, nil)
	if err != nil {
		return page, err
	}
	defer r.done(answer)
	t := &answer.tape
	hits := top(t, "hits")
	if total := member(t, hits, "total"); total != 0 {
		page.Total, page.TotalAtLeast = integer(t, member(t, total, "value")), text(t, member(t, total, "relation")) == "gte"
	}
	found := elements(t, member(t, hits, "hits"))
	order := q.Order()
	// One document more than the page has says that there is a next one. Where the window ends with the page it is not known.
	if n := q.PageSize(); len(found) > n || len(found) == n && pageSize(&q) == n {
		found = found[:n]
		values, err := cursorValues(r.model, order, sortOf(t, found[n-1]))
		if err != nil {
			return page, err
		}
		page.Next = search.EncodeCursor(r.model, order, values)
	}
	page.Items, err = documents(t, found, q.Fields)
	return page, err
}

// documents copies the documents of hits, or fields of them, into memory of their own.
func documents(t *tape.Tape, hits []uint32, fields []string) ([]json.RawMessage, error) {
	if len(hits) == 0 {
		return nil, nil
	}
	items, size := make([]json.RawMessage, len(hits)), 0
	for i, h := range hits {
		source := member(t, h, "_source")
		if source == 0 {
			return nil, fmt.Errorf("search: %w", errAnswer)
		}
		items[i] = t.Raw(&t.Nodes[source])
		size += len(items[i])
	}
	if len(fields) > 0 {
		return selectAll(items, fields)
	}
	all := make([]byte, 0, size)
	for i, item := range items {
		at := len(all)
		all = append(all, item...)
		items[i] = all[at:len(all):len(all)]
	}
	return items, nil
}

// selectAll puts the fields of documents in their place.
func selectAll(items []json.RawMessage, fields []string) (_ []json.RawMessage, err error) {
	selector := search.NewSelector(fields)
	for i, item := range items {
		if items[i], err = selector.Select(item); err != nil {
			return nil, fmt.Errorf("search: a stored document: %w", err)
		}
	}
	return items, nil
}

// Count counts what matches.
func (r *Reader) Count(ctx context.Context, q search.Query) (int64, error) {
	query, err := r.queryOf(&q)
	if err != nil {
		return 0, err
	}
	answer, err := r.client.call(ctx, "count", esapi.CountRequest{
		Index: r.indices(q.Kinds), Body: bytes.NewReader(encode(object{"query": query})), IgnoreUnavailable: yes(), AllowNoIndices: yes(),
	})
	if err != nil {
		return 0, question(err)
	}
	var got struct {
		Count  int64 `json:"count"`
		Shards struct {
			Failed int `json:"failed"`
		} `json:"_shards"`
	}
	if json.Unmarshal(answer, &got) != nil {
		return 0, fmt.Errorf("count: %w", errAnswer)
	}
	if got.Shards.Failed > 0 {
		return 0, fmt.Errorf("count: %d shards did not answer: look at the cluster's health", got.Shards.Failed)
	}
	return got.Count, nil
}

// Get returns a document, also one that no search finds yet.
func (r *Reader) Get(ctx context.Context, id ulid.ULID) (json.RawMessage, error) {
	found, err := r.find(ctx, id)
	return found.Source, err
}

// find looks in the indices of the id's time, where it also finds what no search finds yet, and then in all: a document is
// in the index of its own time, which a given id need not have, and the periods may have been others once.
func (r *Reader) find(ctx context.Context, id ulid.ULID) (located, error) {
	var keys []docKey
	for _, k := range r.model.Kinds() {
		name := r.target.appendIndex(nil, k, ulid.Time(id.Time()).UnixNano())
		keys = append(keys, docKey{string(name), id.String()})
	}
	docs, err := r.client.mget(ctx, "read a document", keys)
	if err != nil {
		return located{}, err
	}
	if i := slices.IndexFunc(docs, func(d located) bool { return d.Source != nil }); i >= 0 {
		return docs[i], nil
	}
	q := search.Query{Where: []search.Condition{{Field: activity.ID, Values: []any{id.String()}}}}
	query, err := r.queryOf(&q)
	if err != nil {
		return located{}, err
	}
	answer, err := r.client.call(ctx, "read a document", esapi.SearchRequest{
		Index: r.indices(nil), Body: bytes.NewReader(encode(object{"query": query, "size": 1, "seq_no_primary_term": true})),
		IgnoreUnavailable: yes(), AllowNoIndices: yes(), AllowPartialSearchResults: no(),
	})
	if err != nil {
		return located{}, question(err)
	}
	var got struct {
		TimedOut bool `json:"timed_out"`
		Hits     struct {
			Hits []located `json:"hits"`
		} `json:"hits"`
	}
	if json.Unmarshal(answer, &got) != nil || got.TimedOut {
		return located{}, fmt.Errorf("read a document: %w", errAnswer)
	}
	if len(got.Hits.Hits) == 0 {
		return located{}, search.ErrNotFound
	}
	return got.Hits.Hits[0], nil
}

// indices are the names to ask for the kinds. The families are named, not prefix-*, under which others may keep theirs.
func (r *Reader) indices(kinds []activity.Kind) []string {
	if len(kinds) == 0 {
		kinds = r.model.Kinds()
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = r.target.prefix + "-" + r.model.Family(k) + "-*"
	}
	return names
}

// named asks for the kinds by their name, where the names of indices do not tell them for sure: that of a declared kind may
// begin as another's does. nil is no question.
func (r *Reader) named(kinds []activity.Kind) object {
	if len(kinds) == 0 || len(r.model.CustomNames()) == 0 {
		return nil
	}
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = r.model.KindName(k)
	}
	return object{"terms": object{activity.KindField.Name(): names}}
}

func yes() *bool { b := true; return &b }
func no() *bool  { return new(bool) }

// question corrects the advice of an error: a 400 is our question's fault.
func question(err error) error {
	var e *Error
	if errors.As(err, &e) && e.Status == http.StatusBadRequest {
		return &questionError{e}
	}
	return err
}

// A questionError is a question that Elasticsearch refuses.
type questionError struct{ refusal *Error }

func (e *questionError) Error() string {
	return fmt.Sprintf("%s: Elasticsearch does not understand the question (%s): were the indices made without `activity-agent setup`?", e.refusal.Op, e.refusal.Type)
}

func (e *questionError) Unwrap() error { return e.refusal }

// pageSize is how many documents to ask for: one more than the page, as far as the window goes.
func pageSize(q *search.Query) int {
	return min(q.PageSize()+1, search.MaxWindow-q.Offset)
}

// searchBody is the body of the search for one page.
func (r *Reader) searchBody(q *search.Query) (object, error) {
	query, err := r.queryOf(q)
	if err != nil {
		return nil, err
	}
	order := q.Order()
	sort := make([]object, len(order))
	for i, k := range order {
		sort[i] = object{r.model.FieldName(k.Field): sortKey(r.model.FieldType(k.Field), k.Descending)}
	}
	body := object{"query": query, "sort": sort, "size": pageSize(q), "track_total_hits": search.MaxTotal}
	if q.SkipTotal {
		body["track_total_hits"] = false
	}
	if q.Offset > 0 {
		body["from"] = q.Offset
	}
	if q.Cursor != "" {
		values, err := search.DecodeCursor(r.model, order, q.Cursor)
		if err != nil {
			return nil, err
		}
		body["search_after"] = sortValues(r.model, order, values)
	}
	return body, nil
}

// queryOf translates everything of q but its order and page, and the kinds that the indices stand for.
func (r *Reader) queryOf(q *search.Query) (object, error) {
	if _, err := search.ParseText(q.Text); err != nil {
		return nil, err
	}
	must, not := r.conditions(q.Where)
	if of := r.named(q.Kinds); of != nil {
		must = append(must, of)
	}
	if span := period(q); len(span) > 0 {
		must = append(must, object{"range": object{"@timestamp": span}})
	}
	if len(q.Either) > 0 {
		must = append(must, r.anyOf(q.Either))
	}
	for _, p := range phrases(q.Text) {
		if p.not {
			not = append(not, p.query(r.model))
		} else {
			must = append(must, p.query(r.model))
		}
	}
	return object{"bool": object{"filter": must, "must_not": not}}, nil
}

// conditions are the queries that must hold, and those that must not.
func (r *Reader) conditions(where []search.Condition) (must, not []object) {
	must, not = []object{}, []object{}
	for i := range where {
		c, negative := r.condition(&where[i])
		if negative {
			not = append(not, c)
		} else {
			must = append(must, c)
		}
	}
	return must, not
}

func (r *Reader) anyOf(groups [][]search.Condition) object {
	ways := make([]object, len(groups))
	for i, group := range groups {
		must, not := r.conditions(group)
		ways[i] = object{"bool": object{"filter": must, "must_not": not}}
	}
	return either(ways...)
}

func period(q *search.Query) object {
	span := object{}
	if !q.From.IsZero() {
		span["gte"] = instant(q.From)
	}
	if !q.To.IsZero() {
		span["lt"] = instant(q.To)
	}
	return span
}

func instant(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// condition translates one condition; negative says that it must not hold.
func (r *Reader) condition(c *search.Condition) (query object, negative bool) {
	name := r.model.FieldName(c.Field)
	if c.Field == activity.Amendments {
		name = activity.UpdatedAt.Name() // the list is not indexed; this is set whenever it is
	}
	if c.Path != "" {
		name += "." + c.Path
	}
	values := make([]any, len(c.Values))
	for i, v := range c.Values {
		values[i] = v
		if t, ok := v.(time.Time); ok {
			values[i] = instant(t)
		}
	}
	switch c.Op {
	case search.Any:
		return object{"terms": object{name: values}}, false
	case search.Exists:
		return object{"exists": object{"field": name}}, values[0] == false
	case search.Prefix:
		return object{"prefix": object{name: object{"value": values[0]}}}, false
	}
	sign := map[search.Op]string{search.GTE: "gte", search.LTE: "lte", search.GT: "gt", search.LT: "lt"}[c.Op]
	return object{"range": object{name: object{sign: values[0]}}}, false
}
