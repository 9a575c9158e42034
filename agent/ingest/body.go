package ingest

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Errors of reading a body.
var (
	errTooLarge   = errors.New("the body is too large")
	errTooMany    = errors.New("too many records in one request")
	errSlow       = errors.New("the body did not come in time")
	errCut        = errors.New("the body ended before its time")
	errEncoding   = errors.New("the content encoding is not known")
	errNotGzip    = errors.New("the body is not valid gzip")
	errNoMemory   = errors.New("too many large requests at once")
	memoryPatient = 5 * time.Second
)

// smallBody is the size up to which bodies have memory of their own for each connection. More is taken from a common
// budget.
const smallBody = 8 << 10

// bodies reads bodies within limits.
type bodies struct {
	max    int64
	budget int64
	sem    *semaphore.Weighted // of bytes beyond smallBody
	pool   sync.Pool           // of *[]byte with smallBody bytes
	large  sync.Pool           // of *[]byte with more
	zips   sync.Pool           // of *gzip.Reader
}

// newBodies allows bodies of up to maxBody bytes, and four of them at once.
func newBodies(maxBody int) *bodies {
	b := &bodies{max: int64(maxBody), budget: 4 * int64(maxBody)}
	b.sem = semaphore.NewWeighted(b.budget)
	b.pool.New = func() any {
		buf := make([]byte, 0, smallBody)
		return &buf
	}
	return b
}

// A body is the bytes of one request, and the share of the budget that they take.
type body struct {
	owner *bodies
	small *[]byte
	bytes []byte
	share int64
}

// read reads the body of a request to its end.
func (bs *bodies) read(r *http.Request) (*body, error) {
	if r.ContentLength > bs.max && r.Header.Get("Content-Encoding") == "" {
		return nil, errTooLarge
	}
	b := &body{owner: bs, small: bs.pool.Get().(*[]byte)}
	b.bytes = (*b.small)[:0]
	src, done, err := bs.decoded(r)
	if err == nil {
		err = b.fill(r.Context(), src, r.ContentLength)
		done()
	}
	if err != nil {
		b.release()
		return nil, err
	}
	return b, nil
}

// decoded takes the content encoding off.
func (bs *bodies) decoded(r *http.Request) (src io.Reader, done func(), err error) {
	switch strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))) {
	case "", "identity":
		return r.Body, func() {}, nil
	case "gzip":
	default:
		return nil, nil, errEncoding
	}
	z, _ := bs.zips.Get().(*gzip.Reader)
	if z == nil {
		z = new(gzip.Reader)
	}
	// What is compressed may not be larger than what may come out of it.
	if err := z.Reset(io.LimitReader(r.Body, bs.max)); err != nil {
		return nil, nil, gzipError(err)
	}
	return zipped{z}, func() { bs.zips.Put(z) }, nil
}

// zipped names the errors of a gzip stream.
type zipped struct{ z *gzip.Reader }

func (r zipped) Read(p []byte) (int, error) {
	n, err := r.z.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = gzipError(err)
	}
	return n, err
}

func gzipError(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return errNotGzip
}

// fill reads all of src.
func (b *body) fill(ctx context.Context, src io.Reader, length int64) error {
	if length > smallBody {
		if err := b.grow(ctx, length); err != nil {
			return err
		}
	}
	for {
		if len(b.bytes) == cap(b.bytes) {
			if err := b.grow(ctx, 2*int64(cap(b.bytes))); err != nil {
				return err
			}
		}
		n, err := src.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case int64(len(b.bytes)) > b.owner.max:
			return errTooLarge
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, os.ErrDeadlineExceeded):
			return errSlow
		case errors.Is(err, errNotGzip):
			return err
		case err != nil:
			return errCut
		}
	}
}

// grow makes room for size bytes, of the common budget. A declared length is believed a little only: who sends slowly must
// not keep memory from others.
func (b *body) grow(ctx context.Context, size int64) error {
	size = min(size, b.owner.max+1, max(4*int64(cap(b.bytes)), 256<<10))
	ctx, cancel := context.WithTimeout(ctx, memoryPatient)
	defer cancel()
	if err := b.owner.sem.Acquire(ctx, min(size-b.share, b.owner.budget)); err != nil {
		return errNoMemory
	}
	b.share = size
	var grown []byte
	if spare, _ := b.owner.large.Get().(*[]byte); spare != nil && int64(cap(*spare)) >= size && int64(cap(*spare)) <= 2*size {
		grown = (*spare)[:0]
	} else {
		grown = make([]byte, 0, size)
	}
	b.bytes = append(grown, b.bytes...)
	return nil
}

// release gives the memory back.
func (b *body) release() {
	b.owner.pool.Put(b.small)
	if b.share > 0 {
		spare := b.bytes
		b.owner.large.Put(&spare)
		b.owner.sem.Release(b.share)
	}
	b.small, b.bytes, b.share = nil, nil, 0
}
