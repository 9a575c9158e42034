package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/truledgr/activity-agent/sinks/elasticsearch"
)

func (p *program) setupCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "setup -c FILE",
		Short: "Prepare Elasticsearch: index templates",
		Long: `Puts the index templates of the configured store into Elasticsearch. What is there and right stays as it is, so it
may run as often as you like: after an update, for example. A template holds for indices that are made after it.

The agent does the same when it starts and finds no templates, if its API key permits. Run setup with a key that does,
and the agent can do with one that may only write.`,
		Example: `  activity-agent setup -c agent.yaml
  activity-agent setup -c agent.yaml --dry-run         print what would be put, and touch nothing
  activity-agent setup -c agent.yaml --export ./es     write it into files, for review or other tools`,
		Args: noArgs,
	}
	path := configFlag(cmd)
	dry := cmd.Flags().Bool("dry-run", false, "print the templates as JSON, and connect to nothing")
	export := cmd.Flags().String("export", "", "write the templates into this `directory`, and connect to nothing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if *dry && *export != "" {
			return usageError{errors.New("choose --dry-run or --export, not both")}
		}
		c, err := load(*path)
		if err != nil {
			return err
		}
		es := c.Store.Elasticsearch
		switch {
		case es == nil:
			return usageError{errors.New("there is nothing to set up: the store is not Elasticsearch (store.elasticsearch)")}
		case *dry:
			return p.printTemplates(es.Templates(c.Model(), true))
		case *export != "":
			return p.exportTemplates(es.Templates(c.Model(), true), *export)
		}
		done, err := elasticsearch.Install(cmd.Context(), *es, c.Model())
		if err != nil {
			return err
		}
		p.reportSetup(done)
		return nil
	}
	return cmd
}

// printTemplates prints one request after another, in the form that Kibana's console takes.
func (p *program) printTemplates(ts []elasticsearch.Template) error {
	for _, t := range ts {
		body, err := indented(t.Body)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(p.stdout, "PUT /_%s/%s\n%s\n", t.Kind, t.Name, body); err != nil {
			return err
		}
	}
	return nil
}

func (p *program) exportTemplates(ts []elasticsearch.Template, dir string) error {
	for _, t := range ts {
		body, err := indented(t.Body)
		if err != nil {
			return err
		}
		file := filepath.Join(dir, t.Kind, t.Name+".json")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		if err := os.WriteFile(file, body, 0o644); err != nil {
			return fmt.Errorf("export: %w", err)
		}
		if _, err := fmt.Fprintln(p.stdout, file); err != nil {
			return err
		}
	}
	return nil
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
	if !done.Exact {
		fmt.Fprintln(p.stdout, "This cluster lacks the pattern tokeniser (module analysis-common): full text is approximate, see docs/elasticsearch.md.")
	}
}
