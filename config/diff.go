package config

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"
)

// A Change is a key whose value differs between two configurations. A list is one key.
type Change struct {
	Key string // "pipeline.redact.fields"
	// Restart says that a running agent cannot take the change up.
	Restart bool
}

// Changes returns what is different in next, in the order of the example.
func (c *Config) Changes(next *Config) []Change {
	var out []Change
	var compare func(a, b reflect.Value, at place)
	compare = func(a, b reflect.Value, at place) {
		switch {
		case a.Kind() == reflect.Pointer && (a.IsNil() || b.IsNil()):
			if a.IsNil() != b.IsNil() { // another store
				out = append(out, Change{at.path, true})
			}
		case a.Kind() == reflect.Pointer:
			compare(a.Elem(), b.Elem(), at)
		case a.Kind() == reflect.Struct:
			for f := range fields(a.Type()) {
				compare(a.FieldByIndex(f.Index), b.FieldByIndex(f.Index), at.key(f.Tag.Get("yaml")))
			}
		case !reflect.DeepEqual(a.Interface(), b.Interface()):
			out = append(out, Change{at.path, rules[at.rule].restart})
		}
	}
	compare(reflect.ValueOf(c).Elem(), reflect.ValueOf(next).Elem(), place{})
	return out
}

// Sources returns the files that c was read from: its own, and those of ${file:…}.
func (c *Config) Sources() []string { return c.sources }

// Hash names what is configured, in 16 hexadecimal digits. Secrets are masked before, so that it cannot confirm a guess
// about one: a changed secret does not change the hash.
func (c *Config) Hash() string {
	sum := sha256.Sum256([]byte(c.String()))
	return hex.EncodeToString(sum[:8])
}
