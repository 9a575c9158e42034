package main

import (
	"context"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/api"
	"github.com/truledgr/activity-agent/config"
	"github.com/truledgr/activity-agent/pipeline/redact"
)

func (p *program) serveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve -c FILE",
		Short: "Answer questions over HTTP: the read API",
		Long: `Serves the read API over the configured store, on api.listen, until SIGTERM or SIGINT. It writes nothing, and several
may serve one store. Callers need a token: a JSON Web Token (api.auth.jwt), or a key of activity-agent keys. See docs/api.md.`,
		Example: `  activity-agent keys create -c agent.yaml --role auditor --name support
  activity-agent serve -c agent.yaml
  curl -H "Authorization: Bearer $KEY" 'http://127.0.0.1:8481/activities/?from=-24h'`,
		Args: noArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load(*path)
		if err != nil {
			return err
		}
		return p.serveAPI(cmd.Context(), c)
	}
	return cmd
}

// serveAPI answers until a signal, or until ctx is done.
func (p *program) serveAPI(ctx context.Context, c *config.Config) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	tty := isTerminal(p.stderr)
	log, _, err := newLogger(c.Log, newScreen(p.stderr, tty), tty)
	if err != nil {
		return err
	}
	store, done, err := openSearch(c.Store, c.Model())
	if err != nil {
		return err
	}
	defer func() { _ = done() }()
	pseudonym, err := pseudonymiser(c.Pipeline.Redact, c.Model())
	if err != nil {
		return usageError{err}
	}
	server, err := api.New(api.Options{Config: c.API, Model: c.Model(), Store: store, Logger: log, Pseudonym: pseudonym})
	if err != nil {
		return usageError{err}
	}
	listener, err := server.Listen()
	if err != nil {
		return err
	}
	log.Info("read API", zap.String("version", version), zap.String("address", listener.Addr()), zap.String("store", storeName(c.Store)))
	return listener.Serve(ctx)
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
