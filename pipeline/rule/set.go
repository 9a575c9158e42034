package rule

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// Config is an entry of `pipeline.classify`.
type Config struct {
	// Name is what lines that the rule drops are counted by, and what classified_by says of the others.
	Name string `yaml:"name"`
	// When is the condition; the first rule whose condition holds counts.
	When string `yaml:"when"`
	// Kind is the kind that the lines get, "" for that which they would have got.
	Kind string `yaml:"kind"`
	// ActivityType is the activity_type that the lines get, "" for their own.
	ActivityType string `yaml:"activity_type"`
	// Set gives fields a value, where the line gives them none.
	Set map[string]string `yaml:"set"`
	// Rename gives what a member of the line holds, by its path, to a field.
	Rename map[string]string `yaml:"rename"`
	// Copy does the same and leaves the member in details.
	Copy map[string]string `yaml:"copy"`
	// Drop keeps the lines out of the store.
	Drop bool `yaml:"drop"`
	// Sample is the share of the lines that is stored, over 0 and under 1; 0 stores all. The others are dropped.
	Sample float64 `yaml:"sample"`
}

// A Rule is a compiled Config.
type Rule struct {
	model        *activity.Model
	Name         string
	By           string // for classified_by
	When         *Condition
	Kind         activity.Kind // NoKind for none
	ActivityType []byte        // JSON; nil for none
	Set          []Constant
	Moves        []Move
	Drop         bool
	Keep         uint64 // a record is stored if 64 bits of its id are at most this; 0 for all
}

// A Constant is a field and its value, encoded as JSON.
type Constant struct {
	Field activity.FieldID
	JSON  []byte
}

// A Move takes the member at a path of the line to a field.
type Move struct {
	Path  string
	Field activity.FieldID
	Copy  bool
}

// Leaves reports whether the record with that id is not of the sample. The same record always is or is not.
func (r *Rule) Leaves(id ulid.ULID) bool {
	return r.Keep > 0 && binary.BigEndian.Uint64(id[8:]) > r.Keep
}

// ValueOf returns what Set gives a field, encoded as JSON; nil for nothing.
func (r *Rule) ValueOf(f activity.FieldID) []byte {
	for i := range r.Set {
		if r.Set[i].Field == f {
			return r.Set[i].JSON
		}
	}
	return nil
}

// reserved are reasons of dropping that are not by a rule.
var reserved = []string{"blank", "non_json", "panic", "source_gone"}

// CompileAll prepares rules. Its error joins those of all of them, each with the place of the rule in the list.
func CompileAll(cs []Config, m *activity.Model) ([]Rule, error) {
	var errs []error
	rs := make([]Rule, len(cs))
	seen := map[string]int{}
	for i, c := range cs {
		r, err := New(c, m)
		if before, twice := seen[c.Name]; twice && c.Name != "" {
			err = errors.Join(err, fmt.Errorf("the rule before it, [%d], is also called %q; give it another name", before, c.Name))
		}
		seen[c.Name] = i
		for _, e := range unjoin(err) {
			errs = append(errs, fmt.Errorf("[%d] %w", i, e))
		}
		rs[i] = r
	}
	return rs, errors.Join(errs...)
}

func unjoin(err error) []error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		return all.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

