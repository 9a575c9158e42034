package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A smallDisk is a file system of its own, in memory, that can be filled and made read-only.
type smallDisk struct {
	t   *testing.T
	dir string
}

// newSmallDisk mounts one. It is nil where this process may not mount: a container without that right has nothing like it.
func newSmallDisk(t *testing.T, size int) *smallDisk {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("none", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size))
	if errors.Is(err, syscall.EPERM) {
		t.Logf("this process may not mount a file system (it needs CAP_SYS_ADMIN): nothing was tested")
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return &smallDisk{t, dir}
}

// fill takes all room but so many bytes.
func (d *smallDisk) fill(spare int64) {
	d.t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &fs); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.dir, "balloon"), make([]byte, max(0, int64(fs.Bavail)*fs.Bsize-spare)), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *smallDisk) free() {
	d.t.Helper()
	if err := os.Remove(filepath.Join(d.dir, "balloon")); err != nil {
		d.t.Fatal(err)
	}
}

// on moves a path of the site, which need not exist, to the disk.
func (d *smallDisk) on(s *site, name string) {
	d.t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		d.t.Fatal(err)
	}
	text = []byte(strings.ReplaceAll(string(text), s.path(name), filepath.Join(d.dir, name)))
	if err := os.WriteFile(s.config, text, 0o600); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(d.dir, name), s.path(name)); err != nil { // for who counts the documents
		d.t.Fatal(err)
	}
}

// TestAFullDiskDelaysAndLosesNothing fills the disk of the state directory, or that of the store, while the agent works.
// It says so, keeps what it has, and goes on when there is room; also when it is killed in between.
func TestAFullDiskDelaysAndLosesNothing(t *testing.T) {
	t.Parallel()
	const lines = 8000
	for _, tt := range []struct{ store, small, trouble string }{
		{"sqlite", "state", "state directory failing"},
		{"sqlite", "store.db", "store failing"},
		{"file", "store.ndjson", "store failing"},
	} {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %s killed=%v", tt.store, tt.small, killed), func(t *testing.T) {
				t.Parallel()
				disk := newSmallDisk(t, 64<<20)
				if disk == nil {
					return
				}
				s := withAdmin(t, newSite(t, tt.store, ""), "")
				disk.on(s, tt.small)
				r := s.start()
				if err := s.write(lines/4, true); err != nil {
					t.Fatal(err)
				}
				r.eventually("the first lines to be stored", func() bool { return r.metrics()["records_stored_total"] == lines/4 })
				disk.fill(100 << 10)
				if err := s.writeFrom(lines/4, lines, true); err != nil {
					t.Fatal(err)
				}
				r.eventually("the agent to say that the disk is full", func() bool { return strings.Contains(r.get("/healthz"), tt.trouble) })
				if killed {
					r.signal(syscall.SIGKILL)
					r.wait()
				}
				disk.free()
				if !killed {
					r.eventually("all to be stored", func() bool { return r.metrics()["records_stored_total"] == lines })
					r.stop()
				}
				s.runToEnd()
				s.assertOnce(lines)
			})
		}
	}
}

// TestAStateDirectoryThatTurnsReadOnly: nothing is sent that no intent could be written for. When it can be written again,
// the agent goes on; one that starts meanwhile says what is wrong.
func TestAStateDirectoryThatTurnsReadOnly(t *testing.T) {
	t.Parallel()
	const lines = 4000
	disk := newSmallDisk(t, 16<<20)
	if disk == nil {
		return
	}
	remount := func(flags uintptr) error {
		return syscall.Mount("none", disk.dir, "tmpfs", syscall.MS_REMOUNT|flags, "")
	}
	s := withAdmin(t, newSite(t, "sqlite", ""), "")
	disk.on(s, "state")
	if err := s.write(lines/2, true); err != nil {
		t.Fatal(err)
	}
	s.runToEnd()
	if err := remount(syscall.MS_RDONLY); err != nil {
		t.Fatal(err)
	}
	code, _, said := call(t, "", "run", "-c", s.config, "--exit-when-idle", "100ms")
	if code != exitFailed || !strings.Contains(said, "read-only file system") || !strings.Contains(said, disk.dir) {
		t.Errorf("a start on a read-only state directory: exit code %d\n%s", code, said)
	}
	if err := s.writeFrom(lines/2, lines, true); err != nil {
		t.Fatal(err)
	}
	if err := remount(0); err != nil {
		t.Fatal(err)
	}
	s.runToEnd()
	s.assertOnce(lines)
}
