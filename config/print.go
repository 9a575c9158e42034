package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// mask is printed for a secret that is set.
const mask = "********"

// String returns the configuration as YAML, every key in the order of the example. Secrets, and whatever came out of a
// ${file:…}, are masked; other values read back as they are.
func (c Config) String() string {
	var b strings.Builder
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(c.node(reflect.ValueOf(c), place{})); err != nil {
		return "config: " + err.Error() // nodes of our own making always encode
	}
	return b.String()
}

// GoString masks what %#v prints.
func (c Config) GoString() string { return c.String() }

// MarshalYAML returns the masked nodes.
func (c Config) MarshalYAML() (any, error) { return c.node(reflect.ValueOf(c), place{}), nil }

// MarshalText masks what other encodings print.
func (c Config) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

func (c Config) node(v reflect.Value, at place) *yaml.Node {
	switch v.Kind() {
	case reflect.Pointer:
		return c.node(v.Elem(), at)
	case reflect.Struct:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for f := range fields(v.Type()) {
			field := v.FieldByIndex(f.Index)
			if field.Kind() == reflect.Pointer && field.IsNil() {
				continue // a store not chosen
			}
			in := at.key(f.Tag.Get("yaml"))
			in.secret = in.secret || f.Tag.Get("secret") == "true"
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: f.Tag.Get("yaml")}, c.node(field, in))
		}
		return n
	case reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		if v.Len() == 0 || v.Type().Elem().Kind() == reflect.String {
			n.Style = yaml.FlowStyle
		}
		for i := range v.Len() {
			n.Content = append(n.Content, c.node(v.Index(i), at.item(i)))
		}
		return n
	case reflect.Map:
		n := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
		for _, k := range slices.Sorted(maps.Keys(v.Interface().(map[string]string))) {
			key := new(yaml.Node)
			key.SetString(k)
			n.Content = append(n.Content, key, c.node(v.MapIndex(reflect.ValueOf(k)), at.key(k)))
		}
		return n
	default:
		return c.leaf(v, at)
	}
}

func (c Config) leaf(v reflect.Value, at place) *yaml.Node {
	n := new(yaml.Node)
	switch {
	case (at.secret || c.masked[at.path]) && !v.IsZero():
		n.SetString(mask)
	case v.Kind() == reflect.String:
		n.SetString(strings.ReplaceAll(v.String(), "$", "$$"))
	default:
		*n = yaml.Node{Kind: yaml.ScalarNode, Value: plain(v, rules[at.rule])}
	}
	return n
}

var _ fmt.GoStringer = Config{}
