package redact

import (
	"errors"
	"strings"
)

// A Verdict says how the values at one place of a document are treated, with all below them.
type Verdict uint8

// The verdicts. From Redact on they mean a secret; those of Config.Rules come last.
const (
	None     Verdict = iota // nothing is configured for it: the detectors look through it
	Allow                   // left alone, whatever the detectors find
	Listed                  // named by Config.Only: passes on to the detectors
	Unlisted                // not named by Config.Only, although it has entries
	Likely                  // a secret by the built-in names if the value looks like a credential: ask Credential
	Redact                  // a secret by the built-in names
	Field                   // a secret by Config.Fields
	Identify                // user_id or ip_address, to be made a pseudonym of
	firstRule
)

// maxRules bounds Config.Rules, since a verdict is a byte.
const maxRules = 200

// Secret reports whether the value goes, whatever it looks like.
func (v Verdict) Secret() bool { return v >= Redact }

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

// A placed is a pattern and what it means.
type placed struct {
	pattern pattern
	verdict Verdict
}

// HasPaths reports whether Path can ever return something other than None. A walk that asks first need not build paths.
func (r *Rules) HasPaths() bool { return len(r.paths) > 0 }

// Path returns the verdict of the path rules on one place, given as a dotted path from the root with array indices as
// elements: "request_data.items.0.code". Only the whole path counts: the caller, who walks from the root, carries a
// verdict down to what lies below. Letters match in either case. A pattern without a dot ("*_code") is matched against
// the last element alone. Allow wins, then the first of Config.Rules, Config.Fields and Config.Only.
func (r *Rules) Path(path []byte) Verdict {
	for _, p := range r.paths {
		if p.pattern.match(path) {
			return p.verdict
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
