package tail

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"pgregory.net/rapid"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/pipeline"
)

// A random world is a directory in which a program logs, rotations of all kinds happen, and a Tailer reads: step by
// step, by a clock of the test's own, so that a sequence of actions that fails does so again and can be made shorter.
//
// The model of what must come out is small. Every line has a number. A line must come out once, unless it was not taken
// over by the ledger yet when the last bytes of it that a reader could find went away: then it may be missing.
type random struct {
	t   *rapid.T
	dir string
	log string // path that the program opens
	o   Options
	now time.Time // a day behind: the times of last changes to inodes are real, and must not seem long ago

	tl       *Tailer // nil while the agent is down
	reg      *volatile
	stalled  bool // the store takes nothing
	siblings bool // the globs name the log alone
	taken    []*pipeline.Raw
	recent   []replayable // the last batches that were committed

	lines   int              // numbers given so far
	partial string           // the part of a line that is to be written yet
	state   map[int]lineFate // by number
	got     map[int]int      // how often a line was committed
	rotated []string         // by rename or copying, the youngest last
	serial  int
}

type lineFate uint8

const (
	begun lineFate = iota // its end has not been written
	due                   // has to come out once
	lost                  // may be missing: it was gone before it could be taken over
)

// A replayable is what a ledger has of a batch without an outcome.
type replayable struct {
	intent *ledger.Intent
	texts  []string
}

// A volatile registry forgets in a crash what no commit came after, as the ledger does.
type volatile struct {
	*memory
	durable map[activity.StreamID]ledger.Stream
}

func (v *volatile) sync()  { v.durable = maps.Clone(v.streams) }
func (v *volatile) crash() { v.streams = maps.Clone(v.durable) }

// traced has what lies on the disk printed after each action of a sequence that fails.
var traced = os.Getenv("ACTIVITY_TRACE") != ""

// --- the program

func (w *random) line() (n int, text string) {
	w.lines++
	long := 0
	if rapid.IntRange(0, 60).Draw(w.t, "long") == 0 {
		long = 3000 // more than what is kept of a line
	}
	return w.lines, fmt.Sprintf(`{"n":%d,"x":"%s"}`, w.lines, filling(w.lines, w.lines*7%90+long))
}

// filling is n bytes that no other line has.
func filling(line, n int) string { return strings.Repeat(fmt.Sprintf("%05d.", line), n/6+1)[:n] }

func (w *random) append(path, text string) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		w.t.Fatal(err)
	}
	f.Close()
	w.touch(path)
}

// touch gives a file the time of the test's clock.
func (w *random) touch(path string) {
	if err := os.Chtimes(path, w.now, w.now); err != nil {
		w.t.Fatal(err)
	}
}

func (w *random) write(path string, lines int) {
	var b strings.Builder
	for range lines {
		n, text := w.line()
		w.state[n] = due
		b.WriteString(text + "\n")
	}
	w.append(path, b.String())
}

func (w *random) finish() {
	if w.partial != "" {
		w.append(w.log, w.partial)
		w.partial = ""
		w.state[w.lines] = due
	}
}

func (w *random) half() {
	w.finish()
	n, text := w.line()
	text += "\n"
	cut := rapid.SampledFrom([]int{1, len(text) / 2, len(text) - 1}).Draw(w.t, "cut")
	w.state[n] = begun
	if cut == len(text)-1 {
		w.state[n] = due // a reader may take it for complete
	}
	w.append(w.log, text[:cut])
	w.partial = text[cut:]
}

// aside is a new name for a rotated file.
func (w *random) aside() string {
	w.serial++
	style := rapid.SampledFrom([]string{".%d", "-17000%05d", "-20261124-%06d"}).Draw(w.t, "name")
	path := w.log + fmt.Sprintf(style, w.serial)
	w.rotated = append(w.rotated, path)
	return path
}

func (w *random) rename() bool {
	w.finish()
	if !exists(w.log) {
		return false
	}
	w.must(os.Rename(w.log, w.aside()))
	return true
}

// countUp renames every file that is there: each to the name that the one after it had.
func (w *random) countUp() {
	w.finish()
	if !exists(w.log) || slices.ContainsFunc(w.rotated, func(p string) bool { return packers[filepath.Ext(p)] != nil }) {
		return
	}
	next := w.aside()
	for i := len(w.rotated) - 2; i >= 0; i-- {
		w.must(os.Rename(w.rotated[i], next))
		next = w.rotated[i]
	}
	w.must(os.Rename(w.log, next))
}

