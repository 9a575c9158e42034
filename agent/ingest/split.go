package ingest

import (
	"bytes"

	"github.com/truledgr/activity-agent/pipeline"
)

// A syntaxError says why a body is not what its content type says. It shows nothing of it.
type syntaxError string

func (e syntaxError) Error() string { return string(e) }

// maxRecords is how many records a request may have: a document is much larger than the least record, "{}".
const maxRecords = 10_000

const errEmpty syntaxError = "the body is empty; send an object, an array of objects, or one object a line as application/x-ndjson"

// splitJSON finds the records of a body that is one JSON object, or an array of them. It looks at brackets and quotes only:
// what lies between is checked when it is parsed.
func splitJSON(raw *pipeline.Raw) error {
	lo, hi := trimmed(raw.Buf, 0, len(raw.Buf))
	if lo == hi {
		return errEmpty
	}
	if raw.Buf[lo] != '[' {
		return addRecord(raw, lo, hi)
	}
	return splitArray(raw, lo, hi)
}

// splitArray finds the elements of the array in [lo, hi).
func splitArray(raw *pipeline.Raw, lo, hi int) error {
	b := raw.Buf
	depth, from := 0, lo+1
	for i := lo; i < hi; i++ {
		switch b[i] {
		case '"':
			if i = endOfString(b, i, hi); i < 0 {
				return syntaxError("the array is not valid JSON: a string does not end")
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth > 0 {
				continue
			}
			if b[i] != ']' || i != hi-1 {
				return syntaxError("the array is not valid JSON: brackets do not match, or something follows it")
			}
			return lastElement(raw, from, i)
		case ',':
			if depth != 1 {
				continue
			}
			if err := element(raw, from, i); err != nil {
				return err
			}
			from = i + 1
		}
	}
	return syntaxError("the array is not valid JSON: it does not end")
}

// endOfString returns the index of the quote that ends the string at i, or a negative number.
func endOfString(b []byte, i, hi int) int {
	for i++; i < hi; i++ {
		n := bytes.IndexByte(b[i:hi], '"')
		if n < 0 {
			return -1
		}
		i += n
		slashes := i
		for b[slashes-1] == '\\' {
			slashes--
		}
		if (i-slashes)%2 == 0 {
			return i
		}
	}
	return -1
}

func element(raw *pipeline.Raw, lo, hi int) error {
	if lo, hi = trimmed(raw.Buf, lo, hi); lo == hi {
		return syntaxError("the array is not valid JSON: there is nothing between two commas")
	}
	return addRecord(raw, lo, hi)
}

// lastElement adds what is before the array's end. An array of nothing is fine: then nothing is stored.
func lastElement(raw *pipeline.Raw, lo, hi int) error {
	if a, b := trimmed(raw.Buf, lo, hi); a == b && len(raw.Cuts) == 0 {
		return syntaxError("the array is empty; send at least one object")
	}
	return element(raw, lo, hi)
}

// splitLines finds the records of a body with one JSON object a line. Blank lines count for nothing.
func splitLines(raw *pipeline.Raw) error {
	for at := 0; at < len(raw.Buf); {
		end := len(raw.Buf)
		if n := bytes.IndexByte(raw.Buf[at:], '\n'); n >= 0 {
			end = at + n
		}
		if lo, hi := trimmed(raw.Buf, at, end); lo < hi {
			if err := addRecord(raw, lo, hi); err != nil {
				return err
			}
		}
		at = end + 1
	}
	if len(raw.Cuts) == 0 {
		return errEmpty
	}
	return nil
}

func addRecord(raw *pipeline.Raw, lo, hi int) error {
	if len(raw.Cuts) == maxRecords {
		return errTooMany
	}
	raw.Cuts = append(raw.Cuts, pipeline.Cut{First: int32(len(raw.Pieces)), Pieces: 1})
	raw.Pieces = append(raw.Pieces, pipeline.Piece{Offset: int64(lo), At: int32(lo), Len: int32(hi - lo)})
	return nil
}

// trimmed leaves out JSON's white space at both ends.
func trimmed(b []byte, lo, hi int) (int, int) {
	blank := func(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }
	for lo < hi && blank(b[lo]) {
		lo++
	}
	for lo < hi && blank(b[hi-1]) {
		hi--
	}
	return lo, hi
}
