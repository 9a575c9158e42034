package main

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/sinks/elasticsearch/scripted"
)

// outcomes are the metrics that add up to records_read_total.
var outcomes = []string{
	"records_stored_total", "records_duplicate_total", "records_conflict_total", "records_dead_lettered_total",
	"records_dropped_total", "records_lost_total", "records_in_flight",
}

// balance checks one scrape. It returns how much was read, and -1 for a scrape that was cut off.
func (r *running) balance() float64 {
	m := r.metrics()
	read, ok := m["records_read_total"]
	if _, whole := m["trouble"]; !ok || !whole {
		return -1
	}
	var sum float64
	for name, v := range m {
		for _, o := range outcomes {
			if name == o || strings.HasPrefix(name, o+"{") {
				sum += v
			}
		}
	}
	if sum != read {
		r.t.Errorf("a scrape does not add up: read %v, the rest %v: %v", read, sum, m)
	}
	return read
}

// TestTheAccountHoldsAtEveryScrape scrapes without a pause while records are stored, dropped, refused, sent again and
// replayed, over kills and reloads.
func TestTheAccountHoldsAtEveryScrape(t *testing.T) {
	t.Parallel()
	srv := scripted.Start(t)
	s := onServer(t, srv, "")
	s.admin, s.budget, s.nonJSON, s.drain = freeAddress(t), "6MiB", "drop", "10m"
	s.onServer(srv, "")
	const rounds, lines = 4, 4000
	for round := range rounds {
		var faults []scripted.Fault
		for i := range 40 {
			faults = append(faults, []scripted.Fault{
				nil, scripted.Status(503, ""), scripted.Half(true), lastItem(1, 400, "document_parsing_exception"), nil,
				scripted.Reset(true), nil, scripted.Status(429, "es_rejected_execution_exception"),
			}[i%8])
		}
		srv.Script(faults...)
		r := s.start()
		var scraping sync.WaitGroup
		stop := make(chan struct{})
		scrapes := 0
		scraping.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if r.balance() > 0 {
						scrapes++
					}
				}
			}
		})
		for i := range 20 {
			s.append(`{"msg":"m","seq":%d}`, round*lines+i*lines/20, lines/20)
			s.append("not JSON %d", 0, 10)
			if i == 10 {
				r.reload("taken_up")
			}
			time.Sleep(5 * time.Millisecond)
		}
		r.eventually("some to be stored", func() bool { return r.metrics()["records_stored_total"] > 0 })
		if round < rounds-1 {
			_ = r.cmd.Process.Kill()
			_ = r.cmd.Wait()
		} else {
			r.eventually("all to be settled", func() bool {
				m := r.metrics()
				return m["records_in_flight"] == 0 && m["lag_bytes"] == 0 && m["unacked_bytes"] == 0
			})
		}
		close(stop)
		scraping.Wait()
		if scrapes == 0 {
			t.Error("no scrape with records in it")
		}
		if round == rounds-1 {
			r.stop()
		}
		t.Logf("%d scrapes", scrapes)
	}
}
