package pipeline

import (
	"bytes"
	"math/bits"
	"net/netip"
	"unicode"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// A reading is what the names of a line say: for each role the member that has it.
type reading struct {
	nodes        [roleCount]uint32 // valid where set says so, else 0
	prio         [roleCount]uint16
	set          roleSet
	containers   []uint32 // objects looked into, outer before inner
	wrapped      []uint32 // objects to look into where the line names no kind
	markers      marker
	marks        [2]uint64 // of conventions
	tape         *tape.Tape
	envelopeTime int64
	enveloped    bool
	addressOf    uint32 // node of addressIs, plus one; that is the zero address where the node is none
	addressIs    netip.Addr
}

func (r *reading) reset() {
	r.nodes, r.set = [roleCount]uint32{}, roleSet{}
	r.containers, r.wrapped, r.markers, r.marks, r.tape = r.containers[:0], r.wrapped[:0], 0, [2]uint64{}, nil
	r.envelopeTime, r.enveloped, r.addressOf = 0, false, 0
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

func (s *roleSet) count() int { return bits.OnesCount64(s[0]) + bits.OnesCount64(s[1]) }

// scan gives roles to the members of the object at i, and looks into the containers among them. What stands further in
// has the higher base, and gives way.
func (r *reading) scan(t *tape.Tape, i uint32, in container, base uint16) {
	r.tape = t
	end := t.Nodes[i].Next
	for j := i + 1; j < end; j = t.Nodes[j].Next {
		n := &t.Nodes[j]
		if n.Flags&tape.Duplicate != 0 || n.Type == tape.Null || n.Type == tape.String && n.Lo == n.Hi {
			continue
		}
		key := t.Key(n)
		e := names.find(in, n.Hash, key)
		if e == nil {
			if e = names.dotted(in, key); e == nil {
				continue
			}
		}
		r.markers |= e.marker
		if e.mark != 0 && base == 0 {
			r.marks[(e.mark-1)>>6] |= 1 << ((e.mark - 1) & 63)
		}
		if n.Type == tape.Object {
			if e.wrapper {
				r.wrapped = append(r.wrapped, j)
			}
			if e.child != 0 {
				r.containers = append(r.containers, j)
				r.scan(t, j, e.child, base)
			}
		}
		if prio := base + uint16(e.prio); e.role != 0 && (base == 0 || !onlyOutside(e.role)) && (r.nodes[e.role] == 0 || prio < r.prio[e.role]) && r.usable(e.role, j) {
			r.nodes[e.role], r.prio[e.role] = j, prio
			r.set.add(uint8(e.role))
		}
	}
}

// maxWrapped bounds how many wrappers of a line are looked into.
const maxWrapped = 12

// unwrap reads the objects that wrap what others write into the line itself.
func (r *reading) unwrap() {
	for i := 0; i < len(r.wrapped) && i < maxWrapped; i++ {
		r.containers = append(r.containers, r.wrapped[i])
		r.scan(r.tape, r.wrapped[i], inLine, uint16(i+1)<<8)
	}
}

// onlyOutside are the meanings that a name in a wrapper does not have: our own objects, and what the line itself says.
func onlyOutside(x role) bool {
	switch activity.FieldID(x) {
	case activity.KindField, activity.Details, activity.Context, activity.Metadata, activity.Tags:
		return true
	}
	return false
}

// usable tells whether a node can have a role at all, so that a better candidate can have it if not.
func (r *reading) usable(x role, i uint32) bool {
	n := &r.tape.Nodes[i]
	if !suits(x, n.Type) {
		return false
	}
	switch x {
	case role(activity.IPAddress):
		_, ok := r.address(r.tape, r.first(i))
		return ok
	case roleTime:
		return n.Type != tape.True && n.Type != tape.False
	case roleRequest:
		_, target := requestLine(r.tape, n)
		return target != nil
	case roleUser, role(activity.UserID), role(activity.Endpoint):
		return n.Type != tape.String || !blank(r.tape.Raw(n))
	}
	return true
}

// suits keeps objects and arrays from roles that hold one value.
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
	r.splitRequest()
	if k, by := r.named(p.model); k != activity.NoKind {
		return k, by
	}
	if w := r.recognise(p.conventions); w != nil {
		return w.kindBy(r, &p.phrase), w.by
	}
	r.unwrap()
	r.splitRequest()
	if k, by := r.shaped(&p.phrase); k != activity.NoKind {
		return k, by
	}
	if by := r.logger(); by != "" {
		return activity.SystemEvent, by
	}
	if r.own(activity.ActivityType, activity.EntityType, activity.EntityID, activity.UserID) || len(r.wrapped)+r.set.count() == 0 {
		return activity.Plain, "default"
	}
	return activity.SystemEvent, "default"
}

// splitRequest gives the parts of a request line the roles that nothing else has.
func (r *reading) splitRequest() {
	i := r.nodes[roleRequest]
	if i == 0 {
		return
	}
	r.nodes[roleRequest] = 0
	method, target := requestLine(r.tape, &r.tape.Nodes[i])
	for _, part := range [...]struct {
		role role
		text []byte
		at   int
	}{{role(activity.Method), method, 0}, {role(activity.Endpoint), target, len(method) + 1}} {
		if r.nodes[part.role] == 0 {
			r.nodes[part.role], r.prio[part.role] = r.tape.Part(i, part.at, part.at+len(part.text)), ofPart
			r.set.add(uint8(part.role))
		}
	}
}

// ofPart is the priority of a part: no name of its own has led to it.
const ofPart = 200

// requestLine splits the first line of an HTTP request (RFC 9112, 3), also without the protocol: "GET /cart?id=7 HTTP/1.1". Both are
// nil where the node is none.
func requestLine(t *tape.Tape, n *tape.Node) (method, target []byte) {
	if n.Type != tape.String {
		return nil, nil
	}
	method, rest, found := bytes.Cut(t.Raw(n), space)
	target, protocol, more := bytes.Cut(rest, space)
	switch {
	case !found || !httpMethod(method) || bytes.ContainsFunc(method, unicode.IsLower), more && !bytes.HasPrefix(protocol, []byte("HTTP/")), len(target) == 0:
		return nil, nil
	case target[0] == '/', bytes.HasPrefix(target, []byte("\\/")), string(target) == "*", bytes.HasPrefix(target, []byte("http")) && bytes.Contains(target, []byte(":")):
		return method, target
	}
	return nil, nil
}

// own reports whether the line has one of the fields by the field's own name.
func (r *reading) own(fs ...activity.FieldID) bool {
	for _, f := range fs {
		if r.nodes[f] != 0 && r.prio[f] <= 1 {
			return true
		}
	}
	return false
}

// named finds a kind that the record names itself.
func (r *reading) named(m *activity.Model) (activity.Kind, string) {
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
			if k, ok := m.ParseKind(v); ok && (k < activity.FirstCustom || c.role == role(activity.KindField)) {
				return k, c.by
			}
		}
	}
	return activity.NoKind, ""
}

