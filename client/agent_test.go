package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
)

// built is the real agent, built once.
var built = sync.OnceValues(func() (string, error) {
	if given := os.Getenv("ACTIVITY_AGENT"); given != "" {
		return given, nil
	}
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		return "", err
	}
	builtIn = dir
	path := filepath.Join(dir, "activity-agent")
	build := exec.Command("go", "build", "-o", path, "github.com/truledgr/activity-agent/cmd/activity-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

var builtIn string

func removeBuilt() {
	if builtIn != "" {
		_ = os.RemoveAll(builtIn)
	}
}

// A realAgent has a directory of its own, an SQLite store, and one way in.
type realAgent struct {
	t       *testing.T
	exe     string
	dir     string
	address string
	process *exec.Cmd
}

// newRealAgent makes an agent that is not started. The way in is tcp, unix or file.
func newRealAgent(t *testing.T, in, token string) *realAgent {
	t.Helper()
	exe, err := built()
	if err != nil {
		t.Fatal(err)
	}
	a := &realAgent{t: t, exe: exe, dir: t.TempDir()}
	listen := ""
	switch in {
	case "tcp":
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listen = l.Addr().String()
		_ = l.Close()
		a.address = "http://" + listen
	case "unix":
		// Temporary directories of tests can be too long for a socket's name.
		dir, err := os.MkdirTemp("", "s")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		listen = "unix:" + dir + "/s"
		a.address = "unix://" + dir + "/s"
	case "file":
		if err := os.Mkdir(filepath.Join(a.dir, "logs"), 0o755); err != nil {
			t.Fatal(err)
		}
		a.address = "file://" + a.dir + "/logs/app.log"
	}
	config := fmt.Sprintf(`agent: {id: test, state_dir: %[1]s/state}
files: [{include: ["%[1]s/logs/*.log"], trust_ids: true}]
ingest: {listen: %[2]q, token: %[3]q}
store: {sqlite: {path: %[1]s/store.db}}
admin: {listen: ""}
`, a.dir, listen, token)
	if err := os.WriteFile(a.dir+"/agent.yaml", []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.kill)
	return a
}

// start starts the agent and waits until it takes activities.
func (a *realAgent) start() {
	a.t.Helper()
	a.process = exec.Command(a.exe, "run", "-c", a.dir+"/agent.yaml")
	name := fmt.Sprintf("%s/stderr.%d", a.dir, time.Now().UnixNano())
	stderr, err := os.Create(name)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = stderr.Close() }()
	a.process.Stderr = stderr
	if err := a.process.Start(); err != nil {
		a.t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		said, err := os.ReadFile(name)
		if strings.Contains(string(said), `"started"`) {
			return
		}
		if err != nil || time.Now().After(end) {
			a.t.Fatalf("the agent does not start: %v %s", err, said)
		}
	}
}

func (a *realAgent) kill() {
	if a.process != nil {
		_ = a.process.Process.Kill()
		_ = a.process.Wait()
		a.process = nil
	}
}

// stored stops the agent and returns what is in its store, oldest first.
func (a *realAgent) stored(args ...string) []map[string]any {
	a.t.Helper()
	if err := a.process.Process.Signal(syscall.SIGTERM); err != nil {
		a.t.Fatal(err)
	}
	if err := a.process.Wait(); err != nil {
		a.t.Fatal(err)
	}
	a.process = nil
	out, err := exec.Command(a.exe, append([]string{"query", "-c", a.dir + "/agent.yaml", "--json", "--limit", "0", "--sort", "@timestamp"}, args...)...).Output()
	if err != nil {
		a.t.Fatal(err)
	}
	return records(a.t, string(out))
}

// fill gives every field of a record a value that its field in the store has too.
func fill(record reflect.Value) {
	for i := range record.NumField() {
		name, _, _ := strings.Cut(record.Type().Field(i).Tag.Get("json"), ",")
		var v any
		switch field := record.Field(i); field.Interface().(type) {
		case string:
			v = "a " + name
			if name == "id" {
				v = ulid.Make().String()
			}
		case []string:
			v = []string{"one " + name, "two"}
		case *int:
			v = new(0)
		case *bool:
			v = new(false)
		case *float64:
			v = new(0.25)
		case netip.Addr:
			v = netip.MustParseAddr("198.51.100.23")
		case time.Time:
			v = time.Now().UTC().Truncate(time.Second)
		default:
			if field.Kind() == reflect.Struct {
				fill(field)
				continue
			}
			v = map[string]any{"a": map[string]any{"b": []any{1.0, nil, name}}}
		}
		record.Field(i).Set(reflect.ValueOf(v))
	}
}

// Every field of every call is stored in its field, none in details.
func TestEveryFieldOfEveryCallIsStored(t *testing.T) {
	for _, in := range []string{"tcp", "unix", "file"} {
		t.Run(in, func(t *testing.T) {
			t.Parallel()
			a := newRealAgent(t, in, "t0ken-of-the-test")
			a.start()
			c := open(t, Config{Address: a.address, Token: "t0ken-of-the-test"})
			ctx, ok := t.Context(), must(t)
			var given []any
			all := []any{&Activity{}, &APITransaction{}, &DataAccess{}, &DataChange{}, &AuthEvent{}, &ExternalAPI{}, &SystemEvent{}}
			for _, record := range all {
				fill(reflect.ValueOf(record).Elem())
				given = append(given, record)
				switch r := record.(type) {
				case *Activity:
					ok(c.CreateActivity(ctx, *r))
				case *APITransaction:
					ok(c.LogAPITransaction(ctx, *r))
				case *DataAccess:
					ok(c.LogDataAccess(ctx, *r))
				case *DataChange:
					ok(c.LogDataChanges(ctx, *r))
				case *AuthEvent:
					ok(c.LogAuthEvent(ctx, *r))
				case *ExternalAPI:
					ok(c.LogExternalAPI(ctx, *r))
				case *SystemEvent:
					ok(c.LogSystemEvent(ctx, *r))
				}
			}
			flush(t, c)
			byID := map[string]map[string]any{}
			for _, doc := range a.stored() {
				byID[doc["id"].(string)] = doc
			}
			for _, record := range given {
				line, err := json.Marshal(record)
				if err != nil {
					t.Fatal(err)
				}
				want := records(t, string(line))[0]
				got := byID[want["id"].(string)]
				delete(want, "tags") // the agent may add its own
				delete(want, "log")  // and tells the file
				for name, v := range want {
					if !reflect.DeepEqual(got[name], v) {
						t.Errorf("%T: %s is stored as %v, want %v", record, name, got[name], v)
					}
				}
			}
		})
	}
}

func TestAnAgentThatIsKilledAgainAndAgainGetsEachActivityOnce(t *testing.T) {
	t.Parallel()
	a := newRealAgent(t, "unix", "")
	c := open(t, Config{Address: a.address})
	want := map[string]bool{must(t)(c.CreateActivity(t.Context(), Activity{})): true} // before there is an agent
	for range 5 {
		a.start()
		flush(t, c)
		for range 2000 {
			want[must(t)(c.CreateActivity(t.Context(), Activity{UserID: "u1", Details: map[string]int{"a": 1}}))] = true
		}
		a.kill()
	}
	a.start()
	flush(t, c)
	assertStats(t, c, Stats{Logged: int64(len(want)), Delivered: int64(len(want))})
	stored := a.stored("--fields", "id")
	if len(stored) != len(want) {
		t.Errorf("%d are stored, want %d", len(stored), len(want))
	}
	for _, doc := range stored {
		if !want[doc["id"].(string)] {
			t.Errorf("%s is stored twice, or was never logged", doc["id"])
		}
		delete(want, doc["id"].(string))
	}
}

func TestAgentTakesNothingFromAStranger(t *testing.T) {
	t.Parallel()
	a := newRealAgent(t, "tcp", "t0ken-of-the-test")
	a.start()
	c := open(t, Config{Address: a.address, Token: "another"})
	must(t)(c.CreateActivity(t.Context(), Activity{}))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := c.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if n := len(a.stored()); n != 0 {
		t.Errorf("%d activities are stored", n)
	}
}

// What an application logs by middleware, transport and slog is found in the store, without its secrets.
func TestRequestsAreFoundInTheStore(t *testing.T) {
	t.Parallel()
	a := newRealAgent(t, "unix", "")
	a.start()
	c := open(t, Config{Address: a.address})
	srv := httptest.NewServer(c.Middleware(shop(), MiddlewareOptions{Bodies: 1000}))
	tr := &http.Transport{}
	hc := &http.Client{Transport: c.Transport(tr, TransportOptions{Service: func(*http.Request) string { return "shop" }})}
	req, _ := http.NewRequestWithContext(patiently(t), "POST", srv.URL+"/orders/7", strings.NewReader(`{"password":"hunter2-secret"}`))
	req.Header.Set("Content-Type", "application/json")
	resp, err := hc.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	tr.CloseIdleConnections()
	srv.Close() // waits for the handler, and so for what the middleware logs
	flush(t, c)
	got := map[any]map[string]any{}
	for _, doc := range a.stored() {
		got[doc["kind"]] = doc
		if b, _ := json.Marshal(doc); strings.Contains(string(b), "hunter2") {
			t.Errorf("a secret is stored: %s", b)
		}
	}
	if r := got["api_transaction"]; r["endpoint"] != "/orders/{id}" || r["status_code"] != 201.0 || r["user_id"] != "user_123" {
		t.Errorf("stored %v", r)
	}
	if r := got["external_api"]; r["service_name"] != "shop" || r["endpoint"] != srv.URL+"/orders/7" || r["status_code"] != 201.0 {
		t.Errorf("stored %v", r)
	}
}
