package ledger

import (
	"encoding/binary"
	"strings"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/pipeline"
)

// An intent's body, in this order (see DESIGN.md): head, ranges, pieces, reasons, records, leaves. Positions and times
// are written as differences from what they are likely to be, so that a record of one line takes about eight bytes and
// its leaf.

// A progress goes with each range of an intent. It makes the loss of other entries visible.
type progress struct {
	prev int64 // the stream's offset just before the range
	base int64 // the stream's offset in its first entry in this file
}

// appendHead writes all of an intent that is not per range or record.
func appendHead(buf []byte, b *pipeline.Batch, m *Meta) []byte {
	buf = binary.AppendUvarint(buf, b.Number)
	buf = appendTime(buf, b.Time)
	buf = append(buf, m.Fingerprint[:]...)
	buf = appendString(buf, m.Target.IndexPrefix)
	buf = appendPeriods(buf, &m.Target)
	return binary.AppendVarint(buf, m.Mark)
}

func decodeHead(d *dec, in *Intent) {
	in.Number = d.uvarint()
	in.Time = d.time()
	d.copy(in.Fingerprint[:])
	in.Target.IndexPrefix = d.string()
	decodePeriods(d, &in.Target)
	in.Mark = d.varint()
}

// appendPeriods writes a period for each kind; that of a declared kind has a space and the kind's name behind it.
func appendPeriods(buf []byte, t *Target) []byte {
	n := len(t.Periods)
	if len(t.Kinds) > 0 {
		n = max(n, int(activity.FirstCustom)+len(t.Kinds))
	}
	buf = binary.AppendUvarint(buf, uint64(n))
	for i := range n {
		p := ""
		if i < len(t.Periods) {
			p = t.Periods[i]
		}
		if j := i - int(activity.FirstCustom); j >= 0 && j < len(t.Kinds) {
			p += " " + t.Kinds[j]
		}
		buf = appendString(buf, p)
	}
	return buf
}

func decodePeriods(d *dec, t *Target) {
	t.Periods, t.Kinds = nil, nil
	for n := d.count(); n > 0; n-- {
		p, kind, declared := strings.Cut(d.string(), " ")
		t.Periods = append(t.Periods, p)
		if declared {
			t.Kinds = append(t.Kinds, kind)
		}
	}
}

func appendRange(buf []byte, r *pipeline.Range, p progress) []byte {
	buf = append(buf, r.Stream.ID[:]...)
	buf = binary.AppendVarint(buf, r.Start)
	buf = binary.AppendVarint(buf, r.End-r.Start)
	buf = binary.AppendVarint(buf, r.Start-p.prev)
	buf = binary.AppendVarint(buf, p.prev-p.base)
	buf = binary.LittleEndian.AppendUint64(buf, r.Sum)
	buf = binary.LittleEndian.AppendUint64(buf, r.TailSum)
	return binary.AppendVarint(buf, r.Lines)
}

func decodeRange(d *dec) (r IntentRange, p progress) {
	d.copy(r.Stream[:])
	r.Start = d.varint()
	r.End = r.Start + d.varint()
	p.prev = r.Start - d.varint()
	p.base = p.prev - d.varint()
	r.Sum, r.TailSum = d.uint64(), d.uint64()
	r.Lines = d.varint()
	return r, p
}

// appendPieces writes each piece's distance from the end of the one before (a line end: one byte) and its length.
func appendPieces(buf []byte, ps []pipeline.Piece) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(ps)))
	end := int64(0)
	for i := range ps {
		p := &ps[i]
		buf = binary.AppendVarint(buf, p.Offset-end)
		if p.Skip == 0 {
			buf = binary.AppendUvarint(buf, uint64(p.Len)<<1)
		} else {
			buf = binary.AppendUvarint(buf, uint64(p.Len)<<1|1)
			buf = binary.AppendVarint(buf, p.Skip)
		}
		end = p.Offset + int64(p.Len) + p.Skip
	}
	return buf
}

func decodePieces(d *dec, ps []pipeline.Piece) []pipeline.Piece {
	end := int64(0)
	for n := d.count(); n > 0 && !d.bad; n-- {
		var p pipeline.Piece
		p.Offset = end + d.varint()
		v := d.uvarint()
		p.Len = int32(v >> 1)
		if v&1 == 1 {
			p.Skip = d.varint()
		}
		end = p.Offset + int64(p.Len) + p.Skip
		ps = append(ps, p)
	}
	return ps
}

// reasons is the string table of one intent: rules that dropped records and reasons of dead letters.
type reasons struct {
	index map[string]int
	names []string
}

func (r *reasons) collect(recs []pipeline.Record) {
	clear(r.index)
	clear(r.names)
	r.names = r.names[:0]
	for i := range recs {
		if recs[i].Fate == pipeline.Deliver {
			continue
		}
		if _, ok := r.index[recs[i].Reason]; !ok {
			r.index[recs[i].Reason] = len(r.names)
			r.names = append(r.names, recs[i].Reason)
		}
	}
}

func (r *reasons) append(buf []byte) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(r.names)))
	for _, s := range r.names {
		buf = appendString(buf, s)
	}
	return buf
}

// A record begins with a number of these bits; the kind is above them.
const (
	recordOdd   = 1 << 0 // its cut does not follow from the one before and is written out
	recordDated = 1 << 1
	fateShift   = 2
	fateMask    = 3
	fateFollows = 3 // this fate, or a later one: its distance from this follows
	kindShift   = 4
)

