package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/frame"
	"github.com/truledgr/activity-agent/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 11, 23, 12, 0, 0, 123456789, time.UTC)

func mustOpen(tb testing.TB, dir string, o Options) *Ledger {
	tb.Helper()
	if o.AgentID == "" {
		o.AgentID = "ns/pod/app"
	}
	l, err := Open(dir, o)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	tb.Cleanup(func() { _ = l.Close() })
	return l
}

func mustClose(tb testing.TB, l *Ledger) {
	tb.Helper()
	if err := l.Close(); err != nil {
		tb.Fatalf("Close: %v", err)
	}
}

func mustAppend(tb testing.TB, l *Ledger, b *pipeline.Batch) {
	tb.Helper()
	if err := l.Append(b, meta); err != nil {
		tb.Fatalf("Append: %v", err)
	}
}

func mustFinish(tb testing.TB, l *Ledger, n uint64) {
	tb.Helper()
	if err := l.Finish(Outcome{Number: n, Stored: 1}); err != nil {
		tb.Fatalf("Finish: %v", err)
	}
}

var meta = Meta{Fingerprint: [16]byte{1, 2, 3}, Target: Target{IndexPrefix: "activities", Periods: []string{"", "day"}}, Mark: -1}

func id(n byte) activity.StreamID { return activity.StreamID{n, 0xee} }

func leafOf(n uint64) (l pipeline.Leaf) {
	binary.BigEndian.PutUint64(l[:], n)
	l[31] = 1
	return l
}

// batchOf makes a batch of one range with one record a line of 100 bytes.
func batchOf(n uint64, stream activity.StreamID, from, to int64) *pipeline.Batch {
	b := &pipeline.Batch{Number: n, Time: start.Add(time.Duration(n) * time.Second)}
	addRange(b, stream, from, to)
	return b
}

func addRange(b *pipeline.Batch, stream activity.StreamID, from, to int64) {
	b.Ranges = append(b.Ranges, pipeline.Range{
		Stream: &pipeline.Stream{ID: stream}, Start: from, End: to, Sum: uint64(from) * 7, TailSum: uint64(to) * 31, Lines: (to - from) / 100,
	})
	for ; from < to; from += 100 {
		first := int32(len(b.Pieces))
		b.Pieces = append(b.Pieces, pipeline.Piece{Offset: from, Len: 99})
		b.Records = append(b.Records, pipeline.Record{
			Cut: pipeline.Cut{Range: int32(len(b.Ranges) - 1), First: first, Pieces: 1},
			Decision: pipeline.Decision{
				Time: start.UnixNano()/1e6*1e6 + from*1e6, Kind: activity.APITransaction, Dated: true, Leaf: leafOf(b.Number<<32 | uint64(from)),
			},
		})
	}
}

// intentOf is what Pending must give for a batch.
func intentOf(b *pipeline.Batch, m Meta) *Intent {
	in := &Intent{
		Number: b.Number, Time: b.Time, Fingerprint: m.Fingerprint, Target: m.Target, Mark: m.Mark,
		Pieces: append([]pipeline.Piece(nil), b.Pieces...),
	}
	for i := range in.Pieces {
		in.Pieces[i].At = 0
	}
	for _, r := range b.Ranges {
		in.Ranges = append(in.Ranges, IntentRange{
			Stream: r.Stream.ID, Start: r.Start, End: r.End, Sum: r.Sum, TailSum: r.TailSum, Lines: r.Lines,
		})
	}
	for _, r := range b.Records {
		in.Cuts = append(in.Cuts, r.Cut)
		in.Decisions = append(in.Decisions, r.Decision)
	}
	return in
}

func offsets(l *Ledger) map[activity.StreamID]int64 {
	out := make(map[activity.StreamID]int64)
	for _, s := range l.Streams() {
		out[s.ID] = s.Offset
	}
	return out
}

func numbers(l *Ledger) []uint64 {
	var out []uint64
	for _, in := range l.Pending() {
		out = append(out, in.Number)
	}
	return out
}

func kinds(l *Ledger) []string {
	var out []string
	for _, r := range l.Repairs() {
		out = append(out, r.Kind)
	}
	return out
}

func readLedger(tb testing.TB, dir string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func writeLedger(tb testing.TB, dir string, b []byte) {
	tb.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), b, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func quarantined(tb testing.TB, dir string) (total int) {
	tb.Helper()
	es, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	for _, e := range es {
		if strings.HasPrefix(e.Name(), quarantineName) {
			info, err := e.Info()
			if err != nil {
				tb.Fatal(err)
			}
			if got, want := info.Mode().Perm(), os.FileMode(0o600); got != want {
				tb.Errorf("mode of %s: got %v, want %v", e.Name(), got, want)
			}
			total += int(info.Size())
		}
	}
	return total
}

// frames returns where each frame of a sound ledger begins, and its type.
func frames(tb testing.TB, b []byte) (at []int, types []byte) {
	tb.Helper()
	s := frame.Scanner{R: strings.NewReader(string(b)), Size: int64(len(b))}
	for off := int64(0); off < s.Size; {
		payload, next, ok := s.Frame(off)
		if !ok {
			tb.Fatalf("no frame at %d", off)
		}
		at, types = append(at, int(off)), append(types, payload[0])
		off = next
	}
	return append(at, len(b)), types
}

var errFault = errors.New("injected fault")

// faultyDisk fails the operations that are named in fail, as often as told. A failed write leaves half of it behind.
type faultyDisk struct {
	osDisk
	mu   sync.Mutex
	fail map[string]int
}

func (d *faultyDisk) set(op string, times int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail == nil {
		d.fail = make(map[string]int)
	}
	d.fail[op] = times
}

func (d *faultyDisk) fault(op string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail[op] == 0 {
		return nil
	}
	d.fail[op]--
	return fmt.Errorf("%s: %w", op, errFault)
}

func (d *faultyDisk) Create(path string) (file, error) {
	if err := d.fault("create"); err != nil {
		return nil, err
	}
	f, err := d.osDisk.Create(path)
	return &faultyFile{f, d}, err
}

func (d *faultyDisk) Rename(from, to string) error {
	if err := d.fault("rename"); err != nil {
		return err
	}
	return d.osDisk.Rename(from, to)
}

func (d *faultyDisk) SyncDir(dir string) error {
	if err := d.fault("syncdir"); err != nil {
		return err
	}
	return d.osDisk.SyncDir(dir)
}

type faultyFile struct {
	file
	disk *faultyDisk
}

func (f *faultyFile) Write(b []byte) (int, error) {
	if err := f.disk.fault("write"); err != nil {
		n, _ := f.file.Write(b[:len(b)/2])
		return n, err
	}
	return f.file.Write(b)
}

func (f *faultyFile) Sync() error {
	if err := f.disk.fault("sync"); err != nil {
		return err
	}
	return f.file.Sync()
}
