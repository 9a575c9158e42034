package pipeline

import (
	"strings"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// constants are the parts of documents that are the same for every record, encoded once.
type constants struct {
	fields     []string        // `"name":` of each field, without the objects around it
	paths      [][]byte        // of each field in the document
	types      []activity.Type // of each field
	kinds      [activity.MaxKinds]string
	events     [activity.MaxKinds]ecsEvent
	service    [3]groupField
	host       [1]groupField
	kubernetes string                                   // `,"kubernetes":{…}` or ""
	integrity  string                                   // `,"integrity":{"chain":"…","batch":`
	own        [activity.MaxKinds]roleSet               // of each kind: the fields that a member of that meaning goes to
	written    [activity.MaxKinds]roleSet               // … that are written one by one, in the order of the table
	always     [activity.MaxKinds]roleSet               // … of these, the ones that may follow from others
	elsewhere  [activity.MaxKinds][]detour              // … where other meanings go
	strict     [activity.MaxKinds]map[string]strictNode // … what a strict stream looks at
	declared   [activity.MaxKinds][]declared            // … the fields that the configuration declares for it
}

func newConstants(o Origin, chain activity.ChainID, m *activity.Model) constants {
	var c constants
	for f := activity.NoField; f < m.FieldCount(); f++ {
		name := m.FieldName(f)
		c.fields = append(c.fields, `"`+name[strings.LastIndexByte(name, '.')+1:]+`":`)
		c.paths = append(c.paths, []byte(name))
		c.types = append(c.types, m.FieldType(f))
	}
	c.service = [3]groupField{
		{activity.ServiceName, quoted(o.ServiceName)},
		{activity.ServiceVersion, quoted(o.ServiceVersion)},
		{activity.ServiceEnvironment, quoted(o.ServiceEnvironment)},
	}
	c.host = [1]groupField{{activity.HostName, quoted(o.HostName)}}
	c.kubernetes = kubernetes(o)
	c.integrity = `,"integrity":{"chain":"` + EncodeChain(chain) + `","batch":`
	for _, k := range m.Kinds() {
		c.kinds[k] = m.KindName(k)
		c.events[k] = ecsEventOf(m, k)
		c.plan(m, k)
		c.strict[k] = strictFields(m, k)
		for _, f := range m.Own(k) {
			c.declared[k] = append(c.declared[k], declared{f, spellings(m.FieldName(f)), m.Field(f).Values})
		}
	}
	return c
}

// plan sorts the fields of a kind by how they are written.
func (c *constants) plan(m *activity.Model, k activity.Kind) {
	for f := activity.ActivityType; f < activity.FieldCount; f++ {
		if !m.In(f, k) {
			continue
		}
		c.own[k].add(uint8(f))
		if f > activity.ActivityType && f < activity.ECSEventKind && f.Field().Origin != activity.Agent && !strings.Contains(f.Name(), ".") {
			c.written[k].add(uint8(f))
			if followsFromOthers(f) {
				c.always[k].add(uint8(f))
			}
		}
	}
	for _, e := range elsewhere {
		if e.kinds.Has(k) && m.In(e.field, k) {
			c.elsewhere[k] = append(c.elsewhere[k], e)
		}
	}
}

// followsFromOthers are the fields that derived may write.
func followsFromOthers(f activity.FieldID) bool {
	switch f {
	case activity.Description, activity.Tags, activity.Details, activity.Severity, activity.ExecutionTimeMS, activity.Success, activity.ChangedFields,
		activity.StackTrace:
		return true
	}
	return false
}

// quoted encodes a setting of the agent as a JSON string; "" stays "".
func quoted(s string) string {
	if s == "" {
		return ""
	}
	return string(append(tape.AppendEscaped([]byte{'"'}, []byte(strings.ToValidUTF8(s, "\uFFFD"))), '"'))
}

func kubernetes(o Origin) string {
	var parts []string
	add := func(name, value, suffix string) {
		if value != "" {
			parts = append(parts, name+quoted(value)+suffix)
		}
	}
	add(`"namespace":`, o.Namespace, "")
	switch {
	case o.PodName != "" && o.PodUID != "":
		add(`"pod":{"name":`, o.PodName, `,"uid":`+quoted(o.PodUID)+`}`)
	case o.PodName != "":
		add(`"pod":{"name":`, o.PodName, "}")
	}
	add(`"node":{"name":`, o.NodeName, "}")
	add(`"container":{"name":`, o.Container, "}")
	if parts == nil {
		return ""
	}
	return `,"kubernetes":{` + strings.Join(parts, ",") + "}"
}

var rateLimit = [...]groupField{{field: activity.RateLimitLimit}, {field: activity.RateLimitRemaining}, {field: activity.RateLimitResetAt}}

type groupField struct {
	field    activity.FieldID
	fallback string // encoded; "" is none
}
