package live

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/sinks/elasticsearch"
)

const (
	benchReaders  = 200
	benchArrivals = 500 // of a page
)

// arriving answers like an Elasticsearch where so many documents have arrived since, in seven indices, each time it is asked.
func arriving() http.Handler {
	next := map[int]int{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		switch {
		case strings.HasSuffix(r.URL.Path, "/_field_caps"):
			_, _ = w.Write([]byte(`{"indices":[]}`))
		case r.URL.Query().Get("preference") != "_shards:0":
			_, _ = w.Write([]byte(`{"timed_out":false,"_shards":{"total":0,"failed":0},"hits":{"hits":[]}}`))
		default:
			_, _ = w.Write(arrived(next))
		}
	})
}

func arrived(next map[int]int) []byte {
	body := bytes.NewBufferString(`{"timed_out":false,"_shards":{"total":7,"failed":0},"hits":{"hits":[`)
	for i := range benchArrivals {
		if i > 0 {
			body.WriteByte(',')
		}
		part := i % 7
		id := ulid.Make()
		fmt.Fprintf(body, `{"_index":"activity-kind-%d-2026.01","_id":"%s","_version":1,"_seq_no":%d,"_primary_term":1,"_source":{"id":"%[2]s","@timestamp":"2026-01-02T03:05:00Z","kind":"api_transaction","activity_type":"x","created_at":"2027-01-03T00:00:00Z","user_id":"u%[5]d","entity_type":"order","entity_id":"%[5]d","description":"order %[5]d was looked at by a person of team 4","status":"done","tags":["web","eu-4"],"ip_address":"10.0.0.7","details":{"cart":{"items":3},"team":"t4"},"request_id":"0123456789abcdef","service":{"name":"shop","version":"1.2.3"},"method":"GET","endpoint":"/api/v1/orders","status_code":200,"execution_time_ms":12.345,"integrity":{"chain":"c","batch":5,"seq":1}},"sort":[%[3]d]}`,
			part, id, next[part], 0, i%benchReaders)
		next[part]++
	}
	body.WriteString(`]}}`)
	return body.Bytes()
}

// BenchmarkFeed is what an activity costs from Elasticsearch's answer to the queues of the readers: each of 200 sees its own.
func BenchmarkFeed(b *testing.B) {
	node := httptest.NewServer(arriving())
	defer node.Close()
	c := elasticsearch.DefaultConfig()
	c.Addresses, c.IndexPrefix = []string{node.URL}, "activity"
	store, err := elasticsearch.OpenReader(c, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	trail, err := search.StartTrail(context.Background(), store, time.Now)
	if err != nil {
		b.Fatal(err)
	}
	f := &feed{hub: New(store, zap.NewNop()), trail: trail, subs: map[*Subscription]bool{}}
	for i := range benchReaders {
		m, err := search.NewMatcher(search.Query{Kinds: activity.Kinds()[1:], Where: []search.Condition{
			{Field: activity.UserID, Values: []any{fmt.Sprint("u", i)}}, {Field: activity.TenantID, Op: search.Exists, Values: []any{false}},
		}})
		if err != nil {
			b.Fatal(err)
		}
		s := &Subscription{hub: f.hub, feed: f, match: m, queue: make(chan published, queueSize)}
		f.subs[s] = true
	}
	var got []search.Arrival
	b.Run("read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if got, _, err = trail.Next(context.Background()); err != nil || len(got) != benchArrivals {
				b.Fatal(len(got), err)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*benchArrivals), "µs/activity")
	})
	b.Run("publish", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f.publish(got)
			for s := range f.subs {
				for len(s.queue) > 0 {
					<-s.queue
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*benchArrivals), "µs/activity")
	})
}
