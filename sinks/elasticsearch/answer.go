package elasticsearch

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/truledgr/activity-agent/internal/tape"
)

// A reply is an answer that has been read, in memory that is used again: making it anew for each answer took longer than what
// is done with the answer. What outlives done is copied.
type reply struct {
	body []byte
	tape tape.Tape
}

// firstRoom is the memory that a reply begins with, in bytes: what an answer is read into at once, so that a long one takes few
// system calls.
const firstRoom = 64 << 10

// maxKept is how long an answer may be whose memory is kept for the next one.
const maxKept = 4 << 20

// ask makes one attempt at a search, and reads the answer; take, where there is one, may use some of it before. The reply must
// be done with at the end.
func (r *Reader) ask(ctx context.Context, op string, req esapi.Request, take taker) (*reply, error) {
	a := r.replies.Get().(*reply)
	body, err := r.client.callInto(ctx, a.body, op, req, take)
	if err != nil {
		return nil, question(err)
	}
	if a.body = body; a.tape.Parse(body) != nil || !finished(&a.tape) {
		return nil, fmt.Errorf("%s: %w", op, errAnswer)
	}
	return a, nil
}

// done gives the memory of a reply back.
func (r *Reader) done(a *reply) {
	if cap(a.body) <= maxKept {
		r.replies.Put(a)
	}
}

// top is the index of a member of the whole answer, or 0 where there is none.
func top(t *tape.Tape, name string) uint32 {
	if t.Nodes[0].Type != tape.Object {
		return 0
	}
	return t.Member(0, name)
}

// member is the index of an object's member, or 0 where there is none, or no object.
func member(t *tape.Tape, i uint32, name string) uint32 {
	if i == 0 || t.Nodes[i].Type != tape.Object {
		return 0
	}
	return t.Member(i, name)
}

// elements are the indices of an array's elements; none where there is no array.
func elements(t *tape.Tape, i uint32) []uint32 {
	if i == 0 || t.Nodes[i].Type != tape.Array {
		return nil
	}
	out := make([]uint32, 0, t.Nodes[i].Children)
	for j := i + 1; j < t.Nodes[i].Next; j = t.Nodes[j].Next {
		out = append(out, j)
	}
	return out
}

// text is the value of a string, "" for anything else.
func text(t *tape.Tape, i uint32) string {
	if i == 0 || t.Nodes[i].Type != tape.String {
		return ""
	}
	s, _ := t.Text(&t.Nodes[i], nil)
	return string(s)
}

// integer is the value of an integer, 0 for anything else.
func integer(t *tape.Tape, i uint32) int64 {
	n, _ := number(t, i).Int64()
	return n
}

func number(t *tape.Tape, i uint32) json.Number {
	if i == 0 || t.Nodes[i].Type != tape.Number {
		return ""
	}
	return json.Number(t.Raw(&t.Nodes[i]))
}

// float is the value of a number; ok says that it is one.
func float(t *tape.Tape, i uint32) (x float64, ok bool) {
	x, err := strconv.ParseFloat(string(number(t, i)), 64)
	return x, err == nil
}

// value is a string, bool or json.Number; nil for anything else.
func value(t *tape.Tape, i uint32) any {
	switch t.Nodes[i].Type {
	case tape.String:
		return text(t, i)
	case tape.Number:
		return number(t, i)
	case tape.True:
		return true
	case tape.False:
		return false
	}
	return nil
}

// finished reports whether a search came to its end.
func finished(t *tape.Tape) bool {
	i := top(t, "timed_out")
	return i != 0 && t.Nodes[i].Type == tape.False && top(t, "hits") != 0
}

// sortOf are the sort values of a hit.
func sortOf(t *tape.Tape, hit uint32) []any {
	var out []any
	for _, i := range elements(t, member(t, hit, "sort")) {
		out = append(out, value(t, i))
	}
	return out
}
