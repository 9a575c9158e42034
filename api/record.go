package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
)

// A Recorder keeps activities of the API itself: who read what others did, and who amended what. Its methods may be called by
// many goroutines at once.
type Recorder interface {
	// Record takes an activity, a JSON object, through the pipeline, and returns its id and its leaf in the integrity chain
	// when it is durable. It is stored soon after.
	Record(ctx context.Context, k activity.Kind, doc []byte) (id ulid.ULID, leaf [32]byte, err error)
	// Redact returns what the pipeline makes of an activity, and keeps nothing. What is wrong with its fields is an
	// *activity.InvalidError.
	Redact(ctx context.Context, k activity.Kind, doc []byte) (json.RawMessage, error)
}

// How reads of what others did are recorded: Config.RecordReads.
const (
	RecordRequired = "required"    // what cannot be recorded is not shown
	RecordBest     = "best_effort" // … is shown, and the log says so
	RecordOff      = "off"
)

var errUnrecorded = errors.New("this read could not be recorded, and so it is refused (api.record_reads): try again; the log of the API says more under this request_id")

// A trace is what is recorded of a request.
type trace struct {
	ActivityType    string              `json:"activity_type"`
	UserID          string              `json:"user_id"`
	EntityType      string              `json:"entity_type,omitempty"`
	EntityID        string              `json:"entity_id,omitempty"`
	Description     string              `json:"description"`
	Method          string              `json:"method"`
	Endpoint        string              `json:"endpoint"`
	IPAddress       string              `json:"ip_address,omitempty"`
	TableName       string              `json:"table_name"`
	Operation       string              `json:"operation"`
	QueryParams     map[string][]string `json:"query_params,omitempty"`
	PermissionLevel string              `json:"permission_level,omitempty"`
	RecordCount     *int                `json:"record_count,omitempty"`
	RecordID        string              `json:"record_id,omitempty"`
	OldValues       map[string]any      `json:"old_values,omitempty"`
	NewValues       map[string]any      `json:"new_values,omitempty"`
	RequestID       string              `json:"request_id"`
	TenantID        string              `json:"tenant_id,omitempty"`
}

// table is what stands for the store's activities in what is recorded.
const table = "activities"

// traceOf says who asks what. Names are as the caller has them: the pipeline makes pseudonyms of them as of all others.
func (v *view) traceOf(kind string, m *match) trace {
	t := trace{
		ActivityType: kind, UserID: v.caller.User, TableName: table, PermissionLevel: string(v.caller.Role),
		Method: m.request.Method, Endpoint: m.route.path, IPAddress: remoteHost(m.request), RequestID: v.requestID, TenantID: v.caller.Tenant,
	}
	if t.UserID == "" {
		t.UserID = v.caller.By
	}
	return t
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	host, _, _ = strings.Cut(host, "%")
	return host
}

// readTrace describes a read; shown is how many activities the answer has, negative where that is not known yet.
func (v *view) readTrace(m *match, shown int) trace {
	t := v.traceOf("activities_read", m)
	t.Operation = "read"
	t.Description = fmt.Sprintf("%s read %s by %s", t.PermissionLevel, table, t.Endpoint)
	if shown >= 0 {
		t.RecordCount = &shown
	}
	if user := m.request.PathValue("user_id"); user != "" {
		t.EntityType, t.EntityID = "user", v.stored(user)
	} else if id := m.request.PathValue("id"); id != "" {
		t.EntityType, t.EntityID = "activity", id
		if sort := m.request.PathValue("type"); sort != "" {
			t.EntityType = sort
		}
	}
	if params, err := parameters(m.request); err == nil && len(params) > 0 {
		t.QueryParams = v.storedParams(params)
	}
	return t
}

// pseudonymForm is that of pseudonyms in documents.
var pseudonymForm = regexp.MustCompile(`^hash:[a-z2-7]{26}$`)

// stored is the name of a user as documents have it, which is also how callers should ask for it.
func (v *view) stored(name string) string {
	if v.pseudonym == nil || pseudonymForm.MatchString(name) {
		return name
	}
	return v.pseudonym(name)
}

// storedParams are the parameters with users as documents name them. Under the name user_id the pipeline would make a pseudonym
// of a pseudonym, so equality has another name in what is recorded, and names under other operators would stay as they are.
func (v *view) storedParams(params url.Values) url.Values {
	if v.pseudonym == nil {
		return params
	}
	out := url.Values{}
	for name, values := range params {
		switch field, op, _ := strings.Cut(name, "."); {
		case field != activity.UserID.Name() || op == "exists":
			out[name] = append(out[name], values...)
			continue
		case op == "":
			name += ".pseudonym"
		}
		for _, value := range values {
			out[name] = append(out[name], v.stored(value))
		}
	}
	return out
}

// recordRead records that the caller reads what others did, before anything of it is shown.
func (s *Server) recordRead(ctx context.Context, v *view, m *match, shown int) error {
	return s.recordTrace(ctx, v, m, v.readTrace(m, shown))
}

// endTime is how long the record of a streamed answer's end may take.
const endTime = 10 * time.Second

// recordEnd records how many activities a streamed answer had, whichever way it ended: the client may be gone.
func (s *Server) recordEnd(ctx context.Context, v *view, m *match) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	t := v.readTrace(m, v.sent)
	t.ActivityType = "activities_read_ended"
	t.Description = fmt.Sprintf("%s was sent %d %s by %s", t.PermissionLevel, v.sent, table, t.Endpoint)
	return s.recordTrace(ctx, v, m, t)
}

func (s *Server) recordTrace(ctx context.Context, v *view, m *match, t trace) error {
	if s.o.Config.RecordReads == RecordOff {
		return nil
	}
	err := func() error {
		doc, err := json.Marshal(t)
		if err != nil {
			return err
		}
		_, _, err = s.o.Recorder.Record(ctx, activity.DataAccess, doc)
		return err
	}()
	if err == nil {
		return nil
	}
	s.o.Logger.Error("a read of what others did cannot be recorded", zap.String("request_id", v.requestID), zap.String("route", m.pattern()), zap.Error(err))
	if s.o.Config.RecordReads == RecordBest {
		return nil
	}
	return errUnrecorded
}
