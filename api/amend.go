package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/amend"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/api/access"
)

var amendDoc = doc{
	summary: "Amend the status, description, tags, details or metadata of one activity", single: true,
	params: []param{{name: "If-Match", text: "amend only the version with this ETag", header: true}},
	errors: []int{http.StatusConflict, http.StatusPreconditionFailed, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType},
}

// maxPatch is how large the body of a PATCH may be, in bytes.
const maxPatch = 256 << 10

var (
	errLarge        = fmt.Errorf("the body is larger than %d bytes", maxPatch)
	errMedia        = errors.New("send application/json or application/merge-patch+json")
	errPrecondition = errors.New("the activity is not what If-Match says any more: read it again")
	errNotAmendable = errors.New("your role may not amend this")
)

// amendOne answers with the amended document.
func amendOne(v *view, r *http.Request, now time.Time) (any, error) {
	if name, _, _ := strings.Cut(r.URL.RawQuery, "="); name != "" {
		return nil, &search.ParamError{Param: name, Problem: "there are no parameters on this route"}
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media != "application/json" && media != "application/merge-patch+json" {
		return nil, errMedia
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxPatch+1))
	switch large := (*http.MaxBytesError)(nil); {
	case errors.As(err, &large), len(body) > maxPatch:
		return nil, errLarge
	case err != nil:
		return nil, errGone
	}
	patch, err := parsePatch(body)
	if err != nil {
		return nil, err
	}
	id, err := ulid.ParseStrict(r.PathValue("id"))
	if err != nil {
		return nil, search.ErrNotFound
	}
	return v.Amend(r.Context(), id, patch, r.Header.Get("If-Match"), now)
}

// parsePatch reads a JSON object of fields that can be amended. Its error is an *activity.InvalidError.
func parsePatch(body []byte) (map[activity.FieldID]json.RawMessage, error) {
	members, problems := object(body)
	if members == nil {
		return nil, &activity.InvalidError{Problems: []activity.Problem{{Reason: "must be a JSON object"}}}
	}
	var names []string
	patch := map[activity.FieldID]json.RawMessage{}
	for _, f := range amend.Fields() {
		names = append(names, f.Name())
		raw, ok := members[f.Name()]
		if !ok {
			continue
		}
		if f.Type() == activity.Free && raw[0] != '{' && string(raw) != "null" {
			problems = append(problems, activity.Problem{Pointer: pointer(f.Name()), Reason: "must be an object, or null"})
		}
		patch[f] = raw
		delete(members, f.Name())
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		problems = append(problems, activity.Problem{Pointer: pointer(name), Reason: "cannot be amended: " + strings.Join(names, ", ") + " can"})
	}
	if len(problems)+len(patch) == 0 {
		problems = []activity.Problem{{Reason: "is empty: it must have one of " + strings.Join(names, ", ")}}
	}
	if len(problems) > 0 {
		return nil, &activity.InvalidError{Problems: problems}
	}
	return patch, nil
}

// object reads the members of a JSON object, nil if it is none. It is a problem where one is there twice.
func object(body []byte) (members map[string]json.RawMessage, problems []activity.Problem) {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') || !json.Valid(body) {
		return nil, nil
	}
	members = map[string]json.RawMessage{}
	for d.More() {
		var raw json.RawMessage
		t, _ := d.Token() // it is valid
		_ = d.Decode(&raw)
		name, _ := t.(string)
		if members[name] != nil {
			problems = append(problems, activity.Problem{Pointer: pointer(name), Reason: "is there twice"})
		}
		members[name] = raw
	}
	return members, problems
}

// pointer is the JSON Pointer (RFC 6901) to a member, whose name is cut to a length that is fit to show.
func pointer(name string) string {
	if len(name) > 64 {
		name = strings.ToValidUTF8(name[:64], "") + "…"
	}
	return "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// etag tells versions of a document apart.
func etag(doc []byte) string {
	sum := sha256.Sum256(doc)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
}

// amendTries is how often an amendment is begun anew that another one came in between of.
const amendTries = 4

// Amend changes a document that the caller sees and may amend. The amendment is recorded, durably, before it is made: if the
// document changes meanwhile in what the record says of it, that too is recorded, and the error is search.ErrChanged.
func (v *view) Amend(ctx context.Context, id ulid.ULID, patch map[activity.FieldID]json.RawMessage, ifMatch string, now time.Time) (json.RawMessage, error) {
	store, ok := v.store.(search.Amender)
	if !ok || v.recorder == nil {
		return nil, errNoRoute
	}
	var entry *amend.Entry
	var recorded amend.Changes // what there was when it was recorded
	for range amendTries {
		old, err := store.Versioned(ctx, id)
		switch {
		case err != nil:
			return nil, err
		case !v.sees(old.Doc):
			return nil, search.ErrNotFound
		case !v.mayAmend(old.Doc):
			return nil, errNotAmendable
		case ifMatch != "" && ifMatch != "*" && ifMatch != etag(old.Doc):
			return nil, errPrecondition
		}
		before, after, err := v.changes(ctx, old.Doc, patch)
		if err != nil {
			return nil, err
		}
		if len(after) == 0 && entry == nil { // it is so already, perhaps by a request whose answer was lost
			v.shown++
			if v.caller.Role.Sees() && !v.owns(old.Doc) {
				err = v.ofOthers()
			}
			return old.Doc, err
		}
		switch {
		case entry == nil:
			if entry, err = v.recordAmendment(ctx, id, old.Doc, before, after, now); err != nil {
				return nil, err
			}
			recorded = before
		case !maps.EqualFunc(before, recorded, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }):
			return nil, v.recordNoAmendment(ctx, id, old.Doc, entry.ID)
		}
		doc, err := amend.Apply(old.Doc, after, *entry)
		if err != nil {
			return nil, &activity.InvalidError{Problems: []activity.Problem{{Reason: err.Error()}}}
		}
		if err = store.Replace(ctx, id, old, doc); err == nil {
			return doc, nil
		} else if !errors.Is(err, search.ErrChanged) {
			return nil, err
		}
	}
	return nil, search.ErrChanged
}

