package main

import (
	"bufio"
	"database/sql"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/sinks/elasticsearch/scripted"
)

func TestMemoryOfTheControlGroup(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"none":                      {nil, 0},
		"version 2, in a container": {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "67108864\n"}, 64 << 20},
		"version 2, no limit":       {map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"}, 0},
		"version 2, a group above": {map[string]string{
			"proc/self/cgroup": "0::/kubepods/pod1/agent\n", "sys/fs/cgroup/kubepods/pod1/agent/memory.max": "max\n",
			"sys/fs/cgroup/kubepods/pod1/memory.max": "134217728\n", "sys/fs/cgroup/kubepods/memory.max": "268435456\n",
		}, 128 << 20},
		"version 2, of the host, in a container": {map[string]string{
			"proc/self/cgroup": "0::/../../kubepods/pod1\n", "sys/fs/cgroup/memory.max": "67108864\n",
		}, 64 << 20},
		"version 1": {map[string]string{
			"proc/self/cgroup":                                  "5:cpu:/a\n4:memory:/docker/abc\n1:name=systemd:/docker/abc\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":        "67108864\n",
			"sys/fs/cgroup/memory/docker/memory.limit_in_bytes": "9223372036854771712\n",
		}, 64 << 20},
		"version 1, no limit": {map[string]string{
			"proc/self/cgroup": "4:memory:/\n0::/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
		}, 0},
		"nonsense": {map[string]string{"proc/self/cgroup": "x\n0::/\n::\n", "sys/fs/cgroup/memory.max": "many\n"}, 0},
	} {
		root := fstest.MapFS{}
		for path, text := range tt.files {
			root[path] = &fstest.MapFile{Data: []byte(text)}
		}
		if got := cgroupMemory(root); got != tt.want {
			t.Errorf("%s: got %d, want %d", name, got, tt.want)
		}
	}
}

// TestTheUsersMemoryLimitStands. It changes settings of the process, and puts them back.
func TestTheUsersMemoryLimitStands(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	percent := debug.SetGCPercent(100)
	t.Cleanup(func() {
		debug.SetMemoryLimit(before)
		debug.SetGCPercent(percent)
	})
	root := fstest.MapFS{
		"proc/self/cgroup":         {Data: []byte("0::/\n")},
		"sys/fs/cgroup/memory.max": {Data: []byte("1000000000000\n")},
	}
	env := map[string]string{"GOMEMLIMIT": "1TiB", "GOGC": "70"}
	p := &program{getenv: func(key string) string { return env[key] }}
	debug.SetMemoryLimit(math.MaxInt64)
	if p.limitMemory(root); debug.SetMemoryLimit(-1) != math.MaxInt64 || debug.SetGCPercent(100) != 100 {
		t.Error("what the user has set was changed")
	}
	clear(env)
	for limit, want := range map[int64]int64{64 << 20: 48 << 20, 20 << 20: 10 << 20} {
		root["sys/fs/cgroup/memory.max"].Data = fmt.Append(nil, limit)
		if got := p.limitMemory(root); got != want {
			t.Errorf("of %d, the collector gets %d, want %d", limit, got, want)
		}
	}
	env["GOMEMLIMIT"] = "67108864" // limits.memory, by the downward API
	root["sys/fs/cgroup/memory.max"].Data = []byte("67108864")
	if got := p.limitMemory(root); got != 48<<20 {
		t.Errorf("with a GOMEMLIMIT that is all there is, the collector gets %d, want %d", got, 48<<20)
	}
	env["GOMEMLIMIT"] = "50000000"
	if got := p.limitMemory(root); got != 0 {
		t.Errorf("with a GOMEMLIMIT below it, the collector gets %d, want what the user says", got)
	}
	clear(env)
	root["sys/fs/cgroup/memory.max"].Data = []byte("1000000000000")
	if got := p.limitMemory(root); got != 800_000_000_000 || debug.SetMemoryLimit(-1) != got || debug.SetGCPercent(100) != gcPercent {
		t.Errorf("got a limit of %d, want 800000000000", got)
	}
}

