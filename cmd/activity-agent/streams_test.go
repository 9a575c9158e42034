package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/csv"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// shipped is a site whose store has n activities.
func shipped(t *testing.T, store string, n int) *site {
	t.Helper()
	s := newSite(t, store, "")
	s.configure("api: {listen: \"127.0.0.1:0\", record_reads: \"off\", state_dir: " + s.path("api-state") + ", auth: {api_keys: " + s.path("keys.yaml") + "}}\n")
	if err := s.write(n, true); err != nil {
		t.Fatal(err)
	}
	s.runToEnd()
	if s.node != nil {
		s.node.MustDo(t, "POST", "/"+s.prefix+"-*/_refresh", "", nil)
	}
	return s
}

// tokenFile makes a key that sees all, and returns a file with it.
func (s *site) tokenFile() string {
	s.t.Helper()
	code, key, errs := call(s.t, "", "keys", "create", "-c", s.config, "--role", "auditor", "--all-tenants")
	if code != 0 {
		s.t.Fatalf("keys create: %s", errs)
	}
	name := s.path("token")
	if err := os.WriteFile(name, []byte(key), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// TestCommandsReadAStoreAndItsAPIAlike: what query and export write does not depend on what they ask.
func TestCommandsReadAStoreAndItsAPIAlike(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"sqlite", "elasticsearch"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := shipped(t, store, 300)
			url, token := "http://"+serving(t, s), s.tokenFile()
			for _, args := range [][]string{
				{"query"}, {"query", "--limit", "0", "--json"}, {"query", "--limit", "7", "--fields", "id,user_id"}, {"query", "--where", "status_code.gte=500"},
				{"export"}, {"export", "--format", "csv"}, {"export", "--format", "json", "--limit", "3"}, {"export", "--sort", "user_id,id", "--kind", "auth_event"},
			} {
				code, want, errs := call(t, "", append(slices.Clone(args), "-c", s.config)...)
				if code != 0 || want == "" {
					t.Fatalf("%v: exit %d: %s", args, code, errs)
				}
				code, got, errs := call(t, "", append(slices.Clone(args), "--url", url, "--token-file", token)...)
				if code != 0 || got != want {
					t.Errorf("%v with --url: exit %d: %s\ngot  %.300s\nwant %.300s", args, code, errs, got, want)
				}
			}
			if code, _, errs := call(t, "", "query", "--url", url); code != 1 || !strings.Contains(errs, "ACTIVITY_AGENT_TOKEN") {
				t.Errorf("without a token: exit %d: %s", code, errs)
			}
			if code, _, errs := call(t, "", "query", "--url", url, "--token-file", token, "--where", "table_name.gte=1"); code != 2 || !strings.Contains(errs, "table_name.gte") {
				t.Errorf("a mistake: exit %d: %s", code, errs)
			}
		})
	}
}

func TestSourcesThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--url", "ftp://x"}, {"--url", "http://u:p@x"}, {"--url", "http://x/?token=y"}, {"--url", "http://x", "-c", "agent.yaml"}, {"--token-file", "x"},
	} {
		if code, _, errs := call(t, "", append([]string{"query"}, args...)...); code != 2 || errs == "" {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
	for _, args := range [][]string{
		{"--format", "xml"}, {"--resume"}, {"--resume", "-o", "x.json"}, {"--resume", "-o", "x.csv", "--fields", "user_id"}, {"--limit", "-1"},
	} {
		if code, _, errs := call(t, "", append([]string{"export"}, args...)...); code != 2 || errs == "" {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
}

// TestExportGoesOnWhereItWasCutOff cuts a file at every length in steps, and resumes: the file is always the whole one.
func TestExportGoesOnWhereItWasCutOff(t *testing.T) {
	t.Parallel()
	s := shipped(t, "sqlite", 60)
	for _, name := range []string{"a.ndjson", "a.csv", "a.ndjson.gz", "a.csv.gz"} {
		whole := s.path("whole-" + name)
		if code, _, errs := call(t, "", "export", "-c", s.config, "-o", whole); code != 0 {
			t.Fatalf("%s: %s", name, errs)
		}
		packed, err := os.ReadFile(whole)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(whole); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		want := unpack(t, name, packed)
		for cut := 0; cut < len(packed); cut += max(1, len(packed)/23) {
			out := s.path("cut-" + name)
			if err := os.WriteFile(out+".part", packed[:cut], 0o600); err != nil {
				t.Fatal(err)
			}
			if code, _, errs := call(t, "", "export", "-c", s.config, "-o", out); code != 2 || !strings.Contains(errs, "--resume") {
				t.Errorf("a part that is there is overwritten: exit %d: %s", code, errs)
			}
			code, _, errs := call(t, "", "export", "-c", s.config, "-o", out, "--resume")
			got, err := os.ReadFile(out)
			if code != 0 || err != nil || !bytes.Equal(unpack(t, name, got), want) {
				t.Fatalf("%s cut at %d: exit %d: %s; %d bytes, want %d", name, cut, code, errs, len(unpack(t, name, got)), len(want))
			}
			if !strings.Contains(errs, "60 activities") {
				t.Errorf("%s cut at %d: %s", name, cut, errs)
			}
			if err := os.Remove(out); err != nil {
				t.Fatal(err)
			}
		}
	}
	if code, _, errs := call(t, "", "export", "-c", s.config, "-o", s.path("whole-a.csv")); code != 2 {
		t.Errorf("a file that is there is overwritten: exit %d: %s", code, errs)
	}
}

func unpack(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	if !strings.HasSuffix(name, ".gz") {
		return content
	}
	z, err := gzip.NewReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A background is a command that runs until the test stops it.
type background struct {
	out, errs *output
	stop      func()
}

func start(t *testing.T, args ...string) *background {
	t.Helper()
	b := &background{out: new(output), errs: new(output)}
	p := &program{stdin: strings.NewReader(""), stdout: b.out, stderr: b.errs, getenv: func(string) string { return "" }}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- p.main(ctx, args) }()
	var stopped bool
	b.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("%v: exit %d: %s", args, code, b.errs)
		}
	}
	t.Cleanup(b.stop)
	return b
}

// lines waits until the command has written n lines.
func (b *background) lines(t *testing.T, n int) []string {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if lines := strings.Split(strings.TrimSpace(b.out.String()), "\n"); len(lines) >= n && lines[0] != "" {
			return lines
		}
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %d lines: %s\n%s", n, b.out, b.errs)
		}
	}
}

