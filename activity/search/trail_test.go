package search

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
)

// shard is a copy of a shard as searches see it: what is visible can lag behind what was taken, and a copy that takes over
// may lack what was never acknowledged.
type shard struct {
	Store
	visible []Arrival
}

func (s *shard) Parts(context.Context) (map[string]Part, error) {
	p := Part{High: -1}
	for _, a := range s.visible {
		p.High, p.Term = max(p.High, a.Seq), max(p.Term, a.Term)
	}
	return map[string]Part{"a/0": p}, nil
}

func (s *shard) Arrivals(_ context.Context, m *Mark, n int) ([]Arrival, bool, error) {
	var out []Arrival
	for _, a := range s.visible {
		p, known := m.Parts[a.Part]
		if !known || a.Seq > p.High || slices.ContainsFunc(p.Holes, func(h Hole) bool { return h.Seq == a.Seq }) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b Arrival) int { return int(a.Seq - b.Seq) })
	return out[:min(n, len(out))], len(out) > n, nil
}

// put makes the n-th document visible under a number and a term.
func (s *shard) put(n byte, seq, term int64) {
	s.visible = append(s.visible, Arrival{Part: "a/0", Seq: seq, Term: term, ID: ulid.ULID{n}, Doc: json.RawMessage{n}})
}

// lose removes what has the number.
func (s *shard) lose(seq int64) {
	s.visible = slices.DeleteFunc(s.visible, func(a Arrival) bool { return a.Seq == seq })
}

func arrived(t *testing.T, tr *Trail) (got []byte) {
	t.Helper()
	for {
		arrivals, more, err := tr.Next(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range arrivals {
			got = append(got, a.Doc[0])
		}
		if !more {
			return got
		}
	}
}

func TestTrailsSeeWhatBecomesVisibleLate(t *testing.T) {
	t.Parallel()
	s, at := &shard{}, now
	s.put(1, 0, 1)
	tr, err := StartTrail(context.Background(), s, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	want := func(what string, docs ...byte) {
		t.Helper()
		if got := arrived(t, tr); !slices.Equal(got, docs) {
			t.Errorf("%s: got %v, want %v", what, got, docs)
		}
	}
	want("nothing new")
	s.put(2, 3, 1)
	want("a number beyond two others", 2)
	s.put(3, 2, 1)
	want("one of those", 3)
	want("again")
	mark := tr.Mark()
	at = at.Add(2 * holeTime)
	want("the other does not come")
	s.put(4, 1, 1)
	want("in vain")
	again, err := ContinueTrail(s, mark, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	if got := arrived(t, again); !slices.Equal(got, []byte{4}) {
		t.Errorf("a mark keeps the hole: got %v", got)
	}
}

// A copy takes over that lacks what was not acknowledged; its numbers are given out anew, and what was lost is sent again.
func TestTrailsFollowAChangeOfPrimary(t *testing.T) {
	t.Parallel()
	s := &shard{}
	tr, err := StartTrail(context.Background(), s, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	for n := range byte(5) {
		s.put(n, int64(n), 1)
	}
	if got := arrived(t, tr); !slices.Equal(got, []byte{0, 1, 2, 3, 4}) {
		t.Fatalf("got %v", got)
	}
	s.lose(3)
	s.lose(4)
	s.put(10, 3, 2) // another has the number
	s.put(4, 5, 2)  // was sent again, and has another number
	s.put(11, 4, 2)
	if got := arrived(t, tr); !slices.Equal(got, []byte{10, 11}) && !slices.Equal(got, []byte{11, 10}) {
		// The change shows with the first document of the new term, and the numbers before it are asked for next.
		got = append(got, arrived(t, tr)...)
		if slices.Sort(got); !slices.Equal(got, []byte{10, 11}) {
			t.Errorf("got %v, want 10 and 11 once", got)
		}
	}
	if got := arrived(t, tr); len(got) > 0 {
		t.Errorf("and again %v", got)
	}
}

func TestMarksNameThePartsThatChangedLast(t *testing.T) {
	t.Parallel()
	m := &Mark{Parts: map[string]*Part{}}
	for n := range 3 * textParts {
		m.Parts[string(rune('a'+n))+"/0"] = &Part{High: int64(n), Term: 1, touched: now.Add(time.Duration(n) * time.Second)}
	}
	got, err := ParseMark(m.String(), now)
	if err != nil || len(got.Parts) != textParts || got.Parts["a/0"] != nil {
		t.Fatalf("got %v, %v", got, err)
	}
	if last := now.Add((2*textParts - 1) * time.Second); !got.Floor.Equal(last) {
		t.Errorf("the floor is %v, want %v, when the last of the others changed", got.Floor, last)
	}
	for _, a := range []struct {
		Arrival
		want bool
	}{
		{Arrival{Part: string(rune('a'+3*textParts-1)) + "/0", Seq: 3*textParts - 1, Term: 1}, true},
		{Arrival{Part: string(rune('a'+3*textParts-1)) + "/0", Seq: 3 * textParts, Term: 1}, false},
		{Arrival{Part: "a/0", Created: now}, true},
		{Arrival{Part: "a/0", Created: now.Add(time.Hour)}, false},
	} {
		if got := got.Covers(&a.Arrival); got != a.want {
			t.Errorf("%+v: %v", a.Arrival, got)
		}
	}
}
