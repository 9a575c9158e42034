package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

// settle looks at the documents that have the ids of sl.taken. One that is the same makes ours a duplicate; where it
// differs, ours gets an id of our own and goes into sl.due, to be sent again.
func (s *Sink) settle(ctx context.Context, sl *slot, b *pipeline.Batch, results []sinks.Result) error {
	taken := sl.taken
	sl.due = sl.due[:0]
	keys := make([]docKey, len(taken))
	for n, i := range taken {
		r := &b.Records[i]
		keys[n] = docKey{string(sl.names.of(sl.target, r.Kind, r.Time)), r.ID.String()}
	}
	docs, err := s.client.mget(ctx, "compare documents whose given id is taken", keys)
	if err != nil {
		return err
	}
	var gone int
	for n, i := range taken {
		switch same, err := pipeline.SameActivity(b.Doc(i), docs[n].Source); {
		case docs[n].Source == nil:
			gone++ // deleted since: it can be stored the next time
		case err == nil && same:
			results[i] = sinks.Result{Verdict: sinks.Duplicate}
		case b.Rekey(i):
			results[i].Reason = ownID
			sl.due = append(sl.due, i)
		default:
			results[i] = sinks.Result{Verdict: sinks.Rejected, Reason: "id_conflict"}
		}
	}
	if gone > 0 {
		return fmt.Errorf("store documents: %d whose id was taken are gone; they are sent again", gone)
	}
	return nil
}

type docKey struct {
	Index string `json:"_index"`
	ID    string `json:"_id"`
}

// A located document is one with its place and version in the cluster.
type located struct {
	Index       string          `json:"_index"`
	SeqNo       int             `json:"_seq_no"`
	PrimaryTerm int             `json:"_primary_term"`
	Source      json.RawMessage `json:"_source"` // nil where it is not there
}

// mget gets documents, those included that no search finds yet.
//
// Answers that hold documents are never filtered: that would write them anew, and a document is signed as it was sent.
func (c *client) mget(ctx context.Context, op string, keys []docKey) ([]located, error) {
	body, err := json.Marshal(map[string]any{"docs": keys})
	if err != nil {
		return nil, err
	}
	answer, err := c.call(ctx, op, esapi.MgetRequest{Body: bytes.NewReader(body)})
	if err != nil {
		return nil, err
	}
	var got struct {
		Docs []struct {
			located
			Found bool `json:"found"`
			Error struct {
				Type string `json:"type"`
			} `json:"error"`
		} `json:"docs"`
	}
	if json.Unmarshal(answer, &got) != nil || len(got.Docs) != len(keys) {
		return nil, fmt.Errorf("%s: %w", op, errAnswer)
	}
	docs := make([]located, len(keys))
	for i, d := range got.Docs {
		switch {
		case d.Found:
			docs[i] = d.located
		case d.Error.Type != "" && d.Error.Type != "index_not_found_exception":
			return nil, fmt.Errorf("%s: Elasticsearch could not read one of them", op)
		}
	}
	return docs, nil
}
