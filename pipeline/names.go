package pipeline

import (
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
	roleOutcome    // success or failure
	roleDurationS  // seconds
	roleDurationMS // milliseconds
	roleDurationNS // nanoseconds
	roleDuration   // with a unit in the text
	roleService    // name of the application
	roleMarker     // no meaning of its own; tells a logger
	roleCount
)

// A container is an object that is looked into: its members' names are read behind its own.
type container uint16

// A nameEntry is one known name below one container.
type nameEntry struct {
	name   string
	parent container
	child  container // what the member is, if it is an object
	role   role
	prio   uint8 // among names of one role the lowest wins
	marker marker
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

// roleNames is the general reading: what loggers and applications call things, most telling first. A dot stands for
// nesting, or for itself. Fields' own names come before all of these. Each name is also known in camelCase, PascalCase
// and kebab-case.
var roleNames = []struct {
	role  role
	names string
}{
	{roleTime, "@timestamp timestamp time ts @t datetime date_time event_time occurred_at instant asctime t log_time logged_at eventTime date"},
	{roleLevel, "level log.level lvl @l levelname level_name log_level loglevel severity_text severityText fields.level @fields.lvl"},
	{role(activity.Description), "message msg @m short_message fields.message fields.msg @fields.message @fields.msg @mt message_template rendered_message body text"},
	{roleEvent, "event"},
	{roleType, "type event_kind record_type"},
	{role(activity.LogLogger), "log.logger logger logger_name source_context properties.source_context"},
	{roleError, "error err exception exc_info error_message"},
	{role(activity.ErrorDetails), "error.message err.message exception.message error.msg err.msg"},
	{role(activity.StackTrace), "error.stack_trace err.stack error.stack stacktrace stack exc_text @x exception.stacktrace stack_trace"},
	{role(activity.ErrorCode), "error.code err.code"},
	{roleUser, "user username user_name uid userid login actor usr principal account_name"},
	{role(activity.UserID), "user.id usr.id actor.id enduser.id user.name user.email user.username actor.name actor.email principal.id"},
	{role(activity.IPAddress), "client_ip client.ip source.ip ip remote_ip remote_addr remote_address ipaddr ip_addr source_ip src_ip source_ip_address client_addr client.address client_address request.client_ip request.remote_ip request.remote_addr req.remote_address req.ip request.ip http.client_ip visitor_ip caller_ip addr.remote"},
	{role(activity.UserAgent), "user_agent.original http_user_agent http.user_agent http.useragent user_agent_original req.headers.user-agent request.headers.user-agent request.user_agent headers.user-agent ua"},
	{role(activity.Method), "http.request.method http_method http.method req.method request.method request_method http_verb"},
	{role(activity.Endpoint), "url.path http_path http.target http.path req.url request.uri request.url request.path request_uri request_path path uri url url.full url.original http.url http.route route"},
	{role(activity.StatusCode), "http.response.status_code http_status http_status_code http.status_code http.status res.status_code res.status response.status response.status_code response_code response_status http_response_code"},
	{roleDurationMS, "duration_ms elapsed_ms latency_ms response_time_ms response_time took_ms elapsed_milliseconds time_ms total_time_ms execution_time processing_time_ms"},
	{roleDurationNS, "event.duration duration_ns elapsed_ns latency_ns"},
	{roleDurationS, "duration_s duration_seconds request_time elapsed_seconds latency_seconds"},
	{roleDuration, "duration elapsed latency took"},
	{roleOutcome, "outcome event.outcome result"},
	{roleService, "service app application app_name application_name service.name"},
	{role(activity.ServiceVersion), "app_version service_version"},
	{role(activity.ServiceEnvironment), "env environment deployment.environment deployment_environment service.env"},
	{role(activity.HostName), "host hostname host.hostname machine_name"},
	{role(activity.TraceID), "trace.id dd.trace_id traceid otel_trace_id"},
	{role(activity.SpanID), "span.id dd.span_id spanid otel_span_id"},
	{role(activity.RequestID), "http.request.id req_id request.id req.id x_request_id correlation_id"},
	{role(activity.TenantID), "organization.id tenant tenant.id org_id"},
	{role(activity.SessionID), "session.id session_id sid"},
	{role(activity.RequestData), "request_body request.body req.body request_payload"},
	{role(activity.ResponseData), "response_body response.body res.body response_payload"},
	{role(activity.Headers), "request_headers request.headers req.headers http_headers"},
	{role(activity.TableName), "table table.name collection db.table db.sql.table"},
	{role(activity.Operation), "db.operation db_operation sql_operation"},
	{role(activity.RecordID), "row_id document_id"},
	{role(activity.RecordCount), "row_count rows_returned num_rows records_returned"},
	{role(activity.OldValues), "old_value before previous_values old"},
	{role(activity.NewValues), "new_value after updated_values new"},
	{role(activity.EventType), "event.type event.action action event_name auth_event"},
	{role(activity.LoginMethod), "auth_method authentication_method login_type"},
	{role(activity.TwoFactorMethod), "mfa_method two_factor mfa_type"},
	{role(activity.TwoFactorSuccess), "mfa_success"},
	{role(activity.FailureReason), "reason event.reason failure error_reason"},
	{role(activity.Component), "module subsystem"},
	{role(activity.EntityType), "resource_type object_type target_type"},
	{role(activity.EntityID), "resource_id object_id target_id"},
	{role(activity.Tags), "labels"},
	{roleMarker, "caller pid v ecs.version ecs.version"},
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
	const size = 1 << 13 // some 2200 names
	t := &nameTable{tags: make([]uint32, size), entries: make([]uint16, size), mask: size - 1}
	next := container(0)
	for f := activity.FieldID(1); f < activity.FieldCount; f++ {
		if row := f.Field(); row.Origin != activity.Agent {
			t.addPath(&next, row.Name, role(f), 0)
		}
	}
	for _, r := range roleNames {
		for i, n := range strings.Fields(r.names) {
			t.addPath(&next, n, r.role, uint8(2*i+2))
		}
	}
	return t
}

// addPath adds a dotted path in every spelling, and with every dot either kept or read as nesting.
func (t *nameTable) addPath(next *container, path string, r role, prio uint8) {
	for i, spelled := range spellings(path) {
		t.addSplit(next, 0, spelled, r, min(prio+uint8(min(i, 1)), 255), markers[path])
	}
}

func (t *nameTable) addSplit(next *container, parent container, path string, r role, prio uint8, m marker) {
	e := t.add(parent, path) // valid until the next add
	if e.role == 0 || prio < e.prio {
		e.role, e.prio = r, prio
	}
	e.marker |= m
	for i, c := range path {
		if c != '.' {
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
	if strings.HasPrefix(path, "@") || strings.ContainsFunc(path, func(c rune) bool { return 'A' <= c && c <= 'Z' }) {
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
