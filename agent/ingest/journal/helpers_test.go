package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long tests wait for what has to happen: far longer than it takes on the busiest machine.
const patience = 60 * time.Second

// A bench is a journal in a state directory of its own, and what of it was delivered.
type bench struct {
	t       *testing.T
	dir     string
	o       Options
	ledger  *ledger.Ledger
	journal *Journal
	pipe    *pipeline.Pipeline
	seen    map[string]int // documents delivered, by their description
}

func newBench(t *testing.T, o Options) *bench {
	t.Helper()
	b := &bench{t: t, dir: t.TempDir(), o: o, seen: map[string]int{}}
	b.open()
	t.Cleanup(func() { b.close() })
	return b
}

func (b *bench) open() {
	b.t.Helper()
	var err error
	if b.ledger, err = ledger.Open(b.dir, ledger.Options{AgentID: "test", LockWait: patience}); err != nil {
		b.t.Fatal(err)
	}
	o := b.o
	o.Dir, o.Ledger = filepath.Join(b.dir, "journal"), b.ledger
	if o.Linger == 0 {
		o.Linger = time.Millisecond
	}
	if b.journal, err = Open(o); err != nil {
		b.t.Fatal(err)
	}
	b.pipe, err = pipeline.New(pipeline.Options{Config: pipeline.DefaultConfig(), AgentID: "test", Chain: b.ledger.Chain()})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) close() {
	b.t.Helper()
	if err := errors.Join(b.journal.Close(), b.ledger.Close()); err != nil {
		b.t.Error(err)
	}
}

func (b *bench) reopen() {
	b.t.Helper()
	b.close()
	b.open()
}

// batch makes a batch of one record a name.
func (b *bench) batch(names ...string) *pipeline.Batch {
	raw := &pipeline.Raw{Ranges: []pipeline.Range{{Stream: &pipeline.Stream{Journaled: true}}}}
	for i, name := range names {
		line := fmt.Sprintf(`{"description":%q,"password":"swordfish"}`, name)
		raw.Cuts = append(raw.Cuts, pipeline.Cut{First: int32(i), Pieces: 1})
		raw.Pieces = append(raw.Pieces, pipeline.Piece{Offset: int64(len(raw.Buf)), At: int32(len(raw.Buf)), Len: int32(len(line))})
		raw.Buf = append(raw.Buf, line...)
	}
	out := new(pipeline.Batch)
	b.pipe.Process(raw, 0, time.Now(), out)
	return out
}

// add appends a request and waits for it.
func (b *bench) add(names ...string) error {
	g, err := b.journal.Append(b.batch(names...), nil)
	if err != nil {
		return err
	}
	return g.Wait(b.t.Context())
}

func (b *bench) mustAdd(names ...string) {
	b.t.Helper()
	if err := b.add(names...); err != nil {
		b.t.Fatal(err)
	}
}

// deliver hands over what is in the journal: intents and outcomes are real, the store is a map. After stop batches there
// is no further outcome, as when the agent is killed.
func (b *bench) deliver(stop int) {
	b.t.Helper()
	b.replay()
	b.journal.Drain()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _ = b.journal.Run(context.WithoutCancel(b.t.Context())) })
	n := 0
	for kept := range b.journal.Batches() {
		out := new(pipeline.Batch)
		b.pipe.Restore(&kept.Saved, nil, b.ledger.NextBatch(), time.Now(), out)
		b.journal.Release(kept)
		if n++; n > stop+1 {
			continue
		}
		if err := b.ledger.Append(out, ledger.Meta{Mark: -1}); err != nil {
			b.t.Error(err)
		}
		if n <= stop {
			b.finish(out)
		}
	}
}

func (b *bench) finish(out *pipeline.Batch) {
	for i := range out.Records {
		if doc := out.Doc(i); doc != nil {
			_, rest, _ := strings.Cut(string(doc), `"description":"`)
			name, _, _ := strings.Cut(rest, `"`)
			b.seen[name]++
		}
	}
	if err := b.ledger.Finish(ledger.Outcome{Number: out.Number, Stored: int64(len(out.Records))}); err != nil {
		b.t.Error(err)
	}
	b.journal.Acked(out.Number, out.Ranges)
}

func (b *bench) replay() {
	b.t.Helper()
	for _, in := range b.ledger.Pending() {
		if !b.journal.Wrote(in) {
			b.t.Fatalf("batch %d is not the journal's", in.Number)
		}
		kept, err := b.journal.Reload(in)
		if err != nil {
			b.t.Fatal(err)
		}
		out := new(pipeline.Batch)
		b.pipe.Restore(&kept.Saved, nil, in.Number, in.Time, out)
		for i := range out.Records {
			if r := &out.Records[i]; r.Fate == pipeline.Deliver && r.Leaf != in.Decisions[i].Leaf {
				b.t.Errorf("batch %d, record %d has another leaf than its intent", in.Number, i)
			}
		}
		b.finish(out)
	}
}

// once checks that each name was delivered once, and nothing else.
func (b *bench) once(names ...string) {
	b.t.Helper()
	for _, name := range names {
		if n := b.seen[name]; n != 1 {
			b.t.Errorf("%s was delivered %d times", name, n)
		}
	}
	if len(b.seen) != len(names) {
		b.t.Errorf("%d records were delivered, want %d: %v", len(b.seen), len(names), b.seen)
	}
}

func (b *bench) segments() []string {
	b.t.Helper()
	names, err := filepath.Glob(filepath.Join(b.dir, "journal", "*"+segmentSuffix))
	if err != nil {
		b.t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func names(prefix string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%s-%d", prefix, i))
	}
	return out
}

// faultyDisk fails what it is told to fail, leaving half of a write behind.
type faultyDisk struct {
	osDisk
	mu   sync.Mutex
	fail map[string]int // by operation: how often
}

var errFault = errors.New("injected fault")

func (d *faultyDisk) fails(op string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail[op] == 0 {
		return false
	}
	d.fail[op]--
	return true
}

func (d *faultyDisk) Create(path string) (file, error) {
	if d.fails("create") {
		return nil, errFault
	}
	f, err := d.osDisk.Create(path)
	return &faultyFile{f, d}, err
}

func (d *faultyDisk) SyncDir(dir string) error {
	if d.fails("syncdir") {
		return errFault
	}
	return d.osDisk.SyncDir(dir)
}

type faultyFile struct {
	file
	d *faultyDisk
}

func (f *faultyFile) Write(b []byte) (int, error) {
	if f.d.fails("write") {
		n, _ := f.file.Write(b[:len(b)/2])
		return n, errFault
	}
	return f.file.Write(b)
}

func (f *faultyFile) Sync() error {
	if f.d.fails("sync") {
		return errFault
	}
	return f.file.Sync()
}

// spoil changes one byte of a file.
func spoil(t *testing.T, path string, at int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 0x55
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
}
