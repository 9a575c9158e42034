package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/truledgr/activity-agent/agent/tail"
)

func (p *program) validateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "validate -c FILE",
		Short: "Check a configuration and print it with its defaults",
		Long: `Checks a configuration: every key, value, environment variable and file it refers to. Prints what is in effect,
defaults included and secrets masked, or every mistake with its line. Nothing is opened or written.`,
		Example: "  activity-agent validate -c agent.yaml",
		Args:    noArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := load(*path)
		if err != nil {
			return err
		}
		if _, err := tail.New(tail.Options{Files: c.Files, Registry: noStreams{}}); err != nil {
			return usageError{fmt.Errorf("%s: %w", *path, err)}
		}
		fmt.Fprint(p.stdout, c.String())
		fmt.Fprintf(p.stderr, "%s is valid\n", *path)
		return nil
	}
	return cmd
}
