package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent"
)

// maxValues bounds how many values a file may have once its aliases are followed.
const maxValues = 20_000

const (
	nullTag  = "!!null"
	mergeTag = "!!merge"
)

// decoder fills a Config from nodes. It goes on after a mistake, so that all are found at once.
type decoder struct {
	file    string
	env     func(string) (string, bool)
	errs    Errors
	masked  map[string]bool // see Config
	sources []string        // see Config
	values  int             // decoded so far
	model   *activity.Model // see Config
	// undeclared says that the file declares kinds in a wrong way, so that names of kinds cannot be checked.
	undeclared bool
}

// place says where a value stands among the keys.
type place struct {
	path   string // "files[0].include[1]"
	rule   string // the same for the table of rules: "files[].include[]"
	secret bool
}

func (p place) key(name string) place {
	join := func(s string) string { return strings.TrimPrefix(s+"."+name, ".") }
	return place{join(p.path), join(p.rule), p.secret}
}

func (p place) item(i int) place {
	return place{fmt.Sprintf("%s[%d]", p.path, i), p.rule + "[]", p.secret}
}

func (d *decoder) fail(n *yaml.Node, at place, problem, advice string) {
	d.errs = append(d.errs, &Error{File: d.file, Line: n.Line, Column: n.Column, Key: at.path, Problem: problem, Advice: advice})
}

// value decodes n into v, which holds the default.
func (d *decoder) value(n *yaml.Node, v reflect.Value, at place) {
	if !d.spend(n, at) {
		return
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		v.Elem().Set(start(v.Type().Elem()))
		d.value(n, v.Elem(), at)
	case reflect.Struct:
		d.section(n, v, at)
	case reflect.Slice:
		d.list(n, v, at)
	case reflect.Map:
		d.table(n, v, at)
	default:
		d.scalar(n, v, at)
	}
}

// table decodes a mapping whose keys are the user's into a map of texts.
func (d *decoder) table(n *yaml.Node, v reflect.Value, at place) {
	if n.Kind != yaml.MappingNode && n.ShortTag() != nullTag {
		d.mistyped(n, at, "`name: value` lines", "write {name: value}, also for one", false)
		return
	}
	v.SetZero()
	for _, p := range d.pairs(n, at) {
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		e := reflect.New(v.Type().Elem()).Elem()
		in := at.key(shortened(p.key.Value))
		in.rule = at.rule + ".*"
		d.value(p.value, e, in)
		v.SetMapIndex(reflect.ValueOf(p.key.Value), e)
	}
}

// spend counts a key or a value, and tells whether there may be as many: a few aliases can stand for millions. It
// also ends the search for mistakes when there are far more than are shown.
func (d *decoder) spend(n *yaml.Node, at place) bool {
	if d.values++; d.values == maxValues {
		d.fail(n, at, fmt.Sprintf("the file has more than %d keys and values, counting what aliases repeat", maxValues), "a configuration has fewer; use globs in place of long lists")
	}
	return !d.done()
}

func (d *decoder) done() bool { return d.values >= maxValues || len(d.errs) >= 10*maxErrors }

// section decodes a mapping into a struct. A section without a body keeps its defaults.
func (d *decoder) section(n *yaml.Node, v reflect.Value, at place) {
	if n.Kind != yaml.MappingNode && n.ShortTag() != nullTag {
		d.mistyped(n, at, "a section of `key: value` lines", "the keys here are "+strings.Join(keysOf(v.Type()), ", "), false)
		return
	}
	before := len(d.errs)
	given := map[string]*yaml.Node{}
	wrong := map[string]bool{}
	pairs := d.pairs(n, at)
	if at.path == "" {
		slices.SortStableFunc(pairs, kindsFirst)
	}
	for _, p := range pairs {
		field, secret, ok := fieldOf(v, p.key.Value)
		if !ok {
			wrong[""], wrong[d.unknown(p.key, v.Type(), at)] = true, true
			continue
		}
		sofar := len(d.errs)
		in := at.key(p.key.Value)
		in.secret = in.secret || secret
		d.value(p.value, field, in)
		nameFile(v, p)
		given[p.key.Value], wrong[p.key.Value] = p.value, len(d.errs) > sofar
	}
	if !d.done() {
		d.require(n, v, at, given, wrong)
	}
	if whole := rules[at.rule].whole; whole != nil && len(d.errs) == before && !d.undeclared {
		for _, err := range whole(d.model, v.Interface()) {
			problem, advice, _ := strings.Cut(err.Error(), "; ")
			d.fail(n, at, problem, advice)
		}
	}
}

