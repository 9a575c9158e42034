package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
)

// ownKinds are two kinds whose index names begin alike, and whose fields are of many types.
const ownKinds = `
kinds:
  - name: payment
    route: payments
    retention: forever
    category: [api]
    type: [info]
    fields:
      - {name: amount, type: double}
      - {name: currency, type: keyword, values: [EUR, USD]}
      - {name: card_network, type: keyword, ecs: transaction.network}
      - {name: captured, type: bool}
      - {name: settled_at, type: date}
      - {name: memo, type: text}
      - {name: method, type: keyword}
  - name: payment_refund
    fields:
      - {name: amount, type: double}
      - {name: attempts, type: long}
pipeline:
  classify:
    - {name: paid, when: evt == "paid", kind: payment, activity_type: card_payment, rename: {total: amount}, set: {card_network: unknown}}
`

// asking is a client of a read API.
type asking struct {
	t            *testing.T
	address, key string
}

// get asks a path and returns the status and the body.
func (a asking) get(path string) (int, string) {
	a.t.Helper()
	r, err := http.NewRequest(http.MethodGet, "http://"+a.address+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+a.key)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return answer.StatusCode, string(body)
}

// descriptions returns the descriptions of the activities that a list has.
func (a asking) descriptions(path string) string {
	a.t.Helper()
	code, body := a.get(path)
	var page struct {
		Items []struct{ Description string }
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil || code != http.StatusOK {
		a.t.Fatalf("%s: %d, %.300s", path, code, body)
	}
	var out []string
	for _, item := range page.Items {
		out = append(out, item.Description)
	}
	return strings.Join(out, " ")
}

// TestAKindOfTheConfigurationsOwn goes the whole way of a declared kind: a log and posts, the store, the read API and its
// filters, the descriptions of both APIs, and the command line.
func TestAKindOfTheConfigurationsOwn(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"sqlite", "elasticsearch"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, store, "")
			posts := freeAddress(t)
			s = withAdmin(t, s, ownKinds+"ingest: {listen: "+posts+"}\napi: {listen: \"127.0.0.1:0\", auth: {api_keys: "+s.path("keys.yaml")+"}}\n")
			log := `{"kind":"payment","message":"tail one","user_id":"ann","amount":"12.50","currency":"EUR","cardNetwork":"visa","captured":true,"settled_at":"2026-11-20T10:00:00Z","method":"POST","note":"x"}
{"evt":"paid","message":"tail two","total":99.9,"currency":"GBP","memo":"late Night order"}
{"type":"payment","message":"tail three"}
`
			if err := os.WriteFile(s.log, []byte(log), 0o644); err != nil {
				t.Fatal(err)
			}
			r := s.start()
			post := func(path, body string) (int, string) {
				t.Helper()
				answer, err := http.Post("http://"+posts+path, "application/json", strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = answer.Body.Close() }()
				text, _ := io.ReadAll(answer.Body)
				return answer.StatusCode, string(text)
			}
			for path, body := range map[string]string{
				"/v1/payments":        `{"description":"post one","amount":7,"currency":"USD","card_network":"visa"}`,
				"/v1/activities":      `{"description":"post two","kind":"payment","amount":-3.5,"captured":false,"memo":"a night out"}`,
				"/v1/payment-refund/": `[{"description":"refund one","amount":7,"attempts":2},{"description":"refund two","attempts":3}]`,
			} {
				if code, text := post(path, body); code != http.StatusAccepted {
					t.Errorf("%s: %d, %s", path, code, text)
				}
			}
			for body, want := range map[string]string{
				`{"amount":"much"}`:                 "/amount",
				`{"currency":"GBP"}`:                "is none of EUR, USD",
				`{"kind":"payment_refund"}`:         "is not the kind of this route, payment",
				`{"settled_at":"soon","amount":1}`:  "/settled_at",
				`{"captured":"perhaps","memo":"x"}`: "/captured",
			} {
				if code, text := post("/v1/payments", body); code != http.StatusUnprocessableEntity || !strings.Contains(text, want) {
					t.Errorf("%s: %d, %s, want %s", body, code, text, want)
				}
			}
			if code, text := post("/v1/refunds", `{}`); code != http.StatusNotFound {
				t.Errorf("a route of no kind: %d, %s", code, text)
			}
			described, err := http.Get("http://" + posts + "/openapi.json")
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(described.Body)
			_ = described.Body.Close()
			for _, want := range []string{`"/v1/payments"`, `"/v1/payment-refund"`, `"payment_record"`, `"card_network"`, `"attempts"`} {
				if !strings.Contains(string(text), want) {
					t.Errorf("the description of the posts has no %s", want)
				}
			}
			r.eventually("all to be stored", func() bool { return r.metrics()["records_stored_total"] >= 7 })
			r.stop()
			if a := s.account(); a.ByKind["payment"] != 4 || a.ByKind["payment_refund"] != 2 || a.ByKind["system_event"] != 1 {
				t.Errorf("by kind: %v", a.ByKind)
			}
			if store == "elasticsearch" {
				s.node.MustDo(t, "POST", "/"+s.prefix+"-*/_refresh", "", nil)
			}
			s.askOwnKinds()
		})
	}
}

