package search

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/truledgr/activity-agent/internal/tape"
)

// A Follower is a store that tells what arrives. It gives each document a number when it takes it, in one part or several
// of the store; within a part, later documents have higher numbers. A number may become visible a moment after a higher
// one, or never.
type Follower interface {
	Store
	// Parts returns the parts there are, and where each ends.
	Parts(ctx context.Context) (map[string]Part, error)
	// Arrivals returns documents that m does not cover, at most about n, in each part by rising number. more says that
	// there may be more at once.
	Arrivals(ctx context.Context, m *Mark, n int) (arrivals []Arrival, more bool, err error)
}

// An Arrival is a document as the store took it.
type Arrival struct {
	Part string
	Seq  int64
	// Term is raised where the part may give out numbers again that it gave out before: a copy of it took over. 0 where
	// that does not happen.
	Term    int64
	ID      ulid.ULID
	Created time.Time       // when an agent took it; where Mark.Floor plays a part
	Doc     json.RawMessage // nil for what is no news, such as an amendment
	// Mark is what to continue a trail with after this arrival. Trail.Next sets it.
	Mark string
}

// A Part is how far one part of a store has been read.
type Part struct {
	High  int64 // the highest number
	Term  int64
	Holes []Hole // numbers below that have not been seen

	touched time.Time
}

// A Hole is a number that may yet become visible.
type Hole struct {
	Seq   int64
	Term  int64 // at least, of what may fill it
	since time.Time
}

// A Mark is a place in what arrives at a store.
type Mark struct {
	Parts map[string]*Part
	// Floor is for parts that are not in Parts: what was created before it is covered. Zero for nothing.
	Floor time.Time
}

const (
	// holeTime is how long a number may be late: by far more than a store's refresh interval.
	holeTime = time.Minute
	// maxHoles is how many numbers below a new one are waited for, and how many may be given out anew after a change of
	// terms.
	maxHoles = 4096
	// textParts is how many parts a mark's text names: those that something arrived in last.
	textParts = 16
)

// Covers reports whether a lies before the mark.
func (m *Mark) Covers(a *Arrival) bool {
	p, ok := m.Parts[a.Part]
	if !ok {
		return a.Created.Before(m.Floor)
	}
	return a.Seq <= p.High && p.hole(a) < 0
}

// hole returns the index of the hole that a fills, or -1.
func (p *Part) hole(a *Arrival) int {
	return slices.IndexFunc(p.Holes, func(h Hole) bool { return h.Seq == a.Seq && a.Term >= h.Term })
}

// add moves the mark past a, and reports whether it was before it.
func (m *Mark) add(a *Arrival, now time.Time) (fresh bool) {
	p, ok := m.Parts[a.Part]
	if !ok {
		p = &Part{High: -1, Term: a.Term}
		if !m.Floor.IsZero() { // what lies below is older
			p.High = a.Seq - 1
		}
		m.Parts[a.Part] = p
	}
	p.touched = now
	if a.Term > p.Term {
		p.changeTerm(a.Term, now)
	}
	if a.Seq <= p.High {
		i := p.hole(a)
		// What is there of an older term is what was there before.
		p.Holes = slices.DeleteFunc(p.Holes, func(h Hole) bool { return h.Seq == a.Seq })
		return i >= 0
	}
	for s := max(p.High+1, a.Seq-maxHoles); s < a.Seq; s++ {
		p.Holes = append(p.Holes, Hole{Seq: s, since: now})
	}
	p.High = a.Seq
	return true
}

// changeTerm expects the last numbers of the term before anew: what had them may be gone.
func (p *Part) changeTerm(term int64, now time.Time) {
	if p.Term != 0 {
		for s := max(0, p.High-maxHoles+1); s <= p.High; s++ {
			if !slices.ContainsFunc(p.Holes, func(h Hole) bool { return h.Seq == s }) {
				p.Holes = append(p.Holes, Hole{s, term, now})
			}
		}
	}
	p.Term = term
}

// expire gives up holes that were not filled.
func (m *Mark) expire(now time.Time) {
	for _, p := range m.Parts {
		p.Holes = slices.DeleteFunc(p.Holes, func(h Hole) bool { return now.Sub(h.since) > holeTime })
	}
}

// String returns the mark as text for ParseMark. Each arrival has one, so it is written without encoding/json.
func (m *Mark) String() string {
	names := slices.SortedFunc(maps.Keys(m.Parts), func(a, b string) int {
		return m.Parts[b].touched.Compare(m.Parts[a].touched)
	})
	floor := m.Floor
	if len(names) > textParts {
		if t := m.Parts[names[textParts]].touched; t.After(floor) {
			floor = t
		}
		names = names[:textParts]
	}
	b := []byte{'{'}
	if !floor.IsZero() {
		b = append(strconv.AppendInt(append(b, `"f":`...), floor.UnixMilli(), 10), ',')
	}
	b = append(b, `"p":{`...)
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = m.Parts[name].appendText(append(tape.AppendEscaped(append(b, '"'), []byte(name)), `":`...))
	}
	return base64.RawURLEncoding.EncodeToString(append(b, "}}"...))
}

