// Package amend changes what may be changed of a stored activity, and takes every change back.
//
// An amended document has updated_at, and in amendments one entry for each amendment, the oldest first:
//
//	{"id":"01K…","at":"2026-01-02T03:04:05Z","by":"zoe","hash":"x4Fz…","changed":["status"],"old":{"status":"open"}}
//
// id and hash are those of the data_change activity that records the amendment: its leaf in the integrity chain. old has what
// the fields in changed had before, byte for byte; one that is not in it was absent. So Original gives back the document that
// was delivered, to the byte, and its own leaf (integrity.hash) stays the proof of it.
package amend

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// MaxAmendments is how often one activity can be amended.
const MaxAmendments = 100

// MaxDocument is how large amending may make a document, in bytes.
const MaxDocument = 4 << 20

// Errors of Apply.
var (
	ErrMany  = fmt.Errorf("the activity has been amended %d times, which is as often as can be", MaxAmendments)
	ErrLarge = fmt.Errorf("the activity would be larger than %d bytes", MaxDocument)
)

// Fields returns what can be amended.
func Fields() []activity.FieldID {
	return []activity.FieldID{activity.Status, activity.Description, activity.Tags, activity.Details, activity.Metadata}
}

// Changes are new values as JSON, by field; nil takes the field away.
type Changes map[activity.FieldID]json.RawMessage

// An Entry says which activity records an amendment, when it was made and by whom.
type Entry struct {
	ID   string    // of the data_change activity
	Hash string    // its leaf, in base64url
	At   time.Time // in UTC
	By   string    // as user_id names them; "" for nobody known
}

// amendment is an Entry as documents have it.
type amendment struct {
	ID      string                     `json:"id"`
	At      string                     `json:"at"`
	By      string                     `json:"by,omitempty"`
	Hash    string                     `json:"hash"`
	Changed []string                   `json:"changed"`
	Old     map[string]json.RawMessage `json:"old,omitempty"`
}

// Apply returns the document with changes made, and with an entry that says so. The document must be one that a store has;
// the values must have their field's type, and be redacted.
func Apply(doc []byte, changes Changes, e Entry) ([]byte, error) {
	m, err := parse(doc)
	if err != nil {
		return nil, err
	}
	done, err := m.amendments()
	if err != nil {
		return nil, err
	}
	if len(done) >= MaxAmendments {
		return nil, ErrMany
	}
	at := e.At.UTC().Format(time.RFC3339Nano)
	a := amendment{ID: e.ID, At: at, By: e.By, Hash: e.Hash, Old: map[string]json.RawMessage{}}
	for _, f := range Fields() {
		value, ok := changes[f]
		if !ok {
			continue
		}
		a.Changed = append(a.Changed, f.Name())
		if old := m.value(f.Name()); old != nil {
			a.Old[f.Name()] = old
		}
		m.set(f.Name(), value)
	}
	entry, err := encode(a)
	if err != nil {
		return nil, err
	}
	m.set(activity.UpdatedAt.Name(), []byte(`"`+at+`"`))
	m.set(activity.Amendments.Name(), list(append(done, entry)))
	out := m.bytes()
	if len(out) > MaxDocument {
		return nil, ErrLarge
	}
	return out, nil
}

// Original returns a document as it was before it was amended: doc itself if it never was.
func Original(doc []byte) ([]byte, error) {
	m, err := parse(doc)
	if err != nil {
		return nil, err
	}
	done, err := m.amendments()
	if err != nil || len(done) == 0 {
		return doc, err
	}
	for _, raw := range slices.Backward(done) {
		var a amendment
		if err := json.Unmarshal(raw, &a); err != nil {
			return nil, errAmendments
		}
		for _, name := range a.Changed {
			m.set(name, a.Old[name])
		}
	}
	m.set(activity.UpdatedAt.Name(), nil)
	m.set(activity.Amendments.Name(), nil)
	return m.bytes(), nil
}

var errAmendments = errors.New("amendments: not a list of what Apply writes")

// A document is its members in their order, as they are written.
type document []member

type member struct {
	name string
	raw  json.RawMessage
}

func parse(doc []byte) (document, error) {
	var t tape.Tape
	if err := t.Parse(doc); err != nil {
		return nil, err
	}
	if t.Nodes[0].Type != tape.Object {
		return nil, errors.New("not an object")
	}
	var m document
	for j := uint32(1); j < t.Nodes[0].Next; j = t.Nodes[j].Next {
		n := &t.Nodes[j]
		raw := t.Raw(n)
		if n.Type == tape.String {
			raw = doc[n.Lo-1 : n.Hi+1]
		}
		m = append(m, member{string(t.Key(n)), slices.Clone(raw)})
	}
	return m, nil
}

func (m document) value(name string) json.RawMessage {
	for _, x := range m {
		if x.name == name {
			return x.raw
		}
	}
	return nil
}

// set replaces a member, adds it at its place in the table of fields, or takes it away where raw is nil.
func (m *document) set(name string, raw json.RawMessage) {
	at := slices.IndexFunc(*m, func(x member) bool { return x.name == name })
	switch {
	case raw == nil && at >= 0:
		*m = slices.Delete(*m, at, at+1)
	case raw == nil:
	case at >= 0:
		(*m)[at].raw = raw
	default:
		*m = slices.Insert(*m, m.place(name), member{name, raw})
	}
}

// place is where a member belongs that is not there: behind the last one that the table has before it.
func (m document) place(name string) int {
	before := map[string]bool{}
	for _, f := range activity.Fields() {
		top, _, _ := strings.Cut(f.Name, ".")
		if top == name {
			break
		}
		before[top] = true
	}
	at := 0
	for i, x := range m {
		if before[x.name] {
			at = i + 1
		}
	}
	return at
}

func (m document) bytes() []byte {
	out := []byte{'{'}
	for i, x := range m {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), x.name...), '"', ':')
		out = append(out, x.raw...)
	}
	return append(out, '}')
}

func (m document) amendments() ([]json.RawMessage, error) {
	raw := m.value(activity.Amendments.Name())
	if raw == nil {
		return nil, nil
	}
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return nil, errAmendments
	}
	return list, nil
}

func list(elements []json.RawMessage) []byte {
	out := []byte{'['}
	for i, e := range elements {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, e...)
	}
	return append(out, ']')
}

// encode writes JSON and leaves the bytes of raw values alone.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}
