package ingest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"runtime"
	"slices"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent/ingest/journal"
	"github.com/truledgr/activity-agent/pipeline"
)

// Errors of Take, beside those of the journal.
var (
	// ErrReused says that an idempotency key came with another body than before.
	ErrReused = errors.New("the idempotency key was used for another request")
)

// An InvalidError says what is wrong with the records of a request. None of them was taken.
type InvalidError struct{ Problems []pipeline.Problem }

func (e *InvalidError) Error() string { return "records are invalid" }

// IntakeOptions make an Intake.
type IntakeOptions struct {
	Journal *journal.Journal
	// Model is the kinds and fields there are; nil for the built-in ones.
	Model *activity.Model
	// Pipeline makes a pipeline with today's rules; a new one for each worker.
	Pipeline func() (*pipeline.Pipeline, error)
	// Now is the time of batches.
	Now func() time.Time
}

// An Intake takes records through the pipeline into the journal. Its methods may be called from any goroutine.
type Intake struct {
	o       IntakeOptions
	workers chan *worker
}

// A worker is a pipeline with the memory of one request.
type worker struct {
	pipe   *pipeline.Pipeline
	raw    pipeline.Raw
	batch  pipeline.Batch
	stream pipeline.Stream
}

// maxWorkers bounds the memory of workers; more would not be faster than the disk.
const maxWorkers = 4

// NewIntake makes the workers.
func NewIntake(o IntakeOptions) (*Intake, error) {
	n := min(runtime.GOMAXPROCS(0), maxWorkers)
	in := &Intake{o: o, workers: make(chan *worker, n)}
	for range n {
		pipe, err := o.Pipeline()
		if err != nil {
			return nil, err
		}
		in.workers <- &worker{pipe: pipe}
	}
	return in, nil
}

// Reconfigure gives each worker a new pipeline, when it has finished with what it is at.
func (in *Intake) Reconfigure() error {
	pipes := make([]*pipeline.Pipeline, cap(in.workers))
	for i := range pipes {
		var err error
		if pipes[i], err = in.o.Pipeline(); err != nil {
			return err
		}
	}
	held := make([]*worker, 0, len(pipes))
	for i := range pipes {
		w := <-in.workers
		w.pipe = pipes[i]
		held = append(held, w)
	}
	for _, w := range held {
		in.workers <- w
	}
	return nil
}

