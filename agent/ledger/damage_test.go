package ledger

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/frame"
	"github.com/truledgr/activity-agent/pipeline"
)

// quickDisk does not wait for the disk, for tests that open a ledger thousands of times.
type quickDisk struct{ osDisk }

func (d quickDisk) Create(path string) (file, error) {
	f, err := d.osDisk.Create(path)
	return quickFile{f}, err
}
func (quickDisk) SyncDir(string) error { return nil }

type quickFile struct{ file }

func (quickFile) Sync() error { return nil }

// ramDir is a t.TempDir in memory, where there is such a place.
func ramDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ledger")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

var quick = Options{AgentID: "ns/pod/app", disk: quickDisk{}}

// A sample is a small ledger with everything in it, and what each of its frames is.
type sample struct {
	bytes   []byte
	at      []int
	types   []byte
	batches map[uint64]*pipeline.Batch
	numbers []uint64 // by frame: of its batch, or 0
	chain   activity.ChainID
}

func newSample(t *testing.T) *sample { return newSampleCompacted(t, 0) }

// newSampleCompacted makes a sample in which the file is replaced with a batch, if any.
func newSampleCompacted(t *testing.T, compact uint64) *sample {
	t.Helper()
	dir := ramDir(t)
	l := mustOpen(t, dir, quick)
	s := &sample{batches: make(map[uint64]*pipeline.Batch), chain: l.Chain()}
	offset := map[byte]int64{1: 0, 2: 700}
	for b, off := range offset {
		if err := l.PutStream(Stream{ID: id(b), Dir: "/var/log/app", Stem: "app.log", Ordinal: uint32(b), Offset: off}); err != nil {
			t.Fatal(err)
		}
	}
	for n := uint64(1); n <= 7; n++ {
		b := &pipeline.Batch{Number: n, Time: start}
		for _, st := range []byte{1, 2} {
			if st == 1 || n%2 == 0 {
				addRange(b, id(st), offset[st], offset[st]+200)
				offset[st] += 200
			}
		}
		s.batches[n] = b
		if n == compact {
			l.limit = 1
		}
		mustAppend(t, l, b)
		switch n {
		case 1, 3, 4:
			mustFinish(t, l, n)
		case 5:
			_ = l.PutStream(Stream{ID: id(1), Dir: "/var/log/app", Stem: "app.log", Ordinal: 1, Path: "renamed"})
		case 6:
			mustFinish(t, l, 2)
		}
	}
	mustClose(t, l)
	s.bytes = readLedger(t, dir)
	s.at, s.types = frames(t, s.bytes)
	for i, typ := range s.types {
		body := s.bytes[s.at[i]+frame.Head+1 : s.at[i+1]]
		var in Intent
		switch typ {
		case entryIntent, entryCarried:
			_, _, _ = decodeIntent(body, &in, nil)
		case entryOutcome:
			v, _ := decodeOutcome(body)
			in.Number = v.Number
		}
		s.numbers = append(s.numbers, in.Number)
	}
	return s
}

// check holds a ledger that was opened with some frames unreadable against what the readable ones say.
func (s *sample) check(t *testing.T, l *Ledger, bad func(frame int) bool) {
	t.Helper()
	intents, outcomes := map[uint64]bool{}, map[uint64]bool{}
	for n := uint64(1); n <= 7; n++ {
		outcomes[n] = !slices.Contains(s.numbers, n) // done with before the file was begun
	}
	for i, typ := range s.types {
		if !bad(i) && (typ == entryIntent || typ == entryCarried) {
			intents[s.numbers[i]] = true
		}
		if !bad(i) && typ == entryOutcome {
			outcomes[s.numbers[i]] = true
		}
	}
	var pending []*Intent
	for n := uint64(1); n <= 7; n++ {
		if intents[n] && !outcomes[n] {
			pending = append(pending, intentOf(s.batches[n], meta))
		}
	}
	if got := l.Pending(); !reflect.DeepEqual(pending, got) {
		t.Errorf("pending (-want +got):\n%s", cmp.Diff(pending, got))
	}
	s.checkCoverage(t, l, intents, outcomes)
}

