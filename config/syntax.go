package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

const startAdvice = `begin with a copy of agent.example.yaml; the least that works is
  files:
    - include: ["/var/log/app/*.log"]
  store:
    sqlite: {path: ./activity-data/activities.db}`

// parseYAML returns the root node of the one document in data.
func parseYAML(name string, data []byte) (*yaml.Node, Errors) {
	fail := func(line int, problem, advice string) (*yaml.Node, Errors) {
		return nil, Errors{{File: name, Line: line, Problem: problem, Advice: advice}}
	}
	if len(data) > maxSize {
		return fail(0, "the file is larger than 1MiB", "a configuration is not; is it the right file?")
	}
	if line := notText(data); line > 0 {
		return fail(line, "there are bytes here that are not UTF-8 text", "save the file as UTF-8; is it the right file?")
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	doc, err := decodeNode(dec)
	switch {
	case errors.Is(err, io.EOF):
		return fail(1, "the file is empty", startAdvice)
	case err != nil:
		line := syntaxLine(data, err)
		problem, advice := explain(err, lineOf(data, line))
		return fail(line, problem, advice)
	}
	if second, err := decodeNode(dec); err == nil {
		return fail(second.Line, "a second document begins here", "keep one configuration in a file, and remove the line ---")
	} else if !errors.Is(err, io.EOF) {
		line := syntaxLine(data, err)
		problem, advice := explain(err, lineOf(data, line))
		return fail(line, problem, advice)
	}
	root := doc.Content[0]
	if root.ShortTag() == nullTag {
		return fail(1, "the file is empty", startAdvice)
	}
	return root, nil
}

// decodeNode reads one document. The YAML package is known to panic on a few inputs; that is a syntax error too.
func decodeNode(dec *yaml.Decoder) (n *yaml.Node, err error) {
	defer func() {
		if recover() != nil {
			n, err = nil, errors.New("yaml: the text cannot be read")
		}
	}()
	n = new(yaml.Node)
	return n, dec.Decode(n)
}

// notText returns the first line with bytes that are not UTF-8, 0 if there is none.
func notText(data []byte) int {
	if utf8.Valid(data) {
		return 0
	}
	line := 1
	for l := range bytes.Lines(data) {
		if !utf8.Valid(l) {
			break
		}
		line++
	}
	return line
}

// syntaxLine returns the line of a syntax error. The YAML package names where the surrounding block begins, or the line
// before, or nothing. The line that matters is the one after the longest run of leading lines that can be parsed. A
// bisection finds a run that one more line breaks; it may be cut within a list that only later lines complete, so longer
// runs are tried from the end, for as long as that is quick.
func syntaxLine(data []byte, err error) int {
	if len(data) > 256<<10 {
		named := 1
		_, _ = fmt.Sscanf(err.Error(), "yaml: line %d:", &named)
		return named
	}
	ends := []int{0} // ends[i] is the size of i lines
	for line := range bytes.Lines(data) {
		ends = append(ends, ends[len(ends)-1]+len(line))
	}
	good, bad := 0, len(ends)-1
	for bad-good > 1 {
		if mid := (good + bad) / 2; parses(data[:ends[mid]]) {
			good = mid
		} else {
			bad = mid
		}
	}
	for i, quick := len(ends)-2, 2<<20; i > good && quick > 0; i-- {
		if quick -= ends[i]; parses(data[:ends[i]]) {
			good = i
		}
	}
	return good + 1
}

func parses(data []byte) bool {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for {
		if _, err := decodeNode(dec); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// lineOf returns a line of data, counted from 1, without its end.
func lineOf(data []byte, line int) string {
	for l := range bytes.Lines(data) {
		if line--; line == 0 {
			return strings.TrimRight(string(l), "\r\n")
		}
	}
	return ""
}

// explanations are looked through in order for what the YAML package says. None of them shows the line, which may hold
// a secret.
var explanations = []struct{ says, problem, advice string }{
	{"unknown anchor", "a value begins with *, which refers to an anchor, and there is none of that name", `put the value in quotes if it is a glob: "*.log"`},
	{"alphabetic or numeric character", "a value begins with * or &, which refer to anchors in YAML", `put the value in quotes if it is a glob: "*.log"`},
	{"cannot start any token", "a value cannot begin with @, ` or %, nor with a tab", "put the value in quotes"},
	{"mapping values are not allowed", "there is a second `key:` where a value should be", "put a value that contains \": \" in quotes; otherwise check the indentation, and that the line above ends in a colon"},
	{"could not find expected ':'", "this is neither `key: value` nor `- item`", "add the colon and a space after the key"},
	{"did not find expected key", "the indentation does not fit the lines above, or text follows a value that has ended", "indent keys of one section by the same number of spaces, and put values that begin with a quote wholly in quotes"},
	{"expected '-' indicator", "this line is indented like the items of a list, but does not begin with `- `", "begin it with `- `, or indent it by less"},
	{"block sequence entries are not allowed", "a list item cannot begin here", "begin the list on a line of its own, below its key"},
	{"expected ',' or ']'", "a list that begins with [ is not closed, or a comma is missing in it", "write it as [\"a\", \"b\"]"},
	{"expected ',' or '}'", "a section that begins with { is not closed, or a comma is missing in it", "write it as {key: value, key: value}"},
	{"expected node content", "a value is missing here", "write a value, or \"\" for an empty one"},
	{"unexpected end of stream", "a quote that is opened here is never closed", "close the quote"},
	{"unexpected document indicator", "a quote that is opened before this line is never closed", "close the quote"},
	{"escape character", "a backslash in double quotes begins an escape that YAML does not know", "use single quotes, or double the backslash"},
	{"hexdecimal", "a backslash in double quotes begins an escape that YAML does not know", "use single quotes, or double the backslash"},
	{"tab character", "this line is indented with a tab", "YAML takes only spaces for indentation; use two for each level"},
	{"max depth", "this is nested too deeply", "a configuration is not; is it the right file?"},
	{"directive", "a line cannot begin with %", "put the value in quotes"},
	{"control characters", "there is a control character here", "remove it; is it the right file?"},
	{"tag", "a ! begins a tag that is not known", "put the value in quotes"},
	{"document start", "text follows the end of the configuration", "indent it like the lines above, or remove it"},
}

// explain translates an error of the YAML package for somebody who has never read the YAML specification.
func explain(err error, line string) (problem, advice string) {
	if indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]; strings.Contains(indent, "\t") {
		return "this line is indented with a tab", "YAML takes only spaces for indentation; use two for each level"
	}
	for _, e := range explanations {
		if strings.Contains(err.Error(), e.says) {
			return e.problem, e.advice
		}
	}
	return "this is not valid YAML", "check quotes, brackets and indentation on this line and the one above"
}
