package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/internal/agenttest"
)

// fill gives every field of a record a value that its field in the store has too.
func fill(record reflect.Value) {
	for i := range record.NumField() {
		name, _, _ := strings.Cut(record.Type().Field(i).Tag.Get("json"), ",")
		var v any
		switch field := record.Field(i); field.Interface().(type) {
		case string:
			switch name {
			case "id":
				v = ulid.Make().String()
			case "method":
				v = "PUT" // of a login, only a method of HTTP is taken for one
			default:
				v = "a " + name
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
	for _, in := range []agenttest.Way{agenttest.TCP, agenttest.Unix, agenttest.File} {
		t.Run(string(in), func(t *testing.T) {
			t.Parallel()
			a := agenttest.New(t, in, "t0ken-of-the-test")
			a.Start()
			c := open(t, Config{Address: a.Address, Token: "t0ken-of-the-test"})
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
			for _, doc := range a.Stored() {
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
	a := agenttest.New(t, agenttest.Unix, "")
	c := open(t, Config{Address: a.Address})
	want := map[string]bool{must(t)(c.CreateActivity(t.Context(), Activity{})): true} // before there is an agent
	for range 5 {
		a.Start()
		flush(t, c)
		for range 2000 {
			want[must(t)(c.CreateActivity(t.Context(), Activity{UserID: "u1", Details: map[string]int{"a": 1}}))] = true
		}
		a.Kill()
	}
	a.Start()
	flush(t, c)
	assertStats(t, c, Stats{Logged: int64(len(want)), Delivered: int64(len(want))})
	stored := a.Stored("--fields", "id")
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
	a := agenttest.New(t, agenttest.TCP, "t0ken-of-the-test")
	a.Start()
	c := open(t, Config{Address: a.Address, Token: "another"})
	must(t)(c.CreateActivity(t.Context(), Activity{}))
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := c.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if n := len(a.Stored()); n != 0 {
		t.Errorf("%d activities are stored", n)
	}
}

// What an application logs by middleware, transport and slog is found in the store, without its secrets.
func TestRequestsAreFoundInTheStore(t *testing.T) {
	t.Parallel()
	a := agenttest.New(t, agenttest.Unix, "")
	a.Start()
	c := open(t, Config{Address: a.Address})
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
	for _, doc := range a.Stored() {
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
