package kibana

import (
	a "github.com/truledgr/activity-agent/activity"
)

// A dashboard is panels and a list of activities below them.
type dashboard struct {
	name        string // part of its id: never changed
	title       string
	description string
	of          a.Kind // whose activities its controls offer values of; NoKind: all
	panels      []panel
	search      string // the name of the saved search below
}

// dashboards is the table of all panels. Titles and labels may change; a name is part of an id and may not.
func dashboards() []dashboard {
	return []dashboard{
		overview(), apiTraffic(), authentication(), dataChanges(), dataAccess(), externalAPIs(), systemHealth(), theAgent(),
	}
}

// What most dashboards show.
var (
	byTime   = []bucket{over(a.Timestamp)}
	events   = []metric{count("Activities")}
	failed   = "event.outcome: failure"
	latency  = []metric{percentile(50, a.ExecutionTimeMS, "Median"), percentile(95, a.ExecutionTimeMS, "95th percentile"), percentile(99, a.ExecutionTimeMS, "99th percentile")}
	lastSeen = greatest(a.Timestamp, "Last")
)

// byTimeAnd divides by the values of a field, and each of them by time.
func byTimeAnd(n int, f a.FieldID) []bucket { return []bucket{mostly(n, f), over(a.Timestamp)} }

func overview() dashboard {
	return dashboard{"overview", "Overview", "What happens, who does it, and how much of it fails.", a.NoKind, []panel{
		{name: "all", title: "Activities", as: figure, show: events},
		{name: "failed", title: "Failed", as: figure, where: failed, show: []metric{count("Failed")}},
		{name: "users", title: "Users", as: figure, show: []metric{distinct(a.UserID, "Users")}},
		{name: "services", title: "Services", as: figure, show: []metric{distinct(a.ServiceName, "Services")}},
		{name: "kinds-over-time", title: "Activities by kind", as: bars, by: byTimeAnd(10, a.KindField), show: events, wide: true},
		{name: "kinds", title: "Kinds", as: donut, by: []bucket{mostly(10, a.KindField)}, show: events},
		{name: "outcomes", title: "Outcomes", as: bars, by: byTimeAnd(3, a.ECSEventOutcome), show: events},
		{name: "top-users", title: "Users who do most", as: table, by: []bucket{top(20, a.UserID)},
			show: []metric{count("Activities"), count("Failed").only(failed), distinct(a.IPAddress, "Addresses"), lastSeen}},
		{name: "actions", title: "What is done most", as: table, by: []bucket{top(20, a.ActivityType)},
			show: []metric{count("Activities"), count("Failed").only(failed), distinct(a.UserID, "Users"), lastSeen}},
	}, "all"}
}

func apiTraffic() dashboard {
	k, errors := a.APITransaction, "status_code >= 500"
	return dashboard{"api", "API traffic", "Rate, errors and latency of the API, by endpoint.", k, []panel{
		{name: "requests", title: "Requests", of: k, as: figure, show: []metric{count("Requests")}},
		{name: "server-errors", title: "Server errors", of: k, as: figure, where: errors, show: []metric{count("Server errors")}},
		{name: "client-errors", title: "Client errors", of: k, as: figure, where: "status_code >= 400 and status_code < 500", show: []metric{count("Client errors")}},
		{name: "p95", title: "95th percentile", of: k, as: figure, show: []metric{percentile(95, a.ExecutionTimeMS, "95th percentile")}},
		{name: "rate", title: "Requests and errors", of: k, as: lines, by: byTime,
			show: []metric{count("Requests"), count("Client errors").only("status_code >= 400 and status_code < 500"), count("Server errors").only(errors)}},
		{name: "latency", title: "Latency", of: k, as: lines, by: byTime, show: latency},
		{name: "statuses", title: "Status codes", of: k, as: bars, by: byTimeAnd(10, a.StatusCode), show: []metric{count("Requests")}},
		{name: "methods", title: "Methods", of: k, as: donut, by: []bucket{mostly(7, a.Method)}, show: []metric{count("Requests")}},
		{name: "endpoints", title: "Endpoints", of: k, as: table, wide: true, by: []bucket{top(25, a.Endpoint)},
			show: append([]metric{count("Requests"), count("Client errors").only("status_code >= 400 and status_code < 500"), count("Server errors").only(errors)}, latency...)},
		{name: "users", title: "Users with most requests", of: k, as: table, by: []bucket{top(20, a.UserID)},
			show: []metric{count("Requests"), count("Server errors").only(errors), distinct(a.Endpoint, "Endpoints"), lastSeen}},
		{name: "addresses", title: "Addresses with most requests", of: k, as: table, by: []bucket{top(20, a.IPAddress)},
			show: []metric{count("Requests"), count("Client errors").only("status_code >= 400 and status_code < 500"), distinct(a.UserID, "Users"), lastSeen}},
	}, "api-errors"}
}

