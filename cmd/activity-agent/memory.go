package main

import (
	"bufio"
	"bytes"
	"io/fs"
	"math"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// gcPercent keeps garbage at half of what is in use. The agent makes little of it: at full speed this takes a sixth off
// the resident memory, and no measurable processor time.
const gcPercent = 50

// notGo is about what the process takes beside what Go manages: the pages of the program itself.
const notGo = 16 << 20

// limitMemory tells the garbage collector how much there is: four fifths of what the container may use, less where notGo
// needs more than a fifth. What the user has set with GOGC and GOMEMLIMIT is left alone, but for a GOMEMLIMIT that is all the
// container may use, as Kubernetes gives it from limits.memory: with that, the collector would begin when it is too late. It
// returns the limit that it has set, 0 for none.
func (p *program) limitMemory(root fs.FS) int64 {
	if p.getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	limit := cgroupMemory(root)
	if limit == 0 {
		return 0
	}
	if set := p.getenv("GOMEMLIMIT"); set != "" {
		if n, err := strconv.ParseInt(set, 10, 64); err != nil || n < limit {
			return 0
		}
	}
	limit = max(min(limit/5*4, limit-notGo), limit/2)
	debug.SetMemoryLimit(limit)
	return limit
}

// cgroupMemory returns how many bytes the control groups of this process allow it, 0 for no limit. It knows version 2 and
// version 1; root is the root of the file system. A group is also bound by those above it. In a container without a view
// of the host's groups, its own is at the top.
func cgroupMemory(root fs.FS) int64 {
	membership, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return 0
	}
	least := int64(math.MaxInt64)
	lines := bufio.NewScanner(bytes.NewReader(membership))
	for lines.Scan() {
		parts := strings.SplitN(lines.Text(), ":", 3) // hierarchy:controllers:group
		if len(parts) < 3 {
			continue
		}
		dir, file := "sys/fs/cgroup", "memory.max"
		switch {
		case parts[0] == "0" && parts[1] == "":
		case parts[1] == "memory":
			dir, file = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
			if n := bytesIn(root, path.Join(dir, group, file)); n > 0 {
				least = min(least, n)
			}
			if group == "/" {
				break
			}
		}
	}
	if least >= unlimited {
		return 0
	}
	return least
}

// unlimited is more than any machine has: version 1 writes no limit as the largest number of whole pages.
const unlimited = 1 << 60

// bytesIn reads a number from a file; 0 for "max", or none.
func bytesIn(root fs.FS, name string) int64 {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseInt(string(bytes.TrimSpace(b)), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
