package client

// Written by "go test ./client -update" from the table in activity/field.go. Do not edit.

import (
	"net/netip"
	"time"
)

// Service is the application; what is not said here the agent's configuration says.
type Service struct {
	Name        string `json:"name,omitempty"`        // Application that wrote it
	Version     string `json:"version,omitempty"`     // Version of the application
	Environment string `json:"environment,omitempty"` // Environment of the application, such as production
}

// Host is where it was written.
type Host struct {
	Name string `json:"name,omitempty"` // Host it was written on
}

// Log is where in the application it was written.
type Log struct {
	Logger string `json:"logger,omitempty"` // Logger that wrote the line
}

// RateLimit is what the called service says of its limits.
type RateLimit struct {
	Limit     *int      `json:"limit,omitempty"`     // Calls allowed in the window
	Remaining *int      `json:"remaining,omitempty"` // Calls left in the window
	ResetAt   time.Time `json:"reset_at,omitzero"`   // When the window ends
}

// Activity is something that somebody did, of no more special kind. What has its zero value is not written.
type Activity struct {
	ID           string     `json:"id,omitempty"`            // ULID of the activity: its time and 80 bits that name its place in the log
	Timestamp    time.Time  `json:"@timestamp,omitzero"`     // When it happened
	ActivityType string     `json:"activity_type,omitempty"` // Free name of the action, such as user_login; the kind where nothing better is known
	UserID       string     `json:"user_id,omitempty"`       // Who did it
	EntityType   string     `json:"entity_type,omitempty"`   // What sort of thing it was done to, such as order
	EntityID     string     `json:"entity_id,omitempty"`     // Which thing it was done to
	Description  string     `json:"description,omitempty"`   // What happened, in words; the line's message
	Status       string     `json:"status,omitempty"`        // State or result as the sender names it
	Tags         []string   `json:"tags,omitempty"`          // Free labels
	IPAddress    netip.Addr `json:"ip_address,omitzero"`     // Address of the caller
	UserAgent    string     `json:"user_agent,omitempty"`    // User agent of the caller
	Details      any        `json:"details,omitempty"`       // Everything of the line that has no field of its own
	Context      any        `json:"context,omitempty"`       // Circumstances, as the sender gave them
	Metadata     any        `json:"metadata,omitempty"`      // Data about the event, as the sender gave it
	TraceID      string     `json:"trace_id,omitempty"`      // Trace it belongs to
	SpanID       string     `json:"span_id,omitempty"`       // Span it belongs to
	RequestID    string     `json:"request_id,omitempty"`    // Request it belongs to
	TenantID     string     `json:"tenant_id,omitempty"`     // Tenant it belongs to
	Service      Service    `json:"service,omitzero"`
	Host         Host       `json:"host,omitzero"`
	Log          Log        `json:"log,omitzero"`
}

// APITransaction is a request that this application answered. What has its zero value is not written.
type APITransaction struct {
	ID                 string     `json:"id,omitempty"`                  // ULID of the activity: its time and 80 bits that name its place in the log
	Timestamp          time.Time  `json:"@timestamp,omitzero"`           // When it happened
	ActivityType       string     `json:"activity_type,omitempty"`       // Free name of the action, such as user_login; the kind where nothing better is known
	UserID             string     `json:"user_id,omitempty"`             // Who did it
	EntityType         string     `json:"entity_type,omitempty"`         // What sort of thing it was done to, such as order
	EntityID           string     `json:"entity_id,omitempty"`           // Which thing it was done to
	Description        string     `json:"description,omitempty"`         // What happened, in words; the line's message
	Status             string     `json:"status,omitempty"`              // State or result as the sender names it
	Tags               []string   `json:"tags,omitempty"`                // Free labels
	Method             string     `json:"method,omitempty"`              // HTTP method
	Endpoint           string     `json:"endpoint,omitempty"`            // Path or URL that was called
	StatusCode         *int       `json:"status_code,omitempty"`         // HTTP status code
	RequestData        any        `json:"request_data,omitempty"`        // Body or parameters of the request
	ResponseData       any        `json:"response_data,omitempty"`       // Body of the response
	Headers            any        `json:"headers,omitempty"`             // Headers of the request
	ExecutionTimeMS    *float64   `json:"execution_time_ms,omitempty"`   // How long it took, in milliseconds
	ErrorDetails       string     `json:"error_details,omitempty"`       // What went wrong
	PerformanceMetrics any        `json:"performance_metrics,omitempty"` // Measurements of the request
	IPAddress          netip.Addr `json:"ip_address,omitzero"`           // Address of the caller
	UserAgent          string     `json:"user_agent,omitempty"`          // User agent of the caller
	Details            any        `json:"details,omitempty"`             // Everything of the line that has no field of its own
	Context            any        `json:"context,omitempty"`             // Circumstances, as the sender gave them
	Metadata           any        `json:"metadata,omitempty"`            // Data about the event, as the sender gave it
	TraceID            string     `json:"trace_id,omitempty"`            // Trace it belongs to
	SpanID             string     `json:"span_id,omitempty"`             // Span it belongs to
	RequestID          string     `json:"request_id,omitempty"`          // Request it belongs to
	TenantID           string     `json:"tenant_id,omitempty"`           // Tenant it belongs to
	Service            Service    `json:"service,omitzero"`
	Host               Host       `json:"host,omitzero"`
	Log                Log        `json:"log,omitzero"`
}

