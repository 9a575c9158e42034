package ledger

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// A frame carries one entry:
//
//	marker [4] | length of the payload, u32 LE | checksum, u32 LE | payload: type [1], body
//
// The checksum is CRC-32C over the length and the payload, started with the frame's position in the file. So a frame
// is good only where it was written: neither a copied block nor a file name that looks like a frame is taken for one
// when the reader has to search.
const (
	marker    = "\xadLg\xf1"
	frameHead = 12
	maxFrame  = 1 << 28 // a length above it is damage, not a frame to wait for
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openFrame begins a frame at the end of buf and returns where.
func openFrame(buf []byte, typ byte) ([]byte, int) {
	at := len(buf)
	buf = append(buf, marker...)
	buf = append(buf, 0, 0, 0, 0, 0, 0, 0, 0, typ)
	return buf, at
}

// closeFrame sets the length of the frame that begins at at.
func closeFrame(buf []byte, at int) {
	binary.LittleEndian.PutUint32(buf[at+4:], uint32(len(buf)-at-frameHead))
}

// seal sets the checksums of the frames in buf, which will be written at pos.
func seal(buf []byte, pos int64) {
	for len(buf) > 0 {
		end := frameHead + int(binary.LittleEndian.Uint32(buf[4:]))
		binary.LittleEndian.PutUint32(buf[8:], checksum(pos, buf[:frameHead], buf[frameHead:end]))
		pos += int64(end)
		buf = buf[end:]
	}
}

func checksum(pos int64, head, payload []byte) uint32 {
	c := crc32.Update(uint32(pos), castagnoli, head[4:8])
	return crc32.Update(c, castagnoli, payload)
}

// A scanner finds the frames of a file through a window of it, so that a ledger of any size is read in little memory.
type scanner struct {
	r    io.ReaderAt
	size int64
	win  []byte
	at   int64 // of the window in the file
}

const (
	windowSize = 64 << 10
	sectorSize = 4 << 10
)

// bytes returns n bytes at off, or nil when the file ends before. They are valid until the next call.
func (s *scanner) bytes(off int64, n int) []byte {
	if n < 0 || off+int64(n) > s.size {
		return nil
	}
	if off < s.at || off+int64(n) > s.at+int64(len(s.win)) {
		s.load(off, int(min(max(int64(n), windowSize), s.size-off)))
	}
	return s.win[off-s.at:][:n:n]
}

// load fills the window. Sectors that the disk cannot read are taken as zeros: what was in them is damaged, and the
// rest of the file is not.
func (s *scanner) load(off int64, n int) {
	if cap(s.win) < n {
		s.win = make([]byte, n)
	}
	s.win, s.at = s.win[:n], off
	if got, _ := s.r.ReadAt(s.win, off); got == n {
		return
	}
	for i := 0; i < n; i += sectorSize {
		part := s.win[i:min(i+sectorSize, n)]
		if got, _ := s.r.ReadAt(part, off+int64(i)); got < len(part) {
			clear(part[got:])
		}
	}
}

// frame returns the payload of the frame at off and where the next one begins, and whether there is a good one.
func (s *scanner) frame(off int64) (payload []byte, next int64, ok bool) {
	n, ok := s.length(off)
	if !ok {
		return nil, 0, false
	}
	all := s.bytes(off, frameHead+n)
	if n == 0 || all == nil {
		return nil, 0, false
	}
	head, payload := all[:frameHead], all[frameHead:]
	if checksum(off, head, payload) != binary.LittleEndian.Uint32(head[8:]) {
		return nil, 0, false
	}
	return payload, off + int64(len(all)), true
}

// length returns what the frame at off says of its payload's length, and whether something like a frame begins there.
func (s *scanner) length(off int64) (int, bool) {
	head := s.bytes(off, frameHead)
	if head == nil || string(head[:4]) != marker {
		return 0, false
	}
	n := binary.LittleEndian.Uint32(head[4:])
	return int(n), n <= maxFrame
}

// resync returns where the first good frame at or after off begins; the size of the file when there is none.
func (s *scanner) resync(off int64) int64 {
	for off < s.size {
		chunk := s.bytes(off, int(min(windowSize, s.size-off)))
		i := bytes.Index(chunk, []byte(marker))
		if i < 0 {
			off += int64(max(len(chunk)-len(marker)+1, 1))
			continue
		}
		off += int64(i)
		if _, _, ok := s.frame(off); ok {
			return off
		}
		off++
	}
	return s.size
}

// torn reports whether what lies between off and the end of the file looks like a write that was cut short: less than
// a frame's head, a frame that goes on beyond the end, or a size that was grown with nothing written.
func (s *scanner) torn(off int64) bool {
	if s.size-off < frameHead {
		return true
	}
	if n, ok := s.length(off); ok {
		return off+frameHead+int64(n) > s.size
	}
	for ; off < s.size; off += windowSize {
		chunk := s.bytes(off, int(min(windowSize, s.size-off)))
		if len(bytes.TrimLeft(chunk, "\x00")) > 0 {
			return false
		}
	}
	return true
}
