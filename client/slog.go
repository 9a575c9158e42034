package client

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// HandlerOptions say what Handler logs. The zero value is fine.
type HandlerOptions struct {
	// Level is the least severe level that is logged. nil: slog.LevelInfo.
	Level slog.Leveler
	// AddSource adds the place in the code, as details.source.
	AddSource bool
}

// Handler returns a handler of log/slog that logs each record as a system event. The severity is the level's, the description
// the message. Attributes at the top that have the name of a field (user_id, request_id, component, error_code, …) become
// that field, all others details.
func (c *Client) Handler(o HandlerOptions) slog.Handler {
	if o.Level == nil {
		o.Level = slog.LevelInfo
	}
	return &handler{client: c, o: o}
}

// A handler has the attributes that With and WithGroup gave it, as a tree that is never changed.
type handler struct {
	client *Client
	o      HandlerOptions
	given  []scoped
	groups []string // that are open
}

// A scoped attribute lies in groups.
type scoped struct {
	groups []string
	attr   slog.Attr
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.o.Level.Level() }

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.given = slices.Clip(h.given)
	for _, a := range attrs {
		with.given = append(with.given, scoped{h.groups, a})
	}
	return &with
}

func (h *handler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.groups = append(slices.Clip(h.groups), name)
	return &with
}

// Handle logs a record. The error is that of the call; the record is counted either way.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if ctx.Value(complaintKey{}) != nil {
		return nil
	}
	e := SystemEvent{Timestamp: r.Time, Severity: severity(r.Level), Description: r.Message}
	details := map[string]any{}
	for _, g := range h.given {
		insert(&e, details, g.groups, g.attr)
	}
	r.Attrs(func(a slog.Attr) bool {
		insert(&e, details, h.groups, a)
		return true
	})
	if h.o.AddSource && r.PC != 0 {
		frame, _ := runtime.CallersFrames([]uintptr{r.PC}).Next()
		details["source"] = frame.File + ":" + strconv.Itoa(frame.Line)
	}
	if len(details) > 0 {
		e.Details = details
	}
	_, err := h.client.LogSystemEvent(context.WithoutCancel(ctx), e)
	return err
}

// severity names a level as system events do.
func severity(l slog.Level) string {
	switch {
	case l < slog.LevelDebug:
		return "trace"
	case l < slog.LevelInfo:
		return "debug"
	case l < slog.LevelWarn:
		return "info"
	case l < slog.LevelError:
		return "warning"
	case l < slog.LevelError+4:
		return "error"
	default:
		return "critical"
	}
}

// insert puts an attribute into the event: into its field, or into details below its groups.
func insert(e *SystemEvent, details map[string]any, groups []string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			groups = append(slices.Clip(groups), a.Key)
		}
		for _, sub := range v.Group() {
			insert(e, details, groups, sub)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return
	}
	if v.Kind() == slog.KindString && len(groups) == 0 {
		if field := ownField(e, a.Key); field != nil {
			*field = v.String()
			return
		}
	}
	into := details
	for _, g := range groups {
		sub, ok := into[g].(map[string]any)
		if !ok {
			sub = map[string]any{}
			into[g] = sub
		}
		into = sub
	}
	into[a.Key] = plain(v)
}

// ownField is the field of the event that a name belongs to; nil is none.
func ownField(e *SystemEvent, name string) *string {
	switch name {
	case "activity_type":
		return &e.ActivityType
	case "user_id":
		return &e.UserID
	case "entity_type":
		return &e.EntityType
	case "entity_id":
		return &e.EntityID
	case "status":
		return &e.Status
	case "trace_id":
		return &e.TraceID
	case "span_id":
		return &e.SpanID
	case "request_id":
		return &e.RequestID
	case "tenant_id":
		return &e.TenantID
	case "event_type":
		return &e.EventType
	case "component":
		return &e.Component
	case "error_code":
		return &e.ErrorCode
	case "stack_trace":
		return &e.StackTrace
	case "health_status":
		return &e.HealthStatus
	}
	return nil
}

// plain is a value as JSON shall say it. One that cannot be said keeps no other from it.
func plain(v slog.Value) any {
	switch v.Kind() {
	case slog.KindDuration:
		return v.Duration().String()
	case slog.KindTime:
		return v.Time().UTC().Format(time.RFC3339Nano)
	}
	value := v.Any()
	if err, ok := value.(error); ok {
		if _, ok := value.(json.Marshaler); !ok {
			return err.Error()
		}
	}
	if line, err := marshal(value); err == nil {
		return json.RawMessage(line)
	}
	return fmt.Sprintf("<%T>", value)
}
