// Package ledger is the agent's memory on disk: a small append-only, checksummed file from which alone follow the
// offsets to resume from, the exact replay of what was in flight at a crash, and the integrity chain.
//
// An intent is written before a batch is sent and an outcome after the store's verdicts. DESIGN.md has the layout of the
// file, what is done about damage, and the known limits.
package ledger

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
)

// Names in the state directory.
const (
	fileName       = "ledger"
	newName        = "ledger.new" // being written, to replace the ledger
	lockName       = "lock"
	quarantineName = "quarantine-" // and a time and a position
)

// flushAfter is how long an outcome may wait for the next intent to ride on. With the flush it stays under a second.
const flushAfter = 900 * time.Millisecond

// Errors of the ledger, beside those of the file system.
var (
	// ErrNewer is returned by Open for a ledger that a newer version of the program has written.
	ErrNewer = errors.New("ledger has a newer format")
	// ErrClosed is returned by every method that writes, after Close.
	ErrClosed = errors.New("ledger is closed")
)

// Options are the settings of a ledger. The zero value will do, except for AgentID.
type Options struct {
	// AgentID is frozen in the ledger when that is made; later ones are ignored.
	AgentID string
	// Now tells the time for what the ledger dates itself. Default time.Now.
	Now func() time.Time
	// Logger is told of repairs and of files that had to be abandoned. Default: none.
	Logger *zap.Logger
	// LockWait is how long to wait for another process to let go of the directory: one that was killed in the middle of
	// an fsync keeps it until that is over. 0 does not wait.
	LockWait time.Duration
	// CompactBytes is the size from which the file is replaced by one with only what is still needed. Default 8 MiB.
	CompactBytes int64

	disk disk // tests put faults here
}

// Meta is what the deliverer adds to a batch's intent.
type Meta struct {
	Fingerprint [16]byte // of the pipeline's configuration and version
	Target      Target
	Mark        int64 // of a sinks.Rewinder; -1 for other sinks
}

// Ledger is the state of one agent: streams and their offsets, the intents under way, and the integrity chain.
//
// Invariants: an intent is durable when Append returns, and counts for nothing when Append fails. Entries are only ever
// appended; a file on which a write or an fsync failed is never written again. The state in memory is always the one
// that reading the file back gives.
//
// Methods may be called from any goroutine. Those of the tailer and the processor (Streams, PutStream, ForgetStream,
// NextBatch) never wait for the disk.
type Ledger struct {
	dir  string
	opts Options
	lock *os.File

	repairs []Repair

	// writing serialises everything that touches the file. It is taken before mu.
	writing sync.Mutex
	file    file
	size    int64
	limit   int64  // size from which the file is replaced
	broken  bool   // a write or fsync failed, or there is no file yet: the next write begins a new one
	out     []byte // frames on their way to the disk
	names   reasons

	mu     sync.Mutex
	state  state
	puts   []*stream // streams put since the last write
	queue  []byte    // frames that ride on the next write
	wet    []uint64  // batches whose outcome is not durable
	free   [][]byte  // bodies of intents that are done with
	tree   tree
	closed bool

	flusher flusher
}

// Open takes the state directory and reads its ledger, making both where they do not exist. Damage never makes it fail:
// what was done about it is in Repairs, and what has to be read again in Gaps. It fails when another agent has the
// directory (ErrLocked), when the ledger is from a newer program (ErrNewer), and when the directory cannot be used.
func Open(dir string, o Options) (*Ledger, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.CompactBytes <= 0 {
		o.CompactBytes = 8 << 20
	}
	if o.disk == nil {
		o.disk = osDisk{}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make state directory: %w; set agent.state_dir to a directory that can be written", err)
	}
	lock, err := lockDir(dir, o.LockWait)
	if err != nil {
		return nil, err
	}
	l := &Ledger{dir: dir, opts: o, lock: lock, limit: o.CompactBytes, names: reasons{index: make(map[string]int)}}
	if err := l.restore(); err != nil {
		_ = lock.Close()
		return nil, err
	}
	l.flusher.start(l.flush)
	return l, nil
}

