package journal

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"time"
)

// Idempotency keys: how long they are kept, how many are kept in memory and in files, and how many files there are until
// they are merged.
const (
	keyRetention = 24 * time.Hour
	keysInMemory = 16 << 10
	keysKept     = 4 << 20
	keyFiles     = 8
)

// A Key is what is kept of a request with an idempotency key.
type Key struct {
	Hash        [16]byte // of the key
	Digest      [16]byte // of what the pipeline made of the request
	Fingerprint [4]byte  // of the pipeline
	Time        int64    // of the request, Unix nanoseconds
}

const keySize = 16 + 16 + 4 + 8

func (k *Key) append(buf []byte) []byte {
	buf = append(append(append(buf, k.Hash[:]...), k.Digest[:]...), k.Fingerprint[:]...)
	return binary.LittleEndian.AppendUint64(buf, uint64(k.Time))
}

func (k *Key) decode(b []byte) {
	b = b[copy(k.Hash[:], b):]
	b = b[copy(k.Digest[:], b):]
	b = b[copy(k.Fingerprint[:], b):]
	k.Time = int64(binary.LittleEndian.Uint64(b))
}

// keys remembers the keys of requests: the latest in memory, where a restart puts them again from the segments, and the
// others in sorted files.
type keys struct {
	dir string
	now func() time.Time

	mu      sync.Mutex
	mem     map[[16]byte]Key
	old     map[[16]byte]Key // on their way into a file
	files   []*keyFile       // oldest first
	next    uint64           // number of the next file
	claimed map[[16]byte]chan struct{}
}

// A keyFile holds keys in the order of their hashes.
type keyFile struct {
	number uint64
	f      *os.File
	n      int
}

const keySuffix = ".keys"

// openKeys opens the files of keys in dir, which may not exist. A file of a wrong size is left out.
func openKeys(dir string, now func() time.Time) (*keys, error) {
	ks := &keys{dir: dir, now: now, mem: map[[16]byte]Key{}, claimed: map[[16]byte]chan struct{}{}, next: 1}
	names, err := filepath.Glob(filepath.Join(dir, "*"+keySuffix))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		number, ok := numberOf(name, keySuffix)
		if !ok {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("open idempotency keys: %w", err), ks.close())
		}
		info, err := f.Stat()
		if err != nil || info.Size()%keySize != 0 {
			_ = f.Close()
			continue
		}
		ks.files = append(ks.files, &keyFile{number, f, int(info.Size() / keySize)})
		ks.next = max(ks.next, number+1)
	}
	slices.SortFunc(ks.files, func(a, b *keyFile) int { return cmp.Compare(a.number, b.number) })
	return ks, nil
}

func (ks *keys) close() error {
	var errs []error
	for _, f := range ks.files {
		errs = append(errs, f.f.Close())
	}
	return errors.Join(errs...)
}

// put takes in keys whose requests are durable.
func (ks *keys) put(all []Key) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	for _, k := range all {
		ks.mem[k.Hash] = k
	}
}

// full reports whether there are enough keys in memory to make a file of them.
func (ks *keys) full() bool {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	return len(ks.mem) >= keysInMemory
}

// count returns how many keys are kept.
func (ks *keys) count() (n int64) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	for _, f := range ks.files {
		n += int64(f.n)
	}
	return n + int64(len(ks.mem)) + int64(len(ks.old))
}

// claim waits until no other request with the key is under way, and makes it the caller's until unclaim. It returns what is
// known of the key from before.
func (ks *keys) claim(ctx context.Context, hash [16]byte) (k Key, known bool, err error) {
	for {
		ks.mu.Lock()
		busy := ks.claimed[hash]
		if busy == nil {
			ks.claimed[hash] = make(chan struct{})
			k, known, err = ks.find(hash)
			ks.mu.Unlock()
			if err != nil {
				ks.unclaim(hash)
			}
			return k, known && ks.now().UnixNano()-k.Time < int64(keyRetention), err
		}
		ks.mu.Unlock()
		select {
		case <-ctx.Done():
			return Key{}, false, ctx.Err()
		case <-busy:
		}
	}
}

func (ks *keys) unclaim(hash [16]byte) {
	ks.mu.Lock()
	defer ks.mu.Unlock()
	close(ks.claimed[hash])
	delete(ks.claimed, hash)
}

// find looks for a key, the newest place first. The caller holds mu.
func (ks *keys) find(hash [16]byte) (Key, bool, error) {
	if k, ok := ks.mem[hash]; ok {
		return k, true, nil
	}
	if k, ok := ks.old[hash]; ok {
		return k, true, nil
	}
	for _, f := range slices.Backward(ks.files) {
		k, ok, err := f.find(hash)
		if ok || err != nil {
			return k, ok, err
		}
	}
	return Key{}, false, nil
}

