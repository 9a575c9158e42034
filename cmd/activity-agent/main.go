// Command activity-agent ships an application's JSON log lines as classified, redacted activities into a store where
// they can be searched.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/config"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// A usageError is the caller's mistake: exit code 2.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// program is what the commands have of the world, so that tests run the same code.
type program struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	hostname       string
}

func main() {
	withoutDumps()
	host, _ := os.Hostname()
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, hostname: host}
	os.Exit(p.main(context.Background(), os.Args[1:]))
}

// main runs one command and returns the exit code. It is the only place where errors are printed.
func (p *program) main(ctx context.Context, args []string) int {
	root := p.root()
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	if msg := err.Error(); msg != "" {
		fmt.Fprintln(p.stderr, "activity-agent: "+msg)
	}
	var exit exitError
	if errors.As(err, &exit) {
		return int(exit)
	}
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "activity-agent",
		Short: "Turn an application's JSON logs into searchable, redacted activities",
		Long: `activity-agent runs beside an application. It tails the application's JSON logs, turns every line into an
activity of a known kind, removes secrets and personal data, and stores it exactly once.`,
		Example: `  activity-agent validate -c agent.yaml           is the configuration right?
  activity-agent test -c agent.yaml app.log       what would become of these lines?
  activity-agent run -c agent.yaml                ship them, and go on
  activity-agent query -c agent.yaml --from -24h  what happened since yesterday?
  activity-agent tail -c agent.yaml               what happens now?`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q; see activity-agent --help", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(p.runCommand(), p.execCommand(), p.validateCommand(), p.testCommand(), p.queryCommand(), p.tailCommand(), p.exportCommand(), p.deadletterCommand(), p.healthCommand(), p.setupCommand(), p.serveCommand(), p.keysCommand(), p.versionCommand())
	return root
}

// configFlag adds -c to a command.
func configFlag(cmd *cobra.Command) *string {
	return cmd.Flags().StringP("config", "c", "agent.yaml", "configuration `file`")
}

// load reads the configuration; its mistakes are usage errors.
func load(path string) (*config.Config, error) {
	c, err := config.Load(path)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

// loadRun is load for an agent that is to run: it has an id.
func (p *program) loadRun(path string) (*config.Config, error) {
	c, err := load(path)
	if err == nil && c.Agent.ID == "" {
		c.Agent.ID = agent.DefaultID(p.getenv, p.hostname)
	}
	return c, err
}

// noArgs is cobra.NoArgs as a usage error.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unexpected %s; see %s --help", strings.Join(args, " "), cmd.CommandPath())}
	}
	return nil
}