func (w *random) copyTo(path string) bool {
	b, err := os.ReadFile(w.log)
	if err != nil || len(b) == 0 {
		return false
	}
	w.must(os.WriteFile(path, b, 0o644))
	w.touch(path)
	return true
}

func (w *random) copyTruncate() {
	w.finish()
	if !exists(w.log) {
		return
	}
	for size(w.log) < beginBytes { // less than that may be a banner: it is read twice rather than not at all
		w.write(w.log, 10)
	}
	to := w.aside()
	if !w.copyTo(to) {
		w.rotated = w.rotated[:len(w.rotated)-1]
		return
	}
	if rapid.Bool().Draw(w.t, "written between") {
		w.write(w.log, rapid.IntRange(1, 5).Draw(w.t, "lines"))
		w.someTicks()
	}
	w.must(os.Truncate(w.log, 0))
	w.touch(w.log)
	w.reckon()
}

// compress packs a rotated file. The archive grows beside it, and then it goes, whether or not anybody has read it.
func (w *random) compress() {
	plain := slices.DeleteFunc(slices.Clone(w.rotated), func(p string) bool { return packers[filepath.Ext(p)] != nil })
	if len(plain) == 0 {
		return
	}
	path := rapid.SampledFrom(plain).Draw(w.t, "file")
	b, err := os.ReadFile(path)
	w.must(err)
	fi, err := os.Stat(path)
	w.must(err)
	to := path + ".gz"
	packed := packers[filepath.Ext(to)](string(b))
	for _, n := range []int{len(packed) / 2, len(packed)} {
		w.must(os.WriteFile(to, packed[:n], 0o644))
		w.touch(to)
		w.tick(rapid.SampledFrom([]time.Duration{0, time.Second}).Draw(w.t, "time"))
	}
	w.must(os.Chtimes(to, fi.ModTime(), fi.ModTime()))
	w.must(os.Remove(path))
	w.rotated[slices.Index(w.rotated, path)] = to
	w.reckon()
}

// rewrite truncates the log and writes other lines: as many bytes as before, or more, or fewer. (As many at the very time of
// the last change cannot be told by anybody.)
func (w *random) rewrite() {
	w.finish()
	w.now = w.now.Add(time.Millisecond)
	b, err := os.ReadFile(w.log)
	if err != nil {
		return
	}
	var text strings.Builder
	switch rapid.IntRange(0, 2).Draw(w.t, "size") {
	case 0:
	case 1:
		for text.Len() < len(b) {
			n, line := w.line()
			w.state[n] = due
			text.WriteString(line + "\n")
		}
	default: // the same, to the byte
		n, line := w.line()
		if fill := len(b) - len(line) - 1; fill >= 0 {
			w.state[n] = due
			text.WriteString(strings.Replace(line, `"x":"`, `"x":"`+filling(n, fill), 1) + "\n")
		} else {
			delete(w.state, n)
		}
	}
	w.must(os.WriteFile(w.log, []byte(text.String()), 0o644))
	w.touch(w.log)
	w.reckon()
}

func (w *random) delete(path string) {
	w.must(os.Remove(path))
	w.rotated = slices.DeleteFunc(w.rotated, func(p string) bool { return p == path })
	w.reckon()
}

func size(path string) int64 {
	fi, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return fi.Size()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (w *random) must(err error) {
	if err != nil {
		w.t.Fatal(err)
	}
}

// --- the model

// contents returns what is in the files of the directory, and in those that the Tailer holds open.
func (w *random) contents(held bool) (all [][]byte) {
	paths, _ := filepath.Glob(filepath.Join(w.dir, "*"))
	for _, path := range paths {
		if w.siblings && handMade(path) {
			continue // a copy by hand, that the globs do not name, is nobody's log
		}
		b, err := os.ReadFile(path)
		w.must(err)
		all = append(all, unpack(path, b))
	}
	if !held || w.tl == nil {
		return all
	}
	for _, f := range w.tl.files {
		if f.fd == nil || !deleted(f.fd) {
			continue
		}
		fi, err := f.fd.Stat()
		w.must(err)
		b := make([]byte, fi.Size())
		_, _ = f.fd.ReadAt(b, 0)
		all = append(all, b)
	}
	return all
}

// unpack is what a whole archive says, or nothing; other bytes are what they are.
func unpack(path string, b []byte) []byte {
	if filepath.Ext(path) != ".gz" {
		return b
	}
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return nil
	}
	if b, err = io.ReadAll(r); err != nil {
		return nil
	}
	return b
}