func authentication() dashboard {
	k, no := a.AuthEvent, "success: false"
	attempts := []metric{count("Events")}
	failures := []metric{count("Failures")}
	return dashboard{"auth", "Authentication", "Logins, failures by user and address, and second factors.", k, []panel{
		{name: "events", title: "Events", of: k, as: figure, show: attempts},
		{name: "failures", title: "Failures", of: k, as: figure, where: no, show: failures},
		{name: "users-failing", title: "Users with failures", of: k, as: figure, where: no, show: []metric{distinct(a.UserID, "Users")}},
		{name: "addresses-failing", title: "Addresses with failures", of: k, as: figure, where: no, show: []metric{distinct(a.IPAddress, "Addresses")}},
		{name: "success", title: "Success and failure", of: k, as: bars, by: byTimeAnd(2, a.Success), show: attempts},
		{name: "types", title: "Events by type", of: k, as: bars, by: byTimeAnd(8, a.EventType), show: attempts},
		{name: "failures-by-user", title: "Failures by user", of: k, as: table, where: no, by: []bucket{top(20, a.UserID)},
			show: []metric{count("Failures"), distinct(a.IPAddress, "Addresses"), lastSeen}},
		{name: "failures-by-address", title: "Failures by address", of: k, as: table, where: no, by: []bucket{top(20, a.IPAddress)},
			show: []metric{count("Failures"), distinct(a.UserID, "Users"), lastSeen}},
		{name: "reasons", title: "Reasons of failures", of: k, as: donut, where: no, by: []bucket{mostly(8, a.FailureReason)}, show: failures},
		{name: "methods", title: "Login methods", of: k, as: donut, by: []bucket{mostly(8, a.LoginMethod)}, show: attempts},
		{name: "second-factors", title: "Second factors", of: k, as: table, by: []bucket{top(8, a.TwoFactorMethod)},
			show: []metric{count("Events"), count("Accepted").only("two_factor_success: true"), count("Refused").only("two_factor_success: false"), distinct(a.UserID, "Users")}},
		{name: "second-factors-over-time", title: "Second factors over time", of: k, as: bars, where: "two_factor_success: *",
			by: byTimeAnd(2, a.TwoFactorSuccess), show: attempts},
	}, "auth-failures"}
}

func dataChanges() dashboard {
	k := a.DataChange
	changes := []metric{count("Changes")}
	deletions := "operation: (*elete* or *DELETE* or *emove* or *REMOVE* or *urge*)" // as applications name them
	return dashboard{"data-changes", "Data changes", "What is changed, where, and by whom.", k, []panel{
		{name: "changes", title: "Changes", of: k, as: figure, show: changes},
		{name: "deletions", title: "Deletions", of: k, as: figure, where: deletions, show: []metric{count("Deletions")}},
		{name: "records", title: "Records", of: k, as: figure, show: []metric{distinct(a.RecordID, "Records")}},
		{name: "users", title: "Users", of: k, as: figure, show: []metric{distinct(a.UserID, "Users")}},
		{name: "operations", title: "Changes by operation", of: k, as: bars, by: byTimeAnd(8, a.Operation), show: changes},
		{name: "tables", title: "Changes by table", of: k, as: bars, by: byTimeAnd(10, a.TableName), show: changes},
		{name: "tables-and-operations", title: "Tables and operations", of: k, as: table, by: []bucket{top(20, a.TableName), top(5, a.Operation)},
			show: []metric{count("Changes"), distinct(a.RecordID, "Records"), distinct(a.UserID, "Users"), lastSeen}},
		{name: "who", title: "Who changes most", of: k, as: table, by: []bucket{top(20, a.UserID)},
			show: []metric{count("Changes"), distinct(a.TableName, "Tables"), distinct(a.RecordID, "Records"), lastSeen}},
		{name: "fields", title: "Fields that change most", of: k, as: bars, by: []bucket{top(15, a.ChangedFields)}, show: changes},
		{name: "records-changed-most", title: "Records that change most", of: k, as: table, by: []bucket{top(20, a.RecordID)},
			show: []metric{count("Changes"), distinct(a.UserID, "Users"), lastSeen}},
	}, "data-change"}
}

