package main

import "syscall"

// withoutDumps makes sure that a crash leaves no image of the memory behind, and that no other process of this user can
// look into it: there are lines in it that have not been redacted, and secrets of the configuration. Where the system
// does not allow it, that is no reason not to start.
func withoutDumps() {
	_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{})
	undumpable()
}
