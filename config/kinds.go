package config

import (
	"errors"
	"reflect"

	"gopkg.in/yaml.v3"

	"github.com/truledgr/activity-agent/activity"
)

// kindsFirst puts the key `kinds` of a file before the others, which may name what it declares.
func kindsFirst(a, b pair) int {
	first := func(p pair) int {
		if p.key.Value == "kinds" {
			return 0
		}
		return 1
	}
	return first(a) - first(b)
}

// declare makes the model of the list at n, which is decoded into v. Where a kind is wrong, nothing is said of what names it.
func (d *decoder) declare(n *yaml.Node, v reflect.Value, at place) {
	kinds := v.Interface().([]activity.KindConfig)
	model, err := activity.NewModel(kinds)
	d.model, d.undeclared = model, err != nil
	for _, e := range unjoined(err) {
		var wrong *activity.DeclarationError
		if !errors.As(e, &wrong) {
			continue
		}
		where, in := n.Content[wrong.Kind], at.item(wrong.Kind)
		if wrong.Field >= 0 {
			where, in = fieldNode(where, wrong.Field), in.key("fields").item(wrong.Field)
		}
		d.fail(where, in, wrong.Problem, wrong.Advice)
	}
}

// fieldNode is field i of the kind at n, or n itself where it stands elsewhere.
func fieldNode(n *yaml.Node, i int) *yaml.Node {
	kind := n
	if kind.Kind == yaml.AliasNode {
		kind = kind.Alias
	}
	for at := 0; at+1 < len(kind.Content); at += 2 {
		if list := kind.Content[at+1]; kind.Content[at].Value == "fields" && list.Kind == yaml.SequenceNode && i < len(list.Content) {
			return list.Content[i]
		}
	}
	return n
}
