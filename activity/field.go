package activity

// Type is the type of a field's value, the same in documents, mappings, schemas and SQLite columns.
type Type uint8

// The types, with the JSON that a document carries.
const (
	Keyword  Type = iota // string, matched whole
	Keywords             // array of strings, each matched whole
	Text                 // string, searched by words
	IP                   // string holding an IPv4 or IPv6 address
	Date                 // RFC 3339 string in UTC with up to nine fraction digits
	Bool                 // true or false
	Long                 // integer of 64 bits
	Double               // floating-point number
	Free                 // object of any shape (Elasticsearch: flattened)
	List                 // array of objects, kept and not searched
)

// String returns the type's name in docs/fields.md.
func (t Type) String() string {
	return [...]string{"keyword", "keywords", "text", "ip", "date", "bool", "long", "double", "free", "list"}[t]
}

// Origin says who may give a field's value.
type Origin uint8

// The origins.
const (
	Sender Origin = iota // the line or the request
	Either               // the sender, and the agent where the sender is silent
	Agent                // the agent alone
)

// String returns the origin's name in docs/fields.md.
func (o Origin) String() string { return [...]string{"sender", "sender or agent", "agent"}[o] }

// A Field is one row of the table from which mappings, JSON Schemas, SQLite columns and docs/fields.md are derived.
type Field struct {
	Name   string   // path in the document, dotted where objects nest ("service.name")
	Type   Type     // of its value
	Kinds  KindSet  // the kinds that have it; AllKinds for the common ones
	Origin Origin   // of its value
	ECS    string   // name in the Elastic Common Schema, "" for none; equal to Name where the field is ECS itself
	Column bool     // whether SQLite keeps a column of its own for filters and sorting
	Values []string // the only values, where the set is closed
	Doc    string   // one line for people
}

// AllKinds is every kind, those that configurations declare among them.
const AllKinds KindSet = 1<<MaxKinds - 2

// FieldID is a field's row in the table. The zero FieldID is no field.
type FieldID uint8

// The fields.
const (
	NoField FieldID = iota
	ID
	Timestamp
	KindField
	ActivityType
	CreatedAt
	UpdatedAt
	UserID
	EntityType
	EntityID
	Description
	Status
	Tags
	// of the kinds
	Method
	Endpoint
	StatusCode
	RequestData
	ResponseData
	Headers
	ExecutionTimeMS
	ErrorDetails
	PerformanceMetrics
	IPAddress
	UserAgent
	TableName
	Operation
	QueryParams
	FieldsAccessed
	PermissionLevel
	AppliedFilters
	RecordCount
	RecordID
	OldValues
	NewValues
	ChangedFields
	ValidationErrors
	BusinessRules
	EventType
	Success
	FailureReason
	SessionID
	LoginMethod
	TwoFactorMethod
	TwoFactorSuccess
	ServiceNameExternal
	RateLimitLimit
	RateLimitRemaining
	RateLimitResetAt
	Severity
	Component
	ErrorCode
	StackTrace
	AffectedEntities
	HealthStatus
	// common again
	Details
	Context
	Metadata
	TraceID
	SpanID
	RequestID
	TenantID
	ServiceName
	ServiceVersion
	ServiceEnvironment
	HostName
	KubernetesNamespace
	KubernetesPodName
	KubernetesPodUID
	KubernetesNodeName
	KubernetesContainerName
	LogFilePath
	LogOffset
	LogLogger
	ECSEventKind
	ECSEventCategory
	ECSEventType
	ECSEventOutcome
	ECSEventDuration
	ECSVersion
	RedactedPath
	RedactedDetector
	Truncated
	ClassifiedBy
	Amendments
	IntegrityChain
	IntegrityBatch
	IntegritySeq
	IntegrityHash

	FieldCount
)

var (
	api    = Of(APITransaction)
	ext    = Of(ExternalAPI)
	calls  = Of(APITransaction, ExternalAPI)
	access = Of(DataAccess)
	change = Of(DataChange)
	data   = Of(DataAccess, DataChange)
	auth   = Of(AuthEvent)
	system = Of(SystemEvent)
	events = Of(AuthEvent, SystemEvent)
	served = Of(APITransaction, DataAccess, DataChange, AuthEvent, ExternalAPI) // what people do, they do by requests
)

