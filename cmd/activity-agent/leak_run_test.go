package main

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/truledgr/activity-agent/agent/tail"
	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/sinks/elasticsearch/scripted"
)

// leakSeed is what the lines of these tests are drawn from.
const leakSeed = 20261124

// Secrets of the configuration.
const (
	idKey  = "swordfish-k3y-of-streams"
	apiKey = "swordfish-k3y-of-the-api"
)

// TestNothingWrittenOrSaidHoldsASecret ships lines with secrets at random places in random encodings, under a random
// configuration of redaction. The agent is killed, started again and asked everything, while somebody looks through all
// files there are.
func TestNothingWrittenOrSaidHoldsASecret(t *testing.T) {
	t.Parallel()
	n, rounds := 100, 1
	if testenv.Soak() {
		n, rounds = 5000, 20
	}
	for _, store := range []string{"sqlite", "file", "elasticsearch"} {
		for round := range rounds {
			t.Run(fmt.Sprintf("%s %d", store, round), func(t *testing.T) {
				t.Parallel()
				seed := leakSeed + 1_000_000*round + 100_000*len(store)
				c := newConfessor(t, store, seed)
				c.add(n, seed)
				first := c.launch()
				c.watch(first, func() bool { return c.get(first, "/readyz") == "ok\n" })
				c.awaitProgress(1)
				c.kill(first)
				c.add(n, seed+n)
				second := c.launch()
				c.watch(second, func() bool {
					h, err := askHealth(t.Context(), c.admin)
					return err == nil && h.Account.Read > 0 && h.Account.InFlight == 0 && c.metrics(second) && c.behind(second) == 0
				})
				c.askWhileItRuns(second)
				second.stop()
				c.hear("output", []byte(second.said.String()))
				c.askAfterwards()
				c.files(true)
				c.index()
			})
		}
	}
}

// A confessor is a site whose every word is searched for secrets.
type confessor struct {
	*site
	hidden []string
	lines  bytes.Buffer
	tap    *tap
}

func newConfessor(t *testing.T, store string, seed int) *confessor {
	t.Helper()
	c := &confessor{hidden: []string{hashKey, idKey, apiKey}}
	more := "pipeline: {redact: " + redactions().Example(seed) + "}\nlog: {level: debug, format: " + []string{"json", "text"}[len(store)%2] + "}\n"
	if store == "elasticsearch" {
		c.tap, store = newTap(t), "sqlite"
	}
	c.site = newSite(t, store, "")
	c.nonJSON = []string{"keep", "dead_letter"}[len(store)%2]
	withAdmin(t, c.site, more)
	c.rewrite("{id: test,", "{id: test, id_key: "+idKey+",")
	if c.tap != nil {
		c.rewrite("{sqlite: {path: "+c.path("store.db")+"}}",
			fmt.Sprintf("{elasticsearch: {addresses: [%q], request_timeout: 5s, api_key: \"${LEAK_API_KEY:-%s}\"}}", c.tap.url, apiKey))
	}
	c.careless()
	return c
}

