package sqlite

import (
	"errors"
	"fmt"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// An Error is a failure of the store. Its text is made of SQLite's code alone: SQLite's own message may quote a value.
type Error struct {
	Path string
	Op   string // what was being done
	Code int    // SQLite's extended result code
}

func (e *Error) Error() string {
	what := "SQLite failed"
	switch e.Code & 0xff {
	case lib.SQLITE_NOTADB:
		what = "the file is not an SQLite database: move it away, or set store.sqlite.path to another"
	case lib.SQLITE_CORRUPT:
		what = "the database is damaged: move it away with its -wal and -shm files and start again, which makes a new one; " +
			`sqlite3 FILE ".recover" saves what can be read`
	case lib.SQLITE_READONLY, lib.SQLITE_PERM, lib.SQLITE_AUTH:
		what = "the database or its directory cannot be written: give the agent's user the right, or set store.sqlite.path to another"
	case lib.SQLITE_CANTOPEN:
		what = "the database cannot be opened: check that its directory exists and the agent's user may enter and write it"
	case lib.SQLITE_FULL:
		what = "the disk is full: free some space; the agent waits and goes on"
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		what = "another process holds the database locked: end it; the agent waits and goes on"
	case lib.SQLITE_IOERR:
		what = "the disk failed: look at the kernel's log; the agent tries again"
	case lib.SQLITE_NOMEM:
		what = "no memory was left"
	}
	return fmt.Sprintf("%s %s: %s (SQLite code %d)", e.Op, e.Path, what, e.Code)
}

// failed turns an error of the driver into an *Error. Other errors (a context's) stay.
func failed(op, path string, err error) error {
	if err == nil {
		return nil
	}
	if code := codeOf(err); code != 0 {
		return &Error{Path: path, Op: op, Code: code}
	}
	return fmt.Errorf("%s %s: %w", op, path, err)
}

// locked reports whether err is that another process keeps the database for itself.
func locked(err error) bool {
	var e *Error
	return errors.As(err, &e) && (e.Code&0xff == lib.SQLITE_BUSY || e.Code&0xff == lib.SQLITE_LOCKED)
}

// codeOf returns SQLite's extended result code, or 0 when the error is not SQLite's.
func codeOf(err error) int {
	var e *driver.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// refused returns the reason when err is about one document alone, so that writing it again would fail again: it is too
// big for SQLite, or breaks a rule that somebody added to the table.
func refused(err error) (reason string, ok bool) {
	switch codeOf(err) & 0xff {
	case lib.SQLITE_TOOBIG:
		return "too_big", true
	case lib.SQLITE_CONSTRAINT:
		return "constraint", true
	case lib.SQLITE_MISMATCH:
		return "mismatch", true
	}
	return "", false
}
