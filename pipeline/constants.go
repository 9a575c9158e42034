package pipeline

import (
	"strings"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// constants are the parts of documents that are the same for every record, encoded once.
type constants struct {
	fields     [activity.FieldCount]string // `"name":` of each field, without the objects around it
	paths      [activity.FieldCount][]byte // of each field in the document
	service    [3]groupField
	host       [1]groupField
	kubernetes string                   // `,"kubernetes":{…}` or ""
	integrity  string                   // `,"integrity":{"chain":"…","batch":`
	own        [8]roleSet               // of each kind: the fields that a member of that meaning goes to
	written    [8]roleSet               // … that are written one by one, in the order of the table
	always     [8]roleSet               // … of these, the ones that may follow from others
	elsewhere  [8][]detour              // … where other meanings go
	strict     [8]map[string]strictNode // … what a strict stream looks at
}

func newConstants(o Origin, chain activity.ChainID) constants {
	var c constants
	for f := activity.FieldID(1); f < activity.FieldCount; f++ {
		name := f.Name()
		c.fields[f] = `"` + name[strings.LastIndexByte(name, '.')+1:] + `":`
		c.paths[f] = []byte(name)
	}
	c.service = [3]groupField{
		{activity.ServiceName, quoted(o.ServiceName)},
		{activity.ServiceVersion, quoted(o.ServiceVersion)},
		{activity.ServiceEnvironment, quoted(o.ServiceEnvironment)},
	}
	c.host = [1]groupField{{activity.HostName, quoted(o.HostName)}}
	c.kubernetes = kubernetes(o)
	c.integrity = `,"integrity":{"chain":"` + EncodeChain(chain) + `","batch":`
	for _, k := range activity.Kinds() {
		c.plan(k)
		c.strict[k] = strictFields(k)
	}
	return c
}

// plan sorts the fields of a kind by how they are written.
func (c *constants) plan(k activity.Kind) {
	for f := activity.ActivityType; f < activity.FieldCount; f++ {
		if !f.In(k) {
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
		if e.kinds.Has(k) && e.field.In(k) {
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
