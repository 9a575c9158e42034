package pipeline

import "bytes"

// Envelope says which envelope the lines of a file may come in.
type Envelope uint8

// The envelopes of files[].format.
const (
	AutoEnvelope   Envelope = iota // told line by line
	NoEnvelope                     // every line is the event
	DockerEnvelope                 // Docker's json-file driver
	CRIEnvelope                    // Kubernetes
)

// maxGroup is how many partial lines are joined into one record at most.
const maxGroup = 4096

// A Cutter finds the records in the bytes of a stream.
//
// It keeps nothing from one call to the next but its scratch space, so that where a stream is cut depends on its bytes
// alone, never on how they were read. A Cutter is not safe for concurrent use.
type Cutter struct {
	Envelope Envelope
	// MaxLine is how many bytes of a line are kept. It also bounds how far the partial lines of one record may lie
	// apart. At least 1.
	MaxLine int

	groups [2][2][]Piece // records whose last line has not come, by Format-1 and stream name
	open   int           // how many of them
	quiet  mark          // where the first of them began
}

// A mark is a place between two records with no group open: a range may end here.
type mark struct {
	pos          int
	lines        int64
	cuts, pieces int
}

// Cut appends to raw the records that are complete in its bytes [at, at+n), which begin at offset off of the stream and
// at the beginning of a line. It returns how many of the bytes it is done with, always whole lines, and how many lines
// those are. The caller offers the rest again, with more behind it. The cuts belong to the last of raw.Ranges.
//
// A line is complete when its newline is there, and a record when none of its partial lines waits for its end. If final
// is set, nothing will ever follow: what is there is complete.
//
// Nothing is consumed only if the first record is incomplete; if then n > MaxLine, that record is a single line, longer
// than the limit: see CutLong.
func (c *Cutter) Cut(raw *Raw, at, n int, off int64, final bool) (consumed int, lines int64) {
	buf := raw.Buf[at : at+n]
	pos := 0
	for pos < n {
		end, next := n, n
		i := bytes.IndexByte(buf[pos:], '\n')
		if i >= 0 {
			end, next = pos+i, pos+i+1
		}
		if c.open > 0 && next-c.quiet.pos > c.MaxLine {
			c.closeAll(raw)
		}
		if i < 0 && !final {
			break
		}
		if lo, hi := trim(buf, pos, end); lo < hi {
			p := Piece{Offset: off + int64(lo), At: int32(at + lo), Len: int32(hi - lo)}
			if over := hi - lo - c.MaxLine; over > 0 {
				p.Len, p.Skip = int32(c.MaxLine), int64(over)
			}
			c.add(raw, buf[lo:hi], p, mark{pos, lines, len(raw.Cuts), len(raw.Pieces)})
		}
		lines++
		pos = next
	}
	if c.open > 0 && final {
		c.closeAll(raw)
	}
	if c.open > 0 {
		return c.rollBack(raw)
	}
	return pos, lines
}

// CutLong appends the record of one line of which only the beginning is kept: p is the whole line without its line end,
// p.Skip bytes of it left out. The Cut belongs to the last of raw.Ranges.
func (c *Cutter) CutLong(raw *Raw, p Piece) {
	f, _, _ := c.envelope(raw.Buf[p.At : p.At+p.Len])
	if f == Docker && c.Envelope == AutoEnvelope {
		f = Bare // its JSON is cut off
	}
	emit(raw, f, p)
}

// add makes a record of a line, or a part of one. before is the place before the line.
func (c *Cutter) add(raw *Raw, line []byte, p Piece, before mark) {
	f, stream, partial := c.envelope(line)
	if f == Bare || stream < 0 || p.Skip > 0 {
		emit(raw, f, p)
		return
	}
	g := &c.groups[f-1][stream]
	switch {
	case len(*g) == 0 && !partial:
		emit(raw, f, p)
	case len(*g) == 0:
		if c.open == 0 {
			c.quiet = before
		}
		c.open++
		*g = append(*g, p)
	default:
		*g = append(*g, p)
		if !partial || len(*g) == maxGroup {
			c.close(raw, f, g)
		}
	}
}

// envelope tells the format of a line, which of the two streams it names (-1: none that lines are joined in), and
// whether it goes on in another line.
func (c *Cutter) envelope(line []byte) (f Format, stream int, partial bool) {
	switch first := line[0]; {
	case c.Envelope == NoEnvelope:
		return Bare, -1, false
	case first == '{' && c.Envelope != CRIEnvelope:
		if name, partial, ok := parseDocker(line); ok {
			return Docker, streamIndex(name), partial
		}
	case first-'0' <= 9 && c.Envelope != DockerEnvelope:
		if _, name, partial, _, ok := parseCRI(line); ok {
			return CRI, streamIndex(name), partial
		}
	}
	return Bare, -1, false
}

func streamIndex(name []byte) int {
	switch string(name) {
	case "stdout":
		return 0
	case "stderr":
		return 1
	}
	return -1
}

func (c *Cutter) close(raw *Raw, f Format, g *[]Piece) {
	emit(raw, f, *g...)
	*g = (*g)[:0]
	c.open--
}

