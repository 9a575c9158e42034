package tail

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/pipeline"
)

// Registry is the part of the ledger that the tailer needs: it remembers streams.
type Registry interface {
	// Streams returns all that are known.
	Streams() []ledger.Stream
	// PutStream makes a stream known, or tells where its file is now; that is durable with the next intent at the latest.
	// Offset, TailSum, TailLen and LastRead of a known stream are not changed by it, and Marks only if there are some.
	PutStream(ledger.Stream) error
	// ForgetStream removes a stream.
	ForgetStream(activity.StreamID) error
	// NextBatch is the number of the next batch.
	NextBatch() uint64
	// DurableBefore reports whether all batches before that number have an outcome that is on the disk.
	DurableBefore(number uint64) bool
}

// Options configures a Tailer. Zero values take the defaults named.
type Options struct {
	Files    []Config
	IDKey    []byte // of the keyed hash of first lines
	Registry Registry
	Now      func() time.Time // time.Now
	Logger   *zap.Logger      // none

	BatchBytes int // raw bytes at which a batch is handed over; 1 MiB. A buffer is larger if one line needs it.
	// BatchRecords is about how many records a batch is handed over with at most, full or not: what is made of a record is
	// often larger than the record. 4096.
	BatchRecords int
	Pool         int // how many batches circulate; 3
	// Linger is the least time between two batches that are not full, and between two looks at what is written; 100ms. After
	// that long without a line, the next one waits for Gather only.
	Linger time.Duration
	// Gather is how long the first lines after a pause wait for those that are written with them; 10ms, or Linger if that is less.
	Gather    time.Duration
	PollEvery time.Duration // how often open files are looked at; 1s
	ScanEvery time.Duration // how often the globs are expanded; 5s
	// QuietAfter is how long a file must not have changed until nothing more is expected: of a file whose name is gone,
	// and of a record whose last line has not come; 5s.
	QuietAfter time.Duration
	// JoinWait is how long a line of text waits for the next, which may be the first of its stack trace; 500ms.
	JoinWait time.Duration
	// DeleteAfter is how long a rotated file must not have changed until it may be deleted; 1m.
	DeleteAfter time.Duration
	// ForgetAfter is how long a stream without a file is remembered; 24h.
	ForgetAfter time.Duration
	// OpenFiles is how many files at their end are kept open at most; 256.
	OpenFiles int
	// NoNotify leaves everything to polling, as happens by itself where the system gives no notifications.
	NoNotify bool
}

func (o *Options) setDefaults() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	setDefault(&o.BatchBytes, 1<<20)
	setDefault(&o.BatchRecords, 4096)
	setDefault(&o.Pool, 3)
	setDefault(&o.OpenFiles, 256)
	setDefault(&o.Linger, 100*time.Millisecond)
	setDefault(&o.Gather, min(10*time.Millisecond, o.Linger))
	setDefault(&o.PollEvery, time.Second)
	setDefault(&o.ScanEvery, 5*time.Second)
	setDefault(&o.QuietAfter, 5*time.Second)
	setDefault(&o.JoinWait, 500*time.Millisecond)
	setDefault(&o.DeleteAfter, time.Minute)
	setDefault(&o.ForgetAfter, 24*time.Hour)
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// A Tailer reads files as they grow and hands over what it read in batches: each line of each file once, in the order
// of the file. What has an intent in the ledger is never read again but by Reload.
type Tailer struct {
	o       Options
	out     chan *pipeline.Raw
	free    chan *pipeline.Raw
	drainCh chan struct{}
	drained sync.Once
	changed chan struct{} // the inputs are others: look
	fill    atomic.Int64  // raw bytes at which a batch is handed over
	notify  *notifier
	started time.Time

	mu         sync.Mutex // guards what follows; the loop holds it while it works
	first      bool       // nothing was ever read with this registry
	size       int        // of a batch's buffer: a batch, or the longest line
	inputs     []*input
	files      map[fileKey]*file
	streams    map[activity.StreamID]*stream
	begins     map[[16]byte][]*stream // streams by Begin
	stems      map[string]string      // base name → stemOf, of names that come up in every scan
	refused    map[string]string      // path → why it cannot be read
	complaint  map[string]string      // what was logged of it at the scan before
	strangers  map[fileKey]int64      // siblings that are nothing of ours, by their size then
	seq        int                    // of the file found last
	open       int                    // files with a descriptor
	ring       []*queue               // families with something to read, in turn
	queues     map[family]*queue
	unpack     unpacker
	waiting    []*file // with a line that waits for the next
	removed    Removed
	volumes    map[uint64]*volume // by device
	volumesAt  time.Time          // when they were looked at
	statVolume func(dir string) (size, free int64, err error)
	since      map[family]time.Time // what watchedSince found
	unpacking  *file                // the one archive that is being read
	damaged    map[string]int64     // archives by why they end before their end

	cur      *pipeline.Raw // being filled
	curSince time.Time     // when its first bytes came
	sealed   bool          // its last range must not grow
	rangeAt  int           // where in Buf its last range begins
	next     *pipeline.Raw // filled, to be handed over

	scanAt, pollAt time.Time // when to look again
	lookAt         time.Time // when to take notifications of writes; zero when the next one wakes
	handedAt       time.Time // when the last batch was handed over that was not full
	scanned        bool
	scannedAt      time.Time
	draining       bool
	finished       bool
	warnedTruncate bool
	outstanding    int       // ranges handed over and not acked
	changedAt      time.Time // when something was read or acked last
	scratch        []byte
}

