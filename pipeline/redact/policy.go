package redact

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/truledgr/activity-agent/activity"
)

// minKey is the shortest HashKey, in bytes. Pseudonyms of short values are only as hard to guess as the key: 128 bits
// are what RFC 2104 and the size of a pseudonym ask for.
const minKey = 16

// A Policy is a compiled Config: Rules for every kind.
type Policy struct {
	kinds map[activity.Kind]*Rules
}

// For returns the rules for a kind. Kinds that no entry of Config.Rules tells apart share theirs.
func (p *Policy) For(k activity.Kind) *Rules { return p.kinds[k] }

// Compile checks c and prepares it for use. Its error names every offending entry; an unknown detector's also lists the
// known ones.
func Compile(c Config, m *activity.Model) (*Policy, error) {
	b, err := newBuilder(c, m)
	if err != nil {
		return nil, err
	}
	p := &Policy{kinds: map[activity.Kind]*Rules{}}
	shared := map[string]*Rules{}
	for _, k := range m.Kinds() {
		which := b.rulesOf(k)
		name := fmt.Sprint(which)
		if shared[name] == nil {
			shared[name] = b.rules(which)
		}
		p.kinds[k] = shared[name]
	}
	return p, nil
}

// builder holds a checked Config.
type builder struct {
	c        Config
	model    *activity.Model
	enabled  [detectorCount]bool
	action   Action
	identity Action
	each     []builtRule
	errs     []error
}

type builtRule struct {
	kinds  activity.KindSet
	detect []Detector
	action Action
}

func newBuilder(c Config, m *activity.Model) (*builder, error) {
	b := &builder{c: c, model: m}
	var err error
	b.enabled, err = detectorsOf(c.Detect)
	b.check(err)
	b.action = b.actionOf("action", c.Action)
	if b.action == keep {
		b.check(errors.New(`action: "keep" is for rules; to redact nothing by value write detect: none`))
	}
	switch c.Identity {
	case "", "keep":
	case "hash":
		b.identity = Hash
	default:
		b.check(fmt.Errorf("identity: %q is unknown; use keep or hash", c.Identity))
	}
	for _, l := range []struct {
		name    string
		entries []string
	}{{"fields", c.Fields}, {"allow", c.Allow}, {"only", c.Only}} {
		b.entries(l.name, l.entries)
	}
	if len(c.Rules) > maxRules {
		b.check(fmt.Errorf("rules: %d entries, at most %d are allowed", len(c.Rules), maxRules))
	}
	for i, r := range c.Rules {
		b.rule(fmt.Sprintf("rules[%d]", i), r)
	}
	if b.hashes() && len(c.HashKey) < minKey {
		b.check(fmt.Errorf("hash_key: pseudonyms need a key of %d bytes or more that is the same for all agents; "+
			"write one to a file (openssl rand -hex 32) and set hash_key: ${file:/path/to/it}", minKey))
	}
	return b, errors.Join(b.errs...)
}

func (b *builder) check(err error) {
	if err != nil {
		b.errs = append(b.errs, err)
	}
}

func (b *builder) actionOf(key, name string) Action {
	a, ok := actionNamed(name)
	if !ok {
		b.check(fmt.Errorf("%s: %q is unknown; use mask, partial, hash or drop", key, name))
	}
	return a
}

// entries checks names and paths.
func (b *builder) entries(list string, entries []string) {
	for i, e := range entries {
		var err error
		if isPath(e) {
			_, err = compilePattern(e)
		} else {
			err = (&names{}).add(e, Field)
		}
		if err != nil {
			b.check(fmt.Errorf("%s[%d] %q: %w", list, i, e, err))
		}
	}
}

func (b *builder) rule(at string, r Rule) {
	built := builtRule{kinds: activity.AllKinds, action: b.actionOf(at+".action", r.Action)}
	b.entries(at+".fields", r.Fields)
	if len(r.Fields)+len(r.Detect) == 0 {
		b.check(fmt.Errorf("%s: names no fields and no detectors; add fields: […] or detect: […]", at))
	}
	for _, name := range r.Detect {
		d, ok := detectorNamed(name)
		if !ok {
			b.check(fmt.Errorf("%s.detect: unknown detector %q; use names of: %s", at, name, strings.Join(DetectorNames(), ", ")))
		}
		built.detect = append(built.detect, d)
	}
	if len(r.Kinds) > 0 {
		built.kinds = 0
	}
	for _, name := range r.Kinds {
		k, ok := b.model.ParseKind([]byte(name))
		if !ok {
			b.check(fmt.Errorf("%s.kinds: unknown kind %q; use names of: %s", at, name, strings.Join(b.model.Field(activity.KindField).Values, ", ")))
			continue
		}
		built.kinds |= activity.Of(k)
	}
	b.each = append(b.each, built)
}

func (b *builder) hashes() bool {
	return b.action == Hash || b.identity == Hash || slices.ContainsFunc(b.each, func(r builtRule) bool { return r.action == Hash })
}

// rulesOf returns the places in Config.Rules that are for a kind.
func (b *builder) rulesOf(k activity.Kind) (which []int) {
	for i, r := range b.each {
		if r.kinds.Has(k) {
			which = append(which, i)
		}
	}
	return which
}

// rules makes the Rules of kinds for which just these entries of Config.Rules count.
func (b *builder) rules(which []int) *Rules {
	r := &Rules{enabled: b.enabled, strict: len(b.c.Only) > 0, key: []byte(b.c.HashKey)}
	r.names.builtin()
	for d := range r.found {
		r.found[d] = b.action
	}
	for v := range r.actions {
		r.actions[v] = b.action
	}
	r.actions[Identify] = b.identity
	if b.action == Partial {
		r.actions[Redact] = MaskWhole // of a password nothing is shown
	}
	r.place(b.c.Allow, Allow)
	for _, i := range which {
		v, label := firstRule+Verdict(len(r.labels)), fmt.Sprintf("rules[%d]", i)
		r.labels = append(r.labels, label)
		r.actions[v] = b.each[i].action
		if r.actions[v] == keep {
			v = Allow
		}
		r.place(b.c.Rules[i].Fields, v)
		for _, d := range b.each[i].detect {
			if r.chosen[d] == "" {
				r.chosen[d], r.enabled[d], r.found[d] = label, b.each[i].action != keep, b.each[i].action
			}
		}
	}
	r.place(b.c.Fields, Field)
	if b.identity == Hash {
		r.place(identity, Identify)
	}
	r.place(b.c.Only, Listed)
	r.buildTriggers()
	return r
}

// identity are the names that Config.Identity is about, wherever they stand.
var identity = []string{"user_id", "ip_address"}

// place gives fields, which have been checked, a verdict. What was placed before wins.
func (r *Rules) place(fields []string, v Verdict) {
	for _, f := range fields {
		if isPath(f) {
			p, _ := compilePattern(f)
			r.paths = append(r.paths, placed{p, v})
			continue
		}
		_ = r.names.add(f, v)
	}
}
