package activity

import "strings"

// A node is a place in a document: a field, or an object (or an array of objects) that fields nest in.
type node struct {
	name  string  // of the member
	field FieldID // NoField for an object
	list  bool    // an array of such objects
	sub   []*node // in the order of the table
}

// lists are the objects of the table that a document repeats. `redacted` is an array of {path, detector}: one element
// for each thing removed, so that a path and its detector stay together.
func lists(path string) bool { return path == "redacted" }

// tree nests the fields that keep chooses by their dotted names.
func (m *Model) tree(keep func(FieldID) bool) []*node {
	var root node
	for f := FieldID(1); f < m.FieldCount(); f++ {
		if !keep(f) {
			continue
		}
		at := &root
		path := strings.Split(m.FieldName(f), ".")
		for i, name := range path {
			at = at.child(name)
			at.list = lists(strings.Join(path[:i+1], "."))
		}
		at.field = f
	}
	return root.sub
}

func (n *node) child(name string) *node {
	if c := find(n.sub, name); c != nil {
		return c
	}
	c := &node{name: name}
	n.sub = append(n.sub, c)
	return c
}

func find(nodes []*node, name string) *node {
	for _, n := range nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}
