package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/frame"
	"github.com/truledgr/activity-agent/pipeline"
)

func TestFirstStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "state")
	l := mustOpen(t, dir, Options{})
	if got, want := l.NextBatch(), uint64(1); got != want {
		t.Errorf("NextBatch: got %d, want %d", got, want)
	}
	if l.Chain() == (activity.ChainID{}) {
		t.Error("Chain is zero")
	}
	if got := l.Repairs(); len(got) != 0 {
		t.Errorf("repairs on a first start: %v", got)
	}
	for name, want := range map[string]os.FileMode{".": 0o700, fileName: 0o600, lockName: 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode of %s: got %v, want %v", name, got, want)
		}
	}
}

func TestIdentityIsFrozen(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{AgentID: "first"})
	chain := l.Chain()
	mustClose(t, l)
	l = mustOpen(t, dir, Options{AgentID: "second"})
	if got, want := l.AgentID(), "first"; got != want {
		t.Errorf("AgentID: got %q, want %q", got, want)
	}
	if l.Chain() != chain {
		t.Error("the chain changed over a restart")
	}
	other := mustOpen(t, t.TempDir(), Options{})
	if other.Chain() == chain {
		t.Error("two directories have the same chain")
	}
}

func TestSecondAgentIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	_, err := Open(dir, Options{})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second Open: got %v, want ErrLocked naming %s", err, dir)
	}
	mustClose(t, l)
	mustOpen(t, dir, Options{})
}

func TestNewerFormatIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	buf, at := frame.Open(nil, entryHeader)
	buf = append(buf, version+1, 'n', 'e', 'w')
	frame.Close(buf, at)
	frame.Seal(buf, 0)
	writeLedger(t, dir, buf)
	_, err := Open(dir, Options{})
	if !errors.Is(err, ErrNewer) || !strings.Contains(err.Error(), fmt.Sprintf("format %d", version+1)) {
		t.Errorf("Open: got %v, want ErrNewer naming the format", err)
	}
	if got := readLedger(t, dir); !bytes.Equal(got, buf) {
		t.Error("the newer ledger was changed")
	}
}

// odd is a batch with everything that a batch can have.
func odd(n uint64) *pipeline.Batch {
	b := &pipeline.Batch{Number: n, Time: start}
	addRange(b, id(1), 0, 300)
	addRange(b, id(2), 500, 5000)
	addRange(b, id(1), 300, 400)
	b.Pieces[1].Skip = 1 << 40
	b.Pieces[2].Len = 1 << 30
	b.Pieces = append(b.Pieces, pipeline.Piece{Offset: 10}, pipeline.Piece{Offset: 4})
	rs := b.Records
	rs[0].Decision = pipeline.Decision{Time: start.UnixNano(), Kind: activity.NoKind, Fate: pipeline.Drop, Reason: "noisy"}
	rs[1].Decision = pipeline.Decision{Time: -5, Kind: 200, Fate: pipeline.DeadLetter, Dated: true, Reason: "too deep"}
	rs[2].Decision = pipeline.Decision{Time: 1, Kind: activity.SystemEvent, Fate: pipeline.Lost, Reason: "noisy"}
	rs[3].Decision = pipeline.Decision{Time: 1 << 62, Kind: 3, Fate: pipeline.Fate(9), Dated: true, Reason: ""}
	rs[4].Cut = pipeline.Cut{Range: 2, First: 1, Pieces: 7, Format: pipeline.CRI}
	rs[5].Cut = pipeline.Cut{Range: 0, First: 0, Pieces: 1, Format: pipeline.Docker}
	for i := 6; i < 12; i++ {
		rs[i].Format, rs[i].Time = pipeline.Docker, rs[i].Time+1000
	}
	return b
}

