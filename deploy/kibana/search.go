package kibana

import "github.com/truledgr/activity-agent/activity"

// A saved search is a list of activities in Discover.
type savedSearch struct {
	name    string // part of its id: never changed
	title   string
	of      activity.Kind // NoKind: all
	where   string        // in KQL; "" for all
	columns []activity.FieldID
}

// searches are one for each kind, over all, and of what people look for most.
func searches() []savedSearch {
	return []savedSearch{
		{"all", "All activities", activity.NoKind, "",
			[]activity.FieldID{activity.KindField, activity.ActivityType, activity.UserID, activity.ECSEventOutcome, activity.ServiceName, activity.Description}},
		{"activity", "Other activities", activity.Plain, "",
			[]activity.FieldID{activity.ActivityType, activity.UserID, activity.EntityType, activity.EntityID, activity.Status, activity.Description}},
		{"api-transaction", "API transactions", activity.APITransaction, "",
			[]activity.FieldID{activity.Method, activity.Endpoint, activity.StatusCode, activity.ExecutionTimeMS, activity.UserID, activity.IPAddress}},
		{"api-errors", "API transactions that failed", activity.APITransaction, "status_code >= 500",
			[]activity.FieldID{activity.Method, activity.Endpoint, activity.StatusCode, activity.ErrorDetails, activity.TraceID}},
		{"auth-event", "Authentication", activity.AuthEvent, "",
			[]activity.FieldID{activity.EventType, activity.UserID, activity.Success, activity.FailureReason, activity.LoginMethod, activity.IPAddress}},
		{"auth-failures", "Authentication that failed", activity.AuthEvent, "success: false",
			[]activity.FieldID{activity.EventType, activity.UserID, activity.FailureReason, activity.IPAddress, activity.UserAgent}},
		{"data-change", "Data changes", activity.DataChange, "",
			[]activity.FieldID{activity.Operation, activity.TableName, activity.RecordID, activity.ChangedFields, activity.UserID}},
		{"data-access", "Data access", activity.DataAccess, "",
			[]activity.FieldID{activity.Operation, activity.TableName, activity.RecordCount, activity.FieldsAccessed, activity.PermissionLevel, activity.UserID}},
		{"external-api", "Calls of external APIs", activity.ExternalAPI, "",
			[]activity.FieldID{activity.ServiceNameExternal, activity.Method, activity.Endpoint, activity.StatusCode, activity.ExecutionTimeMS, activity.RateLimitRemaining}},
		{"system-event", "System events", activity.SystemEvent, "",
			[]activity.FieldID{activity.Severity, activity.Component, activity.EventType, activity.ErrorCode, activity.Description}},
		{"system-errors", "System events that are errors", activity.SystemEvent, "severity: (error or critical)",
			[]activity.FieldID{activity.Severity, activity.Component, activity.ErrorCode, activity.Description, activity.ServiceName}},
		{"not-json", "Lines that could not be read as they were", activity.NoKind, "event.kind: pipeline_error or truncated: true",
			[]activity.FieldID{activity.LogFilePath, activity.LogOffset, activity.ClassifiedBy, activity.Truncated, activity.Description}},
	}
}

func (p prefixed) searchID(name string) string { return p.id("search-" + name) }

// A discover is the attributes of a saved search.
type discover struct {
	Title            string         `json:"title"`
	Description      string         `json:"description"`
	Columns          []string       `json:"columns"`
	Sort             [][2]string    `json:"sort"`
	Grid             map[string]any `json:"grid"`
	HideChart        bool           `json:"hideChart"`
	IsTextBasedQuery bool           `json:"isTextBasedQuery"`
	TimeRestore      bool           `json:"timeRestore"`
	Source           savedSource    `json:"kibanaSavedObjectMeta"`
}

// A savedSource holds what is asked for, as JSON in a string.
type savedSource struct {
	SearchSource string `json:"searchSourceJSON"`
}

type searchSource struct {
	Query        query  `json:"query"`
	Filter       []any  `json:"filter"`
	IndexRefName string `json:"indexRefName,omitempty"` // the name of the reference to the data view
}

type query struct {
	Query    string `json:"query"`
	Language string `json:"language"`
}

func kql(condition string) query { return query{condition, "kuery"} }

func (p prefixed) search(s savedSearch) Object {
	const ref = "kibanaSavedObjectMeta.searchSourceJSON.index"
	columns := make([]string, len(s.columns))
	for i, c := range s.columns {
		columns[i] = c.Name()
	}
	return p.object("search", searchVersion, p.searchID(s.name), discover{
		Title: "Activities: " + s.title, Columns: columns, Sort: [][2]string{{activity.Timestamp.Name(), "desc"}}, Grid: map[string]any{},
		Source: savedSource{text(searchSource{kql(s.where), []any{}, ref})},
	}, []Reference{{"index-pattern", p.viewID(s.of), ref}})
}
