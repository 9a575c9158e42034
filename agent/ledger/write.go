package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/internal/frame"
	"github.com/truledgr/activity-agent/pipeline"
)

// Append writes the intent of b, whose number must be NextBatch, and returns when it is on the disk. Everything that
// waited for it (streams put, outcomes) goes with it in the same write.
//
// After an error the batch counts for nothing and must not be sent; the same number is due again, for the same batch or
// another. The file in which the write or fsync failed is abandoned: the next Append writes a new one. Should the process end
// before, a restart may find the intent and replay it, or not find it and read its ranges again: since nothing of it was
// sent, both store every record once.
func (l *Ledger) Append(b *pipeline.Batch, m Meta) error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	closed, next := l.closed, l.state.next
	l.mu.Unlock()
	if closed {
		return ErrClosed
	}
	if b.Number != next {
		return fmt.Errorf("intent of batch %d: the next batch is %d", b.Number, next)
	}
	if err := l.write(&intentSource{b, &m}); err != nil {
		return fmt.Errorf("intent of batch %d is not in %s: %w; see that its disk is sound and has room", b.Number, l.path(fileName), err)
	}
	return nil
}

// intentSource is a batch whose intent is to be written; nil where there is none.
type intentSource struct {
	batch *pipeline.Batch
	meta  *Meta
}

// Finish notes what became of a pending batch: its counts, the root over the leaves of what was stored, and the hash of the
// outcome before. It is durable with the next intent, or within a second; Durable tells.
func (l *Ledger) Finish(o Outcome) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	p := l.state.finish(o.Number)
	if p == nil {
		return fmt.Errorf("outcome of batch %d: no intent of it is pending", o.Number)
	}
	l.grow(p, o.Releafed)
	v := verdict{
		Outcome: o, chain: l.state.chain, at: l.opts.Now(), leaves: l.tree.n, root: l.tree.root(), prev: l.state.head,
	}
	at := len(l.queue)
	l.queue = appendOutcome(l.queue, &v)
	l.state.head = sha256.Sum256(l.queue[at+frame.Head:])
	l.wet = append(l.wet, o.Number)
	l.free = append(l.free, p.body)
	l.flusher.kick()
	return nil
}

// grow builds the tree over a batch's leaves.
func (l *Ledger) grow(p *pending, releafed map[int]pipeline.Leaf) {
	l.tree.reset()
	if len(releafed) == 0 {
		for leaves := p.body[len(p.body)-p.leaves:]; len(leaves) > 0; leaves = leaves[len(pipeline.Leaf{}):] {
			l.tree.add(pipeline.Leaf(leaves))
		}
		return
	}
	var in Intent
	_, _, _ = decodeIntent(p.body, &in, nil) // was decoded before it became pending, or written by us
	for i := range in.Decisions {
		leaf, ok := releafed[i]
		if !ok {
			leaf = in.Decisions[i].Leaf
		}
		if leaf != (pipeline.Leaf{}) {
			l.tree.add(leaf)
		}
	}
}

// Sync makes everything durable that waits for the next intent.
func (l *Ledger) Sync() error {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return ErrClosed
	}
	return l.flush()
}

func (l *Ledger) flush() error {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	idle := !l.broken && len(l.queue) == 0 && len(l.puts) == 0 && len(l.wet) == 0
	l.mu.Unlock()
	if idle {
		return nil
	}
	if err := l.write(nil); err != nil {
		return fmt.Errorf("outcomes are not in %s yet: %w; see that its disk is sound and has room", l.path(fileName), err)
	}
	return nil
}

// write makes what waits, and the intent, durable: in the file there is, or in a new one when that is broken or has grown
// too large. The caller holds writing.
func (l *Ledger) write(src *intentSource) error {
	if !l.broken && l.deleted() {
		l.opts.Logger.Error("the ledger was deleted while in use; writing it anew", zap.String("file", l.path(fileName)))
		l.broken = true
	}
	if !l.broken && l.size < l.limit {
		return l.extend(src)
	}
	err := l.replace(src)
	if err == nil || l.broken {
		return err
	}
	// The old file is sound, and takes a while longer what a new one could not.
	l.opts.Logger.Warn("ledger not compacted", zap.Error(err))
	l.limit = l.size + l.opts.CompactBytes/4
	return l.extend(src)
}

// deleted reports whether the file that is written to has lost its name. The directory is made again where it is gone.
func (l *Ledger) deleted() bool {
	if _, err := os.Lstat(l.path(fileName)); !errors.Is(err, fs.ErrNotExist) {
		return false
	}
	_ = os.MkdirAll(l.dir, 0o700) // an error comes again when the file is made
	return true
}

// extend appends to the file.
func (l *Ledger) extend(src *intentSource) error {
	l.mu.Lock()
	l.out = append(l.out[:0], l.queue...)
	l.queue = l.queue[:0]
	for _, st := range l.puts {
		if l.state.streams[st.ID] == st { // else forgotten since
			if st.fresh {
				st.base = st.Offset
			}
			l.out = appendStream(l.out, st, st.flags())
			st.fresh = false
		}
		st.dirty = false
	}
	clear(l.puts)
	l.puts = l.puts[:0]
	p := l.encode(src, false)
	wet := len(l.wet)
	l.mu.Unlock()

	frame.Seal(l.out, l.size)
	_, err := l.file.Write(l.out)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		l.broken = true // what is in it, nobody knows: an fsync that failed once may say yes the next time
		l.release(p)
		return err
	}
	l.size += int64(len(l.out))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.commit(src, p, wet)
	return nil
}

