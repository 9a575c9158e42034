package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/internal/tape"
)

// What arrives has the sequence numbers of Elasticsearch: each operation on a shard has one, given out by its primary. A
// part is a shard of an index, named by the index without the prefix and the shard's number: auth-event-2026.11/0.
//
// A refresh may show a number before a lower one that was still being indexed: the lower one is a hole until it comes.
// Where a primary is lost, the next one gives out numbers again that were never acknowledged, under a higher term.

var _ search.Follower = (*Reader)(nil)

// part returns the name of a part.
func (r *Reader) part(index string, shard int) string {
	return strings.TrimPrefix(index, r.target.prefix+"-") + "/" + strconv.Itoa(shard)
}

// onShard is the preference that asks one shard of each index. Where no index has it, the answer is of no shards.
func onShard(k int) string { return "_shards:" + strconv.Itoa(k) }

// maxShards bounds the search for the last shard.
const maxShards = 1024

// Parts asks each shard of each index for its last number.
func (r *Reader) Parts(ctx context.Context) (map[string]search.Part, error) {
	answer, err := r.client.call(ctx, "follow", esapi.FieldCapsRequest{
		Index: r.indices(nil), Fields: []string{"_id"}, IgnoreUnavailable: yes(), AllowNoIndices: yes(), FilterPath: []string{"indices"},
	})
	if err != nil {
		return nil, err
	}
	var there struct {
		Indices []string `json:"indices"`
	}
	if len(answer) > 0 && json.Unmarshal(answer, &there) != nil {
		return nil, fmt.Errorf("follow: %w", errAnswer)
	}
	parts := map[string]search.Part{}
	for k := 0; len(there.Indices) > 0 && k < maxShards; k++ {
		var have []string // those that have the shard
		for some := range slices.Chunk(there.Indices, 200) {
			with, err := r.ends(ctx, k, some, parts)
			if err != nil {
				return nil, err
			}
			have = append(have, with...)
		}
		there.Indices = have
	}
	return parts, nil
}

// ends puts the ends of the indices' k-th shards into parts, and returns the indices that have one.
func (r *Reader) ends(ctx context.Context, k int, indices []string, parts map[string]search.Part) ([]string, error) {
	var body bytes.Buffer
	for _, index := range indices {
		body.Write(append(encode(object{"index": index, "preference": onShard(k), "ignore_unavailable": true}), '\n'))
		body.Write(append(encode(object{"size": 1, "sort": []object{{"_seq_no": "desc"}}, "seq_no_primary_term": true, "_source": false, "track_total_hits": false}), '\n'))
	}
	answer, err := r.client.call(ctx, "follow", esapi.MsearchRequest{Body: &body})
	if err != nil {
		return nil, err
	}
	var got struct {
		Responses []followed `json:"responses"`
	}
	if json.Unmarshal(answer, &got) != nil || len(got.Responses) != len(indices) {
		return nil, fmt.Errorf("follow: %w", errAnswer)
	}
	var have []string
	for i, a := range got.Responses {
		if err := a.check(); err != nil {
			return nil, err
		}
		if a.Shards.Total == 0 {
			continue
		}
		have = append(have, indices[i])
		p := search.Part{High: -1}
		for _, h := range a.Hits.Hits {
			p = search.Part{High: h.Seq, Term: h.Term}
		}
		parts[r.part(indices[i], k)] = p
	}
	return have, nil
}

// followed is the answer to a search for numbers.
type followed struct {
	TimedOut bool            `json:"timed_out"`
	Error    json.RawMessage `json:"error"`
	Shards   shards          `json:"_shards"`
	Hits     struct {
		Hits []struct {
			Seq  int64 `json:"_seq_no"`
			Term int64 `json:"_primary_term"`
		} `json:"hits"`
	} `json:"hits"`
}

// shards are those that were asked.
type shards struct {
	Total  int `json:"total"`
	Failed int `json:"failed"`
}

func (s shards) check() error {
	if s.Failed > 0 {
		return fmt.Errorf("follow: %d shards did not answer: look at the cluster's health", s.Failed)
	}
	return nil
}

func (f *followed) check() error {
	if f.TimedOut || f.Error != nil {
		return fmt.Errorf("follow: %w", errAnswer)
	}
	return f.Shards.check()
}

