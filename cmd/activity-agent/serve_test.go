package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/internal/testenv"
)

var (
	boundTo  = regexp.MustCompile(`"read API".*"address":"([^"]+)"`)
	probesAt = regexp.MustCompile(`"probes and metrics".*"address":"([^"]+)"`)
)

// serving runs `serve` until the test ends and returns its address.
func serving(t *testing.T, s *site) string {
	t.Helper()
	address, _ := servingWith(t, s)
	return address
}

// servingWith is serving with more flags, and returns what it said until it was ready, too.
func servingWith(t *testing.T, s *site, flags ...string) (address, said string) {
	t.Helper()
	var errs output
	p := &program{stdin: strings.NewReader(""), stdout: io.Discard, stderr: &errs, getenv: func(string) string { return "" }}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- p.main(ctx, append([]string{"serve", "-c", s.config}, flags...)) }()
	t.Cleanup(func() {
		stop()
		if code := <-done; code != 0 {
			t.Errorf("serve: exit %d: %s", code, errs.String())
		}
	})
	deadline := time.Now().Add(testenv.Budget(t, 30*time.Second))
	for ; time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if m := boundTo.FindStringSubmatch(errs.String()); m != nil {
			return m[1], errs.String()
		}
	}
	t.Fatalf("serve does not start: %s", errs.String())
	return "", ""
}

// TestServeHasProbesOfItsOwn: Kubernetes and Prometheus ask without a token, at an address that answers nothing else.
func TestServeHasProbesOfItsOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	s.configure("api: {listen: \"127.0.0.1:0\", state_dir: " + s.path("api-state") + ", auth: {api_keys: " + s.path("keys.yaml") + "}}\n")
	if err := s.write(1, true); err != nil {
		t.Fatal(err)
	}
	s.runToEnd()
	address, said := servingWith(t, s, "--admin", "127.0.0.1:0")
	m := probesAt.FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("no probes: %s", said)
	}
	if code, _ := ask(t, address, ""); code != 401 {
		t.Errorf("without a key: %d, want 401", code)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for path, want := range map[string]string{
		"/livez": "ok", "/metrics": `activity_agent_api_request_seconds_count{route="",status="401"} 1`, "/activities/": "404",
	} {
		answer, err := client.Get("http://" + m[1] + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || !strings.Contains(string(body), want) {
			t.Errorf("%s: got %.200s (error %v), want %s", path, body, err, want)
		}
	}
}

func ask(t *testing.T, address, key string) (int, string) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+address+"/activities/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// TestServeAnswersWhoHasAKey goes the way of a new user: ship a log, serve, be told to make a key, use it, revoke it.
func TestServeAnswersWhoHasAKey(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"sqlite", "elasticsearch"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, store, "")
			s.configure("api: {listen: \"127.0.0.1:0\", state_dir: " + s.path("api-state") + ", auth: {api_keys: " + s.path("keys.yaml") + "}}\n")
			if err := s.write(20, true); err != nil {
				t.Fatal(err)
			}
			s.runToEnd()
			if s.node != nil {
				s.node.MustDo(t, "POST", "/"+s.prefix+"-*/_refresh", "", nil)
			}
			address := serving(t, s)
			if code, body := ask(t, address, ""); code != 401 || !strings.Contains(body, "keys create") {
				t.Errorf("without a key: %d %s", code, body)
			}
			code, key, errs := call(t, "", "keys", "create", "-c", s.config, "--role", "auditor", "--name", "support", "--all-tenants")
			if code != 0 {
				t.Fatalf("keys create: %s", errs)
			}
			key = strings.TrimSpace(key)
			if code, body := ask(t, address, key); code != 200 || !strings.Contains(body, `"total":20,`) {
				t.Errorf("with a key: %d %s", code, body)
			}
			id := strings.Split(key, "_")[1]
			if _, list, _ := call(t, "", "keys", "list", "-c", s.config); !strings.Contains(list, id) || !strings.Contains(list, "support") || strings.Contains(list, key) {
				t.Errorf("keys list: %s", list)
			}
			if code, _, errs := call(t, "", "keys", "revoke", "-c", s.config, id); code != 0 {
				t.Errorf("keys revoke: %s", errs)
			}
			if code, _ := ask(t, address, key); code != 401 {
				t.Errorf("with a revoked key: %d", code)
			}
		})
	}
}

func TestKeysSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	for _, args := range [][]string{{"create"}, {"create", "--role", "user"}, {"create", "--role", "admin", "--expires", "-1h"}, {"revoke"}} {
		if code, _, errs := call(t, "", append([]string{"keys", args[0], "-c", s.config}, args[1:]...)...); code != 2 || errs == "" {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
}

// TestCallersFindTheirActivitiesUnderPseudonyms: the pipeline and the API make the same of a name.
func TestCallersFindTheirActivitiesUnderPseudonyms(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	s.configure("api: {listen: \"127.0.0.1:0\", state_dir: " + s.path("api-state") + ", auth: {api_keys: " + s.path("keys.yaml") + "}}\n" +
		"pipeline: {redact: {identity: hash, hash_key: " + strings.Repeat("k", 32) + "}}\n")
	names := []string{"u-1042", "Ann.Smith@Example.com", "zoë"}
	var log strings.Builder
	for _, name := range names {
		log.WriteString(`{"time":"2026-01-02T03:04:05Z","event":"order.placed","msg":"an order","user_id":"` + name + "\"}\n")
	}
	if err := os.WriteFile(s.log, []byte(log.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	s.runToEnd()
	address := serving(t, s)
	for _, name := range names {
		code, key, errs := call(t, "", "keys", "create", "-c", s.config, "--role", "user", "--user", name)
		if code != 0 {
			t.Fatal(errs)
		}
		if code, body := ask(t, address, strings.TrimSpace(key)); code != 200 || !strings.Contains(body, `"total":1,`) || strings.Contains(body, name) {
			t.Errorf("%s: %d %s", name, code, body)
		}
	}
}

var readAPIAt = regexp.MustCompile(`"msg":"read API",[^\n]*"address":"([^"]+)"`)

// reads returns the address that the read API was bound to last, once it was so n times.
func (r *running) reads(n int) (address string) {
	r.t.Helper()
	r.eventually("the read API", func() bool {
		all := readAPIAt.FindAllStringSubmatch(r.said.String(), -1)
		if len(all) < n {
			return false
		}
		address = all[n-1][1]
		return true
	})
	return address
}

// TestRunServesTheReadAPI: with the configuration in force, also after a reload.
func TestRunServesTheReadAPI(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	// Each question that is recorded would be one activity more.
	api := "api: {listen: \"127.0.0.1:0\", state_dir: " + s.path("api-state") + ", rate_limit: 1000000, record_reads: off, auth: {api_keys: " + s.path("keys.yaml") + ", anonymous: auditor}}\n"
	r := withAdmin(t, s, api).start()
	s.append(`{"msg":"m","seq":%d}`, 0, 20)
	address := r.reads(1)
	r.eventually("20 activities", func() bool {
		code, body := ask(t, address, "")
		return code == 200 && strings.Contains(body, `"total":20,`)
	})
	code, key, errs := call(t, "", "keys", "create", "-c", s.config, "--role", "user", "--user", "u-1042")
	if code != 0 {
		t.Fatalf("keys create: %s", errs)
	}
	s.configure(api + "pipeline: {redact: {identity: hash, hash_key: " + strings.Repeat("k", 32) + "}}\n")
	r.reload("taken_up")
	address = r.reads(2)
	s.append(`{"event":"order.placed","msg":"an order","user_id":"u-1042","seq":%d}`, 20, 5)
	r.eventually("their activities under their pseudonym", func() bool {
		code, body := ask(t, address, strings.TrimSpace(key))
		return code == 200 && strings.Contains(body, `"total":5,`) && !strings.Contains(body, "u-1042")
	})
	if m := r.metrics(); m[`api_request_seconds_count{route="/activities",status="200"}`] < 2 {
		t.Errorf("not all requests are in the metrics: %v", m)
	}
	r.stop()
}

// TestRunServesNobodyUntilThereIsAWay: it says which command comes next, and listens at the next start.
func TestRunServesNobodyUntilThereIsAWay(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	s := newSite(t, "sqlite", "")
	r := withAdmin(t, s, "api: {listen: \""+taken.Addr().String()+"\", auth: {api_keys: "+s.path("keys.yaml")+"}}\n").start()
	r.eventually("the advice", func() bool { return strings.Contains(r.said.String(), "activity-agent keys create") })
	r.stop()
	if code, _, errs := call(t, "", "keys", "create", "-c", s.config, "--role", "auditor"); code != 0 {
		t.Fatalf("keys create: %s", errs)
	}
	if code, _, errs := call(t, "", "run", "-c", s.config); code != 1 || !strings.Contains(errs, "api.listen") || !strings.Contains(errs, "another address") {
		t.Errorf("with an address in use: exit %d: %s", code, errs)
	}
	if code, _, errs := call(t, "", "run", "-c", s.config, "--exit-when-idle", "100ms"); code != 0 || !strings.Contains(errs, "no read API in this run") {
		t.Errorf("by hand, with an address in use: exit %d: %s", code, errs)
	}
	s.configure("api: {listen: \"\", auth: {api_keys: " + s.path("keys.yaml") + "}}\n")
	if code, _, errs := call(t, "", "run", "-c", s.config, "--exit-when-idle", "100ms"); code != 0 || strings.Contains(errs, "read API") {
		t.Errorf("switched off: exit %d: %s", code, errs)
	}
	if code, _, errs := call(t, "", "serve", "-c", s.config); code != 2 || !strings.Contains(errs, "api.listen") {
		t.Errorf("serve on no address: exit %d: %s", code, errs)
	}
}

// TestServeRecordsWhoReads: by default beside the agent's state, each server in a directory of its own, and it is delivered.
func TestServeRecordsWhoReads(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	api := "api: {listen: \"127.0.0.1:0\", auth: {api_keys: " + s.path("keys.yaml") + "}}\n"
	s.configure(api)
	if code, _, errs := call(t, "", "serve", "-c", s.config); code != 1 || !strings.Contains(errs, "there is no store") {
		t.Errorf("without a store: exit %d: %s", code, errs)
	}
	for _, made := range []string{"store.db", "api-state"} {
		if _, err := os.Stat(s.path(made)); err == nil {
			t.Errorf("without a store, serve made %s", made)
		}
	}
	if err := s.write(5, true); err != nil {
		t.Fatal(err)
	}
	s.runToEnd()
	stop := s.path("stop") // which is the agent's
	s.stopFile = stop
	s.configure(api)
	if err := os.WriteFile(stop, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	address := serving(t, s)
	if _, err := os.Stat(s.path("api-state")); err != nil {
		t.Error(err)
	}
	if code, _, errs := call(t, "", "serve", "-c", s.config); code != 1 || !strings.Contains(errs, "api.state_dir") {
		t.Errorf("a second server with the same directory: exit %d: %s", code, errs)
	}
	s.configure(strings.Replace(api, "api: {", "api: {state_dir: "+s.path("other")+", ", 1))
	other := serving(t, s)
	_, key, _ := call(t, "", "keys", "create", "-c", s.config, "--role", "auditor", "--name", "support")
	key = strings.TrimSpace(key)
	for _, at := range []string{address, other} {
		if code, body := ask(t, at, key); code != 200 {
			t.Errorf("%d %s", code, body)
		}
	}
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		code, found, errs := call(t, "", "query", "-c", s.config, "--kind", "data_access", "--json")
		if code == 0 && strings.Count(found, `"activities_read"`) == 2 && strings.Count(found, `"user_id":"key:`) == 2 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the records: %d %s %s", code, found, errs)
		}
	}
}
