package main

import (
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/sinks/elasticsearch/scripted"
)

// TestTheLastHundredMilliseconds: an application writes 1,000 lines just before it ends, and the agent is told to end at
// the same moment.
func TestTheLastHundredMilliseconds(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"sqlite", "file", "server"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			const lines = 1000
			srv := scripted.Start(t)
			s := newSite(t, "sqlite", "")
			s.drain = "5m"
			if s.store = store; store == "server" {
				s.admin = freeAddress(t)
				s.onServer(srv, "")
			} else {
				withAdmin(t, s, "")
			}
			r := s.start()
			for i := range 100 {
				s.append(`{"msg":"bye","seq":%d}`, i*lines/100, lines/100)
				time.Sleep(time.Millisecond)
			}
			r.stop()
			if store != "server" {
				s.assertOnce(lines)
			} else if n := len(srv.Documents()); n != lines {
				t.Errorf("%d of %d are stored", n, lines)
			}
		})
	}
}

// TestSIGTERMBeforeTheApplicationHasEnded: in a pod without native sidecars both are told at once, and the application has
// more to say. The agent reads on as long as lines come.
func TestSIGTERMBeforeTheApplicationHasEnded(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	s.drain = "5m"
	r := withAdmin(t, s, "").start()
	s.append(`{"seq":%d}`, 0, 10)
	r.signal(syscall.SIGTERM)
	last, gap := time.Now(), time.Duration(0)
	for i := 1; i <= 20; i++ {
		time.Sleep(100 * time.Millisecond)
		s.append(`{"seq":%d}`, i*10, 10)
		gap, last = max(gap, time.Since(last)), time.Now()
	}
	if code := r.wait(); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, r.said)
	}
	s.account()
	if gap > time.Second {
		t.Logf("on this machine the application was silent for %v", gap)
		s.runToEnd()
	}
	s.assertOnce(210)
}

// TestSIGTERMWhileTheApplicationNeverEnds: reading ends in time, everything read is stored, and the rest is there for the
// next start.
func TestSIGTERMWhileTheApplicationNeverEnds(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	s.drain = "4s"
	r := withAdmin(t, s, "").start()
	stop, written := make(chan struct{}), make(chan int, 1)
	go func() {
		for n := 0; ; n += 10 {
			select {
			case <-stop:
				written <- n
				return
			case <-time.After(20 * time.Millisecond):
				s.append(`{"seq":%d}`, n, 10)
			}
		}
	}()
	time.Sleep(200 * time.Millisecond)
	r.signal(syscall.SIGTERM)
	code := r.wait()
	close(stop)
	n := <-written
	if code != exitDone {
		t.Fatalf("exit code %d\n%s", code, r.said)
	}
	if a := s.account(); a.Stored == 0 {
		t.Errorf("nothing was stored: %+v", a)
	}
	s.runToEnd()
	s.assertOnce(n)
}

// TestSIGTERMAndSIGKILLBackToBack, at every distance between the two, while lines are written.
func TestSIGTERMAndSIGKILLBackToBack(t *testing.T) {
	t.Parallel()
	rounds := 8
	if testenv.Soak() {
		rounds = 100
	}
	for _, store := range []string{"sqlite", "file"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, store, "")
			s.budget = "6MiB"
			withAdmin(t, s, "")
			r := rand.New(rand.NewPCG(crashSeed, 3))
			const lines = 500
			for i := range rounds {
				p := s.launch()
				s.append(`{"msg":"m","seq":%d}`, i*lines, lines)
				time.Sleep(time.Duration(r.IntN(150)) * time.Millisecond)
				p.signal(syscall.SIGTERM)
				time.Sleep(time.Duration(r.IntN(60)) * time.Millisecond)
				_ = p.cmd.Process.Kill()
				_ = p.wait()
			}
			if a := s.runToEnd(); len(a.Lost) > 0 {
				t.Errorf("lost %v", a.Lost)
			}
			s.assertOnce(rounds * lines)
		})
	}
}

// TestASecondSIGTERMEndsAtOnce: the store does not answer, and the time to drain is long. The next start sends what is left.
func TestASecondSIGTERMEndsAtOnce(t *testing.T) {
	t.Parallel()
	srv := scripted.Start(t)
	s := newSite(t, "sqlite", "")
	s.admin, s.drain = freeAddress(t), "10m"
	s.onServer(srv, "")
	srv.Script(scripted.Hang(), scripted.Hang(), scripted.Hang(), scripted.Hang(), scripted.Hang(), scripted.Hang())
	r := s.start()
	s.append(`{"msg":"m","seq":%d}`, 0, 20)
	r.eventually("records under way", func() bool { return r.metrics()["records_in_flight"] == 20 })
	r.signal(syscall.SIGTERM)
	r.eventually("the first signal to be heard", func() bool { return strings.Contains(r.said.String(), "stopping") })
	r.signal(syscall.SIGTERM)
	if code := r.wait(); code != exitFailed || !strings.Contains(r.said.String(), "will be sent at the next start (20 records under way)") {
		t.Errorf("exit code %d\n%s", code, r.said)
	}
	srv.Script()
	if a := s.runToEnd(); a.Replayed != 20 || a.Stored+a.Duplicate != 20 {
		t.Errorf("%+v", a)
	}
	if n := len(srv.Documents()); n != 20 {
		t.Errorf("%d documents are stored", n)
	}
}

// TestTheStopFileEndsTheAgent: everything written before it is stored, also when that takes longer than a drain may.
func TestTheStopFileEndsTheAgent(t *testing.T) {
	t.Parallel()
	srv := scripted.Start(t)
	s := newSite(t, "sqlite", "")
	s.admin, s.drain, s.stopFile = freeAddress(t), "100ms", s.path("done")
	s.onServer(srv, "")
	down := scripted.Status(503, "", "Retry-After", "1")
	srv.Script(down, down, down)
	r := s.start()
	s.append(`{"msg":"m","seq":%d}`, 0, 50)
	if err := os.WriteFile(s.stopFile, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := r.wait(); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, r.said)
	}
	if a := s.account(); a.Stored != 50 || a.Retries < 2 {
		t.Errorf("%+v", a)
	}
	// It is still there when the container is started again: the agent looks once more, and ends.
	s.append(`{"msg":"m","seq":%d}`, 50, 5)
	r = s.launch()
	if code := r.wait(); code != exitDone {
		t.Fatalf("exit code %d\n%s", code, r.said)
	}
	if n := len(srv.Documents()); n != 55 {
		t.Errorf("%d documents are stored", n)
	}
}
