package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/config"
	"github.com/truledgr/activity-agent/deploy/kibana"
	"github.com/truledgr/activity-agent/sinks/elasticsearch"
)

func (p *program) setupCommand() *cobra.Command {
	var o setupOptions
	cmd := &cobra.Command{
		Use:   "setup -c FILE",
		Short: "Prepare Elasticsearch and Kibana: templates, life cycles, roles, dashboards",
		Long: `Puts what the configured store needs into Elasticsearch: index templates, and where retention or
store.elasticsearch.warm_after say so, a life-cycle policy for each kind. --roles adds roles, --api-key makes a key for the
agent, and --kibana imports data views, searches and dashboards.

What is there and right stays as it is, so it may run as often as you like: after an update, for example. What the cluster
does not have (life cycles, security), setup says, and goes on. A template holds for indices that are made after it;
indices that are there get their life cycle.

The agent makes the templates when it starts and finds none, if its API key permits. Run setup with a key that does, and the
agent can do with one that may only write.`,
		Example: `  activity-agent setup -c agent.yaml
  activity-agent setup -c agent.yaml --roles --api-key ./es-api-key --kibana https://kibana:5601
  activity-agent setup -c agent.yaml --dry-run         print what would be put, and touch nothing
  activity-agent setup -c agent.yaml --export ./es     write it into files, for review or other tools`,
		Args: noArgs,
	}
	path := configFlag(cmd)
	cmd.Flags().BoolVar(&o.dry, "dry-run", false, "print everything as requests for Kibana's console, and connect to nothing")
	cmd.Flags().StringVar(&o.export, "export", "", "write everything into files in this `directory`, and connect to nothing")
	cmd.Flags().BoolVar(&o.roles, "roles", false, "make roles for the agent, for readers and for who runs setup")
	cmd.Flags().StringVar(&o.apiKey, "api-key", "", "make an API key for the agent and write it into this `file`, unless that is there")
	cmd.Flags().StringVar(&o.kibana, "kibana", "", "import data views, searches and dashboards into the Kibana at this `URL`, which may name a space")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load(*path)
		if err != nil {
			return err
		}
		if err := o.check(c); err != nil {
			return err
		}
		return p.setup(cmd.Context(), c, o)
	}
	return cmd
}

type setupOptions struct {
	dry, roles             bool
	export, apiKey, kibana string
}

func (o setupOptions) check(c *config.Config) error {
	switch {
	case o.dry && o.export != "":
		return usageError{errors.New("choose --dry-run or --export, not both")}
	case c.Store.Elasticsearch == nil:
		return usageError{errors.New("there is nothing to set up: the store is not Elasticsearch (store.elasticsearch)")}
	case o.kibana != "" && elasticsearch.CheckKibana(o.kibana) != "":
		return usageError{errors.New("--kibana: " + elasticsearch.CheckKibana(o.kibana))}
	case o.kibana != "" && c.Store.Elasticsearch.Flavor == elasticsearch.FlavorOpenSearch:
		return usageError{errors.New("--kibana: the saved objects are Kibana's; OpenSearch Dashboards cannot read them")}
	}
	return nil
}

func (p *program) setup(ctx context.Context, c *config.Config, o setupOptions) error {
	es := *c.Store.Elasticsearch
	wanted := elasticsearch.Wanted{Model: c.Model(), Days: func(k activity.Kind) int { return c.Retention.Days(c.Model(), k) }, Roles: o.roles}
	if o.dry || o.export != "" {
		wanted.Roles = true // to look at costs nothing
		all := append(es.Wanted(wanted), es.AgentKey())
		if o.dry {
			return p.printSetup(all, es.IndexPrefix)
		}
		return p.exportSetup(all, es.IndexPrefix, o.export)
	}
	done, err := elasticsearch.Install(ctx, es, wanted)
	if err != nil {
		return err
	}
	if o.apiKey != "" {
		change, err := p.makeKey(ctx, es, o.apiKey)
		if err != nil {
			return err
		}
		done.Changes = append(done.Changes, change)
	}
	if o.kibana != "" {
		change, lacking, err := elasticsearch.ImportObjects(ctx, es, o.kibana, kibana.NDJSON(es.IndexPrefix))
		if err != nil {
			return err
		}
		if lacking {
			done.Lacking = append(done.Lacking, "Kibana at the address of --kibana")
		} else {
			done.Changes = append(done.Changes, change)
		}
	}
	p.reportSetup(done)
	return nil
}

// makeKey makes an API key for the agent, unless the file has one: the key cannot be read again.
func (p *program) makeKey(ctx context.Context, es elasticsearch.Config, path string) (elasticsearch.Change, error) {
	change := elasticsearch.Change{Template: elasticsearch.Template{Kind: "api_key", Name: path}, Did: "unchanged"}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return change, nil
	}
	if err != nil {
		return change, fmt.Errorf("--api-key: %w", err)
	}
	key, err := elasticsearch.CreateAPIKey(ctx, es)
	if err == nil {
		_, err = fmt.Fprintln(f, key)
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return change, errors.Join(err, os.Remove(path))
	}
	change.Did = "created"
	return change, nil
}

// printSetup prints one request after another, in the form that Kibana's console takes, and where saved objects go.
func (p *program) printSetup(ts []elasticsearch.Template, prefix string) error {
	for _, t := range ts {
		body, err := indented(t.Body)
		if err != nil {
			return err
		}
		method, path := t.Request()
		if _, err := fmt.Fprintf(p.stdout, "%s %s\n%s\n", method, path, body); err != nil {
			return err
		}
	}
	objects := kibana.NDJSON(prefix)
	_, err := fmt.Fprintf(p.stdout, "# With --kibana, these %d saved objects:\n%s", bytes.Count(objects, []byte("\n")), prefixed("# ", objects))
	return err
}

// prefixed puts something before every line.
func prefixed(with string, lines []byte) string {
	var b strings.Builder
	for line := range bytes.Lines(lines) {
		b.WriteString(with)
		b.Write(line)
	}
	return b.String()
}

func (p *program) exportSetup(ts []elasticsearch.Template, prefix, dir string) error {
	write := func(name string, body []byte) error {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		if err := os.WriteFile(file, body, 0o644); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		_, err := fmt.Fprintln(p.stdout, file)
		return err
	}
	for _, t := range ts {
		body, err := indented(t.Body)
		if err == nil {
			err = write(filepath.Join(t.Kind, t.Name+".json"), body)
		}
		if err != nil {
			return err
		}
	}
	return write(filepath.Join("saved_objects", prefix+".ndjson"), kibana.NDJSON(prefix))
}

func indented(body json.RawMessage) ([]byte, error) {
	var b bytes.Buffer
	err := json.Indent(&b, body, "", "  ")
	b.WriteByte('\n')
	return b.Bytes(), err
}

func (p *program) reportSetup(done elasticsearch.Setup) {
	changed := 0
	for _, c := range done.Changes {
		if c.Did != "unchanged" {
			changed++
		}
		fmt.Fprintf(p.stdout, "%-9s  %s %s\n", c.Did, c.Kind, c.Name)
	}
	if changed == 0 {
		fmt.Fprintln(p.stdout, "Nothing had to be done.")
	}
	for _, what := range done.Lacking {
		fmt.Fprintln(p.stdout, "This cluster has no "+what+"; see docs/elasticsearch.md.")
	}
	if !done.Exact {
		fmt.Fprintln(p.stdout, "This cluster lacks the pattern tokeniser (module analysis-common): full text is approximate, see docs/elasticsearch.md.")
	}
}