// worker waits for one that is free.
func (in *Intake) worker(ctx context.Context) (*worker, error) {
	select {
	case w := <-in.workers:
		return w, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keepBatch is the size up to which a worker keeps its memory from one request to the next.
const keepBatch = 2 << 20

func (in *Intake) release(w *worker) {
	w.raw.Buf = nil // the request's own
	w.raw.Reset()
	if w.batch.Bytes() > keepBatch {
		w.batch, w.raw = pipeline.Batch{}, pipeline.Raw{}
	}
	in.workers <- w
}

// A Request is records to take.
type Request struct {
	Body []byte
	// Split finds the records in Body: a piece and a cut each, in the only range of raw.
	Split func(raw *pipeline.Raw) error
	Kind  activity.Kind // of all records; NoKind leaves it to each
	Key   string        // idempotency key; "" for none
}

// Take puts the records of a request into the journal and calls reply with what became of each, in their order; then it waits
// until they are durable. After an error nothing of the request counts, whatever reply was called with. The batch is
// reply's only while that runs.
func (in *Intake) Take(ctx context.Context, r *Request, reply func(*pipeline.Batch)) error {
	if r.Key == "" {
		return in.take(ctx, r, nil, reply)
	}
	hash := in.keyHash(r.Key)
	known, again, err := in.o.Journal.Claim(ctx, hash)
	if err != nil {
		return err
	}
	defer in.o.Journal.Unclaim(hash)
	if again {
		return in.repeat(ctx, r, &known, reply)
	}
	return in.take(ctx, r, &journal.Key{Hash: hash}, reply)
}

// TakeOne puts one record of the agent's own, a JSON object, into the journal, and returns when it is durable. The same key
// again within a day is harmless, with another record ErrReused.
func (in *Intake) TakeOne(ctx context.Context, body []byte, k activity.Kind, key string) error {
	return in.Take(ctx, one(k, body, key), func(*pipeline.Batch) {})
}

func one(k activity.Kind, body []byte, key string) *Request {
	return &Request{Body: body, Split: splitJSON, Kind: k, Key: key}
}

// ErrDropped says that a rule of the configuration drops the record, so that there is nothing to keep.
var ErrDropped = errors.New("a rule of pipeline.classify drops it")

// Record puts one record of the agent's own into the journal, and returns its id and its leaf when it is durable.
func (in *Intake) Record(ctx context.Context, k activity.Kind, body []byte) (id ulid.ULID, leaf [32]byte, err error) {
	kept := false
	err = in.Take(ctx, one(k, body, ""), func(b *pipeline.Batch) {
		r := &b.Records[0]
		id, leaf, kept = r.ID, r.Leaf, r.Fate == pipeline.Deliver
	})
	if err == nil && !kept {
		err = ErrDropped
	}
	return id, leaf, plain(err)
}

// Redact returns what becomes of one record, a JSON object, and keeps nothing. What is wrong with its fields is an
// *activity.InvalidError.
func (in *Intake) Redact(ctx context.Context, k activity.Kind, body []byte) (json.RawMessage, error) {
	w, err := in.worker(ctx)
	if err != nil {
		return nil, err
	}
	defer in.release(w)
	if err := w.process(one(k, body, ""), activity.StreamID{}, in.o.Now()); err != nil {
		return nil, plain(err)
	}
	if w.batch.Records[0].Fate != pipeline.Deliver {
		return nil, ErrDropped
	}
	return slices.Clone(w.batch.Doc(0)), nil
}

// plain is err in the words of package activity, where it is about the only record of a request.
func plain(err error) error {
	invalid := (*InvalidError)(nil)
	if !errors.As(err, &invalid) {
		return err
	}
	out := &activity.InvalidError{}
	for _, p := range invalid.Problems {
		out.Problems = append(out.Problems, p.Problem)
	}
	return out
}

// keyHash is salted with the journal, so that a hash says nothing about the same key elsewhere.
func (in *Intake) keyHash(key string) [16]byte {
	id := in.o.Journal.ID()
	sum := sha256.Sum256(append(id[:], key...))
	return [16]byte(sum[:16])
}

func (in *Intake) take(ctx context.Context, r *Request, k *journal.Key, reply func(*pipeline.Batch)) error {
	w, err := in.worker(ctx)
	if err != nil {
		return err
	}
	group, err := in.append(w, r, k, reply)
	in.release(w)
	if err != nil {
		return err
	}
	return group.Wait(ctx)
}

func (in *Intake) append(w *worker, r *Request, k *journal.Key, reply func(*pipeline.Batch)) (*journal.Group, error) {
	scope := activity.StreamID{}
	if k == nil {
		_, _ = rand.Read(scope[:]) // never fails
	} else {
		scope = activity.StreamID(k.Hash)
	}
	if err := w.process(r, scope, in.o.Now()); err != nil {
		return nil, err
	}
	if k != nil {
		*k = w.key(k.Hash)
	}
	group, err := in.o.Journal.Append(&w.batch, k)
	if err != nil {
		return nil, err
	}
	reply(&w.batch)
	return group, nil
}

// repeat answers a request whose key is known: the same again, at the time and in the scope that it had.
func (in *Intake) repeat(ctx context.Context, r *Request, known *journal.Key, reply func(*pipeline.Batch)) error {
	w, err := in.worker(ctx)
	if err != nil {
		return err
	}
	defer in.release(w)
	if err := w.process(r, activity.StreamID(known.Hash), time.Unix(0, known.Time).UTC()); err != nil {
		return err
	}
	if k := w.key(known.Hash); k.Digest != known.Digest && k.Fingerprint == known.Fingerprint {
		return ErrReused
	}
	reply(&w.batch)
	return nil
}

// process runs the pipeline over a request.
func (w *worker) process(r *Request, scope activity.StreamID, at time.Time) error {
	w.stream = pipeline.Stream{ID: scope, TrustIDs: true, Strict: true, Kind: r.Kind, Journaled: true}
	w.raw.Reset()
	w.raw.Buf = r.Body
	w.raw.Ranges = append(w.raw.Ranges, pipeline.Range{Stream: &w.stream, End: int64(len(r.Body))})
	if err := r.Split(&w.raw); err != nil {
		return err
	}
	w.pipe.Process(&w.raw, 0, at, &w.batch)
	if len(w.batch.Problems) > 0 {
		return &InvalidError{append([]pipeline.Problem(nil), w.batch.Problems...)}
	}
	for i := range w.batch.Records {
		if w.batch.Records[i].Fate == pipeline.DeadLetter { // a bug: nothing of it can be kept
			p := pipeline.Problem{Record: i}
			p.Reason = "cannot be processed, because of a fault in the agent; please report it"
			return &InvalidError{[]pipeline.Problem{p}}
		}
	}
	return nil
}

// key describes the batch as the request of an idempotency key. Its digest is over the leaves, so that nothing on the disk
// allows guesses about what was redacted.
func (w *worker) key(hash [16]byte) journal.Key {
	k := journal.Key{Hash: hash, Time: w.batch.Time.UnixNano()}
	h := sha256.New()
	for i := range w.batch.Records {
		r := &w.batch.Records[i]
		h.Write([]byte{byte(r.Fate)})
		h.Write(r.Leaf[:])
	}
	var sum [sha256.Size]byte
	h.Sum(sum[:0])
	copy(k.Digest[:], sum[:])
	fp := w.pipe.Fingerprint()
	copy(k.Fingerprint[:], fp[:])
	return k
}

// IDs appends the ids of a batch's records as a JSON array; null for one that a rule drops.
func appendIDs(dst []byte, b *pipeline.Batch) []byte {
	dst = append(dst, '[')
	for i := range b.Records {
		if i > 0 {
			dst = append(dst, ',')
		}
		if b.Records[i].Fate != pipeline.Deliver {
			dst = append(dst, "null"...)
			continue
		}
		at := len(dst) + 1
		dst = append(dst, `"00000000000000000000000000"`...)
		_ = b.Records[i].ID.MarshalTextTo(dst[at : at+ulid.EncodedSize]) // fails only for a buffer of another size
	}
	return append(dst, ']')
}
