// Package journal keeps redacted records on the disk until the store has them: what came over HTTP or from a pipe, and can
// be read from nowhere else.
//
// It is written by group commit and read back as a source of batches. DESIGN.md of package ingest has the layout of its
// files, and what is done about crashes, faults and damage.
package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/internal/frame"
	"github.com/truledgr/activity-agent/pipeline"
)

// Errors of Append.
var (
	// ErrFull says that the budget on disk is used up; there is room again when the store has taken some.
	ErrFull = errors.New("the journal is full")
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the journal is closed")
)

// Options are the settings of a journal. Zero values take the defaults named; Dir and Ledger have none.
type Options struct {
	Dir    string
	Ledger *ledger.Ledger
	Now    func() time.Time // time.Now
	Logger *zap.Logger      // none
	// Budget bounds the bytes of segments on the disk, and of what waits to be written; 256 MiB.
	Budget int64
	// BatchBytes is the size at which a batch is handed over; 1 MiB. One request may be larger.
	BatchBytes int
	// SegmentBytes is the size from which a new segment is begun; 8 MiB, or an eighth of the budget if that is less.
	SegmentBytes int64
	// Linger is how long a batch that is not full waits for more; 40ms.
	Linger time.Duration

	disk disk // tests put faults here
}

func (o *Options) setDefaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Budget <= 0 {
		o.Budget = 256 << 20
	}
	if o.BatchBytes <= 0 {
		o.BatchBytes = 1 << 20
	}
	if o.SegmentBytes <= 0 {
		o.SegmentBytes = min(8<<20, o.Budget/8)
	}
	if o.Linger <= 0 {
		o.Linger = 40 * time.Millisecond
	}
	if o.disk == nil {
		o.disk = osDisk{}
	}
}

// A Journal is append-only files of redacted records, and a source of what is in them.
//
// Invariants: what a Group's Wait has confirmed is on the disk, and is handed over exactly once by Run or Reload. Positions
// only grow. A segment on which a write or an fsync failed is not written again, and ends where the next one begins.
type Journal struct {
	o      Options
	id     activity.StreamID
	stream *pipeline.Stream
	keys   *keys

	// committer
	file  file   // being written; nil before the next write
	spare []byte // the buffer of a group that is done
	kick  chan struct{}
	quit  chan struct{}
	tidy  chan struct{}
	tasks sync.WaitGroup

	// reader
	out     chan *Batch
	free    chan *Batch
	drainCh chan struct{}
	drained sync.Once
	open    *os.File // segment being read
	openAt  int64    // its start

	mu       sync.Mutex
	closed   bool
	group    *Group        // being filled
	writing  int64         // bytes of the group being written
	more     chan struct{} // closed when end grows
	segments []segment     // ascending
	end      int64         // everything before it is durable
	pos      int64         // everything before it was handed over
	spans    []span        // handed over and not done with, ascending
	live     bool          // replay is over: segments may be deleted
	keysTo   int64         // keys of requests before it are in files
	changed  time.Time     // when something was appended, handed over or acked last; of the monotonic clock
	stats    Stats
	err      error // of the last commit
}

// Stats counts what a journal did since it was opened, and what it holds.
type Stats struct {
	Records int64 // made durable
	Commits int64 // fsyncs that made them so
	Waiting int64 // bytes that were not handed over
	Bytes   int64 // on the disk
	Budget  int64
	Keys    int64 // idempotency keys
	Damaged int64 // bytes that could not be read
	Err     error // of the last commit; nil when it succeeded
}

// A segment is one file.
type segment struct {
	start int64
	end   int64 // of what counts
}

// A span is a range that was handed over.
type span struct {
	start, end int64
	number     uint64 // of its batch, once that has an outcome; else 0
}

// A Group is what one fsync makes durable.
type Group struct {
	buf     []byte
	keys    []Key
	records int64
	taken   chan struct{} // closed when it takes no more
	done    chan struct{}
	err     error
}

