package pipeline

import (
	"errors"
	"slices"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// A Problem is one thing that is wrong with a record of a strict stream. Its pointer leads to a field of the table, and
// neither it nor its reason shows anything of the record.
type Problem struct {
	activity.Problem
	Record int  // in the batch
	Syntax bool // the record is not JSON, rather than of the wrong type
}

// maxProblems is how many problems of a batch are listed.
const maxProblems = 32

// A strictNode is a member whose type a strict stream insists on: a field, or an object that fields are in.
type strictNode struct {
	field   activity.FieldID
	pointer string
	members map[string]strictNode
}

// strictFields returns the fields that a sender may give for a kind, nested by their names: those of
// activity.CreateSchema.
func strictFields(m *activity.Model, k activity.Kind) map[string]strictNode {
	top := map[string]strictNode{}
	for f := activity.FieldID(1); f < m.FieldCount(); f++ {
		if !m.In(f, k) || m.Field(f).Origin == activity.Agent {
			continue
		}
		at, pointer := top, ""
		path := strings.Split(m.FieldName(f), ".")
		for _, name := range path[:len(path)-1] {
			pointer += "/" + name
			if at[name].members == nil {
				at[name] = strictNode{pointer: pointer, members: map[string]strictNode{}}
			}
			at = at[name].members
		}
		name := path[len(path)-1]
		at[name] = strictNode{field: f, pointer: pointer + "/" + name}
	}
	return top
}

// check reports whether record i is an object whose fields have their types, and adds to the batch's problems what is
// wrong. A member that is null counts as absent.
func (p *Pipeline) check(b *Batch, i int, kind activity.Kind) bool {
	r := &p.rec
	c := checker{p: p, r: r, batch: b, record: i}
	switch {
	case r.flags.text && errors.Is(r.tape.Parse(r.content), tape.ErrDepth):
		c.problem("", "nests too deeply, more than 512 levels", true)
	case r.flags.text:
		c.problem("", "is not valid JSON", true)
	case r.tape.Nodes[0].Type != tape.Object:
		c.problem("", "is no object", false)
	default:
		c.members(0, p.constant.strict[kind])
		if n := r.reading.nodes[activity.KindField]; n != 0 && r.reading.prio[activity.KindField] == 0 && !c.bad && p.kindAt(n) != kind {
			c.problem("/kind", "is not the kind of this route, "+p.model.KindName(kind), false)
		}
	}
	return !c.bad
}

// kindAt returns the kind that the string at n names.
func (p *Pipeline) kindAt(n uint32) activity.Kind {
	k, _ := p.model.ParseKind(p.rec.tape.Raw(&p.rec.tape.Nodes[n]))
	return k
}

// A checker goes through one record.
type checker struct {
	p      *Pipeline
	r      *draft
	batch  *Batch
	record int
	bad    bool
}

func (c *checker) problem(pointer, reason string, syntax bool) {
	c.bad = true
	if len(c.batch.Problems) < maxProblems {
		c.batch.Problems = append(c.batch.Problems, Problem{activity.Problem{Pointer: pointer, Reason: reason}, c.record, syntax})
	}
}

// members checks the members of the object at i that are known.
func (c *checker) members(i uint32, known map[string]strictNode) {
	t := &c.r.tape
	for j := i + 1; j < t.Nodes[i].Next; j = t.Nodes[j].Next {
		n := &t.Nodes[j]
		want, ok := known[string(t.Key(n))]
		switch {
		case !ok || n.Flags&tape.Duplicate != 0:
		case n.Type == tape.Null:
			n.Flags |= tape.Taken // absent, so nothing for details either
		case want.field != activity.NoField:
			if reason := c.wrong(want.field, j); reason != "" {
				c.problem(want.pointer, reason, false)
			}
		case n.Type != tape.Object:
			c.problem(want.pointer, "is no object", false)
		default:
			c.members(j, want.members)
		}
	}
}

// wrong says why the value at i is none of field f, or nothing.
func (c *checker) wrong(f activity.FieldID, i uint32) string {
	r := c.r
	n := &r.tape.Nodes[i]
	is := func(ok bool, reason string) string {
		if ok {
			return ""
		}
		return reason
	}
	str := n.Type == tape.String
	switch f {
	case activity.ID:
		_, err := ulid.ParseStrict(text(r.tape.Raw(n)))
		return is(str && err == nil, "is no ULID")
	case activity.KindField:
		k := activity.NoKind
		if str {
			k = c.p.kindAt(i)
		}
		return is(k != activity.NoKind, "is no kind of activity")
	}
	if f >= activity.FieldCount {
		if values := c.p.model.Field(f).Values; values != nil {
			return is(str && slices.Contains(values, string(r.tape.Raw(n))), "is none of "+strings.Join(values, ", "))
		}
	}
	switch c.p.constant.types[f] {
	case activity.Keywords:
		return is(c.strings(i), "is no array of strings")
	case activity.Bool:
		return is(n.Type == tape.True || n.Type == tape.False, "is neither true nor false")
	case activity.Long:
		_, ok := r.long(i)
		return is(ok && n.Type == tape.Number, "is no integer of 64 bits")
	case activity.Double:
		_, ok := r.double(i)
		return is(ok && n.Type == tape.Number, "is no number that a double holds")
	case activity.IP:
		_, ok := r.address(i)
		return is(ok && str, "is no IP address")
	case activity.Date:
		_, ok := r.time(i)
		return is(ok && (str || n.Type == tape.Number), "is no time: write RFC 3339, or a number of seconds or milliseconds since 1970")
	case activity.Free:
		return ""
	default:
		return is(str, "is no string")
	}
}

func (c *checker) strings(i uint32) bool {
	t := &c.r.tape
	if t.Nodes[i].Type != tape.Array {
		return false
	}
	for j := i + 1; j < t.Nodes[i].Next; j++ {
		if t.Nodes[j].Type != tape.String {
			return false
		}
	}
	return true
}
