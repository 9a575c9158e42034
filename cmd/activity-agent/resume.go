package main

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/klauspost/compress/gzip"

	"github.com/truledgr/activity-agent/api/export"
)

// packed writes compressed or as it is. Compressed, it is gzip members one after another, which read as one file: what
// was interrupted is whole up to the end of its last member.
type packed struct {
	to     io.Writer
	z      *gzip.Writer // nil where nothing is compressed
	member int          // bytes in the member so far
}

// memberBytes is about how many bytes a gzip member has before compression.
const memberBytes = 4 << 20

func newPacked(w io.Writer, compress bool) *packed {
	p := &packed{to: w}
	if compress {
		p.z = gzip.NewWriter(w)
	}
	return p
}

// Write implements io.Writer.
func (p *packed) Write(b []byte) (int, error) {
	if p.z == nil {
		return p.to.Write(b)
	}
	p.member += len(b)
	return p.z.Write(b)
}

// EndPage ends the member where an activity ends, once it is large enough.
func (p *packed) EndPage() error {
	if p.z == nil || p.member < memberBytes {
		return nil
	}
	err := p.z.Close()
	p.z.Reset(p.to)
	p.member = 0
	return err
}

// Close ends the last member.
func (p *packed) Close() error {
	if p.z == nil {
		return nil
	}
	return p.z.Close()
}

// A wholePart is what is whole of an interrupted file: up to the end of its last whole activity.
type wholePart struct {
	end   int64
	id    string // of the activity; "" for none
	count int64
}

// findWhole finds where to go on with a file.
func findWhole(file *os.File, format export.Format, columns []string, compressed bool) (wholePart, error) {
	if !compressed {
		return scan(file, format, columns)
	}
	end, err := wholeMembers(file)
	if err != nil || end == 0 {
		return wholePart{}, err
	}
	z, err := gzip.NewReader(io.NewSectionReader(file, 0, end))
	if err != nil {
		return wholePart{}, err
	}
	at, err := scan(z, format, columns)
	at.end = end
	return at, err
}

// counting counts the bytes that were read, one by one, so that gzip reads none too many.
type counting struct {
	*bufio.Reader
	n int64
}

func (c *counting) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n += int64(n)
	return n, err
}

func (c *counting) ReadByte() (byte, error) {
	b, err := c.Reader.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

// wholeMembers returns where the last whole gzip member ends.
func wholeMembers(file *os.File) (end int64, err error) {
	in := &counting{Reader: bufio.NewReader(file)}
	z := new(gzip.Reader)
	for {
		err := z.Reset(in)
		if err == nil {
			z.Multistream(false)
			_, err = io.Copy(io.Discard, z)
		}
		if err != nil { // the end, or what was being written
			return end, nil
		}
		end = in.n
	}
}

// scan reads the activities of a file.
func scan(r io.Reader, format export.Format, columns []string) (wholePart, error) {
	if format == export.CSV {
		return scanCSV(r, columns)
	}
	in := bufio.NewReaderSize(r, 1<<20)
	var at wholePart
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return at, nil
		} else if err != nil {
			return at, err
		}
		var d struct{ ID string }
		if json.Unmarshal(line, &d) != nil || d.ID == "" {
			return at, fmt.Errorf("--resume: line %d of the file is no activity with an id: begin anew", at.count+1)
		}
		at = wholePart{at.end + int64(len(line)), d.ID, at.count + 1}
	}
}

// lastByte remembers what was read last: a last row without its line end is not whole.
type lastByte struct {
	io.Reader
	n int64
	b byte
}

func (l *lastByte) Read(b []byte) (int, error) {
	n, err := l.Reader.Read(b)
	if n > 0 {
		l.b = b[n-1]
	}
	l.n += int64(n)
	return n, err
}

func scanCSV(r io.Reader, columns []string) (wholePart, error) {
	last := &lastByte{Reader: r}
	in := csv.NewReader(last)
	in.ReuseRecord = true
	id := slices.Index(columns, "id")
	var at wholePart
	for rows := 0; ; rows++ {
		row, err := in.Read()
		whole := err == nil && len(row) == len(columns) && (in.InputOffset() < last.n || last.b == '\n')
		switch {
		case rows == 0 && whole && !slices.Equal(row, columns):
			return at, errors.New("--resume: the file has other columns: give the same --fields and --kind as before, or begin anew")
		case !whole || id < 0:
			return at, nil
		case rows == 0:
			at.end = in.InputOffset()
		default:
			at = wholePart{in.InputOffset(), row[id], at.count + 1}
		}
	}
}