// reckon finds the lines that nobody can read any more and that were not taken over.
func (w *random) reckon() {
	there := map[int]bool{}
	for _, b := range w.contents(true) {
		for line := range bytes.Lines(b) {
			there[numberOf(string(line))] = true
		}
	}
	for n, fate := range w.state {
		if fate == due && w.got[n] == 0 && !there[n] {
			w.state[n] = lost
		}
	}
}

// numberOf is the number of a line, of which the end may be missing; 0 where it has none.
func numberOf(line string) (n int) {
	rest, ok := strings.CutPrefix(line, `{"n":`)
	digits, _, whole := strings.Cut(rest, ",")
	if !ok || !whole {
		return 0
	}
	n, _ = strconv.Atoi(digits)
	return n
}

// --- the agent

func (w *random) start() {
	if w.tl != nil {
		return
	}
	var err error
	w.o.Registry = w.reg
	w.tl, err = New(w.o)
	w.must(err)
	w.tl.notify = newNotifier(zap.NewNop(), true)
	for _, r := range w.recent {
		w.replay(r)
	}
	w.recent, w.stalled = nil, false
	w.reckon()
}

// replay reads a batch again that has no outcome.
func (w *random) replay(r replayable) {
	raw, err := w.tl.Reload(r.intent)
	w.must(err)
	for i, text := range recordsOf(raw) {
		doubted := raw.Doubt != nil && raw.Doubt[i] && text != r.texts[i] // which the pipeline finds out
		if raw.Replay[i].Fate == pipeline.Lost || doubted {
			if w.there(r, i) {
				w.t.Logf("line %d", numberOf(r.texts[i]))
				w.t.Fatal("the replay lost a line that is there")
			}
		} else if text != r.texts[i] {
			w.t.Logf("%.40q in place of %.40q", text, r.texts[i])
			w.t.Fatal("the replay read something else")
		}
	}
	ranges := slices.Clone(raw.Ranges)
	w.tl.Release(raw)
	w.tl.Acked(ranges)
}

// there reports whether one file has a record where it was, and all of its range that comes before.
func (w *random) there(r replayable, i int) bool {
	return slices.ContainsFunc(w.contents(false), func(b []byte) bool {
		for k, c := range r.intent.Cuts[:i+1] {
			p := r.intent.Pieces[c.First]
			if end := p.Offset + int64(p.Len); c.Range == r.intent.Cuts[i].Range && (int64(len(b)) <= end || string(b[p.Offset:end]) != r.texts[k]) {
				return false
			}
		}
		return true
	})
}

// tick lets the Tailer do what is due some time later.
func (w *random) tick(d time.Duration) {
	w.now = w.now.Add(d)
	if w.tl == nil {
		return
	}
	w.tl.mu.Lock()
	w.tl.step()
	w.tl.mu.Unlock()
	w.take()
}

// take does what comes after the Tailer: it takes a batch, and commits the one before.
func (w *random) take() {
	if w.stalled || w.tl.next == nil {
		w.commit(0)
		return
	}
	w.taken = append(w.taken, w.tl.next)
	w.tl.next = nil
	w.commit(rapid.IntRange(0, 1).Draw(w.t, "under way"))
}

// commit makes all but so many of the batches that were taken durable.
func (w *random) commit(left int) {
	for len(w.taken) > left {
		raw := w.taken[0]
		w.taken = w.taken[1:]
		w.reg.commit(w.t, raw)
		for i := range raw.Ranges {
			s := w.reg.streams[raw.Ranges[i].Stream.ID]
			s.LastRead = w.now
			w.reg.streams[s.ID] = s
		}
		w.reg.sync()
		texts := recordsOf(raw)
		if traced {
			w.t.Logf("  committed: %s", w.said(raw, texts))
		}
		for _, text := range texts {
			n := numberOf(text)
			if w.state[n] == begun {
				w.t.Logf("%.40q", text)
				w.t.Fatal("half a line came")
			}
			if w.got[n]++; w.got[n] > 1 {
				w.t.Logf("%d, in batch of stream %x", n, raw.Ranges[0].Stream.ID[:4])
				w.t.Fatal("a line came twice")
			}
		}
		if w.recent = append(w.recent, replayable{intentOf(raw), texts}); len(w.recent) > 3 {
			w.recent = w.recent[1:]
		}
		ranges := slices.Clone(raw.Ranges)
		w.tl.Release(raw)
		w.tl.Acked(ranges)
	}
}