// shaped finds a kind by the fields that only its records have, and by the words for what was done.
func (r *reading) shaped(p *phrase) (activity.Kind, string) {
	switch {
	case r.has(activity.OldValues, activity.NewValues, activity.ChangedFields):
		return activity.DataChange, "shape:old_new_values"
	case r.has(activity.FieldsAccessed, activity.AppliedFilters, activity.PermissionLevel):
		return activity.DataAccess, "shape:fields_accessed"
	case r.has(activity.RateLimitLimit, activity.RateLimitRemaining), r.has(activity.ServiceNameExternal) && r.outbound():
		return activity.ExternalAPI, "shape:external_call"
	case r.has(activity.LoginMethod, activity.TwoFactorMethod, activity.TwoFactorSuccess):
		return activity.AuthEvent, "shape:login"
	}
	message, said := activity.NoKind, ""
	named := r.own(activity.ActivityType) // who names the action has no need for a message that does
	if !named {
		message, said = r.said(p)
	}
	if message == activity.AuthEvent && said != "message:login" {
		return message, said
	}
	http := r.isHTTP()
	if http && r.has(activity.Endpoint) && (r.has(activity.StatusCode) || statusCode(r.tape, r.nodes[activity.Status]) != 0) {
		return r.direction(message), "shape:http"
	}
	if k, by := r.acted(p); k != activity.NoKind {
		return k, by
	}
	switch {
	case r.has(activity.TableName) && r.has(activity.Operation, activity.RecordID, activity.QueryParams):
		return activity.DataAccess, "shape:table_operation"
	case http:
		return r.direction(message), "shape:http"
	case message != activity.NoKind:
		return message, said
	case r.someone() && r.nodes[roleLevel] == 0 && !named:
		if p.read(r.value(role(activity.Description))); p.n > 0 {
			if k, by := p.deed(); k != activity.NoKind {
				return k, "message:" + by
			}
		}
	case r.nodes[roleCallee] != 0 && r.has(activity.Endpoint):
		return activity.ExternalAPI, "shape:external_call"
	}
	return activity.NoKind, ""
}

