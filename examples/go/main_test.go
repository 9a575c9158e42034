package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/internal/agenttest"
)

const patience = 2 * time.Minute

// TestWhatUsersDoIsInTheStore runs the service beside a real agent.
func TestWhatUsersDoIsInTheStore(t *testing.T) {
	t.Cleanup(agenttest.Remove)
	agent := agenttest.New(t, agenttest.Unix, "")
	agent.Start()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	ended := make(chan error, 1)
	running, end := context.WithCancel(ctx)
	go func() { ended <- run(running, []string{"-listen", address, "-agent", agent.Address}) }()

	do := func(method, path, body string, with func(*http.Request)) int {
		t.Helper()
		for {
			req, err := http.NewRequestWithContext(ctx, method, "http://"+address+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("X-User", "ann")
			if with != nil {
				with(req)
			}
			resp, err := http.DefaultClient.Do(req)
			if err == nil {
				_ = resp.Body.Close()
				return resp.StatusCode
			}
			select {
			case err := <-ended:
				t.Fatal(err)
			case <-ctx.Done():
				t.Fatal(err)
			case <-time.After(10 * time.Millisecond): // it does not listen yet
			}
		}
	}
	do("GET", "/healthz", "", nil)
	got := []int{
		do("POST", "/login", "", func(r *http.Request) { r.SetBasicAuth("ann", "open sesame") }),
		do("POST", "/login", "", func(r *http.Request) { r.SetBasicAuth("ann", "hunter2") }),
		do("POST", "/orders", `{"item":"teapot","pence":1200}`, nil),
		do("GET", "/orders/1", "", nil),
		do("GET", "/orders/2", "", nil),
		do("POST", "/orders", `{`, nil),
	}
	if fmt.Sprint(got) != "[204 401 201 200 404 400]" {
		t.Errorf("the service answered %v", got)
	}
	end()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}

	var told []string
	for _, d := range agent.Stored() {
		switch d["kind"] {
		case "api_transaction":
			told = append(told, fmt.Sprintf("%v %v %v %v", d["method"], d["endpoint"], d["status_code"], d["user_id"]))
		case "auth_event":
			told = append(told, fmt.Sprintf("%v %v", d["event_type"], d["success"]))
		case "data_change":
			told = append(told, fmt.Sprintf("%v %v %v", d["operation"], d["record_id"], d["new_values"]))
		case "data_access":
			told = append(told, fmt.Sprintf("%v %v %v", d["operation"], d["table_name"], d["record_count"]))
		case "external_api":
			told = append(told, fmt.Sprintf("%v %v %v", d["service_name"], d["status_code"], d["rate_limit"]))
		case "system_event":
			told = append(told, fmt.Sprintf("%v %v", d["event_type"], d["severity"]))
		}
	}
	for _, want := range []string{
		"startup info", "shutdown info", "login true", "login false", "POST /login 204 ann", "POST /login 401 ann",
		"rates 200 map[limit:100 remaining:99]", "insert 1 map[cents:1500 item:teapot pence:1200]", "POST /orders 201 ann",
		"read orders 1", "GET /orders/{id} 200 ann", "GET /orders/{id} 404 ann", "POST /orders 400 ann",
	} {
		if n := count(told, want); n != 1 {
			t.Errorf("%q is stored %d times", want, n)
		}
	}
	if len(told) != 13 {
		t.Errorf("%d activities are stored, want 13:\n%s", len(told), strings.Join(told, "\n"))
	}
}

func count(all []string, one string) int {
	n := 0
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}
