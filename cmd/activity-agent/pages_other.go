//go:build !linux

package main

import "runtime/debug"

// trim gives back the free memory of the heap.
func trim() { debug.FreeOSMemory() }
