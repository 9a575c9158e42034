package tail

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"

	"github.com/truledgr/activity-agent/activity"
)

// beginBytes is how much of a first line tells files apart.
const beginBytes = 1024

const (
	datePattern = `[-._]\d{4}-?\d{2}-?\d{2}(?:[-T_.]?\d{2}(?:[-:.]?\d{2}(?:[-:.]?\d{2}(?:[.,]\d{1,9})?)?)?Z?)?`
	copyPattern = `[-_ ]copy(?: ?\d+)?| ?\(\d+\)`
)

var (
	// tailSuffix is what rotation, compression and people put behind a name.
	tailSuffix = regexp.MustCompile(`(?:\.(?:gz|zst|zstd|bz2|xz|lz4)|\.(?:old|bak|orig|copy|save|prev|backup)|~|` +
		copyPattern + `|\.\d{1,6}|-\d{10}|` + datePattern + `)$`)
	packedSuffix = regexp.MustCompile(`\.(?:gz|zst|zstd)$`)
	// middleSuffix is what they put before the extension.
	middleSuffix = regexp.MustCompile(`(?:\.\d{1,3}|` + copyPattern + `|` + datePattern + `)$`)
	// handSuffix is what people put there, not programs: such a file is a copy.
	handSuffix = regexp.MustCompile(`(?i)(?:\.(?:bak|orig|copy|save|backup)|~|` + copyPattern + `)(?:\.[a-z0-9]+)?$`)
	extension  = regexp.MustCompile(`\.(?:log|json|ndjson|jsonl|txt|out|err)$`)
)

// stemOf returns a base name without what a rotation adds to it.
func stemOf(base string) string {
	stem := cutSuffixes(tailSuffix, base)
	if ext := extension.FindString(stem); ext != "" {
		stem = cutSuffixes(middleSuffix, strings.TrimSuffix(stem, ext)) + ext
	}
	return stem
}

func cutSuffixes(suffix *regexp.Regexp, name string) string {
	for {
		at := suffix.FindStringIndex(name)
		if at == nil || at[0] == 0 {
			return name
		}
		name = name[:at[0]]
	}
}

// A family is the files that one application writes into one log: one after the other, by rotation.
type family struct{ dir, stem string }

func familyOf(path string) family {
	return family{filepath.Dir(path), stemOf(filepath.Base(path))}
}

// rotated reports whether the name of path has what a rotation adds.
func rotated(path string) bool {
	base := filepath.Base(path)
	return stemOf(base) != base
}

// generation is how many rotations the name of path tells of, as far as it counts them: 10 for app.log.10, 0 for app.log.
// It orders files that were written at the same time.
func generation(path string) int {
	if n, err := strconv.Atoi(strings.TrimPrefix(filepath.Ext(path), ".")); err == nil {
		return n
	}
	if rotated(path) {
		return 1
	}
	return 0
}

// streamID derives the id of a stream: 128 bits of SHA-256 over its directory, stem, begin and ordinal, each text after
// its length.
func streamID(fam family, begin [16]byte, ordinal uint32) activity.StreamID {
	b := make([]byte, 0, 256)
	for _, s := range []string{fam.dir, fam.stem} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	b = append(b, begin[:]...)
	b = binary.BigEndian.AppendUint32(b, ordinal)
	sum := sha256.Sum256(b)
	return activity.StreamID(sum[:16])
}

// beginOf is the keyed hash of the first line of r, at most 1 KiB of it and without its line end, and how long that line
// is. ok is false while that line is incomplete; if final is set, what is there is the line, unless there is nothing.
func beginOf(key []byte, r io.ReaderAt, final bool) (begin [16]byte, size int64, ok bool, err error) {
	var head [beginBytes + 1]byte
	n, err := r.ReadAt(head[:], 0)
	if err != nil && err != io.EOF {
		return begin, 0, false, err
	}
	line := head[:n]
	size = int64(n)
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line, size = line[:i], int64(i)+1
	} else if n < beginBytes && (!final || n == 0) {
		return begin, 0, false, nil
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(line[:min(len(line), beginBytes)])
	return [16]byte(mac.Sum(nil)), size, true, nil
}

// tailMatches reports whether the n bytes before offset off of r hash to sum.
func tailMatches(r io.ReaderAt, off, n int64, sum uint64, scratch []byte) (bool, error) {
	b := scratch[:n]
	switch m, err := r.ReadAt(b, off-n); {
	case m == len(b):
		return xxhash.Sum64(b) == sum, nil
	case err == io.EOF:
		return false, nil // the file is shorter now
	default:
		return false, err
	}
}

// samePrefix reports whether a and b are the same from offset from up to size.
//
// Logs that differ do so early and late alike, so a few places are compared first: files of a gigabyte that begin alike
// are told apart at the cost of some small reads.
func samePrefix(a, b io.ReaderAt, from, size int64) (bool, error) {
	const block = 32 << 10
	x, y := make([]byte, block), make([]byte, block)
	equal := func(at, n int64) (bool, error) {
		for _, r := range []struct {
			r io.ReaderAt
			b []byte
		}{{a, x}, {b, y}} {
			if m, err := r.r.ReadAt(r.b[:n], at); int64(m) < n {
				if err == io.EOF {
					return false, nil
				}
				return false, err
			}
		}
		return bytes.Equal(x[:n], y[:n]), nil
	}
	if size-from > 8*block {
		for _, at := range []int64{from, size - 4096, from + (size-from)/2} {
			if ok, err := equal(at, 4096); !ok {
				return false, err
			}
		}
	}
	for at := from; at < size; at += block {
		if ok, err := equal(at, min(block, size-at)); !ok {
			return false, err
		}
	}
	return true, nil
}
