package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/agent/deadletter"
	"github.com/truledgr/activity-agent/agent/ledger"
	"github.com/truledgr/activity-agent/internal/estest"
	"github.com/truledgr/activity-agent/internal/testenv"
)

// soakSeed is that of the runs in CI.
const soakSeed = 20261124

const (
	soakWriters = 4
	soakRate    = 250              // lines a second of each writer, about
	soakRound   = 75 * time.Second // how long faults go on until everything is counted
	soakEnd     = 15 * time.Minute // for delivering what is left, on a machine that is very slow
)

// TestSoak lets four programs write and rotate their logs while the agent is killed, stopped and paused at random
// moments, and the store fails in the ways it can; with Elasticsearch that is a cluster of three nodes that are killed and
// restarted, behind a proxy that answers 429 and 503 and cuts connections. Then all is counted: every line that was written is stored
// once.
//
// `make soak SECONDS=3600 SEED=7 STORE=elasticsearch` runs it for longer.
func TestSoak(t *testing.T) {
	seed := testenv.Seed(t, soakSeed)
	exe := binary(t)
	for store, normal := range map[string]time.Duration{"sqlite": 15 * time.Second, "file": 15 * time.Second, "elasticsearch": 40 * time.Second} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := newSoak(t, store, exe, seed)
			left := testenv.Budget(t, normal)
			t.Logf("%s for %v, seed %d", store, left, seed)
			for round := 1; left > 0 && !t.Failed(); round++ {
				now := left
				if now > soakRound*3/2 {
					now = soakRound
				}
				left -= now
				s.round(round, now)
			}
			s.tell()
		})
	}
}

// A soak is a site with writers, an agent that is tormented, and an account of what was done to it.
type soak struct {
	*site
	seed    uint64
	writers []*soakWriter
	began   time.Time
	lines   int // verified

	cluster *estest.Cluster
	proxy   *troublemaker

	mu     sync.Mutex
	faults map[string]int
	files  []string // by place.file: the name when it was written
}

func newSoak(t *testing.T, store, exe string, seed uint64) *soak {
	s := &soak{seed: seed, began: time.Now(), faults: map[string]int{}}
	if store == "elasticsearch" {
		s.cluster = estest.Start(t, 3, "thread_pool.write.queue_size=20")
		s.proxy = s.before(t, s.cluster.URLs())
		s.site = newSiteOn(t, s.cluster.Node(0))
	} else {
		s.site = newSite(t, store, "")
	}
	s.exe, s.budget, s.drain = exe, "6MiB", "3s"
	for i := range soakWriters {
		s.writers = append(s.writers, &soakWriter{
			s: s, r: s.random(uint64(i)), path: filepath.Join(s.dir, "logs", fmt.Sprintf("app-%c.log", 'a'+i)), first: i, dated: i%2 == 0,
		})
	}
	t.Cleanup(func() {
		if t.Failed() && testenv.Soak() {
			s.keep()
		}
	})
	return s
}

// random is a source of its own for each part, so that one does not change another's choices.
func (s *soak) random(part uint64) *rand.Rand { return rand.New(rand.NewPCG(s.seed, part)) }

func (s *soak) count(fault string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[fault]++
}

func (s *soak) newFile(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = append(s.files, path)
	return len(s.files) - 1
}

// tell logs what was done and what came of it.
func (s *soak) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, fault := range slices.Sorted(maps.Keys(s.faults)) {
		fmt.Fprintf(&b, "\n%8d %s", s.faults[fault], fault)
	}
	s.t.Logf("%s, seed %d, after %v: %d lines counted%s", s.store, s.seed, time.Since(s.began).Round(time.Second), s.lines, b.String())
}

// round makes trouble for so long, lets everything be delivered, and counts. It begins with a store that is empty and
// files that are all read, and a state directory that remembers the rounds before.
func (s *soak) round(n int, long time.Duration) {
	s.target(n)
	ctx, cancel := context.WithTimeout(s.t.Context(), long)
	defer cancel()
	var parts sync.WaitGroup
	part := func(do func(context.Context) error) {
		parts.Go(func() {
			if err := do(ctx); err != nil {
				s.t.Error(err)
				cancel()
			}
		})
	}
	for _, w := range s.writers {
		part(w.write)
	}
	part(s.tormentAgent)
	part(s.progress)
	if s.cluster != nil {
		s.proxy.calm.Store(false)
		part(s.makeStorms)
		s.tormentNodes(ctx) // here, because it ends the test where a node does not start again
	}
	parts.Wait()
	if s.t.Failed() {
		return
	}
	s.settle()
	s.verify()
	for _, w := range s.writers {
		if err := w.forget(); err != nil {
			s.t.Fatal(err)
		}
	}
	if s.cluster != nil && !s.t.Failed() {
		s.node.Wipe(s.t, s.prefix)
	}
}