// checkCoverage sees that every byte of a lost intent will be read again or has an outcome, and no other byte.
func (s *sample) checkCoverage(t *testing.T, l *Ledger, intents, outcomes map[uint64]bool) {
	t.Helper()
	off, gaps := offsets(l), l.Gaps()
	for n, b := range s.batches {
		for _, r := range b.Ranges {
			again := r.Start >= off[r.Stream.ID] || slices.ContainsFunc(gaps, func(g Gap) bool {
				return g.Stream == r.Stream.ID && g.Start <= r.Start && r.End <= g.End
			})
			if intents[n] && again {
				t.Errorf("batch %d of stream %x is read again, and its intent is there", n, r.Stream.ID[:1])
			}
			if !intents[n] && !outcomes[n] && !again {
				t.Errorf("batch %d of stream %x is lost: offset %d, gaps %v", n, r.Stream.ID[:1], off[r.Stream.ID], gaps)
			}
		}
	}
}

// reopened sees that a repaired ledger is sound, says the same, and goes on.
func reopened(t *testing.T, l *Ledger, dir string) {
	t.Helper()
	streams, gaps, pending, next := l.Streams(), l.Gaps(), l.Pending(), l.NextBatch()
	mustClose(t, l)
	l = mustOpen(t, dir, quick)
	for _, k := range kinds(l) {
		if k != GapOpened {
			t.Errorf("repaired again: %v", l.Repairs())
		}
	}
	if got := l.Streams(); !reflect.DeepEqual(streams, got) {
		t.Errorf("streams after a restart (-want +got):\n%s", cmp.Diff(streams, got))
	}
	if got := l.Gaps(); !reflect.DeepEqual(gaps, got) {
		t.Errorf("gaps after a restart (-want +got):\n%s", cmp.Diff(gaps, got))
	}
	if got := l.Pending(); !reflect.DeepEqual(pending, got) {
		t.Errorf("pending after a restart (-want +got):\n%s", cmp.Diff(pending, got))
	}
	if got := l.NextBatch(); got != next {
		t.Errorf("NextBatch after a restart: got %d, want %d", got, next)
	}
	mustAppend(t, l, batchOf(next, id(3), 0, 100))
	mustClose(t, l)
}

func TestFlippedByteAtEveryOffset(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	for off := range s.bytes {
		b := slices.Clone(s.bytes)
		b[off] ^= 1 << (off % 8)
		frame, _ := slices.BinarySearch(s.at, off+1)
		frame--
		t.Run(fmt.Sprint(off), func(t *testing.T) {
			dir := ramDir(t)
			writeLedger(t, dir, b)
			l := mustOpen(t, dir, quick)
			if len(l.Repairs()) == 0 {
				t.Error("no repair is named")
			}
			if l.Chain() != s.chain {
				t.Error("the chain is lost")
			}
			if got := l.NextBatch(); got <= 7 && s.types[frame] != entryOutcome && !slices.Contains(kinds(l), TornTail) {
				t.Errorf("NextBatch: got %d, which was used", got)
			}
			s.check(t, l, func(i int) bool { return i == frame })
			if !slices.Contains(kinds(l), TornTail) {
				if got, want := quarantined(t, dir), s.at[frame+1]-s.at[frame]; got != want {
					t.Errorf("quarantined: got %d bytes, want %d", got, want)
				}
			}
			if off%7 == 0 {
				reopened(t, l, dir)
			}
		})
	}
}

