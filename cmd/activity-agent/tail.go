package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/spf13/cobra"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/live"
	"github.com/truledgr/activity-agent/api/remote"
)

func (p *program) tailCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tail -c FILE | --url ADDRESS",
		Short: "Show activities as they arrive",
		Long: `Shows the last activities, and then each one that arrives, late ones included, until it is interrupted. A connection
that is lost is made again, and nothing is missed or shown twice.

` + sourceHelp + `

` + filterHelp,
		Example: `  activity-agent tail -c agent.yaml
  activity-agent tail -c agent.yaml --kind auth_event --where success=false
  activity-agent tail --url https://activities.example.com --since -1h --json`,
		Args: noArgs,
	}
	from := p.sourceFlags(cmd)
	f := filterFlags(cmd, "sort", "from", "to")
	last := cmd.Flags().IntP("lines", "n", 10, "begin with the last `n` activities")
	since := cmd.Flags().String("since", "", "begin with all since this `time` instead: 2026-01-02, RFC 3339, or -1h")
	asJSON := cmd.Flags().Bool("json", false, "one JSON object a line")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q, err := f.query(from)
		if err != nil {
			return err
		}
		t := &tailing{p: p, q: q, last: *last, colour: p.colour(), json: *asJSON || len(q.Fields) > 0}
		if *last < 0 || *last > search.MaxLimit {
			return usageError{fmt.Errorf("--lines: must be from 0 to %d; --since shows more", search.MaxLimit)}
		}
		if *since != "" {
			if t.since, err = search.ParseTime(*since, time.Now()); err != nil {
				return usageError{fmt.Errorf("--since: %w", err)}
			}
		}
		store, done, err := from.open()
		if err != nil {
			return err
		}
		defer func() { _ = done() }()
		ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		if err = t.run(ctx, store); ctx.Err() != nil {
			return nil
		}
		return err
	}
	return cmd
}

// colour reports whether standard output shows colours.
func (p *program) colour() bool { return isTerminal(p.stdout) && p.getenv("NO_COLOR") == "" }

// tailing is a run of tail.
type tailing struct {
	p            *program
	q            search.Query
	last         int
	since        time.Time
	json, colour bool
	shown        map[ulid.ULID]struct{} // before the live part, which may bring the newest of them again
}

// run marks the place where the live part begins, shows what is there, and goes on from the mark.
func (t *tailing) run(ctx context.Context, store reader) error {
	subscribe, err := follower(store, t.q)
	if err != nil {
		return err
	}
	sub, err := subscribe(ctx, "")
	if err != nil {
		return err
	}
	mark := sub.Mark()
	sub.Close()
	if err := t.history(ctx, store); err != nil {
		return err
	}
	for {
		sub, err := t.connect(ctx, subscribe, mark)
		if err != nil {
			return err
		}
		mark, err = t.follow(ctx, sub, mark)
		sub.Close()
		switch {
		case errors.Is(err, live.ErrSlow): // at what shows it
		case errors.Is(err, remote.ErrEnded):
			fmt.Fprintf(t.p.stderr, "activity-agent: %v: connecting again\n", err)
		default:
			return err
		}
	}
}

// connect subscribes, again and again while the API cannot be reached.
func (t *tailing) connect(ctx context.Context, subscribe func(context.Context, string) (subscription, error), mark string) (subscription, error) {
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		sub, err := subscribe(ctx, mark)
		var refused *remote.Error
		var wrong *search.ParamError
		if err == nil || ctx.Err() != nil || errors.As(err, &wrong) || errors.As(err, &refused) && refused.Status < 500 && refused.Status != 429 {
			return sub, err
		}
		fmt.Fprintf(t.p.stderr, "activity-agent: %v: again in %v\n", err, wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// follow shows what sub brings until it ends, and returns the place after what it has shown.
func (t *tailing) follow(ctx context.Context, sub subscription, mark string) (string, error) {
	for {
		e, err := sub.Next(ctx)
		if err != nil {
			return mark, err
		}
		mark = e.Mark
		if _, shown := t.shown[e.ID]; e.Doc == nil || shown && e.ID != (ulid.ULID{}) {
			continue
		}
		doc, err := search.Select(e.Doc, t.q.Fields)
		if err != nil {
			return mark, err
		}
		if err := t.show(doc); err != nil {
			return mark, err
		}
	}
}

// history shows what is there before the live part, oldest first.
func (t *tailing) history(ctx context.Context, store reader) error {
	q := t.q
	q.Fields = nil // to know the ids
	t.shown = map[ulid.ULID]struct{}{}
	var items []json.RawMessage
	show := func(doc json.RawMessage) error {
		var d struct{ ID ulid.ULID }
		if json.Unmarshal(doc, &d) == nil {
			t.shown[d.ID] = struct{}{}
		}
		doc, err := search.Select(doc, t.q.Fields)
		if err != nil {
			return err
		}
		return t.show(doc)
	}
	if !t.since.IsZero() {
		q.From, q.Sort = t.since, []search.SortKey{{Field: activity.Timestamp}}
		return search.Each(ctx, store, q, 0, show)
	}
	if t.last == 0 {
		return nil
	}
	err := search.Each(ctx, store, q, t.last, func(doc json.RawMessage) error {
		items = append(items, doc)
		return nil
	})
	if err != nil {
		return err
	}
	slices.Reverse(items)
	for _, doc := range items {
		if err := show(doc); err != nil {
			return err
		}
	}
	return nil
}

// Colours of a terminal.
const (
	plain  = "\x1b[0m"
	faint  = "\x1b[2m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	cyan   = "\x1b[36m"
)

// show writes one activity.
func (t *tailing) show(doc json.RawMessage) error {
	if t.json {
		_, err := fmt.Fprintf(t.p.stdout, "%s\n", doc)
		return err
	}
	var r row
	if err := json.Unmarshal(doc, &r); err != nil {
		return err
	}
	paint := func(colour, text string) string {
		if !t.colour || colour == "" {
			return text
		}
		return colour + text + plain
	}
	_, err := fmt.Fprintf(t.p.stdout, "%s %s %s %s %s\n", paint(faint, r.Time.Local().Format("2006-01-02 15:04:05.000")),
		paint(cyan, fmt.Sprintf("%-15s", printable(r.Kind))), printable(r.Type), paint(faint, printable(r.User)), paint(r.alarm(), r.what()))
	return err
}

// alarm is the colour of what the row tells.
func (r *row) alarm() string {
	switch {
	case r.Event.Outcome == "failure", r.StatusCode >= 500, r.Severity == "error", r.Severity == "critical":
		return red
	case r.StatusCode >= 400, r.Severity == "warning":
		return yellow
	}
	return ""
}