// Wait waits until the group is durable, or ctx is done. After an error of the disk nothing of the group counts.
func (g *Group) Wait(ctx context.Context) error {
	select {
	case <-g.done:
		return g.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Open reads the segments there are. Damage does not make it fail: it is logged and counted. The directory is made by the
// first commit.
func Open(o Options) (*Journal, error) {
	o.setDefaults()
	ks, err := openKeys(o.Dir, o.Now)
	if err != nil {
		return nil, err
	}
	j := &Journal{
		o: o, keys: ks, kick: make(chan struct{}, 1), quit: make(chan struct{}), tidy: make(chan struct{}, 1),
		out: make(chan *Batch), free: make(chan *Batch, pool), drainCh: make(chan struct{}), more: make(chan struct{}),
		group: newGroup(nil), changed: time.Now(),
	}
	for range pool {
		j.free <- new(Batch)
	}
	if err := j.restore(); err != nil {
		return nil, errors.Join(err, ks.close())
	}
	j.stream = &pipeline.Stream{ID: j.id, Journaled: true}
	j.tasks.Go(j.commitAll)
	j.tasks.Go(j.keep)
	return j, nil
}

// pool is how many batches circulate: one is filled while the other's documents are copied.
const pool = 2

func newGroup(buf []byte) *Group {
	return &Group{buf: buf[:0], taken: make(chan struct{}), done: make(chan struct{})}
}

// ID is the journal's stream in the ledger.
func (j *Journal) ID() activity.StreamID { return j.id }

// Owns reports whether a stream of the ledger is the journal's, or that of one that was in its place.
func (j *Journal) Owns(s *ledger.Stream) bool { return s.ID == j.id || s.Dir == j.o.Dir }

// restore finds out what the files say, and where the ledger got to.
func (j *Journal) restore() error {
	if err := j.scan(); err != nil {
		return err
	}
	at := int64(0)
	for _, s := range j.o.Ledger.Streams() {
		switch {
		case !j.Owns(&s):
		case j.id == activity.StreamID{} || s.ID == j.id:
			j.id, at = s.ID, s.Offset
		default: // of a journal that is gone
			if err := j.o.Ledger.ForgetStream(s.ID); err != nil {
				return err
			}
		}
	}
	if j.id == (activity.StreamID{}) {
		_, _ = rand.Read(j.id[:]) // never fails
	}
	j.pos = at
	if len(j.segments) > 0 {
		j.pos = max(at, j.segments[0].start)
	}
	j.end = max(j.end, at)
	if len(j.segments) == 0 {
		return nil // the first commit registers it
	}
	return j.register()
}

// register makes the journal known to the ledger as a stream.
func (j *Journal) register() error {
	j.mu.Lock()
	pos := j.pos
	j.mu.Unlock()
	return j.o.Ledger.PutStream(ledger.Stream{
		ID: j.id, Dir: j.o.Dir, Stem: "journal", Path: j.o.Dir, SeenAt: j.o.Now(), Offset: pos,
	})
}

// Append adds a batch, with its idempotency key if it has one, to the group that is committed next. The batch may be used
// again when Append returns.
func (j *Journal) Append(b *pipeline.Batch, k *Key) (*Group, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.group.buf) >= maxGroup && !j.closed {
		taken := j.group.taken
		j.mu.Unlock()
		<-taken
		j.mu.Lock()
	}
	if j.closed {
		return nil, ErrClosed
	}
	g := j.group
	before := len(g.buf)
	if j.stats.Bytes+j.writing+int64(before) >= j.o.Budget {
		return nil, ErrFull
	}
	g.buf = appendRequest(g.buf, b, k)
	if k != nil {
		g.keys = append(g.keys, *k)
	}
	g.records += int64(len(b.Records))
	select {
	case j.kick <- struct{}{}:
	default:
	}
	return g, nil
}

// maxGroup is the size from which a group takes no more requests: they wait for the next one.
const maxGroup = 1 << 20

// commitAll is the committer: it writes one group while the next one fills.
func (j *Journal) commitAll() {
	for {
		select {
		case <-j.quit:
			j.commitOne()
			return
		case <-j.kick:
			j.commitOne()
		}
	}
}

// commitOne writes the group that has filled, and lets those go who wait for it.
func (j *Journal) commitOne() {
	j.mu.Lock()
	g := j.group
	if len(g.buf) == 0 {
		j.mu.Unlock()
		return
	}
	close(g.taken)
	j.group = newGroup(j.spare)
	j.spare = nil
	j.writing = int64(len(g.buf))
	j.mu.Unlock()

	start, end, err := j.write(g.buf)
	j.mu.Lock()
	j.writing, j.err = 0, err
	if err == nil {
		j.committed(g, start, end)
	}
	if cap(g.buf) <= keepBuffer {
		j.spare = g.buf
	}
	g.buf = nil
	j.mu.Unlock()
	g.err = err
	close(g.done)
}

// keepBuffer is the largest buffer that is kept for another group.
const keepBuffer = 2 << 20

// committed notes that a group lies in [start, end). The caller holds mu.
func (j *Journal) committed(g *Group, start, end int64) {
	j.segments[len(j.segments)-1].end = end
	j.end = end
	j.stats.Bytes += end - start
	j.stats.Commits++
	j.stats.Records += g.records
	j.changed = time.Now()
	if j.keys.put(g.keys); j.keys.full() {
		j.wakeKeeper()
	}
	close(j.more)
	j.more = make(chan struct{})
}

// write makes a group durable at the end of the last segment, or of a new one.
func (j *Journal) write(buf []byte) (start, end int64, err error) {
	if err := j.ready(); err != nil {
		return 0, 0, fmt.Errorf("begin a segment of the journal: %w; see that the disk of %s is sound and has room", err, j.o.Dir)
	}
	j.mu.Lock()
	start = j.segments[len(j.segments)-1].end
	j.mu.Unlock()
	frame.Seal(buf, start)
	_, err = j.file.Write(buf)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.abandon()
		return 0, 0, fmt.Errorf("write the journal: %w; see that the disk of %s is sound and has room", err, j.o.Dir)
	}
	return start, start + int64(len(buf)), nil
}

