package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/config"
	"github.com/truledgr/activity-agent/pipeline"
)

func (p *program) testCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "test -c FILE [LOG]",
		Short: "Show how lines would be classified and redacted",
		Long: `Runs the tests of the configuration, if it has any, and exits with 1 if one fails. Then reads the lines of LOG and
shows what each would become: the kind and what it was recognised by, what was redacted, by which detector and rule of
the configuration, and the document. Without LOG, a configuration without tests takes the lines from standard input, as
does the LOG "-". Nothing is stored. Secrets are not shown: what you see is what would leave the machine.`,
		Example: `  activity-agent test -c agent.yaml
  activity-agent test -c agent.yaml app.log
  tail -n 5 app.log | activity-agent test -c agent.yaml --json | jq .`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("one log file at a time; see %s --help", cmd.CommandPath())}
			}
			return nil
		},
	}
	path := configFlag(cmd)
	asJSON := cmd.Flags().Bool("json", false, "only the documents, one a line")
	limit := cmd.Flags().Int("limit", 0, "stop after `n` records; 0 for all")
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		c, err := load(*path)
		if err != nil {
			return err
		}
		in, name := p.stdin, "-"
		if len(args) == 1 && args[0] != "-" {
			f, err := os.Open(args[0])
			if err != nil {
				return usageError{err}
			}
			defer func() { _ = f.Close() }()
			in, name = f, args[0]
		}
		if len(c.Tests) > 0 && len(args) == 0 {
			in = nil
		}
		return p.test(c, in, name, *asJSON, *limit)
	}
	return cmd
}

// trial shows what becomes of records.
type trial struct {
	p      *program
	pipe   *pipeline.Pipeline
	stream pipeline.Stream
	asJSON bool
	left   int // records to show; negative for all
	number int
	why    map[int][]pipeline.Redaction // by record of the batch under way
}

// errEnough ends a trial at its limit.
var errEnough = errors.New("enough")

// test runs the configuration's tests, and shows what becomes of the lines of in; nil is none.
func (p *program) test(c *config.Config, in io.Reader, name string, asJSON bool, limit int) error {
	id := c.Agent.ID
	if id == "" {
		id = agent.DefaultID(p.getenv, p.hostname)
	}
	t := &trial{p: p, stream: pipeline.Stream{Path: name}, asJSON: asJSON, left: limit, why: map[int][]pipeline.Redaction{}}
	if limit == 0 {
		t.left = -1
	}
	pipe, err := pipeline.New(pipeline.Options{
		Config: c.Pipeline, AgentID: id, Version: version, Origin: agent.OriginOf(c.Agent, p.getenv, p.hostname),
		Keep: c.Retention.Ages(c.Model()), Model: c.Model(),
		Explain: func(i int, r pipeline.Redaction) { t.why[i] = append(t.why[i], r) },
	})
	if err != nil {
		return usageError{err}
	}
	t.pipe = pipe
	if len(c.Tests) > 0 && (!asJSON || in == nil) {
		if err := p.expect(pipe, c); err != nil {
			return err
		}
	}
	if in == nil {
		return nil
	}
	err = t.read(in, c.Files[0].MaxLineBytes)
	if errors.Is(err, errEnough) {
		err = nil
	}
	return err
}

// read cuts the input into records, a megabyte or one line at a time.
func (t *trial) read(in io.Reader, maxLine int) error {
	cutter := pipeline.Cutter{MaxLine: maxLine, Traces: true}
	raw := &pipeline.Raw{Buf: make([]byte, 0, 1<<20)}
	var offset int64
	for final := false; !final; {
		if len(raw.Buf) == cap(raw.Buf) { // no line ended in it
			raw.Buf = append(make([]byte, 0, 2*cap(raw.Buf)), raw.Buf...)
		}
		n, err := in.Read(raw.Buf[len(raw.Buf):cap(raw.Buf)])
		raw.Buf = raw.Buf[:len(raw.Buf)+n]
		final = errors.Is(err, io.EOF)
		if err != nil && !final {
			return err
		}
		raw.Ranges = append(raw.Ranges[:0], pipeline.Range{Stream: &t.stream, Start: offset})
		raw.Cuts, raw.Pieces = raw.Cuts[:0], raw.Pieces[:0]
		used, _ := cutter.Cut(raw, 0, len(raw.Buf), offset, final)
		raw.Ranges[0].End = offset + int64(used)
		if err := t.show(raw); err != nil {
			return err
		}
		raw.Buf = raw.Buf[:copy(raw.Buf, raw.Buf[used:])]
		offset += int64(used)
	}
	return nil
}

func (t *trial) show(raw *pipeline.Raw) error {
	var b pipeline.Batch
	clear(t.why)
	t.pipe.Process(raw, 1, time.Now().UTC(), &b)
	for i := range b.Records {
		if t.left == 0 {
			return errEnough
		}
		t.left--
		t.number++
		if err := t.one(&b.Records[i], b.Doc(i), t.why[i]); err != nil {
			return err
		}
	}
	return nil
}

func (t *trial) one(r *pipeline.Record, doc []byte, why []pipeline.Redaction) error {
	w := t.p.stdout
	if t.asJSON {
		if doc != nil {
			_, err := fmt.Fprintf(w, "%s\n", doc)
			return err
		}
		return nil
	}
	if doc == nil {
		what := map[pipeline.Fate]string{pipeline.Drop: "dropped", pipeline.DeadLetter: "dead-lettered"}[r.Fate]
		_, err := fmt.Fprintf(w, "%d  %s: %s\n\n", t.number, what, r.Reason)
		return err
	}
	var d struct {
		Kind string `json:"kind"`
		By   string `json:"classified_by"`
	}
	if err := json.Unmarshal(doc, &d); err != nil {
		return err
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "%d  %s  (by %s)\n", t.number, d.Kind, d.By)
	for _, h := range why {
		fmt.Fprintf(&out, "   redacted %s  (%s, by %s)\n", h.Path, h.Detector, h.Rule)
	}
	out.WriteString("   ")
	if err := json.Indent(&out, doc, "   ", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, strings.TrimRight(out.String(), "\n")+"\n")
	return err
}
