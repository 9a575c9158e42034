package activity

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// Changed compares two JSON objects and returns the sorted names of their members that differ, and of those that
// only one of them has. Numbers are compared by value ("1.50" is 1.5, however large or small), strings by their
// characters, arrays in order, objects by their members in any order. Empty input and null are the empty object. Of a
// member that is there twice the last counts. Other input is an error, which does not repeat it.
func Changed(oldValues, newValues []byte) ([]string, error) {
	before, err := members(oldValues)
	if err != nil {
		return nil, fmt.Errorf("old values: %w", err)
	}
	after, err := members(newValues)
	if err != nil {
		return nil, fmt.Errorf("new values: %w", err)
	}
	var names []string
	for name, a := range before {
		if b, ok := after[name]; !ok || !same(a, b) {
			names = append(names, name)
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names, nil
}

var errNoObject = errors.New("not a JSON object")

func members(doc []byte) (map[string]json.RawMessage, error) {
	if len(bytes.TrimSpace(doc)) == 0 {
		return nil, nil
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(doc, &m); err != nil {
		return nil, errNoObject // json's own words may repeat the input
	}
	return m, nil
}

// same compares two valid JSON values; equal bytes, the usual case, need no decoding.
func same(a, b json.RawMessage) bool {
	return bytes.Equal(a, b) || sameValue(value(a), value(b))
}

func value(raw json.RawMessage) any {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	_ = dec.Decode(&v) // it is valid: it came out of json.Unmarshal
	return v
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		b, ok := b.(json.Number)
		return ok && sameNumber(string(a), string(b))
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for name := range a {
			if other, ok := b[name]; !ok || !sameValue(a[name], other) {
				return false
			}
		}
		return true
	default: // string, bool, nil
		return a == b
	}
}

// sameNumber compares decimals exactly, which floats cannot: 9007199254740993 is not 9007199254740992, and 1e400 is
// not 1e401.
func sameNumber(a, b string) bool {
	if a == b {
		return true
	}
	x, okX := parseDecimal(a)
	y, okY := parseDecimal(b)
	return okX && okY && x == y
}

// A decimal is ±0.DIGITS × 10^exp, with no zero at either end of the digits; zero has none.
type decimal struct {
	negative bool
	digits   string
	exp      int64
}

// parseDecimal reads a JSON number; ok is false where the exponent is out of all bounds.
func parseDecimal(s string) (d decimal, ok bool) {
	s, d.negative = strings.CutPrefix(s, "-")
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		exp, err := strconv.ParseInt(s[i+1:], 10, 32)
		if err != nil {
			return d, false
		}
		s, d.exp = s[:i], exp
	}
	whole, fraction, _ := strings.Cut(s, ".")
	d.exp += int64(len(whole))
	digits := whole + fraction
	d.digits = strings.TrimLeft(digits, "0")
	d.exp -= int64(len(digits) - len(d.digits))
	d.digits = strings.TrimRight(d.digits, "0")
	if d.digits == "" {
		return decimal{}, true // zero has no sign and no exponent
	}
	return d, true
}
