package ledger

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/frame"
)

// minIntent is less than any intent's frame takes. It bounds how many numbers a damaged part can have used.
const minIntent = 60

// A recovery reads a file, sound or not, into a state.
type recovery struct {
	state
	size       int64 // of the file up to the end of its last good entry
	headerSeen bool
	damaged    bool // beyond a torn tail
	older      bool // of a format before this one
	repairs    []Repair

	path, quarantine string
	disk             disk
	now              time.Time
	scan             frame.Scanner

	first    uint64                       // number of the last batch before this file
	last     uint64                       // highest number of an intent read
	missing  []numberRange                // below it, and not read
	seen     map[activity.StreamID]uint64 // last when a stream's offset was set
	outcomes map[uint64]struct{}          // outcomes whose intent was not read
	flights  []flight
	carried  map[uint64]struct{} // carried intents that were read
	holes    []hole
	forks    int // outcomes that do not follow the one before

	intent   Intent // memory that is used again
	progress []progress
	payload  []byte
	free     [][]byte
}

// A hole is a gap with the numbers between which the lost batches lie that were in it: exclusive, before being 0 as long
// as it is not known.
type hole struct {
	gap           Gap
	after, before uint64
}

// A numberRange is the numbers from lo to hi, both included.
type numberRange struct{ lo, hi uint64 }

// clean reports whether the file can be appended to.
func (r *recovery) clean() bool { return r.headerSeen && !r.damaged && !r.older }

// recoverFile reads the ledger at path. Damaged parts are copied to files that begin with quarantine. The errors are
// ErrNewer, and those of opening the file.
func recoverFile(d disk, path, quarantine string, now time.Time) (*recovery, error) {
	r := &recovery{
		state: newState(), disk: d, path: path, quarantine: quarantine, now: now,
		seen: make(map[activity.StreamID]uint64), outcomes: make(map[uint64]struct{}), carried: make(map[uint64]struct{}),
	}
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w; see that it belongs to the agent's user", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	r.scan = frame.Scanner{R: f, Size: info.Size()}
	if err := r.read(); err != nil {
		return nil, fmt.Errorf("%w: %s; run the version that wrote it, or a later one", err, path)
	}
	r.conclude()
	return r, nil
}

// read applies every good entry. Its only error is ErrNewer.
func (r *recovery) read() error {
	for off := int64(0); off < r.scan.Size; {
		payload, next, ok := r.scan.Frame(off)
		if ok {
			err := r.apply(payload[0], payload[1:])
			if errors.Is(err, ErrNewer) {
				return err
			}
			ok = err == nil
		}
		if !ok {
			next = r.scan.Resync(off + 1)
			r.damage(off, next)
		} else {
			r.size = next
		}
		off = next
	}
	return nil
}

// damage deals with a part that holds no good entry: a torn tail is left to be cut, anything else kept aside.
func (r *recovery) damage(from, to int64) {
	rep := Repair{Kind: TornTail, File: r.path, Offset: from, Bytes: to - from}
	if to == r.scan.Size && r.scan.Torn(from) {
		rep.Detail = "the last write was cut short; nothing of it was sent"
		r.repairs = append(r.repairs, rep)
		return
	}
	r.damaged = true
	rep.Kind = Quarantined
	name, err := r.setAside(from, to)
	if err != nil {
		rep.Detail = fmt.Sprintf("unreadable, and no copy of it could be kept: %v", err)
	} else {
		rep.Detail = "unreadable; a copy is in " + name
	}
	r.repairs = append(r.repairs, rep)
	// A number that may have been used is not used again. The next intent that is read says how many there were.
	r.next += 1 + uint64(to-from)/minIntent
}

func (r *recovery) setAside(from, to int64) (string, error) {
	name := fmt.Sprintf("%s%s-%d", r.quarantine, r.now.UTC().Format("20060102T150405.000000000"), from)
	f, err := r.disk.Create(name)
	if err != nil {
		return "", err
	}
	for err == nil && from < to {
		n := min(frame.Window, to-from)
		_, err = f.Write(r.scan.Bytes(from, int(n)))
		from += n
	}
	if err == nil {
		err = f.Sync()
	}
	return name, errors.Join(err, f.Close())
}

