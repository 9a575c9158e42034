package activity

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Problem is one thing that is wrong with a document. Reason never repeats a value.
type Problem struct {
	Pointer string // JSON Pointer (RFC 6901) to the member; "" is the document
	Reason  string
}

// An InvalidError says everything that is wrong with a document.
type InvalidError struct {
	Problems []Problem // at least one, in the order of the document; missing fields last
}

// Error lists the problems in one line.
func (e *InvalidError) Error() string {
	var b strings.Builder
	b.WriteString("invalid activity")
	for i, p := range e.Problems {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		if p.Pointer == "" {
			b.WriteString("document")
		} else {
			b.WriteString(p.Pointer)
		}
		b.WriteByte(' ')
		b.WriteString(p.Reason)
	}
	return b.String()
}

// Validate checks a stored document against the table: that nothing unknown, null or twice is in it, that every value
// has its field's type and is one of its values, that its kind has each of its fields, and that nothing required is
// missing. It returns an *InvalidError with everything it found. Pointers hold member names, so doc must be redacted, as
// every stored document is.
//
// It is for tests and tools; the pipeline makes documents that need no check.
func Validate(doc []byte) error { return builtin.Validate(doc) }

// Validate is the function Validate for the kinds and fields of m.
func (m *Model) Validate(doc []byte) error {
	v := validator{model: m.or()}
	top, err := decode(doc)
	if err != nil {
		v.problem("", err.Error())
		return v.err()
	}
	members, ok := top.([]decoded)
	if !ok {
		v.problem("", "is no JSON object")
		return v.err()
	}
	v.document(members)
	return v.err()
}

// What Elasticsearch's flattened type takes at most; the encoder stays well below it.
const (
	maxFreeDepth   = 20
	maxFreeKeyPath = 512
)

var patterns = map[string]*regexp.Regexp{
	ulidPattern: regexp.MustCompile(ulidPattern),
	datePattern: regexp.MustCompile(datePattern),
	hashPattern: regexp.MustCompile(hashPattern),
}

type validator struct {
	model    *Model
	problems []Problem
}

func (v *validator) problem(pointer, reason string) {
	v.problems = append(v.problems, Problem{pointer, reason})
}

func (v *validator) err() error {
	if len(v.problems) == 0 {
		return nil
	}
	return &InvalidError{v.problems}
}

func (v *validator) document(members []decoded) {
	kind := NoKind
	for _, m := range members {
		if s, ok := m.value.(string); ok && m.key == KindField.Name() {
			kind, _ = v.model.ParseKind([]byte(s))
		}
	}
	all := func(FieldID) bool { return true }
	v.object("", members, v.model.tree(all), kind)
	for _, f := range required() {
		has := func(m decoded) bool { return m.key == f.Name() }
		if !slices.ContainsFunc(members, has) {
			v.problem("/"+escape(f.Name()), "is missing")
		}
	}
}

// object checks members against nodes. A kind of NoKind has been complained about already and has any field.
func (v *validator) object(at string, members []decoded, nodes []*node, kind Kind) {
	seen := make(map[string]bool, len(members))
	for _, m := range members {
		at := at + "/" + escape(m.key)
		if seen[m.key] {
			v.problem(at, "is there twice")
			continue
		}
		seen[m.key] = true
		n := find(nodes, m.key)
		switch {
		case n == nil:
			v.problem(at, "is no field of an activity")
		case m.value == nil:
			v.problem(at, "is null; a member without a value is left out")
		case n.field != NoField:
			v.field(at, m.value, n.field, kind)
		case n.list:
			v.list(at, m.value, n, kind)
		default:
			v.nested(at, m.value, n, kind)
		}
	}
}

func (v *validator) list(at string, value any, n *node, kind Kind) {
	items, ok := value.([]any)
	if !ok {
		v.problem(at, "is no array")
		return
	}
	for i, item := range items {
		v.nested(at+"/"+strconv.Itoa(i), item, n, kind)
	}
}

func (v *validator) nested(at string, value any, n *node, kind Kind) {
	members, ok := value.([]decoded)
	if !ok {
		v.problem(at, "is no object")
		return
	}
	v.object(at, members, n.sub, kind)
}

func (v *validator) field(at string, value any, f FieldID, kind Kind) {
	if kind != NoKind && !v.model.In(f, kind) {
		v.problem(at, "is no field of the kind "+v.model.KindName(kind))
		return
	}
	switch v.model.FieldType(f) {
	case Keywords:
		items, ok := value.([]any)
		if !ok {
			v.problem(at, "is no array")
			return
		}
		for i, item := range items {
			v.scalar(at+"/"+strconv.Itoa(i), item, f)
		}
	case List:
		items, ok := value.([]any)
		if !ok {
			v.problem(at, "is no array")
			return
		}
		for i, item := range items {
			v.free(at+"/"+strconv.Itoa(i), item)
		}
	case Free:
		v.free(at, value)
	default:
		v.scalar(at, value, f)
	}
}

