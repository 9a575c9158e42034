package tail

import (
	"os"
	"path/filepath"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// A Volume is a file system that log files are on.
type Volume struct {
	Dir  string // a directory on it with log files
	Size int64  // bytes that the agent's user can use of it, those in use included
	Free int64
}

// used is the part in use, in percent.
func (v *Volume) used() float64 {
	if v.Size <= 0 {
		return 0
	}
	return 100 * (1 - float64(v.Free)/float64(v.Size))
}

// A volume is a Volume and what was said of it.
type volume struct {
	Volume
	warnAt int // percent; 0: never
	warned bool
}

// calmBelow is by how many percent a volume must be below its threshold until that is said.
const calmBelow = 5

// Volumes describes the file systems that log files are on, as they were at the last scan.
func (t *Tailer) Volumes() []Volume {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]Volume, 0, len(t.volumes))
	for _, v := range t.volumes {
		out = append(out, v.Volume)
	}
	return out
}

// volumeEvery is how often volumes are looked at, at most: asking one may take its time.
const volumeEvery = 5 * time.Second

// lookAtVolumes measures the volumes that files are on, and warns before one is full.
func (t *Tailer) lookAtVolumes(now time.Time) {
	if now.Sub(t.volumesAt) < volumeEvery {
		return
	}
	t.volumesAt = now
	seen := map[uint64]bool{}
	for _, f := range t.files {
		dev := f.key.dev
		v := t.volumes[dev]
		if !seen[dev] {
			seen[dev] = true
			if v == nil {
				v = &volume{}
				t.volumes[dev] = v
			}
			v.warnAt, v.Dir = 0, filepath.Dir(f.path)
		}
		if dir := filepath.Dir(f.path); dir < v.Dir {
			v.Dir = dir
		}
		if at := f.in.VolumeWarning; at > 0 && (v.warnAt == 0 || at < v.warnAt) {
			v.warnAt = at
		}
	}
	for dev, v := range t.volumes {
		if !seen[dev] {
			delete(t.volumes, dev)
		} else if size, free, err := t.statVolume(v.Dir); err == nil {
			v.Size, v.Free = size, free
			t.warnOf(v)
		}
	}
}

// warnOf says when a volume begins to be full, and when it no longer is.
func (t *Tailer) warnOf(v *volume) {
	fields := []zap.Field{zap.String("directory", v.Dir), zap.Int("used_percent", int(v.used())), zap.Int64("free_bytes", v.Free)}
	switch {
	case !v.warned && v.warnAt > 0 && v.used() >= float64(v.warnAt):
		v.warned = true
		t.o.Logger.Warn("the volume of the log files is getting full; when it is, the application can no longer write, and "+
			"Kubernetes may evict the pod (rotate smaller files, keep fewer of them, or set files[].delete: after_ack)", fields...)
	case v.warned && (v.warnAt == 0 || v.used() < float64(v.warnAt-calmBelow)):
		v.warned = false
		t.o.Logger.Info("the volume of the log files has room again", fields...)
	}
}

// statVolume measures the file system of a directory as df does.
func statVolume(dir string) (size, free int64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, os.NewSyscallError("statfs", err)
	}
	block := int64(st.Bsize) //nolint:unconvert // the types differ between systems
	used := int64(st.Blocks-st.Bfree) * block
	free = int64(st.Bavail) * block //nolint:unconvert // the types differ between systems
	return used + free, free, nil
}
