package pipeline

import (
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
	"github.com/truledgr/activity-agent/pipeline/redact"
)

// encode appends the document of record i to the batch: its fields in the order of activity's table. Each document has
// a zero byte before it, the prefix of its leaf hash.
func (p *Pipeline) encode(b *Batch, i int, by string, stream *Stream) {
	r, w, rec := &p.rec, &p.vals, &b.Records[i]
	kind := rec.Kind
	w.begin(p.lenses[kind], &r.tape, append(b.buf, 0))
	r.flags.pair = !r.flags.text && r.tape.Nodes[0].Type == tape.Object && w.namesSecret(0)
	if w.rules.Guards() || r.flags.pair {
		p.withhold()
	}
	if r.outcome = ""; r.reading.tape != nil {
		r.outcome = p.outcome(kind)
	}
	lo := len(w.out)
	w.out = append(w.out, `{"id":"`...)
	w.out = appendID(w.out, rec.ID)
	w.out = append(w.out, `","@timestamp":"`...)
	w.out = p.stamps.append(w.out, rec.Time)
	w.out = append(w.out, `","kind":"`...)
	w.out = append(w.out, p.constant.kinds[kind]...)
	w.out = append(w.out, `","activity_type":`...)
	p.activityType(kind)
	w.out = append(w.out, p.created...)
	p.values(kind)
	p.service(kind)
	w.out = append(w.out, p.constant.kubernetes...)
	offset, _ := position(b.Pieces, rec.Cut)
	p.log(stream, offset)
	p.event(kind)
	p.trailer(by)
	if p.explain != nil {
		for _, h := range w.hits {
			p.explain(i, Redaction{string(h.path), h.detector.String(), w.rules.Label(h.verdict, h.detector)})
		}
	}
	hi := len(w.out)
	w.out = append(w.out, '}')
	rec.Leaf = sha256.Sum256(w.out[lo-1 : hi+1])
	w.out = w.out[:hi]
	w.out = appendIntegrity(w.out, p.constant.integrity, b.Number, rec.Seq, rec.Leaf)
	b.buf = w.out
	rec.doc, rec.body = span{int32(lo), int32(len(w.out))}, int32(hi)
}

// appendID writes an id in its 26 characters.
func appendID(dst []byte, id ulid.ULID) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, ulid.EncodedSize)...)
	_ = id.MarshalTextTo(dst[at:]) // fails only for a buffer of another size
	return dst
}

// appendIntegrity writes the integrity object and the document's end.
func appendIntegrity(dst []byte, head string, batch uint64, seq int, leaf Leaf) []byte {
	dst = append(dst, head...)
	dst = strconv.AppendUint(dst, batch, 10)
	dst = append(dst, `,"seq":`...)
	dst = strconv.AppendInt(dst, int64(seq), 10)
	dst = append(dst, `,"hash":"`...)
	dst = base64.RawURLEncoding.AppendEncode(dst, leaf[:])
	return append(dst, `"}}`...)
}

func (p *Pipeline) activityType(kind activity.Kind) {
	r, w := &p.rec, &p.vals
	at := len(w.out)
	if r.rule != nil && r.rule.ActivityType != nil {
		w.out = append(w.out, r.rule.ActivityType...)
		return
	}
	if n := r.fields[activity.ActivityType]; n != 0 && p.field(activity.ActivityType, n) {
		return
	}
	w.out = append(append(append(w.out[:at], '"'), p.constant.kinds[kind]...), '"')
}

// key writes a comma and the field's name.
func (p *Pipeline) key(f activity.FieldID) {
	p.vals.out = append(append(p.vals.out, ','), p.constant.fields[f]...)
}

// values writes the fields that the line has a value for, and those that follow from others.
func (p *Pipeline) values(kind activity.Kind) {
	r := &p.rec
	todo := r.filled
	todo[0] |= p.constant.always[kind][0]
	todo[1] |= p.constant.always[kind][1]
	if r.rule != nil {
		for i := range r.rule.Set {
			if f := r.rule.Set[i].Field; f < activity.FieldCount {
				todo.add(uint8(f))
			}
		}
	}
	todo.all(&p.constant.written[kind], func(x uint8) {
		f, at := activity.FieldID(x), len(p.vals.out)
		if n := r.fields[f]; n != 0 && !p.special(f) {
			p.keyed(f, n)
			return
		}
		if p.derived(f, kind); r.rule != nil && len(p.vals.out) == at {
			p.preset(f)
		}
	})
	for i := range p.constant.declared[kind] {
		f := p.constant.declared[kind][i].field
		if n := r.fields[f]; n != 0 {
			p.keyed(f, n)
		} else if r.rule != nil {
			p.preset(f)
		}
	}
}

