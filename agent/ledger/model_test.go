package ledger

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/pipeline"
)

// A model is what a ledger must hold, in the simplest form that says it.
type model struct {
	offsets map[activity.StreamID]int64
	pending map[uint64]*Intent
	next    uint64
}

func (m model) clone() model {
	return model{maps.Clone(m.offsets), maps.Clone(m.pending), m.next}
}

// A machine runs random actions on a ledger and its model.
type machine struct {
	t    *testing.T
	dir  string
	disk *faultyDisk
	l    *Ledger

	now     model // as of the last action
	durable model // as of the last write
	synced  int   // size of the file before the last write
	grown   bool  // the last write appended to the file
}

func (m *machine) open(t *rapid.T) {
	l, err := Open(m.dir, Options{AgentID: "a", CompactBytes: 3000, disk: m.disk})
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	m.l = l
	m.grown = false
}

func (m *machine) check(t *rapid.T) {
	if got := offsets(m.l); !maps.Equal(m.now.offsets, got) {
		t.Fatalf("offsets (-want +got):\n%s", cmp.Diff(m.now.offsets, got))
	}
	var want []*Intent
	for _, n := range slices.Sorted(maps.Keys(m.now.pending)) {
		want = append(want, m.now.pending[n])
	}
	if got := m.l.Pending(); !reflect.DeepEqual(want, got) {
		t.Fatalf("pending (-want +got):\n%s", cmp.Diff(want, got))
	}
	if got := m.l.NextBatch(); got != m.now.next {
		t.Fatalf("NextBatch: got %d, want %d", got, m.now.next)
	}
	if len(m.l.Gaps()) > 0 {
		t.Fatalf("gaps: %v", m.l.Gaps())
	}
}

// wrote notes a write that succeeded.
func (m *machine) wrote(before int, in file) {
	m.durable = m.now.clone()
	size := m.size()
	m.grown, m.synced = size > before && m.l.file == in, before // a new file is whole or not there
}

func (m *machine) size() int {
	info, err := os.Stat(filepath.Join(m.dir, fileName))
	if err != nil {
		return 0
	}
	return int(info.Size())
}

func (m *machine) stream(t *rapid.T) activity.StreamID { return id(rapid.Byte().Draw(t, "stream") % 4) }

func (m *machine) put(t *rapid.T) {
	s := Stream{ID: m.stream(t), Dir: "d", Offset: int64(rapid.IntRange(0, 9).Draw(t, "start")) * 100}
	if err := m.l.PutStream(s); err != nil {
		t.Fatal(err)
	}
	if _, known := m.now.offsets[s.ID]; !known {
		m.now.offsets[s.ID] = s.Offset
	}
}

func (m *machine) forget(t *rapid.T) {
	s := m.stream(t)
	if err := m.l.ForgetStream(s); err != nil {
		t.Fatal(err)
	}
	delete(m.now.offsets, s)
}

func (m *machine) append(t *rapid.T) {
	b := &pipeline.Batch{Number: m.now.next, Time: start}
	after := maps.Clone(m.now.offsets)
	for range rapid.IntRange(1, 3).Draw(t, "ranges") {
		s := m.stream(t)
		n := int64(rapid.IntRange(0, 3).Draw(t, "records")) * 100
		addRange(b, s, after[s], after[s]+n)
		after[s] += n
	}
	if op := rapid.SampledFrom([]string{"", "", "", "", "write", "sync", "create", "rename", "syncdir"}).Draw(t, "fault"); op != "" {
		m.disk.set(op, 1)
	}
	before, in := m.size(), m.l.file
	err := m.l.Append(b, meta)
	m.disk.fail = nil
	if err != nil {
		// Streams that were met first are known from where the batch would have begun.
		for _, r := range b.Ranges {
			if _, known := m.now.offsets[r.Stream.ID]; !known {
				m.now.offsets[r.Stream.ID] = 0
			}
		}
		m.grown = false
		return
	}
	m.now.offsets = after
	m.now.pending[b.Number] = intentOf(b, meta)
	m.now.next++
	m.wrote(before, in)
}

func (m *machine) finish(t *rapid.T) {
	ns := slices.Sorted(maps.Keys(m.now.pending))
	if len(ns) == 0 {
		return
	}
	n := rapid.SampledFrom(ns).Draw(t, "batch")
	if err := m.l.Finish(Outcome{Number: n}); err != nil {
		t.Fatal(err)
	}
	delete(m.now.pending, n)
}

func (m *machine) sync(t *rapid.T) {
	before, in := m.size(), m.l.file
	if err := m.l.Sync(); err != nil {
		t.Fatal(err)
	}
	m.wrote(before, in)
}

func (m *machine) restart(t *rapid.T) {
	if err := m.l.Close(); err != nil {
		t.Fatal(err)
	}
	m.durable = m.now.clone()
	m.open(t)
	if len(m.l.Repairs()) > 0 {
		t.Fatalf("repairs: %v", m.l.Repairs())
	}
}

// kill takes what a crash would leave: the file as it is, without what waited in memory, and now and then without a part
// of the last write.
func (m *machine) kill(t *rapid.T) {
	path := filepath.Join(m.dir, fileName)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	broken := m.l.broken
	if err := m.l.Close(); err != nil {
		t.Fatal(err)
	}
	torn := m.grown && !broken && rapid.Bool().Draw(t, "torn")
	if torn {
		b = b[:rapid.IntRange(m.synced, len(b)-1).Draw(t, "size")]
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	if broken || torn {
		m.adopt(t, torn)
		return
	}
	m.now = m.durable.clone()
}

// adopt takes what is found after a write that may or may not have come to the disk, having seen that it is possible: no
// number is missing, no gap opened, and the intents are those that were written.
func (m *machine) adopt(t *rapid.T, torn bool) {
	next := m.l.NextBatch()
	if next > m.durable.next+1 || next < m.durable.next && !torn || next+1 < m.durable.next {
		t.Fatalf("NextBatch: got %d, durable %d", next, m.durable.next)
	}
	if len(m.l.Gaps()) > 0 {
		t.Fatalf("gaps: %v", m.l.Gaps())
	}
	m.now = model{offsets: offsets(m.l), pending: make(map[uint64]*Intent), next: next}
	for _, in := range m.l.Pending() {
		want, was := m.durable.pending[in.Number]
		if was && !cmp.Equal(want, in) {
			t.Fatalf("pending (-want +got):\n%s", cmp.Diff(want, in))
		}
		m.now.pending[in.Number] = in
	}
	m.durable = m.now.clone()
}

func TestRandomActionsAgainstAModel(t *testing.T) {
	t.Parallel()
	root := ramDir(t)
	most := 12
	if os.Getenv("ACTIVITY_SOAK") != "" {
		most = 200
	}
	rapid.Check(t, func(rt *rapid.T) {
		empty := model{make(map[activity.StreamID]int64), make(map[uint64]*Intent), 1}
		dir, err := os.MkdirTemp(root, "")
		if err != nil {
			t.Fatal(err)
		}
		m := &machine{t: t, dir: dir, disk: &faultyDisk{}, now: empty, durable: empty.clone()}
		m.open(rt)
		defer func() { _ = m.l.Close() }()
		actions := []func(*rapid.T){m.put, m.append, m.append, m.append, m.finish, m.finish, m.forget, m.sync, m.restart, m.kill}
		for range rapid.IntRange(1, most).Draw(rt, "actions") {
			actions[rapid.IntRange(0, len(actions)-1).Draw(rt, "action")](rt)
			m.check(rt)
		}
	})
}
