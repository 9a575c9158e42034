package pipeline

import (
	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
	"github.com/truledgr/activity-agent/pipeline/redact"
)

// details writes what found no field: the line's own details first, then its other members.
func (p *Pipeline) details() {
	r, w := &p.rec, &p.vals
	at := len(w.out)
	p.key(activity.Details)
	open := len(w.out)
	own := r.fields[activity.Details]
	wrote := false
	switch {
	case own != 0 && w.free(p.constant.paths[activity.Details], own, p.verdict(activity.Details, own)):
		w.out = w.out[:len(w.out)-1]
		wrote = len(w.out) > open+1
	default:
		own = 0
		w.out = append(w.out[:open], '{')
	}
	if !r.flags.text {
		wrote = p.leftOver(own, wrote) || wrote
	}
	if r.stream != "" && !p.saysStream(own) {
		if wrote {
			w.out = append(w.out, ',')
		}
		w.out = append(append(append(w.out, `"stream":"`...), r.stream...), '"')
		wrote = true
	}
	if !wrote && own == 0 {
		w.out = w.out[:at]
		return
	}
	w.out = append(w.out, '}')
}

// saysStream reports whether the line has a member of its own where the envelope's stream would be written.
func (p *Pipeline) saysStream(own uint32) bool {
	r := &p.rec
	if r.flags.text || r.tape.Nodes[0].Type != tape.Object {
		return false
	}
	return r.tape.Member(0, "stream") != 0 || own != 0 && r.tape.Member(own, "stream") != 0
}

// leftOver writes the members of the line that are not taken. Where the line's details have a member of the same name,
// that one is the details', and the line's gets a name of its own.
func (p *Pipeline) leftOver(own uint32, comma bool) bool {
	r, w := &p.rec, &p.vals
	w.flat = maxFlat - 1
	w.push(segment{key: p.constant.paths[activity.Details]})
	defer func() { w.pop(); w.flat = -1 }()
	v := w.fields[activity.Details]
	if r.tape.Nodes[0].Type != tape.Object {
		return p.bareValue(v)
	}
	if own == 0 {
		return w.members(0, v, r.flags.pair, comma)
	}
	if int(r.tape.Nodes[0].Children)*int(r.tape.Nodes[own].Children) > maxCompared {
		if comma {
			w.out = append(w.out, ',')
		}
		w.out = append(w.out, `"line_members":{`...)
		w.members(0, v, r.flags.pair, false)
		w.out = append(w.out, '}')
		return true
	}
	return p.mergeMembers(own, v, comma)
}

// bareValue writes a line that is JSON but no object.
func (p *Pipeline) bareValue(v redact.Verdict) (kept bool) {
	w := &p.vals
	at := len(w.out)
	w.out = append(w.out, `"value":`...)
	w.push(segment{key: valueKey})
	kept = w.value(0, w.verdict(v, &p.rec.tape.Nodes[0], nil))
	w.pop()
	if !kept {
		w.out = w.out[:at]
	}
	return kept
}

func (p *Pipeline) mergeMembers(own uint32, v redact.Verdict, comma bool) (wrote bool) {
	r, w := &p.rec, &p.vals
	masked := maskedNames{objects: [2]uint32{0, own}, number: w.lastNames.number}
	pair := r.flags.pair
	for j := uint32(1); j < r.tape.Nodes[0].Next; j = r.tape.Nodes[j].Next {
		n := &r.tape.Nodes[j]
		if n.Flags&(tape.Taken|tape.Duplicate) != 0 {
			continue
		}
		at := len(w.out)
		if comma {
			w.out = append(w.out, ',')
		}
		kept := false
		if p.inDetails(own, r.tape.Key(n)) {
			kept = p.renamed(own, j, v, pair, &masked)
		} else {
			kept = w.member(j, v, pair, &masked)
		}
		if kept {
			comma, wrote = true, true
		} else {
			w.out = w.out[:at]
		}
	}
	return wrote
}

// inDetails reports whether the line's own details have a member of that name.
func (p *Pipeline) inDetails(own uint32, name []byte) bool {
	t := &p.rec.tape
	if t.Nodes[own].Type != tape.Object {
		return string(name) == string(valueKey)
	}
	return t.Member(own, string(name)) != 0
}

// renamed writes member j of the line under its name with "line_" before it, as often as makes it a new name.
func (p *Pipeline) renamed(own, j uint32, v redact.Verdict, pair bool, masked *maskedNames) (kept bool) {
	r, w := &p.rec, &p.vals
	n := r.tape.Nodes[j]
	key := r.tape.Key(&n)
	mark := len(w.scratch)
	name := key
	for p.inDetails(own, name) || r.tape.Member(0, string(name)) != 0 {
		name = append([]byte("line_"), name...)
	}
	w.scratch = append(w.scratch, name...)
	name = w.scratch[mark:len(w.scratch):len(w.scratch)]
	w.push(segment{key: name})
	sub := w.verdict(v, &n, key)
	if pair && sub == redact.None && anyFold(key, pairValues) {
		sub = redact.Redact
	}
	n.Flags |= tape.KeyEscaped
	n.Hash = tape.Hash(name)
	kept = w.name(&n, name, masked) && w.value(j, sub)
	w.pop()
	return kept
}
