package redact

import (
	"errors"
	"strings"
)

// A PathVerdict says what the configured fields ask for at one place of a document.
type PathVerdict uint8

// The verdicts.
const (
	None   PathVerdict = iota // nothing is configured for it
	Redact                    // the value, and all below it, is secret
	Allow                     // the value, and all below it, is left alone, whatever the detectors find
)

// A pattern is a path of Config.Fields or Config.Allow, cut into its elements, in lower case.
type pattern []string

func isPath(entry string) bool { return strings.ContainsAny(entry, ".*") }

func compilePattern(entry string) (pattern, error) {
	p := pattern(strings.Split(strings.ToLower(entry), "."))
	for _, e := range p {
		if e == "" {
			return nil, errors.New("empty element; write a path such as request_data.*.code")
		}
	}
	return p, nil
}

// HasPaths reports whether Path can ever return something other than None. A walk that asks first need not build paths.
func (r *Rules) HasPaths() bool { return len(r.fields)+len(r.allow) > 0 }

// Path returns the verdict of the path rules on one place, given as a dotted path from the root with array indices as
// elements: "request_data.items.0.code". Only the whole path counts: the caller, who walks from the root, carries a
// verdict down to what lies below. Letters match in either case. A pattern without a dot ("*_code") is matched against
// the last element alone. Allow wins.
func (r *Rules) Path(path []byte) PathVerdict {
	for _, p := range r.allow {
		if p.match(path) {
			return Allow
		}
	}
	for _, p := range r.fields {
		if p.match(path) {
			return Redact
		}
	}
	return None
}

func (p pattern) match(path []byte) bool {
	if len(p) == 1 {
		for i := len(path) - 1; i >= 0; i-- {
			if path[i] == '.' {
				path = path[i+1:]
				break
			}
		}
		return globMatch(p[0], path)
	}
	for i, e := range p {
		n := len(path)
		for k, c := range path {
			if c == '.' {
				n = k
				break
			}
		}
		if !globMatch(e, path[:n]) {
			return false
		}
		if n == len(path) {
			return i == len(p)-1
		}
		path = path[n+1:]
	}
	return false
}

// globMatch matches one element; "*" stands for any bytes. It goes back to the last star only, so it is linear in
// practice and never exponential.
func globMatch(glob string, s []byte) bool {
	g, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, mark = g, i
			g++
		case g < len(glob) && glob[g] == lower(s[i]):
			g++
			i++
		case star >= 0:
			mark++
			g, i = star+1, mark
		default:
			return false
		}
	}
	for g < len(glob) && glob[g] == '*' {
		g++
	}
	return g == len(glob)
}
