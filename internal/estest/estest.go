// Package estest runs a real Elasticsearch for tests: one node that all tests of a process share, or a cluster of a
// test's own whose nodes can be stopped, killed and restarted.
//
// A node is a JVM with the jars of Elasticsearch's server and a small launcher, which needs neither a container engine
// nor the full distribution. It has bulk, search, aggregations, templates and aliases. It has no GET /, ILM, data
// streams, ingest pipelines, scripts, delete-by-query, security, or wildcard and constant_keyword fields: their modules
// are not published.
//
// The first use needs java 17 or newer, javac and mvn on PATH, and a network; the jars (40 MB) stay in the user's cache
// directory, and later uses need java alone. What is absent skips the test with a reason, or fails it in CI.
//
//   - ACTIVITY_TEST_ES_URL: an Elasticsearch (8.x, may hold user:password@) that Shared uses instead of starting one
//   - ACTIVITY_TEST_ES_HEAP: the heap of each node, 512m by default
package estest

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/internal/testenv"
)

// A Node is one Elasticsearch node that listens, or did before it was stopped.
type Node struct {
	url string
}

// shared keeps the node of this process alive: it ends when nothing holds its life line any more.
var (
	shared           = sync.OnceValues(func() (*Cluster, error) { return startShared(elasticsearch) })
	sharedOpenSearch = sync.OnceValues(func() (*Cluster, error) { return startShared(openSearch) })
)

// Shared returns the node of this test process; it is started on first use and ends with the process, however that
// ends. Tests keep apart by the prefixes that Prefix hands out.
//
// The test is skipped (in CI: fails) where the machine has no Java or the jars cannot be had.
func Shared(tb testing.TB) *Node {
	tb.Helper()
	if url := os.Getenv("ACTIVITY_TEST_ES_URL"); url != "" {
		return &Node{strings.TrimRight(url, "/")}
	}
	c, err := shared()
	if err != nil {
		giveUp(tb, err)
	}
	return c.Node(0)
}

// OpenSearch is Shared with a node of OpenSearch, which lacks the same, and the plugins for policies and security.
func OpenSearch(tb testing.TB) *Node {
	tb.Helper()
	c, err := sharedOpenSearch()
	if err != nil {
		giveUp(tb, err)
	}
	return c.Node(0)
}

func giveUp(tb testing.TB, err error) {
	tb.Helper()
	if errors.Is(err, errAbsent) {
		testenv.Missing(tb, err.Error())
	}
	tb.Fatal(err)
}

// URL is the address of the node without a slash at its end, such as http://127.0.0.1:23456.
func (n *Node) URL() string { return n.url }

// client keeps no connections, whose goroutines would look like leaks.
var client = &http.Client{
	Timeout:   60 * time.Second,
	Transport: &http.Transport{DisableKeepAlives: true},
}

func (n *Node) do(method, path, body string) (status int, answer []byte, err error) {
	req, err := http.NewRequest(method, n.url+"/"+strings.TrimLeft(path, "/"), strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json") // of NDJSON too: Elasticsearch does not mind
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, err
}

// Do sends a request with a JSON (or, for bulk, NDJSON) body, which may be empty, and returns what the node said. The
// test fails only where there is no answer.
func (n *Node) Do(tb testing.TB, method, path, body string) (status int, answer []byte) {
	tb.Helper()
	status, answer, err := n.do(method, path, body)
	if err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
	return status, answer
}

// Get decodes the answer to a GET into a value. The test fails where the status is not 200.
func (n *Node) Get(tb testing.TB, path string, into any) {
	tb.Helper()
	n.MustDo(tb, http.MethodGet, path, "", into)
}

// MustDo is Do for requests that have to succeed (2xx). The answer is decoded into a value unless that is nil.
func (n *Node) MustDo(tb testing.TB, method, path, body string, into any) {
	tb.Helper()
	status, answer := n.Do(tb, method, path, body)
	if status/100 != 2 {
		tb.Fatalf("%s %s: status %d: %.1000s", method, path, status, answer)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(answer, into); err != nil {
		tb.Fatalf("%s %s: %v", method, path, err)
	}
}

// Prefix returns a name that no other test has ("t-4x7kq2…"). Indices, index templates and component templates whose
// names begin with it are removed at the end of the test.
func (n *Node) Prefix(tb testing.TB) string {
	tb.Helper()
	prefix := "t-" + strings.ToLower(rand.Text()[:12])
	tb.Cleanup(func() { n.Wipe(tb, prefix) })
	return prefix
}

// Wipe removes the indices, index templates and component templates whose names begin with the prefix. A node that is
// down is left alone.
func (n *Node) Wipe(tb testing.TB, prefix string) {
	tb.Helper()
	if prefix == "" {
		tb.Fatal("wipe needs a prefix: the node may be somebody's own")
	}
	for _, path := range []string{"/_index_template/", "/_component_template/"} {
		if _, _, err := n.do(http.MethodDelete, path+prefix+"*", ""); err != nil {
			return
		}
	}
	var indices []struct{ Index string }
	n.Get(tb, "/_cat/indices/"+prefix+"*?h=index&format=json&expand_wildcards=all", &indices)
	for _, i := range indices {
		n.MustDo(tb, http.MethodDelete, "/"+i.Index, "", nil)
	}
}

// A Document is one hit of a scan.
type Document struct {
	Index  string          `json:"_index"`
	ID     string          `json:"_id"`
	Source json.RawMessage `json:"_source"`
}

// Scan refreshes the indices of a pattern ("t-abc-*") and yields every document in them once, as of the call. The test
// fails on an error.
func (n *Node) Scan(tb testing.TB, pattern string) iter.Seq[Document] {
	const page = 5000
	return func(yield func(Document) bool) {
		tb.Helper()
		n.MustDo(tb, http.MethodPost, "/"+pattern+"/_refresh", "", nil)
		var pit struct{ ID string }
		n.MustDo(tb, http.MethodPost, "/"+pattern+"/_pit?keep_alive=5m", "", &pit)
		defer func() { n.MustDo(tb, http.MethodDelete, "/_pit", fmt.Sprintf(`{"id":%q}`, pit.ID), nil) }()
		after := ""
		for {
			var answer struct {
				Hits struct {
					Hits []struct {
						Document
						Sort json.RawMessage `json:"sort"`
					}
				}
			}
			n.MustDo(tb, http.MethodPost, "/_search", fmt.Sprintf(
				`{"size":%d,"track_total_hits":false,"sort":["_shard_doc"],"pit":{"id":%q,"keep_alive":"5m"}%s}`, page, pit.ID, after), &answer)
			hits := answer.Hits.Hits
			for _, hit := range hits {
				if !yield(hit.Document) {
					return
				}
			}
			if len(hits) < page {
				return
			}
			after = `,"search_after":` + string(hits[len(hits)-1].Sort)
		}
	}
}
