// Package redact decides what is a secret: by the name of a field, by its path, and by what stands in a text.
//
// It knows strings and names only. The walk over a document, and what replaces a match there, is the pipeline's.
//
// A text is read once. A table of 256 entries gives every byte its classes; eight bytes at a time become one word of
// bitmaps, and bit arithmetic on that word finds the places where a secret can begin or be recognised: a run of three
// digits, a colon or an equals sign, an at sign, two dashes, eight bytes of one long token. Only there a validator looks
// closer. No regular expression is involved, and ordinary text pays for the table only.
package redact

import (
	"fmt"
	"slices"
	"strings"
)

// Mask replaces a secret, unless another Action is configured. It is one short constant for all of them: its length says
// nothing of the value's, and which detector fired belongs into the record's list of redactions, not into the text. No detector matches it: it has no
// digit, sign or long run of its own, and where a value is expected the mask is known as one that is gone already. So
// redacting a redacted text changes nothing.
const Mask = "[REDACTED]"

// A Match is a secret's place in a text: text[Start:End].
type Match struct {
	Start, End int
	Detector   Detector
}

// AppendMasked appends text to dst with every match replaced by Mask. The matches must be in order and must not overlap,
// as Scan returns them.
func AppendMasked(dst, text []byte, ms []Match) []byte {
	at := 0
	for _, m := range ms {
		dst = append(dst, text[at:m.Start]...)
		dst = append(dst, Mask...)
		at = m.End
	}
	return append(dst, text[at:]...)
}

// Rules is a Config compiled for one kind of activity. It is immutable and safe for concurrent use.
type Rules struct {
	names    names
	paths    []placed
	strict   bool
	enabled  [detectorCount]bool
	actions  [256]Action           // by Verdict
	found    [detectorCount]Action // by Detector
	labels   []string              // of the verdicts from firstRule on
	chosen   [detectorCount]string // the label of the rule that chose a detector's action, "" for none
	key      []byte                // of pseudonyms
	triggers triggerTable
	anyDigit bool
}

// Label names what in the configuration made something a secret: "fields", "only", "identity", "rules[2]", "detect", or
// "built-in names". v is the verdict on the value, None where detector d found something in it.
func (r *Rules) Label(v Verdict, d Detector) string {
	switch {
	case v >= firstRule:
		return r.labels[v-firstRule]
	case v == Field:
		return "fields"
	case v == Unlisted:
		return "only"
	case v == Identify:
		return "identity"
	case v == Redact, d == SecretName:
		return "built-in names"
	case r.chosen[d] != "":
		return r.chosen[d]
	case d == Limit:
		return "limits"
	}
	return "detect"
}

// Root is the verdict that a walk begins with.
func (r *Rules) Root() Verdict {
	if r.strict {
		return Unlisted
	}
	return None
}

// Guards reports whether any field is named by configuration, and not only by the names built in.
func (r *Rules) Guards() bool { return r.strict || r.HasPaths() || r.names.custom != nil }

// HashesIdentity reports whether user_id and ip_address become pseudonyms.
func (r *Rules) HashesIdentity() bool { return r.actions[Identify] == Hash }

// detectorsOf reads the `detect` setting: "default", "none", or names separated by commas. "default" may stand in the
// list, and "-name" takes one away again: "default,phone,-email".
func detectorsOf(setting string) (on [detectorCount]bool, err error) {
	for _, name := range strings.Split(setting, ",") {
		name = strings.TrimSpace(name)
		switch {
		case name == "" && strings.TrimSpace(setting) == "", name == "default":
			for d := range on {
				on[d] = on[d] || !detectors[d].optional
			}
		case name == "none":
			on = [detectorCount]bool{}
		default:
			d, ok := detectorNamed(strings.TrimPrefix(name, "-"))
			if !ok {
				return on, fmt.Errorf("detect: unknown detector %q; use default, none, or names of: %s",
					name, strings.Join(DetectorNames(), ", "))
			}
			on[d] = !strings.HasPrefix(name, "-")
		}
	}
	for d := range on {
		on[d] = on[d] || detectors[d].always // secret names hold in text too
	}
	return on, nil
}

// DetectorNames returns the names that Config.Detect accepts, sorted.
func DetectorNames() []string {
	var ns []string
	for d := range detectors {
		if !detectors[d].always {
			ns = append(ns, detectors[d].name)
		}
	}
	slices.Sort(ns)
	return ns
}
