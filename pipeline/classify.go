package pipeline

import (
	"bytes"
	"math/bits"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// A reading is what the names of a line say: for each role the member that has it.
type reading struct {
	nodes        [roleCount]uint32 // valid where set says so, else 0
	prio         [roleCount]uint8
	set          roleSet
	containers   []uint32 // objects looked into, outer before inner
	markers      marker
	tape         *tape.Tape
	envelopeTime int64
	enveloped    bool
}

func (r *reading) reset() {
	r.nodes, r.set = [roleCount]uint32{}, roleSet{}
	r.containers, r.markers, r.tape = r.containers[:0], 0, nil
	r.envelopeTime, r.enveloped = 0, false
}

// A roleSet is a set of roles, or of fields, which are the first roles.
type roleSet [2]uint64

func (s *roleSet) add(x uint8)      { s[x>>6] |= 1 << (x & 63) }
func (s *roleSet) has(x uint8) bool { return s[x>>6]&(1<<(x&63)) != 0 }

// all calls f for every member that is in mask too, in ascending order.
func (s *roleSet) all(mask *roleSet, f func(x uint8)) {
	for w := range s {
		for bits64 := s[w] & mask[w]; bits64 != 0; bits64 &= bits64 - 1 {
			f(uint8(w<<6 | bits.TrailingZeros64(bits64)))
		}
	}
}

// node returns the node that has a role, or 0.
func (r *reading) node(x role) uint32 { return r.nodes[x] }

// scan gives roles to the members of the object at i, and looks into the containers among them.
func (r *reading) scan(t *tape.Tape, i uint32, in container) {
	r.tape = t
	end := t.Nodes[i].Next
	for j := i + 1; j < end; j = t.Nodes[j].Next {
		n := &t.Nodes[j]
		if n.Flags&tape.Duplicate != 0 || n.Type == tape.Null || n.Type == tape.String && n.Lo == n.Hi {
			continue
		}
		e := names.find(in, n.Hash, t.Key(n))
		if e == nil {
			continue
		}
		r.markers |= e.marker
		if n.Type == tape.Object && e.child != 0 {
			r.containers = append(r.containers, j)
			r.scan(t, j, e.child)
		}
		if e.role != 0 && suits(e.role, n.Type) && (r.nodes[e.role] == 0 || e.prio < r.prio[e.role]) {
			r.nodes[e.role], r.prio[e.role] = j, e.prio
			r.set.add(uint8(e.role))
		}
	}
}

// suits keeps objects and arrays from roles that hold one value, so that a better candidate can have them.
func suits(x role, t tape.Type) bool {
	if t != tape.Object && t != tape.Array {
		return true
	}
	if x == roleTime {
		return t == tape.Object
	}
	if x >= role(activity.FieldCount) {
		return false
	}
	switch activity.FieldID(x).Type() {
	case activity.Free:
		return true
	case activity.Keywords:
		return t == tape.Array
	}
	return t == tape.Array // an array of one
}

// value returns the text of the string that has a role, or nothing.
func (r *reading) value(x role) []byte {
	i := r.nodes[x]
	if i == 0 || r.tape.Nodes[i].Type != tape.String {
		return nil
	}
	return r.tape.Raw(&r.tape.Nodes[i])
}

func (r *reading) has(fs ...activity.FieldID) bool {
	for _, f := range fs {
		if r.nodes[f] != 0 {
			return true
		}
	}
	return false
}

// classify finds the kind, and says by what.
func (p *Pipeline) classify() (kind activity.Kind, by string) {
	r := &p.rec.reading
	if p.rec.flags.text {
		return activity.SystemEvent, "text"
	}
	if p.rec.tape.Nodes[0].Type != tape.Object {
		return activity.SystemEvent, "json_value"
	}
	if k, by := r.named(); k != activity.NoKind {
		return k, by
	}
	if k, by := r.shaped(); k != activity.NoKind {
		return k, by
	}
	if by := r.logger(); by != "" {
		return activity.SystemEvent, by
	}
	return activity.Plain, "default"
}

// named finds a kind that the record names itself.
func (r *reading) named() (activity.Kind, string) {
	for _, c := range []struct {
		role role
		by   string
	}{
		{role(activity.KindField), "kind"},
		{role(activity.ActivityType), "activity_type"},
		{roleType, "type"},
		{role(activity.EventType), "event_type"},
	} {
		if v := r.value(c.role); v != nil {
			if k, ok := activity.ParseKind(v); ok {
				return k, c.by
			}
		}
	}
	return activity.NoKind, ""
}

// shaped finds a kind by the fields that only its records have.
func (r *reading) shaped() (activity.Kind, string) {
	http := r.isHTTP()
	switch {
	case r.has(activity.OldValues, activity.NewValues, activity.ChangedFields):
		return activity.DataChange, "shape:old_new_values"
	case r.has(activity.FieldsAccessed, activity.AppliedFilters, activity.PermissionLevel):
		return activity.DataAccess, "shape:fields_accessed"
	case r.has(activity.TableName) && r.has(activity.Operation, activity.RecordID, activity.QueryParams):
		if writes(r.value(role(activity.Operation))) {
			return activity.DataChange, "shape:table_operation"
		}
		return activity.DataAccess, "shape:table_operation"
	case r.has(activity.RateLimitLimit, activity.RateLimitRemaining), r.has(activity.ServiceNameExternal) && r.outbound():
		return activity.ExternalAPI, "shape:external_call"
	case r.has(activity.LoginMethod, activity.TwoFactorMethod, activity.TwoFactorSuccess),
		authenticates(r.value(role(activity.EventType))), authenticates(r.value(role(activity.ActivityType))), authenticates(r.value(roleEvent)):
		return activity.AuthEvent, "shape:auth_action"
	case http && r.outbound():
		return activity.ExternalAPI, "shape:http_url"
	case http:
		return activity.APITransaction, "shape:http"
	}
	return activity.NoKind, ""
}

// isHTTP: a method with an endpoint or a status, or an endpoint with a status.
func (r *reading) isHTTP() bool {
	method := httpMethod(r.value(role(activity.Method)))
	endpoint := r.has(activity.Endpoint)
	status := r.has(activity.StatusCode) || statusCode(r.tape, r.nodes[activity.Status]) != 0
	return method && (endpoint || status) || endpoint && status
}

// outbound: the endpoint is a whole URL and nobody called.
func (r *reading) outbound() bool {
	v := r.value(role(activity.Endpoint))
	return bytes.Contains(v, []byte("://")) && !r.has(activity.IPAddress)
}

// logger tells log lines by what loggers write, most particular first; "" for none.
func (r *reading) logger() string {
	is := func(m marker) bool { return r.markers&m == m }
	level := r.nodes[roleLevel] != 0 || r.has(activity.Severity)
	switch {
	case is(markSerilog):
		return "logger:serilog"
	case is(markECS):
		return "logger:ecs"
	case is(markV | markPID | markHostname):
		return "logger:bunyan"
	case is(markPID | markHostname | markTimeKey):
		return "logger:pino"
	case is(markTS | markLevelKey | markMsg):
		return "logger:zap"
	case is(markTimeKey | markLevelKey | markMsg):
		return "logger:slog"
	case is(markTimeKey | markLevelKey | markMessage):
		return "logger:zerolog"
	case is(markLevelKey) && r.nodes[roleEvent] != 0:
		return "logger:structlog"
	case level:
		return "level"
	case r.has(activity.ActivityType, activity.EntityType, activity.EntityID):
		return ""
	case r.has(activity.Description, activity.LogLogger, activity.StackTrace, activity.ErrorCode), r.nodes[roleError] != 0, r.nodes[roleEvent] != 0:
		return "message"
	}
	return ""
}

func httpMethod(v []byte) bool {
	if len(v) < 3 || len(v) > 7 {
		return false
	}
	for _, m := range [...]string{"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"} {
		if equalFold(v, m) {
			return true
		}
	}
	return false
}

// writes tells the operations that change data.
func writes(op []byte) bool {
	for _, w := range [...]string{"insert", "update", "delete", "create", "upsert", "merge", "replace", "truncate", "alter", "drop", "write", "modify", "remove", "patch", "put", "save", "bulk_write", "grant", "revoke"} {
		if equalFold(op, w) {
			return true
		}
	}
	return false
}

// authenticates tells the names of authentication events: user_login, LogoutSucceeded, mfa.challenge, password-reset.
func authenticates(v []byte) bool {
	if len(v) < 3 || len(v) > 64 {
		return false
	}
	var buf [64]byte
	n := 0
	for _, c := range v {
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case c == ' ', c == '_', c == '-', c == '.', c == ':', c == '/':
			continue
		}
		buf[n] = c
		n++
	}
	name := buf[:n]
	for _, w := range [...]string{"login", "logon", "logout", "logoff", "loggedin", "loggedout", "signin", "signon", "signout", "authenticat", "mfa", "2fa", "twofactor", "otp", "passwordreset", "passwordchange", "sessionexpired", "tokenrefresh", "tokenissued"} {
		if bytes.Contains(name, []byte(w)) {
			return true
		}
	}
	return string(name) == "auth"
}

// statusCode returns the HTTP status that a node holds, or 0.
func statusCode(t *tape.Tape, i uint32) int {
	if i == 0 {
		return 0
	}
	n := &t.Nodes[i]
	raw := t.Raw(n)
	if n.Type != tape.Number && n.Type != tape.String || len(raw) != 3 || raw[0] < '1' || raw[0] > '5' {
		return 0
	}
	tens, ok := digits2(raw[1:])
	if !ok {
		return 0
	}
	return int(raw[0]-'0')*100 + tens
}

// equalFold compares ASCII without regard to case.
func equalFold(v []byte, w string) bool {
	if len(v) != len(w) {
		return false
	}
	for i, c := range v {
		d := w[i]
		if c == d {
			continue
		}
		if c|0x20 != d|0x20 || d|0x20 < 'a' || d|0x20 > 'z' {
			return false
		}
	}
	return true
}
