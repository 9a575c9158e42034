package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/api"
	"github.com/truledgr/activity-agent/config"
	"github.com/truledgr/activity-agent/pipeline/redact"
)

func (p *program) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve -c FILE",
		Short: "Answer questions over HTTP: the read API",
		Long: `Serves the read API over the configured store, on api.listen, until SIGTERM or SIGINT. Several may serve one store, each
with an api.state_dir of its own: that is where it keeps who read what others did until the store has it. Callers need a
token: a JSON Web Token (api.auth.jwt), or a key of activity-agent keys. With --admin it also answers /livez and /metrics, for
Kubernetes and Prometheus. See docs/api.md.`,
		Example: `  activity-agent keys create -c agent.yaml --role auditor --name support
  activity-agent serve -c agent.yaml
  curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8481/activities/?from=-24h'`,
		Args: noArgs,
	}
	path := configFlag(cmd)
	admin := cmd.Flags().String("admin", "", "also answer /livez and /metrics, at this `address`, host:port; admin.listen is the agent's")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load(*path)
		if err != nil {
			return err
		}
		return p.serveAPI(cmd.Context(), c, *admin)
	}
	return cmd
}

// serveAPI answers until a signal, or until ctx is done; probes, too, where admin is not "".
func (p *program) serveAPI(ctx context.Context, c *config.Config, admin string) (err error) {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	tty := isTerminal(p.stderr)
	log, _, err := newLogger(c.Log, newScreen(p.stderr, tty), tty)
	if err != nil {
		return err
	}
	if c.API.Listen == "" {
		return usageError{errors.New("api.listen: is \"\", so there is nothing to serve on; name an address, such as 127.0.0.1:8481")}
	}
	if _, done, err := openSearch(c.Store, c.Model()); err != nil { // before the recorder makes what is not there
		return err
	} else if err := done(); err != nil {
		return err
	}
	recorder, err := p.recorder(c, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, recorder.Close()) }()
	took := api.NewTook()
	group, ctx := errgroup.WithContext(ctx)
	if admin != "" {
		probes, err := agent.ListenProbes(admin, probesOf(took), log)
		if err != nil {
			return fmt.Errorf("--admin: %w; choose another address", err)
		}
		log.Info("probes and metrics", zap.String("address", probes.Addr()))
		group.Go(func() error { return probes.Serve(ctx) })
	}
	r, err := openReadAPI(c, log, recorder.Intake(), took)
	if err != nil {
		stop()
		return errors.Join(err, group.Wait())
	}
	defer func() { _ = r.close() }()
	recording, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	group.Go(func() error { return recorder.Run(recording) })
	group.Go(func() error {
		defer end() // what the last requests recorded is delivered, or kept for the next start
		return r.listener.Serve(ctx)
	})
	return group.Wait()
}

// A readAPI is the read API on its address, over a store that is its own.
type readAPI struct {
	listener *api.Listener
	close    func() error // the store
}

// openReadAPI opens the store and binds api.listen. took takes how long requests took.
func openReadAPI(c *config.Config, log *zap.Logger, recorder api.Recorder, took *prometheus.HistogramVec) (*readAPI, error) {
	pseudonym, err := pseudonymiser(c.Pipeline.Redact, c.Model())
	if err != nil {
		return nil, usageError{err}
	}
	store, done, err := openSearch(c.Store, c.Model())
	if err != nil {
		return nil, err
	}
	server, err := api.New(api.Options{Config: c.API, Model: c.Model(), Store: store, Logger: log, Pseudonym: pseudonym, Recorder: recorder, Took: took})
	if err != nil {
		return nil, errors.Join(usageError{err}, done())
	}
	listener, err := server.Listen()
	if err != nil {
		return nil, errors.Join(err, done())
	}
	log.Info("read API", zap.String("version", version), zap.String("address", listener.Addr()), zap.String("store", storeName(c.Store)))
	return &readAPI{listener, done}, nil
}

// recorder is an agent that reads nothing: it delivers what the read API records of reads and amendments.
func (p *program) recorder(c *config.Config, log *zap.Logger) (*agent.Agent, error) {
	sink, err := openSink(c.Store, c.Model(), log)
	if err != nil {
		return nil, err
	}
	state, journal := c.Agent, c.Ingest
	state.StateDir, state.StopFile, journal.Listen = c.API.StateDir, "", ""
	if state.StateDir == "" {
		state.StateDir = filepath.Join(filepath.Dir(filepath.Clean(c.Agent.StateDir)), "api-state")
	}
	if state.ID == "" {
		state.ID = agent.DefaultID(p.getenv, p.hostname)
	}
	a, err := agent.New(agent.Options{
		Config: state, Ingest: journal, Records: true, Pipeline: c.Pipeline, Model: c.Model(), Sink: sink, Version: version, Logger: log,
		Origin: agent.OriginOf(c.Agent, p.getenv, p.hostname), StuckAfter: stuckAfter(c.Store),
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("api.state_dir, of this process alone: %w", err), sink.Close())
	}
	return a, nil
}

// probesOf answers whether the process runs, which is all that a restart can help with, and its metrics.
func probesOf(took prometheus.Collector) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(took, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	return mux
}

// pseudonymiser returns what the pipeline makes of a user_id; nil where it keeps them.
func pseudonymiser(c redact.Config, m *activity.Model) (func(string) string, error) {
	rules, err := redact.Compile(c, m)
	if err != nil {
		return nil, err
	}
	of := rules.For(activity.Plain) // it is the same in every kind
	if !of.HashesIdentity() {
		return nil, nil
	}
	return func(user string) string {
		var r redact.Replacer
		return string(r.AppendValue(of, nil, []byte(user), redact.Identify))
	}, nil
}