// restore reads the file there is and makes it, or a new one, ready to be appended to.
func (l *Ledger) restore() error {
	_ = os.Remove(l.path(newName)) // left over from a crash before it became the ledger
	rec, err := recoverFile(l.opts.disk, l.path(fileName), l.path(quarantineName), l.opts.Now())
	if err != nil {
		return err
	}
	l.state, l.repairs = rec.state, rec.repairs
	if !rec.headerSeen {
		l.state.agentID = l.opts.AgentID
		_, _ = rand.Read(l.state.chain[:]) // never fails
		l.state.head = digest{}
	}
	for _, r := range l.repairs {
		l.opts.Logger.Error("ledger repaired", zap.String("kind", r.Kind), zap.String("file", r.File),
			zap.Int64("offset", r.Offset), zap.Int64("bytes", r.Bytes), zap.String("detail", r.Detail))
	}
	if rec.clean() {
		return l.reopen(rec.size)
	}
	l.broken = true
	if err := l.replace(nil); err != nil {
		if rec.size == 0 {
			return fmt.Errorf("make the ledger in %s: %w; see that the directory can be written and has room", l.dir, err)
		}
		// What is readable is known; the next write tries again.
		l.opts.Logger.Error("repaired ledger not written yet", zap.Error(err))
	}
	return nil
}

// reopen goes on with a sound file, cutting what comes after its last entry.
func (l *Ledger) reopen(size int64) error {
	f, err := os.OpenFile(l.path(fileName), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	if err = f.Truncate(size); err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("cut the ledger's torn tail: %w", err)
	}
	l.file, l.size = f, size
	return nil
}

func (l *Ledger) path(name string) string { return filepath.Join(l.dir, name) }

// AgentID returns the id that the ledger was made with.
func (l *Ledger) AgentID() string { return l.state.agentID }

// Chain returns the integrity chain: random, made with the ledger.
func (l *Ledger) Chain() activity.ChainID { return l.state.chain }

// Repairs returns what Open did to go on.
func (l *Ledger) Repairs() []Repair { return append([]Repair(nil), l.repairs...) }

// Streams returns what is known of every stream, ordered by name. Ranges of pending intents count as read. A stream with
// an empty Dir was read, but its registration was lost: putting it under its ID again keeps its offset. TailLen is 0
// where the bytes before Offset are not known.
func (l *Ledger) Streams() []Stream {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.list()
}

// PutStream registers a stream, or updates the fields of it that are the tailer's. Offset and the fields after it count
// only for a stream that is new: they say where its reading begins. It is durable with the next intent.
func (l *Ledger) PutStream(s Stream) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if st := l.state.put(s); !st.dirty {
		st.dirty = true
		l.puts = append(l.puts, st)
	}
	return nil
}

// ForgetStream removes a stream and its gaps. It is durable with the next intent.
func (l *Ledger) ForgetStream(id activity.StreamID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.state.forget(id)
	l.queue = appendForget(l.queue, id)
	return nil
}

// Gaps returns what has to be read again because damage has taken the intents of it. A gap goes away as ranges of
// intents fill it, and with CloseGap.
func (l *Ledger) Gaps() []Gap {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Gap(nil), l.state.gaps...)
}

// CloseGap takes a part of a stream out of the gaps, for when its source is gone. It is durable with the next intent.
func (l *Ledger) CloseGap(g Gap) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	l.state.closeGap(g)
	l.queue = appendGap(l.queue, g, false)
	return nil
}

// NextBatch returns the number that the next batch must have. Numbers follow one another over restarts, and skip some
// only where damage may have hidden that they were used.
func (l *Ledger) NextBatch() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.next
}

// Pending returns the intents without outcome, oldest first. After Open these are the batches to replay.
func (l *Ledger) Pending() []*Intent {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*Intent
	for _, p := range l.state.pending {
		in := new(Intent)
		if _, _, err := decodeIntent(p.body, in, nil); err == nil { // was decoded before it became pending, or written by us
			out = append(out, in)
		}
	}
	return out
}

// DurableBefore reports whether the outcomes of all batches before that number are on the disk.
func (l *Ledger) DurableBefore(number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.state.pending) > 0 && l.state.pending[0].number < number {
		return false
	}
	for _, n := range l.wet {
		if n < number {
			return false
		}
	}
	return true
}

// Durable reports whether the outcome of a batch is on the disk. Journals may be deleted then, and not before.
func (l *Ledger) Durable(number uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if number >= l.state.next {
		return false
	}
	if _, ok := l.state.find(number); ok {
		return false
	}
	for _, n := range l.wet {
		if n == number {
			return false
		}
	}
	return true
}

// Close makes everything durable and lets go of the directory.
func (l *Ledger) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	l.flusher.stop()
	err := l.flush()
	l.writing.Lock()
	defer l.writing.Unlock()
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	return errors.Join(err, l.lock.Close())
}
