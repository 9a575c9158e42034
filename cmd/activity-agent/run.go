package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/api"
	"github.com/truledgr/activity-agent/config"
)

func (p *program) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run -c FILE",
		Short: "Ship what is logged, until told to stop",
		Long: `Tails the configured files and ships every line into the store, exactly once.

On SIGTERM or SIGINT it reads to the end of what is written (for up to half of agent.drain_timeout while the application
still writes), delivers and records it, and exits within agent.drain_timeout: with 0 if all is stored, with 1 if something
is left. A second signal ends it at once. What is left is sent at the next start; the same holds for a crash.

The read API is served too, on api.listen, once there is a way to authenticate: a key of activity-agent keys, or
api.auth.jwt. See docs/api.md.

On SIGHUP, and when the configuration file or a secret file that it names has changed, it takes up the new configuration
without losing its place; one that is wrong is refused, and the one before stays in force. See docs/operations.md.`,
		Example: `  activity-agent run -c agent.yaml
  activity-agent run -c agent.yaml --exit-when-idle 2s --summary -    ship what there is, and print the account as JSON`,
		Args: noArgs,
	}
	path := configFlag(cmd)
	cmd.Flags().DurationVar(&o.exitWhenIdle, "exit-when-idle", 0, "end when every input has been at its end, and all of it stored, for this `long`")
	cmd.Flags().StringVar(&o.summary, "summary", "", "on exit, write the account of this run as JSON to `file`; - for standard output")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := p.loadRun(*path)
		if err != nil {
			return err
		}
		o.configPath = *path
		return p.run(cmd.Context(), c, o)
	}
	return cmd
}

type runOptions struct {
	configPath   string
	exitWhenIdle time.Duration
	summary      string
	app          *application // that the agent runs, and takes the output of; nil for none
}

// run wires the agent, its admin listener, the signals and the progress line together.
//
//	signals  ─► agent.Run (tailer ─► pipeline ─► ledger ─► store)
//	reloader ─► other settings for it, when the configuration has changed
//	admin    ─► probes and metrics of it
//	reading  ─► the read API over its store, for callers with tokens
//	screen   ─► a line of progress on a terminal
func (p *program) run(ctx context.Context, c *config.Config, o runOptions) error {
	memory := p.limitMemory(os.DirFS("/"))
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	if o.app != nil {
		signal.Notify(signals, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH)
	}
	defer signal.Stop(signals)
	tty := isTerminal(p.stderr)
	screen := newScreen(p.stderr, tty)
	log, level, err := newLogger(c.Log, screen, tty)
	if err != nil {
		return err
	}
	sink, err := openSink(c.Store, c.Model(), log)
	if err != nil {
		return err
	}
	streams, release, err := p.streams(c, o.app)
	if err != nil {
		return errors.Join(err, sink.Close())
	}
	defer release()
	reads := wantsReading(c, log)
	a, err := agent.New(agent.Options{
		Config: c.Agent, Files: c.Files, Ingest: c.Ingest, Streams: streams, Pipeline: c.Pipeline, Model: c.Model(), Sink: sink, Version: version, Logger: log,
		Origin: agent.OriginOf(c.Agent, p.getenv, p.hostname), ExitWhenIdle: o.exitWhenIdle, ConfigHash: c.Hash(),
		StuckAfter: stuckAfter(c.Store), Retention: c.Retention, Records: reads, Trim: trim,
	})
	if err != nil {
		return errors.Join(err, sink.Close())
	}
	if memory > 0 {
		log.Info("the garbage collector keeps to a part of the container's memory; GOMEMLIMIT sets another limit", zap.Int64("bytes", memory))
	}
	began := time.Now()
	r := &reloader{p: p, path: o.configPath, current: c, agent: a, level: level, log: log, reading: &reading{log: log, took: api.NewTook()}}
	if reads {
		r.reading.recorder = a.Intake()
	}
	err = p.serve(ctx, c, a, r, signals, screen, o)
	err = errors.Join(err, a.Close())
	account := a.Account()
	log.Info("stopped", zap.Int64("read", account.Read), zap.Int64("stored", account.Stored), zap.Int64("duplicate", account.Duplicate),
		zap.Int64("dead_lettered", account.DeadLettered), zap.Int64("in_flight", account.InFlight), zap.Duration("after", time.Since(began)))
	if o.exitWhenIdle > 0 || tty {
		p.report(c, o, account)
	}
	return errors.Join(err, p.writeSummary(o.summary, account))
}

