// Package deadletter keeps the account of records that could not be delivered: where each lies and why, never its bytes.
//
// The letters are lines of JSON in one file of the state directory. Adding and removing lock that file, so that
// `activity-agent deadletter` can work on it while the agent runs.
//
// A batch that is replayed after a crash adds its letters again. They are told by stream, position, batch and place in
// it, and Read gives each once: looking when they are read costs nothing, looking when they are added would cost an
// index of all letters in memory.
package deadletter

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/truledgr/activity-agent/activity"
)

// FileName is the file of letters in the state directory.
const FileName = "deadletters.ndjson"

// ErrClosed is returned by Add after Close.
var ErrClosed = errors.New("dead letters are closed")

// A Letter says which record was not delivered, and why.
type Letter struct {
	Time   time.Time         `json:"time"` // when it was added
	Reason string            `json:"reason"`
	Kind   string            `json:"kind,omitempty"` // of the activity, where it was known
	ID     string            `json:"id,omitempty"`   // of the activity, where it had one
	Stream activity.StreamID `json:"-"`              // in hexadecimal as "stream"
	Path   string            `json:"path"`           // of the file when it was read
	Offset int64             `json:"offset"`         // of the record's first byte in the (decompressed) stream
	Length int64             `json:"length"`         // of its content: all lines, without their ends
	Batch  uint64            `json:"batch"`
	Seq    int               `json:"seq"`              // place in the batch
	Pieces []Place           `json:"pieces,omitempty"` // the lines of a record that was joined from several
}

// A Place is where one line of a record lies.
type Place struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// bare has a Letter's fields without its methods.
type bare Letter

type line struct {
	bare
	Stream string `json:"stream"`
}

// MarshalJSON writes the letter with its stream in hexadecimal.
func (l Letter) MarshalJSON() ([]byte, error) {
	return json.Marshal(line{bare(l), hex.EncodeToString(l.Stream[:])})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (l *Letter) UnmarshalJSON(b []byte) error {
	var in line
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	*l = Letter(in.bare)
	id, err := hex.DecodeString(in.Stream)
	if err != nil || len(id) != len(l.Stream) {
		return errors.New("stream is not 32 hexadecimal digits")
	}
	l.Stream = activity.StreamID(id)
	return nil
}

// key tells letters apart.
type key struct {
	stream         activity.StreamID
	offset, length int64
	batch          uint64
	seq            int
}

func (l *Letter) key() key { return key{l.Stream, l.Offset, l.Length, l.Batch, l.Seq} }

// Log adds letters. Its methods may be called from any goroutine.
type Log struct {
	path string

	mu     sync.Mutex
	closed bool
	buf    bytes.Buffer
}

// Open returns the log of a state directory, which must be there, and sees that it can be written.
func Open(stateDir string) (*Log, error) {
	path := filepath.Join(stateDir, FileName)
	f, err := openLocked(path)
	if err != nil {
		return nil, fmt.Errorf("open dead letters: %w", err)
	}
	return &Log{path: path}, f.Close()
}

// Add appends letters and returns when they are on the disk. After an error some of them may be there; adding them
// again is harmless.
func (l *Log) Add(ls []Letter) error {
	if len(ls) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.buf.Reset()
	enc := json.NewEncoder(&l.buf)
	for i := range ls {
		if err := enc.Encode(&ls[i]); err != nil {
			return fmt.Errorf("encode dead letter of batch %d, place %d: %w", ls[i].Batch, ls[i].Seq, err)
		}
	}
	if err := l.append(l.buf.Bytes()); err != nil {
		return fmt.Errorf("add dead letters to %s: %w; see that its disk is sound and has room", l.path, err)
	}
	return nil
}

// append opens the file anew each time: letters are rare, the file may have been replaced, and a descriptor on which an
// fsync failed must not be used again.
func (l *Log) append(b []byte) error {
	f, err := openLocked(l.path)
	if err != nil {
		return err
	}
	size, err := cutTorn(f)
	if err == nil {
		if _, err = f.WriteAt(b, size); err == nil {
			err = f.Sync()
		} else {
			_ = f.Truncate(size) // a torn tail is harmless; a clean one is nicer
		}
	}
	return errors.Join(err, f.Close())
}

// Close ends the log. Nothing waits to be written.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}

// openLocked opens the file, making it where it does not exist, and locks it until it is closed.
func openLocked(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		if err := flock(f); err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		mine, err := f.Stat()
		if err == nil && mine.Size() == 0 {
			err = syncDir(filepath.Dir(path)) // it may be new
		}
		if err != nil {
			_ = f.Close()
			return nil, err
		}
		if there, err := os.Stat(path); err == nil && os.SameFile(mine, there) {
			return f, nil
		}
		_ = f.Close() // it was replaced while we waited for the lock
	}
}

func flock(f *os.File) error {
	for {
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// cutTorn cuts a last line without an end, which a crash left before Add returned, and returns the size. Its batch is
// replayed and adds it again.
func cutTorn(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	var buf [4096]byte
	end := info.Size()
	for end > 0 {
		from := max(end-int64(len(buf)), 0)
		part := buf[:end-from]
		if _, err := f.ReadAt(part, from); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			end = from + int64(i) + 1
			break
		}
		end = from
	}
	if end < info.Size() {
		err = f.Truncate(end)
	}
	return end, err
}

// Read returns the letters of a state directory, oldest first and each once, and how many lines it passed over because
// they are damaged. A directory without letters has none; a last line that is still being written is left out.
func Read(stateDir string) (ls []Letter, damaged int, err error) {
	f, err := os.Open(filepath.Join(stateDir, FileName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read dead letters: %w", err)
	}
	defer func() { _ = f.Close() }()
	seen := make(map[key]struct{})
	err = lines(f, func(b []byte) error {
		var l Letter
		if json.Unmarshal(b, &l) != nil {
			damaged++
			return nil
		}
		if _, twice := seen[l.key()]; !twice {
			seen[l.key()] = struct{}{}
			ls = append(ls, l)
		}
		return nil
	})
	if err != nil {
		return ls, damaged, fmt.Errorf("read dead letters: %w", err)
	}
	return ls, damaged, nil
}

// lines calls fn with every whole line, its end included.
func lines(r io.Reader, fn func([]byte) error) error {
	br := bufio.NewReader(r)
	for {
		b, err := br.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = fn(b)
		}
		if err != nil {
			return err
		}
	}
}

// Remove takes letters out, after their records were delivered in another way. Damaged lines and all other letters
// stay. A crash leaves the old file or the new one.
func Remove(stateDir string, done []Letter) error {
	path := filepath.Join(stateDir, FileName)
	f, err := openLocked(path)
	if err != nil {
		return fmt.Errorf("remove dead letters: %w", err)
	}
	gone := make(map[key]struct{}, len(done))
	for i := range done {
		gone[done[i].key()] = struct{}{}
	}
	err = replace(path, f, gone)
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("remove dead letters from %s: %w; nothing is lost, try again", path, err)
	}
	return nil
}

// replace writes the file without the letters in gone, and puts it in the place of f.
func replace(path string, f *os.File, gone map[key]struct{}) error {
	temp, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(temp)
	err = lines(f, func(b []byte) error {
		var l Letter
		if json.Unmarshal(b, &l) == nil {
			if _, ok := gone[l.key()]; ok {
				return nil
			}
		}
		_, err := w.Write(b)
		return err
	})
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = temp.Sync()
	}
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		_ = os.Remove(path + ".new")
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the making or replacing of a file in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