// DataAccess is a reading of data. What has its zero value is not written.
type DataAccess struct {
	ID              string     `json:"id,omitempty"`               // ULID of the activity: its time and 80 bits that name its place in the log
	Timestamp       time.Time  `json:"@timestamp,omitzero"`        // When it happened
	ActivityType    string     `json:"activity_type,omitempty"`    // Free name of the action, such as user_login; the kind where nothing better is known
	UserID          string     `json:"user_id,omitempty"`          // Who did it
	EntityType      string     `json:"entity_type,omitempty"`      // What sort of thing it was done to, such as order
	EntityID        string     `json:"entity_id,omitempty"`        // Which thing it was done to
	Description     string     `json:"description,omitempty"`      // What happened, in words; the line's message
	Status          string     `json:"status,omitempty"`           // State or result as the sender names it
	Tags            []string   `json:"tags,omitempty"`             // Free labels
	Method          string     `json:"method,omitempty"`           // HTTP method
	Endpoint        string     `json:"endpoint,omitempty"`         // Path or URL that was called
	StatusCode      *int       `json:"status_code,omitempty"`      // HTTP status code
	IPAddress       netip.Addr `json:"ip_address,omitzero"`        // Address of the caller
	UserAgent       string     `json:"user_agent,omitempty"`       // User agent of the caller
	TableName       string     `json:"table_name,omitempty"`       // Table, collection or resource
	Operation       string     `json:"operation,omitempty"`        // What was done to it, such as read or update
	QueryParams     any        `json:"query_params,omitempty"`     // Parameters of the query
	FieldsAccessed  []string   `json:"fields_accessed,omitempty"`  // Names of the fields that were read
	PermissionLevel string     `json:"permission_level,omitempty"` // Permission under which it was read
	AppliedFilters  any        `json:"applied_filters,omitempty"`  // Filters that were applied
	RecordCount     *int       `json:"record_count,omitempty"`     // How many records were read
	Details         any        `json:"details,omitempty"`          // Everything of the line that has no field of its own
	Context         any        `json:"context,omitempty"`          // Circumstances, as the sender gave them
	Metadata        any        `json:"metadata,omitempty"`         // Data about the event, as the sender gave it
	TraceID         string     `json:"trace_id,omitempty"`         // Trace it belongs to
	SpanID          string     `json:"span_id,omitempty"`          // Span it belongs to
	RequestID       string     `json:"request_id,omitempty"`       // Request it belongs to
	TenantID        string     `json:"tenant_id,omitempty"`        // Tenant it belongs to
	Service         Service    `json:"service,omitzero"`
	Host            Host       `json:"host,omitzero"`
	Log             Log        `json:"log,omitzero"`
}

