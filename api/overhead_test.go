package api

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/truledgr/activity-agent/sinks/elasticsearch"
)

// cannedSearch answers every search at once as Elasticsearch does one that found n activities.
func cannedSearch(n int) http.Handler {
	body := bytes.NewBufferString(`{"took":1,"timed_out":false,"_shards":{"total":7,"successful":7,"skipped":0,"failed":0},"hits":{"total":{"value":10000,"relation":"gte"},"max_score":null,"hits":[`)
	for i := range n {
		if i > 0 {
			body.WriteByte(',')
		}
		doc, record := usual(i, n)
		fmt.Fprintf(body, `{"_index":"activity-api-transaction-2026.01","_id":%q,"_score":null,"_source":%s,"sort":[%d,%q]}`, record.ID, doc, record.Time, record.ID)
	}
	body.WriteString(`]}}`)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", fmt.Sprint(body.Len()))
		_, _ = w.Write(body.Bytes())
	})
}

// BenchmarkList is what the API adds to a page of 100 activities that Elasticsearch has at hand: direct asks the store,
// through asks the API, both over HTTP; handler is the API without the way to it.
func BenchmarkList(b *testing.B) {
	node := httptest.NewServer(cannedSearch(101))
	defer node.Close()
	s := serve(b, readerOf(b, elasticsearch.DefaultConfig(), node.URL), nil)
	front := httptest.NewServer(s)
	defer front.Close()
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	request := auditorOf(b)
	const target = "/activities/?user_id=u-1&status_code.gte=500&from=-24h"
	bearer := request(target).Header.Get("Authorization")
	b.Run("direct", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fetch(b, client, http.MethodPost, node.URL+"/_search", []byte(`{}`), "")
		}
	})
	b.Run("through", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			fetch(b, client, http.MethodGet, front.URL+target, nil, bearer)
		}
	})
	b.Run("handler", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.ServeHTTP(nowhere{}, request(target))
		}
	})
}

// nowhere is a client that keeps nothing.
type nowhere struct{}

func (nowhere) Header() http.Header         { return http.Header{} }
func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) WriteHeader(int)             {}
