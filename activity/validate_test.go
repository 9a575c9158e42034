package activity

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// minimal is what no stored document lacks; with adds members to it.
func minimal(kind Kind, with ...member) object {
	return append(object{
		{"id", "01M7M8AK2SC610CFQMCVJK9YY1"},
		{"@timestamp", "2026-11-17T08:00:12.377Z"},
		{"kind", kind.String()},
		{"activity_type", "user_login"},
		{"created_at", "2026-11-17T08:00:13.000000001Z"},
	}, with...)
}

func TestValidate(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat(`{"a":`, 21) + "1" + strings.Repeat("}", 21)
	long := strings.Repeat("k", 513)
	for _, tt := range []struct {
		name, doc string
		want      string // the problems, joined as in the error
	}{
		{"minimal", doc(minimal(AuthEvent)), ""},
		{"free JSON of all sorts", doc(minimal(Plain, member{"details", object{{"a.b", []any{1, nil, "x", object{{"c", false}}}}}})), ""},
		{"redacted places", doc(minimal(Plain, member{"redacted", []any{object{{"path", "details.password"}, {"detector", "name"}}}})), ""},
		{"amendments", doc(minimal(Plain, member{"amendments", []any{object{{"by", "admin-3"}}}})), ""},
		{"IPv6", doc(minimal(AuthEvent, member{"ip_address", "2001:db8::1f"})), ""},

		{"no JSON", `{"id":hunter2}`, "document is not valid JSON"},
		{"no UTF-8", "{\"id\":\"\xff\"}", "document is not valid UTF-8"},
		{"no object", `["a"]`, "document is no JSON object"},
		{"empty", `{}`, "/id is missing; /@timestamp is missing; /kind is missing; /activity_type is missing; /created_at is missing"},
		{"unknown member", doc(minimal(Plain, member{"a/b~c", 1})), "/a~1b~0c is no field of an activity"},
		{"unknown nested member", doc(minimal(Plain, member{"service", object{{"owner", "x"}}})), "/service/owner is no field of an activity"},
		{"dotted name", doc(minimal(Plain, member{"service.name", "x"})), "/service.name is no field of an activity"},
		{"field of another kind", doc(minimal(Plain, member{"success", true})), "/success is no field of the kind activity"},
		{"nested field of another kind", doc(minimal(Plain, member{"rate_limit", object{{"limit", 1}}})), "/rate_limit/limit is no field of the kind activity"},
		{"null", doc(minimal(Plain, member{"user_id", nil})), "/user_id is null; a member without a value is left out"},
		{"twice", doc(minimal(Plain, member{"user_id", "a"}, member{"user_id", "b"})), "/user_id is there twice"},
		{"twice in free JSON", doc(minimal(Plain, member{"details", object{{"a", 1}, {"a", 2}}})), "/details/a is there twice"},
		{"string for a number", doc(minimal(APITransaction, member{"status_code", "200"})), "/status_code is no integer of 64 bits"},
		{"fraction for an integer", doc(minimal(APITransaction, member{"status_code", 200.5})), "/status_code is no integer of 64 bits"},
		{"number beyond a double", strings.Replace(doc(minimal(APITransaction, member{"execution_time_ms", 0})), `"execution_time_ms":0`, `"execution_time_ms":1e999`, 1),
			"/execution_time_ms is no number that a double holds"},
		{"number for a string", doc(minimal(Plain, member{"user_id", 7})), "/user_id is no string"},
		{"string for a bool", doc(minimal(AuthEvent, member{"success", "true"})), "/success is neither true nor false"},
		{"string for strings", doc(minimal(Plain, member{"tags", "a"})), "/tags is no array"},
		{"number among strings", doc(minimal(Plain, member{"tags", []any{"a", 1}})), "/tags/1 is no string"},
		{"string for an object", doc(minimal(Plain, member{"details", "a"})), "/details is no object"},
		{"string for nested fields", doc(minimal(Plain, member{"host", "a"})), "/host is no object"},
		{"object for places", doc(minimal(Plain, member{"redacted", object{{"path", "a"}}})), "/redacted is no array"},
		{"string among places", doc(minimal(Plain, member{"redacted", []any{"a"}})), "/redacted/0 is no object"},
		{"no IP address", doc(minimal(AuthEvent, member{"ip_address", "10.0.0.256"})), "/ip_address is no IP address"},
		{"IP address with a zone", doc(minimal(AuthEvent, member{"ip_address", "fe80::1%eth0"})), "/ip_address is no IP address"},
		{"value outside a closed set", doc(minimal(Plain, member{"event", object{{"outcome", "fine"}}})), "/event/outcome is none of success, failure, unknown"},
		{"hash", doc(minimal(Plain, member{"integrity", object{{"hash", "abc"}}})), "/integrity/hash is no SHA-256 in base64url"},
		{"time with an offset", doc(minimal(Plain, member{"updated_at", "2026-11-17T09:00:12+01:00"})), "/updated_at is no RFC 3339 time in UTC with at most nine fraction digits"},
		{"time with ten fraction digits", doc(minimal(Plain, member{"updated_at", "2026-11-17T08:00:12.1234567890Z"})), "/updated_at is no RFC 3339 time in UTC with at most nine fraction digits"},
		{"time that does not exist", doc(minimal(Plain, member{"updated_at", "2026-02-30T08:00:12Z"})), "/updated_at is no time that exists"},
		{"NUL in free JSON", doc(minimal(Plain, member{"details", object{{"a", []any{"x\x00"}}}})), "/details/a/0 holds a NUL"},
		{"NUL in a name", doc(minimal(Plain, member{"details", object{{"a\x00", 1}}})), "/details/a\x00 has a NUL in its name"},
		{"long path of names", doc(minimal(Plain, member{"details", object{{long, 1}}})), "/details/" + long + " has a path of more than 512 bytes"},
		{"too deep", strings.Replace(doc(minimal(Plain, member{"details", 0})), `"details":0`, `"details":`+deep, 1),
			"/details" + strings.Repeat("/a", 20) + " nests deeper than 20"},
		{"several at once", doc(minimal(AuthEvent, member{"success", 1}, member{"nope", 1})[1:]), "/success is neither true nor false; /nope is no field of an activity; /id is missing"},
		{"unknown kind", strings.Replace(doc(minimal(AuthEvent, member{"success", true})), `"auth_event"`, `"party"`, 1),
			"/kind is none of activity, api_transaction, data_access, data_change, auth_event, external_api, system_event"},
		{"ULID in lower case", strings.Replace(doc(minimal(Plain)), "01M7M8AK2S", "01m7m8ak2s", 1), "/id is no ULID"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := ""
			if err := Validate([]byte(tt.doc)); err != nil {
				got = strings.TrimPrefix(err.Error(), "invalid activity: ")
			}
			if got != tt.want {
				t.Errorf("problems of %.300s\n got %s\nwant %s", tt.doc, got, tt.want)
			}
		})
	}
}