// Arrivals asks the first shard of every index, then the second of those that have one, and so on.
func (r *Reader) Arrivals(ctx context.Context, m *search.Mark, n int) (arrivals []search.Arrival, more bool, err error) {
	for k := range maxShards {
		got, there, err := r.arrivalsOn(ctx, k, m, n)
		if err != nil {
			return nil, false, err
		}
		if !there {
			break
		}
		more = more || len(got) == n
		arrivals = append(arrivals, got...)
	}
	return arrivals, more, nil
}

// amendedAtOnce is how soon after it was taken an activity can be amended without having been visible before.
const amendedAtOnce = time.Minute

// arrivalsOn asks the k-th shards; there says that an index has one.
func (r *Reader) arrivalsOn(ctx context.Context, k int, m *search.Mark, n int) (arrivals []search.Arrival, there bool, err error) {
	answer, err := r.ask(ctx, "follow", esapi.SearchRequest{
		Index: r.indices(nil), Preference: onShard(k), IgnoreUnavailable: yes(), AllowNoIndices: yes(), AllowPartialSearchResults: no(),
		Body: bytes.NewReader(encode(object{
			"query": object{"bool": object{"filter": r.beyond(k, m)}}, "sort": []object{{"_seq_no": "asc"}}, "size": n,
			"seq_no_primary_term": true, "version": true, "track_total_hits": false,
		})),
	}, nil)
	if err != nil {
		return nil, false, err
	}
	defer r.done(answer)
	t := &answer.tape
	var asked shards
	if i := top(t, "_shards"); i == 0 || json.Unmarshal(t.Raw(&t.Nodes[i]), &asked) != nil {
		return nil, false, fmt.Errorf("follow: %w", errAnswer)
	}
	if err := asked.check(); err != nil {
		return nil, false, err
	}
	hits := elements(t, member(t, top(t, "hits"), "hits"))
	arrivals = make([]search.Arrival, len(hits))
	for i, h := range hits {
		arrivals[i] = r.arrival(k, t, h)
	}
	return arrivals, asked.Total > 0, nil
}

// arrival reads a hit on a k-th shard. What is no activity of ours, and no news, has no document.
func (r *Reader) arrival(k int, t *tape.Tape, hit uint32) search.Arrival {
	a := search.Arrival{
		Part: r.part(text(t, member(t, hit, "_index")), k),
		Seq:  integer(t, member(t, hit, "_seq_no")), Term: integer(t, member(t, hit, "_primary_term")),
	}
	id, errID := ulid.ParseStrict(text(t, member(t, hit, "_id")))
	source := member(t, hit, "_source")
	created, errCreated := instantOf(t, member(t, source, "created_at"))
	updated, errUpdated := instantOf(t, member(t, source, "updated_at"))
	a.ID, a.Created = id, created
	if source == 0 || errors.Join(errID, errCreated, errUpdated) != nil {
		return a
	}
	// An amendment writes the document anew; it arrived long before, unless it was amended at once.
	if integer(t, member(t, hit, "_version")) <= 1 || updated.Sub(created) <= amendedAtOnce {
		a.Doc = bytes.Clone(t.Raw(&t.Nodes[source]))
	}
	return a
}

// instantOf is the value of a date; zero where there is none.
func instantOf(t *tape.Tape, i uint32) (time.Time, error) {
	if i == 0 || t.Nodes[i].Type == tape.Null {
		return time.Time{}, nil
	}
	return time.Parse(time.RFC3339Nano, text(t, i))
}

// beyond asks for what the mark does not cover on the k-th shards.
func (r *Reader) beyond(k int, m *search.Mark) object {
	known, ways := []string{}, []object{}
	for name, p := range m.Parts {
		index, shard, _ := strings.Cut(name, "/")
		if shard != strconv.Itoa(k) {
			continue
		}
		index = r.target.prefix + "-" + index
		known = append(known, index)
		numbers := []object{{"range": object{"_seq_no": object{"gt": p.High}}}}
		if len(p.Holes) > 0 {
			holes := make([]int64, len(p.Holes))
			for i, h := range p.Holes {
				holes[i] = h.Seq
			}
			numbers = append(numbers, object{"terms": object{"_seq_no": holes}})
		}
		ways = append(ways, object{"bool": object{"filter": []object{{"term": object{"_index": index}}, either(numbers...)}}})
	}
	other := object{"must_not": []object{{"terms": object{"_index": known}}}}
	if !m.Floor.IsZero() {
		other["filter"] = []object{{"range": object{"created_at": object{"gte": instant(m.Floor)}}}}
	}
	return either(append(ways, object{"bool": other})...)
}