func TestTruncatedAtEveryLength(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	for n := range s.bytes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			dir := ramDir(t)
			writeLedger(t, dir, s.bytes[:n])
			l := mustOpen(t, dir, quick)
			s.check(t, l, func(i int) bool { return s.at[i+1] > n })
			if n >= s.at[1] && l.Chain() != s.chain {
				t.Error("the chain is lost")
			}
			torn := !slices.Contains(s.at, n)
			if got := slices.Contains(kinds(l), TornTail); got != torn {
				t.Errorf("repairs %v, torn %v", l.Repairs(), torn)
			}
			if got := quarantined(t, dir); got != 0 {
				t.Errorf("%d bytes of a torn tail were quarantined", got)
			}
			if n%5 == 0 {
				reopened(t, l, dir)
			}
		})
	}
}

// TestDamageAfterCompaction spoils each frame of a file that has carried intents in it.
func TestDamageAfterCompaction(t *testing.T) {
	t.Parallel()
	for compact := uint64(2); compact <= 7; compact++ {
		s := newSampleCompacted(t, compact)
		for fr := range s.types {
			t.Run(fmt.Sprintf("at batch %d, frame %d", compact, fr), func(t *testing.T) {
				b := slices.Clone(s.bytes)
				b[s.at[fr]+frame.Head] ^= 0xff
				dir := ramDir(t)
				writeLedger(t, dir, b)
				l := mustOpen(t, dir, quick)
				s.check(t, l, func(i int) bool { return i == fr })
				reopened(t, l, dir)
			})
		}
	}
}

func TestDamagedRun(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	for from := 0; from < len(s.at)-1; from++ {
		for to := from + 1; to < len(s.at); to++ {
			t.Run(fmt.Sprintf("frames %d to %d", from, to), func(t *testing.T) {
				b := slices.Clone(s.bytes)
				for i := s.at[from]; i < s.at[to]; i++ {
					b[i] = 0xa5
				}
				dir := ramDir(t)
				writeLedger(t, dir, b)
				l := mustOpen(t, dir, quick)
				s.check(t, l, func(i int) bool { return from <= i && i < to })
				if got := l.NextBatch(); got <= 7 && s.readable(7, from, to) {
					t.Errorf("NextBatch: got %d, which was used", got)
				}
				if from == 0 && to >= 2 {
					if !slices.Contains(kinds(l), HeaderRebuilt) || l.Chain() == s.chain || l.AgentID() != quick.AgentID {
						t.Error("no new chain without a header")
					}
				}
				reopened(t, l, dir)
			})
		}
	}
}

// readable reports whether frames outside of [from, to) name batch n.
func (s *sample) readable(n uint64, from, to int) bool {
	for i, m := range s.numbers {
		if m == n && (i < from || to <= i) {
			return true
		}
	}
	return false
}

func TestDamageIsReportedByKind(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	first := func(typ byte, number uint64) int {
		for i := range s.types {
			if s.types[i] == typ && s.numbers[i] == number {
				return i
			}
		}
		t.Fatalf("no frame of type %d, batch %d", typ, number)
		return 0
	}
	tests := map[string]struct {
		frames []int
		want   []string
	}{
		"intent with an outcome":    {[]int{first(entryIntent, 4)}, []string{Quarantined}},
		"intent without an outcome": {[]int{first(entryIntent, 6)}, []string{Quarantined, GapOpened}},
		"outcome":                   {[]int{first(entryOutcome, 1)}, []string{Quarantined, ChainForked}},
		"one header":                {[]int{0}, []string{Quarantined}},
		"other header":              {[]int{1}, []string{Quarantined}},
		"both headers":              {[]int{0, 1}, []string{Quarantined, HeaderRebuilt}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := slices.Clone(s.bytes)
			for _, f := range tt.frames {
				b[s.at[f]+frame.Head+2] ^= 0x10
			}
			dir := ramDir(t)
			writeLedger(t, dir, b)
			l := mustOpen(t, dir, quick)
			if diff := cmp.Diff(tt.want, kinds(l)); diff != "" {
				t.Errorf("repairs (-want +got):\n%s\n%v", diff, l.Repairs())
			}
		})
	}
}

