package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/agent/deadletter"
)

func (p *program) deadletterCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletter",
		Short: "List records that could not be stored, or try them again",
		Long: `A dead letter says which record was set aside, where it lies and why. It does not hold the record's bytes: those
may be the very secrets that could not be removed. They are read again from the log, where it still exists.`,
		Example: `  activity-agent deadletter list -c agent.yaml
  activity-agent deadletter replay -c agent.yaml`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.deadletterListCommand(), p.deadletterReplayCommand())
	return cmd
}

func (p *program) deadletterListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list -c FILE",
		Short:   "List the dead letters",
		Example: "  activity-agent deadletter list -c agent.yaml",
		Args:    noArgs,
	}
	path := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "one JSON object a line")
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := load(*path)
		if err != nil {
			return err
		}
		letters, damaged, err := deadletter.Read(c.Agent.StateDir)
		if err != nil {
			return err
		}
		if *asJSON {
			enc := json.NewEncoder(p.stdout)
			for i := range letters {
				if err := enc.Encode(letters[i]); err != nil {
					return err
				}
			}
			return nil
		}
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "TIME\tREASON\tFILE\tOFFSET\tLENGTH")
		for _, l := range letters {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n", l.Time.Local().Format("2006-01-02 15:04:05"), l.Reason, l.Path, l.Offset, l.Length)
		}
		if err := w.Flush(); err != nil {
			return err
		}
		fmt.Fprintf(p.stderr, "%d dead letters, %d damaged entries passed over\n", len(letters), damaged)
		return nil
	}
	return cmd
}

func (p *program) deadletterReplayCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "replay -c FILE",
		Short: "Read the records of the dead letters again and deliver them",
		Long: `Reads every record that has a dead letter again, where its file still exists, and delivers it with today's
configuration. What is stored loses its dead letter; the rest keeps it. Stop the agent first.`,
		Example: "  activity-agent deadletter replay -c agent.yaml",
		Args:    noArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := p.loadRun(*path)
		if err != nil {
			return err
		}
		log, _, err := newLogger(c.Log, newScreen(p.stderr, false), isTerminal(p.stderr))
		if err != nil {
			return err
		}
		sink, err := openSink(c.Store, c.Model(), zap.NewNop())
		if err != nil {
			return err
		}
		a, err := agent.New(agent.Options{
			Config: c.Agent, Files: c.Files, Pipeline: c.Pipeline, Model: c.Model(), Sink: sink, Version: version, Logger: log,
			Origin: agent.OriginOf(c.Agent, p.getenv, p.hostname),
		})
		if err != nil {
			return errors.Join(err, sink.Close())
		}
		r, err := a.ReplayDeadLetters(cmd.Context())
		fmt.Fprintf(p.stdout, "%d dead letters: %d delivered, %d refused again, %d no longer to be found\n", r.Letters, r.Delivered, r.Refused, r.Gone)
		return errors.Join(err, a.Close())
	}
	return cmd
}
