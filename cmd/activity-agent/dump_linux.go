package main

import "syscall"

// undumpable clears the process's "dumpable" attribute (prctl(2)): a dump that goes to a program, as systemd's and
// Ubuntu's do, has no limit of size.
func undumpable() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_DUMPABLE, 0, 0)
}
