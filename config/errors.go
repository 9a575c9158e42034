package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// An Error is one mistake in a configuration. It shows no line of the file, for the sake of the secrets in it.
type Error struct {
	File         string // as it was named
	Line, Column int    // from 1; 0 where unknown
	Key          string // full path, such as "files[0].include"; "" for the file as a whole
	Problem      string // what is wrong
	Advice       string // what to do; may have several lines
	Err          error  // the cause, where another package found it
}

// Error returns "FILE:LINE:COLUMN: KEY: PROBLEM", and the advice indented below.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	for _, n := range []int{e.Line, e.Column} {
		if n > 0 {
			fmt.Fprintf(&b, ":%d", n)
		}
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key + ": ")
	}
	b.WriteString(e.Problem)
	for line := range strings.Lines(e.Advice) {
		b.WriteString("\n    " + strings.TrimSuffix(line, "\n"))
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errors are all the mistakes found in a configuration, in the order of their lines.
type Errors []*Error

// maxErrors bounds how many are shown.
const maxErrors = 50

// Error returns the errors below one another.
func (es Errors) Error() string {
	shown := es[:min(len(es), maxErrors)]
	lines := make([]string, len(shown), len(shown)+1)
	for i, e := range shown {
		lines[i] = e.Error()
	}
	if more := len(es) - len(shown); more > 0 {
		lines = append(lines, fmt.Sprintf("… and %d more", more))
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns each error, for errors.Is and errors.As.
func (es Errors) Unwrap() []error {
	errs := make([]error, len(es))
	for i, e := range es {
		errs[i] = e
	}
	return errs
}

// sorted orders es by position and keeps one of those that an alias repeated.
func (es Errors) sorted() Errors {
	slices.SortStableFunc(es, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return slices.CompactFunc(es, func(a, b *Error) bool {
		return a.Line == b.Line && a.Column == b.Column && a.Problem == b.Problem
	})
}
