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
	if len(fields) == 0 {
		return slices.Clone(doc), nil
	}
	var t tape.Tape
	if err := t.Parse(doc); err != nil {
		return nil, err
	}
	paths := make([][]string, len(fields))
	for i, f := range fields {
		paths[i] = strings.Split(f, ".")
	}
	if out := selectObject(nil, &t, 0, paths); len(out) > 0 {
		return out, nil
	}
	return json.RawMessage("{}"), nil
}

// selectObject appends the object at index at with the members that paths name; nothing when it has none of them.
func selectObject(dst []byte, t *tape.Tape, at uint32, paths [][]string) []byte {
	start := len(dst)
	for j := at + 1; j < t.Nodes[at].Next; j = t.Nodes[j].Next {
		n := &t.Nodes[j]
		whole, below := match(paths, string(t.Key(n)))
		mark := len(dst)
		if mark == start {
			dst = append(dst, '{')
		} else {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), tape.AppendEscaped(nil, t.Key(n))...), '"', ':')
		value := len(dst)
		switch {
		case whole:
			dst = appendValue(dst, t, n)
		case len(below) > 0 && n.Type == tape.Object:
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
func match(paths [][]string, key string) (whole bool, below [][]string) {
	for _, p := range paths {
		switch {
		case strings.Join(p, ".") == key:
			whole = true
		case p[0] == key:
			below = append(below, p[1:])
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