func (f *keyFile) find(hash [16]byte) (k Key, ok bool, err error) {
	var b [keySize]byte
	i := sort.Search(f.n, func(i int) bool {
		if _, e := f.f.ReadAt(b[:16], int64(i)*keySize); e != nil {
			err = e
			return true
		}
		return bytes.Compare(b[:16], hash[:]) >= 0
	})
	if err == nil && i < f.n {
		_, err = f.f.ReadAt(b[:], int64(i)*keySize)
	}
	if err != nil {
		return k, false, fmt.Errorf("read idempotency keys: %w", err)
	}
	k.decode(b[:])
	return k, i < f.n && k.Hash == hash, nil
}

// flush makes a file of the keys in memory.
func (ks *keys) flush() error {
	ks.mu.Lock()
	if len(ks.mem) == 0 && len(ks.old) == 0 {
		ks.mu.Unlock()
		return nil
	}
	if ks.old == nil { // else the last attempt failed
		ks.old, ks.mem = ks.mem, map[[16]byte]Key{}
	} else {
		for h, k := range ks.mem {
			ks.old[h] = k
		}
		clear(ks.mem)
	}
	old, number := ks.old, ks.next
	ks.next++
	ks.mu.Unlock()

	sorted := make([]Key, 0, len(old))
	for _, k := range old {
		sorted = append(sorted, k)
	}
	slices.SortFunc(sorted, func(a, b Key) int { return bytes.Compare(a.Hash[:], b.Hash[:]) })
	f, err := ks.write(number, func(w *bufio.Writer) error {
		var buf []byte
		for i := range sorted {
			buf = sorted[i].append(buf[:0])
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	ks.mu.Lock()
	defer ks.mu.Unlock()
	ks.files = append(ks.files, f)
	ks.old = nil
	return nil
}

// write makes a file of keys, whole or not at all.
func (ks *keys) write(number uint64, fill func(*bufio.Writer) error) (*keyFile, error) {
	path := filepath.Join(ks.dir, nameOf(number, keySuffix))
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("write idempotency keys: %w", err)
	}
	w := bufio.NewWriterSize(f, 64<<10)
	var info os.FileInfo
	if err = fill(w); err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err == nil {
		err = syncDir(ks.dir)
	}
	if err == nil {
		info, err = f.Stat()
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(temp)
		return nil, fmt.Errorf("write idempotency keys: %w", err)
	}
	return &keyFile{number, f, int(info.Size() / keySize)}, nil
}

// merge makes one file of all, when there are many, without the keys that are too old.
func (ks *keys) merge() error {
	ks.mu.Lock()
	files, number, total := slices.Clone(ks.files), ks.next, 0
	for _, f := range files {
		total += f.n
	}
	if len(files) <= keyFiles {
		ks.mu.Unlock()
		return nil
	}
	ks.next++
	ks.mu.Unlock()
	retention := keyRetention
	if total > keysKept { // the older part goes early
		retention = time.Duration(float64(retention) * float64(keysKept) / float64(total) / 2)
	}
	since := ks.now().Add(-retention).UnixNano()
	merged, err := ks.write(number, func(w *bufio.Writer) error { return mergeInto(w, files, since) })
	if err != nil {
		return err
	}
	ks.mu.Lock()
	ks.files = append([]*keyFile{merged}, ks.files[len(files):]...)
	ks.mu.Unlock()
	var errs []error
	for _, f := range files { // nobody reads them any more: find holds mu
		errs = append(errs, f.f.Close(), os.Remove(filepath.Join(ks.dir, nameOf(f.number, keySuffix))))
	}
	return errors.Join(errs...)
}

// mergeInto writes the keys of sorted files that are not older than since, sorted, each once: as the newest file has it.
func mergeInto(w *bufio.Writer, files []*keyFile, since int64) error {
	type cursor struct {
		r    *bufio.Reader
		key  [keySize]byte
		done bool
	}
	cs := make([]*cursor, len(files))
	advance := func(c *cursor) error {
		_, err := io.ReadFull(c.r, c.key[:])
		if c.done = errors.Is(err, io.EOF); c.done {
			return nil
		}
		return err
	}
	for i, f := range files {
		cs[i] = &cursor{r: bufio.NewReaderSize(io.NewSectionReader(f.f, 0, int64(f.n)*keySize), 32<<10)}
		if err := advance(cs[i]); err != nil {
			return err
		}
	}
	for {
		var least *cursor
		for _, c := range cs { // later files win over earlier ones
			if !c.done && (least == nil || bytes.Compare(c.key[:16], least.key[:16]) <= 0) {
				least = c
			}
		}
		if least == nil {
			return nil
		}
		key := least.key
		var k Key
		if k.decode(key[:]); k.Time >= since {
			if _, err := w.Write(key[:]); err != nil {
				return err
			}
		}
		for _, c := range cs {
			for !c.done && bytes.Equal(c.key[:16], key[:16]) {
				if err := advance(c); err != nil {
					return err
				}
			}
		}
	}
}
