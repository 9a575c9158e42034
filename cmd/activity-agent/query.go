package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

func (p *program) queryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "query -c FILE | --url ADDRESS",
		Short: "Search the store",
		Long:  "Searches activities, newest first.\n\n" + sourceHelp + "\n\n" + filterHelp,
		Example: `  activity-agent query -c agent.yaml --kind auth_event --from -24h
  activity-agent query -c agent.yaml --user-id u-1042 --q '"card declined" -test'
  activity-agent query -c agent.yaml --where status_code.gte=500 --fields @timestamp,endpoint --json
  activity-agent query -c agent.yaml --kind data_change --limit 0 --json > changes.ndjson
  activity-agent query --url https://activities.example.com --token-file ~/.activities --status failed`,
		Args: noArgs,
	}
	from := p.sourceFlags(cmd)
	f := filterFlags(cmd)
	limit := cmd.Flags().Int("limit", 50, "at most `n`; 0 for all")
	asJSON := cmd.Flags().Bool("json", false, "one JSON object a line")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		q, err := f.query(from)
		if err != nil {
			return err
		}
		if *limit < 0 {
			return usageError{fmt.Errorf("--limit: must not be negative")}
		}
		store, done, err := from.open()
		if err != nil {
			return err
		}
		defer func() { _ = done() }()
		if *asJSON || len(q.Fields) > 0 {
			return search.Each(cmd.Context(), store, q, *limit, func(item json.RawMessage) error {
				_, err := fmt.Fprintf(p.stdout, "%s\n", item)
				return err
			})
		}
		return p.queryTable(cmd.Context(), store, q, *limit)
	}
	return cmd
}

func kindList() string {
	var names []string
	for _, k := range activity.Kinds() {
		names = append(names, k.String())
	}
	return strings.Join(names, ", ")
}

// row is what the table shows of an activity.
type row struct {
	Time        time.Time `json:"@timestamp"`
	Kind        string    `json:"kind"`
	Type        string    `json:"activity_type"`
	User        string    `json:"user_id"`
	Description string    `json:"description"`
	Method      string    `json:"method"`
	Endpoint    string    `json:"endpoint"`
	StatusCode  int       `json:"status_code"`
	Table       string    `json:"table_name"`
	Operation   string    `json:"operation"`
	EventType   string    `json:"event_type"`
	Severity    string    `json:"severity"`
	Event       struct {
		Outcome string `json:"outcome"`
	} `json:"event"`
}

// what is the row's last column: the telling fields of its kind, then the description.
func (r *row) what() string {
	var parts []string
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	add(r.Method)
	add(r.Endpoint)
	if r.StatusCode != 0 {
		add(fmt.Sprint(r.StatusCode))
	}
	add(r.Operation)
	add(r.Table)
	add(r.EventType)
	add(r.Severity)
	if r.Kind == activity.AuthEvent.String() {
		add(r.Event.Outcome)
	}
	add(r.Description)
	s := printable(strings.Join(parts, " "))
	if cut := []rune(s); len(cut) > 100 {
		s = string(cut[:99]) + "…"
	}
	return s
}

// printable puts spaces for what could act on a terminal.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, s)
}

func (p *program) queryTable(ctx context.Context, store reader, q search.Query, limit int) error {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tKIND\tTYPE\tUSER\tWHAT")
	shown := int64(0)
	err := search.Each(ctx, store, q, limit, func(item json.RawMessage) error {
		var r row
		if err := json.Unmarshal(item, &r); err != nil {
			return err
		}
		shown++
		_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Time.Local().Format("2006-01-02 15:04:05"), printable(r.Kind), printable(r.Type), printable(r.User), r.what())
		return err
	})
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	all, err := store.Count(ctx, q)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stderr, "%d of %d\n", shown, all)
	return err
}