func dataAccess() dashboard {
	k := a.DataAccess
	reads := []metric{count("Accesses")}
	return dashboard{"data-access", "Data access", "Who reads what, and how much of it.", k, []panel{
		{name: "accesses", title: "Accesses", of: k, as: figure, show: reads},
		{name: "records", title: "Records read", of: k, as: figure, show: []metric{sum(a.RecordCount, "Records read")}},
		{name: "users", title: "Users", of: k, as: figure, show: []metric{distinct(a.UserID, "Users")}},
		{name: "tables", title: "Tables", of: k, as: figure, show: []metric{distinct(a.TableName, "Tables")}},
		{name: "tables-over-time", title: "Accesses by table", of: k, as: bars, by: byTimeAnd(10, a.TableName), show: reads},
		{name: "records-over-time", title: "Records read", of: k, as: lines, by: byTime,
			show: []metric{sum(a.RecordCount, "Records read"), greatest(a.RecordCount, "Most at once")}},
		{name: "who", title: "Who reads most", of: k, as: table, by: []bucket{top(20, a.UserID)},
			show: []metric{sum(a.RecordCount, "Records read"), count("Accesses"), distinct(a.TableName, "Tables"), greatest(a.RecordCount, "Most at once"), lastSeen}},
		{name: "what", title: "What is read most", of: k, as: table, by: []bucket{top(20, a.TableName)},
			show: []metric{count("Accesses"), sum(a.RecordCount, "Records read"), distinct(a.UserID, "Users"), lastSeen}},
		{name: "fields", title: "Fields that are read most", of: k, as: bars, by: []bucket{top(15, a.FieldsAccessed)}, show: reads},
		{name: "permissions", title: "Permissions", of: k, as: donut, by: []bucket{mostly(8, a.PermissionLevel)}, show: reads},
	}, "data-access"}
}

func externalAPIs() dashboard {
	k, errors := a.ExternalAPI, "status_code >= 400"
	calls := []metric{count("Calls")}
	left := least(a.RateLimitRemaining, "Calls left")
	return dashboard{"external", "External APIs", "Latency, errors and rate limits of the services that are called.", k, []panel{
		{name: "calls", title: "Calls", of: k, as: figure, show: calls},
		{name: "errors", title: "Errors", of: k, as: figure, where: errors, show: []metric{count("Errors")}},
		{name: "limited", title: "Refused by a rate limit", of: k, as: figure, where: "status_code: 429", show: []metric{count("Refused")}},
		{name: "p95", title: "95th percentile", of: k, as: figure, show: []metric{percentile(95, a.ExecutionTimeMS, "95th percentile")}},
		{name: "services", title: "Calls by service", of: k, as: bars, by: byTimeAnd(10, a.ServiceNameExternal), show: calls},
		{name: "errors-over-time", title: "Errors by service", of: k, as: bars, where: errors, by: byTimeAnd(10, a.ServiceNameExternal), show: []metric{count("Errors")}},
		{name: "latency", title: "95th percentile by service", of: k, as: lines,
			by: []bucket{top(8, a.ServiceNameExternal), over(a.Timestamp)}, show: []metric{percentile(95, a.ExecutionTimeMS, "95th percentile")}},
		{name: "rate-limits", title: "Calls left within the rate limit", of: k, as: lines, where: "rate_limit.remaining: *",
			by: []bucket{top(8, a.ServiceNameExternal), over(a.Timestamp)}, show: []metric{left}},
		{name: "endpoints", title: "Services and their endpoints", of: k, as: table, wide: true, by: []bucket{top(10, a.ServiceNameExternal), top(10, a.Endpoint)},
			show: append([]metric{count("Calls"), count("Errors").only(errors), count("Refused").only("status_code: 429"), left}, latency...)},
		{name: "statuses", title: "Status codes", of: k, as: donut, by: []bucket{mostly(10, a.StatusCode)}, show: calls},
		{name: "outcomes", title: "Outcomes", of: k, as: bars, by: byTimeAnd(3, a.ECSEventOutcome), show: calls},
	}, "external-api"}
}