func TestInvalidErrorHoldsEveryProblem(t *testing.T) {
	t.Parallel()
	var invalid *InvalidError
	if err := Validate([]byte(`{}`)); !errors.As(err, &invalid) {
		t.Fatalf("error is %T, want *InvalidError", err)
	}
	if got, want := len(invalid.Problems), len(required()); got != want {
		t.Errorf("%d problems, want %d", got, want)
	}
}

// Reasons go to logs and answers: whatever the values are, they are not in there.
func TestReasonsNeverRepeatValues(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	for f := FieldID(1); f < FieldCount; f++ {
		for _, value := range []any{secret, []any{secret}, object{{"a", secret}}} {
			if err := Validate([]byte(doc(nest(f, value)))); err != nil && strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", f.Name(), err)
			}
		}
	}
}

func doc(o object) string {
	b, err := o.MarshalJSON()
	if err != nil {
		panic(err)
	}
	return string(b)
}

// nest makes the object that holds value in field f.
func nest(f FieldID, value any) object {
	path := strings.Split(f.Name(), ".")
	for i := len(path) - 1; i > 0; i-- {
		value = object{{path[i], value}}
		if lists(strings.Join(path[:i], ".")) {
			value = []any{value}
		}
	}
	return object{{path[0], value}}
}

// documents draws stored documents: each field of a kind is there or not, with a value of its type.
func documents() *rapid.Generator[object] {
	return rapid.Custom(func(t *rapid.T) object {
		kind := rapid.SampledFrom(Kinds()).Draw(t, "kind")
		must := map[FieldID]bool{}
		for _, f := range required() {
			must[f] = true
		}
		return drawn(t, kind, builtin.tree(func(f FieldID) bool {
			return f.In(kind) && (must[f] || rapid.Bool().Draw(t, f.Name()))
		}))
	})
}

func drawn(t *rapid.T, kind Kind, nodes []*node) object {
	var o object
	for _, n := range nodes {
		var value any
		switch {
		case n.field == KindField:
			value = kind.String()
		case n.field != NoField:
			value = drawValue(t, n.field)
		case n.list:
			value = []any{drawn(t, kind, n.sub)}
		default:
			value = drawn(t, kind, n.sub)
		}
		o = append(o, member{n.name, value})
	}
	return o
}

