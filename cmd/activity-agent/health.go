package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/truledgr/activity-agent/agent"
)

func (p *program) healthCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "health -c FILE",
		Short: "Ask a running agent whether all is well",
		Long: `Asks the admin listener of the agent that runs with this configuration. Exits with 0 when all is well, and with 1
when something is failing, which it names: the store, the state directory, a file that cannot be read.`,
		Example: "  activity-agent health -c agent.yaml",
		Args:    noArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load(*path)
		if err != nil {
			return err
		}
		if c.Admin.Listen == "" {
			return usageError{errors.New("admin.listen is off in this configuration; set it to ask a running agent")}
		}
		h, err := askHealth(cmd.Context(), c.Admin.Listen)
		if err != nil {
			return err
		}
		if len(h.Trouble) > 0 {
			return errors.New(strings.Join(h.Trouble, "\n"))
		}
		state := "started"
		if !h.Started {
			state = "replaying"
		}
		fmt.Fprintf(p.stdout, "ok: %s, %d read, %d stored, %d in flight\n", state, h.Account.Read, h.Account.Stored, h.Account.InFlight)
		return nil
	}
	return cmd
}

func askHealth(ctx context.Context, listen string) (agent.Health, error) {
	var h agent.Health
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return h, usageError{fmt.Errorf("admin.listen: %w", err)}
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/healthz", nil)
	if err != nil {
		return h, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return h, fmt.Errorf("no agent answers at %s: %w; is it running with this configuration?", listen, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if err := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<20)).Decode(&h); err != nil {
		return h, fmt.Errorf("what answers at %s is no agent: %w", listen, err)
	}
	return h, nil
}