// mayAmend reports whether the caller may amend a document that they see.
func (v *view) mayAmend(doc json.RawMessage) bool {
	return v.caller.Role == access.Admin || v.amendOwn && v.owns(doc)
}

// owns reports whether a document is about what the caller did. Who sees every tenant can have a namesake in each.
func (v *view) owns(doc json.RawMessage) bool {
	var d struct {
		UserID string `json:"user_id"`
	}
	return v.user != "" && !v.caller.AllTenants && json.Unmarshal(doc, &d) == nil && d.UserID == v.user
}

// changes returns the values before and after a patch of the fields that it changes; a nil value is an absent one. What comes
// after has been through the pipeline, as a part of an activity of the document's kind.
func (v *view) changes(ctx context.Context, doc json.RawMessage, patch map[activity.FieldID]json.RawMessage) (before, after amend.Changes, err error) {
	var old map[string]json.RawMessage
	if err := json.Unmarshal(doc, &old); err != nil {
		return nil, nil, err
	}
	var name string
	_ = json.Unmarshal(old[activity.KindField.Name()], &name) // a document has one
	kind, _ := v.model.ParseKind([]byte(name))
	asked := map[string]json.RawMessage{}
	for f, raw := range patch {
		if raw = withoutNulls(raw); raw != nil {
			asked[f.Name()] = raw
		}
	}
	body, err := json.Marshal(asked)
	if err != nil {
		return nil, nil, err
	}
	redacted, err := v.recorder.Redact(ctx, kind, body)
	if err != nil {
		return nil, nil, err
	}
	var safe map[string]json.RawMessage
	if err := json.Unmarshal(redacted, &safe); err != nil {
		return nil, nil, err
	}
	before, after = amend.Changes{}, amend.Changes{}
	for f, raw := range patch {
		before[f], after[f] = old[f.Name()], safe[f.Name()]
		switch {
		case string(raw) == "null":
			after[f] = nil
		case f.Type() == activity.Free:
			if after[f], err = amend.Merge(before[f], raw, safe[f.Name()]); err != nil {
				return nil, nil, err
			}
		}
		if bytes.Equal(before[f], after[f]) {
			delete(before, f)
			delete(after, f)
		}
	}
	return before, after, nil
}

// withoutNulls is a value of a merge patch without the members that only take away; nil where nothing is left.
func withoutNulls(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	members, _ := object(raw)
	if members == nil {
		return raw
	}
	for name, value := range members {
		if members[name] = withoutNulls(value); members[name] == nil {
			delete(members, name)
		}
	}
	if len(members) == 0 {
		return nil
	}
	out, _ := encode(members) // of JSON
	return bytes.TrimSpace(out)
}

// recordAmendment records who changes what of a document, and returns what the document will say of it.
func (v *view) recordAmendment(ctx context.Context, id ulid.ULID, doc json.RawMessage, before, after amend.Changes, now time.Time) (*amend.Entry, error) {
	t := v.amendTrace("activity_amended", id, doc)
	t.Description = t.PermissionLevel + " amended an activity"
	t.OldValues, t.NewValues = values(before), values(after)
	record, leaf, err := v.record(ctx, t)
	if err != nil {
		return nil, err
	}
	by := v.user
	if by == "" {
		by = v.caller.By
	}
	return &amend.Entry{ID: record.String(), Hash: base64.RawURLEncoding.EncodeToString(leaf[:]), At: now, By: by}, nil
}

// recordNoAmendment records that what was recorded has not been done.
func (v *view) recordNoAmendment(ctx context.Context, id ulid.ULID, doc json.RawMessage, record string) error {
	t := v.amendTrace("activity_amendment_failed", id, doc)
	t.Description = "the activity was changed meanwhile, so the amendment " + record + " was not made"
	_, _, err := v.record(ctx, t)
	return errors.Join(search.ErrChanged, err)
}

func (v *view) amendTrace(kind string, id ulid.ULID, doc json.RawMessage) trace {
	t := v.traceOf(kind, v.at)
	t.Operation, t.RecordID, t.EntityType, t.EntityID = "update", id.String(), "activity", id.String()
	if v.caller.AllTenants { // the record belongs where the activity does
		var d struct {
			TenantID string `json:"tenant_id"`
		}
		_ = json.Unmarshal(doc, &d)
		t.TenantID = d.TenantID
	}
	return t
}

func (v *view) record(ctx context.Context, t trace) (ulid.ULID, [32]byte, error) {
	t.PermissionLevel = "" // is none of a data change's fields
	doc, err := json.Marshal(t)
	if err != nil {
		return ulid.ULID{}, [32]byte{}, err
	}
	id, leaf, err := v.recorder.Record(ctx, activity.DataChange, doc)
	if err != nil {
		return id, leaf, fmt.Errorf("record an amendment: %w", err)
	}
	return id, leaf, nil
}

func values(c amend.Changes) map[string]any {
	out := map[string]any{}
	for f, raw := range c {
		if raw != nil {
			out[f.Name()] = raw
		}
	}
	return out
}