// DataChange is a change of data. What has its zero value is not written.
type DataChange struct {
	ID               string     `json:"id,omitempty"`                // ULID of the activity: its time and 80 bits that name its place in the log
	Timestamp        time.Time  `json:"@timestamp,omitzero"`         // When it happened
	ActivityType     string     `json:"activity_type,omitempty"`     // Free name of the action, such as user_login; the kind where nothing better is known
	UserID           string     `json:"user_id,omitempty"`           // Who did it
	EntityType       string     `json:"entity_type,omitempty"`       // What sort of thing it was done to, such as order
	EntityID         string     `json:"entity_id,omitempty"`         // Which thing it was done to
	Description      string     `json:"description,omitempty"`       // What happened, in words; the line's message
	Status           string     `json:"status,omitempty"`            // State or result as the sender names it
	Tags             []string   `json:"tags,omitempty"`              // Free labels
	Method           string     `json:"method,omitempty"`            // HTTP method
	Endpoint         string     `json:"endpoint,omitempty"`          // Path or URL that was called
	StatusCode       *int       `json:"status_code,omitempty"`       // HTTP status code
	IPAddress        netip.Addr `json:"ip_address,omitzero"`         // Address of the caller
	UserAgent        string     `json:"user_agent,omitempty"`        // User agent of the caller
	TableName        string     `json:"table_name,omitempty"`        // Table, collection or resource
	Operation        string     `json:"operation,omitempty"`         // What was done to it, such as read or update
	RecordID         string     `json:"record_id,omitempty"`         // Which record was changed
	OldValues        any        `json:"old_values,omitempty"`        // Values before the change
	NewValues        any        `json:"new_values,omitempty"`        // Values after the change
	ChangedFields    []string   `json:"changed_fields,omitempty"`    // Names of the fields that differ; computed from the values where absent
	ValidationErrors any        `json:"validation_errors,omitempty"` // Why the change was refused
	BusinessRules    any        `json:"business_rules,omitempty"`    // Rules that were applied
	Details          any        `json:"details,omitempty"`           // Everything of the line that has no field of its own
	Context          any        `json:"context,omitempty"`           // Circumstances, as the sender gave them
	Metadata         any        `json:"metadata,omitempty"`          // Data about the event, as the sender gave it
	TraceID          string     `json:"trace_id,omitempty"`          // Trace it belongs to
	SpanID           string     `json:"span_id,omitempty"`           // Span it belongs to
	RequestID        string     `json:"request_id,omitempty"`        // Request it belongs to
	TenantID         string     `json:"tenant_id,omitempty"`         // Tenant it belongs to
	Service          Service    `json:"service,omitzero"`
	Host             Host       `json:"host,omitzero"`
	Log              Log        `json:"log,omitzero"`
}

// AuthEvent is a login, a logout, or another event of authentication. What has its zero value is not written.
type AuthEvent struct {
	ID               string     `json:"id,omitempty"`                 // ULID of the activity: its time and 80 bits that name its place in the log
	Timestamp        time.Time  `json:"@timestamp,omitzero"`          // When it happened
	ActivityType     string     `json:"activity_type,omitempty"`      // Free name of the action, such as user_login; the kind where nothing better is known
	UserID           string     `json:"user_id,omitempty"`            // Who did it
	EntityType       string     `json:"entity_type,omitempty"`        // What sort of thing it was done to, such as order
	EntityID         string     `json:"entity_id,omitempty"`          // Which thing it was done to
	Description      string     `json:"description,omitempty"`        // What happened, in words; the line's message
	Status           string     `json:"status,omitempty"`             // State or result as the sender names it
	Tags             []string   `json:"tags,omitempty"`               // Free labels
	Method           string     `json:"method,omitempty"`             // HTTP method
	Endpoint         string     `json:"endpoint,omitempty"`           // Path or URL that was called
	StatusCode       *int       `json:"status_code,omitempty"`        // HTTP status code
	IPAddress        netip.Addr `json:"ip_address,omitzero"`          // Address of the caller
	UserAgent        string     `json:"user_agent,omitempty"`         // User agent of the caller
	EventType        string     `json:"event_type,omitempty"`         // What sort of authentication or system event, such as login or startup
	Success          *bool      `json:"success,omitempty"`            // Whether it succeeded
	FailureReason    string     `json:"failure_reason,omitempty"`     // Why it failed
	SessionID        string     `json:"session_id,omitempty"`         // Session it belongs to
	LoginMethod      string     `json:"login_method,omitempty"`       // How the user logged in, such as password or sso
	TwoFactorMethod  string     `json:"two_factor_method,omitempty"`  // Second factor that was used
	TwoFactorSuccess *bool      `json:"two_factor_success,omitempty"` // Whether the second factor was accepted
	Details          any        `json:"details,omitempty"`            // Everything of the line that has no field of its own
	Context          any        `json:"context,omitempty"`            // Circumstances, as the sender gave them
	Metadata         any        `json:"metadata,omitempty"`           // Data about the event, as the sender gave it
	TraceID          string     `json:"trace_id,omitempty"`           // Trace it belongs to
	SpanID           string     `json:"span_id,omitempty"`            // Span it belongs to
	RequestID        string     `json:"request_id,omitempty"`         // Request it belongs to
	TenantID         string     `json:"tenant_id,omitempty"`          // Tenant it belongs to
	Service          Service    `json:"service,omitzero"`
	Host             Host       `json:"host,omitzero"`
	Log              Log        `json:"log,omitzero"`
}