// preset writes what the user's rule gives a field that the line gives no value.
func (p *Pipeline) preset(f activity.FieldID) {
	if v := p.rec.rule.ValueOf(f); v != nil {
		p.key(f)
		p.vals.out = append(p.vals.out, v...)
	}
}

// keyed writes a field with its name, if anything of its value stays.
func (p *Pipeline) keyed(f activity.FieldID, n uint32) {
	at := len(p.vals.out)
	p.key(f)
	if !p.field(f, n) {
		p.vals.out = p.vals.out[:at]
	}
}

// special are the fields that derived writes in every case.
func (p *Pipeline) special(f activity.FieldID) bool {
	return f == activity.Tags || f == activity.Details || f == activity.Severity
}

// derived writes a field whose value does not come from one member as it is.
func (p *Pipeline) derived(f activity.FieldID, kind activity.Kind) {
	r, w := &p.rec, &p.vals
	switch f {
	case activity.Description:
		if r.flags.text {
			at := len(w.out)
			p.key(f)
			w.push(segment{key: p.constant.paths[f]})
			text := r.content
			if r.flags.trace && p.constant.own[kind].has(uint8(activity.StackTrace)) {
				text, _ = splitTrace(text)
			}
			if !w.text(text, w.fields[f]) {
				w.out = w.out[:at]
			}
			w.pop()
		}
	case activity.StackTrace:
		if r.flags.text && r.flags.trace {
			at := len(w.out)
			p.key(f)
			w.push(segment{key: p.constant.paths[f]})
			if _, text := splitTrace(r.content); !w.text(text, w.fields[f]) {
				w.out = w.out[:at]
			}
			w.pop()
		}
	case activity.Tags:
		p.tags()
	case activity.Details:
		p.details()
	case activity.Severity:
		p.severity()
	case activity.ExecutionTimeMS:
		p.duration()
	case activity.Success:
		if o := p.rec.outcome; o != "" {
			p.key(f)
			w.out = strconv.AppendBool(w.out, o == success)
		}
	case activity.ChangedFields:
		p.changedFields()
	}
}

// field writes the value of node n with the type of field f. It reports whether anything of it stays: if not, the caller
// takes back what it wrote of the field.
func (p *Pipeline) field(f activity.FieldID, n uint32) (kept bool) {
	r, w := &p.rec, &p.vals
	switch p.constant.types[f] {
	case activity.Free:
		return w.free(p.constant.paths[f], n, p.verdict(f, n))
	case activity.Long:
		if node := &r.tape.Nodes[n]; r.plainDigits(node) {
			w.out = append(w.out, r.tape.Raw(node)...)
			return true
		}
		v, _ := r.long(n)
		w.out = strconv.AppendInt(w.out, v, 10)
		return true
	case activity.Double:
		p.double(n)
		return true
	case activity.Bool:
		v, _ := r.truth(n)
		w.out = strconv.AppendBool(w.out, v)
		return true
	case activity.IP:
		a, _ := r.address(n)
		return w.address(a, p.constant.paths[f], p.verdict(f, n))
	case activity.Date:
		t, _ := r.time(n)
		w.out = append(appendTime(append(w.out, '"'), t), '"')
		return true
	}
	w.push(segment{key: p.constant.paths[f]})
	w.identity = f == activity.UserID
	if p.constant.types[f] == activity.Keywords {
		w.out = append(w.out, '[')
		p.elements(n, p.verdict(f, n))
		w.out = append(w.out, ']')
		kept = true
	} else {
		kept = p.scalar(n, p.verdict(f, n))
	}
	w.identity = false
	w.pop()
	return kept
}

