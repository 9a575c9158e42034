package journal

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/truledgr/activity-agent/agent/ledger"
)

func TestWhatIsConfirmedIsDeliveredOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{SegmentBytes: 2000, BatchBytes: 1500})
	all := names("r", 60)
	for part := range slices.Chunk(all, 3) {
		b.mustAdd(part...)
	}
	if n := len(b.segments()); n < 5 {
		t.Fatalf("there are %d segments, want several", n)
	}
	b.deliver(1000)
	b.once(all...)
	b.reopen()
	b.mustAdd("later")
	b.deliver(1000)
	b.once(append(all, "later")...)
}

// TestAKillAtEachBatch: after any number of outcomes, the next start replays the batch that has an intent, and reads on
// behind it.
func TestAKillAtEachBatch(t *testing.T) {
	t.Parallel()
	for stop := range 8 {
		t.Run(fmt.Sprint(stop), func(t *testing.T) {
			t.Parallel()
			b := newBench(t, Options{SegmentBytes: 3000, BatchBytes: 1200})
			all := names("r", 30)
			for part := range slices.Chunk(all, 2) {
				b.mustAdd(part...)
			}
			b.deliver(stop)
			b.reopen()
			b.mustAdd("later")
			b.deliver(1000)
			b.once(append(all, "later")...)
		})
	}
}

func TestConcurrentRequestsShareFsyncs(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	var wg sync.WaitGroup
	for w := range 32 {
		batch := b.batch(fmt.Sprint("w", w))
		wg.Go(func() {
			for range 20 {
				g, err := b.journal.Append(batch, nil)
				if err == nil {
					err = g.Wait(t.Context())
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	st := b.journal.Stats()
	if st.Records != 640 || st.Commits >= 640 || st.Err != nil {
		t.Errorf("got %+v", st)
	}
	b.deliver(1000)
	for w := range 32 {
		if n := b.seen[fmt.Sprint("w", w)]; n != 20 {
			t.Errorf("w%d was delivered %d times, want 20", w, n)
		}
	}
}

// TestAFaultFailsItsGroupAndNoOther: a request is answered with the error, does not come back, and the next one is taken.
func TestAFaultFailsItsGroupAndNoOther(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"create", "write", "sync", "syncdir"} {
		for _, fresh := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, first %t", op, fresh), func(t *testing.T) {
				t.Parallel()
				d := &faultyDisk{fail: map[string]int{}}
				b := newBench(t, Options{disk: d, SegmentBytes: 1})
				var want []string
				if !fresh {
					b.mustAdd("before")
					want = append(want, "before")
				}
				d.mu.Lock()
				d.fail[op] = 1
				d.mu.Unlock()
				if err := b.add("failed"); !errors.Is(err, errFault) {
					t.Fatalf("got %v", err)
				}
				if b.journal.Stats().Err == nil {
					t.Error("nothing tells of the fault")
				}
				b.mustAdd("after")
				want = append(want, "after")
				if b.journal.Stats().Err != nil {
					t.Error("the fault is over, and still told of")
				}
				b.reopen()
				b.deliver(1000)
				b.once(want...)
			})
		}
	}
}

// TestAFsyncThatFailedDoesNotComeBack: the bytes are in the file, and were never confirmed.
func TestAFsyncThatFailedDoesNotComeBack(t *testing.T) {
	t.Parallel()
	d := &faultyDisk{fail: map[string]int{}}
	b := newBench(t, Options{disk: d})
	b.mustAdd("before")
	seg := b.segments()[0]
	d.mu.Lock()
	d.fail["sync"] = 1
	d.mu.Unlock()
	if err := b.add("failed"); err == nil {
		t.Fatal("the fault was not told")
	}
	b.mustAdd("after")
	// The truncation of the abandoned segment was lost, too.
	good, err := os.ReadFile(seg)
	if err != nil {
		t.Fatal(err)
	}
	b.close()
	if err := os.WriteFile(seg, append(good, bytes.Repeat(good[headerSize:], 2)...), 0o600); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.deliver(1000)
	b.once("before", "after")
}

func TestATornTailIsCut(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.mustAdd("one")
	b.mustAdd("two")
	b.close()
	seg := b.segments()[0]
	whole, err := os.ReadFile(seg)
	if err != nil {
		t.Fatal(err)
	}
	for cut := len(whole) - 1; cut > headerSize; cut -= 37 {
		if err := os.WriteFile(seg, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		b.open()
		if n := b.journal.Stats().Damaged; n != 0 {
			t.Errorf("cut at %d: %d bytes are called damaged", cut, n)
		}
		b.close()
	}
	if err := os.WriteFile(seg, whole[:len(whole)-5], 0o600); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.mustAdd("three")
	b.deliver(1000)
	b.once("one", "three")
}

func TestDamageCostsWhatWasInIt(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.mustAdd("one")
	end := b.journal.Stats().Bytes
	b.mustAdd("two")
	b.mustAdd("three")
	b.close()
	spoil(t, b.segments()[0], end+40)
	b.open()
	if b.journal.Stats().Damaged == 0 {
		t.Error("nothing tells of the damage")
	}
	b.deliver(1000)
	b.once("one", "three")
}

// TestAReplayOfWhatIsGoneIsLost: the intent is there, and the segment is not.
func TestAReplayOfWhatIsGoneIsLost(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.mustAdd("one", "two")
	b.deliver(0)
	b.close()
	if err := os.RemoveAll(filepath.Join(b.dir, "journal")); err != nil {
		t.Fatal(err)
	}
	b.open()
	pending := b.ledger.Pending()
	if len(pending) != 1 || !b.journal.Wrote(pending[0]) {
		t.Fatalf("%d intents are pending", len(pending))
	}
	kept, err := b.journal.Reload(pending[0])
	if err != nil || len(kept.Records) != 2 {
		t.Fatalf("%v, %+v", err, kept)
	}
	for _, r := range kept.Records {
		if r.Reason != "source_gone" {
			t.Errorf("got %+v", r)
		}
	}
}

func TestSegmentsAreDeletedWhenOutcomesAreDurable(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{SegmentBytes: 500})
	all := names("r", 20)
	for _, name := range all {
		b.mustAdd(name)
	}
	before := len(b.segments())
	b.deliver(1)
	if n := len(b.segments()); n < before-1 {
		t.Errorf("%d of %d segments are left while outcomes are missing", n, before)
	}
	b.reopen()
	b.deliver(1000)
	eventually(t, "the segments to go", func() bool { return len(b.segments()) == 1 })
	eventually(t, "their bytes to be given back", func() bool { return b.journal.Stats().Bytes < 1500 })
	b.once(all...)
	b.reopen()
	b.deliver(1000)
	b.once(all...)
}

func TestTheBudgetBoundsTheDisk(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{Budget: 20_000, SegmentBytes: 2_000})
	var taken []string
	var err error
	for i := 0; err == nil; i++ {
		name := fmt.Sprint("r", i)
		if err = b.add(name); err == nil {
			taken = append(taken, name)
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	size := int64(0)
	for _, path := range b.segments() {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		size += info.Size()
	}
	if st := b.journal.Stats(); size != st.Bytes || size < 20_000 || size > 25_000 {
		t.Errorf("there are %d bytes, counted as %d", size, st.Bytes)
	}
	b.deliver(1000)
	b.once(taken...)
	eventually(t, "room", func() bool { return b.add("more") == nil })
}

// TestALostLedgerMeansAllAgain: twice rather than not at all.
func TestALostLedgerMeansAllAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.mustAdd("one")
	b.deliver(1000)
	b.close()
	if err := os.Remove(filepath.Join(b.dir, "ledger")); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.deliver(1000)
	if b.seen["one"] != 2 {
		t.Errorf("got %v", b.seen)
	}
}

// TestALostIntentIsReadAgain: damage to the ledger makes a gap in the journal's stream.
func TestALostIntentIsReadAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{BatchBytes: 300})
	b.mustAdd("one")
	b.mustAdd("two")
	b.mustAdd("three")
	b.deliver(1000)
	kept, next, err := b.journal.ReadAgain(headerSize, b.journal.end)
	if err != nil || len(kept.Records) != 1 || next != kept.Ranges[0].End {
		t.Fatalf("%v, %d, %+v", err, next, kept)
	}
	if !strings.Contains(string(kept.Records[0].Body), `"one"`) {
		t.Errorf("got %s", kept.Records[0].Body)
	}
	if _, _, err := b.journal.ReadAgain(b.journal.end, b.journal.end+500); !errors.Is(err, ErrGone) {
		t.Errorf("got %v", err)
	}
}