// The values that ECS 8 allows in its categorisation fields.
var (
	ecsCategories = []string{"api", "authentication", "configuration", "database", "driver", "email", "file", "host", "iam",
		"intrusion_detection", "library", "malware", "network", "package", "process", "registry", "session", "threat",
		"vulnerability", "web"}
	ecsTypes = []string{"access", "admin", "allowed", "change", "connection", "creation", "deletion", "denied", "device",
		"end", "error", "group", "indicator", "info", "installation", "protocol", "start", "user"}
)

// table is the single description of a document. Its order is the order in which documents carry their fields.
var table = [FieldCount]Field{
	ID:           {"id", Keyword, AllKinds, Either, "event.id", true, nil, "ULID of the activity: its time and 80 bits that name its place in the log."},
	Timestamp:    {"@timestamp", Date, AllKinds, Either, "@timestamp", true, nil, "When it happened."},
	KindField:    {"kind", Keyword, AllKinds, Either, "", true, kindNames(), "What sort of event it is."},
	ActivityType: {"activity_type", Keyword, AllKinds, Either, "event.action", true, nil, "Free name of the action, such as user_login; the kind where nothing better is known."},
	CreatedAt:    {"created_at", Date, AllKinds, Agent, "event.created", true, nil, "When the agent took it."},
	UpdatedAt:    {"updated_at", Date, AllKinds, Agent, "", false, nil, "When it was last amended; absent until then."},
	UserID:       {"user_id", Keyword, AllKinds, Sender, "user.id", true, nil, "Who did it."},
	EntityType:   {"entity_type", Keyword, AllKinds, Sender, "", true, nil, "What sort of thing it was done to, such as order."},
	EntityID:     {"entity_id", Keyword, AllKinds, Sender, "", true, nil, "Which thing it was done to."},
	Description:  {"description", Text, AllKinds, Sender, "message", false, nil, "What happened, in words; the line's message."},
	Status:       {"status", Keyword, AllKinds, Sender, "", true, nil, "State or result as the sender names it."},
	Tags:         {"tags", Keywords, AllKinds, Either, "tags", true, nil, "Free labels."},

	Method:             {"method", Keyword, served, Sender, "http.request.method", true, nil, "HTTP method."},
	Endpoint:           {"endpoint", Keyword, served, Sender, "url.path", true, nil, "Path or URL that was called."},
	StatusCode:         {"status_code", Long, served, Sender, "http.response.status_code", true, nil, "HTTP status code."},
	RequestData:        {"request_data", Free, api, Sender, "", false, nil, "Body or parameters of the request."},
	ResponseData:       {"response_data", Free, api, Sender, "", false, nil, "Body of the response."},
	Headers:            {"headers", Free, api, Sender, "", false, nil, "Headers of the request."},
	ExecutionTimeMS:    {"execution_time_ms", Double, calls, Sender, "", true, nil, "How long it took, in milliseconds."},
	ErrorDetails:       {"error_details", Text, calls, Sender, "error.message", false, nil, "What went wrong."},
	PerformanceMetrics: {"performance_metrics", Free, api, Sender, "", false, nil, "Measurements of the request."},
	IPAddress:          {"ip_address", IP, AllKinds, Sender, "client.ip", true, nil, "Address of the caller."},
	UserAgent:          {"user_agent", Keyword, AllKinds, Sender, "user_agent.original", false, nil, "User agent of the caller."},
	TableName:          {"table_name", Keyword, data, Sender, "", true, nil, "Table, collection or resource."},
	Operation:          {"operation", Keyword, data, Sender, "", true, nil, "What was done to it, such as read or update."},
	QueryParams:        {"query_params", Free, access, Sender, "", false, nil, "Parameters of the query."},
	FieldsAccessed:     {"fields_accessed", Keywords, access, Sender, "", false, nil, "Names of the fields that were read."},
	PermissionLevel:    {"permission_level", Keyword, access, Sender, "", false, nil, "Permission under which it was read."},
	AppliedFilters:     {"applied_filters", Free, access, Sender, "", false, nil, "Filters that were applied."},
	RecordCount:        {"record_count", Long, access, Sender, "", true, nil, "How many records were read."},
	RecordID:           {"record_id", Keyword, change, Sender, "", true, nil, "Which record was changed."},
	OldValues:          {"old_values", Free, change, Sender, "", false, nil, "Values before the change."},
	NewValues:          {"new_values", Free, change, Sender, "", false, nil, "Values after the change."},
	ChangedFields:      {"changed_fields", Keywords, change, Either, "", false, nil, "Names of the fields that differ; computed from the values where absent."},
	ValidationErrors:   {"validation_errors", Free, change, Sender, "", false, nil, "Why the change was refused."},
	BusinessRules:      {"business_rules", Free, change, Sender, "", false, nil, "Rules that were applied."},
	EventType:          {"event_type", Keyword, events, Sender, "", true, nil, "What sort of authentication or system event, such as login or startup."},
	Success:            {"success", Bool, auth, Sender, "", true, nil, "Whether it succeeded."},
	FailureReason:      {"failure_reason", Keyword, auth, Sender, "event.reason", false, nil, "Why it failed."},
	SessionID:          {"session_id", Keyword, auth, Sender, "session.id", true, nil, "Session it belongs to."},
	LoginMethod:        {"login_method", Keyword, auth, Sender, "", false, nil, "How the user logged in, such as password or sso."},
	TwoFactorMethod:    {"two_factor_method", Keyword, auth, Sender, "", false, nil, "Second factor that was used."},
	TwoFactorSuccess:   {"two_factor_success", Bool, auth, Sender, "", false, nil, "Whether the second factor was accepted."},

	ServiceNameExternal: {"service_name", Keyword, ext, Sender, "", true, nil, "Service that was called."},
	RateLimitLimit:      {"rate_limit.limit", Long, ext, Sender, "", false, nil, "Calls allowed in the window."},
	RateLimitRemaining:  {"rate_limit.remaining", Long, ext, Sender, "", false, nil, "Calls left in the window."},
	RateLimitResetAt:    {"rate_limit.reset_at", Date, ext, Sender, "", false, nil, "When the window ends."},
	Severity:            {"severity", Keyword, system, Sender, "log.level", true, nil, "debug, info, warning, error or critical; trace and others as written."},
	Component:           {"component", Keyword, system, Sender, "", true, nil, "Part of the system it is about."},
	ErrorCode:           {"error_code", Keyword, system, Sender, "error.code", true, nil, "Code of the error."},
	StackTrace:          {"stack_trace", Text, system, Sender, "error.stack_trace", false, nil, "Stack trace of the error."},
	AffectedEntities:    {"affected_entities", Free, system, Sender, "", false, nil, "What else is affected."},
	HealthStatus:        {"health_status", Keyword, system, Sender, "", false, nil, "Health after the event."},

	Details:                 {"details", Free, AllKinds, Sender, "", false, nil, "Everything of the line that has no field of its own."},
	Context:                 {"context", Free, AllKinds, Sender, "", false, nil, "Circumstances, as the sender gave them."},
	Metadata:                {"metadata", Free, AllKinds, Sender, "", false, nil, "Data about the event, as the sender gave it."},
	TraceID:                 {"trace_id", Keyword, AllKinds, Sender, "trace.id", true, nil, "Trace it belongs to."},
	SpanID:                  {"span_id", Keyword, AllKinds, Sender, "span.id", false, nil, "Span it belongs to."},
	RequestID:               {"request_id", Keyword, AllKinds, Sender, "http.request.id", true, nil, "Request it belongs to."},
	TenantID:                {"tenant_id", Keyword, AllKinds, Sender, "organization.id", true, nil, "Tenant it belongs to."},
	ServiceName:             {"service.name", Keyword, AllKinds, Either, "service.name", true, nil, "Application that wrote it."},
	ServiceVersion:          {"service.version", Keyword, AllKinds, Either, "service.version", false, nil, "Version of the application."},
	ServiceEnvironment:      {"service.environment", Keyword, AllKinds, Either, "service.environment", false, nil, "Environment of the application, such as production."},
	HostName:                {"host.name", Keyword, AllKinds, Either, "host.name", true, nil, "Host it was written on."},
	KubernetesNamespace:     {"kubernetes.namespace", Keyword, AllKinds, Agent, "kubernetes.namespace", false, nil, "Namespace of the pod."},
	KubernetesPodName:       {"kubernetes.pod.name", Keyword, AllKinds, Agent, "kubernetes.pod.name", false, nil, "Name of the pod."},
	KubernetesPodUID:        {"kubernetes.pod.uid", Keyword, AllKinds, Agent, "kubernetes.pod.uid", false, nil, "UID of the pod."},
	KubernetesNodeName:      {"kubernetes.node.name", Keyword, AllKinds, Agent, "kubernetes.node.name", false, nil, "Node the pod runs on."},
	KubernetesContainerName: {"kubernetes.container.name", Keyword, AllKinds, Agent, "kubernetes.container.name", false, nil, "Container of the application."},
	LogFilePath:             {"log.file.path", Keyword, AllKinds, Agent, "log.file.path", false, nil, "File the line was read from."},
	LogOffset:               {"log.offset", Long, AllKinds, Agent, "log.offset", false, nil, "Offset of the line's first byte in the (decompressed) file."},
	LogLogger:               {"log.logger", Keyword, AllKinds, Sender, "log.logger", false, nil, "Logger that wrote the line."},
	ECSEventKind:            {"event.kind", Keyword, AllKinds, Agent, "event.kind", false, []string{"event", "pipeline_error"}, "ECS kind: event, or pipeline_error for a line that is no JSON or has a time that cannot be used."},
	ECSEventCategory:        {"event.category", Keywords, AllKinds, Agent, "event.category", false, ecsCategories, "ECS categories."},
	ECSEventType:            {"event.type", Keywords, AllKinds, Agent, "event.type", false, ecsTypes, "ECS types."},
	ECSEventOutcome:         {"event.outcome", Keyword, AllKinds, Agent, "event.outcome", true, []string{"success", "failure", "unknown"}, "ECS outcome."},
	ECSEventDuration:        {"event.duration", Long, AllKinds, Agent, "event.duration", false, nil, "execution_time_ms in nanoseconds."},
	ECSVersion:              {"ecs.version", Keyword, AllKinds, Agent, "ecs.version", false, nil, "Version of ECS that the names follow."},
	RedactedPath:            {"redacted.path", Keyword, AllKinds, Agent, "", false, nil, "Where something was removed. redacted is an array of {path, detector}, one for each place."},
	RedactedDetector:        {"redacted.detector", Keyword, AllKinds, Agent, "", false, nil, "Which detector removed it."},
	Truncated:               {"truncated", Bool, AllKinds, Agent, "", false, nil, "True where the line or a value was cut at a limit."},
	ClassifiedBy:            {"classified_by", Keyword, AllKinds, Agent, "", false, nil, "Rule, convention or shape that chose the kind."},
	Amendments:              {"amendments", List, AllKinds, Agent, "", false, nil, "Amendments, each with who, when, what and the old values."},
	IntegrityChain:          {"integrity.chain", Keyword, AllKinds, Agent, "", false, nil, "Integrity chain: one per state directory."},
	IntegrityBatch:          {"integrity.batch", Long, AllKinds, Agent, "", false, nil, "Batch in the chain."},
	IntegritySeq:            {"integrity.seq", Long, AllKinds, Agent, "", false, nil, "Place in the batch."},
	IntegrityHash:           {"integrity.hash", Keyword, AllKinds, Agent, "", false, nil, "SHA-256 leaf over the document without this object, in base64url."},
}

