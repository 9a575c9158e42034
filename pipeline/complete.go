package pipeline

import (
	"bytes"
	"math"
	"net/netip"
	"slices"
	"strconv"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// A detour is a row of elsewhere.
type detour struct {
	role  role
	kinds activity.KindSet
	field activity.FieldID
}

// elsewhere says which field takes a role's value in kinds that lack the field of that name. A field that has a value
// of its own is never overwritten.
var elsewhere = []detour{
	// The name of what was done, where a logger has it for a message.
	{roleEventName, activity.Of(activity.AuthEvent), activity.EventType},
	{roleEventName, activity.Of(activity.DataAccess, activity.DataChange), activity.Operation},
	{role(activity.ServiceNameExternal), activity.AllKinds &^ activity.Of(activity.ExternalAPI), activity.ServiceName},
	{roleService, activity.AllKinds, activity.ServiceName},
	{roleUser, activity.AllKinds, activity.UserID},
	{roleEmail, activity.Of(activity.AuthEvent), activity.UserID},
	{role(activity.Operation), activity.Of(activity.AuthEvent), activity.EventType},
	{role(activity.EventType), activity.Of(activity.DataAccess, activity.DataChange), activity.Operation},
	{roleAction, activity.Of(activity.AuthEvent, activity.SystemEvent), activity.EventType},
	{roleAction, activity.Of(activity.DataAccess, activity.DataChange), activity.Operation},
	{roleAction, activity.AllKinds, activity.ActivityType},
	{role(activity.EventType), activity.AllKinds, activity.ActivityType},
	{roleCallee, activity.Of(activity.ExternalAPI), activity.ServiceNameExternal},
	{roleEvent, activity.AllKinds, activity.Description},
	{roleEvent, activity.Of(activity.AuthEvent, activity.SystemEvent), activity.EventType},
	{roleEvent, activity.AllKinds, activity.ActivityType},
	{role(activity.FailureReason), activity.Of(activity.APITransaction, activity.ExternalAPI), activity.ErrorDetails},
	{role(activity.ErrorDetails), activity.Of(activity.AuthEvent), activity.FailureReason},
	{roleError, activity.Of(activity.APITransaction, activity.ExternalAPI), activity.ErrorDetails},
	{roleError, activity.Of(activity.AuthEvent), activity.FailureReason},
	{role(activity.ErrorDetails), activity.AllKinds, activity.Description},
	{roleError, activity.AllKinds, activity.Description},
	{roleLevel, activity.Of(activity.SystemEvent), activity.Severity},
}

// complete gives the members of the line their fields, by the kind and by what fits the fields' types. What finds no
// field stays untaken, and goes to details.
func (p *Pipeline) complete(kind activity.Kind) {
	r := &p.rec
	r.fields, r.filled = [activity.MaxFields]uint32{}, roleSet{}
	if r.reading.tape == nil {
		return
	}
	if r.rule != nil {
		p.move(kind)
	}
	p.takeDeclared(kind)
	p.moveStatus(kind)
	p.moveMethod(kind)
	if v := r.reading.value(roleEvent); v != nil && bytes.IndexByte(v, ' ') < 0 {
		r.reading.nodes[roleEventName] = r.reading.nodes[roleEvent]
		r.reading.set.add(uint8(roleEventName))
	}
	r.reading.set.all(&p.constant.own[kind], func(f uint8) {
		p.take(activity.FieldID(f), r.reading.nodes[f])
	})
	p.take(activity.KindField, p.kindNode())
	for i := range p.constant.elsewhere[kind] {
		if e := &p.constant.elsewhere[kind][i]; r.reading.set.has(uint8(e.role)) {
			p.take(e.field, r.reading.nodes[e.role])
		}
	}
	// An object whose members all found a field has nothing left to say.
	for i := len(r.reading.containers) - 1; i >= 0; i-- {
		r.foldTaken(r.reading.containers[i])
	}
}

// move gives members of the line to the fields that the user's rule says.
func (p *Pipeline) move(kind activity.Kind) {
	r := &p.rec
	for _, m := range r.rule.Moves {
		n := r.reading.at(m.Path)
		if n == 0 || !p.model.In(m.Field, kind) || r.fields[m.Field] != 0 {
			continue
		}
		if p.take(m.Field, n); m.Copy && r.fields[m.Field] != 0 {
			r.tape.Nodes[n].Flags &^= tape.Taken
		}
		for i := range m.Path { // objects that may be empty now
			if m.Path[i] == '.' {
				if j := r.reading.at(m.Path[:i]); j != 0 && r.tape.Nodes[j].Type == tape.Object {
					r.reading.containers = append(r.reading.containers, j)
				}
			}
		}
	}
}

// kindNode is the member that named the kind, if its name is "kind".
func (p *Pipeline) kindNode() uint32 {
	r := &p.rec
	n := r.reading.nodes[activity.KindField]
	if r.rule != nil && r.rule.Kind != activity.NoKind {
		return 0
	}
	if v := r.reading.value(role(activity.KindField)); v != nil {
		if _, ok := p.model.ParseKind(v); ok {
			return n
		}
	}
	return 0
}

// A declared field is one of the configuration. It is found by its own name, in any of the ways that names are spelled.
type declared struct {
	field  activity.FieldID
	names  []string
	values []string // the only ones, where the set is closed
}

// takeDeclared gives members of the line to the fields that the configuration declares for the kind. They go first: who
// declares a field knows what its name means.
func (p *Pipeline) takeDeclared(kind activity.Kind) {
	for i := range p.constant.declared[kind] {
		d := &p.constant.declared[kind][i]
		for _, name := range d.names {
			if n := p.rec.tape.Member(0, name); n != 0 && d.admits(&p.rec.tape, n) {
				p.take(d.field, n)
				break
			}
		}
	}
}

// admits reports whether a value is one of those that the field may have.
func (d *declared) admits(t *tape.Tape, n uint32) bool {
	return d.values == nil || t.Nodes[n].Type == tape.String && slices.Contains(d.values, string(t.Raw(&t.Nodes[n])))
}

// moveStatus reads a `status` that is an HTTP status code as one, where the kind has such a field and none is given.
func (p *Pipeline) moveStatus(kind activity.Kind) {
	r := &p.rec.reading
	if p.constant.own[kind].has(uint8(activity.StatusCode)) && r.nodes[activity.StatusCode] == 0 && statusCode(r.tape, r.nodes[activity.Status]) != 0 {
		r.nodes[activity.StatusCode], r.nodes[activity.Status] = r.nodes[activity.Status], 0
		r.set.add(uint8(activity.StatusCode))
	}
}

// moveMethod reads a `method` that is no HTTP method as the way that somebody logged in.
func (p *Pipeline) moveMethod(kind activity.Kind) {
	r := &p.rec.reading
	if n := r.nodes[activity.Method]; kind == activity.AuthEvent && n != 0 && !httpMethod(r.text(n)) {
		r.nodes[activity.Method] = 0
		if r.nodes[activity.LoginMethod] == 0 {
			r.nodes[activity.LoginMethod] = n
			r.set.add(uint8(activity.LoginMethod))
		}
	}
}

func (r *draft) foldTaken(i uint32) {
	t := &r.tape
	for j := i + 1; j < t.Nodes[i].Next; j = t.Nodes[j].Next {
		if t.Nodes[j].Flags&(tape.Taken|tape.Duplicate) == 0 {
			return
		}
	}
	t.Nodes[i].Flags |= tape.Taken
}

// take gives node n to field f if the field is free, the node too, and its value fits.
func (p *Pipeline) take(f activity.FieldID, n uint32) {
	r := &p.rec
	if f == activity.ActivityType && r.rule != nil && r.rule.ActivityType != nil {
		return
	}
	if n == 0 || r.fields[f] != 0 || r.tape.Nodes[n].Flags&tape.Taken != 0 {
		return
	}
	n, ok := r.fits(p.constant.types[f], n)
	if !ok {
		return
	}
	r.fields[f] = n
	if f < activity.FieldCount {
		r.filled.add(uint8(f))
	}
	r.tape.Nodes[n].Flags |= tape.Taken
}

// fits reports whether a value can be written with the field's type, and returns the node to write: of an array of one
// its element.
func (r *draft) fits(typ activity.Type, i uint32) (uint32, bool) {
	t := &r.tape
	n := &t.Nodes[i]
	if n.Type == tape.Array && typ != activity.Keywords && typ != activity.Free {
		if n.Children != 1 && (typ != activity.IP || n.Children == 0) {
			return 0, false
		}
		i++
		if n.Children > 1 { // of several addresses the first; all stay in details
			return r.fits(typ, i)
		}
		n.Flags |= tape.Taken // the array, for its element
		if m, ok := r.fits(typ, i); ok {
			return m, true
		}
		n.Flags &^= tape.Taken
		return 0, false
	}
	switch typ {
	case activity.Free:
		return i, true
	case activity.Keywords:
		return i, n.Type != tape.Object && scalars(t, i)
	case activity.Keyword, activity.Text:
		return i, n.Type != tape.Object && n.Type != tape.Null
	case activity.Long:
		ok := r.plainDigits(n)
		if !ok {
			_, ok = r.long(i)
		}
		return i, ok && !r.secretDigits(n)
	case activity.Double:
		_, ok := r.double(i)
		return i, ok && !r.secretDigits(n)
	case activity.Bool:
		_, ok := r.truth(i)
		return i, ok
	case activity.IP:
		_, ok := r.address(i)
		return i, ok
	case activity.Date:
		_, ok := r.time(i)
		return i, ok && !r.secretDigits(n)
	}
	return 0, false
}

// secretDigits reports whether a number is a secret, such as a payment card's. It then gets no typed field, where it
// could not be masked.
func (r *draft) secretDigits(n *tape.Node) bool {
	return n.Hi-n.Lo >= minScanNum && len(r.rules.Scan(nil, r.tape.Raw(n))) > 0
}

func scalars(t *tape.Tape, i uint32) bool {
	for j := i + 1; j < t.Nodes[i].Next; j++ {
		if typ := t.Nodes[j].Type; typ == tape.Object || typ == tape.Array || typ == tape.Null {
			return false
		}
	}
	return true
}

// long reads a whole number, also from a string or with a zero fraction.
func (r *draft) long(i uint32) (int64, bool) {
	n := &r.tape.Nodes[i]
	raw := r.tape.Raw(n)
	if n.Type != tape.Number && n.Type != tape.String || len(raw) == 0 || len(raw) > 32 {
		return 0, false
	}
	if v, err := strconv.ParseInt(text(raw), 10, 64); err == nil {
		return v, true
	}
	f, ok := r.double(i)
	if !ok || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// plainDigits reports whether a number is digits alone, few enough for an integer of 64 bits: it is written as it is.
func (r *draft) plainDigits(n *tape.Node) bool {
	if n.Type != tape.Number || n.Hi-n.Lo > 18 {
		return false
	}
	for _, c := range r.tape.Raw(n) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// double reads a finite number, also from a string.
func (r *draft) double(i uint32) (float64, bool) {
	n := &r.tape.Nodes[i]
	raw := r.tape.Raw(n)
	if n.Type != tape.Number && n.Type != tape.String || len(raw) == 0 || len(raw) > 40 || !decimal(raw) {
		return 0, false
	}
	f, err := strconv.ParseFloat(text(raw), 64)
	return f, err == nil
}

// decimal keeps out what ParseFloat takes beside decimal numbers: hexadecimal, infinities, underscores.
func decimal(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && c != '.' && c != '-' && c != '+' && c != 'e' && c != 'E' {
			return false
		}
	}
	return true
}

func (r *draft) truth(i uint32) (bool, bool) {
	n := &r.tape.Nodes[i]
	switch n.Type {
	case tape.True, tape.False:
		return n.Type == tape.True, true
	case tape.String, tape.Number:
		raw := r.tape.Raw(n)
		switch {
		case equalFold(raw, "true"), equalFold(raw, "yes"), string(raw) == "1":
			return true, true
		case equalFold(raw, "false"), equalFold(raw, "no"), string(raw) == "0":
			return false, true
		}
		if o := outcomeWord(raw); o != "" && n.Type == tape.String {
			return o == success, true
		}
	}
	return false, false
}

// address reads an IP address, the first of several.
func (r *draft) address(i uint32) (netip.Addr, bool) { return r.reading.address(&r.tape, i) }

// parseAddress reads an IP address, also with a port, in brackets, or first in a list.
func parseAddress(raw []byte) (netip.Addr, bool) {
	if comma := bytes.IndexByte(raw, ','); comma > 0 {
		raw = raw[:comma]
	}
	raw = bytes.TrimPrefix(raw, []byte("/")) // Java's
	if len(raw) < 2 || len(raw) > 64 || !isHex(raw[0]) && raw[0] != '[' && raw[0] != ':' {
		return netip.Addr{}, false
	}
	if a, err := netip.ParseAddr(text(raw)); err == nil {
		return a.WithZone("").Unmap(), true
	}
	if ap, err := netip.ParseAddrPort(text(raw)); err == nil {
		return ap.Addr().WithZone("").Unmap(), true
	}
	if raw[0] == '[' && raw[len(raw)-1] == ']' {
		a, err := netip.ParseAddr(text(raw[1 : len(raw)-1]))
		return a.WithZone("").Unmap(), err == nil
	}
	return netip.Addr{}, false
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

// time reads a time from a string, a number, or log4j's {"epochSecond", "nanoOfSecond"} and MongoDB's {"$date"}.
func (r *draft) time(i uint32) (int64, bool) {
	t := &r.tape
	n := &t.Nodes[i]
	switch n.Type {
	case tape.String, tape.Number:
		return parseTime(t.Raw(n))
	case tape.Object:
		if j := t.Member(i, "$date"); j != 0 && t.Nodes[j].Type != tape.Object {
			return parseTime(t.Raw(&t.Nodes[j]))
		}
		j, k := t.Member(i, "epochSecond"), t.Member(i, "nanoOfSecond")
		if j == 0 || k == 0 {
			return 0, false
		}
		sec, ok1 := r.long(j)
		nanos, ok2 := r.long(k)
		if !ok1 || !ok2 || nanos < 0 || nanos >= second {
			return 0, false
		}
		return inNanos(sec, nanos)
	}
	return 0, false
}

// timeNode is the member that holds the record's time.
func (r *draft) timeNode() uint32 {
	if n := r.reading.nodes[activity.Timestamp]; n != 0 {
		return n
	}
	return r.reading.nodes[roleTime]
}

// ownTime finds the record's own time: the line's, or its envelope's.
func (p *Pipeline) ownTime() (int64, bool) {
	r := &p.rec
	r.timed = 0
	if r.flags.text {
		if t, ok := leadingTime(r.content); ok {
			return t, true
		}
	} else if n := r.timeNode(); n != 0 {
		t, ok := r.time(n)
		if ok {
			r.timed, r.timeIs = n, t
			return t, true
		}
		r.flags.badTime = true
	}
	return r.reading.envelopeTime, r.reading.enveloped
}

// leadingTime reads a time at the start of a line of text, in brackets or not.
func leadingTime(b []byte) (int64, bool) {
	if len(b) > 0 && b[0] == '[' {
		b = b[1:]
	}
	if len(b) < 19 || b[4] != '-' && b[4] != '/' {
		return 0, false
	}
	end := 19
	for end < len(b) && end < 40 && b[end] != ' ' && b[end] != ']' && b[end] != '\t' && b[end] != '|' {
		end++
	}
	return parseISO(b[:end])
}

// takeTime keeps a time that became @timestamp out of details; one that could not be used stays there.
func (p *Pipeline) takeTime(rec *Record) {
	r := &p.rec
	if n := r.timeNode(); n != 0 && rec.Dated && r.timed == n && r.timeIs == rec.Time {
		r.tape.Nodes[n].Flags |= tape.Taken
	}
}

// The outcomes of ECS.
const (
	success = "success"
	failure = "failure"
	unknown = "unknown"
)

// outcomeWord reads the words for an outcome, or returns "".
func outcomeWord(v []byte) string {
	for _, w := range [...]string{"success", "succeeded", "successful", "ok", "passed", "pass", "allowed", "allow", "granted", "accepted", "completed"} {
		if equalFold(v, w) {
			return success
		}
	}
	for _, w := range [...]string{"failure", "failed", "fail", "error", "denied", "deny", "rejected", "forbidden", "unauthorized", "invalid", "blocked", "unsuccessful", "unauthenticated", "refused", "declined"} {
		if equalFold(v, w) {
			return failure
		}
	}
	return ""
}

// outcome finds how it ended: a status code that is an error, what the record says in so many words, whether it has what
// only failures have, and then the name of the action.
func (p *Pipeline) outcome(kind activity.Kind) string {
	r := &p.rec
	code := 0
	if n := r.reading.nodes[activity.StatusCode]; n != 0 && r.usableStatus(n) {
		v, _ := r.long(n)
		code = int(v)
	} else {
		code = statusCode(&r.tape, r.reading.nodes[activity.Status])
	}
	said := p.saidOutcome()
	switch {
	case code >= 400, said == failure:
		return failure
	case said != "":
		return said
	case code >= 100:
		return success
	case kind == activity.SystemEvent || kind == activity.Plain:
		return ""
	case p.failed():
		return failure
	case kind == activity.AuthEvent:
		return p.authOutcome()
	}
	return ""
}

// usableStatus: an HTTP status that was not withheld.
func (r *draft) usableStatus(n uint32) bool {
	v, ok := r.long(n)
	return ok && v >= 100 && v < 600 && (r.fields[activity.StatusCode] == n || r.tape.Nodes[n].Flags&tape.Taken == 0)
}

// saidOutcome reads what the record says in so many words.
func (p *Pipeline) saidOutcome() string {
	r := &p.rec
	if n := r.fields[activity.Success]; n != 0 {
		if ok, _ := r.truth(n); ok {
			return success
		}
		return failure
	}
	for _, x := range [...]role{roleOutcome, role(activity.Status), role(activity.Success)} {
		n := r.reading.nodes[x]
		if n == 0 {
			continue
		}
		if typ := r.tape.Nodes[n].Type; x != role(activity.Status) && (typ == tape.True || typ == tape.False) {
			return [...]string{failure, success}[b2i(typ == tape.True)]
		}
		if o := outcomeWord(r.reading.value(x)); o != "" {
			return o
		}
	}
	return ""
}

// failed reports whether the record has what only failures have.
func (p *Pipeline) failed() bool {
	r := &p.rec
	if r.fields[activity.ErrorDetails] != 0 || r.reading.nodes[roleError] != 0 {
		return true
	}
	n := r.reading.nodes[roleFailure]
	if n == 0 {
		return false
	}
	v := r.tape.Raw(&r.tape.Nodes[n])
	return string(v) != "0" && string(v) != "200" && !blank(v) && outcomeWord(v) != success
}

// authOutcome reads the outcome from the event's name: login_failed, LogoutSucceeded.
func (p *Pipeline) authOutcome() string {
	r := &p.rec
	if r.fields[activity.FailureReason] != 0 {
		return failure
	}
	for _, x := range [...]role{role(activity.EventType), roleAction, role(activity.ActivityType), roleEvent, role(activity.Description)} {
		v := r.reading.value(x)
		if v == nil {
			continue
		}
		p.phrase.read(v)
		if o := p.phrase.outcome(); o != "" {
			return o
		}
		if p.phrase.done() {
			return success
		}
		switch {
		case containsFold(v, "fail"), containsFold(v, "denied"), containsFold(v, "invalid"), containsFold(v, "reject"):
			return failure
		case containsFold(v, "succe"), containsFold(v, "accepted"), containsFold(v, "logged"):
			return success
		}
	}
	return ""
}

// containsFold searches ASCII without regard to case; w is lower case. It looks at names and messages of some dozen
// bytes, for authentication events only.
func containsFold(v []byte, w string) bool {
	for len(v) >= len(w) {
		i := bytes.IndexFunc(v, func(c rune) bool { return c|0x20 == rune(w[0]) })
		if i < 0 || len(v)-i < len(w) {
			return false
		}
		if equalFold(v[i:i+len(w)], w) {
			return true
		}
		v = v[i+1:]
	}
	return false
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// severity writes the names of levels alike; "" leaves a value as the line has it.
func severity(v []byte, number bool) string {
	if number {
		switch string(v) { // pino and bunyan
		case "10":
			return "trace"
		case "20":
			return "debug"
		case "30":
			return "info"
		case "40":
			return "warning"
		case "50":
			return "error"
		case "60":
			return "critical"
		}
		return ""
	}
	for _, s := range severities {
		if equalFold(v, s.word) {
			return s.name
		}
	}
	return ""
}

var severities = []struct{ word, name string }{
	{"info", "info"}, {"debug", "debug"}, {"warn", "warning"}, {"warning", "warning"}, {"error", "error"}, {"err", "error"},
	{"fatal", "critical"}, {"critical", "critical"}, {"crit", "critical"}, {"panic", "critical"}, {"dpanic", "critical"},
	{"emerg", "critical"}, {"emergency", "critical"}, {"alert", "critical"}, {"severe", "error"}, {"information", "info"},
	{"informational", "info"}, {"notice", "notice"}, {"trace", "trace"}, {"verbose", "debug"}, {"fine", "debug"},
	{"I", "info"}, {"D", "debug"}, {"W", "warning"}, {"E", "error"}, {"F", "critical"}, {"inf", "info"}, {"dbg", "debug"},
	{"wrn", "warning"}, {"ftl", "critical"}, {"trc", "trace"},
}

// textSeverity finds a level among the first words of a line of text: "2026-01-02 ERROR x", "[warn] x", "level=info".
func textSeverity(b []byte) string {
	b = b[:min(len(b), 80)]
	for len(b) > 0 {
		i := 0
		for i < len(b) && !isLetter(b[i]) {
			i++
		}
		j := i
		for j < len(b) && isLetter(b[j]) {
			j++
		}
		if j-i >= 3 {
			if s := severity(b[i:j], false); s != "" {
				return s
			}
		}
		b = b[j:]
	}
	return ""
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }
