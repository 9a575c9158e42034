package activity

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestEveryFieldHasARowThatMakesSense(t *testing.T) {
	t.Parallel()
	name := regexp.MustCompile(`^@?[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$`)
	for f := FieldID(1); f < FieldCount; f++ {
		row := f.Field()
		if !name.MatchString(row.Name) {
			t.Errorf("field %d: name %q is not lower case with dots and underscores", f, row.Name)
		}
		if row.ECS != "" && !name.MatchString(row.ECS) {
			t.Errorf("%s: ECS name %q is not lower case with dots and underscores", row.Name, row.ECS)
		}
		if row.Kinds == 0 || row.Kinds&^AllKinds != 0 {
			t.Errorf("%s: kinds %b, want some of %b", row.Name, row.Kinds, AllKinds)
		}
		if row.Type > List || row.Origin > Agent {
			t.Errorf("%s: type %d or origin %d is none", row.Name, row.Type, row.Origin)
		}
		if row.Doc == "" || !strings.HasSuffix(row.Doc, ".") || strings.ContainsAny(row.Doc, "\n|") {
			t.Errorf("%s: doc %q, want one sentence on one line", row.Name, row.Doc)
		}
		if row.Column && (row.Type == Free || row.Type == List || row.Type == Text) {
			t.Errorf("%s: a column of type %s can be neither filtered nor sorted", row.Name, row.Type)
		}
		if row.Values != nil && row.Type != Keyword && row.Type != Keywords {
			t.Errorf("%s: a closed set of values of type %s", row.Name, row.Type)
		}
	}
}

func TestNamesAreUnique(t *testing.T) {
	t.Parallel()
	names, ecs := map[string]bool{}, map[string]string{}
	for _, row := range Fields() {
		if names[row.Name] {
			t.Errorf("%s is in the table twice", row.Name)
		}
		names[row.Name] = true
		if other := ecs[row.ECS]; row.ECS != "" && other != "" {
			t.Errorf("%s and %s have the same ECS name %s", other, row.Name, row.ECS)
		}
		ecs[row.ECS] = row.Name
	}
	// A field cannot be an object that others nest in, and an ECS alias cannot lie below a field or take its place.
	for _, row := range Fields() {
		for _, path := range []string{row.Name, row.ECS} {
			for i := strings.LastIndexByte(path, '.'); i > 0; i = strings.LastIndexByte(path[:i], '.') {
				if names[path[:i]] && path == row.Name {
					t.Errorf("%s lies below the field %s", path, path[:i])
				}
			}
		}
		if row.ECS != "" && row.ECS != row.Name && names[row.ECS] {
			t.Errorf("%s: its ECS name %s is the name of another field", row.Name, row.ECS)
		}
	}
}

// The conventions that documents are read by: what leads, and that objects are written in one piece.
func TestOrderOfADocument(t *testing.T) {
	t.Parallel()
	fields := Fields()
	var lead []string
	for _, row := range fields[:4] {
		lead = append(lead, row.Name)
	}
	if want := []string{"id", "@timestamp", "kind", "activity_type"}; !slices.Equal(lead, want) {
		t.Errorf("a document begins with %v, want %v", lead, want)
	}
	var objects []string
	for _, row := range fields {
		object, _, nested := strings.Cut(row.Name, ".")
		if !nested || len(objects) > 0 && objects[len(objects)-1] == object {
			continue
		}
		if slices.Contains(objects, object) {
			t.Errorf("%s: the fields of %s are not beside one another", row.Name, object)
		}
		objects = append(objects, object)
	}
	if last := fields[len(fields)-1].Name; !strings.HasPrefix(last, "integrity.") {
		t.Errorf("a document ends with %s, want the integrity object, which the leaf hash leaves out", last)
	}
}

// The agent alone may say how it came by an event; a sender that could would forge the trail.
func TestProvenanceIsTheAgentsAlone(t *testing.T) {
	t.Parallel()
	for _, f := range []FieldID{CreatedAt, UpdatedAt, KubernetesPodName, LogFilePath, LogOffset, RedactedPath, RedactedDetector,
		Truncated, ClassifiedBy, Amendments, IntegrityChain, IntegrityBatch, IntegritySeq, IntegrityHash} {
		if got := f.Field().Origin; got != Agent {
			t.Errorf("%s: origin %s, want %s", f.Name(), got, Agent)
		}
	}
	for _, f := range []FieldID{UserID, Details, OldValues, StatusCode, Success, Severity} {
		if got := f.Field().Origin; got != Sender {
			t.Errorf("%s: origin %s, want %s", f.Name(), got, Sender)
		}
	}
}

// The fields of each kind as users were promised them, and those of who did it from where by what request, which every
// action of a person can have.
func TestFieldsOfEachKind(t *testing.T) {
	t.Parallel()
	for kind, want := range map[Kind]string{
		Plain:          "",
		APITransaction: "request_data response_data headers execution_time_ms error_details performance_metrics",
		DataAccess:     "table_name operation query_params fields_accessed permission_level applied_filters record_count",
		DataChange:     "table_name operation record_id old_values new_values changed_fields validation_errors business_rules",
		AuthEvent:      "event_type success failure_reason session_id login_method two_factor_method two_factor_success",
		ExternalAPI:    "service_name execution_time_ms error_details rate_limit.limit rate_limit.remaining rate_limit.reset_at",
		SystemEvent:    "event_type severity component error_code stack_trace affected_entities health_status",
	} {
		if kind != Plain && kind != SystemEvent {
			want += " method endpoint status_code"
		}
		var got []string
		for f := FieldID(1); f < FieldCount; f++ {
			if f.In(kind) && !builtin.Common(f) {
				got = append(got, f.Name())
			}
		}
		names := strings.Fields(want)
		slices.Sort(got)
		slices.Sort(names)
		if !slices.Equal(got, names) {
			t.Errorf("%s has %v beside the common fields, want %v", kind, got, names)
		}
	}
}

func TestFieldNamed(t *testing.T) {
	t.Parallel()
	for f := FieldID(1); f < FieldCount; f++ {
		if got, ok := FieldNamed(f.Name(), NoKind); !ok || got != f {
			t.Errorf("FieldNamed(%q) of any kind = %d, %v; want %d", f.Name(), got, ok, f)
		}
		for _, k := range Kinds() {
			if _, ok := FieldNamed(f.Name(), k); ok != f.In(k) {
				t.Errorf("FieldNamed(%q, %s) found it: %v, want %v", f.Name(), k, ok, f.In(k))
			}
		}
	}
	for _, name := range []string{"", "nope", "service", "ID"} {
		if got, ok := FieldNamed(name, NoKind); ok || got != NoField {
			t.Errorf("FieldNamed(%q) = %d, %v; want none", name, got, ok)
		}
	}
	if row := NoField.Field(); row.Name != "" {
		t.Errorf("no field is called %q", row.Name)
	}
}

func TestFieldsIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	Fields()[0].Name = "changed"
	if got := Fields()[0].Name; got != "id" {
		t.Errorf("the first field is %q after a caller changed its copy", got)
	}
}
