package elasticsearch

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/truledgr/activity-agent/activity/search"
)

// TestPagesKeepTheirDocuments: the memory that answers are read into is used again, and what was found is not in it.
func TestPagesKeepTheirDocuments(t *testing.T) {
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var q struct {
			Size int `json:"size"`
		}
		if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Elastic-Product", "Elasticsearch")
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"timed_out":false,"hits":{"total":{"value":1,"relation":"eq"},"hits":[{"_source":{"id":"of %d","x":{"y":%[1]d,"z":1}}}]}}`, q.Size-1)
	}))
	defer node.Close()
	c := DefaultConfig()
	c.Addresses = []string{node.URL}
	r, err := OpenReader(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	var group sync.WaitGroup
	for n := 1; n <= 8; n++ {
		group.Go(func() {
			for range 50 {
				whole, err1 := r.Search(context.Background(), search.Query{Limit: 10 + n})
				some, err2 := r.Search(context.Background(), search.Query{Limit: 20 + n, Fields: []string{"x.y"}})
				_, err3 := r.Search(context.Background(), search.Query{Limit: 30 + n})
				if err1 != nil || err2 != nil || err3 != nil {
					t.Error(err1, err2, err3)
					return
				}
				if got, want := string(whole.Items[0]), fmt.Sprintf(`{"id":"of %d","x":{"y":%[1]d,"z":1}}`, 10+n); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
				if got, want := string(some.Items[0]), fmt.Sprintf(`{"x":{"y":%d}}`, 20+n); got != want {
					t.Errorf("got %s, want %s", got, want)
				}
			}
		})
	}
	group.Wait()
}