// nameFile tells a section where a secret came from, if it has a key for that: it can then read the file again.
func nameFile(section reflect.Value, p pair) {
	n := p.value
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	path, whole := strings.CutPrefix(n.Value, "${file:")
	path, closed := strings.CutSuffix(path, "}")
	if !whole || !closed || strings.ContainsAny(path, "${}") {
		return
	}
	if file, _, ok := fieldOf(section, p.key.Value+"_file"); ok && file.String() == "" {
		file.SetString(path)
	}
}

// require checks what a section must have. It says nothing of keys that are wrong already; wrong[""] stands for keys that
// the section does not know.
func (d *decoder) require(n *yaml.Node, v reflect.Value, at place, given map[string]*yaml.Node, wrong map[string]bool) {
	if rules[at.rule].one {
		d.exactlyOne(n, v.Type(), at, given, wrong[""])
		return
	}
	r := rules[at.rule]
	if e := r.either; e != nil && !wrong[""] && !slices.ContainsFunc(e, func(name string) bool {
		field, _, _ := fieldOf(v, name)
		return wrong[name] || !field.IsZero()
	}) {
		d.fail(n, at, "it has neither "+strings.Join(e, " nor "), r.advice)
	}
	for f := range fields(v.Type()) {
		name := f.Tag.Get("yaml")
		in := at.key(name)
		r := rules[in.rule]
		if r.need == "" || given[r.unless] != nil || r.one && given[name] != nil || wrong[name] || !v.FieldByIndex(f.Index).IsZero() {
			continue
		}
		switch g := given[name]; {
		case r.one:
			d.exactlyOne(n, f.Type, in, nil, false)
		case g != nil:
			d.fail(g, in, "it is empty", r.need)
		default:
			d.fail(n, in, "it is missing", r.need)
		}
	}
}

func (d *decoder) exactlyOne(n *yaml.Node, section reflect.Type, at place, given map[string]*yaml.Node, wrong bool) {
	names := keysOf(section)
	problem, advice := "choose exactly one of "+strings.Join(names, ", "), rules[at.rule].need
	if len(given) == 1 || len(given) == 0 && wrong {
		return
	}
	if len(given) > 1 {
		var found []string
		for _, name := range names {
			if g := given[name]; g != nil {
				found = append(found, fmt.Sprintf("%s (line %d)", name, g.Line))
			}
		}
		advice = "here are " + strings.Join(found, " and ") + "; remove all but one"
	}
	d.fail(n, at, problem, advice)
}

// list decodes a sequence into a slice; an empty one is nil.
func (d *decoder) list(n *yaml.Node, v reflect.Value, at place) {
	if n.ShortTag() == nullTag {
		v.SetZero()
		return
	}
	if n.Kind != yaml.SequenceNode {
		advice := "write each entry on a line of its own that begins with `- `"
		if v.Type().Elem().Kind() == reflect.String {
			advice = `write ["…"], also for one entry`
			if n.Kind == yaml.ScalarNode && showable(n, at) {
				advice = "write [" + strconv.Quote(n.Value) + "], also for one entry"
			}
		}
		d.mistyped(n, at, "a list", advice, false)
		return
	}
	v.SetZero()
	before := len(d.errs)
	for i, c := range n.Content {
		if d.done() {
			return
		}
		e := reflect.New(v.Type().Elem()).Elem()
		e.Set(start(e.Type()))
		d.value(c, e, at.item(i))
		v.Set(reflect.Append(v, e))
	}
	if at.rule == "kinds" {
		if d.undeclared = len(d.errs) > before; !d.undeclared {
			d.declare(n, v, at)
		}
	}
}

// scalar decodes one value: expansion, then the type, then the rules.
func (d *decoder) scalar(n *yaml.Node, v reflect.Value, at place) {
	r := rules[at.rule]
	want := wanted(v.Type(), r)
	switch {
	case n.Kind != yaml.ScalarNode:
		d.mistyped(n, at, want, "write one value behind the key, on the same line", false)
		return
	case n.ShortTag() == nullTag:
		d.fail(n, at, "there is no value", `write one ("" is the empty text), or remove the key for its default`)
		return
	case !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp", mergeTag}, n.ShortTag()):
		d.fail(n, at, "the tag before this value is not known", "remove what begins with !")
		return
	}
	text, expanded, ok := d.expand(n, v, at)
	if !ok {
		return
	}
	if !expanded && !sameShape(n, v.Kind()) {
		d.mistyped(n, at, want, "write it "+quoting(v.Kind()), false)
		return
	}
	fallback := plain(v, r)
	if !parse(text, v, r) {
		d.mistyped(n, at, want, hint(text, v, r, at.secret || expanded), expanded)
		return
	}
	problem, advice := r.check(v, fallback, at.secret || expanded)
	if r.named != nil && !d.undeclared {
		problem, advice = r.named(d.model, v.String())
	}
	if problem != "" {
		if expanded && !at.secret {
			problem += ", from " + asWritten(n)
		}
		d.fail(n, at, problem, advice)
	}
}