// New prepares one rule. Its error joins all that is wrong with it.
func New(c Config, m *activity.Model) (r Rule, err error) {
	var errs []error
	check := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	r = Rule{model: m, Name: c.Name, By: "rule:" + c.Name, Drop: c.Drop}
	if c.Name == "" {
		check(errors.New("has no name; give it one, by which its lines are counted"))
	}
	if slices.Contains(reserved, c.Name) {
		check(fmt.Errorf("is called %q, which the agent counts by itself; give it another name", c.Name))
	}
	r.When, err = Compile(c.When)
	check(err)
	if c.Kind != "" {
		var ok bool
		if r.Kind, ok = m.ParseKind([]byte(c.Kind)); !ok {
			check(fmt.Errorf("kind: there is no kind %q; docs/classification.md lists them", c.Kind))
		}
	}
	if c.ActivityType != "" {
		r.ActivityType = quoted(c.ActivityType)
	}
	if c.Sample < 0 || c.Sample >= 1 {
		check(errors.New("sample: it is no share; write one over 0 and under 1, such as 0.1 for every tenth line"))
	} else if c.Sample > 0 {
		r.Keep = uint64(c.Sample * (1 << 63) * 2)
	}
	check(r.constants(c))
	check(r.moves(c.Rename, "rename", false))
	check(r.moves(c.Copy, "copy", true))
	effects := len(r.Set) + len(r.Moves)
	switch {
	case c.Drop && (effects > 0 || c.Kind != "" || c.ActivityType != "" || c.Sample != 0):
		check(errors.New("drops its lines, so nothing else of it has an effect; remove drop, or the rest"))
	case !c.Drop && effects == 0 && c.Kind == "" && c.ActivityType == "" && c.Sample == 0 && len(c.Set)+len(c.Rename)+len(c.Copy) == 0:
		check(errors.New("says nothing of what becomes of its lines; add kind, activity_type, set, rename, copy, drop or sample"))
	}
	return r, errors.Join(errs...)
}

func quoted(s string) []byte {
	return append(tape.AppendEscaped([]byte{'"'}, []byte(strings.ToValidUTF8(s, "\uFFFD"))), '"')
}

func (r *Rule) constants(c Config) error {
	for _, name := range sorted(c.Set) {
		f, err := r.field(name)
		if err != nil {
			return fmt.Errorf("set: %w", err)
		}
		v := c.Set[name]
		k := Constant{Field: f}
		switch m := r.model; m.FieldType(f) {
		case activity.Keyword, activity.Text:
			if values := m.Field(f).Values; values != nil && !slices.Contains(values, v) {
				return fmt.Errorf("set: %s takes one of %s; write one of them", name, strings.Join(values, ", "))
			}
			k.JSON = quoted(v)
		case activity.Long:
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil {
				return fmt.Errorf("set: %s takes a whole number; write one, such as 200", name)
			}
			k.JSON = strconv.AppendInt(nil, n, 10)
		case activity.Double:
			n, err := strconv.ParseFloat(v, 64)
			if err != nil || math.IsInf(n, 0) || math.IsNaN(n) {
				return fmt.Errorf("set: %s takes a number; write one, such as 0.5", name)
			}
			k.JSON = strconv.AppendFloat(nil, n, 'g', -1, 64)
		case activity.Bool:
			b, err := strconv.ParseBool(v)
			if err != nil {
				return fmt.Errorf("set: %s takes a truth value; write true or false", name)
			}
			k.JSON = strconv.AppendBool(nil, b)
		default:
			return fmt.Errorf("set: %s takes no constant; texts, numbers and truth values do", name)
		}
		r.Set = append(r.Set, k)
	}
	return nil
}

func (r *Rule) moves(paths map[string]string, what string, leave bool) error {
	for _, path := range sorted(paths) {
		f, err := r.field(paths[path])
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		r.Moves = append(r.Moves, Move{path, f, leave})
	}
	return nil
}

// field finds a field that a rule may give a value.
func (r *Rule) field(name string) (activity.FieldID, error) {
	f, ok := r.model.FieldNamed(name, activity.NoKind)
	switch {
	case !ok:
		return 0, fmt.Errorf("there is no field %q; docs/fields.md lists them", name)
	case r.model.Field(f).Origin == activity.Agent, f == activity.ID, f == activity.KindField, f == activity.ActivityType, f == activity.Timestamp, f == activity.Details:
		return 0, fmt.Errorf("%s is not for rules to give; choose a field that lines give", name)
	case strings.Contains(name, "."):
		return 0, fmt.Errorf("%s stands in an object of the document; choose a field without a dot", name)
	case r.Kind != activity.NoKind && !r.model.In(f, r.Kind):
		return 0, fmt.Errorf("%s has no field %s; docs/fields.md lists them", r.model.KindName(r.Kind), name)
	}
	return f, nil
}

func sorted(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func number(raw []byte) float64 {
	f, _ := strconv.ParseFloat(string(raw), 64)
	return f
}
