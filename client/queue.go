package client

import (
	"context"
	"sync"
)

// Bounds of a batch. The bytes are those that an agent takes in one request, unless it is configured otherwise.
const (
	maxBatchRecords = 1000
	maxBatchBytes   = 1 << 20
)

// A queue holds lines in order, at most so many bytes; those under way count until their fate is known. Every line gets
// exactly one fate.
type queue struct {
	max int

	mu      sync.Mutex
	lines   [][]byte
	bytes   int
	taken   int64 // lines that the sender took, ever
	settled int64 // of those; they are taken and settled in order
	stats   Stats
	ending  bool          // nothing more comes in
	closed  bool          // and what was in is abandoned
	ended   chan struct{} // closed with ending
	changed chan struct{} // closed, and made anew, whenever somebody who waits shall look again
}

func newQueue(maxBytes int) *queue {
	return &queue{max: maxBytes, ended: make(chan struct{}), changed: make(chan struct{})}
}

// wake lets everybody who waits look again. The caller holds the lock.
func (q *queue) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// put adds a line. Without room it waits, if it shall, until there is some or ctx is done.
func (q *queue) put(ctx context.Context, line []byte, wait bool) error {
	for {
		q.mu.Lock()
		err := ErrFull
		switch {
		case q.ending:
			err, wait = ErrClosed, false
		case q.bytes+len(line) <= q.max:
			q.lines = append(q.lines, line)
			q.bytes += len(line)
			q.stats.Logged++
			if len(q.lines) == 1 {
				q.wake() // the sender waits only where there was none
			}
			q.mu.Unlock()
			return nil
		}
		changed := q.changed
		wait = wait && ctx.Err() == nil
		if !wait {
			q.stats.Logged++
			q.stats.Dropped++
		}
		q.mu.Unlock()
		if !wait {
			return err
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// reject counts an activity that never got a line.
func (q *queue) reject() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.Logged++
	q.stats.Rejected++
}

// take waits for lines and returns a batch of them; none when the queue has ended and is empty, or ctx is done.
func (q *queue) take(ctx context.Context) [][]byte {
	for {
		q.mu.Lock()
		batch := q.batch()
		ending, changed := q.ending, q.changed
		q.mu.Unlock()
		if len(batch) > 0 || ending {
			return batch
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (q *queue) batch() [][]byte {
	size, n := 0, 0
	for n < len(q.lines) && n < maxBatchRecords {
		if size += len(q.lines[n]); n > 0 && size > maxBatchBytes {
			break
		}
		size++ // the newline before the next
		n++
	}
	batch := q.lines[:n:n]
	if q.lines = q.lines[n:]; len(q.lines) == 0 {
		q.lines = nil // lets the array go
	}
	q.taken += int64(n)
	return batch
}

// settle gives lines that were taken their fate.
func (q *queue) settle(lines [][]byte, delivered bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if delivered {
		q.stats.Delivered += int64(len(lines))
	} else {
		q.stats.Rejected += int64(len(lines))
	}
	q.settled += int64(len(lines))
	for _, line := range lines {
		q.bytes -= len(line)
	}
	q.wake()
}

// flush waits until every line put in so far has its fate.
func (q *queue) flush(ctx context.Context) error {
	q.mu.Lock()
	end := q.taken + int64(len(q.lines))
	for q.settled < end && !q.closed {
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
		q.mu.Lock()
	}
	defer q.mu.Unlock()
	if q.settled < end {
		return ErrClosed
	}
	return nil
}

// end takes no more lines. Those that are in can still be delivered.
func (q *queue) end() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.ending {
		q.ending = true
		close(q.ended)
		q.wake()
	}
}

// close abandons what is left once the sender has ended, and returns how many lines that was.
func (q *queue) close() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.closed {
		q.stats.Abandoned = q.pending()
		q.closed, q.lines, q.bytes = true, nil, 0
		q.wake()
	}
	return q.stats.Abandoned
}

func (q *queue) snapshot() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Pending = q.pending()
	return s
}

func (q *queue) pending() int64 {
	if q.closed {
		return 0
	}
	return q.taken - q.settled + int64(len(q.lines))
}
