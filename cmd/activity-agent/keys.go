package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/truledgr/activity-agent/api/access"
)

func (p *program) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Make, list and revoke the API keys of the read API",
		Example: `  activity-agent keys create -c agent.yaml --role auditor --name support
  activity-agent keys list -c agent.yaml
  activity-agent keys revoke -c agent.yaml 0123456789abcdef`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(p.keysCreateCommand(), p.keysListCommand(), p.keysRevokeCommand())
	return cmd
}

func (p *program) keysCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "create -c FILE --role ROLE",
		Short: "Make an API key",
		Long: `Makes an API key and prints it, this once: the file api.auth.api_keys has only its hash. A server that runs knows it at
once.`,
		Example: `  activity-agent keys create -c agent.yaml --role auditor --name support
  activity-agent keys create -c agent.yaml --role user --user u-1042 --tenant acme --expires 720h`,
		Args: noArgs,
	}
	path := configFlag(cmd)
	f := cmd.Flags()
	var k access.Key
	f.StringVar((*string)(&k.Role), "role", "", "user, auditor or admin: what it `may` see")
	f.StringVar(&k.Name, "name", "", "a `name` to know it by")
	f.StringVar(&k.User, "user", "", "the `user` whose activities a key of the role user shows")
	f.StringVar(&k.Tenant, "tenant", "", "the only `tenant` whose activities it shows; without it, those of no tenant")
	f.BoolVar(&k.AllTenants, "all-tenants", false, "it shows the activities of every tenant")
	life := f.Duration("expires", 90*24*time.Hour, "it is valid for this `long`")
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := load(*path)
		if err != nil {
			return err
		}
		now := time.Now()
		k.Expires = now.Add(*life).UTC().Truncate(time.Second)
		if err := k.Check(now); err != nil {
			return usageError{err}
		}
		made, secret, err := access.OpenKeys(c.API.Auth.APIKeys).Create(k, now)
		if err != nil {
			return err
		}
		fmt.Fprintf(p.stderr, "key %s, valid until %s; it is not shown again:\n", made.ID, made.Expires.Format(time.RFC3339))
		_, err = fmt.Fprintln(p.stdout, secret)
		return err
	}
	return cmd
}

func (p *program) keysListCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list -c FILE",
		Short:   "List the API keys",
		Example: "  activity-agent keys list -c agent.yaml",
		Args:    noArgs,
	}
	path := configFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		c, err := load(*path)
		if err != nil {
			return err
		}
		keys, err := access.OpenKeys(c.API.Auth.APIKeys).List()
		if err != nil {
			return err
		}
		w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "ID\tROLE\tUSER\tTENANT\tEXPIRES\tNAME")
		for _, k := range keys {
			tenant := k.Tenant
			if k.AllTenants {
				tenant = "(all)"
			}
			expires := k.Expires.Format(time.RFC3339)
			if !time.Now().Before(k.Expires) {
				expires += " (expired)"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.ID, k.Role, k.User, tenant, expires, k.Name)
		}
		return w.Flush()
	}
	return cmd
}

func (p *program) keysRevokeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "revoke -c FILE ID",
		Short:   "Revoke an API key, at once",
		Example: "  activity-agent keys revoke -c agent.yaml 0123456789abcdef",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{fmt.Errorf("name one key by its id; see %s --help", cmd.CommandPath())}
			}
			return nil
		},
	}
	path := configFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		c, err := load(*path)
		if err != nil {
			return err
		}
		return access.OpenKeys(c.API.Auth.APIKeys).Revoke(args[0])
	}
	return cmd
}