func TestGarbageIsQuarantinedAndALedgerMade(t *testing.T) {
	t.Parallel()
	for name, b := range map[string][]byte{
		"text":            bytes.Repeat([]byte("this is no ledger\n"), 5000),
		"only markers":    bytes.Repeat([]byte(frame.Marker), 30_000),
		"huge length":     append([]byte(frame.Marker), bytes.Repeat([]byte{0xff}, 100)...),
		"zeros":           make([]byte, 200_000),
		"empty":           {},
		"frame of nobody": func() []byte { b, at := frame.Open(nil, 99); frame.Close(b, at); frame.Seal(b, 0); return b }(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := ramDir(t)
			writeLedger(t, dir, b)
			l := mustOpen(t, dir, quick)
			if !slices.Contains(kinds(l), HeaderRebuilt) {
				t.Errorf("repairs: %v", l.Repairs())
			}
			if got := quarantined(t, dir); got != 0 && got != len(b) {
				t.Errorf("quarantined: got %d bytes, want %d", got, len(b))
			}
			reopened(t, l, dir)
		})
	}
}

func TestFrameInAFileNameIsNotAnEntry(t *testing.T) {
	t.Parallel()
	forged, at := frame.Open(nil, entryForget)
	victim := id(2)
	forged = append(forged, victim[:]...)
	frame.Close(forged, at)
	frame.Seal(forged, 0)
	dir := ramDir(t)
	l := mustOpen(t, dir, quick)
	_ = l.PutStream(Stream{ID: id(2), Dir: "d"})
	mustAppend(t, l, batchOf(1, id(2), 0, 100))
	size := len(readLedger(t, dir))
	_ = l.PutStream(Stream{ID: id(1), Dir: string(forged)})
	mustAppend(t, l, batchOf(2, id(2), 100, 200))
	mustClose(t, l)
	b := readLedger(t, dir)
	b[size+frame.Head] ^= 1
	writeLedger(t, dir, b)
	l = mustOpen(t, dir, quick)
	if got := offsets(l)[id(2)]; got != 200 {
		t.Errorf("offset of the other stream: got %d, want 200", got)
	}
}

func TestLostRegistrationKeepsTheOffset(t *testing.T) {
	t.Parallel()
	dir := ramDir(t)
	l := mustOpen(t, dir, quick)
	_ = l.PutStream(Stream{ID: id(1), Dir: "d", Offset: 700})
	mustAppend(t, l, batchOf(1, id(1), 700, 900))
	mustClose(t, l)
	b := readLedger(t, dir)
	at, types := frames(t, b)
	b[at[slices.Index(types, entryStream)]+20] ^= 1
	writeLedger(t, dir, b)
	l = mustOpen(t, dir, quick)
	if diff := cmp.Diff([]string{Quarantined, StreamUnnamed}, kinds(l)); diff != "" {
		t.Errorf("repairs (-want +got):\n%s", diff)
	}
	if got := l.Gaps(); len(got) != 0 {
		t.Errorf("what was never to be read is a gap: %v", got)
	}
	_ = l.PutStream(Stream{ID: id(1), Dir: "d"})
	if got := l.Streams()[0]; got.Offset != 900 || got.Dir != "d" {
		t.Errorf("stream put again: %+v", got)
	}
}

