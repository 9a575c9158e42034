package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/internal/testenv"
)

// crashSeed makes the kills reproducible as far as the machine's timing is.
const crashSeed = 20261123

// TestSIGKILLAtRandomMoments writes a log while the agent is killed again and again. Every line is stored once, whatever
// the store and whether or not its time makes its id.
func TestSIGKILLAtRandomMoments(t *testing.T) {
	t.Parallel()
	lines, kills := 100_000, 20
	switch {
	case testenv.Soak():
		lines, kills = 400_000, 200
	case testing.Short():
		lines, kills = 10_000, 5
	}
	exe := binary(t)
	for _, store := range []string{"sqlite", "file"} {
		for _, dated := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s dated=%v", store, dated), func(t *testing.T) {
				t.Parallel()
				s := newSite(t, store, "")
				s.exe = exe
				s.budget = "6MiB" // small batches, so that many are under way
				s.configure("")
				r := rand.New(rand.NewPCG(crashSeed, uint64(lines)))
				written := make(chan error, 1)
				go func() { written <- s.write(lines, dated) }()
				for range kills {
					cmd := s.command("run", "-c", s.config)
					if err := cmd.Start(); err != nil {
						t.Fatal(err)
					}
					s.awaitProgress(int64(r.IntN(3 * bytesPerIntent * lines / kills / 2)))
					time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
					if err := cmd.Process.Kill(); err != nil {
						t.Fatal(err)
					}
					_ = cmd.Wait()
				}
				if err := <-written; err != nil {
					t.Fatal(err)
				}
				a := s.runToEnd()
				t.Logf("after %d kills: the last run read %d, replayed %d, stored %d, duplicate %d", kills, a.Read, a.Replayed, a.Stored, a.Duplicate)
				if len(a.Lost) > 0 {
					t.Errorf("lost %v", a.Lost)
				}
				s.assertOnce(lines)
			})
		}
	}
}

// bytesPerIntent is about what the ledger takes for a record.
const bytesPerIntent = 42

// awaitProgress waits until the ledger has grown by n bytes, or for two seconds: kills that come by the clock alone
// would all hit the start of an agent on a slow machine.
func (s *site) awaitProgress(n int64) {
	size := func() int64 {
		info, err := os.Stat(s.path("state/ledger"))
		if err != nil {
			return 0
		}
		return info.Size()
	}
	before := size()
	for end := time.Now().Add(2 * time.Second); size()-before < n && time.Now().Before(end); {
		time.Sleep(2 * time.Millisecond)
	}
}

// write appends n lines to the log, over some seconds.
func (s *site) write(n int, dated bool) error { return s.writeFrom(0, n, dated) }

// writeFrom appends the lines from first to n-1.
func (s *site) writeFrom(first, n int, dated bool) error {
	f, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(crashSeed, 1))
	w := bufio.NewWriterSize(f, 8<<10)
	for seq := first; seq < n; seq++ {
		if _, err := w.Write(append(logLine(r, seq, dated), '\n')); err != nil {
			return err
		}
		if seq%2000 == 0 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return f.Close()
}

// TestLostStateDirectory repeats a run without its state: ids follow from positions, so nothing is stored twice, also
// when the file has been renamed or copied meanwhile.
func TestLostStateDirectory(t *testing.T) {
	const lines = 20_000
	for name, move := range map[string]func(s *site) error{
		"same file": func(*site) error { return nil },
		"renamed":   func(s *site) error { return os.Rename(s.log, s.log+".1") },
		"copied": func(s *site) error {
			b, err := os.ReadFile(s.log)
			if err != nil {
				return err
			}
			return os.WriteFile(s.log+".bak", b, 0o644)
		},
		"copied and the original gone": func(s *site) error {
			b, err := os.ReadFile(s.log)
			if err != nil {
				return err
			}
			if err := os.WriteFile(s.log+"-20261122", b, 0o644); err != nil {
				return err
			}
			return os.Remove(s.log)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "sqlite", "")
			if err := s.write(lines, true); err != nil {
				t.Fatal(err)
			}
			if a := s.runToEnd(); a.Stored != lines {
				t.Fatalf("first run: %+v", a)
			}
			if err := os.RemoveAll(s.path("state")); err != nil {
				t.Fatal(err)
			}
			if err := move(s); err != nil {
				t.Fatal(err)
			}
			if a := s.runToEnd(); a.Stored != 0 || a.Duplicate != lines {
				t.Errorf("second run stored %d, duplicates %d: %+v", a.Stored, a.Duplicate, a)
			}
			s.assertOnce(lines)
		})
	}
}

// TestRulesChangedBetweenACrashAndItsReplay kills the agent and starts it with other rules: what was decided before the
// crash stays decided, and no record is stored twice.
func TestRulesChangedBetweenACrashAndItsReplay(t *testing.T) {
	const lines = 20_000
	for _, store := range []string{"sqlite", "file"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, store, "")
			if err := s.write(lines, false); err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(crashSeed, 2))
			for i := range 8 {
				s.configure(fmt.Sprintf("pipeline: {redact: {fields: [extra_%d, table_name], allow: [user_%d]}}", i, i))
				cmd := s.command("run", "-c", s.config)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(30+r.IntN(120)) * time.Millisecond)
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
			s.configure("pipeline: {redact: {fields: [record_id]}}")
			s.runToEnd()
			s.assertOnce(lines)
		})
	}
}

// TestALedgerIsDeletedWhileTheAgentRuns and the agent is killed some time later: no line comes twice, also without a
// time of its own.
func TestALedgerIsDeletedWhileTheAgentRuns(t *testing.T) {
	t.Parallel()
	const lines = 4000
	for name, victim := range map[string]string{"the file": "state/ledger", "the directory": "state"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := withAdmin(t, newSite(t, "sqlite", ""), "")
			r := s.start()
			for from := 0; from < lines; from += lines / 2 {
				if err := s.writeFrom(from, from+lines/2, false); err != nil {
					t.Fatal(err)
				}
				r.eventually("the lines to be stored", func() bool { return r.metrics()["records_stored_total"] == float64(from+lines/2) })
				if from == 0 {
					if err := os.RemoveAll(s.path(victim)); err != nil {
						t.Fatal(err)
					}
				}
			}
			r.signal(syscall.SIGKILL)
			r.wait()
			s.runToEnd()
			s.assertOnce(lines)
		})
	}
}