// A stream is what is known of one stream, and how far it has been read.
type stream struct {
	ledger.Stream
	src     *pipeline.Stream // replaced, never changed: batches point to it
	file    *file            // that it is read from; nil if none is known
	off     int64            // everything before it has been handed over, or is in the batch being filled
	tailSum uint64           // xxHash64 of the tailLen bytes before off
	tailLen int64
	acked   int64
	anchor  bool            // it is to begin at the end of its file
	pending map[int64]int64 // start → end of ranges not acked
	lostAt  time.Time       // since when it has no file
}

// New returns a Tailer that knows the streams of its registry. It opens no file.
func New(o Options) (*Tailer, error) {
	o.setDefaults()
	inputs, size, err := prepare(o.Files, o.BatchBytes)
	if err != nil {
		return nil, err
	}
	t := &Tailer{
		inputs: inputs, size: size, changed: make(chan struct{}, 1),
		o: o, out: make(chan *pipeline.Raw, 1), free: make(chan *pipeline.Raw, o.Pool), drainCh: make(chan struct{}),
		files: map[fileKey]*file{}, streams: map[activity.StreamID]*stream{}, refused: map[string]string{}, strangers: map[fileKey]int64{}, begins: map[[16]byte][]*stream{}, stems: map[string]string{},
		queues: map[family]*queue{}, damaged: map[string]int64{}, since: map[family]time.Time{}, volumes: map[uint64]*volume{}, statVolume: statVolume, scratch: make([]byte, 64<<10), started: o.Now(),
	}
	t.fill.Store(int64(o.BatchBytes))
	for range o.Pool {
		t.free <- &pipeline.Raw{Buf: make([]byte, 0, size)}
	}
	known := o.Registry.Streams()
	t.first = len(known) == 0
	for _, s := range known {
		src := &pipeline.Stream{ID: s.ID, Path: s.Path}
		if in := t.inputOf(filepath.Join(s.Dir, s.Stem)); in != nil {
			src = in.source(s.ID, s.Path)
		}
		t.know(&stream{
			Stream: s, src: src, off: s.Offset, acked: s.Offset, tailSum: s.TailSum, tailLen: s.TailLen, lostAt: o.Now(),
		})
	}
	return t, nil
}

func (t *Tailer) know(s *stream) {
	t.streams[s.ID] = s
	t.begins[s.Begin] = append(t.begins[s.Begin], s)
	fam := family{s.Dir, s.Stem}
	if since, ok := t.since[fam]; ok && !s.Since.IsZero() && s.Since.Before(since) {
		t.since[fam] = s.Since
	}
}

func (t *Tailer) unknow(s *stream) {
	delete(t.streams, s.ID)
	delete(t.since, family{s.Dir, s.Stem})
	rest := slices.DeleteFunc(t.begins[s.Begin], func(o *stream) bool { return o == s })
	if t.begins[s.Begin] = rest; len(rest) == 0 {
		delete(t.begins, s.Begin)
	}
}

// Batches returns where batches come out. It is closed when Run returns.
func (t *Tailer) Batches() <-chan *pipeline.Raw { return t.out }