// TestGapIsFilled loses an intent and reads its range again, in parts.
func TestGapIsFilled(t *testing.T) {
	t.Parallel()
	dir := ramDir(t)
	l := mustOpen(t, dir, quick)
	for n := int64(1); n <= 3; n++ {
		mustAppend(t, l, batchOf(uint64(n), id(1), (n-1)*1000, n*1000))
	}
	mustClose(t, l)
	b := readLedger(t, dir)
	at, types := frames(t, b)
	b[at[slices.Index(types, entryIntent)+1]+30] ^= 1
	writeLedger(t, dir, b)
	l = mustOpen(t, dir, quick)
	gaps := func(want ...Gap) {
		t.Helper()
		for range 2 {
			if diff := cmp.Diff(want, l.Gaps(), cmpOpts...); diff != "" && len(want)+len(l.Gaps()) > 0 {
				t.Errorf("gaps (-want +got):\n%s", diff)
			}
			if got := offsets(l)[id(1)]; got != 3000 {
				t.Errorf("offset: got %d, want 3000", got)
			}
			mustClose(t, l)
			l = mustOpen(t, dir, quick)
		}
	}
	gaps(Gap{id(1), 1000, 2000})
	mustAppend(t, l, batchOf(l.NextBatch(), id(1), 1200, 1500))
	gaps(Gap{id(1), 1000, 1200}, Gap{id(1), 1500, 2000})
	mustAppend(t, l, batchOf(l.NextBatch(), id(1), 1000, 1200))
	gaps(Gap{id(1), 1500, 2000})
	if err := l.CloseGap(Gap{id(1), 1500, 2000}); err != nil {
		t.Fatal(err)
	}
	gaps()
}

// TestLostOutcomeDoesNotRewind: the file store would cut all that came after batch 1.
func TestLostOutcomeDoesNotRewind(t *testing.T) {
	t.Parallel()
	dir := ramDir(t)
	l := mustOpen(t, dir, quick)
	for n := int64(1); n <= 3; n++ {
		m := meta
		m.Mark = n * 50
		if err := l.Append(batchOf(uint64(n), id(1), (n-1)*100, n*100), m); err != nil {
			t.Fatal(err)
		}
		if n < 3 {
			mustFinish(t, l, uint64(n))
		}
	}
	mustClose(t, l)
	b := readLedger(t, dir)
	at, types := frames(t, b)
	b[at[slices.Index(types, entryOutcome)]+30] ^= 1
	writeLedger(t, dir, b)
	l = mustOpen(t, dir, quick)
	if diff := cmp.Diff([]uint64{3}, numbers(l)); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	if !slices.Contains(kinds(l), OutcomeLost) {
		t.Errorf("repairs: %v", l.Repairs())
	}
}

func TestLeftoversOfACompactionThatCrashed(t *testing.T) {
	t.Parallel()
	s := newSample(t)
	for name, leftover := range map[string][]byte{
		"nothing written": {}, "half written": s.bytes[:len(s.bytes)/2], "not renamed": s.bytes, "garbage": []byte(strings.Repeat("x", 999)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := ramDir(t)
			writeLedger(t, dir, s.bytes)
			if err := os.WriteFile(filepath.Join(dir, newName), leftover, 0o600); err != nil {
				t.Fatal(err)
			}
			l := mustOpen(t, dir, quick)
			if len(l.Repairs()) != 0 {
				t.Errorf("repairs: %v", l.Repairs())
			}
			s.check(t, l, func(int) bool { return false })
			if _, err := os.Stat(filepath.Join(dir, newName)); err == nil {
				t.Error("the leftover is still there")
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte{}, uint16(0))
	f.Add([]byte{1, 1, 1, 1}, uint16(200))
	for typ := byte(1); typ <= entryFlight; typ++ {
		f.Add([]byte{typ, 1, 2, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}, uint16(0))
	}
	f.Fuzz(func(t *testing.T, payload []byte, cut uint16) {
		if len(payload) == 0 {
			return
		}
		// A good checksum over anything: what is behind it must not be trusted.
		b := appendHeader(nil, header{agentID: "a", next: 1})
		b, at := frame.Open(b, payload[0])
		b = append(b, payload[1:]...)
		frame.Close(b, at)
		frame.Seal(b, 0)
		dir := ramDir(t)
		writeLedger(t, dir, b[:max(len(b)-int(cut), 0)])
		l, err := Open(dir, quick)
		if err != nil {
			return
		}
		_, _, _ = l.Pending(), l.Streams(), l.Gaps()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}
