package ledger

import (
	"testing"

	"github.com/truledgr/activity-agent/pipeline"
)

// lines is a batch of 1,000 records of 150 bytes, as a busy file gives them.
func lines(n uint64, from int64) *pipeline.Batch {
	b := &pipeline.Batch{Number: n, Time: start}
	addRange(b, id(1), from, from+100_000)
	for i := range b.Records {
		b.Records[i].Time = start.UnixNano()/1e6*1e6 + int64(i)*3e6
	}
	return b
}

func benchmarkAppend(b *testing.B, d disk) {
	l := mustOpen(b, b.TempDir(), Options{disk: d, CompactBytes: 1 << 30})
	batch := lines(1, 0)
	var size int64
	b.ReportAllocs()
	for b.Loop() {
		before := l.size
		batch.Number = l.NextBatch()
		mustAppend(b, l, batch)
		size = l.size - before
		mustFinish(b, l, batch.Number)
		batch.Ranges[0].Start, batch.Ranges[0].End = batch.Ranges[0].End, batch.Ranges[0].End+100_000
	}
	b.ReportMetric(float64(size)/1000, "B/record")
}

func BenchmarkAppendFinish1000(b *testing.B)        { benchmarkAppend(b, osDisk{}) }
func BenchmarkAppendFinish1000NoFsync(b *testing.B) { benchmarkAppend(b, quickDisk{}) }

func BenchmarkOpen8MiB(b *testing.B) {
	dir := b.TempDir()
	o := Options{disk: quickDisk{}, CompactBytes: 1 << 30}
	l := mustOpen(b, dir, o)
	for l.size < 8<<20 {
		n := l.NextBatch()
		mustAppend(b, l, lines(n, int64(n-1)*100_000))
		mustFinish(b, l, n)
	}
	mustClose(b, l)
	b.ReportAllocs()
	for b.Loop() {
		mustClose(b, mustOpen(b, dir, o))
	}
}

// TestRecordsAreSmall holds the ledger to some 40 bytes a record.
func TestRecordsAreSmall(t *testing.T) {
	t.Parallel()
	l := mustOpen(t, t.TempDir(), Options{disk: quickDisk{}})
	before := l.size
	mustAppend(t, l, lines(1, 0))
	if got, want := float64(l.size-before)/1000, 42.0; got > want {
		t.Errorf("got %.1f bytes a record, want at most %.1f", got, want)
	}
}
