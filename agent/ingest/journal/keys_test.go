package journal

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/pipeline"
)

func newPipe() (*pipeline.Pipeline, error) {
	return pipeline.New(pipeline.Options{Config: pipeline.DefaultConfig(), AgentID: "test"})
}

// hash is a key's hash; neighbours in number are far from each other.
func hash(n int) (h [16]byte) {
	binary.BigEndian.PutUint64(h[:], uint64(n)*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(h[8:], uint64(n))
	return h
}

func known(t *testing.T, ks *keys, n int) (Key, bool) {
	t.Helper()
	k, ok, err := ks.claim(t.Context(), hash(n))
	if err != nil {
		t.Fatal(err)
	}
	ks.unclaim(hash(n))
	return k, ok
}

func TestKeysAreFoundInMemoryAndInFiles(t *testing.T) {
	t.Parallel()
	now := time.Now()
	dir := t.TempDir()
	ks, err := openKeys(dir, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	const per, files = 50, keyFiles + 4
	for f := range files {
		for i := range per {
			n := f*per + i
			ks.put([]Key{{Hash: hash(n), Digest: [16]byte{byte(n)}, Time: now.UnixNano() + int64(n)}})
		}
		if err := errors.Join(ks.flush(), ks.merge()); err != nil {
			t.Fatal(err)
		}
	}
	ks.put([]Key{{Hash: hash(-1), Time: now.UnixNano()}, {Hash: hash(3), Digest: [16]byte{99}, Time: now.UnixNano()}})
	if got := len(ks.files); got > keyFiles {
		t.Errorf("there are %d files", got)
	}
	check := func(ks *keys, three byte) {
		for n := range files * per {
			want := byte(n)
			if n == 3 {
				want = three
			}
			if k, ok := known(t, ks, n); !ok || k.Digest[0] != want {
				t.Fatalf("key %d: %v, %+v", n, ok, k)
			}
		}
		if _, ok := known(t, ks, 1_000_000); ok {
			t.Error("a key is known that was never put")
		}
	}
	check(ks, 99)
	if err := errors.Join(ks.flush(), ks.close()); err != nil {
		t.Fatal(err)
	}
	if ks, err = openKeys(dir, func() time.Time { return now }); err != nil {
		t.Fatal(err)
	}
	defer ks.close()
	check(ks, 99)
	now = now.Add(keyRetention)
	if _, ok := known(t, ks, 3); ok {
		t.Error("a key is known for more than a day")
	}
}

func TestMergingDropsOldKeysAndKeepsTheNewestOfEach(t *testing.T) {
	t.Parallel()
	now := time.Now()
	ks, err := openKeys(t.TempDir(), func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	defer ks.close()
	for i := range keyFiles + 1 {
		ks.put([]Key{
			{Hash: hash(0), Digest: [16]byte{byte(i)}, Time: now.UnixNano()},
			{Hash: hash(i + 1), Time: now.Add(-2 * keyRetention).UnixNano()},
		})
		if err := ks.flush(); err != nil {
			t.Fatal(err)
		}
	}
	if err := ks.merge(); err != nil {
		t.Fatal(err)
	}
	if k, ok := known(t, ks, 0); !ok || k.Digest[0] != keyFiles || ks.count() != 1 || len(ks.files) != 1 {
		t.Errorf("%v, %+v; %d keys in %d files", ok, k, ks.count(), len(ks.files))
	}
}

func TestAKeyUnderWayIsWaitedFor(t *testing.T) {
	t.Parallel()
	ks, err := openKeys(t.TempDir(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer ks.close()
	if _, ok, err := ks.claim(t.Context(), hash(1)); ok || err != nil {
		t.Fatal(ok, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := ks.claim(ctx, hash(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	got := make(chan bool)
	go func() {
		_, ok, _ := ks.claim(t.Context(), hash(1))
		got <- ok
	}()
	ks.put([]Key{{Hash: hash(1), Time: time.Now().UnixNano()}})
	ks.unclaim(hash(1))
	if !<-got {
		t.Error("who waited does not know the key")
	}
	ks.unclaim(hash(1))
}

// TestKeysSurviveTheirSegments: over a restart, and when the segments with them are deleted.
func TestKeysSurviveTheirSegments(t *testing.T) {
	t.Parallel()
	b := newBench(t, Options{SegmentBytes: 400})
	for i := range 10 {
		g, err := b.journal.Append(b.batch("x"), &Key{Hash: hash(i), Time: time.Now().UnixNano()})
		if err == nil {
			err = g.Wait(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string) {
		t.Helper()
		for i := range 10 {
			_, ok, err := b.journal.Claim(t.Context(), hash(i))
			if !ok || err != nil {
				t.Errorf("%s: key %d: %v, %v", when, i, ok, err)
			}
			b.journal.Unclaim(hash(i))
		}
	}
	check("at once")
	b.reopen()
	check("after a restart")
	b.deliver(1000)
	eventually(t, "the segments to go", func() bool { return len(b.segments()) == 1 })
	check("without the segments")
	b.reopen()
	check("after another restart")
	files, err := filepath.Glob(filepath.Join(b.dir, "journal", "*"+keySuffix))
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %d files of keys", err, len(files))
	}
	b.close()
	if err := os.Truncate(files[0], 3); err != nil { // damaged: its keys are unknown, nothing else is wrong
		t.Fatal(err)
	}
	b.open()
}
