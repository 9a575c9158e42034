package elasticsearch

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/estest"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// day0 is when the tests' activities begin.
var day0 = time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)

// idAt makes the id of the n-th activity at t.
func idAt(t time.Time, n int) ulid.ULID {
	return activity.PositionID(t, activity.NewAgentKey("test"), activity.StreamID{}, int64(n), 1)
}

// A testDoc is a document and its record.
type testDoc struct {
	rec  pipeline.Record
	body string
}

// document makes a document of kind k at t with the members in more (JSON, "" for none).
func document(k activity.Kind, n int, t time.Time, more string) testDoc {
	id := idAt(t, n)
	if more != "" {
		more = "," + more
	}
	return testDoc{
		rec: pipeline.Record{Decision: pipeline.Decision{Kind: k, Time: t.UnixNano()}, ID: id},
		body: fmt.Sprintf(`{"id":%q,"@timestamp":%q,"kind":%q,"activity_type":%q,"created_at":"2026-01-03T00:00:00Z"%s,"integrity":{"seq":1}}`,
			id, t.UTC().Format(time.RFC3339Nano), k, k, more),
	}
}

func batchOf(docs ...testDoc) *pipeline.Batch {
	var bodies [][]byte
	var records []pipeline.Record
	for _, d := range docs {
		bodies, records = append(bodies, []byte(d.body)), append(records, d.rec)
	}
	return pipeline.Restore(bodies, records)
}

func series(k activity.Kind, from, n int) []testDoc {
	docs := make([]testDoc, n)
	for i := range docs {
		docs[i] = document(k, from+i, day0.Add(time.Duration(from+i)*time.Second), `"description":"number `+fmt.Sprint(from+i)+`"`)
	}
	return docs
}

// onNode is the configuration of a store of this test's own on the shared node.
func onNode(tb testing.TB) (Config, *estest.Node) {
	tb.Helper()
	n := estest.Shared(tb)
	c := DefaultConfig()
	c.Addresses, c.IndexPrefix = []string{n.URL()}, n.Prefix(tb)
	return c, n
}

func mustOpen(tb testing.TB, c Config) *Sink {
	tb.Helper()
	s, err := Open(c, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func mustRead(tb testing.TB, c Config) *Reader {
	tb.Helper()
	r, err := OpenReader(c, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.Close() })
	return r
}

// write writes the documents as one batch and returns the verdicts.
func write(tb testing.TB, s *Sink, docs ...testDoc) []sinks.Result {
	tb.Helper()
	results := make([]sinks.Result, len(docs))
	if err := s.Write(context.Background(), batchOf(docs...), results); err != nil {
		tb.Fatal(err)
	}
	return results
}

func refresh(tb testing.TB, n *estest.Node, c Config) {
	tb.Helper()
	n.MustDo(tb, "POST", "/"+c.IndexPrefix+"-*/_refresh", "", nil)
}

func verdicts(results []sinks.Result) string {
	var b strings.Builder
	for _, r := range results {
		b.WriteString([]string{"retry", "stored", "duplicate", "conflict", "rejected"}[r.Verdict])
		if r.Reason != "" {
			b.WriteString(":" + r.Reason)
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}
