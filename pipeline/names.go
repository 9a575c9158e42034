package pipeline

import (
	"bytes"
	"strings"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// A role is what a member of a line means. The first roles are the fields of the same number; the others are meanings
// whose field depends on the kind or on the value.
type role uint8

const (
	roleTime       = role(activity.FieldCount) + iota
	roleLevel      // severity of a system event
	roleEvent      // structlog's message, or the name of an event
	roleEventName  // the same, where it is a single word; no name has this role by itself
	roleType       // may name a kind
	roleError      // an error: text, or an object
	roleUser       // a user: id or name, or an object
	roleEmail      // a user's, where it is about authentication
	roleOutcome    // success or failure
	roleDurationS  // seconds
	roleDurationMS // milliseconds
	roleDurationNS // nanoseconds
	roleDuration   // with a unit in the text
	roleService    // name of the application
	roleAction     // what was done: the name of an operation or event
	roleStatement  // a database query
	roleFailure    // what only a failure has
	roleCallee     // another service that was called
	roleDirection  // of a call
	roleRequest    // the first line of an HTTP request: method, target, protocol
	roleMarker     // no meaning of its own; tells a logger
	roleCount
)

// A container is an object that is looked into: its members' names are read behind its own.
type container uint16

// The containers that go by many names. Others are made as the paths in the tables need them.
const (
	inLine container = iota
	inUser
	inActor
	inRequest
	inResponse
	inHTTP
	inClient
	inEvent
	inOutcome
	inTarget
	inHeaders
	firstContainer
)

// A nameEntry is one known name below one container.
type nameEntry struct {
	name    string
	parent  container
	child   container // what the member is, if it is an object
	role    role
	prio    uint8 // among names of one role the lowest wins
	wrapper bool  // an object whose members may mean what they would mean in the line
	marker  marker
	mark    uint8 // number of the mark of conventions, plus one
}

// A marker is a set of names by which a logger is told.
type marker uint16

const (
	markTS marker = 1 << iota
	markCaller
	markPID
	markHostname
	markV
	markSerilog
	markECS
	markMsg
	markMessage
	markTimeKey
	markLevelKey
)

// objects are the names of containers. A container in another one is found there only.
var objects = []struct {
	in, is container
	names  string
}{
	{inLine, inUser, "user usr enduser end_user"},
	{inLine, inActor, "actor principal identity user_identity initiator initiated_by performed_by performer created_by updated_by modified_by executed_by triggered_by requested_by caller acting_user sender auth authentication_info auth_info requester"},
	{inUser, inActor, "user"},
	{inActor, inActor, "user admin claim claims principal account app session_issuer session_context"},
	{inRequest, inActor, "user auth principal"},
	{inEvent, inActor, "actor user"},
	{inLine, inHTTP, "http proxy"},
	{inLine, inRequest, "req request http_request request_info"},
	{inHTTP, inRequest, "request req"},
	{inEvent, inRequest, "request"},
	{inLine, inResponse, "res resp response http_response response_status"},
	{inHTTP, inResponse, "response res"},
	{inRequest, inHeaders, "headers"},
	{inLine, inClient, "client source src remote peer visit connection network origin location access_device device ip_info client_info addr"},
	{inRequest, inClient, "client source connection"},
	{inActor, inClient, "client ip device"},
	{inClient, inClient, "geo_location geolocation location ip network"},
	{inLine, inEvent, "event event_type audit action"},
	{inLine, inOutcome, "outcome result status"},
	{inLine, inTarget, "target resource object entity object_ref affected item asset"},
}

// wrappers are objects of the line, or in other ones of these, whose members are read like the line's where it names no
// kind itself. Our own free fields are none, since what a sender puts there stays there, nor are the bodies of requests,
// whose users and addresses may be anybody's.
var wrappers = "data payload detail properties attributes attrs attr event_data message_data fields extra request_context request_metadata http_request json_payload proto_payload audit audit_log audit_event log_entry event_details additional_details event security_context debug_context"

// late marks a row of roleNames whose names come after those of the rows without.
const late role = 0x80

var _ [late - roleCount]struct{} // roles stay below it

// roleNames is the general reading: what loggers and applications call things, most telling first. A dot stands for
// nesting, or for itself. Fields' own names come before all of these. Each name is also known in camelCase, PascalCase
// and kebab-case.
var roleNames = []struct {
	in    container
	role  role
	names string
}{
	{inLine, roleTime, "@timestamp timestamp time ts @t datetime date_time event_time occurred_at instant asctime t log_time logged_at eventTime date published time_generated creation_time created_at createdAt activity_date_time request_received_timestamp event_timestamp start_time time_stamp utc_time EdgeStartTimestamp received_at op_time event_instant timestamp_derived created time_iso8601 time_local"},
	{inLine, roleLevel, "level log.level lvl @l levelname level_name log_level loglevel severity_text severityText fields.level @fields.lvl"},
	{inLine, role(activity.Description), "message msg @m short_message fields.message fields.msg @fields.message @fields.msg @mt message_template rendered_message body text display_message log_message"},
	{inLine, roleEvent, "event"},
	{inLine, roleType, "type event_kind record_type"},
	{inLine, role(activity.LogLogger), "log.logger logger logger_name source_context properties.source_context"},
	{inLine, roleError, "error err exception exc_info error_message"},
	{inLine, role(activity.ErrorDetails), "error.message err.message exception.message error.msg err.msg"},
	{inLine, role(activity.StackTrace), "error.stack_trace err.stack error.stack stacktrace stack exc_text @x exception.stacktrace stack_trace"},
	{inLine, role(activity.ErrorCode), "error.code err.code"},

	{inLine, roleUser, "actor user username user_name user_login login_name operator uname actor_name actor_user_name actor_login actor_email actor_id userid uid login usr principal principal_name principal_email upn user_principal_name user_email initiated_by performed_by executed_by author_name requester remote_user client_username audit_user authentication_info.principal"},
	{inLine, roleEmail, "email user_mail mail email_address"},
	{inUser, role(activity.UserID), "id uid user_id email mail login username user_name name sub upn user_principal_name principal_name key uuid account_id display_name"},
	{inActor, role(activity.UserID), "email email_address mail user_email login alternate_id username user_name preferred_username user_principal_name upn principal_email principal_name unique_name entity_id name id user_id uid uuid account_id principal_id arn sub key display_name"},

	{inLine, role(activity.IPAddress), "client_ip remote_ip remote_addr remote_address ip c_ip ipaddr ip_addr source_ip src_ip source_ip_address source_address source_ips source_addr client_addr client_address client_ip_address caller_ip caller_ip_address remote_host visitor_ip actor_ip actor_ip_address user_ip user_ip_address login_ip origin_ip peer_address peer_ip from_ip srcip src clientip x_forwarded_for x_real_ip forwarded_for ip_v4 ipv4 public_ip addr.remote remote client_host peer downstream_remote_address remotehost srcaddr info.ip_address info.client_ip client_port"},
	{inRequest, role(activity.IPAddress), "client_ip remote_ip remote_addr remote_address ip client_address source_ip"},
	{inHTTP, role(activity.IPAddress), "client_ip remote_addr remote_ip"},
	{inClient, role(activity.IPAddress), "ip ip_address address ip_addr addr remote host value"},
	{inActor, role(activity.IPAddress) | late, "ip ip_address client_ip ipaddr"},
	{inUser, role(activity.IPAddress) | late, "ip ip_address"},
	{inHeaders, role(activity.IPAddress) | late, "x-forwarded-for x-real-ip cf-connecting-ip true-client-ip"},

	{inLine, role(activity.UserAgent), "user_agent.original http_user_agent http.useragent user_agent_original client_user_agent browser_user_agent ua client_request_user_agent raw_user_agent agent"},
	{inRequest, role(activity.UserAgent), "user_agent http_user_agent"},
	{inHTTP, role(activity.UserAgent), "user_agent useragent"},
	{inClient, role(activity.UserAgent), "user_agent user_agent.raw_user_agent"},
	{inHeaders, role(activity.UserAgent), "user-agent"},

	{inLine, role(activity.Method), "http_method request_method http_verb client_request_method cs_method req_method request_verb"},
	{inHTTP, role(activity.Method), "method verb"},
	{inRequest, role(activity.Method), "method http_method request_method verb"},
	{inLine, role(activity.Endpoint), "url.path http_path http_target request_uri request_path request_url path uri url url.full url.original route client_request_uri client_request_path cs_uri_stem"},
	{inLine, roleRequest, "request request_line http_request first_request_line"},
	{inHTTP, role(activity.Endpoint), "target path url route uri request_path"},
	{inRequest, role(activity.Endpoint), "url uri path request_uri request_url raw_path endpoint"},
	{inLine, role(activity.StatusCode), "http_status http_status_code response_code response_status response_status_code http_response_code edge_response_status origin_response_status sc_status downstream_status upstream_status elb_status_code api.status_code"},
	{inHTTP, role(activity.StatusCode), "status_code status response_code"},
	{inResponse, role(activity.StatusCode), "status_code status code response_code"},
	{inOutcome, role(activity.StatusCode), "status_code http_status"},
	{inLine, roleDurationMS, "duration_ms elapsed_ms latency_ms response_time_ms response_time took_ms elapsed_milliseconds time_ms total_time_ms execution_time processing_time_ms time_taken_ms duration_millis"},
	{inLine, roleDurationNS, "event.duration duration_ns elapsed_ns latency_ns"},
	{inLine, roleDurationS, "duration_s duration_seconds request_time elapsed_seconds latency_seconds"},
	{inLine, roleDuration, "duration elapsed latency took"},

	{inLine, roleOutcome, "outcome result event_result event_outcome result_type result_status operation_result succeeded is_success auth_result login_result verdict decision ok"},
	{inEvent, roleOutcome, "outcome result"},
	{inOutcome, roleOutcome, "result status outcome value"},
	{inOutcome, role(activity.FailureReason), "reason"},
	{inLine, roleFailure, "error_code errorCode failure_code"},
	{inLine, roleService, "service app application app_name application_name service.name"},
	{inLine, role(activity.ServiceVersion), "app_version service_version"},
	{inLine, role(activity.ServiceEnvironment), "env environment deployment.environment deployment_environment service.env"},
	{inLine, role(activity.HostName), "host hostname host.hostname machine_name"},
	{inLine, role(activity.TraceID), "trace.id dd.trace_id traceid otel_trace_id"},
	{inLine, role(activity.SpanID), "span.id dd.span_id spanid otel_span_id"},
	{inLine, role(activity.RequestID), "http.request.id req_id x_request_id correlation_id"},
	{inRequest, role(activity.RequestID), "id request_id"},
	{inLine, role(activity.TenantID), "organization.id tenant tenant.id org_id"},
	{inLine, role(activity.SessionID), "session.id session_id sid"},
	{inLine, role(activity.RequestData), "request_body request_payload"},
	{inRequest, role(activity.RequestData), "body"},
	{inLine, role(activity.ResponseData), "response_body response_payload"},
	{inResponse, role(activity.ResponseData), "body"},
	{inLine, role(activity.Headers), "request_headers http_headers"},
	{inRequest, role(activity.Headers), "headers"},
	{inLine, role(activity.TableName), "table table.name collection db.table db.sql.table"},
	{inLine, role(activity.Operation), "db.operation db_operation sql_operation"},
	{inLine, roleStatement, "db.statement db.query.text statement sql sql_query sql_text query_text"},
	{inLine, role(activity.RecordID), "row_id document_id"},
	{inLine, role(activity.RecordCount), "row_count rows_returned num_rows records_returned"},
	{inLine, role(activity.OldValues), "old_value before previous_values old"},
	{inLine, role(activity.NewValues), "new_value after updated_values new"},
	{inLine, roleAction, "event_name event_action action action_name operation_name method_name activity_name activity_display_name verb audit_action api_operation event_type_name action_type event_label op command_name cmd activity api.name evt"},
	{inEvent, roleAction, "action type name event_type _tag .tag"},
	{inRequest, roleAction, "operation"},
	{inLine, role(activity.EventType), "event.type auth_event event_code"},
	{inLine, role(activity.LoginMethod), "auth_method authentication_method login_type"},
	{inLine, role(activity.TwoFactorMethod), "mfa_method two_factor mfa_type"},
	{inLine, role(activity.TwoFactorSuccess), "mfa_success"},
	{inLine, role(activity.FailureReason), "reason event.reason failure error_reason failure_reason_text"},
	{inLine, role(activity.Component), "module subsystem"},
	{inLine, role(activity.EntityType), "resource_type object_type target_type"},
	{inTarget, role(activity.EntityType), "type kind resource entity_type resource_type"},
	{inLine, role(activity.EntityID), "resource_id object_id target_id target_name resource_name object_name"},
	{inTarget, role(activity.EntityID), "id name entity_id resource_id uid key"},
	{inLine, roleCallee, "api upstream provider third_party external_service target_service remote_service peer.service vendor api_name integration destination"},
	{inLine, roleDirection, "direction span.kind span_kind"},
	{inLine, role(activity.Tags), "labels"},
	{inLine, roleMarker, "caller pid v ecs.version ecs.version"},
}

// markers are the names that tell loggers apart.
var markers = map[string]marker{
	"ts": markTS, "caller": markCaller, "pid": markPID, "hostname": markHostname, "v": markV, "@t": markSerilog,
	"ecs.version": markECS, "log.level": markECS, "msg": markMsg, "message": markMessage, "time": markTimeKey,
	"level": markLevelKey,
}

// names finds what a member means, by the hash of its name and its container.
var names = buildNames()

// A nameTable is a hash table with open addressing. A look-up reads one tag of four bytes for a name that is not in it,
// which most are not, and all tags together stay in the processor's cache.
type nameTable struct {
	tags    []uint32 // 0 is an empty place
	entries []uint16 // of a tag's place: index in all
	all     []nameEntry
	mask    uint32
	marks   uint8 // of conventions
}

// tagOf mixes a name's hash with its container.
func tagOf(parent container, hash uint32) uint32 { return (hash ^ uint32(parent)*0x9e3779b1) | 1 }

// find returns the entry of a name, or nil.
func (t *nameTable) find(parent container, hash uint32, name []byte) *nameEntry {
	tag := tagOf(parent, hash)
	for i := tag >> 1 & t.mask; t.tags[i] != 0; i = (i + 1) & t.mask {
		if t.tags[i] == tag {
			if e := &t.all[t.entries[i]]; e.parent == parent && e.name == string(name) {
				return e
			}
		}
	}
	return nil
}

// dotted returns the entry of a name that is written as a path, or nil.
func (t *nameTable) dotted(in container, name []byte) *nameEntry {
	for {
		dot := bytes.IndexByte(name, '.')
		if dot <= 0 {
			return nil
		}
		head := t.find(in, tape.Hash(name[:dot]), name[:dot])
		if head == nil || head.child == 0 {
			return nil
		}
		in, name = head.child, name[dot+1:]
		if e := t.find(in, tape.Hash(name), name); e != nil {
			return e
		}
	}
}

// add returns the entry of a name, which it makes if it is not there.
func (t *nameTable) add(parent container, name string) *nameEntry {
	hash := tape.Hash([]byte(name))
	if e := t.find(parent, hash, []byte(name)); e != nil {
		return e
	}
	tag := tagOf(parent, hash)
	i := tag >> 1 & t.mask
	for t.tags[i] != 0 {
		i = (i + 1) & t.mask
	}
	t.tags[i], t.entries[i] = tag, uint16(len(t.all))
	t.all = append(t.all, nameEntry{name: name, parent: parent})
	return &t.all[len(t.all)-1]
}

func buildNames() *nameTable {
	const size = 1 << 14 // some 5000 names
	t := &nameTable{tags: make([]uint32, size), entries: make([]uint16, size), mask: size - 1}
	for _, o := range objects {
		for _, n := range strings.Fields(o.names) {
			for _, spelled := range spellings(n) {
				t.add(o.in, spelled).child = o.is
			}
		}
	}
	for _, n := range strings.Fields(wrappers) {
		for _, spelled := range spellings(n) {
			t.add(inLine, spelled).wrapper = true
		}
	}
	next := firstContainer
	for f := activity.FieldID(1); f < activity.FieldCount; f++ {
		if row := f.Field(); row.Origin != activity.Agent {
			t.addPath(&next, inLine, row.Name, role(f), 0)
		}
	}
	for _, r := range roleNames {
		first := 2
		if r.role&late != 0 {
			first = 100
		}
		for i, n := range strings.Fields(r.names) {
			t.addPath(&next, r.in, n, r.role&^late, uint8(min(first+2*i, 200)))
		}
	}
	for i := range conventions {
		for _, m := range conventions[i].marks() {
			e := t.add(inLine, m)
			if e.mark == 0 {
				t.marks++
				e.mark = t.marks
			}
		}
	}
	return t
}

// addPath adds a dotted path in every spelling, with every dot either kept or read as nesting.
func (t *nameTable) addPath(next *container, in container, path string, r role, prio uint8) {
	for i, spelled := range spellings(path) {
		t.addSplit(next, in, spelled, r, min(prio+uint8(min(i, 1)), 255), markers[path])
	}
}

func (t *nameTable) addSplit(next *container, parent container, path string, r role, prio uint8, m marker) {
	e := t.add(parent, path) // valid until the next add
	if e.role == 0 || prio < e.prio {
		e.role, e.prio = r, prio
	}
	e.marker |= m
	for i, c := range path {
		if c != '.' || i == 0 {
			continue
		}
		head := t.add(parent, path[:i])
		if head.child == 0 {
			*next++
			head.child = *next
		}
		child := head.child
		t.addSplit(next, child, path[i+1:], r, prio, m)
	}
}

// spellings returns a snake_case path as written, and in the other ways that names are spelled.
func spellings(path string) []string {
	out := []string{path}
	if strings.ContainsRune("@._", rune(path[0])) || strings.ContainsFunc(path, func(c rune) bool { return 'A' <= c && c <= 'Z' }) {
		return out
	}
	elements := strings.Split(path, ".")
	each := func(f func(words []string) string) string {
		parts := make([]string, len(elements))
		for i, e := range elements {
			parts[i] = f(strings.FieldsFunc(e, func(c rune) bool { return c == '_' || c == '-' }))
		}
		return strings.Join(parts, ".")
	}
	return append(out,
		each(func(w []string) string { return w[0] + pascal(w[1:], title) }),
		each(func(w []string) string { return w[0] + pascal(w[1:], acronym) }),
		each(func(w []string) string { return pascal(w, title) }),
		each(func(w []string) string { return pascal(w, acronym) }),
		each(func(w []string) string { return strings.Join(w, "-") }),
		each(func(w []string) string { return strings.Join(w, "_") }),
		each(func(w []string) string { return strings.ToUpper(strings.Join(w, "_")) }),
		each(func(w []string) string {
			return pascal(w[:1], title) + strings.Join(append([]string{""}, titles(w[1:])...), "-")
		}),
	)
}

func pascal(words []string, f func(string) string) string {
	var s strings.Builder
	for _, w := range words {
		s.WriteString(f(w))
	}
	return s.String()
}

func title(w string) string {
	if w == "" {
		return w
	}
	return strings.ToUpper(w[:1]) + w[1:]
}

// acronym writes the short forms as Go and Java people do: userID, sourceIP.
func acronym(w string) string {
	switch w {
	case "id", "ip", "url", "uri", "http", "api", "ms":
		return strings.ToUpper(w)
	case "ids", "ips":
		return strings.ToUpper(w[:2]) + "s"
	}
	return title(w)
}

func titles(words []string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = title(w)
	}
	return out
}
