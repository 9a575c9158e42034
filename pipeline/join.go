package pipeline

import (
	"bytes"

	"github.com/truledgr/activity-agent/internal/tape"
)

// Envelope says which envelope the lines of a file may come in.
type Envelope uint8

// The envelopes of files[].format.
const (
	AutoEnvelope   Envelope = iota // told line by line
	NoEnvelope                     // every line is the event
	DockerEnvelope                 // Docker's json-file driver
	CRIEnvelope                    // Kubernetes
)

// maxGroup is how many lines are joined into one record at most.
const maxGroup = 4096

// maxApart is how many lines of its file may lie between two lines of a trace: lines of the other output, where an
// envelope tells the two apart.
const maxApart = 64

// A Cutter finds the records in the bytes of a stream.
//
// It keeps nothing from one call to the next but its scratch space, so that where a stream is cut depends on its bytes
// alone, never on how they were read: with one exception, which is Settled. A Cutter is not safe for concurrent use.
type Cutter struct {
	Envelope Envelope
	// MaxLine is how many bytes of a line are kept. It also bounds how far the lines of one record may lie apart. At
	// least 1.
	MaxLine int
	// Traces has the lines of a stack trace joined into one record, with the line of text before it. For that every line
	// of text waits for the next line.
	Traces bool
	// Settled is an offset of the stream: the lines before it came long ago, and no line of text among them waits for
	// another that comes behind it. 0 has all of them wait.
	Settled int64
	// Waiting is set by Cut: what it did not consume begins with a line of text that waits for the next.
	Waiting bool

	off     int64 // of the stream where the bytes begin
	lanes   [lanes]group
	open    int   // how many of them are
	quiet   mark  // the last place where no record goes on
	reach   int64 // offset of the last line of a record since then; -1 if there is none
	scratch []byte
}

// A lane is what lines are joined in: no envelope, or one of the two streams of an envelope.
const lanes = 5

func laneOf(f Format, stream int) int {
	switch {
	case f == Bare:
		return 0
	case stream < 0:
		return -1
	}
	return 1 + 2*int(f-Docker) + stream
}

func formatOf(lane int) Format {
	if lane == 0 {
		return Bare
	}
	return Docker + Format((lane-1)/2)
}

// A group is the lines of a record that may not be complete.
type group struct {
	pieces []Piece
	starts []mark // where the line of each begins
	text   bool   // whole lines of text, perhaps a trace; else the parts of one line
	trace  trace
	firm   int // so many of the pieces belong together for certain
}

// A mark is a place between two lines.
type mark struct {
	pos          int
	lines        int64
	cuts, pieces int // of a place where a range may end: what came before it
}

// Cut appends to raw the records that are complete in its bytes [at, at+n), which begin at offset off of the stream and
// at the beginning of a line. It returns how many of the bytes it is done with, always whole lines, and how many lines
// those are. The caller offers the rest again, with more behind it. The cuts belong to the last of raw.Ranges.
//
// A line is complete when its newline is there, and a record when none of its lines waits for another. If final is set,
// nothing will ever follow: what is there is complete.
//
// Nothing is consumed only if the first record is incomplete; if then n > MaxLine, that record is a single line, longer
// than the limit: see CutLong.
func (c *Cutter) Cut(raw *Raw, at, n int, off int64, final bool) (consumed int, lines int64) {
	buf := raw.Buf[at : at+n]
	c.off = off
	c.rest(raw, mark{})
	settled, waits := c.Settled-off, c.Traces && c.Settled > off
	pos := 0
	for pos < n {
		end, next := n, n
		i := bytes.IndexByte(buf[pos:], '\n')
		if i >= 0 {
			end, next = pos+i, pos+i+1
		}
		if waits && int64(pos) >= settled {
			waits = false
			c.closeText(raw)
		}
		if c.open > 0 && next-c.quiet.pos > c.MaxLine {
			c.closeAll(raw)
		}
		if i < 0 && !final {
			break
		}
		if c.open == 0 {
			c.rest(raw, mark{pos: pos, lines: lines})
		}
		if lo, hi := trim(buf, pos, end); lo < hi {
			p := Piece{Offset: off + int64(lo), At: int32(at + lo), Len: int32(hi - lo)}
			if over := hi - lo - c.MaxLine; over > 0 {
				p.Len, p.Skip = int32(c.MaxLine), int64(over)
			}
			c.add(raw, buf[lo:hi], p, mark{pos: pos, lines: lines})
		} else if g := &c.lanes[0]; len(g.pieces) > 0 && (len(g.pieces) > g.firm || !g.trace.blank()) {
			c.close(raw, 0)
		}
		lines++
		pos = next
	}
	if waits && int64(pos) >= settled {
		c.closeText(raw)
	}
	if c.open > 0 && final {
		c.closeAll(raw)
	}
	c.Waiting = false
	if c.open > 0 {
		return c.rollBack(raw)
	}
	return pos, lines
}

