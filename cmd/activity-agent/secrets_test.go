package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// leaks are secrets that must not be found in anything that the agent writes or says.
var leaks = []string{
	"hunter2-Tr0ub4dor-9000", "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0MjQyIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
	"4111111111111111", "5500 0000 0000 0004", "jane.roe@mail.example.org", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
}

// secretLines puts the secrets into every place of lines of every sort, broken ones too.
func secretLines() []byte {
	var b bytes.Buffer
	q := func(s string) string { j, _ := json.Marshal(s); return string(j) }
	for _, s := range leaks[1:5] {
		for _, f := range []string{"msg", "user_agent", "path", "method", "status_code", "level", "timestamp", "logger", "foo", "tags", "error", "details", "session_id", "service", "host", "trace_id", "kind", "activity_type", "event"} {
			fmt.Fprintf(&b, "{%q:%s}\n", f, q("a "+s+" b"))
			fmt.Fprintf(&b, "{%q:{\"x\":[[%s]]}}\n", f, q(s))
			fmt.Fprintf(&b, "{%q:%s}\n", f, q(`{"y":`+q(s)+`}`))
			fmt.Fprintf(&b, "{%q:%s,\n", f, q(s))
		}
		fmt.Fprintf(&b, "{\"x\":{%s:1}}\n", q(s))
		fmt.Fprintf(&b, "plain text with %s in it\n", s)
		fmt.Fprintf(&b, "{\"log\":%s,\"stream\":\"stdout\",\"time\":\"2026-11-23T10:00:00Z\"}\n", q(`{"z":`+q(s)+"}\n"))
		fmt.Fprintf(&b, "2026-11-23T10:00:00Z stderr F it was %s\n", s)
	}
	for _, k := range []string{"password", "client_secret", "apiKey", "Authorization", "x-auth-token", "cookie", "privateKey", "ssn"} {
		s := leaks[0]
		fmt.Fprintf(&b, "{%q:%q}\n{\"a\":{\"b\":[{%q:{\"c\":%q}}]}}\n{\"body\":%s}\n", k, s, k, s, q(`{"`+k+`":"`+s+`"}`))
		fmt.Fprintf(&b, "{\"a\":1,%q:%q\n%s=%s\n{\"argv\":[\"--%s\",%q]}\n", k, s, k, s, k, s)
	}
	fmt.Fprintf(&b, "{\"header\":\"Authorization: Bearer %s\"}\n", leaks[5])
	return b.Bytes()
}

// TestSecretsReachNothingThatIsWrittenOrSaid runs the agent over planted secrets, and looks for them in the store, the
// state directory, the dead letters, the log, the metrics, the health answer, the summary and the screen.
func TestSecretsReachNothingThatIsWrittenOrSaid(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"sqlite", "file"} {
		for _, nonJSON := range []string{"keep", "drop", "dead_letter"} {
			t.Run(store+" "+nonJSON, func(t *testing.T) {
				t.Parallel()
				s := newSite(t, store, "")
				s.admin = freeAddress(t)
				s.nonJSON = nonJSON
				s.configure("log: {level: debug}")
				if err := os.WriteFile(s.log, secretLines(), 0o644); err != nil {
					t.Fatal(err)
				}
				said := s.runAndAsk(t)
				for name, text := range said {
					assertNoLeak(t, name, text)
				}
				if err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
					if err != nil || d.IsDir() || path == s.log {
						return err
					}
					b, err := os.ReadFile(path)
					assertNoLeak(t, path, b)
					return err
				}); err != nil {
					t.Fatal(err)
				}
				s.documents(func(doc []byte) {
					var v any
					if err := json.Unmarshal(doc, &v); err != nil {
						t.Fatal(err)
					}
					plain, _ := json.Marshal(v)
					assertNoLeak(t, "a document", []byte(strings.ReplaceAll(string(plain), `\`, "")))
				})
			})
		}
	}
}

func assertNoLeak(t *testing.T, where string, b []byte) {
	t.Helper()
	for _, s := range leaks {
		if i := bytes.Index(b, []byte(s)); i >= 0 {
			t.Errorf("%s shows %q: …%s…", where, s, b[max(0, i-120):min(len(b), i+len(s)+40)])
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// runAndAsk runs the agent with its admin listener until it is idle, and returns all that it says.
func (s *site) runAndAsk(t *testing.T) map[string][]byte {
	t.Helper()
	said := map[string][]byte{}
	var out, errs bytes.Buffer
	cmd := command(s.dir, "run", "-c", s.config, "--exit-when-idle", "2s", "--summary", s.path("summary.json"))
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	get := func(path string) []byte {
		resp, err := http.Get("http://" + s.admin + path)
		if err != nil {
			return nil
		}
		defer func() { _ = resp.Body.Close() }()
		b, _ := io.ReadAll(resp.Body)
		return b
	}
	for range 500 {
		time.Sleep(20 * time.Millisecond)
		m := get("/metrics")
		if metric(m, "activity_agent_records_read_total") > 0 && metric(m, "activity_agent_records_in_flight") == 0 {
			said["metrics"] = m
			break
		}
	}
	for _, path := range []string{"/healthz", "/livez", "/readyz", "/startupz"} {
		said[path] = get(path)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, errs.Bytes())
	}
	said["stdout"], said["stderr"] = out.Bytes(), errs.Bytes()
	_, said["deadletter list"], _ = listLetters(t, s)
	for name, b := range said {
		if len(b) == 0 {
			t.Errorf("nothing from %s", name)
		}
	}
	return said
}

func listLetters(t *testing.T, s *site) (int, []byte, string) {
	code, out, errs := call(t, "", "deadletter", "list", "-c", s.config)
	return code, []byte(out), errs
}

// metric returns the sum of a metric's values over its labels, or -1 where it is absent.
func metric(text []byte, name string) float64 {
	sum, found := 0.0, false
	for _, m := range regexp.MustCompile(`(?m)^`+name+`(?:\{[^}]*\})? (\S+)$`).FindAllSubmatch(text, -1) {
		v, _ := strconv.ParseFloat(string(m[1]), 64)
		sum, found = sum+v, true
	}
	if !found {
		return -1
	}
	return sum
}

// TestMetricsEqualTheAccount compares what /metrics says at the end with the summary.
func TestMetricsEqualTheAccount(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	s.admin, s.nonJSON = freeAddress(t), "drop"
	s.configure("")
	if err := os.WriteFile(s.log, secretLines(), 0o644); err != nil {
		t.Fatal(err)
	}
	m := s.runAndAsk(t)["metrics"]
	a := s.account()
	for name, want := range map[string]int64{
		"records_read_total": a.Read, "records_stored_total": a.Stored, "records_duplicate_total": a.Duplicate,
		"records_dead_lettered_total": a.DeadLettered, "records_dropped_total": total(a.Dropped), "records_in_flight": 0,
		"records_by_kind_total": total(a.ByKind), "redactions_total": total(a.Redacted), "lines_read_total": a.Lines,
		"bytes_read_total": a.Bytes, "records_conflict_total": 0, "batches_total": a.Batches,
	} {
		if got := metric(m, "activity_agent_"+name); got != float64(want) {
			t.Errorf("%s is %v, the account says %d", name, got, want)
		}
	}
	if a.Dropped["non_json"] == 0 || a.Read == 0 {
		t.Errorf("nothing to compare: %+v", a)
	}
}