// mostResident is what the agent may take through an outage.
const mostResident = 64 << 20

// TestMemoryIsFlatThroughAnOutage: much more waits than fits, of every kind of line that grows on its way, and the store is
// down. The agent takes no more memory than the bound, goes on when the store does, and keeps to the bound.
func TestMemoryIsFlatThroughAnOutage(t *testing.T) {
	t.Parallel()
	waiting, outage := int64(24<<20), time.Second
	stores := []string{"server"}
	if testenv.Soak() {
		waiting, outage, stores = 1<<30, 5*time.Minute, []string{"server", "sqlite"}
	}
	exe := binary(t)
	for name, line := range map[string]string{
		"usual":   `{"level":"info","msg":"request done","method":"GET","path":"/orders/1","status_code":200,"user_id":"u1","headers":{"authorization":"Bearer 0123456789abcdef"},"seq":1}`,
		"short":   `1`,
		"control": strings.Repeat("\x01\x02\x03\x04", 60),
		"long":    `{"msg":"` + strings.Repeat("x", 900_000) + `"}`,
	} {
		for _, store := range stores {
			t.Run(name+" "+store, func(t *testing.T) {
				t.Parallel()
				s := newSite(t, "sqlite", "")
				s.exe, s.admin = exe, freeAddress(t)
				s.env = []string{"GOMEMLIMIT=48MiB"} // as in a container of 64 MiB
				s.configure("")
				begin, end := s.outage(store)
				s.fill(line, waiting)
				begin()
				r := s.start()
				r.eventually("records under way", func() bool { return r.metrics()["records_in_flight"] > 0 })
				time.Sleep(outage)
				during := r.resident("VmHWM")
				if m := r.metrics(); m["records_stored_total"] != 0 || m["stuck"] != 0 || m["lag_bytes"] == 0 {
					t.Errorf("in the outage: stored %v, stuck %v, behind %v", m["records_stored_total"], m["stuck"], m["lag_bytes"])
				}
				end()
				goal := r.metrics()["records_in_flight"] * 3 // more than was under way
				r.eventually("records to be stored", func() bool { m := r.metrics(); return m["records_stored_total"] > goal || m["lag_bytes"] == 0 })
				after := r.resident("VmHWM")
				t.Logf("%d MB waiting, at most %.1f MB resident in the outage, %.1f MB with what came after it", waiting>>20, float64(during)/1e6, float64(after)/1e6)
				if max(during, after) > mostResident {
					t.Errorf("%d bytes resident, want %d at most", max(during, after), mostResident)
				}
			})
		}
	}
}

// fill writes so many bytes of the line into the site's log.
func (s *site) fill(line string, size int64) {
	s.t.Helper()
	f, err := os.Create(s.log)
	if err != nil {
		s.t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for n := int64(0); n < size; n += int64(len(line)) + 1 {
		_, _ = w.WriteString(line)
		_ = w.WriteByte('\n')
	}
	if err := w.Flush(); err != nil {
		s.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// outage returns what begins and what ends one of the store: a server that answers with 503, or a database that somebody
// else has locked.
func (s *site) outage(store string) (begin, end func()) {
	if store == "server" {
		srv := scripted.Start(s.t)
		s.onServer(srv, ", compression: none") // the largest bodies there are
		down := make([]scripted.Fault, 10_000)
		for i := range down {
			down[i] = scripted.Status(503, "")
		}
		return func() { srv.Script(down...) }, func() { srv.Script() }
	}
	s.append(`{"seq":%d}`, 0, 1)
	s.runToEnd() // makes the database
	db, err := sql.Open("sqlite", s.path("store.db"))
	if err != nil {
		s.t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	s.t.Cleanup(func() { _ = db.Close() })
	exec := func(text string) func() {
		return func() {
			if _, err := db.Exec(text); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return exec("BEGIN IMMEDIATE"), exec("ROLLBACK")
}

// resident reads a size from the process's status, in bytes.
func (r *running) resident(key string) int64 {
	r.t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.cmd.Process.Pid))
	if err != nil {
		r.t.Skip("needs /proc")
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, key+":"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}
