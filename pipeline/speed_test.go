//go:build !race

package pipeline

import (
	"bytes"
	"testing"
	"time"
)

// slowest is how many times as long as a copy of its lines, which looks for newlines and does nothing else, the pipeline
// may take: twice what it does take, since machines differ. The race detector slows the pipeline and not the copy.
const slowest = 250

func TestThePipelineKeepsItsDistanceFromACopy(t *testing.T) {
	text := benchLines(t)
	raw := cutLines(t, string(text), &Stream{Path: "/var/log/app.log"})
	p := newPipeline(t, DefaultConfig())
	var out Batch
	p.Process(raw, 1, testTime, &out)
	body := make([]byte, 0, 2*len(text))
	// The best of many: a machine with other things to do delays most rounds and not each.
	best, bestCopy := time.Hour, time.Hour
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		for range 20 {
			best = min(best, timed(func() { p.Process(raw, 1, testTime, &out) }))
			bestCopy = min(bestCopy, timed(func() { body = copyLines(body[:0], text) }))
		}
		if best < slowest*bestCopy {
			t.Logf("%.0f MB/s, %.0f times a copy", float64(len(text))/best.Seconds()/1e6, float64(best)/float64(bestCopy))
			return
		}
	}
	t.Errorf("the pipeline takes %v, %.0f times as long as a copy; it must stay below %d", best, float64(best)/float64(bestCopy), slowest)
}

func timed(f func()) time.Duration {
	start := time.Now()
	f()
	return time.Since(start)
}

func copyLines(dst, text []byte) []byte {
	for len(text) > 0 {
		end := bytes.IndexByte(text, '\n') + 1
		dst = append(append(dst, `{"create":{}}`+"\n"...), text[:end]...)
		text = text[end:]
	}
	return dst
}