// said describes a batch.
func (w *random) said(raw *pipeline.Raw, texts []string) string {
	var b strings.Builder
	for i := range raw.Ranges {
		r := &raw.Ranges[i]
		fmt.Fprintf(&b, "%x of %s [%d, %d):", r.Stream.ID[:3], filepath.Base(r.Stream.Path), r.Start, r.End)
		for j, c := range raw.Cuts {
			if int(c.Range) == i {
				fmt.Fprintf(&b, " %d", numberOf(texts[j]))
			}
		}
		b.WriteString("; ")
	}
	return b.String()
}

// disk describes what lies in the directory.
func (w *random) disk() string {
	var b strings.Builder
	paths, _ := filepath.Glob(filepath.Join(w.dir, "*"))
	for _, path := range paths {
		text, _ := os.ReadFile(path)
		text = unpack(path, text)
		fi, _ := os.Stat(path)
		fmt.Fprintf(&b, "  %s (%d bytes, inode %d):", filepath.Base(path), len(text), keyOf(fi).ino)
		for line := range bytes.Lines(text) {
			fmt.Fprintf(&b, " %d", numberOf(string(line)))
		}
	}
	return b.String()
}

func (w *random) someTicks() {
	for range rapid.IntRange(0, 3).Draw(w.t, "ticks") {
		if w.tl != nil && rapid.Bool().Draw(w.t, "notified") {
			w.tl.scanAt, w.tl.pollAt = time.Time{}, time.Time{}
		}
		w.tick(rapid.SampledFrom([]time.Duration{0, time.Millisecond, 50 * time.Millisecond, time.Second, 7 * time.Second}).Draw(w.t, "time"))
	}
}

// drain ends the Tailer in order.
func (w *random) drain() {
	if w.tl == nil {
		return
	}
	w.stalled = false
	w.tl.mu.Lock()
	w.tl.startDrain()
	for !w.tl.finished || w.tl.next != nil {
		w.tl.mu.Unlock()
		w.tick(time.Millisecond)
		w.commit(0)
		w.tl.mu.Lock()
	}
	w.tl.mu.Unlock()
	w.recent = nil
	w.down()
}

// crash ends the agent as it stands. Some of the last batches have no outcome.
func (w *random) crash() {
	if w.tl == nil {
		return
	}
	w.taken = nil
	w.recent = w.recent[len(w.recent)-rapid.IntRange(0, len(w.recent)).Draw(w.t, "pending"):]
	w.reg.crash()
	w.down()
}

func (w *random) down() {
	w.tl.closeFiles()
	w.tl.notify.stop()
	w.tl = nil
	// What was copied by hand is known by its original. Without that, and far from all marks, it would be read again.
	text, _ := os.ReadFile(w.log)
	copies, _ := filepath.Glob(w.log + ".*.bak")
	for _, path := range copies {
		if b, err := os.ReadFile(path); err == nil && !bytes.HasPrefix(text, b) {
			w.must(os.Remove(path))
		}
	}
	w.reckon()
}

// settle lets everything be read.
func (w *random) settle() {
	w.start()
	w.stalled = false
	for range 5 { // each as long as anything is waited for
		w.tick(6 * time.Second)
		for range 50 {
			if w.tl.next == nil && len(w.tl.ring) == 0 && !w.tl.filled() {
				break
			}
			w.tick(50 * time.Millisecond)
		}
	}
	w.commit(0)
}