func TestIntentComesBack(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		batch *pipeline.Batch
		meta  Meta
	}{
		"one record":   {batchOf(1, id(1), 0, 100), meta},
		"odd":          {odd(1), Meta{Mark: 1 << 40, Target: Target{Periods: []string{"week"}}}},
		"declared":     {batchOf(1, id(1), 0, 100), Meta{Target: Target{IndexPrefix: "a", Periods: []string{8: "day", 9: ""}, Kinds: []string{"payment", "card_refund"}}}},
		"only ranges":  {&pipeline.Batch{Number: 1, Time: start, Ranges: batchOf(1, id(1), 0, 0).Ranges}, meta},
		"empty":        {&pipeline.Batch{Number: 1}, Meta{}},
		"whole second": {batchOf(1, id(1), 1<<50, 1<<50+2000), meta},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			l := mustOpen(t, dir, Options{})
			if err := l.Append(tt.batch, tt.meta); err != nil {
				t.Fatal(err)
			}
			want := []*Intent{intentOf(tt.batch, tt.meta)}
			if diff := cmp.Diff(want, l.Pending(), cmpOpts...); diff != "" {
				t.Errorf("pending (-want +got):\n%s", diff)
			}
			for range 2 { // as appended, and as carried over
				mustClose(t, l)
				l = mustOpen(t, dir, Options{CompactBytes: 1})
				if diff := cmp.Diff(want, l.Pending(), cmpOpts...); diff != "" {
					t.Errorf("pending after a restart (-want +got):\n%s", diff)
				}
				if err := l.PutStream(Stream{ID: id(9)}); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// cmpOpts take nil and empty slices for equal.
var cmpOpts = cmp.Options{
	cmp.FilterValues(func(a, b any) bool { return empty(a) && empty(b) }, cmp.Comparer(func(_, _ any) bool { return true })),
}

func empty(v any) bool {
	switch s := v.(type) {
	case []string:
		return len(s) == 0
	case []pipeline.Piece:
		return len(s) == 0
	case []pipeline.Cut:
		return len(s) == 0
	case []pipeline.Decision:
		return len(s) == 0
	case []IntentRange:
		return len(s) == 0
	}
	return false
}

func TestStreamsFollowTheIntents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	want := Stream{
		ID: id(1), Dir: "/var/log/app", Stem: "app.log", Begin: [16]byte{9}, Ordinal: 3, Path: "/var/log/app/app.log", Device: 7, Inode: 1 << 60,
		SeenAt: start, Since: start.Add(-time.Hour), Offset: 1000, TailSum: 5, TailLen: 6,
	}
	if err := l.PutStream(want); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, batchOf(1, id(1), 1000, 5000))
	want.Marks = Marks{{Offset: 1000, Sum: 5, Len: 6}}
	want.Offset, want.TailSum, want.TailLen, want.LastRead = 5000, 5000*31, 1024, start.Add(time.Second)
	want.Path, want.Inode, want.SeenAt = "/var/log/app/app.log.1", 8, start.Add(time.Hour)
	put := want
	put.Offset, put.TailLen = 1, 1 // not the tailer's any more
	if err := l.PutStream(put); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Stream{want}, l.Streams()); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
	mustClose(t, l)
	l = mustOpen(t, dir, Options{})
	if diff := cmp.Diff([]Stream{want}, l.Streams()); diff != "" {
		t.Errorf("streams after a restart (-want +got):\n%s", diff)
	}
	mustAppend(t, l, batchOf(2, id(1), 5000, 5100))
	if got := l.Streams()[0]; got.Offset != 5100 || got.TailLen != 100 || got.TailSum != 5100*31 {
		t.Errorf("after a short range: got %+v", got)
	}
	if err := l.ForgetStream(id(1)); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	if got := mustOpen(t, dir, Options{}).Streams(); len(got) != 0 {
		t.Errorf("streams after one was forgotten: %v", got)
	}
}

func TestStreamForgottenAndPutAgainStartsAfresh(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	mustAppend(t, l, batchOf(1, id(1), 0, 5000))
	_ = l.ForgetStream(id(1))
	_ = l.PutStream(Stream{ID: id(1), Dir: "d"})
	mustAppend(t, l, batchOf(2, id(1), 0, 200))
	for range 2 {
		if got := offsets(l)[id(1)]; got != 200 {
			t.Errorf("offset: got %d, want 200", got)
		}
		if got := l.Gaps(); len(got) != 0 {
			t.Errorf("gaps: %v", got)
		}
		mustClose(t, l)
		l = mustOpen(t, dir, Options{})
	}
}

func TestBatchOutOfOrderIsRefused(t *testing.T) {
	t.Parallel()
	l := mustOpen(t, t.TempDir(), Options{})
	for _, n := range []uint64{0, 2} {
		if err := l.Append(batchOf(n, id(1), 0, 100), meta); err == nil {
			t.Errorf("batch %d was taken as the first", n)
		}
	}
	if err := l.Finish(Outcome{Number: 1}); err == nil {
		t.Error("an outcome without an intent was taken")
	}
	mustAppend(t, l, batchOf(1, id(1), 0, 100))
	mustFinish(t, l, 1)
	if err := l.Finish(Outcome{Number: 1}); err == nil {
		t.Error("a second outcome was taken")
	}
}

