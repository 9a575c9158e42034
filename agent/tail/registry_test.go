package tail

import (
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/pipeline"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a ledger that forgets with the test.
type memory struct {
	mu      sync.Mutex
	streams map[activity.StreamID]ledger.Stream
	puts    int
	wet     bool // outcomes are not on the disk
}

func (m *memory) NextBatch() uint64 { return 1 }

func (m *memory) DurableBefore(uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.wet
}

// sink lets outcomes reach the disk, or not.
func (m *memory) sink(wet bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wet = wet
}

var _ Registry = (*memory)(nil)

func newMemory() *memory { return &memory{streams: map[activity.StreamID]ledger.Stream{}} }

func (m *memory) Streams() (out []ledger.Stream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.streams {
		out = append(out, s)
	}
	return out
}

func (m *memory) PutStream(s ledger.Stream) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.puts++
	old := m.streams[s.ID]
	s.Offset, s.TailSum, s.TailLen, s.LastRead = old.Offset, old.TailSum, old.TailLen, old.LastRead
	if s.Marks[0].Len == 0 {
		s.Marks = old.Marks
	}
	m.streams[s.ID] = s
	return nil
}

func (m *memory) ForgetStream(id activity.StreamID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.streams, id)
	return nil
}

// commit does what an intent does. Ranges of a stream must follow each other without a gap.
func (m *memory) commit(t interface{ Errorf(string, ...any) }, r *pipeline.Raw) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range r.Ranges {
		g := &r.Ranges[i]
		s, ok := m.streams[g.Stream.ID]
		if !ok {
			t.Errorf("a range of a stream that was not put")
		}
		if s.Offset != g.Start && s.Offset != 0 {
			t.Errorf("range [%d,%d) after offset %d", g.Start, g.End, s.Offset)
		}
		s.Marks.Add(ledger.Mark{Offset: s.Offset, Sum: s.TailSum, Len: s.TailLen})
		s.Offset, s.TailSum, s.TailLen = g.End, g.TailSum, min(pipeline.TailSize, g.End-g.Start)
		m.streams[s.ID] = s
	}
}

// recordsOf returns the kept bytes of the records of a batch, pieces joined by "|".
func recordsOf(r *pipeline.Raw) []string {
	out := make([]string, 0, len(r.Cuts))
	for _, c := range r.Cuts {
		var b []byte
		for i, p := range r.Pieces[c.First : c.First+c.Pieces] {
			if i > 0 {
				b = append(b, '|')
			}
			b = append(b, r.Buf[p.At:p.At+p.Len]...)
		}
		out = append(out, string(b))
	}
	return out
}

// intentOf is what a ledger keeps of a batch.
func intentOf(r *pipeline.Raw) *ledger.Intent {
	in := &ledger.Intent{Pieces: slices.Clone(r.Pieces), Cuts: slices.Clone(r.Cuts)}
	for i := range in.Pieces {
		in.Pieces[i].At = 0
	}
	for _, g := range r.Ranges {
		in.Ranges = append(in.Ranges, ledger.IntentRange{
			Stream: g.Stream.ID, Start: g.Start, End: g.End, Sum: g.Sum, TailSum: g.TailSum, Lines: g.Lines,
		})
	}
	in.Decisions = make([]pipeline.Decision, len(in.Cuts))
	return in
}
