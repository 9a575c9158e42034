package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/sinks/elasticsearch/scripted"
)

// TestTheAccountHoldsOverElasticsearchFaults ships thirty lines into a server that fails once, in each way it can: the
// account adds up, every line is stored once, and no word of an answer is in the log.
func TestTheAccountHoldsOverElasticsearchFaults(t *testing.T) {
	t.Parallel()
	const lines = 30
	stored := func(a agent.Account) bool { return a.Stored == lines }
	before := func(a agent.Account) bool { return a.Duplicate == lines } // and sent again
	for name, tt := range map[string]struct {
		fault scripted.Fault
		want  func(agent.Account) bool
	}{
		"no fault":                 {nil, stored},
		"reset":                    {scripted.Reset(false), stored},
		"reset after processing":   {scripted.Reset(true), before},
		"timeout after processing": {scripted.Hang(), before},
		"429":                      {scripted.Status(429, "es_rejected_execution_exception", "Retry-After", "1"), stored},
		"503":                      {scripted.Status(503, ""), stored},
		"413":                      {scripted.Status(413, ""), stored},
		"403":                      {scripted.Status(403, "security_exception"), stored},
		"400 of the index":         {scripted.Status(400, "illegal_argument_exception"), stored},
		"half an answer":           {scripted.Half(false), before},
		"HTML":                     {scripted.Status(200, ""), stored},
		"429 for a document": {lastItem(lines, 429, "es_rejected_execution_exception"),
			func(a agent.Account) bool { return a.Stored == lines-1 && a.Duplicate == 1 }},
		"400 of a document": {lastItem(lines, 400, "document_parsing_exception"),
			func(a agent.Account) bool { return a.Stored == lines-1 && a.DeadLettered == 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := scripted.Start(t)
			srv.Script(tt.fault)
			s := onServer(t, srv, "")
			a, log := s.ship(lines)
			if !tt.want(a) || a.Read != lines {
				t.Errorf("got %+v", a)
			}
			if got := len(srv.Documents()); got != lines {
				t.Errorf("%d documents are stored, want %d", got, lines)
			}
			if strings.Contains(log, "swordfish") {
				t.Errorf("an answer is in the log:\n%s", log)
			}
		})
	}
}

func TestANewKeyIsTakenUpWithoutARestart(t *testing.T) {
	t.Parallel()
	srv := scripted.Start(t)
	key := filepath.Join(t.TempDir(), "key")
	put := func(text string) {
		if err := os.WriteFile(key, []byte(text+"\n"), 0o600); err != nil {
			t.Error(err)
		}
	}
	put("old")
	s := onServer(t, srv, `, api_key: "${file:`+key+`}"`)
	srv.RequireKey("old")
	srv.Script(func(w http.ResponseWriter, r *http.Request, store func() []byte) {
		put("new")
		srv.RequireKey("new")
		scripted.Status(http.StatusUnauthorized, "security_exception")(w, r, store)
	})
	if a, log := s.ship(10); a.Stored != 10 || !strings.Contains(log, "401") {
		t.Errorf("got %+v\n%s", a, log)
	}
}

// onServer is a site whose store is a scripted server; more is added to the store's section.
func onServer(t *testing.T, srv *scripted.Server, more string) *site {
	t.Helper()
	s := newSite(t, "sqlite", "")
	s.onServer(srv, more)
	return s
}

// onServer writes a configuration whose store is a scripted server.
func (s *site) onServer(srv *scripted.Server, more string) {
	s.t.Helper()
	s.configure("")
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	store := fmt.Sprintf("{elasticsearch: {addresses: [%q], request_timeout: 1s%s}}", srv.URL, more)
	text = []byte(strings.Replace(string(text), "{sqlite: {path: "+s.path("store.db")+"}}", store, 1))
	if err := os.WriteFile(s.config, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// ship logs so many lines and runs the agent until all are delivered. It returns the account and the agent's own log.
func (s *site) ship(lines int) (agent.Account, string) {
	s.t.Helper()
	var text []byte
	r := rand.New(rand.NewPCG(1, 2))
	for seq := range lines {
		text = append(append(text, logLine(r, seq, true)...), '\n')
	}
	if err := os.WriteFile(s.log, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	code, out, stderr := call(s.t, "", "run", "-c", s.config, "--exit-when-idle", "200ms", "--summary", s.path("summary.json"))
	if code != exitDone {
		s.t.Fatalf("run: %d\n%s%s", code, out, stderr)
	}
	return s.account(), out + stderr
}

// lastItem stores all of n documents and says that the last one was refused.
func lastItem(n, status int, kind string) scripted.Fault {
	items := strings.Repeat(`{"create":{"status":201}},`, n-1) + fmt.Sprintf(`{"create":{"status":%d,"error":{"type":%q,"reason":"swordfish"}}}`, status, kind)
	return scripted.Answer(http.StatusOK, `{"errors":true,"items":[`+items+`]}`)
}