// encode appends the frame of an intent to out and keeps its body. In a new file the streams' entries are those of the
// snapshot before it. The caller holds mu.
func (l *Ledger) encode(src *intentSource, newFile bool) *pending {
	if src == nil {
		return nil
	}
	b := src.batch
	l.state.prepare(b, newFile)
	var at int
	l.out, at = frame.Open(l.out, entryIntent)
	body := len(l.out)
	l.out = l.appendIntent(l.out, b, src.meta)
	leaves := len(l.out)
	l.out = appendLeaves(l.out, b.Records)
	frame.Close(l.out, at)
	p := &pending{number: b.Number, mark: src.meta.Mark, leaves: len(l.out) - leaves}
	if n := len(l.free); n > 0 {
		p.body, l.free = l.free[n-1][:0], l.free[:n-1]
	}
	p.body = append(p.body, l.out[body:]...)
	return p
}

// appendIntent writes all of an intent but its leaves.
func (l *Ledger) appendIntent(buf []byte, b *pipeline.Batch, m *Meta) []byte {
	buf = appendHead(buf, b, m)
	buf = binary.AppendUvarint(buf, uint64(len(b.Ranges)))
	for i := range b.Ranges {
		buf = appendRange(buf, &b.Ranges[i], l.state.progress(&b.Ranges[i]))
	}
	buf = appendPieces(buf, b.Pieces)
	l.names.collect(b.Records)
	buf = l.names.append(buf)
	return appendRecords(buf, b, &l.names)
}

// commit notes that what was written is durable: the intent, and the first outcomes of wet. The caller holds mu.
func (l *Ledger) commit(src *intentSource, p *pending, wet int) {
	if src != nil {
		l.state.commit(src.batch, p)
	}
	l.wet = slices.Delete(l.wet, 0, wet)
}

// release takes back the memory of an intent that was not written.
func (l *Ledger) release(p *pending) {
	if p == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, p.body)
}

// replace puts a new file in the place of the old one, with the state as it is now, and the intent. It is how a ledger is
// made, repaired, compacted, and taken from a file that failed. A crash leaves the old file or the new one. When it fails
// before the old file is replaced, nothing has changed; after that, the new file counts as broken.
func (l *Ledger) replace(src *intentSource) error {
	l.mu.Lock()
	l.out = l.state.appendSnapshot(l.out[:0], l.opts.Now())
	snapshot := int64(len(l.out))
	p := l.encode(src, true)
	// What is queued and put is in the snapshot. It is kept aside until that is durable.
	queue, puts, wet := l.queue, l.puts, len(l.wet)
	l.queue, l.puts = nil, nil
	for _, st := range puts {
		st.dirty = false
	}
	l.mu.Unlock()

	frame.Seal(l.out, 0)
	err := l.install()

	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.restoreQueue(queue, puts)
		if p != nil {
			l.free = append(l.free, p.body)
		}
		return err
	}
	l.limit = max(l.opts.CompactBytes, 2*snapshot)
	for _, st := range puts {
		st.fresh = false
	}
	for _, st := range l.state.streams {
		if !st.fresh {
			st.base = st.Offset
		}
	}
	l.commit(src, p, wet)
	return nil
}

// restoreQueue takes back what a new file should have made unnecessary. The caller holds mu.
func (l *Ledger) restoreQueue(queue []byte, puts []*stream) {
	l.queue = append(queue, l.queue...)
	for _, st := range puts {
		if !st.dirty {
			st.dirty = true
			l.puts = append(l.puts, st)
		}
	}
}

// install makes out the ledger's file.
func (l *Ledger) install() error {
	path := l.path(newName)
	f, err := l.opts.disk.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(l.out)
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = l.opts.disk.Rename(path, l.path(fileName))
	}
	if err != nil {
		_ = f.Close()
		_ = os.Remove(path)
		return err
	}
	if l.file != nil {
		_ = l.file.Close() // replaced: nothing of it is needed
	}
	l.file, l.size = f, int64(len(l.out))
	err = l.opts.disk.SyncDir(l.dir)
	l.broken = err != nil // without it a crash may bring the old file back, whatever is appended here
	return err
}

func (s *stream) flags() byte {
	if s.fresh {
		return streamFresh
	}
	return 0
}

// A flusher is the goroutine that makes outcomes durable when no intent comes by to carry them.
type flusher struct {
	kicked chan struct{}
	quit   chan struct{}
	done   sync.WaitGroup
}

func (f *flusher) start(flush func() error) {
	f.kicked, f.quit = make(chan struct{}, 1), make(chan struct{})
	f.done.Go(func() { f.run(flush) })
}

func (f *flusher) run(flush func() error) {
	for {
		select {
		case <-f.quit:
			return
		case <-f.kicked:
		}
		select {
		case <-f.quit:
			return
		case <-time.After(flushAfter):
		}
		if flush() != nil {
			f.kick() // the caller of the next Append is told; until then try again
		}
	}
}

// kick asks for a flush within flushAfter.
func (f *flusher) kick() {
	select {
	case f.kicked <- struct{}{}:
	default:
	}
}

func (f *flusher) stop() {
	close(f.quit)
	f.done.Wait()
}
