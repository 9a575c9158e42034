package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// maxSecret bounds what ${file:…} reads, in bytes.
const maxSecret = 64 << 10

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces ${VAR}, ${VAR:-fallback}, ${file:/path} and $$ in a scalar, once: what comes out is not looked at
// again. v holds the default, for the advice. It reports what cannot be expanded, and returns false.
func (d *decoder) expand(n *yaml.Node, v reflect.Value, at place) (text string, expanded, ok bool) {
	var b strings.Builder
	rest := n.Value
	for {
		before, after, found := strings.Cut(rest, "$")
		b.WriteString(before)
		if !found {
			return b.String(), expanded, true
		}
		switch {
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			rest = after[1:]
			continue
		case !strings.HasPrefix(after, "{"):
			if after != "" && variable.MatchString(after[:1]) {
				d.fail(n, at, "a $ stands before a name without braces", "write ${NAME} for an environment variable, or $$ for a dollar sign")
				return "", false, false
			}
			b.WriteByte('$')
			rest = after
			continue
		}
		inside, tail, closed := strings.Cut(after[1:], "}")
		if !closed || strings.Contains(inside, "${") {
			d.fail(n, at, "a ${ is not closed, or another one stands inside it", "write ${NAME}, ${NAME:-fallback} or ${file:/path}, and $$ for a dollar sign")
			return "", false, false
		}
		s, problem, advice := d.lookup(inside, v, at)
		if problem != "" {
			d.fail(n, at, problem, advice)
			return "", false, false
		}
		b.WriteString(s)
		expanded, rest = true, tail
	}
}

// lookup returns what stands for the inside of ${…}.
func (d *decoder) lookup(inside string, v reflect.Value, at place) (s, problem, advice string) {
	if path, ok := strings.CutPrefix(inside, "file:"); ok {
		if d.masked == nil {
			d.masked = map[string]bool{}
		}
		d.masked[at.path] = true
		d.sources = append(d.sources, path)
		return secretFile(path)
	}
	name, fallback, hasFallback := strings.Cut(inside, ":-")
	if !variable.MatchString(name) {
		return "", "what stands in ${…} is not the name of an environment variable", "write ${NAME}, ${NAME:-fallback} or ${file:/path}, and $$ for a dollar sign"
	}
	if d.env != nil {
		s, ok := d.env(name)
		if ok && (s != "" || !hasFallback) {
			if !utf8.ValidString(s) {
				return "", "the environment variable " + name + " is not UTF-8 text", "set it to text"
			}
			return s, "", ""
		}
	}
	if hasFallback {
		return fallback, "", ""
	}
	return "", "the environment variable " + name + " is not set", fmt.Sprintf("set it, or give a fallback: ${%s:-%s}", name, example(v, at))
}

// example returns a fallback to advise: the key's default where it has one.
func example(v reflect.Value, at place) string {
	if s := plain(v, rules[at.rule]); s != "" && !at.secret {
		return s
	}
	return "fallback"
}

// secretFile returns what a file holds, less one newline at its end.
func secretFile(path string) (s, problem, advice string) {
	quoted := fmt.Sprintf("%q", path)
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return "", quoted + " is not a file", "name a file that holds the value"
	}
	if err != nil {
		return "", "the file " + quoted + " cannot be read: " + cause(err), "check its path, that it is mounted, and that the agent may read it"
	}
	data, err := readBounded(path)
	if err != nil {
		return "", "the file " + quoted + " cannot be read: " + cause(err), "check that the agent may read it, and that it holds at most 64KiB of text"
	}
	s = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if s == "" {
		return "", "the file " + quoted + " is empty", "write the value into it"
	}
	return s, "", ""
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxSecret:
		return nil, errors.New("it is too large")
	case !utf8.Valid(data):
		return nil, errors.New("it is not UTF-8 text")
	}
	return data, nil
}