func TestOutcomesInAnyOrder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	for n := uint64(1); n <= 4; n++ {
		mustAppend(t, l, batchOf(n, id(1), int64(n-1)*100, int64(n)*100))
	}
	mustFinish(t, l, 3)
	mustFinish(t, l, 1)
	mustClose(t, l)
	l = mustOpen(t, dir, Options{})
	if diff := cmp.Diff([]uint64{2, 4}, numbers(l)); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	if got, want := l.NextBatch(), uint64(5); got != want {
		t.Errorf("NextBatch: got %d, want %d", got, want)
	}
	if len(l.Repairs()) != 0 {
		t.Errorf("repairs: %v", l.Repairs())
	}
}

func TestOutcomeIsDurableWithinASecondOrWithTheNextIntent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := mustOpen(t, t.TempDir(), Options{})
		defer l.Close()
		durable := func(n uint64, want bool) {
			t.Helper()
			if got := l.Durable(n); got != want {
				t.Errorf("Durable(%d): got %v, want %v", n, got, want)
			}
		}
		durable(1, false)
		mustAppend(t, l, batchOf(1, id(1), 0, 100))
		durable(1, false)
		mustFinish(t, l, 1)
		durable(1, false)
		mustAppend(t, l, batchOf(2, id(1), 100, 200))
		durable(1, true)
		durable(2, false)
		mustFinish(t, l, 2)
		time.Sleep(time.Second)
		synctest.Wait()
		durable(2, true)
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestClosedLedgerTakesNothing(t *testing.T) {
	t.Parallel()
	l := mustOpen(t, t.TempDir(), Options{})
	mustClose(t, l)
	mustClose(t, l) // twice is no harm
	for name, err := range map[string]error{
		"Append": l.Append(batchOf(1, id(1), 0, 100), meta), "Finish": l.Finish(Outcome{Number: 1}), "Sync": l.Sync(),
		"PutStream": l.PutStream(Stream{}), "ForgetStream": l.ForgetStream(id(1)), "CloseGap": l.CloseGap(Gap{}),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s: got %v, want ErrClosed", name, err)
		}
	}
}

// rfc6962 is the definition of section 2.1, word for word.
func rfc6962(leaves []pipeline.Leaf) pipeline.Leaf {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	default:
		k := 1
		for k*2 < n {
			k *= 2
		}
		l, r := rfc6962(leaves[:k]), rfc6962(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
	}
}

func TestMerkleRootIsThatOfRFC6962(t *testing.T) {
	t.Parallel()
	// The known vectors of certificate-transparency test suites: inputs "", 00, 10, 2021, 3031, 40414243, 5051…57, 6061…6f.
	var tr tree
	for i, in := range []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"} {
		raw, _ := hex.DecodeString("00" + in)
		tr.add(sha256.Sum256(raw))
		if i == 7 {
			root := tr.root()
			if got, want := hex.EncodeToString(root[:]), "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"; got != want {
				t.Errorf("root of 8: got %s, want %s", got, want)
			}
		}
	}
	for n := range 70 {
		var leaves []pipeline.Leaf
		tr.reset()
		for i := range n {
			leaves = append(leaves, leafOf(uint64(i)))
			tr.add(leaves[i])
		}
		if got, want := tr.root(), rfc6962(leaves); got != want {
			t.Errorf("root of %d leaves: got %x, want %x", n, got, want)
		}
	}
}

// verdicts reads the outcomes of a sound ledger.
func verdicts(t *testing.T, dir string) (out []verdict, hashes []digest) {
	t.Helper()
	b := readLedger(t, dir)
	at, types := frames(t, b)
	for i, typ := range types {
		if typ == entryOutcome {
			payload := b[at[i]+frame.Head : at[i+1]]
			v, err := decodeOutcome(payload[1:])
			if err != nil {
				t.Fatal(err)
			}
			out, hashes = append(out, v), append(hashes, sha256.Sum256(payload))
		}
	}
	return out, hashes
}