// sameShape tells whether a value is in quotes just where it should be: text that looks like a truth value must be,
// numbers and truth values must not. Numbers are taken for text: version: 1.10 means "1.10".
func sameShape(n *yaml.Node, k reflect.Kind) bool {
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
	switch k {
	case reflect.String:
		return n.ShortTag() != "!!bool"
	case reflect.Bool:
		return !quoted
	default:
		return true
	}
}

func quoting(k reflect.Kind) string {
	if k == reflect.String {
		return "in quotes"
	}
	return "without quotes"
}

// parse reads text into v by v's type, and tells whether it could.
func parse(text string, v reflect.Value, r rule) bool {
	switch {
	case v.Kind() == reflect.String:
		v.SetString(text)
		return true
	case v.Kind() == reflect.Bool:
		b := strings.EqualFold(text, "true")
		v.SetBool(b)
		return b || strings.EqualFold(text, "false")
	case v.Type() == reflect.TypeFor[time.Duration]():
		t, err := time.ParseDuration(text)
		v.SetInt(int64(t))
		return err == nil
	case v.Kind() == reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		v.SetFloat(f)
		return err == nil && f-f == 0 // finite
	case r.size && v.Kind() != reflect.Int64: // a size that its section keeps in an int
		var b agent.Bytes
		err := b.UnmarshalText([]byte(text))
		v.SetInt(int64(b))
		return err == nil && v.Int() == int64(b)
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return u.UnmarshalText([]byte(text)) == nil
	}
	i, err := strconv.ParseInt(text, 10, v.Type().Bits())
	v.SetInt(i)
	return err == nil
}

// wanted says in words what a value must be.
func wanted(t reflect.Type, r rule) string {
	switch {
	case len(r.enum) > 0:
		return "one of " + strings.Join(r.enum, ", ")
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 500ms, 25s or 1m30s"
	case t == reflect.TypeFor[agent.Bytes]() || r.size:
		return "a size such as 1048576, 512KiB or 12MiB"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Float64:
		return "a number such as 0.1"
	default:
		return "a whole number"
	}
}

// mistyped reports a value of the wrong type. Its text is shown only if it is no secret and stands in the file as it is.
func (d *decoder) mistyped(n *yaml.Node, at place, want, advice string, expanded bool) {
	found := ""
	switch {
	case n.Kind == yaml.MappingNode:
		found = "a section"
	case n.Kind == yaml.SequenceNode:
		found = "a list"
	case n.ShortTag() == nullTag:
		found = "nothing"
	default:
		found = map[string]string{"!!int": "the number", "!!float": "the number", "!!bool": "the truth value"}[n.ShortTag()]
		switch {
		case expanded && !at.secret:
			found = "something else from " + asWritten(n)
		case found == "" && showable(n, at):
			found = "the text " + strconv.Quote(n.Value)
		case found == "":
			found = "text"
		case showable(n, at):
			found += " " + n.Value
		default:
			found = "a" + strings.TrimPrefix(found, "the")
		}
	}
	d.fail(n, at, "expected "+want+", found "+found, advice)
}

// showable tells whether an error may show the text of a value: it is short, neither secret nor taken from elsewhere, and
// no address with a password.
func showable(n *yaml.Node, at place) bool {
	return !at.secret && len(n.Value) <= 60 && !strings.ContainsAny(n.Value, "$@")
}

// asWritten returns the text of a value before its expansion. The fallback of ${VAR:-fallback} is left out.
func asWritten(n *yaml.Node) string {
	s := n.Value
	if i := strings.Index(s, ":-"); i >= 0 {
		s = s[:i] + ":-…}"
	}
	if r := []rune(s); len(r) > 60 {
		s = string(r[:60]) + "…"
	}
	return strconv.Quote(s)
}
