package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/agent/tail"
	"github.com/truledgr/activity-agent/config"
)

// screen is standard error, shared by the log and the line of progress: before something is logged, the line goes.
type screen struct {
	mu   sync.Mutex
	w    io.Writer
	live bool // a terminal
	line bool // the line of progress is there
}

func newScreen(w io.Writer, live bool) *screen { return &screen{w: w, live: live} }

// Write implements io.Writer for the log.
func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	return s.w.Write(b)
}

// Sync implements zapcore.WriteSyncer.
func (s *screen) Sync() error { return nil }

func (s *screen) clear() {
	if s.line {
		_, _ = io.WriteString(s.w, "\r\x1b[K")
		s.line = false
	}
}

// follow shows the progress of a until ctx is done.
func (s *screen) follow(ctx context.Context, a *agent.Agent) {
	if !s.live {
		return
	}
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	last, at := a.Account(), time.Now()
	var rate float64
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			s.clear()
			s.mu.Unlock()
			return
		case now := <-tick.C:
			acc := a.Account()
			rate = 0.6*rate + 0.4*float64(acc.Read-last.Read)/now.Sub(at).Seconds()
			last, at = acc, now
			s.show(progress(acc, rate, a.Files()))
		}
	}
}

func (s *screen) show(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = io.WriteString(s.w, "\r"+text+"\x1b[K")
	s.line = true
}

// progress is one line: records a second, what waits, and the kinds.
func progress(a agent.Account, rate float64, files []tail.FileStat) string {
	var lag int64
	for _, f := range files {
		lag += f.Lag
	}
	b := &strings.Builder{}
	fmt.Fprintf(b, "%s read  %s/s  behind %s", count(a.Read), count(int64(rate+0.5)), size(lag))
	for _, k := range slices.Sorted(maps.Keys(a.ByKind)) {
		fmt.Fprintf(b, "  %s %s", k, count(a.ByKind[k]))
	}
	text := b.String()
	return text[:min(len(text), 140)]
}

func count(n int64) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%.1fM", float64(n)/1e6)
	case n >= 10_000:
		return fmt.Sprintf("%.1fk", float64(n)/1e3)
	}
	return fmt.Sprint(n)
}

func size(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d B", n)
}

// report tells people what was done, and what they can do next. It goes where the documents and the summary do not.
func (p *program) report(c *config.Config, o runOptions, a agent.Account) {
	w := p.stdout
	if o.summary == "-" || c.Store.File != nil && c.Store.File.Path == "-" {
		w = p.stderr
	}
	fmt.Fprintf(w, "\nRead %d records (%d lines, %s) into %s\n", a.Read, a.Lines, size(a.Bytes), storeName(c.Store))
	fmt.Fprintf(w, "  stored %d, stored before %d, conflicts %d, dead-lettered %d, dropped %d, lost %d, in flight %d\n",
		a.Stored, a.Duplicate, a.Conflict, a.DeadLettered, total(a.Dropped), total(a.Lost), a.InFlight)
	table(w, "What they became", a.ByKind)
	table(w, "What was redacted", a.Redacted)
	table(w, "What was dropped", a.Dropped)
	table(w, "What was lost", a.Lost)
	fmt.Fprintln(w, "\nWhat to try next")
	if c.Store.SQLite != nil {
		fmt.Fprintf(w, `  %[2]s query -c %[1]s --kind auth_event
  %[2]s query -c %[1]s --q "payment" --from -30d
  %[2]s query -c %[1]s --where status_code.gte=500 --json
`, o.configPath, invocation())
	}
	if a.DeadLettered > 0 {
		fmt.Fprintf(w, "  %s deadletter list -c %s\n", invocation(), o.configPath)
	}
	fmt.Fprintf(w, "  %s test -c %s YOUR.log\n", invocation(), o.configPath)
}

// invocation is how this program was called, so that what is suggested can be copied.
func invocation() string {
	if strings.Contains(os.Args[0], "go-build") {
		return "go run ./cmd/activity-agent"
	}
	return os.Args[0]
}

func total(m map[string]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}

// table prints counts, the largest first.
func table(w io.Writer, title string, m map[string]int64) {
	if len(m) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if m[a] != m[b] {
			return int(m[b] - m[a])
		}
		return strings.Compare(a, b)
	})
	for _, name := range names {
		fmt.Fprintf(w, "  %-18s %8d\n", name, m[name])
	}
}