// Release takes back a batch that came from Batches or Reload. Nothing of it may be used afterwards.
func (t *Tailer) Release(r *pipeline.Raw) {
	clear(r.Ranges)
	r.Reset()
	select {
	case t.free <- r:
	default: // one more than the pool holds: made by Reload
	}
}

// Fill has batches handed over with fewer raw bytes than Options.BatchBytes, or with as many again: for lines that what is
// made of them is much larger than.
func (t *Tailer) Fill(bytes int) { t.fill.Store(int64(min(bytes, t.o.BatchBytes))) }

// Acked tells that the outcome of these ranges is known.
func (t *Tailer) Acked(rs []pipeline.Range) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range rs {
		s := t.streams[rs[i].Stream.ID]
		if s == nil {
			continue
		}
		if _, ok := s.pending[rs[i].Start]; !ok {
			continue
		}
		t.outstanding--
		end := rs[i].End
		if s.acked != rs[i].Start {
			s.pending[rs[i].Start] = -end // acked before what comes before it
			continue
		}
		delete(s.pending, rs[i].Start)
		for s.acked = end; s.pending[s.acked] < 0; {
			next := -s.pending[s.acked]
			delete(s.pending, s.acked)
			s.acked = next
		}
	}
	t.changedAt = t.o.Now()
}

// Drain asks Run to read to the end of what is written now, to hand it over, and to return. Whole lines are all handed
// over, also of a record that waits for another one. A last line without a newline is handed over if it is a complete JSON
// value that is no number; otherwise it stays for the next run.
func (t *Tailer) Drain() { t.drained.Do(func() { close(t.drainCh) }) }

// IdleSince reports whether every input has been read to its end and all of it is acked, and since when.
func (t *Tailer) IdleSince() (time.Time, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.scanned || len(t.ring) > 0 || len(t.waiting) > 0 || t.filled() || t.next != nil || t.outstanding > 0 {
		return time.Time{}, false
	}
	for _, f := range t.files {
		if f.waits() {
			return time.Time{}, false
		}
	}
	return t.changedAt, true
}

// filled reports whether the batch being filled has anything in it.
func (t *Tailer) filled() bool { return t.cur != nil && len(t.cur.Ranges) > 0 }

// Run reads until ctx is done or what Drain asks for is done. It owns the descriptors and the notifications, and
// releases both before it returns. What was read and not handed over is read again by the next run.
func (t *Tailer) Run(ctx context.Context) error {
	defer close(t.out)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.notify = newNotifier(t.o.Logger, t.o.NoNotify)
	defer t.notify.stop()
	defer t.closeFiles()
	t.changedAt = t.o.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		t.step()
		if t.finished && t.next == nil {
			return nil
		}
		out, free, drain := t.channels()
		next := t.next
		timer.Reset(t.wait())
		t.mu.Unlock()
		var taken *pipeline.Raw
		var sent, asked, named, written bool
		select {
		case <-ctx.Done():
		case out <- next:
			sent = true
		case taken = <-free:
		case <-drain:
			asked = true
		case <-t.notify.named:
			named = true
		case <-t.notify.written:
			written = true
		case <-t.changed:
		case <-timer.C:
		}
		t.mu.Lock()
		switch {
		case ctx.Err() != nil:
			return nil
		case sent:
			t.next = nil
		case taken != nil:
			t.fit(taken)
			t.cur = taken
		case asked:
			t.startDrain()
		case named:
			t.scanSoon()
		case written && t.lookAt.IsZero():
			t.lookAt = t.o.Now().Add(t.o.Gather)
		}
	}
}

// channels returns those of the three that the loop has a use for now; the others are nil and block.
func (t *Tailer) channels() (out chan<- *pipeline.Raw, free <-chan *pipeline.Raw, drain <-chan struct{}) {
	if t.next != nil {
		out = t.out
	}
	if t.cur == nil && (len(t.ring) > 0 || t.draining) {
		free = t.free
	}
	if !t.draining {
		drain = t.drainCh
	}
	return out, free, drain
}