// askOwnKinds asks the read API, and the command line, for what TestAKindOfTheConfigurationsOwn has stored.
func (s *site) askOwnKinds() {
	t := s.t
	t.Helper()
	code, key, errs := call(t, "", "keys", "create", "-c", s.config, "--role", "auditor", "--all-tenants")
	if code != 0 {
		t.Fatalf("keys create: %s", errs)
	}
	a := asking{t, serving(t, s), strings.TrimSpace(key)}
	for path, want := range map[string]string{
		"/activities/payments/?sort=amount":                                     "post two|post one|tail one|tail two",
		"/activities/payments?sort=-amount&amount.gte=7":                        "tail two|tail one|post one",
		"/activities/payments/?amount.lt=7":                                     "post two",
		"/activities/payments/?card_network=visa&sort=amount":                   "post one|tail one",
		"/activities/payments/?card_network=unknown&activity_type=card_payment": "tail two",
		"/activities/payments/?currency=EUR&currency=USD&sort=amount":           "post one|tail one",
		"/activities/payments/?details.currency=GBP":                            "tail two",
		"/activities/payments/?captured=false":                                  "post two",
		"/activities/payments/?settled_at.gte=2026-11-01&method=POST":           "tail one",
		"/activities/payments/?q=night&sort=amount":                             "post two|tail two",
		"/activities/payments/?details.note.exists=true":                        "tail one",
		"/activities/payment-refund/?sort=attempts":                             "refund one|refund two",
		"/activities/?kind=payment_refund&attempts.gt=2":                        "refund two",
	} {
		if got := a.descriptions(path); got != strings.ReplaceAll(want, "|", " ") {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"/activities/auth-events/?amount=1": "amount is a field of payment, payment_refund, not of auth_event",
		"/activities/payments/?attempts=1":  "attempts is a field of payment_refund, not of payment",
		"/activities/?kind=payments":        "the kinds are activity, api_transaction",
	} {
		if code, body := a.get(path); code < 400 || !strings.Contains(body, want) {
			t.Errorf("%s: %d, %s, want %s", path, code, body, want)
		}
	}
	if code, body := a.get("/openapi.json"); code != 200 || !strings.Contains(body, `"/activities/payments"`) || !strings.Contains(body, `"card_network.prefix"`) {
		t.Errorf("the description has no declared kind: %d, %.200s", code, body)
	}
	if code, body := a.get("/activities/aggregate?kind=payment&group_by=card_network&metric=" + url.QueryEscape("sum:amount")); code != 200 || !strings.Contains(body, `"card_network":"visa"`) || !strings.Contains(body, "19.5") {
		t.Errorf("aggregate: %d, %s", code, body)
	}
	code, out, errs := call(t, "", "query", "-c", s.config, "--kind", "payment", "--where", "amount.gte=7", "--sort", "amount", "--json", "--fields", "amount,currency")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || !slices.Equal(lines, []string{`{"amount":7,"currency":"USD"}`, `{"amount":12.50,"currency":"EUR"}`, `{"amount":99.9}`}) &&
		!slices.Equal(lines, []string{`{"amount":7,"currency":"USD"}`, `{"amount":12.5,"currency":"EUR"}`, `{"amount":99.9}`}) {
		t.Errorf("query: %d, %s%s", code, out, errs)
	}
}

// TestAKilledAgentComesBackWithOtherKinds: an agent is killed while batches with declared kinds are under way, and is started
// again with the kinds in another order and one of them gone. Every record is stored once, as what it was decided to be.
func TestAKilledAgentComesBackWithOtherKinds(t *testing.T) {
	t.Parallel()
	const lines = 400
	kinds := func(names ...string) string {
		out := "kinds:\n"
		for _, n := range names {
			out += fmt.Sprintf("  - {name: %s, fields: [{name: amount, type: long}]}\n", n)
		}
		return out
	}
	s := newSite(t, "elasticsearch", "")
	posts := freeAddress(t)
	set := func(target string, names ...string) {
		s.admin = freeAddress(t)
		s.configure(kinds(names...) + "ingest: {listen: " + posts + "}\n")
		text, err := os.ReadFile(s.config)
		if err == nil {
			err = os.WriteFile(s.config, []byte(strings.ReplaceAll(string(text), s.node.URL(), target)), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	set("http://127.0.0.1:1", "alpha", "beta", "gone")
	var log strings.Builder
	for i := range lines {
		fmt.Fprintf(&log, `{"kind":%q,"message":"tail %d","amount":%d}`+"\n", [...]string{"alpha", "beta", "gone", "auth_event"}[i%4], i, i)
	}
	if err := os.WriteFile(s.log, []byte(log.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	r := s.start()
	for i := range lines {
		answer, err := http.Post("http://"+posts+"/v1/activities", "application/json",
			strings.NewReader(fmt.Sprintf(`{"kind":%q,"description":"post %d","amount":%d}`, [...]string{"alpha", "beta", "gone"}[i%3], i, i)))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusAccepted {
			t.Fatalf("post %d: %d", i, answer.StatusCode)
		}
	}
	r.eventually("batches to be under way", func() bool { return r.metrics()["records_in_flight"] > 0 })
	if err := r.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = r.wait()
	set(s.node.URL(), "new", "beta", "alpha")
	r = s.start()
	r.eventually("all to be stored", func() bool { return r.metrics()["records_stored_total"] >= 2*lines })
	r.stop()
	s.node.MustDo(t, "POST", "/"+s.prefix+"-*/_refresh", "", nil)
	for kind, want := range map[string]int{"alpha": lines/4 + (lines+2)/3, "beta": lines/4 + (lines+1)/3, "gone": lines/4 + lines/3, "auth-event": lines / 4} {
		var got struct{ Count int }
		s.node.MustDo(t, "GET", "/"+s.prefix+"-"+kind+"-*/_count?q=kind:"+strings.ReplaceAll(kind, "-", "_"), "", &got)
		if got.Count != want {
			t.Errorf("%s: %d documents, want %d", kind, got.Count, want)
		}
	}
	var all struct{ Count int }
	s.node.MustDo(t, "GET", "/"+s.prefix+"-*/_count", "", &all)
	if all.Count != 2*lines {
		t.Errorf("%d documents, want %d", all.Count, 2*lines)
	}
}