// rest notes that no record goes on over place m.
func (c *Cutter) rest(raw *Raw, m mark) {
	m.cuts, m.pieces = len(raw.Cuts), len(raw.Pieces)
	c.quiet, c.reach = m, -1
}

// advance makes the beginning of the first open record the quiet place, if no record that is cut lies behind it.
func (c *Cutter) advance(raw *Raw) {
	var first *group
	for i := range c.lanes {
		if g := &c.lanes[i]; len(g.pieces) > 0 && (first == nil || g.pieces[0].Offset < first.pieces[0].Offset) {
			first = g
		}
	}
	if first != nil && c.reach < first.pieces[0].Offset {
		c.rest(raw, first.starts[0])
	}
}

// CutLong appends the record of one line of which only the beginning is kept: p is the whole line without its line end,
// p.Skip bytes of it left out. The Cut belongs to the last of raw.Ranges.
func (c *Cutter) CutLong(raw *Raw, p Piece) {
	f, _, _, _ := c.envelope(raw.Buf[p.At : p.At+p.Len])
	if f == Docker && c.Envelope == AutoEnvelope {
		f = Bare // its JSON is cut off
	}
	c.emit(raw, f, p)
}

// add makes a record of a line, or a part of one. start is the place before the line.
func (c *Cutter) add(raw *Raw, line []byte, p Piece, start mark) {
	f, stream, partial, content := c.envelope(line)
	lane := laneOf(f, stream)
	if c.Traces && c.open > 0 {
		c.closeFar(raw, start.lines)
	}
	if lane < 0 {
		c.emit(raw, f, p)
		return
	}
	g := &c.lanes[lane]
	switch {
	case len(g.pieces) > 0 && !g.text && p.Skip == 0:
		c.push(g, p, start)
		if !partial || len(g.pieces) == maxGroup {
			c.close(raw, lane)
		}
	case c.Traces && p.Skip == 0 && !partial && (len(content) == 0 || content[0] != '{') && (len(g.pieces) == 0 || g.text):
		c.follow(raw, lane, p, start)
	default:
		if g.text {
			c.close(raw, lane)
		}
		if !partial || p.Skip > 0 {
			c.emit(raw, f, p)
			break
		}
		c.push(g, p, start)
	}
	if c.open > 0 {
		c.advance(raw)
	}
}

// follow adds a whole line of text to the record of its lane, or begins another with it.
func (c *Cutter) follow(raw *Raw, lane int, p Piece, start mark) {
	g := &c.lanes[lane]
	for len(g.pieces) > 0 {
		content := c.text(raw, p)
		waiting := len(g.pieces) - g.firm
		how := apart
		switch {
		case len(g.pieces) == maxGroup:
		case len(content) > 0:
			text := g.trace.at == afterText
			if how = g.trace.next(content, waiting); text && how != apart && calm(c.text(raw, g.pieces[0])) {
				how = apart
			}
		case waiting == g.trace.blanks && g.trace.blank():
			how = perhaps
		}
		switch how {
		case joined:
			c.push(g, p, start)
			g.firm = len(g.pieces)
			return
		case perhaps:
			c.push(g, p, start)
			return
		}
		c.cutOff(raw, lane)
	}
	content := c.text(raw, p)
	if len(content) == 0 {
		c.emit(raw, formatOf(lane), p)
		return
	}
	c.push(g, p, start)
	g.text, g.trace, g.firm = true, beginTrace(content), 1
}

// text returns what is in the envelope of a line; nothing if that is blank.
func (c *Cutter) text(raw *Raw, p Piece) []byte {
	_, _, _, content := c.envelope(raw.Buf[p.At : p.At+p.Len])
	if Blank(content) {
		return nil
	}
	return content
}

func (c *Cutter) push(g *group, p Piece, start mark) {
	if len(g.pieces) == 0 {
		c.open++
	}
	g.pieces, g.starts = append(g.pieces, p), append(g.starts, start)
}

// cutOff makes a record of those lines of a lane that belong together for certain. What may have belonged to them begins
// anew.
func (c *Cutter) cutOff(raw *Raw, lane int) {
	g := &c.lanes[lane]
	f := formatOf(lane)
	if g.firm > 1 && f != Bare {
		f += DockerLines - Docker
	}
	c.emit(raw, f, g.pieces[:g.firm]...)
	var pieces [maxPerhaps + maxBlanks + 1]Piece
	var starts [len(pieces)]mark
	n := copy(pieces[:], g.pieces[g.firm:])
	copy(starts[:], g.starts[g.firm:])
	c.drop(g)
	for i := range n {
		c.follow(raw, lane, pieces[i], starts[i])
	}
}