func drawValue(t *rapid.T, f FieldID) any {
	row := f.Field()
	words := rapid.SampledFrom([]string{"a", "", "Töpferei 🫖", `"\/`})
	if row.Values != nil {
		words = rapid.SampledFrom(row.Values)
	}
	switch {
	case f == ID:
		return place{ms: 1794902412377, offset: rapid.Int64Min(0).Draw(t, "offset")}.position().String()
	case f == IntegrityHash:
		return rapid.StringMatching(`[A-Za-z0-9_-]{43}`).Draw(t, row.Name)
	case row.Type == Keywords:
		return rapid.SliceOfN(words, 0, 3).Draw(t, row.Name)
	case row.Type == IP:
		return rapid.SampledFrom([]string{"198.51.100.23", "2001:db8::1f", "::ffff:10.0.0.1"}).Draw(t, row.Name)
	case row.Type == Date:
		return rapid.SampledFrom([]string{"2026-11-17T08:00:12Z", "2024-02-29T23:59:59.999999999Z"}).Draw(t, row.Name)
	case row.Type == Bool:
		return rapid.Bool().Draw(t, row.Name)
	case row.Type == Long:
		return rapid.Int64().Draw(t, row.Name)
	case row.Type == Double:
		return rapid.Float64Range(-1e9, 1e9).Draw(t, row.Name)
	case row.Type == Free:
		return objects(2).Draw(t, row.Name)
	case row.Type == List:
		return rapid.SliceOfN(objects(1), 0, 2).Draw(t, row.Name)
	default:
		return words.Draw(t, row.Name)
	}
}

// wrongs draws a value that is none of f's type.
func drawWrong(t *rapid.T, f FieldID) any {
	switch f.Type() {
	case Keyword, Text, IP, Date:
		return rapid.SampledFrom([]any{1, true, []any{"a"}, object{}}).Draw(t, "wrong")
	case Keywords:
		return rapid.SampledFrom([]any{"a", 1, []any{1}, object{}}).Draw(t, "wrong")
	case Bool:
		return rapid.SampledFrom([]any{0, "true", object{}}).Draw(t, "wrong")
	case Long:
		return rapid.SampledFrom([]any{1.5, "1", true, []any{1}}).Draw(t, "wrong")
	case Double:
		return rapid.SampledFrom([]any{"1.5", true, object{}}).Draw(t, "wrong")
	case List:
		return rapid.SampledFrom([]any{"a", object{}, []any{1}}).Draw(t, "wrong")
	default:
		return rapid.SampledFrom([]any{"a", 1, true, []any{}}).Draw(t, "wrong")
	}
}

// A stored document is valid, and every single fault makes it invalid: by Validate and by the schema alike.
func TestValidateAndTheResponseSchemaAgree(t *testing.T) {
	t.Parallel()
	all := parseSchema(t, ResponseSchema(NoKind))
	agree := func(t *rapid.T, o object, want bool) {
		raw := []byte(doc(o))
		err := Validate(raw)
		if (err == nil) != want {
			t.Errorf("%s: Validate says %v, want it valid: %v", raw, err, want)
		}
		if got := all.accepts(raw); got != want {
			t.Errorf("%s: the schema accepts it: %v, want %v", raw, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		o := documents().Draw(t, "document")
		agree(t, o, true)

		i := rapid.IntRange(0, len(o)-1).Draw(t, "member")
		name := o[i].key
		without := append(append(object{}, o[:i]...), o[i+1:]...)
		agree(t, append(append(object{}, without...), member{name, nil}), false)
		agree(t, append(append(object{}, o...), member{name + "x", 1}), false)
		if f, ok := FieldNamed(name, NoKind); ok {
			agree(t, append(append(object{}, without...), member{name, drawWrong(t, f)}), false)
		}
		missing := i < len(required())
		agree(t, without, !missing)
	})
}

func ExampleValidate() {
	err := Validate([]byte(`{"id":"42","kind":"auth_event","@timestamp":"2026-11-17T08:00:12Z","success":"yes"}`))
	var invalid *InvalidError
	if errors.As(err, &invalid) {
		for _, p := range invalid.Problems {
			fmt.Println(p.Pointer, p.Reason)
		}
	}
	// Output:
	// /id is no ULID
	// /success is neither true nor false
	// /activity_type is missing
	// /created_at is missing
}
