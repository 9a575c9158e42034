package tail

import (
	"os"
	"syscall"
)

// beingWritten reports whether a process has the file open for writing: a lease to read is refused then. Where leases are
// not to be had for another reason, nothing is known, and the answer is no.
func beingWritten(fd *os.File) bool {
	const setLease = 1024 // F_SETLEASE
	raw, err := fd.SyscallConn()
	if err != nil {
		return false
	}
	busy := false
	_ = raw.Control(func(fd uintptr) {
		_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, fd, setLease, syscall.F_RDLCK)
		if busy = errno == syscall.EAGAIN; errno == 0 {
			_, _, _ = syscall.Syscall(syscall.SYS_FCNTL, fd, setLease, syscall.F_UNLCK)
		}
	})
	return busy
}