// ready begins a new segment where there is none to go on with, or it is full.
func (j *Journal) ready() error {
	j.mu.Lock()
	start := j.end
	full := j.file != nil && start-j.segments[len(j.segments)-1].start >= j.o.SegmentBytes
	j.mu.Unlock()
	if j.file != nil && !full {
		return nil
	}
	if j.file != nil {
		err := j.file.Close()
		j.file = nil
		if err != nil {
			return err
		}
	}
	if err := j.o.disk.MkdirAll(j.o.Dir); err != nil {
		return err
	}
	f, err := j.o.disk.Create(j.path(start))
	if err != nil {
		return err
	}
	header := appendHeader(nil, j.id)
	frame.Seal(header, start)
	if _, err = f.Write(header); err == nil {
		if err = f.Sync(); err == nil {
			err = j.o.disk.SyncDir(j.o.Dir)
		}
	}
	if err == nil {
		err = j.register()
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(j.path(start))
		return err
	}
	j.file = f
	j.mu.Lock()
	defer j.mu.Unlock()
	j.segments = append(j.segments, segment{start, start + headerSize})
	j.end = start + headerSize
	j.stats.Bytes += headerSize
	return nil
}

// abandon leaves a segment whose last write failed: what is in it of that write does not count, and is cut off where the
// disk lets us.
func (j *Journal) abandon() {
	_ = j.file.Close()
	j.file = nil
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.segments[len(j.segments)-1]
	if s.end-s.start > headerSize {
		_ = os.Truncate(j.path(s.start), s.end-s.start)
		return
	}
	// Nothing in it counts: the next one takes its name.
	_ = os.Remove(j.path(s.start))
	j.segments = j.segments[:len(j.segments)-1]
	j.end = s.start
	j.stats.Bytes -= headerSize
}