// closeAll makes records of what has come of every open group, in the order of their first lines.
func (c *Cutter) closeAll(raw *Raw) {
	for c.open > 0 {
		var first *[]Piece
		var format Format
		for f := range c.groups {
			for s := range c.groups[f] {
				g := &c.groups[f][s]
				if len(*g) > 0 && (first == nil || (*g)[0].Offset < (*first)[0].Offset) {
					first, format = g, Format(f+1)
				}
			}
		}
		c.close(raw, format, first)
	}
}

// rollBack forgets what came since the last place with no group open.
func (c *Cutter) rollBack(raw *Raw) (consumed int, lines int64) {
	for f := range c.groups {
		for s := range c.groups[f] {
			c.groups[f][s] = c.groups[f][s][:0]
		}
	}
	c.open = 0
	raw.Cuts, raw.Pieces = raw.Cuts[:c.quiet.cuts], raw.Pieces[:c.quiet.pieces]
	return c.quiet.pos, c.quiet.lines
}

func emit(raw *Raw, f Format, pieces ...Piece) {
	raw.Cuts = append(raw.Cuts, Cut{
		Range: int32(len(raw.Ranges) - 1), First: int32(len(raw.Pieces)), Pieces: int32(len(pieces)), Format: f,
	})
	raw.Pieces = append(raw.Pieces, pieces...)
}

// trim leaves out what is no content at either end of a line: the NULs that a file has before the next write of a
// program that does not know that it was truncated, a byte-order mark, and the CR of a CRLF. A blank line has no content
// at all.
func trim(b []byte, lo, hi int) (int, int) {
	for lo < hi && b[lo] == 0 {
		lo++
	}
	if hi-lo >= 3 && b[lo] == 0xEF && b[lo+1] == 0xBB && b[lo+2] == 0xBF {
		lo += 3
	}
	if hi > lo && b[hi-1] == '\r' {
		hi--
	}
	if hi > lo && b[lo] <= ' ' && Blank(b[lo:hi]) {
		return lo, lo
	}
	return lo, hi
}

// Blank reports whether b is only ASCII white space and NULs, and so no record.
func Blank(b []byte) bool {
	for _, c := range b {
		switch c {
		case 0, ' ', '\t', '\r', '\n', '\v', '\f':
		default:
			return false
		}
	}
	return true
}

var (
	dockerHead   = []byte(`{"log":"`)
	dockerStream = []byte(`","stream":"`)
	dockerTime   = []byte(`"time":"`)
)

// parseDocker reads the frame of a line of Docker's json-file driver, which writes its keys in a fixed order. partial
// says that the log string does not end in a newline: the driver split it.
//
// The frame is looked for from the end, where it is found at once: inside the log string every quote has a backslash
// before it, so that the key cannot be met there.
func parseDocker(line []byte) (stream []byte, partial, ok bool) {
	if !bytes.HasPrefix(line, dockerHead) || line[len(line)-1] != '}' {
		return nil, false, false
	}
	i := bytes.LastIndex(line, dockerStream)
	if i < len(dockerHead) {
		return nil, false, false
	}
	rest := line[i+len(dockerStream):]
	j := bytes.IndexByte(rest, '"')
	if j < 0 || !bytes.Contains(rest[j:], dockerTime) {
		return nil, false, false
	}
	return rest[:j], !endsInNewline(line[len(dockerHead):i]), true
}

// endsInNewline reports whether the last character of a JSON string's content is \n: an n after an odd number of
// backslashes.
func endsInNewline(s []byte) bool {
	if len(s) == 0 || s[len(s)-1] != 'n' {
		return false
	}
	n := len(s) - 1
	for n > 0 && s[n-1] == '\\' {
		n--
	}
	return (len(s)-1-n)%2 == 1
}

// parseCRI reads a line of the Container Runtime Interface's logs: an RFC 3339 time, "stdout" or "stderr", tags of which
// the first is P (partial) or F (full), and the content, each after one space. The content may be missing. The slices are
// parts of line. The time is checked for its shape only.
func parseCRI(line []byte) (time, stream []byte, partial bool, content []byte, ok bool) {
	const least = len("2006-01-02T15:04:05Z stdout F")
	if len(line) < least || line[4] != '-' || line[7] != '-' || line[10] != 'T' || line[13] != ':' {
		return nil, nil, false, nil, false
	}
	i := bytes.IndexByte(line[:min(len(line), 48)], ' ')
	if i < len("2006-01-02T15:04:05Z") || len(line) < i+len(" stdout F") {
		return nil, nil, false, nil, false
	}
	time, rest := line[:i], line[i+1:]
	stream = rest[:6]
	if streamIndex(stream) < 0 || rest[6] != ' ' {
		return nil, nil, false, nil, false
	}
	rest = rest[7:]
	tags := rest
	if j := bytes.IndexByte(rest, ' '); j >= 0 {
		tags, content = rest[:j], rest[j+1:]
	}
	if len(tags) == 0 || tags[0] != 'P' && tags[0] != 'F' || len(tags) > 1 && tags[1] != ':' {
		return nil, nil, false, nil, false
	}
	return time, stream, tags[0] == 'P', content, true
}

// FormatOf tells the envelope of a record by its first line, as a Cutter with AutoEnvelope does.
func FormatOf(line []byte) Format {
	f, _, _ := (&Cutter{}).envelope(line)
	return f
}
