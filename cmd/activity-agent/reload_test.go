package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/sinks/elasticsearch/scripted"
)

// reloads is how often the agent has taken up a configuration, or refused one.
func (r *running) reloads(result string) float64 {
	return r.metrics()[`config_reloads_total{result="`+result+`"}`]
}

// reload has the agent look at its configuration, and waits until it has taken it up or refused it.
func (r *running) reload(result string) {
	r.t.Helper()
	before := r.reloads(result)
	r.signal(syscall.SIGHUP)
	r.eventually("the configuration to be "+result, func() bool { return r.reloads(result) > before })
}

// TestReloadsUnderLoad changes the configuration again and again, rightly and wrongly, while lines are written: each is
// stored once.
func TestReloadsUnderLoad(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"sqlite", "file"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, store, "")
			s.budget, s.drain = "6MiB", "10m"
			r := withAdmin(t, s, "").start()
			written, stop := make(chan int, 1), make(chan struct{})
			go func() {
				n := 0
				for {
					select {
					case <-stop:
						written <- n
						return
					case <-time.After(5 * time.Millisecond):
					}
					if n < 8000 {
						s.append(`{"msg":"m","token":"t-%[1]d","seq":%[1]d}`, n, 50)
						n += 50
					}
				}
			}()
			for i := range 8 {
				s.configure(fmt.Sprintf("pipeline: {redact: {fields: [extra_%d]}}", i))
				r.reload("taken_up")
				s.configure("pipeline: {redact: {detect: nonsense}}")
				r.reload("refused")
			}
			close(stop)
			n := <-written
			s.configure("")
			r.reload("taken_up")
			r.stop()
			s.assertOnce(n)
		})
	}
}

// TestANewRuleHoldsFromTheReloadOn: what is written after it is redacted by it, and nothing is forgotten of the old rules.
func TestANewRuleHoldsFromTheReloadOn(t *testing.T) {
	t.Parallel()
	s := newSite(t, "file", "")
	r := withAdmin(t, s, "pipeline: {redact: {fields: [badge]}}").start()
	s.append(`{"msg":"m","badge":"old-%[1]d","desk":"old-%[1]d","seq":%[1]d}`, 0, 10)
	r.eventually("ten records", func() bool { return r.metrics()["records_stored_total"] == 10 })
	hash := func() (h string) {
		for name := range r.metrics() {
			if strings.HasPrefix(name, "config_info") {
				h = name
			}
		}
		return h
	}
	before := hash()
	s.configure("pipeline: {redact: {fields: [badge, desk]}}\nlog: {level: debug}\nagent.x: 1")
	r.reload("refused")
	if now := hash(); now != before || r.metrics()["config_last_reload_successful"] != 0 {
		t.Errorf("a refused configuration shows as %s, successful %v", now, r.metrics()["config_last_reload_successful"])
	}
	if health := r.get("/healthz"); !strings.Contains(health, "agent.x: unknown key") {
		t.Errorf("the health does not say what is wrong: %s", health)
	}
	s.configure("pipeline: {redact: {fields: [badge, desk]}}\nlog: {level: debug}")
	r.reload("taken_up")
	if now := hash(); now == before || r.metrics()["config_last_reload_successful"] != 1 || strings.Contains(r.get("/healthz"), "refused") {
		t.Errorf("a configuration that was taken up shows as %s", now)
	}
	s.append(`{"msg":"m","badge":"new-%[1]d","desk":"new-%[1]d","seq":%[1]d}`, 10, 10)
	r.eventually("twenty records", func() bool { return r.metrics()["records_stored_total"] == 20 })
	r.stop()
	s.assertOnce(20)
	text, err := os.ReadFile(s.path("store.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]int{`"badge":"old`: 0, `"badge":"new`: 0, `"desk":"new`: 0, `"desk":"old`: 10} {
		if got := strings.Count(string(text), secret); got != want {
			t.Errorf("%s is stored %d times, want %d", secret, got, want)
		}
	}
	if !strings.Contains(r.said.String(), `"changed":["pipeline.redact.fields","log.level"]`) {
		t.Errorf("no line says what changed:\n%s", r.said)
	}
}

// TestWhatTakesARestartIsRefused, whole, with the name of the key.
func TestWhatTakesARestartIsRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	r := withAdmin(t, s, "").start()
	s.append(`{"seq":%d}`, 0, 5)
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	for old, changed := range map[string]string{
		s.path("state"):    s.path("other"),
		s.path("store.db"): s.path("other.db"),
		"12MiB":            "24MiB",
		s.admin:            "127.0.0.1:1",
	} {
		next := strings.Replace(string(text), old, changed, 1) + "pipeline: {redact: {fields: [seq]}}\n"
		if err := os.WriteFile(s.config, []byte(next), 0o600); err != nil {
			t.Fatal(err)
		}
		r.reload("refused")
	}
	s.append(`{"seq":%d}`, 5, 5)
	r.stop()
	s.assertOnce(10) // by seq, which no refused rule has redacted
	for _, key := range []string{"agent.state_dir", "store.sqlite.path", "agent.memory_budget", "admin.listen"} {
		if !strings.Contains(r.said.String(), key+" cannot change while the agent runs; restart it") {
			t.Errorf("no line says that %s takes a restart:\n%s", key, r.said)
		}
	}
}

