package pipeline

import (
	"bytes"
	"unicode/utf8"

	"github.com/truledgr/activity-agent/internal/tape"
)

// decode takes the envelope off a record, repairs its text and parses it. What it finds is in p.rec.
func (p *Pipeline) decode(raw *Raw, c Cut) {
	r := &p.rec
	r.scratch, r.flags, r.stream = r.scratch[:0], recordFlags{}, ""
	r.reading.reset()
	pieces := raw.Pieces[c.First : c.First+c.Pieces]
	for i := range pieces {
		r.flags.truncated = r.flags.truncated || pieces[i].Skip > 0
	}
	var content []byte
	switch c.Format {
	case Docker, DockerLines:
		content = p.unwrapDocker(raw, pieces)
	case CRI, CRILines:
		content = p.unwrapCRI(raw, pieces)
	default:
		content = p.bare(raw, pieces)
	}
	r.content = p.repair(bytes.TrimSpace(content))
	r.flags.trace = len(pieces) > 1 && c.Format.lines()
	p.parse()
}

// bare returns the bytes of a record without envelope: in place if it is one line.
func (p *Pipeline) bare(raw *Raw, pieces []Piece) []byte {
	if len(pieces) == 1 {
		return line(raw, pieces[0])
	}
	r := &p.rec
	for i, piece := range pieces {
		if i > 0 {
			r.scratch = append(r.scratch, '\n')
		}
		r.scratch = append(r.scratch, line(raw, piece)...)
	}
	return r.scratch
}

// line returns the bytes of a piece. Of one that was cut at the limit of its length the last word is left out: it may be
// the first half of a secret, which no detector knows.
func line(raw *Raw, piece Piece) []byte {
	b := raw.Buf[piece.At : piece.At+piece.Len]
	if piece.Skip > 0 {
		b = b[:lastWord(b)]
	}
	return b
}

// Limits of what is left out at a cut: the longest word, and the groups of digits or capitals before it, such as those of
// a card's number or an IBAN.
const (
	maxCutWord  = 16 << 10
	maxCutGroup = 6
	maxGroups   = 10
)

// lastWord returns where the last word of a text begins.
func lastWord(b []byte) int {
	least := max(0, len(b)-maxCutWord)
	i := len(b)
	for i > least && b[i-1] > ' ' {
		i--
	}
	for range maxGroups {
		end := i
		for end > 0 && (b[end-1] == ' ' || b[end-1] == '\t') {
			end--
		}
		start := end
		for start > 0 && end-start <= maxCutGroup && numbering(b[start-1]) {
			start--
		}
		if start == end || end-start > maxCutGroup || start > 0 && b[start-1] > ' ' && b[start-1] != '"' {
			break
		}
		i = start
	}
	return i
}

func numbering(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || c == '-' || c == '+'
}

// unwrapDocker joins the log members of json-file lines. A line that is no envelope after all is taken as it is.
func (p *Pipeline) unwrapDocker(raw *Raw, pieces []Piece) []byte {
	r := &p.rec
	for i, piece := range pieces {
		src := line(raw, piece)
		var log, stamp, stream uint32
		if utf8.Valid(src) && r.tape.Parse(src) == nil {
			log, stamp, stream = r.tape.Member(0, "log"), r.tape.Member(0, "time"), r.tape.Member(0, "stream")
		}
		if log == 0 || r.tape.Nodes[log].Type != tape.String {
			r.scratch = append(r.scratch, src...)
			continue
		}
		r.scratch = tape.AppendUnescaped(r.scratch, r.tape.Raw(&r.tape.Nodes[log]))
		if i > 0 {
			continue
		}
		if stamp != 0 {
			r.reading.envelopeTime, r.reading.enveloped = parseTime(r.tape.Raw(&r.tape.Nodes[stamp]))
		}
		if stream != 0 {
			r.stream = streamName(r.tape.Raw(&r.tape.Nodes[stream]))
		}
	}
	return r.scratch
}

// unwrapCRI joins the contents of CRI lines.
func (p *Pipeline) unwrapCRI(raw *Raw, pieces []Piece) []byte {
	r := &p.rec
	whole := false
	for i, piece := range pieces {
		if whole {
			r.scratch = append(r.scratch, '\n')
		}
		src := line(raw, piece)
		stamp, stream, partial, content, ok := parseCRI(src)
		whole = ok && !partial
		if !ok {
			r.scratch = append(r.scratch, src...)
			continue
		}
		if i == 0 {
			r.reading.envelopeTime, r.reading.enveloped = parseTime(stamp)
			r.stream = streamName(stream)
		}
		if len(pieces) == 1 {
			return content
		}
		r.scratch = append(r.scratch, content...)
	}
	return r.scratch
}

// streamName lets only the two names through that an envelope can carry.
func streamName(b []byte) string {
	switch string(b) {
	case "stdout":
		return "stdout"
	case "stderr":
		return "stderr"
	}
	return ""
}

// repair replaces what is not UTF-8 by U+FFFD, so that every store takes the text.
func (p *Pipeline) repair(b []byte) []byte {
	if utf8.Valid(b) {
		return b
	}
	r := &p.rec
	r.flags.invalidUTF8 = true
	at := len(r.scratch)
	for len(b) > 0 {
		c, n := utf8.DecodeRune(b)
		r.scratch = utf8.AppendRune(r.scratch, c)
		b = b[n:]
	}
	return r.scratch[at:]
}

// parse makes the tape of the content; what is no JSON stays text.
func (p *Pipeline) parse() {
	r := &p.rec
	if r.flags.truncated || len(r.content) == 0 || !beginsJSON(r.content[0]) || r.tape.Parse(r.content) != nil {
		r.flags.text = true
		return
	}
	if r.tape.Nodes[0].Type == tape.Object {
		r.reading.scan(&r.tape, 0, inLine, 0)
	}
}

func beginsJSON(c byte) bool {
	switch c {
	case '{', '[', '"', '-', 't', 'f', 'n':
		return true
	}
	return '0' <= c && c <= '9'
}