func (w *random) check() {
	var missing []int
	for n, fate := range w.state {
		if fate == due && w.got[n] == 0 {
			missing = append(missing, n)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		w.t.Logf("missing: %d", missing)
		w.t.Fatal("lines never came")
	}
	for n, times := range w.got {
		if _, ok := w.state[n]; !ok || n == 0 {
			w.t.Logf("as %d, %d times", n, times)
			w.t.Fatal("what never was a line came")
		}
	}
}

func (w *random) actions() map[string]func(*rapid.T) {
	do := func(f func()) func(*rapid.T) {
		return func(t *rapid.T) {
			w.t = t
			f()
			if traced {
				w.t.Logf("%s", w.disk())
			}
			w.someTicks()
		}
	}
	few := func() int { return rapid.IntRange(1, 25).Draw(w.t, "lines") }
	return map[string]func(*rapid.T){
		"write":          do(func() { w.finish(); w.write(w.log, few()) }),
		"write a little": do(func() { w.finish(); w.write(w.log, 1) }),
		"write half":     do(w.half),
		"finish":         do(w.finish),
		"rename":         do(func() { w.rename() }),
		"rename, write on": do(func() {
			if w.rename() {
				w.someTicks()
				w.write(w.rotated[len(w.rotated)-1], few())
			}
		}),
		"count up":          do(w.countUp),
		"compress":          do(w.compress),
		"copy and truncate": do(w.copyTruncate),
		"copy": do(func() {
			w.finish()
			w.serial++
			w.copyTo(fmt.Sprintf("%s.%d.bak", w.log, w.serial))
		}),
		"rewrite": do(w.rewrite),
		"delete the log": do(func() {
			w.finish()
			if exists(w.log) {
				w.delete(w.log)
			}
		}),
		"delete the oldest": do(func() {
			if len(w.rotated) > 0 {
				w.delete(w.rotated[0])
			}
		}),
		"wait": do(w.someTicks),
		"read all": do(func() {
			if w.tl != nil {
				w.settle()
			}
		}),
		"stall":           do(func() { w.stalled = !w.stalled }),
		"crash":           do(w.crash),
		"drain":           do(w.drain),
		"start":           do(w.start),
		"crash and start": do(func() { w.crash(); w.start() }),
		"drain and start": do(func() { w.drain(); w.start() }),
	}
}

// TestRandomActionsAgainstAModel runs two thousand sequences of actions, or fewer where that takes too long; with
// ACTIVITY_SOAK_SECONDS as many as it can in that time. A sequence that fails is made as short as it goes, and comes again
// with the seed that is printed; ACTIVITY_TRACE=1 tells what lay on the disk after each action.
func TestRandomActionsAgainstAModel(t *testing.T) {
	seed := testenv.Seed(t, 20261124)
	must(t, flag.Set("rapid.nofailfile", "true"))
	sequences := 0
	most := 2000
	if testenv.Soak() {
		most = math.MaxInt
	}
	for end := time.Now().Add(testenv.Budget(t, 15*time.Second)); time.Now().Before(end) && sequences < most && !t.Failed(); seed++ {
		must(t, flag.Set("rapid.seed", strconv.FormatUint(seed, 10)))
		rapid.Check(t, func(rt *rapid.T) {
			sequences++
			randomWorld(t, rt)
		})
	}
	t.Logf("%d sequences, the last seed was %d", sequences, seed-1)
}

func randomWorld(t *testing.T, rt *rapid.T) {
	root := ""
	if fi, err := os.Stat("/dev/shm"); err == nil && fi.IsDir() && rapid.IntRange(0, 15).Draw(rt, "disk") > 0 {
		root = "/dev/shm" // which gives no inode twice, and is fast
	}
	dir, err := os.MkdirTemp(root, "activity-")
	must(t, err)
	defer os.RemoveAll(dir)
	w := &random{
		t: rt, dir: dir, log: filepath.Join(dir, "app.log"), now: time.Now().Add(-24 * time.Hour).Truncate(time.Second),
		reg: &volatile{memory: newMemory()}, state: map[int]lineFate{}, got: map[int]int{},
	}
	include := rapid.SampledFrom([][]string{{"app.log*"}, {"*.log"}, {"app.log*", "*"}}).Draw(rt, "include")
	w.o = Options{
		IDKey: []byte("k"), BatchBytes: 2 << 10, BatchRecords: 7, Now: func() time.Time { return w.now }, NoNotify: true,
	}
	w.siblings = include[0] == "*.log"
	for _, g := range include {
		c := DefaultConfig()
		c.Include, c.MaxLineBytes = []string{filepath.Join(dir, g)}, 1<<10
		w.o.Files = append(w.o.Files, c)
	}
	w.start()
	w.write(w.log, 1) // what was there before the agent first looked is another matter
	w.settle()
	defer func() {
		if w.tl != nil {
			w.down()
		}
	}()
	rt.Repeat(w.actions())
	w.t = rt
	w.finish()
	w.settle()
	w.check()
}
