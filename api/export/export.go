// Package export writes activities as files that other programs read: NDJSON, CSV and one JSON array.
//
// # CSV
//
// It is RFC 4180 with a header, in UTF-8: cells with a comma, a quote or a line break are quoted, lines end in CRLF. A
// column is a field by its dotted name, or a path in a free object. A text is written as it is, numbers and bools as in
// JSON, arrays and objects as JSON.
//
// A spreadsheet would take a cell that begins with = + - @, a tab or a line break for a formula, so a text that begins so
// gets an apostrophe before it. A text that begins with an apostrophe gets one more, and the empty text is an apostrophe
// alone, so that an empty cell is always an absent field. Unescape gives the text back.
package export

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
)

// A Format is how activities are written.
type Format string

// The formats.
const (
	NDJSON Format = "ndjson" // one JSON object a line
	CSV    Format = "csv"    // RFC 4180 with a header
	JSON   Format = "json"   // one array
)

// Formats lists the formats.
func Formats() []Format { return []Format{NDJSON, CSV, JSON} }

// ParseFormat returns the format of that name.
func ParseFormat(name string) (Format, bool) {
	f := Format(name)
	return f, slices.Contains(Formats(), f)
}

// MediaType returns the format's Content-Type.
func (f Format) MediaType() string {
	switch f {
	case CSV:
		return "text/csv; charset=utf-8; header=present"
	case JSON:
		return "application/json"
	}
	return "application/x-ndjson"
}

// Columns returns the columns of a CSV of fields, or of all fields of the kinds of m where fields is empty. No kinds are all. An
// object that fields are in ("service") becomes theirs.
func Columns(m *activity.Model, kinds []activity.Kind, fields []string) []string {
	if len(kinds) == 0 {
		kinds = m.Kinds()
	}
	var all []string
	for _, f := range m.Fields() {
		if !slices.ContainsFunc(kinds, f.Kinds.Has) {
			continue
		}
		name := f.Name
		if strings.HasPrefix(name, "redacted.") { // one list of pairs
			name = "redacted"
		}
		if !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	if len(fields) == 0 {
		return all
	}
	var out []string
	for _, name := range fields {
		below := slices.DeleteFunc(slices.Clone(all), func(s string) bool { return !strings.HasPrefix(s, name+".") })
		switch {
		case strings.HasPrefix(name, "redacted."):
			below = []string{"redacted"}
		case len(below) == 0:
			below = []string{name}
		}
		for _, c := range below {
			if !slices.Contains(out, c) {
				out = append(out, c)
			}
		}
	}
	return out
}

// A Writer writes activities in one format. Close ends what it has written; the writer below stays open.
type Writer struct {
	w       *bufio.Writer
	format  Format
	columns []string
	count   int64
	row     []byte
	tape    tape.Tape
	err     error
}

// NewWriter makes a writer. columns are a CSV's; other formats write documents as they come. appending leaves out the
// header of a CSV that goes on.
func NewWriter(w io.Writer, f Format, columns []string, appending bool) *Writer {
	out := &Writer{w: bufio.NewWriterSize(w, 64<<10), format: f, columns: columns}
	switch {
	case f == CSV && !appending:
		for i, c := range columns {
			out.cell(i, []byte(c))
		}
		out.row = append(out.row, '\r', '\n')
		out.put()
	case f == JSON:
		out.row = append(out.row, '[')
		out.put()
	}
	return out
}

func (w *Writer) put() {
	if w.err == nil {
		_, w.err = w.w.Write(w.row)
	}
	w.row = w.row[:0]
}

// Write writes one activity.
func (w *Writer) Write(doc json.RawMessage) error {
	switch w.format {
	case CSV:
		if err := w.tape.Parse(doc); err != nil {
			return fmt.Errorf("a stored document: %w", err)
		}
		for i, c := range w.columns {
			w.cell(i, w.value(c))
		}
		if len(w.row) == 0 { // an empty line is no row to most readers
			w.row = append(w.row, `""`...)
		}
		w.row = append(w.row, '\r', '\n')
	case JSON:
		if w.count > 0 {
			w.row = append(w.row, ',')
		}
		w.row = append(append(w.row, '\n'), doc...)
	default:
		w.row = append(append(w.row, doc...), '\n')
	}
	w.count++
	w.put()
	return w.err
}

// Flush hands on what is buffered.
func (w *Writer) Flush() error {
	if w.err == nil {
		w.err = w.w.Flush()
	}
	return w.err
}

// Close ends the file.
func (w *Writer) Close() error {
	if w.format == JSON {
		w.row = append(w.row, "\n]\n"...)
		w.put()
	}
	return w.Flush()
}

// value is the text of a column's cell; nil for what the document does not have.
func (w *Writer) value(column string) []byte {
	j := w.tape.At(0, column)
	if j == 0 {
		return nil
	}
	n := &w.tape.Nodes[j]
	if n.Type != tape.String {
		return w.tape.Raw(n)
	}
	text, _ := w.tape.Text(n, nil)
	return escape(text)
}

// risky are the beginnings that spreadsheets take for a formula, or skip before one; those of full width included.
var risky = []string{"=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"}

// escape puts an apostrophe before a text that needs it.
func escape(text []byte) []byte {
	s := string(text)
	if s == "" || s[0] == '\'' || slices.ContainsFunc(risky, func(r string) bool { return strings.HasPrefix(s, r) }) {
		return append([]byte{'\''}, text...)
	}
	return text
}

// Unescape returns the text that a cell of a CSV stands for, and false for a field that the activity does not have.
func Unescape(cell string) (text string, present bool) {
	return strings.TrimPrefix(cell, "'"), cell != ""
}

// cell appends the i-th cell of the row.
func (w *Writer) cell(i int, text []byte) {
	if i > 0 {
		w.row = append(w.row, ',')
	}
	if !slices.ContainsFunc(text, func(c byte) bool { return c == ',' || c == '"' || c == '\n' || c == '\r' }) {
		w.row = append(w.row, text...)
		return
	}
	w.row = append(w.row, '"')
	for _, c := range text {
		if c == '"' {
			w.row = append(w.row, '"')
		}
		w.row = append(w.row, c)
	}
	w.row = append(w.row, '"')
}

// Count returns how many activities were written.
func (w *Writer) Count() int64 { return w.count }