// ExternalAPI is a call of another service. What has its zero value is not written.
type ExternalAPI struct {
	ID              string     `json:"id,omitempty"`                // ULID of the activity: its time and 80 bits that name its place in the log
	Timestamp       time.Time  `json:"@timestamp,omitzero"`         // When it happened
	ActivityType    string     `json:"activity_type,omitempty"`     // Free name of the action, such as user_login; the kind where nothing better is known
	UserID          string     `json:"user_id,omitempty"`           // Who did it
	EntityType      string     `json:"entity_type,omitempty"`       // What sort of thing it was done to, such as order
	EntityID        string     `json:"entity_id,omitempty"`         // Which thing it was done to
	Description     string     `json:"description,omitempty"`       // What happened, in words; the line's message
	Status          string     `json:"status,omitempty"`            // State or result as the sender names it
	Tags            []string   `json:"tags,omitempty"`              // Free labels
	Method          string     `json:"method,omitempty"`            // HTTP method
	Endpoint        string     `json:"endpoint,omitempty"`          // Path or URL that was called
	StatusCode      *int       `json:"status_code,omitempty"`       // HTTP status code
	ExecutionTimeMS *float64   `json:"execution_time_ms,omitempty"` // How long it took, in milliseconds
	ErrorDetails    string     `json:"error_details,omitempty"`     // What went wrong
	IPAddress       netip.Addr `json:"ip_address,omitzero"`         // Address of the caller
	UserAgent       string     `json:"user_agent,omitempty"`        // User agent of the caller
	ServiceName     string     `json:"service_name,omitempty"`      // Service that was called
	RateLimit       RateLimit  `json:"rate_limit,omitzero"`
	Details         any        `json:"details,omitempty"`    // Everything of the line that has no field of its own
	Context         any        `json:"context,omitempty"`    // Circumstances, as the sender gave them
	Metadata        any        `json:"metadata,omitempty"`   // Data about the event, as the sender gave it
	TraceID         string     `json:"trace_id,omitempty"`   // Trace it belongs to
	SpanID          string     `json:"span_id,omitempty"`    // Span it belongs to
	RequestID       string     `json:"request_id,omitempty"` // Request it belongs to
	TenantID        string     `json:"tenant_id,omitempty"`  // Tenant it belongs to
	Service         Service    `json:"service,omitzero"`
	Host            Host       `json:"host,omitzero"`
	Log             Log        `json:"log,omitzero"`
}

// SystemEvent is an event of the system, such as a start or an error. What has its zero value is not written.
type SystemEvent struct {
	ID               string     `json:"id,omitempty"`                // ULID of the activity: its time and 80 bits that name its place in the log
	Timestamp        time.Time  `json:"@timestamp,omitzero"`         // When it happened
	ActivityType     string     `json:"activity_type,omitempty"`     // Free name of the action, such as user_login; the kind where nothing better is known
	UserID           string     `json:"user_id,omitempty"`           // Who did it
	EntityType       string     `json:"entity_type,omitempty"`       // What sort of thing it was done to, such as order
	EntityID         string     `json:"entity_id,omitempty"`         // Which thing it was done to
	Description      string     `json:"description,omitempty"`       // What happened, in words; the line's message
	Status           string     `json:"status,omitempty"`            // State or result as the sender names it
	Tags             []string   `json:"tags,omitempty"`              // Free labels
	IPAddress        netip.Addr `json:"ip_address,omitzero"`         // Address of the caller
	UserAgent        string     `json:"user_agent,omitempty"`        // User agent of the caller
	EventType        string     `json:"event_type,omitempty"`        // What sort of authentication or system event, such as login or startup
	Severity         string     `json:"severity,omitempty"`          // debug, info, warning, error or critical; trace and others as written
	Component        string     `json:"component,omitempty"`         // Part of the system it is about
	ErrorCode        string     `json:"error_code,omitempty"`        // Code of the error
	StackTrace       string     `json:"stack_trace,omitempty"`       // Stack trace of the error
	AffectedEntities any        `json:"affected_entities,omitempty"` // What else is affected
	HealthStatus     string     `json:"health_status,omitempty"`     // Health after the event
	Details          any        `json:"details,omitempty"`           // Everything of the line that has no field of its own
	Context          any        `json:"context,omitempty"`           // Circumstances, as the sender gave them
	Metadata         any        `json:"metadata,omitempty"`          // Data about the event, as the sender gave it
	TraceID          string     `json:"trace_id,omitempty"`          // Trace it belongs to
	SpanID           string     `json:"span_id,omitempty"`           // Span it belongs to
	RequestID        string     `json:"request_id,omitempty"`        // Request it belongs to
	TenantID         string     `json:"tenant_id,omitempty"`         // Tenant it belongs to
	Service          Service    `json:"service,omitzero"`
	Host             Host       `json:"host,omitzero"`
	Log              Log        `json:"log,omitzero"`
}
