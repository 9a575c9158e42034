package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/truledgr/activity-agent/activity/search"
)

// filters are the flags that select activities, as the parameters of the read API do.
type filters struct {
	values map[string]*[]string
	where  *[]string
}

// filterHelp explains them.
const filterHelp = `All filters must hold; a flag given twice, or with commas, means any of the values. Every other field is a
filter with --where: FIELD=VALUE, FIELD.gte=, .lte=, .gt=, .lt=, .exists=, .prefix=, and details.KEY=VALUE.`

// filterFlags adds the flags to a command, but for those of the parameters in without.
func filterFlags(cmd *cobra.Command, without ...string) *filters {
	f := &filters{values: map[string]*[]string{}}
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
		if !slices.Contains(without, flag.param) {
			f.values[flag.param] = cmd.Flags().StringArray(flag.name, nil, flag.help)
		}
	}
	f.where = cmd.Flags().StringArray("where", nil, "any other `condition`, such as status_code.gte=500")
	return f
}

// query reads the flags for the kinds and fields of from; their mistakes are usage errors.
func (f *filters) query(from *source) (search.Query, error) {
	m, err := from.model()
	if err != nil {
		return search.Query{}, err
	}
	params := map[string][]string{}
	for name, v := range f.values {
		if len(*v) > 0 {
			params[name] = *v
		}
	}
	for _, w := range *f.where {
		name, value, ok := strings.Cut(w, "=")
		if !ok {
			return search.Query{}, usageError{fmt.Errorf("--where %s: write FIELD=VALUE", name)}
		}
		params[name] = append(params[name], value)
	}
	q, err := search.Parse(m, params, nil, time.Now())
	if err != nil {
		return q, usageError{err}
	}
	return q, nil
}
