package ingest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/pipeline"
)

// record is an API transaction of some 500 bytes.
func record(n int) string {
	return fmt.Sprintf(`{"activity_type":"order_placed","user_id":"user_%d","entity_type":"order","entity_id":"ord-%08d","description":"Order placed by the customer from the mobile app","method":"POST","endpoint":"/api/v2/orders/%d","status_code":201,"execution_time_ms":%d.5,"ip_address":"10.1.%d.%d","user_agent":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36","request_data":{"items":3,"currency":"EUR","total":%d.95,"coupon":null},"trace_id":"4bf92f3577b34da6a3ce929d0e0e%04x","session_id":"s-%d"}`,
		n%1000, n, n, n%300, n%256, n%200, n%500, n%65536, n%777)
}

// drained is a bench whose journal is read as by an agent whose store takes everything at once.
func drained(b *testing.B) *bench {
	x := newBench(b, func(c *Config) { c.DiskBudget = 1 << 40 })
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = x.journal.Run(ctx) })
	wg.Go(func() {
		for kept := range x.journal.Batches() {
			x.journal.Release(kept)
		}
	})
	b.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	return x
}

// BenchmarkPosts posts single records of 500 bytes from 64 connections. Client and server share the machine.
func BenchmarkPosts(b *testing.B) {
	x := drained(b)
	const conns = 64
	took := make([][]time.Duration, conns)
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range conns {
		wg.Go(func() {
			for i := w; i < b.N; i += conns {
				began := time.Now()
				send(b, x, "application/json", strings.NewReader(record(i)))
				took[w] = append(took[w], time.Since(began))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	all := slices.Concat(took...)
	slices.Sort(all)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "posts/s")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, "p99-ms")
	b.ReportMetric(float64(b.N)/float64(max(x.journal.Stats().Commits, 1)), "posts/fsync")
}

// BenchmarkLines posts 1,000 records a request, from 4 connections.
func BenchmarkLines(b *testing.B) {
	x := drained(b)
	const conns, per = 4, 1000
	var body bytes.Buffer
	for i := range per {
		body.WriteString(record(i) + "\n")
	}
	b.SetBytes(int64(body.Len()))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for w := range conns {
		wg.Go(func() {
			for i := w; i < b.N; i += conns {
				send(b, x, ndjson, bytes.NewReader(body.Bytes()))
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)*per/b.Elapsed().Seconds(), "records/s")
}

func send(b *testing.B, x *bench, typ string, body io.Reader) {
	res, err := x.client.Post(x.url("/v1/api-transactions"), typ, body)
	if err != nil {
		b.Error(err)
		return
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusAccepted {
		b.Errorf("status %d", res.StatusCode)
	}
}

// BenchmarkTake is a request without HTTP and without the wait for the disk.
func BenchmarkTake(b *testing.B) {
	for _, per := range []int{1, 1000} {
		b.Run(fmt.Sprint(per), func(b *testing.B) {
			x := drained(b)
			var body bytes.Buffer
			for i := range per {
				body.WriteString(record(i) + "\n")
			}
			req := Request{Body: body.Bytes(), Split: splitLines}
			w := <-x.intake.workers
			b.SetBytes(int64(body.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := x.intake.append(w, &req, nil, func(*pipeline.Batch) {}); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			x.intake.release(w)
		})
	}
}