// verdict finds how a field's value is treated: by the field's own name and path, and by the name that the line gives
// it. An address is left alone by the detectors, since people are found by it.
func (p *Pipeline) verdict(f activity.FieldID, n uint32) redact.Verdict {
	w := &p.vals
	v := w.fields[f]
	node := &p.rec.tape.Nodes[n]
	if !p.byOwnName(f, n) {
		name, _ := w.named(node, p.rec.tape.Key(node))
		v = w.below(v, redact.None, w.likely(name, node))
	}
	if v == redact.None && p.rec.flags.pair && anyFold(p.rec.tape.Key(node), pairValues) {
		v = redact.Redact
	}
	switch {
	case f != activity.UserID && f != activity.IPAddress || v != redact.None:
		return v
	case w.rules.HashesIdentity():
		return redact.Identify
	}
	if f == activity.UserID {
		return redact.None // see writer.identity
	}
	return redact.Allow
}

// byOwnName reports whether the line calls n as the field is called.
func (p *Pipeline) byOwnName(f activity.FieldID, n uint32) bool {
	if f >= activity.FieldCount {
		return string(p.rec.tape.Key(&p.rec.tape.Nodes[n])) == string(p.constant.paths[f])
	}
	rd := &p.rec.reading
	return rd.nodes[f] == n && rd.prio[f] == 0
}

// withhold takes the values of typed fields that rules name away, since a mask has no place in a number or a date.
// Nothing is derived from them then.
func (p *Pipeline) withhold() {
	r, w := &p.rec, &p.vals
	for f := activity.ActivityType; f < p.model.FieldCount(); f++ {
		n := r.fields[f]
		if n == 0 {
			continue
		}
		switch p.constant.types[f] {
		case activity.Long, activity.Double, activity.Bool, activity.Date:
			if v := p.verdict(f, n); v.Secret() || v == redact.Unlisted {
				w.push(segment{key: p.constant.paths[f]})
				w.noteVerdict(v)
				w.pop()
				r.fields[f] = 0
			}
		}
	}
	if v := w.fields[activity.ExecutionTimeMS]; v.Secret() || v == redact.Unlisted {
		for _, x := range durationRoles {
			r.reading.nodes[x.role] = 0
		}
		r.reading.nodes[roleDuration] = 0
	}
}

func (p *Pipeline) double(n uint32) {
	r, w := &p.rec, &p.vals
	if r.tape.Nodes[n].Type == tape.Number {
		w.out = append(w.out, r.tape.Raw(&r.tape.Nodes[n])...)
		return
	}
	v, _ := r.double(n)
	w.out = strconv.AppendFloat(w.out, v, 'g', -1, 64)
}

// scalar writes a scalar as a string.
func (p *Pipeline) scalar(i uint32, v redact.Verdict) (kept bool) {
	r, w := &p.rec, &p.vals
	n := &r.tape.Nodes[i]
	switch {
	case n.Type == tape.String:
		return w.str(n, v)
	case v == redact.Unlisted, v.Secret() && n.Type == tape.Number:
		return w.secret(r.tape.Raw(n), v)
	case n.Type == tape.Number && n.Hi-n.Lo >= minScanNum:
		at := len(w.out)
		if !w.number(n, v) {
			return false
		}
		if w.out[at] != '"' {
			w.out = append(append(append(w.out[:at], '"'), r.tape.Raw(n)...), '"')
		}
	default:
		w.out = append(append(append(w.out, '"'), r.tape.Raw(n)...), '"')
	}
	return true
}

// elements writes the scalars of an array, or the one scalar there is, as strings; it reports whether there were any.
func (p *Pipeline) elements(i uint32, v redact.Verdict) (wrote bool) {
	r, w := &p.rec, &p.vals
	if r.tape.Nodes[i].Type != tape.Array {
		at := len(w.out)
		if wrote = p.scalar(i, v); !wrote {
			w.out = w.out[:at]
		}
		return wrote
	}
	for j := i + 1; j < r.tape.Nodes[i].Next; j++ {
		at := len(w.out)
		if wrote {
			w.out = append(w.out, ',')
		}
		w.push(segment{index: int32(j - i - 1)})
		if p.scalar(j, w.verdict(v, &r.tape.Nodes[j], nil)) {
			wrote = true
		} else {
			w.out = w.out[:at]
		}
		w.pop()
	}
	return wrote
}

