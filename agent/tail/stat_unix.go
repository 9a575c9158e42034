//go:build unix

package tail

import (
	"io/fs"
	"os"
	"syscall"
)

// A fileKey is what the system knows a file by, whatever its names are.
type fileKey struct{ dev, ino uint64 }

func keyOf(fi fs.FileInfo) fileKey {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fileKey{}
	}
	return fileKey{uint64(st.Dev), uint64(st.Ino)} //nolint:unconvert // the types differ between systems
}

// openFile opens a regular file. It does not block on what only looks like one.
func openFile(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
}

// deleted reports whether an open file has no name any more.
func deleted(c *content) bool {
	fi, err := c.Stat()
	if err != nil {
		return false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 0
}
