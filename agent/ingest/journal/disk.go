package journal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// file is what the committer needs of a segment. Tests put faults behind it.
type file interface {
	io.Writer
	Sync() error
	Close() error
}

// disk makes files. Tests put faults behind it.
type disk interface {
	MkdirAll(dir string) error
	Create(path string) (file, error) // empty, for writing, 0600
	SyncDir(dir string) error
}

type osDisk struct{}

func (osDisk) MkdirAll(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// Create makes a file anew: one of that name may be there from a start that failed, and its pages are not to be trusted.
func (osDisk) Create(path string) (file, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (osDisk) SyncDir(dir string) error { return syncDir(dir) }

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

const segmentSuffix = ".journal"

func nameOf(number uint64, suffix string) string { return fmt.Sprintf("%016x%s", number, suffix) }

// numberOf reads what nameOf wrote.
func numberOf(path, suffix string) (uint64, bool) {
	digits, ok := strings.CutSuffix(filepath.Base(path), suffix)
	n, err := strconv.ParseUint(digits, 16, 63)
	return n, ok && err == nil && len(digits) == 16
}
