package activity

import (
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"
)

func counting(from, step int) (b [16]byte) {
	for i := range b {
		b[i] = byte(from + i*step)
	}
	return b
}

// The wanted ids were computed from the description of the construction by a separate program in another language.
// They are in every store there is: a change here turns every replay into duplicates.
func TestIDsNeverChange(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1794902412377)
	stream, chain := StreamID(counting(0, 1)), ChainID(counting(255, -1))
	pod, quick := NewAgentKey("shop/checkout-5d9c7b-xk2lp/app"), NewAgentKey("quickstart")
	for _, tt := range []struct {
		got  ulid.ULID
		want string
	}{
		{PositionID(at, pod, stream, 0, 141), "01M7M8AK2SC610CFQMCVJK9YY1"},
		{PositionID(at, pod, stream, 4096, 141), "01M7M8AK2S5Y74WW3RPK1WMC90"},
		{PositionID(time.UnixMilli(0), NewAgentKey(""), StreamID{}, 0, 0), "0000000000M761NG822FF9W7Q2"},
		{PositionID(at, quick, stream, 1<<40, 1<<20), "01M7M8AK2SZRYW8XHZB293KVHY"},
		{SequenceID(at, quick, chain, 7, 0), "01M7M8AK2S77Y2VWKVN4HMBDY6"},
		{SequenceID(at, quick, chain, 7, 1), "01M7M8AK2SPDFFQ63YSN78E08K"},
	} {
		if got := tt.got.String(); got != tt.want {
			t.Errorf("id %s, want %s", got, tt.want)
		}
	}
}

// place is all that an id is made of.
type place struct {
	ms             int64
	agent          string
	scope          [16]byte
	offset, length int64
}

func (p place) position() ulid.ULID {
	return PositionID(time.UnixMilli(p.ms), NewAgentKey(p.agent), StreamID(p.scope), p.offset, p.length)
}

func (p place) sequence() ulid.ULID {
	return SequenceID(time.UnixMilli(p.ms), NewAgentKey(p.agent), ChainID(p.scope), uint64(p.offset), uint64(p.length))
}

func places() *rapid.Generator[place] {
	// Few values for each part, so that two places often agree in all parts but one.
	return rapid.Custom(func(t *rapid.T) place {
		return place{
			ms:     rapid.SampledFrom([]int64{0, 1, 1794902412377, 1<<48 - 1}).Draw(t, "ms"),
			agent:  rapid.SampledFrom([]string{"", "a", "shop/pod/app"}).Draw(t, "agent"),
			scope:  rapid.SampledFrom([][16]byte{{}, counting(0, 1), counting(1, 1)}).Draw(t, "scope"),
			offset: rapid.SampledFrom([]int64{0, 1, 1 << 33}).Draw(t, "offset"),
			length: rapid.SampledFrom([]int64{0, 1, 1 << 20}).Draw(t, "length"),
		}
	})
}

func TestSamePlaceSameIDAndOtherPlaceOtherID(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p, q := places().Draw(t, "p"), places().Draw(t, "q")
		if (p.position() == q.position()) != (p == q) {
			t.Errorf("position ids of %+v and %+v: %s and %s", p, q, p.position(), q.position())
		}
		if (p.sequence() == q.sequence()) != (p == q) {
			t.Errorf("sequence ids of %+v and %+v: %s and %s", p, q, p.sequence(), q.sequence())
		}
		if p.position() == q.sequence() {
			t.Errorf("a position and a place in the chain share the id %s", p.position())
		}
	})
}

func TestIDIsAULIDOfItsTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := places().Draw(t, "place")
		for _, id := range []ulid.ULID{p.position(), p.sequence()} {
			back, err := ulid.ParseStrict(id.String())
			if err != nil || back != id {
				t.Errorf("%s reads back as %s, error %v", id, back, err)
			}
			if got := int64(id.Time()); got != p.ms {
				t.Errorf("time part of %s is %d ms, want %d", id, got, p.ms)
			}
		}
	})
}

func TestIDsSortByTime(t *testing.T) {
	t.Parallel()
	early, late := place{ms: 1794902412377}, place{ms: 1794902412378}
	if e, l := early.position().String(), late.position().String(); e >= l {
		t.Errorf("%s of the earlier millisecond does not sort before %s", e, l)
	}
}

func TestIDsAllocateNothing(t *testing.T) {
	agent, at := NewAgentKey("a"), time.UnixMilli(1794902412377)
	var id ulid.ULID
	if n := testing.AllocsPerRun(100, func() { id = PositionID(at, agent, StreamID{}, 1, 2) }); n != 0 {
		t.Errorf("PositionID allocates %v times, want 0", n)
	}
	_ = id
}

func BenchmarkPositionID(b *testing.B) {
	agent, at := NewAgentKey("a"), time.UnixMilli(1794902412377)
	b.ReportAllocs()
	for b.Loop() {
		PositionID(at, agent, StreamID{}, 1, 2)
	}
}
