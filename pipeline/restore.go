package pipeline

// Restore makes a batch of documents that came out of another Batch before: those of a journal, which were redacted
// when they were taken, and those of a test. Nothing else may be passed: what a Batch holds is taken for redacted.
// docs[i] belongs to records[i] and is ignored unless the record's fate is Deliver. The documents are copied.
func Restore(docs [][]byte, records []Record) *Batch {
	b := &Batch{Records: append([]Record(nil), records...)}
	for i := range b.Records {
		if b.Records[i].Fate != Deliver {
			continue
		}
		lo := len(b.buf)
		b.buf = append(b.buf, docs[i]...)
		b.Records[i].doc = span{int32(lo), int32(len(b.buf))}
	}
	return b
}
