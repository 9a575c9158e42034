package tail

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/pipeline"
)

const trace = "panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n\t/src/main.go:5 +0x20\n"

// joinedTrace is trace as recordsOf shows it: blank lines are no content.
const joinedTrace = "panic: boom|goroutine 1 [running]:|main.main()|\t/src/main.go:5 +0x20"

func TestATraceIsJoinedOverReads(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{JoinWait: time.Minute})
	for _, part := range strings.SplitAfter(trace, "n") {
		write(t, g.path("app.log"), part)
		time.Sleep(3 * time.Millisecond)
	}
	write(t, g.path("app.log"), "{\"a\":1}\n")
	g.wants(joinedTrace, `{"a":1}`)
}

func TestALineOfTextWaitsNotForLong(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{JoinWait: 100 * time.Millisecond, PollEvery: time.Hour, ScanEvery: time.Hour})
	until(t, func() bool { _, ok := g.IdleSince(); return ok })
	write(t, g.path("app.log"), "one\n", "two\n")
	until(t, func() bool { return len(g.got()) == 2 })
	g.wants("one", "two")
	write(t, g.path("app.log"), trace)
	g.wants("one", "two", joinedTrace)
	if _, ok := g.IdleSince(); !ok {
		t.Error("not idle")
	}
}

// TestATraceThatIsLateIsTwoRecords: what was read after the wait stays as it was read, over a crash too.
func TestATraceThatIsLateIsTwoRecords(t *testing.T) {
	t.Parallel()
	dir, reg := t.TempDir(), newMemory()
	cut := strings.Index(trace, "main.main()")
	g := start(t, dir, reg, Options{})
	write(t, g.path("app.log"), trace[:cut])
	g.wants("panic: boom|goroutine 1 [running]:")
	write(t, g.path("app.log"), trace[cut:])
	g.wants("panic: boom|goroutine 1 [running]:", "main.main()|\t/src/main.go:5 +0x20")
	g.stop()
	h := reloader(t, dir, reg, Options{})
	var got []string
	for _, in := range g.intents {
		raw, err := h.Reload(in)
		must(t, err)
		for i := range raw.Cuts {
			if raw.Replay[i].Fate != pipeline.Deliver {
				t.Errorf("record %d is %+v", i, raw.Replay[i])
			}
		}
		got = append(got, recordsOf(raw)...)
		h.Acked(raw.Ranges)
		h.Release(raw)
	}
	if strings.Join(got, ";") != strings.Join(g.got(), ";") {
		t.Errorf("reloaded %q, read %q", got, g.got())
	}
}

func TestATraceAtTheEnd(t *testing.T) {
	t.Parallel()
	t.Run("of a drain", func(t *testing.T) {
		t.Parallel()
		g := start(t, t.TempDir(), newMemory(), Options{JoinWait: time.Hour})
		write(t, g.path("app.log"), trace)
		until(t, func() bool { return len(g.Stats()) == 1 })
		g.drain()
		g.wants(joinedTrace)
	})
	t.Run("of a rotated file", func(t *testing.T) {
		t.Parallel()
		g := start(t, t.TempDir(), newMemory(), Options{JoinWait: time.Hour})
		write(t, g.path("app.log"), trace)
		until(t, func() bool { return len(g.Stats()) == 1 })
		must(t, os.Rename(g.path("app.log"), g.path("app.log.1")))
		write(t, g.path("app.log"), "{\"b\":1}\n")
		g.wants(joinedTrace, `{"b":1}`)
	})
	t.Run("of an archive", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		o := including(dir, "*")
		o.JoinWait = time.Hour
		write(t, dir+"/app.log.1.gz", string(packers[".gz"]("x\n"+trace)))
		start(t, dir, newMemory(), o).wantsOf("x", joinedTrace)
	})
}

func TestMultilineOff(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := including(dir, "*.log")
	o.Files[0].Multiline = "off"
	o.JoinWait = time.Hour
	g := start(t, dir, newMemory(), o)
	write(t, g.path("app.log"), trace)
	g.wants(strings.Split(joinedTrace, "|")...)
}

// TestASilentStreamHoldsUpNothing: the last line of stderr waits no longer than any other while stdout is written to.
func TestASilentStreamHoldsUpNothing(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{JoinWait: 50 * time.Millisecond})
	line := func(stream, s string) string { return "2026-11-23T18:00:00.1Z " + stream + " F " + s + "\n" }
	write(t, g.path("app.log"), line("stderr", "once"))
	seen := func() bool {
		for _, s := range g.got() {
			if strings.HasSuffix(s, "once") {
				return true
			}
		}
		return false
	}
	for end := time.Now().Add(20 * time.Second); !seen() && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		write(t, g.path("app.log"), line("stdout", "again"))
	}
	if !seen() {
		t.Error("the line never came")
	}
}
