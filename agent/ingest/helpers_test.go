package ingest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/agent/ingest/journal"
	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long tests wait for what has to happen: far longer than it takes on the busiest machine.
const patience = 60 * time.Second

// A bench is a server over a journal that nobody delivers from.
type bench struct {
	t       testing.TB
	dir     string
	config  Config
	limit   timeouts
	journal *journal.Journal
	ledger  *ledger.Ledger
	intake  *Intake
	server  *Server
	client  *http.Client
	serving *sync.WaitGroup
}

func newBench(t testing.TB, change func(*Config)) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), config: DefaultConfig(), limit: usual}
	b.config.Listen = "127.0.0.1:0"
	if change != nil {
		change(&b.config)
	}
	b.open()
	t.Cleanup(b.close)
	return b
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	if b.ledger, err = ledger.Open(b.dir, ledger.Options{AgentID: "test", LockWait: patience}); err != nil {
		b.t.Fatal(err)
	}
	if b.journal, err = journal.Open(journal.Options{
		Dir: filepath.Join(b.dir, "journal"), Ledger: b.ledger, Budget: int64(b.config.DiskBudget),
	}); err != nil {
		b.t.Fatal(err)
	}
	b.intake, err = NewIntake(IntakeOptions{Journal: b.journal, Now: func() time.Time { return time.Now().UTC() }, Pipeline: func() (*pipeline.Pipeline, error) {
		return pipeline.New(pipeline.Options{Config: pipeline.DefaultConfig(), AgentID: "test", Chain: b.ledger.Chain()})
	}})
	if err != nil {
		b.t.Fatal(err)
	}
	if b.config.Listen == "" {
		return
	}
	if b.server, err = newServer(b.config, b.intake, zap.NewNop(), b.limit); err != nil {
		b.t.Fatal(err)
	}
	b.serving = new(sync.WaitGroup)
	b.serving.Go(func() {
		if err := b.server.Serve(); err != nil {
			b.t.Error(err)
		}
	})
	b.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: patience}
}

func (b *bench) close() {
	if b.server != nil {
		b.client.CloseIdleConnections()
		b.server.Stop(context.Background())
		b.serving.Wait()
	}
	if err := errors.Join(b.journal.Close(), b.ledger.Close()); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) url(path string) string { return "http://" + b.server.Addr() + path }

// An answer is what the server said.
type answer struct {
	status  int
	header  http.Header
	body    string
	IDs     []*string `json:"ids"`
	Type    string    `json:"type"`
	Detail  string    `json:"detail"`
	Errors  []fault   `json:"errors"`
	Status2 int       `json:"status"`
}

// post sends a body; headers are names and values in turn.
func (b *bench) post(path, body string, headers ...string) answer {
	b.t.Helper()
	return b.do(http.MethodPost, path, []byte(body), append([]string{"Content-Type", "application/json"}, headers...)...)
}

func (b *bench) do(method, path string, body []byte, headers ...string) (a answer) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url(path), bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	a.status, a.header, a.body = res.StatusCode, res.Header, string(text)
	if err := json.Unmarshal(text, &a); err != nil {
		b.t.Fatalf("%d: the answer is no JSON: %v\n%s", a.status, err, text)
	}
	return a
}

// documents returns what is in the journal, as far as it is read now.
func (b *bench) documents() (docs []string) {
	b.t.Helper()
	for at := int64(0); ; {
		kept, next, err := b.journal.ReadAgain(at, 1<<40)
		if errors.Is(err, journal.ErrGone) {
			return docs
		}
		if err != nil {
			b.t.Fatal(err)
		}
		for _, r := range kept.Records {
			docs = append(docs, string(r.Body)+"}")
		}
		at = next
	}
}