func kindNames() []string {
	var names []string
	for _, k := range Kinds() {
		names = append(names, k.String())
	}
	return names
}

// Fields returns every row of the table in document order. The slice is the caller's.
func Fields() []Field {
	out := make([]Field, 0, FieldCount-1)
	return append(out, table[1:]...)
}

// Field returns the row of f; the zero Field for NoField, and for one that is not built in.
func (f FieldID) Field() Field {
	if f >= FieldCount {
		return Field{}
	}
	return table[f]
}

// Name returns the field's path in the document.
func (f FieldID) Name() string {
	if f >= FieldCount {
		return ""
	}
	return table[f].Name
}

// Type returns the field's type.
func (f FieldID) Type() Type {
	if f >= FieldCount {
		return 0
	}
	return table[f].Type
}

// In reports whether documents of the built-in kind k have the field.
func (f FieldID) In(k Kind) bool { return f < FieldCount && table[f].Kinds.Has(k) }

// FieldNamed finds a field of kind k by its path in the document; k may be NoKind for any kind.
func FieldNamed(name string, k Kind) (FieldID, bool) {
	for f := FieldID(1); f < FieldCount; f++ {
		if table[f].Name == name && (k == NoKind || f.In(k)) {
			return f, true
		}
	}
	return NoField, false
}