func TestFilesAreTheAgentsAlone(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.mustAdd("one")
	err := filepath.WalkDir(filepath.Join(b.dir, "journal"), func(path string, d fs.DirEntry, err error) error {
		info, _ := d.Info()
		want := fs.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %o", path, info.Mode().Perm())
		}
		if text, _ := os.ReadFile(path); bytes.Contains(text, []byte("swordfish")) {
			t.Errorf("%s holds the secret", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestForeignFilesInTheDirectory: what is no segment is left alone, and an old journal's stream is forgotten.
func TestForeignFilesInTheDirectory(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{})
	b.mustAdd("one")
	b.deliver(1000)
	other := ledger.Stream{ID: [16]byte{1}, Dir: filepath.Join(b.dir, "journal"), Stem: "journal"}
	if err := b.ledger.PutStream(other); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.dir, "journal", "notes.journal"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.reopen()
	if got := b.ledger.Streams(); len(got) != 1 || got[0].ID != b.journal.ID() {
		t.Errorf("got %+v", got)
	}
	b.deliver(1000)
	b.once("one")
}

// FuzzRequest: no bytes in a frame make the reader panic, or read beyond them.
func FuzzRequest(f *testing.F) {
	b := &bench{seen: map[string]int{}}
	var err error
	if b.pipe, err = newPipe(); err != nil {
		f.Fatal(err)
	}
	f.Add(appendRequest(nil, b.batch("a", "b"), nil)[13:])
	f.Add(appendRequest(nil, b.batch("a"), &Key{Hash: [16]byte{1}, Time: 5})[13:])
	f.Fuzz(func(_ *testing.T, body []byte) {
		var out Batch
		r, err := decodeRequest(body, &out.Redactions)
		if err == nil {
			_ = r.appendTo(&out.Saved, int64(len(body)))
		}
	})
}
