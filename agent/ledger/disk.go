package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrLocked is returned by Open when another agent has the state directory.
var ErrLocked = errors.New("state directory is in use")

// file is what the ledger needs of the file it appends to. Tests put faults behind it.
type file interface {
	io.Writer
	Sync() error
	Close() error
}

// disk makes and replaces files. Tests put faults behind it.
type disk interface {
	Create(path string) (file, error) // empty, for writing, 0600
	Rename(from, to string) error
	SyncDir(dir string) error
}

type osDisk struct{}

func (osDisk) Create(path string) (file, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }

// SyncDir makes a rename in dir durable.
func (osDisk) SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// lockPause is how long to wait between two attempts at the lock.
const lockPause = 20 * time.Millisecond

// lockDir takes the directory for this process. The lock goes with the descriptor, so a killed agent leaves none.
func lockDir(dir string, wait time.Duration) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock of the state directory: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for until := time.Now().Add(wait); errors.Is(err, syscall.EWOULDBLOCK) && time.Now().Before(until); {
		time.Sleep(lockPause)
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: another agent holds %s; stop it, or give this one an agent.state_dir of its own", ErrLocked, path)
		}
		return nil, fmt.Errorf("lock %s: %w; the state directory must be on a file system with flock", path, err)
	}
	return f, nil
}
