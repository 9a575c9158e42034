package agent

import (
	"maps"
	"sync"
	"time"

	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/pipeline/redact"
	"github.com/truledgr/activity-agent/sinks"
)

// An Account says what became of every record of this process. At every moment
//
//	Read = Stored + Duplicate + Conflict + DeadLettered + ΣDropped + ΣLost + InFlight
//
// where the unit is the record after joining; Lines and Bytes count what the records were read from.
type Account struct {
	Read         int64            `json:"read"`
	Stored       int64            `json:"stored"`
	Duplicate    int64            `json:"duplicate"`
	Conflict     int64            `json:"conflict"`
	DeadLettered int64            `json:"dead_lettered"`
	Dropped      map[string]int64 `json:"dropped"` // by rule
	Lost         map[string]int64 `json:"lost"`    // by reason
	InFlight     int64            `json:"in_flight"`
	Lines        int64            `json:"lines"`
	Bytes        int64            `json:"bytes"`
	ByKind       map[string]int64 `json:"by_kind"`  // of the records that were to be delivered
	Redacted     map[string]int64 `json:"redacted"` // what was removed, by detector
	Replayed     int64            `json:"replayed"` // of Read: records whose intent was there at the start
	Batches      int64            `json:"batches"`  // with an outcome
	Retries      int64            `json:"retries"`  // attempts after the first
	Panics       int64            `json:"panics"`   // of DeadLettered: set aside for a bug
}

// books keeps the account. A batch is entered once when its intent is durable and once when its fate is known, each in
// one step, so that every reader sees sums that add up.
type books struct {
	mu    sync.Mutex
	a     Account
	since map[uint64]time.Time // when each batch in flight was entered
}

func newBooks() *books {
	return &books{since: map[uint64]time.Time{}, a: Account{
		Dropped: map[string]int64{}, Lost: map[string]int64{}, ByKind: map[string]int64{}, Redacted: map[string]int64{},
	}}
}

// enter takes in a batch whose intent is durable. What the pipeline has decided not to deliver is settled at once,
// except for dead letters, which must be on the disk first.
func (k *books) enter(b *pipeline.Batch, replay bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.since[b.Number] = time.Now()
	var kinds [256]int64 // by activity.Kind
	for i := range b.Records {
		r := &b.Records[i]
		switch r.Fate {
		case pipeline.Drop:
			k.a.Dropped[r.Reason]++
			continue
		case pipeline.Lost:
			k.a.Lost[r.Reason]++
			continue
		case pipeline.Deliver:
			kinds[r.Kind]++
		}
		k.a.InFlight++
	}
	for _, kind := range b.Model.Kinds() {
		if kinds[kind] > 0 {
			k.a.ByKind[b.Model.KindName(kind)] += kinds[kind]
		}
	}
	for d, n := range b.Redactions {
		if n > 0 {
			k.a.Redacted[redact.Detector(d).String()] += int64(n)
		}
	}
	for i := range b.Ranges {
		k.a.Lines += b.Ranges[i].Lines
		k.a.Bytes += b.Ranges[i].End - b.Ranges[i].Start
	}
	k.a.Read += int64(len(b.Records))
	k.a.Panics += int64(b.Panics)
	if replay {
		k.a.Replayed += int64(len(b.Records))
	}
}

// settle closes a batch.
func (k *books) settle(b *pipeline.Batch, results []sinks.Result) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.a.Batches++
	delete(k.since, b.Number)
	for i := range b.Records {
		switch b.Records[i].Fate {
		case pipeline.DeadLetter:
			k.a.DeadLettered++
		case pipeline.Deliver:
			switch results[i].Verdict {
			case sinks.Stored:
				k.a.Stored++
			case sinks.Duplicate:
				k.a.Duplicate++
			case sinks.Conflict:
				k.a.Conflict++
			case sinks.Rejected:
				k.a.DeadLettered++
			}
		default:
			continue
		}
		k.a.InFlight--
	}
}

// oldest returns how long the batch has been under way that was entered first, by the monotonic clock; 0 if there is none.
func (k *books) oldest() (age time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, at := range k.since {
		age = max(age, time.Since(at))
	}
	return age
}

func (k *books) retried() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.a.Retries++
}

// snapshot returns a copy.
func (k *books) snapshot() Account {
	k.mu.Lock()
	defer k.mu.Unlock()
	a := k.a
	a.Dropped, a.Lost, a.ByKind, a.Redacted = maps.Clone(a.Dropped), maps.Clone(a.Lost), maps.Clone(a.ByKind), maps.Clone(a.Redacted)
	return a
}