func TestOutcomeHasCountsRootAndTheHashBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{})
	var leaves []pipeline.Leaf
	b := batchOf(1, id(1), 0, 500)
	b.Records[2].Decision = pipeline.Decision{Fate: pipeline.Drop, Reason: "noisy"}
	for i, r := range b.Records {
		if i != 2 {
			leaves = append(leaves, r.Leaf)
		}
	}
	mustAppend(t, l, b)
	o := Outcome{Number: 1, Stored: 1, Duplicate: 2, Conflict: 3, DeadLettered: 4, Dropped: 5, Lost: 6}
	if err := l.Finish(o); err != nil {
		t.Fatal(err)
	}
	mustAppend(t, l, batchOf(2, id(1), 500, 900))
	releafed := Outcome{Number: 2, Releafed: map[int]pipeline.Leaf{1: leafOf(77), 3: {}}}
	second := []pipeline.Leaf{leafOf(2<<32 | 500), leafOf(77), leafOf(2<<32 | 700)}
	if err := l.Finish(releafed); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	vs, hashes := verdicts(t, dir)
	if len(vs) != 2 {
		t.Fatalf("outcomes: got %d, want 2", len(vs))
	}
	if diff := cmp.Diff(o, vs[0].Outcome); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if vs[0].root != rfc6962(leaves) || vs[0].leaves != 4 {
		t.Error("the root is not that of the delivered leaves")
	}
	if vs[1].root != rfc6962(second) || vs[1].leaves != 3 {
		t.Error("the root does not follow Releafed")
	}
	if vs[0].prev != (digest{}) || vs[1].prev != hashes[0] || vs[1].chain != l.Chain() {
		t.Error("the outcomes are not chained")
	}
}

func TestOutcomeChainGoesOnOverCompactionAndRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{CompactBytes: 2000})
	var head digest
	for n := uint64(1); n <= 60; n++ {
		mustAppend(t, l, batchOf(n, id(1), int64(n-1)*100, int64(n)*100))
		mustFinish(t, l, n)
		if n%7 == 0 {
			mustClose(t, l)
			l = mustOpen(t, dir, Options{CompactBytes: 2000})
		} else if err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		vs, hashes := verdicts(t, dir)
		h, _ := decodeHeader(readLedger(t, dir)[frame.Head+1 : frame.Head+1+headerLen(t, dir)])
		prev := h.head
		for i := range vs {
			if vs[i].prev != prev {
				t.Fatalf("batch %d: outcome %d does not follow the one before", n, i)
			}
			prev = hashes[i]
		}
		if head != (digest{}) && len(vs) > 0 && vs[len(vs)-1].prev != head {
			t.Fatalf("batch %d: the last outcome does not follow the one of the batch before", n)
		}
		head = prev
		if got := offsets(l)[id(1)]; got != int64(n)*100 {
			t.Fatalf("offset: got %d, want %d", got, n*100)
		}
		if len(l.Repairs()) != 0 {
			t.Fatalf("repairs: %v", l.Repairs())
		}
	}
}

func headerLen(t *testing.T, dir string) int {
	at, _ := frames(t, readLedger(t, dir))
	return at[1] - frame.Head - 1
}

func TestCompactionKeepsTheFileSmall(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const limit = 20_000
	l := mustOpen(t, dir, Options{CompactBytes: limit})
	mustAppend(t, l, batchOf(1, id(1), 0, 1000)) // stays pending
	for n := uint64(2); n <= 300; n++ {
		mustAppend(t, l, batchOf(n, id(2), int64(n-2)*1000, int64(n-1)*1000))
		mustFinish(t, l, n)
		if got := len(readLedger(t, dir)); got > 2*limit {
			t.Fatalf("batch %d: %d bytes", n, got)
		}
	}
	mustClose(t, l)
	l = mustOpen(t, dir, Options{})
	if diff := cmp.Diff([]*Intent{intentOf(batchOf(1, id(1), 0, 1000), meta)}, l.Pending(), cmpOpts...); diff != "" {
		t.Errorf("pending (-want +got):\n%s", diff)
	}
	if got, want := l.NextBatch(), uint64(301); got != want {
		t.Errorf("NextBatch: got %d, want %d", got, want)
	}
}

