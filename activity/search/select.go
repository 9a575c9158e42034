package search

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/truledgr/activity-agent/internal/tape"
)

// Select returns the document with only the members that fields name, by paths ("user_id", "service.name", "details.x"), in
// the document's order. No fields is the whole document.
func Select(doc []byte, fields []string) (json.RawMessage, error) {
	return NewSelector(fields).Select(doc)
}

// A Selector does what Select does, to one document after another.
type Selector struct {
	paths []string
	tape  tape.Tape
}

// NewSelector makes a selector; no fields select whole documents.
func NewSelector(fields []string) *Selector { return &Selector{paths: fields} }

// Select returns what is selected of doc, in memory of its own.
func (s *Selector) Select(doc []byte) (json.RawMessage, error) {
	if len(s.paths) == 0 {
		return slices.Clone(doc), nil
	}
	if err := s.tape.Parse(doc); err != nil {
		return nil, err
	}
	if out := selectObject(nil, &s.tape, 0, s.paths); len(out) > 0 {
		return out, nil
	}
	return json.RawMessage("{}"), nil
}

// selectObject appends the object at index at with the members that paths name; nothing when it has none of them.
func selectObject(dst []byte, t *tape.Tape, at uint32, paths []string) []byte {
	start := len(dst)
	for j := at + 1; j < t.Nodes[at].Next; j = t.Nodes[j].Next {
		n := &t.Nodes[j]
		whole, below := match(paths, t.Key(n))
		if !whole && (len(below) == 0 || n.Type != tape.Object) {
			continue
		}
		mark := len(dst)
		if mark == start {
			dst = append(dst, '{')
		} else {
			dst = append(dst, ',')
		}
		dst = append(append(tape.AppendEscaped(append(dst, '"'), t.Key(n)), '"'), ':')
		value := len(dst)
		if whole {
			dst = appendValue(dst, t, n)
		} else {
			dst = selectObject(dst, t, j, below)
		}
		if len(dst) == value {
			dst = dst[:mark]
		}
	}
	if len(dst) == start {
		return dst
	}
	return append(dst, '}')
}

// match returns whether a path ends at the member, and the rests of those that go through it. A free object may have
// dotted names, so a rest is tried as one name as well.
func match(paths []string, key []byte) (whole bool, below []string) {
	for _, p := range paths {
		switch dot := strings.IndexByte(p, '.'); {
		case p == string(key):
			whole = true
		case dot >= 0 && p[:dot] == string(key):
			below = append(below, p[dot+1:])
		}
	}
	return whole, below
}

func appendValue(dst []byte, t *tape.Tape, n *tape.Node) []byte {
	if n.Type == tape.String {
		return append(append(append(dst, '"'), t.Raw(n)...), '"')
	}
	return append(dst, t.Raw(n)...)
}
