package pipeline

import (
	"bytes"
	"crypto/sha256"

	"github.com/truledgr/activity-agent/internal/tape"
)

// Rekey gives record i an id of our own instead of the one its line gave, and keeps that one in details.id. A store
// calls it when the given id is taken by another document. It reports whether it could: not for a record whose id is
// derived already.
func (b *Batch) Rekey(i int) bool {
	rec := &b.Records[i]
	if !rec.Trusted || rec.Fate != Deliver {
		return false
	}
	doc := b.Doc(i)
	given := rec.ID.String()
	var t tape.Tape
	if t.Parse(doc) != nil || t.Member(0, "integrity") == 0 {
		return false // no document of ours
	}
	body := doc[:t.Nodes[t.Member(0, "integrity")].Lo]
	body = body[:bytes.LastIndexByte(body, ',')] // `,"integrity":` off
	rec.ID = ownID(b, i)
	rec.Trusted = false

	lo := len(b.buf) + 1
	out := append(b.buf, 0)
	out = append(append(out, `{"id":"`...), rec.ID.String()...)
	rest := body[len(`{"id":"`)+len(given):]
	if at := bytes.Index(rest, []byte(`"details":{`)); t.Member(0, "details") != 0 && at >= 0 {
		at += len(`"details":{`)
		out = append(append(append(append(out, rest[:at]...), `"id":"`...), given...), '"')
		if rest[at] != '}' {
			out = append(out, ',')
		}
		rest = rest[at:]
	} else {
		out = append(append(append(out, `","details":{"id":"`...), given...), `"}`...)
		rest = rest[1:]
	}
	out = append(append(out, rest...), '}')
	rec.Leaf = sha256.Sum256(out[lo-1:])
	head := `,"integrity":{"chain":"` + EncodeChain(b.chain) + `","batch":`
	b.buf = appendIntegrity(out[:len(out)-1], head, b.Number, rec.Seq, rec.Leaf)
	rec.doc = span{int32(lo), int32(len(b.buf))}
	return true
}
