package tail

import (
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

// asNobody has f open files as a user without rights. Only this thread does, so that f must start no goroutine that reads.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		f() // to whom a file of mode 0 is as closed
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	_, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, nobody, 0, 0)
	defer func() { _, _, _ = syscall.RawSyscall(syscall.SYS_SETFSUID, 0, 0, 0) }()
	f()
}

const nobody = 65534

// TestReloadWithoutPermission: of the file, and of its directory.
func TestReloadWithoutPermission(t *testing.T) {
	t.Parallel()
	for what, shut := range map[string]func(dir string) error{
		"the file":            func(dir string) error { return os.Chmod(filepath.Join(dir, "app.log"), 0) },
		"the directory":       func(dir string) error { return os.Chmod(dir, 0) },
		"the file, renamed":   func(dir string) error { return renameAndShut(dir, "app.log.1") },
		"the file, elsewhere": func(dir string) error { return renameAndShut(dir, "archived") },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			lines := numbered("a", 20)
			dir, reg, in := readOnce(t, lines)
			must(t, os.Chmod(filepath.Dir(dir), 0o755))
			tl := reloader(t, dir, reg, Options{})
			must(t, shut(dir))
			path := filepath.Join(dir, "app.log")
			switch what {
			case "the file, renamed":
				path = filepath.Join(dir, "app.log.1")
			case "the file, elsewhere":
				path = filepath.Join(dir, "archived")
			}
			asNobody(t, func() { refusesToReload(t, tl, in, path) })
			must(t, os.Chmod(dir, 0o755))
			must(t, os.Chmod(path, 0o644))
			asNobody(t, func() { reloads(t, tl, in, lines) })
		})
	}
}

func renameAndShut(dir, name string) error {
	path := filepath.Join(dir, name)
	if err := os.Rename(filepath.Join(dir, "app.log"), path); err != nil {
		return err
	}
	return os.Chmod(path, 0)
}
