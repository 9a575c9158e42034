package tail

import (
	"errors"
	"io"
	"io/fs"
	"os"
)

// A content is what an open file says, at offsets that stay: its bytes, or what they decompress to.
type content struct {
	fd  *os.File
	arc *archive // nil: the bytes as they are
}

// openContent opens a regular file and looks whether it is compressed. It does not block on what only looks like a file.
func (u *unpacker) openContent(path string) (*content, error) {
	fd, err := openFile(path)
	if err != nil {
		return nil, err
	}
	c := &content{fd: fd}
	fi, err := fd.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = errNotRegular
	}
	if err == nil {
		err = c.sniff(u)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// sniff tells by the first bytes, never by the name, whether the file is compressed.
func (c *content) sniff(u *unpacker) error {
	c.release()
	c.arc = nil
	var magic [10]byte
	n, err := c.fd.ReadAt(magic[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	packing, err := packingOf(magic[:n])
	if err == nil && packing != notPacked {
		c.arc = newArchive(c.fd, packing, u)
	}
	return err
}

// ReadAt reads of the content.
func (c *content) ReadAt(b []byte, off int64) (int, error) {
	if c.arc != nil {
		return c.arc.ReadAt(b, off)
	}
	return c.fd.ReadAt(b, off)
}

// Stat describes the file as it is on disk.
func (c *content) Stat() (fs.FileInfo, error) { return c.fd.Stat() }

// Close ends all reading.
func (c *content) Close() {
	c.release()
	_ = c.fd.Close()
}

// release gives back what decompressing holds. Reading on begins at the beginning again.
func (c *content) release() {
	if c.arc != nil {
		c.arc.release()
	}
}

// A packing is a way to compress.
type packing uint8

const (
	notPacked packing = iota
	gzipped
	zstandard
	packings
)

// errPacked says that a file is compressed in a way that is not read.
var errPacked = errors.New("is compressed in a way that the agent does not read (it reads gzip and zstd); " +
	"compress it anew, or take it out with files[].exclude")

// packingOf tells how a file is compressed from its first bytes: RFC 1952 for gzip, RFC 8878 for zstd, whose files may
// begin with a frame to be skipped.
func packingOf(magic []byte) (packing, error) {
	begins := func(s string) bool { return len(magic) >= len(s) && string(magic[:len(s)]) == s }
	switch {
	case begins("\x1f\x8b\x08"):
		return gzipped, nil
	case begins("\x28\xb5\x2f\xfd"), len(magic) >= 4 && magic[0]&0xf0 == 0x50 && string(magic[1:4]) == "\x2a\x4d\x18":
		return zstandard, nil
	case begins("BZh") && len(magic) >= 10 && string(magic[4:10]) == "1AY&SY", begins("\xfd7zXZ\x00"), begins("\x04\x22\x4d\x18"),
		begins("PK\x03\x04"):
		return notPacked, errPacked
	}
	return notPacked, nil
}
