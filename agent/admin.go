package agent

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
)

// Health is the answer of /healthz, which the health command reads.
type Health struct {
	Started bool     `json:"started"`
	Trouble []string `json:"trouble"` // a sentence each; empty when all is well
	Account Account  `json:"account"`
}

// AdminServer serves the probes and the metrics.
type AdminServer struct {
	srv      *http.Server
	listener net.Listener
}

// ListenAdmin binds the admin listener, so that an address in use is an error at the start. more is metrics beside the agent's.
func ListenAdmin(c Admin, a *Agent, version string, more ...prometheus.Collector) (*AdminServer, error) {
	s, err := ListenProbes(c.Listen, adminHandler(a, version, more...), a.log)
	if err != nil {
		return nil, fmt.Errorf("admin.listen: %w; choose another address, or \"\" to switch it off", err)
	}
	return s, nil
}

// ListenProbes binds an address (host:port) for probes and metrics of h's making: short questions without a body.
func ListenProbes(address string, h http.Handler, log *zap.Logger) (*AdminServer, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          zap.NewStdLog(log),
	}
	return &AdminServer{srv: s, listener: l}, nil
}

// Addr returns the address that was bound.
func (s *AdminServer) Addr() string { return s.listener.Addr().String() }

// Serve answers until ctx is done.
func (s *AdminServer) Serve(ctx context.Context) error {
	done := make(chan error, 1)
	go func() { done <- s.srv.Serve(s.listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	err := s.srv.Shutdown(bye)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.srv.Close()
	}
	return errors.Join(err, served(<-done))
}

// served is the error of a server, if it did not just end because it was asked to.
func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// adminHandler: liveness fails only when the agent itself is stuck, and readiness follows the start alone, because a
// sidecar's readiness counts for its whole pod. What else is wrong is in /healthz and in the metrics.
func adminHandler(a *Agent, version string, more ...prometheus.Collector) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(more...)
	reg.MustRegister(&collector{agent: a, version: version}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	started := func(w http.ResponseWriter, _ *http.Request) {
		if !a.Started() {
			http.Error(w, "replaying what was under way when the last run ended", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		if text := a.Stuck(); text != "" {
			http.Error(w, text, http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", started)
	mux.HandleFunc("GET /startupz", started)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		h := Health{Started: a.Started(), Trouble: a.Trouble(), Account: a.Account()}
		w.Header().Set("Content-Type", "application/json")
		if len(h.Trouble) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(h)
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return mux
}