// apply applies one entry.
func (r *recovery) apply(typ byte, body []byte) error {
	switch typ {
	case entryHeader:
		return r.applyHeader(body)
	case entryStream:
		return r.applyStream(body)
	case entryForget:
		id, err := decodeForget(body)
		if err == nil {
			r.forget(id)
			r.holes = slices.DeleteFunc(r.holes, func(h hole) bool { return h.gap.Stream == id })
		}
		return err
	case entryIntent, entryCarried:
		return r.applyIntent(body, typ == entryCarried)
	case entryOutcome:
		return r.applyOutcome(body)
	case entryFlight:
		fs, err := decodeFlights(body)
		if err == nil {
			r.flights = fs
		}
		return err
	case entryGap:
		g, open, err := decodeGap(body)
		if err == nil && open {
			r.openGap(g)
		} else if err == nil {
			r.closeGap(g)
		}
		return err
	}
	return errMalformed
}

func (r *recovery) applyHeader(body []byte) error {
	h, err := decodeHeader(body)
	if err != nil || r.headerSeen {
		return err
	}
	r.headerSeen, r.older = true, h.version < version
	r.agentID, r.chain, r.next, r.head = h.agentID, h.chain, h.next, h.head
	r.first, r.last = h.next-1, h.next-1
	return nil
}

func (r *recovery) applyStream(body []byte) error {
	in, base, fresh, err := decodeStream(body)
	if err != nil {
		return err
	}
	st := r.streams[in.ID]
	if fresh && st != nil { // forgotten in between
		r.forget(in.ID)
		st = nil
	}
	if st == nil {
		st = &stream{base: base}
		st.Offset = base
	}
	if !st.sure {
		st.Offset = max(st.Offset, base)
	}
	r.streams[in.ID] = st
	if (st.sure || !fresh) && st.Offset < in.Offset {
		g := Gap{Stream: in.ID, Start: st.Offset, End: in.Offset}
		r.openGap(g)
		r.hole(g, 0)
	}
	st.Stream, st.base, st.sure = in, base, true
	r.seen[in.ID] = r.last
	return nil
}

func (r *recovery) applyIntent(body []byte, carried bool) error {
	in := &r.intent
	var leaves int
	var err error
	r.progress, leaves, err = decodeIntent(body, in, r.progress)
	if err != nil {
		return err
	}
	if _, known := r.find(in.Number); known || (!carried && in.Number <= r.last) {
		return errMalformed // out of its place
	}
	if carried {
		r.carry(in)
	} else {
		r.follow(in)
	}
	p := &pending{number: in.Number, mark: in.Mark, leaves: leaves}
	if n := len(r.free); n > 0 {
		p.body, r.free = r.free[n-1][:0], r.free[:n-1]
	}
	p.body = append(p.body, body...)
	i, _ := r.find(in.Number)
	r.pending = slices.Insert(r.pending, i, p)
	return nil
}

// carry applies an intent of the snapshot. The offsets of its streams follow from it only where their entries are lost.
func (r *recovery) carry(in *Intent) {
	r.carried[in.Number] = struct{}{}
	for i := range in.Ranges {
		rg := &in.Ranges[i]
		st := r.streams[rg.Stream]
		if st == nil {
			if !r.damaged {
				continue // forgotten
			}
			st = &stream{Stream: Stream{ID: rg.Stream}}
			r.streams[rg.Stream] = st
		}
		if !st.sure && rg.End > st.Offset {
			st.Offset, st.TailSum, st.TailLen, st.LastRead = rg.End, rg.TailSum, tailLen(rg), in.Time
		}
	}
}

// follow applies an intent that is new in this file.
func (r *recovery) follow(in *Intent) {
	for i := range r.holes {
		if r.holes[i].before == 0 {
			r.holes[i].before = in.Number
		}
	}
	for i := range in.Ranges {
		if g := r.advance(&in.Ranges[i], r.progress[i], in.Time); g != (Gap{}) {
			r.hole(g, in.Number)
		}
		r.seen[in.Ranges[i].Stream] = in.Number
	}
	if in.Number > r.last+1 {
		r.missing = append(r.missing, numberRange{r.last + 1, in.Number - 1})
	}
	r.last, r.next = in.Number, in.Number+1
}