func (j *Journal) path(start int64) string {
	return filepath.Join(j.o.Dir, nameOf(uint64(start), segmentSuffix))
}

// Claim waits until no other request with an idempotency key is under way, and returns what is known of the key. It is the
// caller's until Unclaim.
func (j *Journal) Claim(ctx context.Context, hash [16]byte) (k Key, known bool, err error) {
	return j.keys.claim(ctx, hash)
}

// Unclaim lets other requests with the key go on.
func (j *Journal) Unclaim(hash [16]byte) { j.keys.unclaim(hash) }

// Stats returns what the journal did and holds.
func (j *Journal) Stats() Stats {
	n := j.keys.count()
	j.mu.Lock()
	defer j.mu.Unlock()
	s := j.stats
	s.Waiting, s.Budget, s.Keys, s.Err = max(j.end-j.pos, 0), j.o.Budget, n, j.err
	if s.Waiting <= headerSize {
		s.Waiting = 0
	}
	return s
}

// Close commits what was appended and releases the files. Run must have returned.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	j.mu.Unlock()
	close(j.quit)
	j.tasks.Wait()
	var errs []error
	if j.file != nil {
		errs = append(errs, j.file.Close())
	}
	if j.open != nil {
		errs = append(errs, j.open.Close())
	}
	return errors.Join(append(errs, j.keys.close())...)
}

func (j *Journal) wakeKeeper() {
	select {
	case j.tidy <- struct{}{}:
	default:
	}
}

// settleAfter is how long an outcome takes to be durable at most, with some room.
const settleAfter = 1100 * time.Millisecond

// keep is the keeper: it deletes segments that are done with, and files keys.
func (j *Journal) keep() {
	timer := time.NewTimer(time.Hour)
	timer.Stop()
	defer timer.Stop()
	for {
		select {
		case <-j.quit:
			return
		case <-j.tidy:
			timer.Reset(settleAfter)
		case <-timer.C:
		}
		again, err := j.clean()
		if err != nil {
			j.o.Logger.Warn("the journal is not tidied up; it is tried again", zap.Error(err))
		}
		if again || err != nil {
			timer.Reset(settleAfter)
		}
	}
}

// clean does what is due, and reports whether something has to wait for an outcome to be durable.
func (j *Journal) clean() (again bool, err error) {
	done, again := j.settle()
	j.mu.Lock()
	last := len(j.segments) - 1
	n := 0
	for n < last && j.segments[n].end <= done {
		n++
	}
	gone := slices.Clone(j.segments[:max(n, 0)])
	needKeys := len(gone) > 0 && gone[len(gone)-1].end > j.keysTo
	end := j.end
	j.mu.Unlock()

	if j.keys.full() || needKeys {
		if err := j.keys.flush(); err != nil {
			return again, err
		}
		j.mu.Lock()
		j.keysTo = max(j.keysTo, end)
		j.mu.Unlock()
		if err := j.keys.merge(); err != nil {
			return again, err
		}
	}
	for _, s := range gone {
		if err := os.Remove(j.path(s.start)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return again, err
		}
		j.mu.Lock()
		j.segments = j.segments[1:]
		j.stats.Bytes -= s.end - s.start
		j.mu.Unlock()
	}
	return again, nil
}

// settle forgets the spans at the beginning whose outcome is durable, and returns up to where everything is done with.
func (j *Journal) settle() (done int64, again bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.live {
		return 0, false
	}
	for len(j.spans) > 0 && j.spans[0].number != 0 && j.o.Ledger.Durable(j.spans[0].number) {
		j.spans = j.spans[1:]
	}
	if len(j.spans) == 0 {
		return j.pos, false
	}
	return j.spans[0].start, j.spans[0].number != 0
}
