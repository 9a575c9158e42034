// Package frame is the layout of the agent's append-only files: entries with a marker to search for after damage, and a
// checksum that is good in one place only.
//
// A frame carries one entry:
//
//	marker [4] | length of the payload, u32 LE | checksum, u32 LE | payload: type [1], body
//
// The checksum is CRC-32C over the length and the payload, started with the low 32 bits of the frame's position. So a frame
// is good only where it was written: neither a copied block nor text that looks like a frame is taken for one when the
// reader has to search.
package frame

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// Marker begins every frame.
const Marker = "\xadLg\xf1"

const (
	// Head is how many bytes come before a frame's payload.
	Head = 12
	// Window is how much of a file a Scanner holds, unless one frame is larger.
	Window = 64 << 10

	maxPayload = 1 << 28 // a length above it is damage, not a frame to wait for
	sectorSize = 4 << 10
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Open begins a frame at the end of buf and returns where.
func Open(buf []byte, typ byte) ([]byte, int) {
	at := len(buf)
	buf = append(buf, Marker...)
	buf = append(buf, 0, 0, 0, 0, 0, 0, 0, 0, typ)
	return buf, at
}

// Close sets the length of the frame that begins at at and ends with buf.
func Close(buf []byte, at int) {
	binary.LittleEndian.PutUint32(buf[at+4:], uint32(len(buf)-at-Head))
}

// Seal sets the checksums of the frames in buf, which will be written at pos.
func Seal(buf []byte, pos int64) {
	for len(buf) > 0 {
		end := Head + int(binary.LittleEndian.Uint32(buf[4:]))
		binary.LittleEndian.PutUint32(buf[8:], checksum(pos, buf[:Head], buf[Head:end]))
		pos += int64(end)
		buf = buf[end:]
	}
}

// Next returns the payload of the frame that buf begins with, which was written at pos, and the size of the whole frame.
// ok is false where there is no good one.
func Next(buf []byte, pos int64) (payload []byte, size int, ok bool) {
	n, ok := length(buf)
	if !ok || n == 0 || len(buf)-Head < n {
		return nil, 0, false
	}
	payload = buf[Head : Head+n]
	return payload, Head + n, checksum(pos, buf[:Head], payload) == binary.LittleEndian.Uint32(buf[8:])
}

// Size returns how long the frame that buf begins with says it is. ok is false where no frame begins.
func Size(buf []byte) (size int, ok bool) {
	n, ok := length(buf)
	return Head + n, ok
}

func checksum(pos int64, head, payload []byte) uint32 {
	c := crc32.Update(uint32(pos), castagnoli, head[4:8])
	return crc32.Update(c, castagnoli, payload)
}

// length returns what the frame at the beginning of buf says of its payload's length, and whether something like a frame
// begins there.
func length(buf []byte) (int, bool) {
	if len(buf) < Head || string(buf[:4]) != Marker {
		return 0, false
	}
	n := binary.LittleEndian.Uint32(buf[4:])
	return int(n), n <= maxPayload
}

// A Scanner finds the frames of a file through a window of it, so that one of any size is read in little memory. Offsets
// are places in the file.
type Scanner struct {
	R    io.ReaderAt
	Size int64 // of the file
	Base int64 // position of the file's first byte, for the checksums

	win []byte
	at  int64 // of the window in the file
}

// Bytes returns n bytes at off, or nil when the file ends before. They are valid until the next call.
func (s *Scanner) Bytes(off int64, n int) []byte {
	if n < 0 || off+int64(n) > s.Size {
		return nil
	}
	if off < s.at || off+int64(n) > s.at+int64(len(s.win)) {
		s.load(off, int(min(max(int64(n), Window), s.Size-off)))
	}
	return s.win[off-s.at:][:n:n]
}

// load fills the window. Sectors that the disk cannot read are taken as zeros: what was in them is damaged, and the
// rest of the file is not.
func (s *Scanner) load(off int64, n int) {
	if cap(s.win) < n {
		s.win = make([]byte, n)
	}
	s.win, s.at = s.win[:n], off
	if got, _ := s.R.ReadAt(s.win, off); got == n {
		return
	}
	for i := 0; i < n; i += sectorSize {
		part := s.win[i:min(i+sectorSize, n)]
		if got, _ := s.R.ReadAt(part, off+int64(i)); got < len(part) {
			clear(part[got:])
		}
	}
}

// Frame returns the payload of the frame at off and where the next one begins, and whether there is a good one. The
// payload is valid until the next call.
func (s *Scanner) Frame(off int64) (payload []byte, next int64, ok bool) {
	n, ok := length(s.Bytes(off, Head))
	if !ok {
		return nil, 0, false
	}
	payload, size, ok := Next(s.Bytes(off, Head+n), s.Base+off)
	if !ok {
		return nil, 0, false
	}
	return payload, off + int64(size), true
}

// Resync returns where the first good frame at or after off begins; the size of the file when there is none.
func (s *Scanner) Resync(off int64) int64 {
	for off < s.Size {
		chunk := s.Bytes(off, int(min(Window, s.Size-off)))
		i := bytes.Index(chunk, []byte(Marker))
		if i < 0 {
			off += int64(max(len(chunk)-len(Marker)+1, 1))
			continue
		}
		off += int64(i)
		if _, _, ok := s.Frame(off); ok {
			return off
		}
		off++
	}
	return s.Size
}

// Torn reports whether what lies between off and the end of the file looks like a write that was cut short: less than
// a frame's head, a frame that goes on beyond the end, or a size that was grown with nothing written.
func (s *Scanner) Torn(off int64) bool {
	if s.Size-off < Head {
		return true
	}
	if n, ok := length(s.Bytes(off, Head)); ok {
		return off+Head+int64(n) > s.Size
	}
	for ; off < s.Size; off += Window {
		chunk := s.Bytes(off, int(min(Window, s.Size-off)))
		if len(bytes.TrimLeft(chunk, "\x00")) > 0 {
			return false
		}
	}
	return true
}
