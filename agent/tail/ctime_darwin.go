package tail

import (
	"io/fs"
	"syscall"
	"time"
)

// changedAt is when a file's content or names changed last, which no program can set.
func changedAt(fi fs.FileInfo) time.Time {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return time.Unix(st.Ctimespec.Unix())
	}
	return fi.ModTime()
}