func systemHealth() dashboard {
	k, errors := a.SystemEvent, "severity: (error or critical)"
	return dashboard{"system", "System health", "Errors and states of the system, by component.", k, []panel{
		{name: "events", title: "Events", of: k, as: figure, show: []metric{count("Events")}},
		{name: "errors", title: "Errors", of: k, as: figure, where: errors, show: []metric{count("Errors")}},
		{name: "components-failing", title: "Components with errors", of: k, as: figure, where: errors, show: []metric{distinct(a.Component, "Components")}},
		{name: "services-failing", title: "Services with errors", of: k, as: figure, where: errors, show: []metric{distinct(a.ServiceName, "Services")}},
		{name: "severities", title: "Events by severity", of: k, as: bars, by: byTimeAnd(6, a.Severity), show: []metric{count("Events")}},
		{name: "errors-over-time", title: "Errors by component", of: k, as: bars, where: errors, by: byTimeAnd(10, a.Component), show: []metric{count("Errors")}},
		{name: "components", title: "Components", of: k, as: table, by: []bucket{top(20, a.Component)},
			show: []metric{count("Events"), count("Errors").only(errors), distinct(a.ErrorCode, "Codes"), lastSeen}},
		{name: "codes", title: "Error codes", of: k, as: table, by: []bucket{top(20, a.ErrorCode)},
			show: []metric{count("Events"), distinct(a.Component, "Components"), distinct(a.HostName, "Hosts"), lastSeen}},
		{name: "types", title: "Types of events", of: k, as: donut, by: []bucket{mostly(10, a.EventType)}, show: []metric{count("Events")}},
		{name: "health", title: "Health", of: k, as: bars, where: "health_status: *", by: byTimeAnd(6, a.HealthStatus), show: []metric{count("Events")}},
	}, "system-errors"}
}

func theAgent() dashboard {
	return dashboard{"agent", "The agent itself",
		"What the agents have taken, from what is indexed. Their metrics say more: see docs/operations.md.", a.NoKind, []panel{
			{name: "taken", title: "Activities taken", as: figure, show: events},
			{name: "agents", title: "Agents", as: figure, show: []metric{distinct(a.IntegrityChain, "Agents")}},
			{name: "not-json", title: "Lines that were no JSON", as: figure, where: "event.kind: pipeline_error", show: []metric{count("Lines")}},
			{name: "truncated", title: "Cut at a limit", as: figure, where: "truncated: true", show: []metric{count("Cut")}},
			{name: "taken-over-time", title: "When the agents took them", as: bars, by: []bucket{mostly(5, a.KindField), over(a.CreatedAt)}, show: events},
			{name: "happened-over-time", title: "When they happened", as: bars, by: byTimeAnd(5, a.KindField), show: events},
			{name: "chains", title: "Agents, by what they took last", as: table, wide: true, by: []bucket{top(50, a.IntegrityChain), top(3, a.HostName)},
				show: []metric{count("Activities"), greatest(a.CreatedAt, "Last taken"), greatest(a.Timestamp, "Last happened"), greatest(a.IntegrityBatch, "Batches")}},
			{name: "pods", title: "Pods", as: table, by: []bucket{top(20, a.KubernetesPodName)},
				show: []metric{count("Activities"), distinct(a.LogFilePath, "Files"), greatest(a.CreatedAt, "Last taken")}},
			{name: "files", title: "Log files", as: table, by: []bucket{top(20, a.LogFilePath)},
				show: []metric{count("Activities"), greatest(a.LogOffset, "Offset"), greatest(a.CreatedAt, "Last taken")}},
			{name: "redacted", title: "What was redacted", as: bars, where: "redacted.detector: *", by: byTimeAnd(10, a.RedactedDetector), show: events},
			{name: "classified-by", title: "What chose the kind", as: table, by: []bucket{top(20, a.ClassifiedBy)},
				show: []metric{count("Activities"), distinct(a.KindField, "Kinds"), lastSeen}},
		}, "not-json"}
}
