package pipeline

import (
	"math"
	"strconv"
	"strings"

	"github.com/truledgr/activity-agent/activity"
)

// ecsVersion is the version of the Elastic Common Schema whose names documents use.
const ecsVersion = "8.17.0"

// An ecsEvent is `category` and `type` of a kind, encoded; "" is none.
type ecsEvent struct{ category, typ string }

// ecsEvents are those of the built-in kinds.
var ecsEvents = [...]ecsEvent{
	activity.Plain:          {"", `["info"]`},
	activity.APITransaction: {`["web","api"]`, `["access"]`},
	activity.DataAccess:     {`["database"]`, `["access"]`},
	activity.DataChange:     {`["database"]`, `["change"]`},
	activity.AuthEvent:      {`["authentication"]`, `["info"]`},
	activity.ExternalAPI:    {`["api","network"]`, `["access"]`},
	activity.SystemEvent:    {`["host"]`, `["info"]`},
}

// ecsEventOf returns what a kind of the table, or the configuration, has.
func ecsEventOf(m *activity.Model, k activity.Kind) ecsEvent {
	if k < activity.FirstCustom {
		return ecsEvents[k]
	}
	return ecsEvent{quotedList(m.Categories(k)), quotedList(m.Types(k))}
}

func quotedList(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return `["` + strings.Join(words, `","`) + `"]`
}

// event writes the categorisation of the Elastic Common Schema.
func (p *Pipeline) event(kind activity.Kind) {
	r, w := &p.rec, &p.vals
	e := p.constant.events[kind]
	w.out = append(w.out, `,"event":{"kind":"`...)
	if r.flags.text || r.flags.badTime {
		w.out = append(w.out, `pipeline_error"`...)
	} else {
		w.out = append(w.out, `event"`...)
	}
	if e.category != "" {
		w.out = append(append(w.out, `,"category":`...), e.category...)
	}
	if e.typ != "" {
		w.out = append(append(w.out, `,"type":`...), p.ecsType(kind, e.typ)...)
	}
	if r.reading.tape != nil {
		o := r.outcome
		if o == "" && (kind == activity.AuthEvent || kind == activity.APITransaction) {
			o = unknown
		}
		if o != "" {
			w.out = append(append(append(w.out, `,"outcome":"`...), o...), '"')
		}
		p.eventDuration(kind)
	}
	w.out = append(w.out, `},"ecs":{"version":"`+ecsVersion+`"}`...)
}

// ecsType refines the type: access that was denied or failed, sessions that start and end.
func (p *Pipeline) ecsType(kind activity.Kind, typ string) string {
	r := &p.rec
	switch kind {
	case activity.APITransaction:
		code, _ := r.long(r.fields[activity.StatusCode])
		switch {
		case r.fields[activity.StatusCode] == 0:
		case code >= 500:
			return `["access","error"]`
		case code == 401 || code == 403:
			return `["access","denied"]`
		}
	case activity.AuthEvent:
		for _, x := range [...]role{role(activity.EventType), role(activity.ActivityType), roleEvent, role(activity.Operation)} {
			v := r.reading.value(x)
			switch {
			case v == nil:
			case containsFold(v, "logout"), containsFold(v, "logoff"), containsFold(v, "log_out"), containsFold(v, "signout"), containsFold(v, "sign_out"):
				return `["end"]`
			case containsFold(v, "login"), containsFold(v, "logon"), containsFold(v, "log_in"), containsFold(v, "signin"), containsFold(v, "sign_in"):
				return `["start"]`
			}
		}
	}
	return typ
}

func (p *Pipeline) eventDuration(kind activity.Kind) {
	if !p.constant.own[kind].has(uint8(activity.ExecutionTimeMS)) {
		return
	}
	r, w := &p.rec, &p.vals
	if n := r.fields[activity.ExecutionTimeMS]; n != 0 {
		if ns, ok := nanosOfMS(r.tape.Raw(&r.tape.Nodes[n])); ok {
			w.out = strconv.AppendInt(append(w.out, `,"duration":`...), ns, 10)
			return
		}
		ms, ok := r.double(n)
		w.duration(ms, ok)
		return
	}
	ms, _, ok := r.durationMS()
	w.duration(ms, ok)
}

// duration writes event.duration.
func (w *writer) duration(ms float64, ok bool) {
	if ns := math.Round(ms * 1e6); ok && ns >= 0 && ns < 1<<62 {
		w.out = strconv.AppendInt(append(w.out, `,"duration":`...), int64(ns), 10)
	}
}

// nanosOfMS converts plain decimal milliseconds of up to nine digits before the point and six behind it, exactly.
func nanosOfMS(b []byte) (ns int64, ok bool) {
	whole, i := int64(0), 0
	for ; i < len(b) && b[i]-'0' <= 9; i++ {
		whole = whole*10 + int64(b[i]-'0')
	}
	if i == 0 || i > 9 {
		return 0, false
	}
	ns = whole * 1e6
	if i < len(b) && b[i] == '.' {
		scale := int64(1e5)
		for i++; i < len(b) && b[i]-'0' <= 9 && scale > 0; i++ {
			ns += int64(b[i]-'0') * scale
			scale /= 10
		}
	}
	return ns, i == len(b)
}