func (v *validator) scalar(at string, value any, f FieldID) {
	switch v.model.FieldType(f) {
	case Bool:
		if _, ok := value.(bool); !ok {
			v.problem(at, "is neither true nor false")
		}
	case Long:
		n, ok := value.(json.Number)
		if _, err := strconv.ParseInt(n.String(), 10, 64); !ok || err != nil {
			v.problem(at, "is no integer of 64 bits")
		}
	case Double:
		n, ok := value.(json.Number)
		if x, err := n.Float64(); !ok || err != nil || math.IsInf(x, 0) {
			v.problem(at, "is no number that a double holds")
		}
	default:
		s, ok := value.(string)
		if !ok {
			v.problem(at, "is no string")
			return
		}
		if reason := v.model.wrong(s, f); reason != "" {
			v.problem(at, reason)
		}
	}
}

// wrong says why s is no value of f, or nothing.
func (m *Model) wrong(s string, f FieldID) string {
	row := m.Field(f)
	if p := m.pattern(f); p != "" && !patterns[p].MatchString(s) {
		switch {
		case f == ID:
			return "is no ULID"
		case row.Type == Date:
			return "is no RFC 3339 time in UTC with at most nine fraction digits"
		default:
			return "is no SHA-256 in base64url"
		}
	}
	switch row.Type {
	case Date:
		if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
			return "is no time that exists"
		}
	case IP:
		if a, err := netip.ParseAddr(s); err != nil || a.Zone() != "" {
			return "is no IP address"
		}
	}
	if row.Values != nil && !slices.Contains(row.Values, s) {
		return "is none of " + strings.Join(row.Values, ", ")
	}
	return ""
}

// free checks an object of any shape for what Elasticsearch's flattened type refuses.
func (v *validator) free(at string, value any) {
	members, ok := value.([]decoded)
	if !ok {
		v.problem(at, "is no object")
		return
	}
	v.flattened(at, members, 1, 0)
}

func (v *validator) flattened(at string, value any, depth, path int) {
	switch value := value.(type) {
	case string:
		if strings.ContainsRune(value, 0) {
			v.problem(at, "holds a NUL")
		}
	case []any:
		for i, item := range value {
			v.flattened(at+"/"+strconv.Itoa(i), item, depth, path)
		}
	case []decoded:
		if depth > maxFreeDepth {
			v.problem(at, "nests deeper than "+strconv.Itoa(maxFreeDepth))
			return
		}
		seen := make(map[string]bool, len(value))
		for _, m := range value {
			at, path := at+"/"+escape(m.key), path+len(m.key)
			switch {
			case seen[m.key]:
				v.problem(at, "is there twice")
			case strings.ContainsRune(m.key, 0):
				v.problem(at, "has a NUL in its name")
			case path > maxFreeKeyPath:
				v.problem(at, "has a path of more than "+strconv.Itoa(maxFreeKeyPath)+" bytes")
			default:
				v.flattened(at, m.value, depth+1, path+1)
			}
			seen[m.key] = true
		}
	}
}

// escape makes a member's name part of a JSON Pointer.
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

// decoded is a member of an object as decode returns it: an object is []decoded, so that a name that is there twice
// is not lost; an array is []any, a number json.Number.
type decoded struct {
	key   string
	value any
}

// What decode says of bytes that it does not take; encoding/json's own words repeat the input.
var (
	errNotJSON = errors.New("is not valid JSON")
	errNotUTF8 = errors.New("is not valid UTF-8")
)

func decode(doc []byte) (any, error) {
	if !json.Valid(doc) {
		return nil, errNotJSON
	}
	if !utf8.Valid(doc) {
		return nil, errNotUTF8
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	return decodeValue(dec)
}

func decodeValue(dec *json.Decoder) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('['):
		items := []any{}
		for dec.More() {
			item, err := decodeValue(dec)
			if err != nil {
				return nil, err
			}
			items = append(items, item)
		}
		_, err = dec.Token()
		return items, err
	case json.Delim('{'):
		members := []decoded{}
		for dec.More() {
			key, err := dec.Token()
			if err != nil {
				return nil, err
			}
			value, err := decodeValue(dec)
			if err != nil {
				return nil, err
			}
			name, _ := key.(string)
			members = append(members, decoded{name, value})
		}
		_, err = dec.Token()
		return members, err
	default:
		return token, nil
	}
}
