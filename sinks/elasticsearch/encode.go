package elasticsearch

import (
	"context"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/internal/tape"
	"github.com/truledgr/activity-agent/pipeline"
)

// A slot is the memory of one Write under way: the request's body, the answer, and lists of records. Slots are reused.
type slot struct {
	target target
	names  names
	due    []int // records to send, by place in the batch
	taken  []int // of these, those whose given id another document has
	body   []byte
	zip    *gzip.Writer // nil for none
	answer []byte
	tape   tape.Tape
	line   []byte
}

func newSlot(c Config) *slot {
	s := new(slot)
	if c.Compression == "gzip" {
		s.zip, _ = gzip.NewWriterLevel(nil, c.CompressionLevel) // the level has been validated
	}
	return s
}

// Write appends to the body; it makes slot an io.Writer for the compressor.
func (s *slot) Write(p []byte) (int, error) {
	s.body = append(s.body, p...)
	return len(p), nil
}

// encode makes the body of a bulk request from the first of the records in due, as many as fit into limit bytes before
// compression, and at least one. It returns how many, and their size.
//
// Documents go from the batch into the body, or into the compressor, without a stop in between.
func (s *slot) encode(b *pipeline.Batch, due []int, limit int) (n, size int) {
	s.body = s.body[:0]
	var w io.Writer = s
	if s.zip != nil {
		s.zip.Reset(s)
		w = s.zip
	} else {
		s.body = slices.Grow(s.body, min(limit, b.Bytes()))
	}
	for _, i := range due {
		r := &b.Records[i]
		doc := b.Doc(i)
		s.line = append(s.line[:0], `{"create":{"_index":"`...)
		s.line = append(s.line, s.names.of(s.target, r.Kind, r.Time)...)
		s.line = append(s.line, `","_id":"`...)
		at := len(s.line)
		s.line = append(s.line, make([]byte, ulid.EncodedSize)...)
		_ = r.ID.MarshalTextTo(s.line[at:]) // fails for a short buffer alone
		s.line = append(s.line, "\"}}\n"...)
		more := len(s.line) + len(doc) + 1
		if n > 0 && size+more > limit {
			break
		}
		// Neither writer fails: both end in memory.
		_, _ = w.Write(s.line)
		_, _ = w.Write(doc)
		_, _ = w.Write(newline)
		n, size = n+1, size+more
	}
	if s.zip != nil {
		_ = s.zip.Close()
	}
	return n, size
}

var newline = []byte{'\n'}

// A body hands the bytes of a request to net/http, which may go on reading after it has returned: until it calls Close,
// they must not change.
type body struct {
	bytes  []byte
	at     int
	open   *atomic.Int32 // bodies of the request that are not closed
	closed atomic.Bool
}

func newBody(b []byte, open *atomic.Int32) *body {
	open.Add(1)
	return &body{bytes: b, open: open}
}

func (b *body) Read(p []byte) (int, error) {
	if b.at == len(b.bytes) {
		return 0, io.EOF
	}
	n := copy(p, b.bytes[b.at:])
	b.at += n
	return n, nil
}

func (b *body) Close() error {
	if !b.closed.Swap(true) {
		b.open.Add(-1)
	}
	return nil
}

// A conn writes the bodies of requests as they lie in memory. net/http would copy them through a buffer of 32 KiB, since it
// puts a limit around a body of known length.
type conn struct{ *net.TCPConn }

// ReadFrom is what net/http hands the body of a request to.
func (c conn) ReadFrom(r io.Reader) (int64, error) {
	l, limited := r.(*io.LimitedReader)
	if !limited {
		return c.TCPConn.ReadFrom(r)
	}
	b, ours := l.R.(*body)
	if !ours {
		return c.TCPConn.ReadFrom(r)
	}
	rest := b.bytes[b.at:]
	n, err := c.Write(rest[:min(int64(len(rest)), l.N)])
	b.at += n
	l.N -= int64(n)
	return int64(n), err
}

// dial opens a conn.
func dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, network, address)
	if tcp, ok := c.(*net.TCPConn); ok {
		return conn{tcp}, err
	}
	return c, err
}