func (c *Cutter) drop(g *group) {
	if len(g.pieces) > 0 {
		c.open--
	}
	g.pieces, g.starts, g.text, g.trace = g.pieces[:0], g.starts[:0], false, trace{}
}

// close makes records of what has come of a lane.
func (c *Cutter) close(raw *Raw, lane int) {
	g := &c.lanes[lane]
	for g.text {
		c.cutOff(raw, lane)
	}
	if len(g.pieces) > 0 {
		c.emit(raw, formatOf(lane), g.pieces...)
		c.drop(g)
	}
}

// closeAll makes records of what has come of every open group, in the order of their first lines.
func (c *Cutter) closeAll(raw *Raw) {
	for c.open > 0 {
		first := -1
		for lane := range c.lanes {
			if g := &c.lanes[lane]; len(g.pieces) > 0 && (first < 0 || g.pieces[0].Offset < c.lanes[first].pieces[0].Offset) {
				first = lane
			}
		}
		c.close(raw, first)
	}
}

// closeText is closeAll for lines of text alone.
func (c *Cutter) closeText(raw *Raw) {
	for lane := range c.lanes {
		if c.lanes[lane].text {
			c.close(raw, lane)
		}
	}
}

// closeFar closes lanes of text that many lines of other lanes have followed. line is the number of the line that comes.
func (c *Cutter) closeFar(raw *Raw, line int64) {
	for lane := range c.lanes {
		if g := &c.lanes[lane]; g.text && line-g.starts[len(g.starts)-1].lines > maxApart {
			c.close(raw, lane)
		}
	}
}

// rollBack forgets what came since the last place with no group open.
func (c *Cutter) rollBack(raw *Raw) (consumed int, lines int64) {
	c.Waiting = true
	for lane := range c.lanes {
		if g := &c.lanes[lane]; len(g.pieces) > 0 {
			c.Waiting = c.Waiting && g.text
			c.drop(g)
		}
	}
	raw.Cuts, raw.Pieces = raw.Cuts[:c.quiet.cuts], raw.Pieces[:c.quiet.pieces]
	return c.quiet.pos, c.quiet.lines
}

func (c *Cutter) emit(raw *Raw, f Format, pieces ...Piece) {
	raw.Cuts = append(raw.Cuts, Cut{
		Range: int32(len(raw.Ranges) - 1), First: int32(len(raw.Pieces)), Pieces: int32(len(pieces)), Format: f,
	})
	raw.Pieces = append(raw.Pieces, pieces...)
	c.reach = max(c.reach, pieces[len(pieces)-1].Offset)
}

// envelope tells the format of a line, which of the two streams it names (-1: none that lines are joined in), whether it
// goes on in another line, and what is in the envelope: only where that is wanted, to join traces.
func (c *Cutter) envelope(line []byte) (f Format, stream int, partial bool, content []byte) {
	switch first := line[0]; {
	case c.Envelope == NoEnvelope:
	case first == '{' && c.Envelope != CRIEnvelope:
		if name, log, ok := parseDocker(line); ok {
			partial = !endsInNewline(log)
			if c.Traces && !partial && (len(log) == 0 || log[0] != '{') {
				c.scratch = tape.AppendUnescaped(c.scratch[:0], log)
				content = bytes.TrimRight(c.scratch, "\r\n")
			} else {
				content = log
			}
			return Docker, streamIndex(name), partial, content
		}
	case first-'0' <= 9 && c.Envelope != DockerEnvelope:
		if _, name, partial, content, ok := parseCRI(line); ok {
			return CRI, streamIndex(name), partial, content
		}
	}
	return Bare, -1, false, line
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

// parseDocker reads the frame of a line of Docker's json-file driver, which writes its keys in a fixed order. log is what
// the log string holds, escaped as it is; without a newline at its end the driver split the line.
//
// The frame is looked for from the end, where it is found at once: inside the log string every quote has a backslash
// before it, so that the key cannot be met there.
func parseDocker(line []byte) (stream, log []byte, ok bool) {
	if !bytes.HasPrefix(line, dockerHead) || line[len(line)-1] != '}' {
		return nil, nil, false
	}
	i := bytes.LastIndex(line, dockerStream)
	if i < len(dockerHead) {
		return nil, nil, false
	}
	rest := line[i+len(dockerStream):]
	j := bytes.IndexByte(rest, '"')
	if j < 0 || !bytes.Contains(rest[j:], dockerTime) {
		return nil, nil, false
	}
	return rest[:j], line[len(dockerHead):i], true
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

// FormatOf tells the format of a record by its first line and how many pieces it has, as a Cutter with AutoEnvelope does.
func FormatOf(line []byte, pieces int) Format {
	f, _, partial, _ := (&Cutter{}).envelope(line)
	if f != Bare && pieces > 1 && !partial {
		f += DockerLines - Docker
	}
	return f
}