// tags writes the line's tags, and those that say what was repaired.
func (p *Pipeline) tags() {
	r, w := &p.rec, &p.vals
	n := r.fields[activity.Tags]
	if n == 0 && !r.flags.invalidUTF8 && r.tape.Duplicates == 0 {
		return
	}
	p.key(activity.Tags)
	w.out = append(w.out, '[')
	wrote := false
	if n != 0 {
		w.push(segment{key: p.constant.paths[activity.Tags]})
		wrote = p.elements(n, p.verdict(activity.Tags, n))
		w.pop()
	}
	add := func(tag string) {
		if wrote {
			w.out = append(w.out, ',')
		}
		wrote = true
		w.out = append(append(append(w.out, '"'), tag...), '"')
	}
	if r.flags.invalidUTF8 {
		add("invalid_utf8")
	}
	if r.tape.Duplicates > 0 && !r.flags.text {
		add("dup_keys")
	}
	w.out = append(w.out, ']')
}

// severity writes the level of a system event in the names that all loggers share.
func (p *Pipeline) severity() {
	r, w := &p.rec, &p.vals
	n := r.fields[activity.Severity]
	name := ""
	switch {
	case n != 0:
		node := &r.tape.Nodes[n]
		name = severity(r.tape.Raw(node), node.Type == tape.Number)
	case r.flags.text:
		if name = textSeverity(r.content); name == "" && r.flags.trace {
			name = "error"
		}
	case r.reading.markers&markSerilog != 0: // compact format: no level is information
		name = "info"
	}
	switch {
	case name != "":
		p.key(activity.Severity)
		w.out = append(append(append(w.out, '"'), name...), '"')
	case n != 0:
		p.keyed(activity.Severity, n)
	}
}

// duration writes execution_time_ms from a member with another unit.
func (p *Pipeline) duration() {
	if ms, n, ok := p.rec.durationMS(); ok {
		p.rec.tape.Nodes[n].Flags |= tape.Taken
		p.key(activity.ExecutionTimeMS)
		p.vals.out = strconv.AppendFloat(p.vals.out, ms, 'f', -1, 64)
	}
}

// durationRoles are the members that name the unit, with the milliseconds of one.
var durationRoles = [...]struct {
	role  role
	scale float64
}{{roleDurationMS, 1}, {roleDurationS, 1e3}, {roleDurationNS, 1e-6}}

// durationMS finds how long it took, in milliseconds, and the member that says so.
func (r *draft) durationMS() (ms float64, n uint32, ok bool) {
	if r.reading.tape == nil {
		return 0, 0, false
	}
	for _, u := range durationRoles {
		if n := r.reading.nodes[u.role]; n != 0 {
			if v, ok := r.double(n); ok {
				return v * u.scale, n, true
			}
		}
	}
	n = r.reading.nodes[roleDuration]
	if n == 0 {
		return 0, 0, false
	}
	if v := r.reading.value(roleDuration); v != nil && len(v) < 32 {
		d, err := time.ParseDuration(text(v))
		return float64(d) / 1e6, n, err == nil
	}
	if r.reading.markers&markTS != 0 { // zap writes durations as seconds
		v, ok := r.double(n)
		return v * 1e3, n, ok
	}
	return 0, 0, false
}

// maxCompared bounds the work of finding the names of one object in another, which is a search for each.
const maxCompared = 1 << 20