// appendText appends what markText.Parts has of the part.
func (p *Part) appendText(b []byte) []byte {
	b = strconv.AppendInt(append(b, '['), p.High, 10)
	b = strconv.AppendInt(append(b, ','), p.Term, 10)
	for _, h := range p.Holes[:min(len(p.Holes), textParts)] {
		b = strconv.AppendInt(append(b, ','), p.High-h.Seq, 10)
	}
	return append(b, ']')
}

// markText is the form of a mark as text.
type markText struct {
	Floor int64              `json:"f,omitempty"` // milliseconds since 1970
	Parts map[string][]int64 `json:"p"`           // the highest number, the term, and by how much holes lie below
}

// ParseMark reads a mark. Its error is a *ParamError.
func ParseMark(text string, now time.Time) (*Mark, error) {
	bad := &ParamError{Param: "after", Problem: "is no place in the stream: pass the id of the last event unchanged"}
	b, err := base64.RawURLEncoding.DecodeString(text)
	var t markText
	if err != nil || json.Unmarshal(b, &t) != nil || t.Parts == nil {
		return nil, bad
	}
	m := &Mark{Parts: map[string]*Part{}}
	if t.Floor != 0 {
		m.Floor = time.UnixMilli(t.Floor)
	}
	for name, values := range t.Parts {
		if len(values) < 2 || len(values) > 2+textParts {
			return nil, bad
		}
		p := &Part{High: values[0], Term: values[1], touched: now}
		for _, below := range values[2:] {
			p.Holes = append(p.Holes, Hole{Seq: p.High - below, since: now})
		}
		m.Parts[name] = p
	}
	return m, nil
}

// A Trail follows a store from a place on. Its methods are for one goroutine.
type Trail struct {
	store  Follower
	mark   *Mark
	recent recent
	now    func() time.Time
}

// StartTrail begins with what arrives from now on.
func StartTrail(ctx context.Context, s Follower, now func() time.Time) (*Trail, error) {
	parts, err := s.Parts(ctx)
	if err != nil {
		return nil, err
	}
	t := &Trail{store: s, mark: &Mark{Parts: map[string]*Part{}}, now: now}
	began := now()
	for name, p := range parts {
		p.touched = began
		t.mark.Parts[name] = &p
	}
	return t, nil
}

// ContinueTrail goes on after a mark.
func ContinueTrail(s Follower, mark string, now func() time.Time) (*Trail, error) {
	m, err := ParseMark(mark, now())
	if err != nil {
		return nil, err
	}
	return &Trail{store: s, mark: m, now: now}, nil
}

// pageArrivals is how many documents Next asks for.
const pageArrivals = 500

// Next returns what has arrived since the call before, each document once. more says that there may be more at once.
func (t *Trail) Next(ctx context.Context) (arrivals []Arrival, more bool, err error) {
	t.mark.expire(t.now())
	got, more, err := t.store.Arrivals(ctx, t.mark, pageArrivals)
	if err != nil {
		return nil, false, err
	}
	now := t.now()
	for _, a := range got {
		if !t.mark.add(&a, now) || a.Doc == nil || a.Term != 0 && t.recent.seen(a.ID) {
			continue
		}
		a.Mark = t.mark.String()
		arrivals = append(arrivals, a)
	}
	return arrivals, more, nil
}

// Mark is the place up to which Next has returned everything.
func (t *Trail) Mark() string { return t.mark.String() }

// MarkWith is the place that covers what Next has returned, and what the mark of another trail covers.
func (t *Trail) MarkWith(other string) string {
	m, err := ParseMark(other, t.now())
	if err != nil {
		return t.Mark()
	}
	for name, p := range t.mark.Parts {
		q, ok := m.Parts[name]
		if !ok {
			m.Parts[name] = p
			continue
		}
		if q.High < p.High {
			p, q = q, p
		}
		holes := slices.DeleteFunc(slices.Clone(q.Holes), func(h Hole) bool {
			return p.High >= h.Seq && !slices.ContainsFunc(p.Holes, func(o Hole) bool { return o.Seq == h.Seq })
		})
		m.Parts[name] = &Part{High: q.High, Term: max(p.Term, q.Term), Holes: holes, touched: q.touched}
	}
	return m.String()
}

// Covers reports whether Next has returned a, or it lies before the trail.
func (t *Trail) Covers(a *Arrival) bool { return t.mark.Covers(a) || t.recent.has(a.ID) }

// recent remembers the last ids: a document that was visible before its copy of the store was lost arrives again.
type recent struct{ newer, older map[ulid.ULID]struct{} }

const maxRecent = 32 << 10

func (r *recent) has(id ulid.ULID) bool {
	_, newer := r.newer[id]
	_, older := r.older[id]
	return newer || older
}

// seen reports whether id was there, and adds it.
func (r *recent) seen(id ulid.ULID) bool {
	if r.has(id) {
		return true
	}
	if r.newer == nil || len(r.newer) >= maxRecent {
		r.older, r.newer = r.newer, make(map[ulid.ULID]struct{}, maxRecent/8)
	}
	r.newer[id] = struct{}{}
	return false
}