func TestManyGoroutines(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{CompactBytes: 5000})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for g := range 3 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(1, uint64(g)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := id(byte(10 + rnd.IntN(3)))
				_ = l.PutStream(Stream{ID: s, Dir: "d", Ordinal: rnd.Uint32()})
				_, _, _ = l.Streams(), l.NextBatch(), l.Durable(3)
				if rnd.IntN(4) == 0 {
					_ = l.ForgetStream(s)
				}
				time.Sleep(50 * time.Microsecond)
			}
		})
	}
	for n := uint64(1); n <= 60; n++ {
		b := batchOf(n, id(1), int64(n-1)*100, int64(n)*100)
		addRange(b, id(10), int64(n)*100, int64(n)*100+100)
		mustAppend(t, l, b)
		mustFinish(t, l, n)
	}
	close(stop)
	wg.Wait()
	want := l.Streams()
	mustClose(t, l)
	l = mustOpen(t, dir, Options{})
	if len(l.Repairs()) != 0 || len(l.Gaps()) != 0 {
		t.Errorf("repairs %v, gaps %v", l.Repairs(), l.Gaps())
	}
	if diff := cmp.Diff(want, l.Streams()); diff != "" {
		t.Errorf("streams after a restart (-want +got):\n%s", diff)
	}
}

// TestWaitsForAnAgentThatIsBeingKilled: the lock may be held for a moment after its process was killed.
func TestWaitsForAnAgentThatIsBeingKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	held, err := lockDir(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{AgentID: "a", LockWait: 50 * time.Millisecond}); !errors.Is(err, ErrLocked) {
		t.Fatalf("got %v, want ErrLocked", err)
	}
	time.AfterFunc(200*time.Millisecond, func() { _ = held.Close() })
	l, err := Open(dir, Options{AgentID: "a", LockWait: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMarksThinOutTowardsTheBeginning: whatever is read in which steps, a copy of any length has a mark not far before
// its end.
func TestMarksThinOutTowardsTheBeginning(t *testing.T) {
	t.Parallel()
	for _, step := range []int64{1, 100, 5000} {
		var m Marks
		for at := step; at <= 200*step; at += step {
			m.Add(Mark{Offset: at, Sum: 1, Len: 1})
			for i := 1; i < len(m) && m[i].Len > 0; i++ {
				if m[i].Offset >= m[i-1].Offset {
					t.Fatalf("not the last first: %v", m)
				}
				first := m[i].Offset >= Banner && (i+1 == len(m) || m[i+1].Offset < Banner) // it stays, however far back
				if back, before := at-m[i].Offset, at-m[i-1].Offset; back > 4*max(before, step) && !first {
					t.Fatalf("after %d: from %d to %d back", at, before, back)
				}
			}
		}
		if want := (Banner + step - 1) / step * step; 200*step >= want && !slices.ContainsFunc(m[:], func(m Mark) bool { return m.Offset == want }) {
			t.Errorf("the first mark behind a banner, at %d, is gone: %v", want, m)
		}
		if reach := 200*step - m[len(m)-1].Offset; reach < 16*step {
			t.Errorf("the marks reach %d back, want at least %d", reach, 16*step)
		}
		before := m
		if m.Add(Mark{Offset: 1 << 40}); m != before {
			t.Error("a mark of nothing was taken")
		}
	}
}

// TestAFileOfFormat1IsReadAndRenewed: a stream's entry without marks is that of format 1.
func TestAFileOfFormat1IsReadAndRenewed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l := mustOpen(t, dir, Options{AgentID: "a"})
	_ = l.PutStream(Stream{ID: id(1), Dir: "d"})
	mustAppend(t, l, batchOf(1, id(1), 0, 100))
	mustClose(t, l)
	want := l.Streams()
	b := readLedger(t, dir)
	var old []byte
	for at := 0; at < len(b); {
		payload, size, ok := frame.Next(b[at:], int64(at))
		if !ok {
			t.Fatal("the ledger cannot be read")
		}
		at += size
		body := slices.Clone(payload[1:])
		switch payload[0] {
		case entryHeader:
			body[0] = 1
		case entryStream:
			if body[0]&^streamFresh != 0 {
				t.Fatal("a stream that was put before it was read has more than format 1 had")
			}
		}
		begin := len(old)
		var open int
		old, open = frame.Open(old, payload[0])
		old = append(old, body...)
		frame.Close(old, open)
		frame.Seal(old[begin:], int64(begin))
	}
	writeLedger(t, dir, old)
	l = mustOpen(t, dir, Options{AgentID: "a"})
	if diff := cmp.Diff(want, l.Streams()); diff != "" {
		t.Errorf("streams (-want +got):\n%s", diff)
	}
	if got := numbers(l); !slices.Equal(got, []uint64{1}) || len(l.Repairs()) > 0 {
		t.Errorf("pending %v, repairs %v", got, l.Repairs())
	}
	if payload, _, ok := frame.Next(readLedger(t, dir), 0); !ok || payload[1] != version {
		t.Errorf("the file is of format %d still", payload[1])
	}
}