// changedFields writes the names of the members that old_values and new_values do not agree on.
func (p *Pipeline) changedFields() {
	r, w := &p.rec, &p.vals
	before, after := r.fields[activity.OldValues], r.fields[activity.NewValues]
	v := w.fields[activity.ChangedFields]
	if before == 0 || after == 0 || v.Secret() || v == redact.Unlisted || r.tape.Nodes[before].Type != tape.Object || r.tape.Nodes[after].Type != tape.Object {
		return
	}
	sizes := int(r.tape.Nodes[before].Next-before) * int(r.tape.Nodes[after].Next-after)
	if sizes > maxCompared {
		return
	}
	p.key(activity.ChangedFields)
	w.out = append(w.out, '[')
	w.push(segment{key: p.constant.paths[activity.ChangedFields]})
	wrote := false
	for _, side := range [2][2]uint32{{before, after}, {after, before}} {
		for j := side[0] + 1; j < r.tape.Nodes[side[0]].Next; j = r.tape.Nodes[j].Next {
			n := &r.tape.Nodes[j]
			if n.Flags&tape.Duplicate != 0 {
				continue
			}
			other := r.tape.Find(side[1], n)
			if other != 0 && (side[0] == after || r.tape.Equal(j, other)) {
				continue
			}
			if wrote {
				w.out = append(w.out, ',')
			}
			wrote = true
			key := r.tape.Key(n)
			if _, secret := w.named(n, key); secret || n.Flags&tape.KeyEscaped != 0 {
				w.text(key, v)
			} else {
				w.out = append(append(append(w.out, '"'), key...), '"')
			}
		}
	}
	w.pop()
	w.out = append(w.out, ']')
}

// service writes the groups service, host and rate_limit: the line's values, and the agent's where it has none.
func (p *Pipeline) service(kind activity.Kind) {
	c := &p.constant
	p.group(`,"service":{`, c.service[:])
	p.group(`,"host":{`, c.host[:])
	if kind == activity.ExternalAPI {
		p.group(`,"rate_limit":{`, rateLimit[:])
	}
}

func (p *Pipeline) group(open string, fields []groupField) {
	r, w := &p.rec, &p.vals
	wrote := false
	for i := range fields {
		g := &fields[i]
		n := r.fields[g.field]
		if n == 0 && g.fallback == "" {
			continue
		}
		at := len(w.out)
		if wrote {
			w.out = append(w.out, ',')
		} else {
			w.out = append(w.out, open...)
		}
		w.out = append(w.out, p.constant.fields[g.field]...)
		switch {
		case n == 0:
			w.out = append(w.out, g.fallback...)
		case !p.field(g.field, n):
			w.out = w.out[:at]
			continue
		}
		wrote = true
	}
	if wrote {
		w.out = append(w.out, '}')
	}
}

// log says where the record was read, and which logger wrote it.
func (p *Pipeline) log(stream *Stream, offset int64) {
	if stream.Path == "" {
		p.logger()
		return
	}
	r, w := &p.rec, &p.vals
	w.out = append(w.out, `,"log":{"file":{"path":"`...)
	if p.pathOf != stream {
		p.pathOf, p.path = stream, tape.AppendEscaped(p.path[:0], []byte(strings.ToValidUTF8(stream.Path, "\uFFFD")))
	}
	w.out = append(w.out, p.path...)
	w.out = append(w.out, `"},"offset":`...)
	w.out = strconv.AppendInt(w.out, offset, 10)
	if n := r.fields[activity.LogLogger]; n != 0 {
		p.keyed(activity.LogLogger, n)
	}
	w.out = append(w.out, '}')
}

// logger writes which logger wrote a record that was read from no file.
func (p *Pipeline) logger() {
	n, w := p.rec.fields[activity.LogLogger], &p.vals
	if n == 0 {
		return
	}
	at := len(w.out)
	w.out = append(append(w.out, `,"log":{`...), p.constant.fields[activity.LogLogger]...)
	if !p.field(activity.LogLogger, n) {
		w.out = w.out[:at]
		return
	}
	w.out = append(w.out, '}')
}

// trailer writes what is said about the document itself.
func (p *Pipeline) trailer(by string) {
	r, w := &p.rec, &p.vals
	if len(w.hits) > 0 {
		w.out = append(w.out, `,"redacted":[`...)
		for i, h := range w.hits {
			if i > 0 {
				w.out = append(w.out, ',')
			}
			w.out = append(w.out, `{"path":"`...)
			w.out = tape.AppendEscaped(w.out, h.path)
			w.out = append(append(append(w.out, `","detector":"`...), h.detector.String()...), `"}`...)
		}
		w.out = append(w.out, ']')
	}
	if r.flags.truncated || w.cut {
		w.out = append(w.out, `,"truncated":true`...)
	}
	w.out = append(append(append(w.out, `,"classified_by":"`...), by...), '"')
}
