package pipeline

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/truledgr/activity-agent/pipeline/redact"
)

// benchLines are lines of every kind with things to redact.
func benchLines(tb testing.TB) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "bench.ndjson"))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func BenchmarkProcess(b *testing.B) {
	text := string(benchLines(b))
	stream := &Stream{Path: "/var/log/app/app.log"}
	raw := cutLines(b, text, stream)
	p := newPipeline(b, DefaultConfig())
	var out Batch
	p.Process(raw, 1, testTime, &out)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		p.Process(raw, 1, testTime, &out)
	}
	b.ReportMetric(float64(len(raw.Cuts)), "records/op")
}

// BenchmarkStages shows what the steps cost, each with the ones before it. BenchmarkProcess is all of them, and
// BenchmarkNoDetectors all but the search for secrets in values.
func BenchmarkStages(b *testing.B) {
	src := string(benchLines(b))
	raw := cutLines(b, src, &Stream{Path: "/var/log/app/app.log"})
	p := newPipeline(b, DefaultConfig())
	var out Batch
	p.Process(raw, 1, testTime, &out)
	measure := func(name string, step func()) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				step()
			}
		})
	}
	cutter, joined := Cutter{MaxLine: 1 << 20}, *raw
	measure("1 join", func() {
		joined.Cuts, joined.Pieces = joined.Cuts[:0], joined.Pieces[:0]
		cutter.Cut(&joined, 0, len(src), 0, true)
	})
	measure("2 decode", func() {
		for _, c := range raw.Cuts {
			p.decode(raw, c)
		}
	})
	measure("3 classify", func() {
		for _, c := range raw.Cuts {
			p.decode(raw, c)
			p.classify()
		}
	})
	measure("4 complete", func() {
		for i, c := range raw.Cuts {
			p.decode(raw, c)
			p.classify()
			p.complete(out.Records[i].Kind)
		}
	})
}

func BenchmarkNoDetectors(b *testing.B) {
	src := string(benchLines(b))
	raw := cutLines(b, src, &Stream{Path: "/var/log/app/app.log"})
	p := newPipeline(b, Config{Redact: redact.Config{Detect: "none"}})
	var out Batch
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		p.Process(raw, 1, testTime, &out)
	}
}