// wait is how long nothing is due.
func (t *Tailer) wait() time.Duration {
	until := t.scanAt
	if t.pollAt.Before(until) {
		until = t.pollAt
	}
	if l := t.due(); t.next == nil && t.filled() && l.Before(until) {
		until = l
	}
	if !t.lookAt.IsZero() && t.lookAt.Before(until) {
		until = t.lookAt
	}
	for _, f := range t.waiting {
		if l := f.hold.since.Add(t.o.JoinWait); l.Before(until) {
			until = l
		}
	}
	return max(until.Sub(t.o.Now()), 0)
}

// due is when the batch being filled is handed over, full or not. Where there is more to read, it waits for that.
func (t *Tailer) due() time.Time {
	if len(t.ring) > 0 {
		return t.curSince.Add(t.o.Linger)
	}
	return t.handedAt.Add(t.o.Linger)
}

// step does what is due: look for files, look at files, read until a batch is full or every file is at its end, and
// take a batch that has waited long enough for more.
func (t *Tailer) step() {
	now := t.o.Now()
	if !now.Before(t.scanAt) {
		t.scan(now)
		t.scanAt = t.o.Now().Add(t.o.ScanEvery)
	}
	if !now.Before(t.pollAt) {
		t.poll()
		t.pollAt = t.o.Now().Add(t.o.PollEvery)
	}
	if !t.lookAt.IsZero() && !now.Before(t.lookAt) {
		t.look(now)
	}
	t.settleHolds(t.o.Now())
	for t.next == nil && len(t.ring) > 0 && t.o.Now().Before(t.scanAt) {
		if t.cur == nil {
			select {
			case t.cur = <-t.free:
				t.fit(t.cur)
			default:
				return
			}
		}
		t.readTurn()
	}
	if t.next == nil && t.draining && len(t.ring) == 0 {
		t.finished = t.finishRemainders()
	}
	if t.next == nil && t.filled() && (t.draining && len(t.ring) == 0 || !t.o.Now().Before(t.due())) {
		t.handOver()
		t.handedAt = now
		if !t.lookAt.IsZero() {
			t.lookAt = now.Add(t.o.Linger) // what is read with the next look is due then
		}
	}
}

// startDrain looks at everything one last time. From here on a file ends where it ends now.
func (t *Tailer) startDrain() {
	t.scan(t.o.Now())
	t.poll()
	t.draining = true
	for _, f := range t.files {
		f.limit = f.size
	}
}

// look takes the notifications of writes. While there are some, they are taken from time to time and wake nobody.
func (t *Tailer) look(now time.Time) {
	paths, lost := t.notify.writes()
	for path := range paths {
		if f := t.byPath(path); f != nil {
			t.check(f)
		} else if t.refused[path] == "" && t.inputOf(path) != nil {
			lost = true
		}
	}
	if lost {
		t.scanSoon()
	}
	if t.lookAt = now.Add(t.o.Linger); len(paths) == 0 && !lost {
		t.lookAt = time.Time{}
	}
}

// scanSoon has the next scan come earlier.
func (t *Tailer) scanSoon() {
	if next := t.scannedAt.Add(scanPause); next.Before(t.scanAt) {
		t.scanAt, t.pollAt = next, next
	}
}

// scanPause is the least time between two scans that notifications ask for.
const scanPause = 20 * time.Millisecond

// handOver ends the batch being filled.
func (t *Tailer) handOver() {
	t.endRange()
	t.expect(t.cur.Ranges)
	t.next, t.cur, t.curSince, t.sealed = t.cur, nil, time.Time{}, false
	t.changedAt = t.o.Now()
}

// expect notes that ranges are under way until they are acked.
func (t *Tailer) expect(ranges []pipeline.Range) {
	for i := range ranges {
		r := &ranges[i]
		s := t.streams[r.Stream.ID]
		if s == nil {
			continue
		}
		if s.pending == nil {
			s.pending = map[int64]int64{}
		}
		if len(s.pending) == 0 {
			s.acked = r.Start
		}
		s.pending[r.Start] = r.End
		t.outstanding++
	}
}

func (t *Tailer) closeFiles() {
	for _, f := range t.files {
		t.closeFile(f)
	}
}

// put tells the registry of s.
func (t *Tailer) put(s *stream) error {
	s.SeenAt = t.o.Now()
	if err := t.o.Registry.PutStream(s.Stream); err != nil {
		return fmt.Errorf("remember %s in the ledger: %w", filepath.Base(s.Path), err)
	}
	return nil
}

func pathExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