// serve runs the agent and what stands around it, until the agent ends, and the application if there is one.
func (p *program) serve(ctx context.Context, c *config.Config, a *agent.Agent, r *reloader, signals <-chan os.Signal, s *screen, o runOptions) error {
	log := r.log
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	around, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	switch err := r.reading.begin(c); {
	case err != nil && o.exitWhenIdle == 0:
		return err
	case err != nil: // somebody ships a file by hand, beside an agent that runs
		log.Warn("no read API in this run", zap.Error(err))
	}
	defer r.reading.end()
	var g errgroup.Group
	beside := func(f func()) {
		g.Go(func() error {
			f()
			return nil
		})
	}
	if c.Admin.Listen != "" {
		switch admin, err := agent.ListenAdmin(c.Admin, a, version, r.reading.took); {
		case err == nil:
			log.Info("admin listener", zap.String("address", admin.Addr()))
			g.Go(func() error { return admin.Serve(around) })
		case o.exitWhenIdle > 0:
			log.Warn("no probes and metrics in this run", zap.Error(err))
		default:
			return err
		}
	}
	if o.app != nil {
		if err := o.app.start(); err != nil {
			return err
		}
		defer o.app.finish(log)
		beside(func() {
			select {
			case <-o.app.ended:
				stop()
			case <-around.Done():
			}
		})
	}
	hangup := make(chan struct{}, 1)
	beside(func() { heed(around, signals, o.app, hangup, a.Abort, stop, log) })
	beside(func() { r.watch(around, hangup) })
	beside(func() { s.follow(around, a) })
	beside(func() { p.pace(around) })
	log.Info("started", zap.String("version", version), zap.String("agent_id", c.Agent.ID), zap.String("store", storeName(c.Store)), zap.String("state", c.Agent.StateDir))
	err := a.Run(ctx)
	end()
	return errors.Join(err, g.Wait())
}

// heed does what signals ask for, until ctx is done: hang-ups are passed on, the first signal to end is a stop and the next one
// aborts. Where there is an application, they are for it first.
func heed(ctx context.Context, signals <-chan os.Signal, app *application, hangup chan<- struct{}, abort, stop func(), log *zap.Logger) {
	for stopped := false; ; {
		select {
		case <-ctx.Done():
			return
		case sig := <-signals:
			if app != nil && (app.forward(sig) || !stops(sig)) {
				continue
			}
			log.Info("signal", zap.Stringer("signal", sig))
			if sig == syscall.SIGHUP {
				select {
				case hangup <- struct{}{}:
				default:
				}
				continue
			}
			if stopped {
				abort()
			}
			stop()
			stopped = true
		}
	}
}

// stops reports whether a signal is for the agent as well, once there is no application to have it.
func stops(sig os.Signal) bool { return sig == syscall.SIGTERM || sig == syscall.SIGINT }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// newLogger writes JSON, or text for people on a terminal. What it writes at least can be changed later.
func newLogger(c config.Log, w zapcore.WriteSyncer, tty bool) (*zap.Logger, zap.AtomicLevel, error) {
	level, err := zap.ParseAtomicLevel(c.Level)
	if err != nil {
		return nil, level, usageError{fmt.Errorf("log.level: %w", err)}
	}
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(enc)
	if c.Format == "text" || c.Format == "auto" && tty {
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05")
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(enc)
	}
	return zap.New(zapcore.NewCore(encoder, w, level)), level, nil
}

// writeSummary writes the account as one line of JSON.
func (p *program) writeSummary(to string, a agent.Account) error {
	if to == "" {
		return nil
	}
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	if to == "-" {
		_, err = p.stdout.Write(line)
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	if err := os.WriteFile(to, line, 0o600); err != nil {
		return fmt.Errorf("write the summary: %w", err)
	}
	return nil
}