// TestAConfigMapIsSwapped as Kubernetes does it: the file is a link through a link to a directory that is replaced whole.
// Nobody sends a signal.
func TestAConfigMapIsSwapped(t *testing.T) {
	t.Parallel()
	s := newSite(t, "file", "")
	withAdmin(t, s, "")
	mount := s.path("mount")
	plain := s.config
	put := func(version, more string) {
		t.Helper()
		s.config = plain
		s.configure(more)
		dir := filepath.Join(mount, "..2026_"+version)
		for _, err := range []error{
			os.MkdirAll(dir, 0o755), os.Rename(plain, filepath.Join(dir, "agent.yaml")),
			os.Symlink(filepath.Base(dir), filepath.Join(mount, "..data_tmp")),
			os.Rename(filepath.Join(mount, "..data_tmp"), filepath.Join(mount, "..data")),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		s.config = filepath.Join(mount, "agent.yaml")
	}
	put("1", "pipeline: {redact: {fields: [badge]}}")
	if err := os.Symlink("..data/agent.yaml", s.config); err != nil {
		t.Fatal(err)
	}
	r := s.start()
	s.append(`{"badge":"b-%[1]d","desk":"d-%[1]d","seq":%[1]d}`, 0, 3)
	r.eventually("three records", func() bool { return r.metrics()["records_stored_total"] == 3 })
	put("2", "pipeline: {redact: {fields: [desk]}}") // as long as the one before
	if err := os.RemoveAll(filepath.Join(mount, "..2026_1")); err != nil {
		t.Fatal(err)
	}
	r.eventually("the new ConfigMap", func() bool { return r.reloads("taken_up") == 1 })
	s.append(`{"badge":"b-%[1]d","desk":"d-%[1]d","seq":%[1]d}`, 3, 3)
	r.eventually("six records", func() bool { return r.metrics()["records_stored_total"] == 6 })
	put("3", "pipeline: {redact: {fields: 7}}")
	r.eventually("the wrong one to be refused", func() bool { return r.reloads("refused") == 1 })
	r.stop()
	s.assertOnce(6)
	text, err := os.ReadFile(s.path("store.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	for secret, want := range map[string]int{`"badge":"b-0"`: 0, `"desk":"d-0"`: 1, `"badge":"b-3"`: 1, `"desk":"d-3"`: 0} {
		if got := strings.Count(string(text), secret); got != want {
			t.Errorf("%s is stored %d times, want %d:\n%s", secret, got, want, text)
		}
	}
}

// TestASecretFileThatChangesIsTakenUp without a change of the configuration file.
func TestASecretFileThatChangesIsTakenUp(t *testing.T) {
	t.Parallel()
	s := newSite(t, "file", "")
	field := func(name string) {
		t.Helper()
		if err := os.WriteFile(s.path("field"), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	field("badge")
	r := withAdmin(t, s, `pipeline: {redact: {fields: ["${file:`+s.path("field")+`}"]}}`).start()
	field("desk")
	r.eventually("the secret to be read again", func() bool { return r.reloads("taken_up") == 1 })
	s.append(`{"badge":"b","desk":"d","seq":%d}`, 0, 1)
	r.eventually("a record", func() bool { return r.metrics()["records_stored_total"] == 1 })
	r.stop()
	if text, err := os.ReadFile(s.path("store.ndjson")); err != nil || !strings.Contains(string(text), `"badge":"b"`) || strings.Contains(string(text), `"desk":"d"`) {
		t.Errorf("%v, stored %s", err, text)
	}
}

// TestReloadToAnotherAddress: the cluster does not answer where it was said to be. What is under way is delivered to the
// new address as soon as it is known, into the index that was configured when it was read.
func TestReloadToAnotherAddress(t *testing.T) {
	t.Parallel()
	srv := scripted.Start(t)
	s := newSite(t, "sqlite", "")
	s.admin = freeAddress(t)
	configure := func(address, prefix string) {
		s.configure("")
		text, err := os.ReadFile(s.config)
		if err != nil {
			t.Fatal(err)
		}
		store := fmt.Sprintf("{elasticsearch: {addresses: [%q], index_prefix: %s}}", address, prefix)
		text = []byte(strings.Replace(string(text), "{sqlite: {path: "+s.path("store.db")+"}}", store, 1))
		if err := os.WriteFile(s.config, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	configure("http://"+freeAddress(t), "old")
	r := s.start()
	s.append(`{"msg":"m","seq":%d}`, 0, 20)
	r.eventually("records under way", func() bool { return r.metrics()["records_in_flight"] == 20 })
	configure(srv.URL, "new")
	r.reload("taken_up")
	r.eventually("what was under way to be stored", func() bool { return r.metrics()["records_stored_total"] == 20 })
	s.append(`{"msg":"m","seq":%d}`, 20, 10)
	r.eventually("what came after it", func() bool { return r.metrics()["records_stored_total"] == 30 })
	r.stop()
	count := map[string]int{}
	for id := range srv.Documents() {
		prefix, _, _ := strings.Cut(id, "-")
		count[prefix]++
	}
	if count["old"] != 20 || count["new"] != 10 {
		t.Errorf("got %v, want 20 documents in the old index and 10 in the new", count)
	}
}
