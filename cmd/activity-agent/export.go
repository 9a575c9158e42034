package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/export"
)

// exportFlags are the flags of export that are not filters.
type exportFlags struct {
	output, format string
	gzip, resume   bool
	limit          int
}

func (p *program) exportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export -c FILE | --url ADDRESS",
		Short: "Write activities to a file: NDJSON, CSV or JSON",
		Long: "Writes all activities that match, newest first, to a file or standard output.\n\n" + sourceHelp + "\n\n" + filterHelp + `

A file is written as FILE.part and renamed when it is whole. What was interrupted goes on with --resume and the same flags.
In CSV, a text that a spreadsheet would take for a formula has an apostrophe before it; see docs/api.md.`,
		Example: `  activity-agent export -c agent.yaml --from -30d -o month.csv
  activity-agent export -c agent.yaml --kind data_change -o changes.ndjson.gz --resume
  activity-agent export --url https://activities.example.com --user-id u-1042 --format csv > u-1042.csv`,
		Args: noArgs,
	}
	from := p.sourceFlags(cmd)
	f := filterFlags(cmd)
	var o exportFlags
	cmd.Flags().StringVarP(&o.output, "output", "o", "-", "`file` to write; - is standard output")
	cmd.Flags().StringVar(&o.format, "format", "", "ndjson, csv or json; what the file's name ends in, else ndjson")
	cmd.Flags().BoolVar(&o.gzip, "gzip", false, "compress; also where the file's name ends in .gz")
	cmd.Flags().BoolVar(&o.resume, "resume", false, "go on with FILE.part where it ends")
	cmd.Flags().IntVar(&o.limit, "limit", 0, "at most `n`; 0 for all")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q, err := f.query(from)
		if err != nil {
			return err
		}
		format, err := o.complete(q)
		if err != nil {
			return usageError{err}
		}
		store, done, err := from.open()
		if err != nil {
			return err
		}
		defer func() { _ = done() }()
		return p.export(cmd.Context(), store, q, o, format)
	}
	return cmd
}

// complete takes from the file's name what the flags do not say, and checks them.
func (o *exportFlags) complete(q search.Query) (export.Format, error) {
	name, packed := strings.CutSuffix(o.output, ".gz")
	o.gzip = o.gzip || packed
	if o.format == "" {
		o.format = string(export.NDJSON)
		if f, ok := export.ParseFormat(strings.TrimPrefix(filepath.Ext(name), ".")); ok {
			o.format = string(f)
		}
	}
	format, ok := export.ParseFormat(o.format)
	switch {
	case !ok:
		return "", errors.New("--format: must be ndjson, csv or json")
	case o.limit < 0:
		return "", errors.New("--limit: must not be negative")
	case o.resume && o.output == "-":
		return "", errors.New("--resume: is for files: name one with -o")
	case o.resume && format == export.JSON:
		return "", errors.New("--resume: is for ndjson and csv: a JSON array ends with its last byte only")
	case o.resume && o.limit > 0:
		return "", errors.New("--resume: is not for --limit")
	case o.resume && len(q.Fields) > 0 && !slices.Contains(q.Fields, "id"):
		return "", errors.New("--resume: goes on after an id: add id to --fields")
	}
	return format, nil
}

// export writes what q finds.
func (p *program) export(ctx context.Context, store reader, q search.Query, o exportFlags, format export.Format) error {
	columns := export.Columns(q.Model, q.Kinds, q.Fields)
	if o.output == "-" {
		out := newPacked(p.stdout, o.gzip)
		return errors.Join(p.exportTo(ctx, store, q, o.limit, out, export.NewWriter(out, format, columns, false)), out.Close())
	}
	if _, err := os.Stat(o.output); err == nil {
		return usageError{fmt.Errorf("%s is there already: move it away, or name another file", o.output)}
	}
	part := o.output + ".part"
	flags := os.O_CREATE | os.O_RDWR | os.O_EXCL
	if o.resume {
		flags &^= os.O_EXCL
	}
	file, err := os.OpenFile(part, flags, 0o600)
	if errors.Is(err, os.ErrExist) {
		return usageError{fmt.Errorf("%s is there from before: go on with --resume, or delete it", part)}
	} else if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	done, err := p.exportFile(ctx, store, q, o, format, columns, file)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("%w\nWhat there is so far is in %s: go on with --resume", err, part)
	}
	if err := os.Rename(part, o.output); err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	_, err = fmt.Fprintf(p.stderr, "%d activities in %s\n", done, o.output)
	return err
}

// exportFile writes to a file what it does not have yet, durably, and returns how many activities it has.
func (p *program) exportFile(ctx context.Context, store reader, q search.Query, o exportFlags, format export.Format, columns []string, file *os.File) (int64, error) {
	var before wholePart
	if o.resume {
		var err error
		if before, err = findWhole(file, format, columns, o.gzip); err != nil {
			return 0, err
		}
	}
	if err := file.Truncate(before.end); err != nil {
		return 0, err
	}
	if _, err := file.Seek(before.end, io.SeekStart); err != nil {
		return 0, err
	}
	if before.id != "" {
		if err := q.Resume(ctx, store.Get, before.id); errors.Is(err, search.ErrNotFound) {
			return 0, errors.New("the last activity of the file is in the store no more: begin anew")
		} else if err != nil {
			return 0, err
		}
	}
	out := newPacked(file, o.gzip)
	w := export.NewWriter(out, format, columns, before.end > 0)
	err := errors.Join(p.exportTo(ctx, store, q, o.limit, out, w), out.Close())
	if err == nil {
		err = file.Sync()
	}
	return before.count + w.Count(), err
}

// exportTo writes what q finds, with its progress on a terminal.
func (p *program) exportTo(ctx context.Context, store reader, q search.Query, limit int, out *packed, w *export.Writer) error {
	bar, err := p.newBar(ctx, store, q, limit)
	if err != nil {
		return err
	}
	defer bar.end()
	err = search.Pages(ctx, store, q, limit, func(page search.Page) error {
		for _, item := range page.Items {
			if err := w.Write(item); err != nil {
				return err
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
		bar.show(w.Count())
		return out.EndPage()
	})
	return errors.Join(err, w.Close())
}

// A bar is the progress on a terminal.
type bar struct {
	screen *screen // nil elsewhere
	total  int64
	began  time.Time
	shown  time.Time
}

func (p *program) newBar(ctx context.Context, store reader, q search.Query, limit int) (*bar, error) {
	if !isTerminal(p.stderr) {
		return &bar{}, nil
	}
	total, err := store.Count(ctx, q)
	if limit > 0 {
		total = min(total, int64(limit))
	}
	return &bar{newScreen(p.stderr, true), total, time.Now(), time.Time{}}, err
}

func (b *bar) show(n int64) {
	if b.screen == nil || time.Since(b.shown) < 100*time.Millisecond {
		return
	}
	b.shown = time.Now()
	b.screen.show(b.text(n, time.Since(b.began)))
}

// text is the line: a bar, how many, and how many a second.
func (b *bar) text(n int64, took time.Duration) string {
	const width = 30
	full := int(min(n, b.total) * width / max(b.total, 1))
	return fmt.Sprintf("[%s%s] %s of %s  %s/s", strings.Repeat("=", full), strings.Repeat(" ", width-full),
		count(n), count(b.total), count(int64(float64(n)/max(took.Seconds(), 0.001))))
}

func (b *bar) end() {
	if b.screen != nil {
		b.screen.mu.Lock()
		defer b.screen.mu.Unlock()
		b.screen.clear()
	}
}
