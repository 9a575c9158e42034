package kibana

import (
	"slices"
	"testing"
)

// A meaning is what a figure on a dashboard has to be, by its title: how many activities are so, or how many values of a field
// they have. It is written down apart from the panels, so that a panel that asks for the wrong thing is found.
type meaning struct {
	of string // the field; "" for the activities themselves
	is func(document) bool
}

func every(document) bool { return true }

// with says that a field has one of the values.
func with(field string, values ...any) func(document) bool {
	return func(d document) bool {
		return slices.ContainsFunc(d[field], func(v any) bool { return slices.Contains(values, v) })
	}
}

var (
	isError  = with("severity", "error", "critical")
	isDenied = with("success", false)
)

// figures are the meanings of all panels that show one figure, but for percentiles and sums, by their names.
var figures = map[string]meaning{
	"overview-all":      {"", every},
	"overview-failed":   {"", with("event.outcome", "failure")},
	"overview-users":    {"user_id", every},
	"overview-services": {"service.name", every},

	"api-requests":      {"", every},
	"api-server-errors": {"", with("status_code", 500, 503)},
	"api-client-errors": {"", with("status_code", 404, 429)},

	"auth-events":            {"", every},
	"auth-failures":          {"", isDenied},
	"auth-users-failing":     {"user_id", isDenied},
	"auth-addresses-failing": {"ip_address", isDenied},

	"data-changes-changes":   {"", every},
	"data-changes-deletions": {"", with("operation", "DELETE", "user_delete", "KeyPurge")},
	"data-changes-records":   {"record_id", every},
	"data-changes-users":     {"user_id", every},

	"data-access-accesses": {"", every},
	"data-access-users":    {"user_id", every},
	"data-access-tables":   {"table_name", every},

	"external-calls":   {"", every},
	"external-errors":  {"", with("status_code", 404, 429, 500, 503)},
	"external-limited": {"", with("status_code", 429)},

	"system-events":             {"", every},
	"system-errors":             {"", isError},
	"system-components-failing": {"component", isError},
	"system-services-failing":   {"service.name", isError},

	"agent-taken":     {"", every},
	"agent-agents":    {"integrity.chain", every},
	"agent-not-json":  {"", with("event.kind", "pipeline_error")},
	"agent-truncated": {"", with("truncated", true)},
}

// checkFigure compares the answer to a panel that shows one figure with what its title means.
func checkFigure(t *testing.T, name, operation string, got float64, documents []document) {
	t.Helper()
	m, known := figures[name]
	if !known {
		if operation == "count" || operation == "unique_count" {
			t.Errorf("nothing says what %s means", name)
		}
		return
	}
	want, seen := 0, map[any]bool{}
	for _, d := range documents {
		if !m.is(d) {
			continue
		}
		if m.of == "" {
			want++
		}
		for _, v := range d[m.of] {
			if !seen[v] {
				seen[v] = true
				want++
			}
		}
	}
	if got != float64(want) || want == 0 {
		t.Errorf("got %v, want %d and more than none", got, want)
	}
}