// someone reports whether the line says who did it.
func (r *reading) someone() bool { return r.nodes[roleUser] != 0 || r.has(activity.UserID) }

// said reads the message.
func (r *reading) said(p *phrase) (activity.Kind, string) {
	for _, x := range [...]role{role(activity.Description), roleEvent} {
		if v := r.value(x); len(v) >= 8 && bytes.IndexByte(v, ' ') > 0 {
			p.read(v)
			if k, by := p.message(); k != activity.NoKind {
				return k, "message:" + by
			}
		}
	}
	return activity.NoKind, ""
}

// actions are the roles that may hold the name of an action, the most telling first.
var actions = [...]role{roleAction, role(activity.EventType), role(activity.Operation), roleEvent, role(activity.ActivityType), roleType}

// acted reads the names of actions, and then the first word of a statement.
func (r *reading) acted(p *phrase) (activity.Kind, string) {
	someone, deed := r.someone(), r.deed()
	for _, x := range actions {
		v := r.value(x)
		if len(v) < 2 || len(v) > 100 || bytes.Count(v, space) > 4 {
			continue
		}
		p.read(v)
		k, by := p.kind(someone)
		if k == activity.AuthEvent || k != activity.NoKind && deed && r.names(x, p, someone) {
			return k, "action:" + by
		}
	}
	if v := r.value(roleStatement); v != nil {
		p.read(v[:min(len(v), 24)])
		if k, _ := p.kind(true); k != activity.NoKind {
			return k, "shape:statement"
		}
	}
	return activity.NoKind, ""
}

// deed reports whether the line can be about what somebody did: a logger's line that names nobody and nothing it was
// done to is what the program itself does.
func (r *reading) deed() bool {
	return r.nodes[roleLevel] == 0 || r.nodes[activity.Description]+r.nodes[roleEvent] == 0 || r.someone() ||
		r.has(activity.IPAddress, activity.EntityType, activity.EntityID, activity.TableName, activity.RecordID)
}

// names reports whether what has the role is the name of an action, and not any text or type.
func (r *reading) names(x role, p *phrase, someone bool) bool {
	switch x {
	case role(activity.ActivityType): // our own free name of an activity is no claim
		return false
	case roleEvent: // a sentence is no name
		return bytes.IndexByte(r.value(x), ' ') < 0
	case roleType: // a type may be that of anything
		return someone && p.n > 1
	}
	return true
}

var space = []byte{' '}

// direction tells requests that were served from requests that were made.
func (r *reading) direction(message activity.Kind) activity.Kind {
	d := r.value(roleDirection)
	switch {
	case equalFold(d, "client"), equalFold(d, "outbound"), equalFold(d, "outgoing"), equalFold(d, "egress"), message == activity.ExternalAPI:
		return activity.ExternalAPI
	case equalFold(d, "server"), equalFold(d, "inbound"), equalFold(d, "incoming"), equalFold(d, "ingress"):
		return activity.APITransaction
	case r.outbound(), r.nodes[roleCallee] != 0 && !r.has(activity.IPAddress) && r.nodes[roleUser] == 0:
		return activity.ExternalAPI
	}
	return activity.APITransaction
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
	case r.own(activity.ActivityType, activity.EntityType, activity.EntityID):
		return ""
	case r.has(activity.Description, activity.LogLogger, activity.StackTrace, activity.ErrorCode), r.nodes[roleError] != 0, r.nodes[roleEvent] != 0:
		return "message"
	case r.nodes[roleTime] != 0 || r.nodes[roleAction] != 0:
		return "event"
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