// rewrite changes the configuration.
func (c *confessor) rewrite(before, after string) {
	c.t.Helper()
	text, err := os.ReadFile(c.config)
	if err == nil {
		err = os.WriteFile(c.config, []byte(strings.Replace(string(text), before, after, 1)), 0o600)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// careless makes the agent start where everybody may read new files, core dumps have no limit, and secrets are in the
// environment.
func (c *confessor) careless() {
	c.t.Helper()
	c.exe = c.path("careless.sh")
	script := fmt.Sprintf("#!/bin/sh\numask 0\nulimit -c unlimited\nexport %s=1 GOTRACEBACK=crash LEAK_API_KEY=%s\nexec %q \"$@\"\n", asAgent, apiKey, os.Args[0])
	if err := os.WriteFile(c.exe, []byte(script), 0o700); err != nil {
		c.t.Fatal(err)
	}
}

// add appends n samples to the log.
func (c *confessor) add(n, seed int) {
	c.t.Helper()
	var b bytes.Buffer
	for i := range n {
		s := samples().Example(seed + i)
		b.WriteString(s.lines)
		c.hidden = append(c.hidden, s.hidden...)
	}
	c.lines.Write(b.Bytes())
	if c.tap != nil {
		c.tap.quote(c.hidden)
	}
	f, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := f.Write(b.Bytes()); err != nil {
		c.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		c.t.Fatal(err)
	}
}

// hear searches what the agent says.
func (c *confessor) hear(what string, b []byte) {
	c.t.Helper()
	if len(b) == 0 {
		c.t.Errorf("nothing from %s", what)
	}
	if found := leaked(b, c.hidden); found != "" {
		c.t.Errorf("%s: %s", what, found)
	}
}

// get asks the admin listener, which may not be there yet.
func (c *confessor) get(r *running, path string) string {
	c.t.Helper()
	answer := r.get(path)
	if found := shown([]byte(answer), c.hidden); found != "" {
		c.t.Errorf("%s: %s", path, found)
	}
	return answer
}

func (c *confessor) metrics(r *running) bool {
	return strings.Contains(c.get(r, "/metrics"), "activity_agent_records_read_total")
}

// behind is how many bytes of the log have no outcome yet, or -1 where that is unknown.
func (c *confessor) behind(r *running) (n float64) {
	n = -1
	for name, v := range r.metrics() {
		if strings.HasPrefix(name, "file_lag_bytes") || strings.HasPrefix(name, "file_unacked_bytes") {
			n = max(n, 0) + v
		}
	}
	return n
}

// watch looks through all files again and again, until done.
func (c *confessor) watch(r *running, done func() bool) {
	c.t.Helper()
	r.eventually("the agent to get on", func() bool {
		c.files(false)
		c.get(r, "/healthz") // which repeats the store's last error
		return done()
	})
}

func (c *confessor) kill(r *running) {
	c.t.Helper()
	if err := r.cmd.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	_ = r.cmd.Wait()
	c.files(true)
	c.hear("output before the kill", []byte(r.said.String()))
}

// files searches every file of the site that the agent has written, and sees that nobody else may read it.
func (c *confessor) files(deeply bool) {
	c.t.Helper()
	ours := map[string]bool{c.dir: true, filepath.Dir(c.log): true, c.log: true, c.config: true, c.exe: true}
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if ours[path] || os.IsNotExist(err) { // the agent removes files, too
			return nil
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if mode := info.Mode().Perm(); mode&0o077 != 0 {
			c.t.Errorf("%s has mode %o", path, mode)
		}
		if d.IsDir() {
			return nil
		}
		if info.Size() > 64<<20 {
			c.t.Errorf("%s has %d bytes: is it a dump?", path, info.Size())
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		search := shown
		if deeply {
			search = leaked
		}
		if found := search(b, c.hidden); found != "" {
			c.t.Errorf("%s: %s", path, found)
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// askWhileItRuns asks everything that only a running agent answers.
func (c *confessor) askWhileItRuns(r *running) {
	c.t.Helper()
	for _, path := range []string{"/livez", "/readyz", "/startupz", "/healthz", "/metrics"} {
		c.hear(path, []byte(c.get(r, path)))
	}
	for _, path := range []string{"/", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=2", "/debug/vars", "/debug/requests"} {
		if got := r.get(path); got != "404 page not found\n" {
			c.t.Errorf("%s is served: %.100s", path, got)
		}
	}
	c.command("health", "-c", c.config)
	c.hear("arguments", c.proc(r, "cmdline"))
	h, err := askHealth(c.t.Context(), c.admin)
	if err != nil {
		c.t.Fatal(err)
	}
	c.hear("screen", []byte(progress(h.Account, 1, []tail.FileStat{{Path: c.log}})))
}

func (c *confessor) proc(r *running, name string) []byte {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", r.cmd.Process.Pid, name))
	if err != nil {
		return []byte("this system has no /proc")
	}
	return b
}

// command runs one of the other commands and returns what it prints on standard output.
func (c *confessor) command(args ...string) string {
	c.t.Helper()
	_, out, errs := call(c.t, c.lines.String(), args...)
	c.hear(strings.Join(args, " "), []byte(out+errs))
	return out
}

// askAfterwards asks everything else.
func (c *confessor) askAfterwards() {
	c.t.Helper()
	account := c.account()
	if account.Stored == 0 {
		c.t.Errorf("nothing was stored: %+v", account)
	}
	c.command("validate", "-c", c.config)
	c.command("test", "-c", c.config)
	c.command("test", "-c", c.config, "--json", c.log)
	letters := c.command("deadletter", "list", "-c", c.config)
	if len(splitLines(letters)) < 2 && (c.tap != nil || c.nonJSON == "dead_letter") {
		c.t.Errorf("no dead letters to look at: %s", letters)
	}
	if c.tap != nil {
		c.tap.heard(c)
		return
	}
	if c.store == "sqlite" {
		for _, args := range [][]string{{}, {"--json"}, {"--where", "details.foo=x"}, {"--q", "today"}, {"--fields", "id,description,redacted"}, {"--sort", "nonsense"}} {
			c.command(append([]string{"query", "-c", c.config, "--limit", "0"}, args...)...)
		}
	}
	c.command("deadletter", "replay", "-c", c.config)
}

// index searches the words of the full text, which the file holds in a form of its own.
func (c *confessor) index() {
	c.t.Helper()
	if c.store != "sqlite" || c.tap != nil {
		return
	}
	db, err := sql.Open("sqlite", c.path("store.db"))
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, activities_text, row)"); err != nil {
		c.t.Fatal(err)
	}
	rows, err := db.Query("SELECT term FROM temp.words")
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var words []string
	for rows.Next() {
		var w string
		if err := rows.Scan(&w); err != nil {
			c.t.Fatal(err)
		}
		words = append(words, w)
	}
	if err := rows.Err(); err != nil {
		c.t.Fatal(err)
	}
	c.hear("the words of the full text", []byte(strings.Join(words, "\n")))
}

// A tap is an Elasticsearch that keeps every request as it came, and whose first answers quote secrets in every place
// that an error has.
type tap struct {
	behind http.Handler
	url    string

	mu     sync.Mutex
	bodies bytes.Buffer
	bulks  int
	quotes string
}

func newTap(t *testing.T) *tap {
	behind := scripted.Start(t)
	behind.RequireKey(apiKey)
	p := &tap{behind: behind.Config.Handler}
	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

func (p *tap) quote(hidden []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quotes = strings.NewReplacer("\n", " ", "\r", " ").Replace(strings.Join(hidden[3:min(len(hidden), 20)], " "))
}

func (p *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the agent was killed
	}
	plain := body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			plain, err = io.ReadAll(z)
		}
		if err != nil {
			http.Error(w, "unreadable", http.StatusBadRequest)
			return
		}
	}
	p.mu.Lock()
	p.bodies.WriteString(r.URL.String() + "\n")
	p.bodies.Write(plain)
	n := -1
	if r.URL.Path == "/_bulk" {
		n = p.bulks
		p.bulks++
	}
	quotes := p.quotes
	p.mu.Unlock()
	refusal := fmt.Sprintf(`"error":{"type":"illegal_argument_exception","reason":%[1]s,"root_cause":[{"type":"x","reason":%[1]s}]}`, quoted(quotes))
	switch n {
	case 0:
		w.Header().Set("Warning", "299 "+quoted(quotes))
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, "{"+refusal+`,"status":400}`)
	case 1:
		scripted.Raw("HTTP/1.1 200 OK\r\n"+quotes+"\r\n\r\n")(w, r, nil)
	case 2:
		scripted.Raw(quotes+"\r\n\r\n")(w, r, nil)
	case 3:
		scripted.Raw("HTTP/1.1 200 OK\r\nContent-Length: "+quotes+"\r\n\r\n")(w, r, nil)
	case 4:
		_, _ = io.WriteString(w, quotes)
	case 5: // a document is refused for good
		items := strings.Repeat(`{"create":{"status":201}},`, bytes.Count(plain, []byte("\n"))/2-1)
		_, _ = fmt.Fprintf(w, `{"errors":true,"items":[%s{"create":{"status":400,"error":{"type":"document_parsing_exception","reason":%s,"caused_by":{"type":"x","reason":%[2]s}}}}]}`,
			items, quoted("[1:2] failed to parse field [description] of type [text]. Preview of field's value: '"+quotes+"'"))
	default:
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.behind.ServeHTTP(w, r)
	}
}

func (p *tap) heard(c *confessor) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bulks < 7 {
		c.t.Errorf("%d bulk requests: too few for every answer", p.bulks)
	}
	c.hear("requests", p.bodies.Bytes())
}