// timeUnit returns the largest unit that all records' own times are multiples of: loggers write milliseconds, mostly.
func timeUnit(recs []pipeline.Record) int64 {
	unit := int64(time.Millisecond)
	for i := range recs {
		if r := &recs[i]; r.Dated && r.Time%unit != 0 {
			if unit = int64(time.Microsecond); r.Time%unit != 0 {
				return 1
			}
		}
	}
	return unit
}

// follow returns the cut that is expected after c.
func follow(c pipeline.Cut) pipeline.Cut {
	return pipeline.Cut{Range: c.Range, First: c.First + c.Pieces, Pieces: 1, Format: c.Format}
}

func appendRecords(buf []byte, b *pipeline.Batch, names *reasons) []byte {
	unit, batchTime := timeUnit(b.Records), unixNano(b.Time)
	buf = binary.AppendUvarint(buf, uint64(unit))
	buf = binary.AppendUvarint(buf, uint64(len(b.Records)))
	own := batchTime / unit
	var last pipeline.Cut
	for i := range b.Records {
		r := &b.Records[i]
		want := follow(last)
		bits := uint64(r.Kind)<<kindShift | uint64(min(r.Fate, fateFollows))<<fateShift
		if r.Dated {
			bits |= recordDated
		}
		if r.Cut != want {
			bits |= recordOdd
		}
		buf = binary.AppendUvarint(buf, bits)
		if r.Cut != want {
			buf = binary.AppendVarint(buf, int64(r.Range)-int64(want.Range))
			buf = binary.AppendVarint(buf, int64(r.First)-int64(want.First))
			buf = binary.AppendUvarint(buf, uint64(r.Pieces))
			buf = append(buf, byte(r.Format))
		}
		if r.Dated {
			buf = binary.AppendVarint(buf, r.Time/unit-own)
			own = r.Time / unit
		} else {
			buf = binary.AppendVarint(buf, r.Time-batchTime)
		}
		if r.Fate >= fateFollows {
			buf = binary.AppendUvarint(buf, uint64(r.Fate-fateFollows))
		}
		if r.Fate != pipeline.Deliver {
			buf = binary.AppendUvarint(buf, uint64(names.index[r.Reason]))
		}
		last = r.Cut
	}
	return buf
}

// decodeRecords fills in.Cuts and in.Decisions, without the leaves.
func decodeRecords(d *dec, in *Intent) {
	var names []string
	for n := d.count(); n > 0; n-- {
		names = append(names, d.string())
	}
	unit, batchTime := int64(d.uvarint()), unixNano(in.Time)
	if unit <= 0 {
		d.fail()
		return
	}
	own := batchTime / unit
	var c pipeline.Cut
	for n := d.count(); n > 0 && !d.bad; n-- {
		c = follow(c)
		bits := d.uvarint()
		if bits&recordOdd != 0 {
			c.Range += int32(d.varint())
			c.First += int32(d.varint())
			c.Pieces = int32(d.uvarint())
			c.Format = pipeline.Format(d.byte())
		}
		r := pipeline.Decision{
			Kind: activity.Kind(bits >> kindShift), Fate: pipeline.Fate(bits >> fateShift & fateMask), Dated: bits&recordDated != 0,
		}
		if r.Dated {
			own += d.varint()
			r.Time = own * unit
		} else {
			r.Time = batchTime + d.varint()
		}
		if r.Fate == fateFollows {
			r.Fate += pipeline.Fate(d.uvarint())
		}
		if r.Fate != pipeline.Deliver {
			r.Reason = d.name(names)
		}
		d.check(in, c)
		in.Cuts = append(in.Cuts, c)
		in.Decisions = append(in.Decisions, r)
	}
}

func (d *dec) name(names []string) string {
	i := d.uvarint()
	if i >= uint64(len(names)) {
		d.fail()
		return ""
	}
	return names[i]
}

// check fails on a cut that points outside of the intent, so that no reader of it has to.
func (d *dec) check(in *Intent, c pipeline.Cut) {
	if c.Range < 0 || int(c.Range) >= len(in.Ranges) || c.First < 0 || c.Pieces < 1 ||
		int64(c.First)+int64(c.Pieces) > int64(len(in.Pieces)) {
		d.fail()
	}
}

// appendLeaves writes the leaves of delivered records; they are an intent's last part.
func appendLeaves(buf []byte, recs []pipeline.Record) []byte {
	for i := range recs {
		if recs[i].Fate == pipeline.Deliver {
			buf = append(buf, recs[i].Leaf[:]...)
		}
	}
	return buf
}

func decodeLeaves(d *dec, ds []pipeline.Decision) {
	for i := range ds {
		if ds[i].Fate == pipeline.Deliver {
			d.copy(ds[i].Leaf[:])
		}
	}
}

// decodeIntent takes an intent's body apart into in, reusing its slices. It returns what goes with the ranges, and how
// many bytes the leaves at the end of the body are.
func decodeIntent(body []byte, in *Intent, ps []progress) (_ []progress, leaves int, err error) {
	in.Ranges, in.Pieces = in.Ranges[:0], in.Pieces[:0]
	in.Cuts, in.Decisions = in.Cuts[:0], in.Decisions[:0]
	ps = ps[:0]
	d := dec{b: body}
	decodeHead(&d, in)
	for n := d.count(); n > 0 && !d.bad; n-- {
		r, p := decodeRange(&d)
		in.Ranges = append(in.Ranges, r)
		ps = append(ps, p)
	}
	in.Pieces = decodePieces(&d, in.Pieces)
	decodeRecords(&d, in)
	leaves = len(d.b)
	decodeLeaves(&d, in.Decisions)
	return ps, leaves, d.end()
}
