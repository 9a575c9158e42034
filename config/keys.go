package config

import (
	"fmt"
	"reflect"
	"strings"

	"gopkg.in/yaml.v3"
)

// keysOf returns the keys of a section in the order of its fields.
func keysOf(t reflect.Type) []string {
	var names []string
	for f := range fields(t) {
		names = append(names, f.Tag.Get("yaml"))
	}
	return names
}

// fields yields the fields of a section that have a key.
func fields(t reflect.Type) func(yield func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if f := t.Field(i); f.IsExported() && !yield(f) {
				return
			}
		}
	}
}

// fieldOf returns the field of v that a key sets, and whether it is a secret.
func fieldOf(v reflect.Value, key string) (field reflect.Value, secret, ok bool) {
	for f := range fields(v.Type()) {
		if f.Tag.Get("yaml") == key {
			return v.FieldByIndex(f.Index), f.Tag.Get("secret") == "true", true
		}
	}
	return reflect.Value{}, false, false
}

type pair struct{ key, value *yaml.Node }

// pairs returns the keys and values of a mapping, those merged by `<<` last. It reports keys that are there twice.
func (d *decoder) pairs(n *yaml.Node, at place) []pair {
	var own, merged []pair
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content) && d.spend(n, at); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode {
			d.fail(key, at, "a key is a plain word", "put a value that begins with [, { or * behind its key")
			continue
		}
		if key.ShortTag() == mergeTag {
			merged = append(merged, d.merged(value, at)...)
			continue
		}
		if line, twice := seen[key.Value]; twice {
			d.fail(key, at.key(shortened(key.Value)), "this key is here twice", fmt.Sprintf("the first is on line %d; keep one of them", line))
			continue
		}
		seen[key.Value] = key.Line
		own = append(own, pair{key, value})
	}
	for _, m := range merged {
		if _, ok := seen[m.key.Value]; !ok {
			seen[m.key.Value] = m.key.Line
			own = append(own, m)
		}
	}
	return own
}

// merged returns the pairs that `<<: value` brings in. Merges within what is merged are not followed, so that no anchor
// can contain itself.
func (d *decoder) merged(value *yaml.Node, at place) []pair {
	sources := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		sources = value.Content
	}
	var all []pair
	for _, s := range sources {
		if s.Kind == yaml.AliasNode {
			s = s.Alias
		}
		if s.Kind != yaml.MappingNode {
			d.fail(s, at, "<< merges sections, and this is none", "write it as <<: *name, where &name stands before a section")
			continue
		}
		for i := 0; i+1 < len(s.Content) && d.spend(value, at); i += 2 {
			if key := s.Content[i]; key.Kind == yaml.ScalarNode && key.ShortTag() != mergeTag {
				all = append(all, pair{key, s.Content[i+1]})
			}
		}
	}
	return all
}

// unknown reports a key that a section does not have, and returns the key of the section that was likely meant, "" if
// there is none. The value is not shown.
func (d *decoder) unknown(key *yaml.Node, section reflect.Type, at place) (meant string) {
	name := shortened(key.Value)
	in := at.key(name)
	names := keysOf(section)
	advice := "the keys here are " + strings.Join(names, ", ")
	if near := nearest(key.Value, names); near != "" {
		meant, advice = near, "did you mean `"+near+"`?"
	} else if home := homeOf(key.Value, reflect.TypeFor[Config](), place{}); home != "" {
		advice = "did you mean `" + home + "`? " + advice
		if at.path == "" {
			meant, _, _ = strings.Cut(home, ".")
			meant = strings.TrimSuffix(meant, "[]")
		}
	}
	d.fail(key, in, "unknown key", advice)
	return meant
}

// homeOf returns the path of a section's key of that name anywhere in t, "" if there is none.
func homeOf(name string, t reflect.Type, at place) string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		if t.Kind() == reflect.Slice {
			at.rule += "[]"
		}
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return ""
	}
	for f := range fields(t) {
		in := at.key(f.Tag.Get("yaml"))
		if f.Tag.Get("yaml") == name {
			return in.rule
		}
		if home := homeOf(name, f.Type, in); home != "" {
			return home
		}
	}
	return ""
}

// nearest returns the option that text is most likely a slip of, "" if none is close.
func nearest(text string, options []string) string {
	fold := strings.NewReplacer("-", "", "_", "", " ", "", ".", "")
	a := fold.Replace(strings.ToLower(text))
	best, bound := "", 0
	if len(a) > 40 {
		return ""
	}
	for _, o := range options {
		b := fold.Replace(strings.ToLower(o))
		if len(a) >= 4 && (strings.HasPrefix(a, b) || strings.HasPrefix(b, a)) {
			return o // warning for warn
		}
		d := distance(a, b)
		if limit := max(1, min(len(a), len(b))/3); d <= limit && (best == "" || d < bound) {
			best, bound = o, d
		}
	}
	return best
}

// distance is the least number of insertions, deletions, substitutions and swaps of neighbours that turn a into b, no
// part being edited twice (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// shortened makes a key fit for an error: it may be any text.
func shortened(key string) string {
	if r := []rune(key); len(r) > 40 {
		key = string(r[:40]) + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, key)
}
