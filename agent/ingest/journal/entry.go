package journal

import (
	"encoding/binary"
	"errors"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/frame"
	"github.com/truledgr/activity-agent/pipeline"
)

// The types of frame, and the bits of a record. They are the on-disk format; see DESIGN.md of package ingest.
const (
	entryHeader  = 1
	entryRequest = 2

	requestKeyed = 1 << 0
	requestKinds = 1 << 1 // has the names of the kinds that the configuration declared

	recordDated   = 1 << 0
	recordTrusted = 1 << 1
	fateShift     = 2
	fateMask      = 3
	kindShift     = 4
)

// headerSize is the size of the frame that a segment begins with.
const headerSize = frame.Head + 1 + 16

func appendHeader(buf []byte, id activity.StreamID) []byte {
	buf, at := frame.Open(buf, entryHeader)
	buf = append(buf, id[:]...)
	frame.Close(buf, at)
	return buf
}

// appendRequest appends the frame of a batch. k is nil for one without an idempotency key.
func appendRequest(buf []byte, b *pipeline.Batch, k *Key) []byte {
	buf, at := frame.Open(buf, entryRequest)
	flags, kinds := byte(0), declared(b)
	if k != nil {
		flags |= requestKeyed
	}
	if kinds != nil {
		flags |= requestKinds
	}
	buf = append(buf, flags)
	buf = binary.AppendVarint(buf, b.Time.UnixNano())
	if k != nil {
		buf = append(append(append(buf, k.Hash[:]...), k.Digest[:]...), k.Fingerprint[:]...)
	}
	if kinds != nil {
		buf = binary.AppendUvarint(buf, uint64(len(kinds)))
		for _, name := range kinds {
			buf = append(binary.AppendUvarint(buf, uint64(len(name))), name...)
		}
	}
	buf = appendRedactions(buf, &b.Redactions)
	buf = binary.AppendUvarint(buf, uint64(len(b.Records)))
	for i := range b.Records {
		buf = appendRecord(buf, b, i)
	}
	frame.Close(buf, at)
	return buf
}

// declared returns the names of the declared kinds, by which their numbers are told at any later time; nil where no record
// is of one.
func declared(b *pipeline.Batch) []string {
	for i := range b.Records {
		if b.Records[i].Kind >= activity.FirstCustom {
			return b.Model.CustomNames()
		}
	}
	return nil
}

func appendRedactions(buf []byte, counts *pipeline.Redactions) []byte {
	used := uint64(0)
	for _, n := range counts {
		if n > 0 {
			used++
		}
	}
	buf = binary.AppendUvarint(buf, used)
	if used == 0 {
		return buf
	}
	for d, n := range counts {
		if n > 0 {
			buf = binary.AppendUvarint(binary.AppendUvarint(buf, uint64(d)), uint64(n))
		}
	}
	return buf
}

func appendRecord(buf []byte, b *pipeline.Batch, i int) []byte {
	r := &b.Records[i]
	bits := byte(r.Kind)<<kindShift | byte(r.Fate)<<fateShift
	if r.Dated {
		bits |= recordDated
	}
	if r.Trusted {
		bits |= recordTrusted
	}
	var when [binary.MaxVarintLen64]byte
	dt := when[:binary.PutVarint(when[:], r.Time-b.Time.UnixNano())]
	size := 1 + len(r.ID) + len(dt)
	if r.Fate == pipeline.Deliver {
		size += len(r.Leaf) + len(b.Body(i))
	} else {
		size += len(r.Reason)
	}
	buf = binary.AppendUvarint(buf, uint64(size))
	buf = append(append(append(buf, bits), r.ID[:]...), dt...)
	if r.Fate == pipeline.Deliver {
		return append(append(buf, r.Leaf[:]...), b.Body(i)...)
	}
	return append(buf, r.Reason...)
}

var errMalformed = errors.New("a journal's frame makes no sense")

// A request is a frame taken apart as far as a reader of keys needs it.
type request struct {
	time    int64
	keyed   bool
	kinds   []string // declared ones
	key     Key
	records dec
	count   uint64
}

func decodeRequest(body []byte, counts *pipeline.Redactions) (r request, err error) {
	d := dec{b: body}
	flags := d.byte()
	r.keyed = flags&requestKeyed != 0
	r.time = d.varint()
	if r.keyed {
		d.copy(r.key.Hash[:])
		d.copy(r.key.Digest[:])
		d.copy(r.key.Fingerprint[:])
		r.key.Time = r.time
	}
	if flags&requestKinds != 0 {
		for n := d.uvarint(); n > 0 && !d.bad; n-- {
			r.kinds = append(r.kinds, d.string())
		}
	}
	for n := d.uvarint(); n > 0 && !d.bad; n-- {
		det, hits := d.uvarint(), d.uvarint()
		if det < uint64(len(counts)) {
			counts[det] += uint32(hits)
		}
	}
	r.count = d.uvarint()
	if d.bad || r.count > uint64(len(d.b)) {
		return r, errMalformed
	}
	r.records = d
	return r, nil
}

// appendTo adds the records of a request to a batch. pos is the position of the end of the request's frame.
func (r *request) appendTo(s *pipeline.Saved, pos int64) error {
	d := &r.records
	for range r.count {
		size := d.uvarint()
		if d.bad || size > uint64(len(d.b)) || size > 1<<30 {
			return errMalformed
		}
		at := pos - int64(len(d.b))
		one := dec{b: d.b[:size]}
		d.b = d.b[size:]
		var rec pipeline.SavedRecord
		bits := one.byte()
		rec.Dated, rec.Trusted = bits&recordDated != 0, bits&recordTrusted != 0
		rec.Kind, rec.Fate = activity.Kind(bits>>kindShift), pipeline.Fate(bits>>fateShift&fateMask)
		if rec.Kind >= activity.FirstCustom {
			if int(rec.Kind-activity.FirstCustom) >= len(r.kinds) {
				return errMalformed
			}
			rec.Kind, rec.Declared = activity.NoKind, r.kinds[rec.Kind-activity.FirstCustom]
		}
		one.copy(rec.ID[:])
		rec.Time = r.time + one.varint()
		if rec.Fate == pipeline.Deliver {
			one.copy(rec.Leaf[:])
			rec.Body = one.b
		} else {
			rec.Reason = string(one.b)
		}
		if one.bad {
			return errMalformed
		}
		s.Records = append(s.Records, rec)
		s.Pieces = append(s.Pieces, pipeline.Piece{Offset: at, Len: int32(size)})
	}
	if len(d.b) != 0 {
		return errMalformed
	}
	return nil
}

// dec reads from b; bad says that it did not have what was asked for.
type dec struct {
	b   []byte
	bad bool
}

func (d *dec) byte() byte {
	if len(d.b) == 0 {
		d.bad = true
		return 0
	}
	c := d.b[0]
	d.b = d.b[1:]
	return c
}

func (d *dec) copy(dst []byte) {
	if len(d.b) < len(dst) {
		d.bad = true
		return
	}
	d.b = d.b[copy(dst, d.b):]
}

func (d *dec) string() string {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return ""
	}
	s := string(d.b[:n])
	d.b = d.b[n:]
	return s
}

func (d *dec) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *dec) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad = true
		return 0
	}
	d.b = d.b[n:]
	return v
}