// TestTailShowsWhatArrivesOnce: of a store and of its API, over a restart of the API.
func TestTailShowsWhatArrivesOnce(t *testing.T) {
	t.Parallel()
	for _, store := range []string{"sqlite", "elasticsearch"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := shipped(t, store, 30)
			token := s.tokenFile()
			address := serving(t, s)
			tails := []*background{
				start(t, "tail", "-c", s.config, "-n", "5", "--json"),
				start(t, "tail", "--url", "http://"+address, "--token-file", token, "--since", "2000-01-01", "--json"),
				start(t, "tail", "-c", s.config, "-n", "1", "--fields", "user_id,kind"),
				start(t, "tail", "--url", "http://"+address, "--token-file", token, "-n", "3"),
			}
			tails[0].lines(t, 5)
			tails[1].lines(t, 30)
			tails[3].lines(t, 3)
			tails[2].lines(t, 1)
			for range 3 {
				if err := s.write(10, true); err != nil {
					t.Fatal(err)
				}
				s.runToEnd()
			}
			for i, n := range []int{35, 60, 31, 33} {
				tails[i].lines(t, n)
			}
			time.Sleep(time.Second) // for what should not come
			for i, n := range []int{35, 60, 31, 33} {
				lines := tails[i].lines(t, n)
				if len(lines) != n {
					t.Errorf("tail %d shows %d lines, want %d", i, len(lines), n)
				}
				if i < 2 {
					onceEach(t, lines)
				}
			}
		})
	}
}

func onceEach(t *testing.T, lines []string) {
	t.Helper()
	seen := map[string]bool{}
	for _, l := range lines {
		var d struct{ ID string }
		if err := json.Unmarshal([]byte(l), &d); err != nil || d.ID == "" || seen[d.ID] {
			t.Errorf("twice, or no activity: %s", l)
		}
		seen[d.ID] = true
	}
}

// TestCSVOfAnExportHasEveryActivity reads a CSV back as other programs do.
func TestCSVOfAnExportHasEveryActivity(t *testing.T) {
	t.Parallel()
	s := shipped(t, "sqlite", 50)
	code, out, errs := call(t, "", "export", "-c", s.config, "--format", "csv", "--fields", "id,user_id,kind")
	rows, err := csv.NewReader(strings.NewReader(out)).ReadAll()
	if code != 0 || err != nil || len(rows) != 51 || !slices.Equal(rows[0], []string{"id", "user_id", "kind"}) {
		t.Fatalf("exit %d: %s: %d rows, %v", code, errs, len(rows), err)
	}
}

// TestLiveReadersWaitForAnAgentThatWasKilled: those who read along get each activity once, over kills of the agent.
func TestLiveReadersWaitForAnAgentThatWasKilled(t *testing.T) {
	t.Parallel()
	const lines, kills = 2000, 2
	for _, store := range []string{"sqlite", "elasticsearch"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			s := shipped(t, store, 10)
			s.exe = binary(t)
			token, address := s.tokenFile(), serving(t, s)
			tails := []*background{
				start(t, "tail", "-c", s.config, "-n", "1", "--json"),
				start(t, "tail", "--url", "http://"+address, "--token-file", token, "-n", "1", "--json"),
			}
			for _, b := range tails {
				b.lines(t, 1)
			}
			for range kills {
				before := len(tails[0].lines(t, 1))
				cmd := s.command("run", "-c", s.config)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if err := s.write(lines/kills, true); err != nil {
					t.Error(err)
				}
				tails[0].lines(t, before+1) // it is at work
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
			}
			s.runToEnd()
			for i, b := range tails {
				if got := b.lines(t, lines+1); len(got) != lines+1 {
					t.Errorf("tail %d shows %d lines, want %d", i, len(got), lines+1)
				} else {
					onceEach(t, got)
				}
			}
		})
	}
}
