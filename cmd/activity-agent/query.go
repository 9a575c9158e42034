package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

func (p *program) queryCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "query -c FILE",
		Short: "Search the store",
		Long: `Searches the configured store, newest first, while an agent may be writing to it. All filters must hold; a flag
given twice, or with commas, means any of the values. Every other field is a filter with --where: FIELD=VALUE,
FIELD.gte=, .lte=, .gt=, .lt=, .exists=, .prefix=, and details.KEY=VALUE.`,
		Example: `  activity-agent query -c agent.yaml --kind auth_event --from -24h
  activity-agent query -c agent.yaml --user-id u-1042 --q '"card declined" -test'
  activity-agent query -c agent.yaml --where status_code.gte=500 --fields @timestamp,endpoint --json
  activity-agent query -c agent.yaml --kind data_change --limit 0 --json > changes.ndjson`,
		Args: noArgs,
	}
	path := configFlag(cmd)
	f := cmd.Flags()
	values := map[string]*[]string{}
	for _, flag := range []struct{ name, param, help string }{
		{"kind", "kind", "of these `kinds`: " + kindList() + ", or of your own"},
		{"activity-type", "activity_type", "of this `type`, such as user_login"},
		{"user-id", "user_id", "by this `user`"},
		{"entity-type", "entity_type", "about this `sort` of thing"},
		{"entity-id", "entity_id", "about this `thing`"},
		{"status", "status", "with this `status`"},
		{"tags", "tags", "with any of these `tags`"},
		{"from", "from", "at or after this `time`: 2026-01-02, RFC 3339, or -24h"},
		{"to", "to", "before this `time`"},
		{"q", "q", "`text` search: words, \"phrases\", -without"},
		{"fields", "fields", "only these `fields` of each activity"},
		{"sort", "sort", "by this `field`; -field for descending"},
	} {
		values[flag.param] = f.StringArray(flag.name, nil, flag.help)
	}
	where := f.StringArray("where", nil, "any other `condition`, such as status_code.gte=500")
	limit := f.Int("limit", 50, "at most `n`; 0 for all")
	asJSON := f.Bool("json", false, "one JSON object a line")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		params := map[string][]string{}
		for name, v := range values {
			if len(*v) > 0 {
				params[name] = *v
			}
		}
		for _, w := range *where {
			name, value, ok := strings.Cut(w, "=")
			if !ok {
				return usageError{fmt.Errorf("--where %s: write FIELD=VALUE", name)}
			}
			params[name] = append(params[name], value)
		}
		if *limit < 0 {
			return usageError{fmt.Errorf("--limit: must not be negative")}
		}
		c, err := load(*path)
		if err != nil {
			return err
		}
		q, err := search.Parse(c.Model(), params, nil, time.Now())
		if err != nil {
			return usageError{err}
		}
		store, done, err := openSearch(c.Store, c.Model())
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
	s := strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.Join(parts, " "))
	if cut := []rune(s); len(cut) > 100 {
		s = string(cut[:99]) + "…"
	}
	return s
}

func (p *program) queryTable(ctx context.Context, store search.Store, q search.Query, limit int) error {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "TIME\tKIND\tTYPE\tUSER\tWHAT")
	shown := int64(0)
	err := search.Each(ctx, store, q, limit, func(item json.RawMessage) error {
		var r row
		if err := json.Unmarshal(item, &r); err != nil {
			return err
		}
		shown++
		_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Time.Local().Format("2006-01-02 15:04:05"), r.Kind, r.Type, r.User, r.what())
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
