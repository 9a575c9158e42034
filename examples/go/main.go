// Command go is a small service that tells an agent what its users do: every request, every login, what was read and
// changed, and what it asked of another service.
//
//	go run ./examples/go -listen 127.0.0.1:8000
//	curl -H 'X-User: ann' -d '{"item": "teapot", "pence": 1200}' 127.0.0.1:8000/orders
//	curl -H 'X-User: ann' 127.0.0.1:8000/orders/1
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/truledgr/activity-agent/client"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run serves until ctx is done.
func run(ctx context.Context, args []string) (err error) {
	flags := flag.NewFlagSet("go", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8000", "`address` to serve on")
	agent := flags.String("agent", client.DefaultAddress, "`address` of the agent")
	rates := flags.String("rates", "", "`URL` of the service of exchange rates; this service itself if empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	activities, err := client.Open(client.Config{Address: *agent})
	if err != nil {
		return err
	}
	// What was logged is delivered before the process ends, if the agent is there.
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, activities.Close(ctx))
	}()
	log := slog.New(activities.Handler(client.HandlerOptions{})).With("component", "orders")

	l, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	s := &shop{
		activities: activities,
		rates:      cmp.Or(*rates, "http://"+l.Addr().String()+"/rates"),
		http: &http.Client{Timeout: 5 * time.Second, Transport: activities.Transport(nil, client.TransportOptions{
			Service: func(*http.Request) string { return "rates" },
		})},
		orders: map[int]order{},
	}
	server := &http.Server{
		ReadHeaderTimeout: 5 * time.Second,
		Handler: activities.Middleware(s.routes(), client.MiddlewareOptions{
			User: func(r *http.Request) string { return r.Header.Get("X-User") },
			Skip: func(r *http.Request) bool { return r.URL.Path == "/healthz" || r.URL.Path == "/rates" },
		}),
	}
	log.Info("the service starts", "event_type", "startup")
	fmt.Println("listening on", l.Addr())
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	log.Info("the service stops", "event_type", "shutdown")
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return server.Shutdown(ending) // waits for requests, and so for what they log
}

type order struct {
	Item  string `json:"item"`
	Pence int    `json:"pence"`
	Cents int    `json:"cents,omitempty"`
}

// A shop takes orders.
type shop struct {
	activities *client.Client
	http       *http.Client
	rates      string

	mu     sync.Mutex
	orders map[int]order
}

func (s *shop) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /rates", func(w http.ResponseWriter, _ *http.Request) { // in place of somebody else's service
		w.Header().Set("X-RateLimit-Limit", "100")
		w.Header().Set("X-RateLimit-Remaining", "99")
		reply(w, http.StatusOK, map[string]float64{"gbp_usd": 1.25})
	})
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /orders", s.create)
	mux.HandleFunc("GET /orders/{id}", s.get)
	return mux
}

func (s *shop) login(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	ok := user != "" && password == "open sesame"
	event := client.AuthEvent{UserID: user, EventType: "login", LoginMethod: "password", Success: &ok}
	status := http.StatusNoContent
	if !ok {
		event.FailureReason, status = "wrong password", http.StatusUnauthorized
	}
	// The error says that the activity was dropped; it is counted, and no reason to refuse a login.
	_, _ = s.activities.LogAuthEvent(r.Context(), event)
	w.WriteHeader(status)
}

func (s *shop) create(w http.ResponseWriter, r *http.Request) {
	var o order
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&o); err != nil {
		http.Error(w, "send an order", http.StatusBadRequest)
		return
	}
	rate, err := s.rate(r.Context())
	if err != nil {
		http.Error(w, "the exchange rate is not known", http.StatusBadGateway)
		return
	}
	o.Cents = int(float64(o.Pence) * rate)
	s.mu.Lock()
	id := len(s.orders) + 1
	s.orders[id] = o
	s.mu.Unlock()
	_, _ = s.activities.LogDataChanges(r.Context(), client.DataChange{
		UserID: r.Header.Get("X-User"), TableName: "orders", Operation: "insert", RecordID: strconv.Itoa(id), NewValues: o,
	})
	reply(w, http.StatusCreated, map[string]int{"id": id})
}

func (s *shop) get(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.Atoi(r.PathValue("id")) // 0 is no order
	s.mu.Lock()
	o, ok := s.orders[id]
	s.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = s.activities.LogDataAccess(r.Context(), client.DataAccess{
		UserID: r.Header.Get("X-User"), TableName: "orders", Operation: "read", RecordCount: new(1),
		FieldsAccessed: []string{"item", "pence", "cents"},
	})
	reply(w, http.StatusOK, o)
}

// rate asks another service; the transport logs the call.
func (s *shop) rate(ctx context.Context) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.rates, http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	var rates struct {
		Rate float64 `json:"gbp_usd"`
	}
	err = json.NewDecoder(resp.Body).Decode(&rates)
	return rates.Rate, err
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