// target gives the round a store of its own: whatever an earlier round has left to send would be seen.
func (s *soak) target(n int) {
	switch s.store {
	case "elasticsearch":
		base, _, _ := strings.Cut(s.prefix, ".")
		s.prefix = fmt.Sprintf("%s.%d", base, n)
	default:
		for _, name := range []string{"store.db", "store.db-wal", "store.db-shm", "store.ndjson"} {
			if err := os.Remove(s.path(name)); err != nil && !os.IsNotExist(err) {
				s.t.Fatal(err)
			}
		}
	}
	s.configure("")
	text, err := os.ReadFile(s.config)
	if err != nil {
		s.t.Fatal(err)
	}
	config := string(text)
	if s.cluster != nil {
		all := `"` + strings.Join(s.proxy.urls, `", "`) + `"`
		config = strings.Replace(config, fmt.Sprintf("addresses: [%q]", s.node.URL()), "request_timeout: 5s, addresses: ["+all+"]", 1)
	}
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// tormentAgent starts the agent and ends it, again and again.
func (s *soak) tormentAgent(ctx context.Context) error {
	r := s.random(101)
	for ctx.Err() == nil {
		log, err := os.OpenFile(s.path("agent.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		cmd := s.command("run", "-c", s.config)
		cmd.Stdout, cmd.Stderr = log, log
		err = cmd.Start()
		_ = log.Close()
		if err != nil {
			return err
		}
		s.count("starts of the agent")
		if err := s.tormentRun(ctx, r, cmd); err != nil {
			return err
		}
		if r.IntN(3) == 0 {
			wait(ctx, time.Duration(r.IntN(1500))*time.Millisecond)
		}
	}
	return nil
}

// tormentRun lets one process of the agent work for a while, and ends it in one of the ways.
func (s *soak) tormentRun(ctx context.Context, r *rand.Rand, cmd *exec.Cmd) error {
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	long := []time.Duration{100 * time.Millisecond, time.Second, 6 * time.Second}[r.IntN(3)]
	select {
	case err := <-ended:
		return fmt.Errorf("the agent ended by itself: %w\n%s", err, s.lastOfLog(30))
	case <-ctx.Done():
	case <-time.After(time.Duration(r.Int64N(int64(long)))):
	}
	if r.IntN(10) == 0 {
		s.count("pauses of the agent")
		_ = cmd.Process.Signal(syscall.SIGSTOP)
		wait(ctx, time.Duration(r.IntN(2000))*time.Millisecond)
		_ = cmd.Process.Signal(syscall.SIGCONT)
	}
	switch r.IntN(8) {
	case 0, 1:
		s.count("SIGTERMs of the agent")
		_ = cmd.Process.Signal(syscall.SIGTERM)
	case 2:
		s.count("SIGTERMs of the agent, twice")
		_ = cmd.Process.Signal(syscall.SIGTERM)
		wait(ctx, time.Duration(r.IntN(200))*time.Millisecond)
		_ = cmd.Process.Signal(syscall.SIGTERM)
	case 3:
		s.count("SIGTERMs of the agent, then SIGKILL")
		_ = cmd.Process.Signal(syscall.SIGTERM)
		wait(ctx, time.Duration(r.IntN(300))*time.Millisecond)
		_ = cmd.Process.Kill()
	default:
		s.count("SIGKILLs of the agent")
		_ = cmd.Process.Kill()
	}
	select {
	case <-ended: // how is no matter: what it left undone is done by the next
		return nil
	case <-time.After(2 * time.Minute):
		_ = cmd.Process.Signal(syscall.SIGQUIT) // its goroutines go into the log
		<-ended
		return fmt.Errorf("the agent did not end within two minutes of a signal\n%s", s.lastOfLog(200))
	}
}

// wait waits for d, or until ctx is done.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// tormentNodes kills and stops nodes and starts them again, so that most of the time some can take documents.
func (s *soak) tormentNodes(ctx context.Context) {
	r := s.random(102)
	for {
		wait(ctx, time.Duration(2000+r.IntN(8000))*time.Millisecond)
		if ctx.Err() != nil {
			return
		}
		down := r.Perm(s.cluster.Size())[:1+r.IntN(4)/3]
		for _, node := range down {
			if r.IntN(3) == 0 {
				s.count("stops of a node")
				s.cluster.Stop(s.t, node)
			} else {
				s.count("SIGKILLs of a node")
				s.cluster.Kill(s.t, node)
			}
			wait(ctx, time.Duration(r.IntN(1000))*time.Millisecond)
		}
		wait(ctx, time.Duration(r.IntN(4000))*time.Millisecond)
		for _, node := range down {
			s.cluster.Restart(s.t, node)
		}
	}
}

// makeStorms has every request go wrong for some seconds, now and then.
func (s *soak) makeStorms(ctx context.Context) error {
	r := s.random(103)
	for ctx.Err() == nil {
		wait(ctx, time.Duration(2000+r.IntN(8000))*time.Millisecond)
		s.count("storms of 429, 503 and cut connections")
		s.proxy.storm.Store(true)
		wait(ctx, time.Duration(500+r.IntN(4000))*time.Millisecond)
		s.proxy.storm.Store(false)
	}
	return nil
}

func (s *soak) progress(ctx context.Context) error {
	for {
		wait(ctx, 20*time.Second)
		if ctx.Err() != nil {
			return nil
		}
		s.mu.Lock()
		faults := 0
		for _, n := range s.faults {
			faults += n
		}
		s.t.Logf("%s, seed %d, after %v: %d faults, %d files written", s.store, s.seed, time.Since(s.began).Round(time.Second), faults, len(s.files))
		s.mu.Unlock()
	}
}

// settle lets the agent deliver all that is left, undisturbed.
func (s *soak) settle() {
	if s.cluster != nil {
		s.proxy.calm.Store(true)
		s.cluster.WaitReady(s.t)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), soakEnd)
	defer cancel()
	cmd := s.command("run", "-c", s.config, "--exit-when-idle", "1s", "--summary", s.path("summary.json"))
	done := make(chan struct{})
	var out []byte
	var err error
	go func() { out, err = cmd.CombinedOutput(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		_ = cmd.Process.Signal(syscall.SIGQUIT)
		<-done
		s.t.Fatalf("what was left was not delivered within %v:\n%s", soakEnd, out)
	}
	if err != nil {
		s.t.Fatalf("the last run: %v\n%s", err, out)
	}
	if a := s.account(); total(a.Lost)+a.DeadLettered > 0 {
		s.t.Errorf("the last run lost or set aside records: %+v", a)
	}
}

// A storedLine is where the store has a line from.
type storedLine struct {
	ID  string `json:"id"`
	Log struct {
		File   struct{ Path string }
		Offset int64
	}
	Integrity struct{ Batch, Seq int64 }
	Details   struct {
		Seq *int
	}
}

// verify counts what is stored against what was written.
func (s *soak) verify() {
	seen := make([][]uint8, soakWriters)
	for i, w := range s.writers {
		seen[i] = make([]uint8, len(w.places))
	}
	var strange []storedLine
	s.documents(func(doc []byte) {
		var d storedLine
		if err := json.Unmarshal(doc, &d); err != nil || d.Details.Seq == nil {
			s.t.Errorf("a document without its number: %v %.300s", err, doc)
			return
		}
		w := *d.Details.Seq % soakWriters
		n := *d.Details.Seq/soakWriters - s.writers[w].from
		if n < 0 || n >= len(seen[w]) {
			strange = append(strange, d)
			return
		}
		seen[w][n]++
	})
	var missing, twice []int
	allowed := 0
	for w, counts := range seen {
		for n, count := range counts {
			seq := (s.writers[w].from+n)*soakWriters + w
			switch {
			case count == 0 && s.writers[w].places[n].may:
				allowed++
			case count == 0:
				missing = append(missing, seq)
			case count > 1:
				twice = append(twice, seq)
			}
		}
		s.lines += len(counts)
	}
	s.mu.Lock()
	s.faults["lines lost between copying and truncating, as said"] += allowed
	s.mu.Unlock()
	if len(missing)+len(twice)+len(strange) > 0 {
		s.explain(missing, twice, strange)
	}
}

// explain fails the test and says which lines are wrong, where they were written, where they are now, and what the ledger
// and the dead letters know.
func (s *soak) explain(missing, twice []int, strange []storedLine) {
	const most = 12
	var b strings.Builder
	fmt.Fprintf(&b, "%s, seed %d: %d lines missing, %d twice, %d of an earlier round stored again", s.store, s.seed, len(missing), len(twice), len(strange))
	places := map[int][]storedLine{}
	for _, seq := range twice[:min(most, len(twice))] {
		places[seq] = nil
	}
	s.documents(func(doc []byte) {
		var d storedLine
		if json.Unmarshal(doc, &d) == nil && d.Details.Seq != nil {
			if got, ok := places[*d.Details.Seq]; ok {
				places[*d.Details.Seq] = append(got, d)
			}
		}
	})
	for _, seq := range missing[:min(most, len(missing))] {
		fmt.Fprintf(&b, "\nmissing %s", s.where(seq))
	}
	for _, seq := range twice[:min(most, len(twice))] {
		fmt.Fprintf(&b, "\ntwice   %s", s.where(seq))
		for _, d := range places[seq] {
			fmt.Fprintf(&b, "\n        stored as %s from %s at %d, batch %d", d.ID, filepath.Base(d.Log.File.Path), d.Log.Offset, d.Integrity.Batch)
		}
	}
	for _, d := range strange[:min(most, len(strange))] {
		fmt.Fprintf(&b, "\nagain   seq %d stored as %s from %s at %d, batch %d", *d.Details.Seq, d.ID, d.Log.File.Path, d.Log.Offset, d.Integrity.Batch)
	}
	s.t.Errorf("%s\n%s", b.String(), s.state())
}

// where says where a line was written, and where it is now.
func (s *soak) where(seq int) string {
	w := s.writers[seq%soakWriters]
	p := w.places[seq/soakWriters-w.from]
	text := fmt.Sprintf("seq %d (dated %v): written to %s (content %d) at %d", seq, w.dated, filepath.Base(s.files[p.file]), p.file, p.off)
	paths, _ := filepath.Glob(w.path + "*")
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if at := bytes.Index(b, fmt.Appendf(nil, `,"seq":%d}`, seq)); at >= 0 {
			text += fmt.Sprintf("; now in %s at %d", filepath.Base(path), bytes.LastIndexByte(b[:at], '\n')+1)
		}
	}
	return text
}

// state is what the ledger and the dead letters say.
func (s *soak) state() string {
	var b strings.Builder
	l, err := ledger.Open(s.path("state"), ledger.Options{AgentID: "test"})
	if err != nil {
		return fmt.Sprintf("the ledger: %v", err)
	}
	defer func() { _ = l.Close() }()
	fmt.Fprintf(&b, "the ledger: next batch %d, %d pending, gaps %v, repairs %v", l.NextBatch(), len(l.Pending()), l.Gaps(), l.Repairs())
	for _, st := range l.Streams() {
		if time.Since(st.SeenAt) < 3*soakRound {
			fmt.Fprintf(&b, "\n  %x… ordinal %d of %s: read to %d, last seen as %s (inode %d) at %s", st.ID[:4], st.Ordinal, st.Stem,
				st.Offset, filepath.Base(st.Path), st.Inode, st.SeenAt.Format("15:04:05.000"))
		}
	}
	letters, _, err := deadletter.Read(s.path("state"))
	fmt.Fprintf(&b, "\n%d dead letters, %v", len(letters), err)
	for _, l := range letters[:min(12, len(letters))] {
		fmt.Fprintf(&b, "\n  %s: %s at %d", l.Reason, filepath.Base(l.Path), l.Offset)
	}
	fmt.Fprintf(&b, "\nthe end of the agent's log:\n%s", s.lastOfLog(20))
	return b.String()
}

func (s *soak) lastOfLog(lines int) string {
	b, err := os.ReadFile(s.path("agent.log"))
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// keep copies what a failed run leaves, for people to look at.
func (s *soak) keep() {
	dir, err := os.MkdirTemp("", "activity-soak-")
	if err == nil {
		err = os.CopyFS(filepath.Join(dir, s.store), os.DirFS(s.dir))
	}
	s.t.Logf("logs, state and store are kept in %s (%v)", dir, err)
}