func (r *recovery) hole(g Gap, before uint64) {
	after, ok := r.seen[g.Stream]
	if !ok {
		after = r.first
	}
	r.holes = append(r.holes, hole{gap: g, after: after, before: before})
}

func (r *recovery) applyOutcome(body []byte) error {
	v, err := decodeOutcome(body)
	if err != nil {
		return err
	}
	if v.prev != r.head {
		r.forks++
	}
	r.payload = append(append(r.payload[:0], entryOutcome), body...)
	r.head = sha256.Sum256(r.payload)
	if p := r.finish(v.Number); p != nil {
		r.free = append(r.free, p.body)
		return nil
	}
	r.outcomes[v.Number] = struct{}{}
	r.next = max(r.next, v.Number+1)
	return nil
}

// conclude draws from the whole file what no single entry says.
func (r *recovery) conclude() {
	if !r.headerSeen {
		rep := Repair{Kind: HeaderRebuilt, File: r.path, Detail: "no header could be read; a new chain is begun"}
		r.repairs = append(r.repairs, rep)
	}
	r.settle()
	r.land()
	r.passRewound()
	for _, g := range r.gaps {
		r.repairs = append(r.repairs, Repair{Kind: GapOpened, File: r.path, Detail: g.String() + " has to be read again"})
	}
	for id, st := range r.streams {
		if st.Dir == "" && r.damaged {
			r.repairs = append(r.repairs, Repair{Kind: StreamUnnamed, File: r.path, Detail: unnamed(id, st.Offset)})
		}
	}
	if r.forks > 0 {
		rep := Repair{Kind: ChainForked, File: r.path, Detail: fmt.Sprintf("%d outcomes do not follow the one before them", r.forks)}
		r.repairs = append(r.repairs, rep)
	}
}

func unnamed(id activity.StreamID, offset int64) string {
	return fmt.Sprintf("the registration of stream %x is lost; its offset %d is kept", id[:], offset)
}

// settle closes the gaps of which every lost intent has an outcome: what was in them was dealt with.
func (r *recovery) settle() {
	if r.next > r.last+1 {
		r.missing = append(r.missing, numberRange{r.last + 1, r.next - 1})
	}
	for _, h := range r.holes {
		if r.settled(h) {
			r.closeGap(h.gap)
		}
	}
}

// land opens gaps for batches that were under way when the file was begun, and of which neither the intent nor an outcome
// could be read. Parts that are ahead of their stream's offset are read again anyhow.
func (r *recovery) land() {
	for _, f := range r.flights {
		_, carried := r.carried[f.number]
		_, done := r.outcomes[f.number]
		st := r.streams[f.part.Stream]
		if carried || done || st == nil {
			continue
		}
		f.part.End = min(f.part.End, st.Offset)
		r.closeGap(f.part) // not twice
		r.openGap(f.part)
	}
}

func (r *recovery) settled(h hole) bool {
	before, lost := h.before, 0
	if before == 0 {
		before = r.next
	}
	for _, m := range r.missing {
		for n := max(m.lo, h.after+1); n <= m.hi && n < before; n++ {
			if _, ok := r.outcomes[n]; !ok {
				return false
			}
			lost++
		}
	}
	return lost > 0
}

// passRewound finishes intents whose outcome must be lost. A sinks.Rewinder has one batch under way: where a later batch
// is known, the one before it was done with, and going back to it would cut what came after.
func (r *recovery) passRewound() {
	latest := r.last
	for n := range r.outcomes {
		latest = max(latest, n)
	}
	r.pending = slices.DeleteFunc(r.pending, func(p *pending) bool {
		done := p.mark >= 0 && p.number < latest && r.damaged
		if done {
			r.repairs = append(r.repairs, Repair{
				Kind: OutcomeLost, File: r.path, Detail: fmt.Sprintf("batch %d was done with, since a later one was begun", p.number),
			})
		}
		return done
	})
}
