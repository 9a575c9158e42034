package file

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func batchOf(docs ...string) *pipeline.Batch {
	bodies := make([][]byte, len(docs))
	for i, d := range docs {
		bodies[i] = []byte(d)
	}
	return pipeline.Restore(bodies, make([]pipeline.Record, len(docs)))
}

func mustOpen(tb testing.TB, path string) *Store {
	tb.Helper()
	s, err := Open(Config{Path: path}, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { s.Close() })
	return s.(*Store)
}

func write(tb testing.TB, s sinks.Sink, docs ...string) {
	tb.Helper()
	results := make([]sinks.Result, len(docs))
	if err := s.Write(context.Background(), batchOf(docs...), results); err != nil {
		tb.Fatal(err)
	}
	for i, r := range results {
		if r.Verdict != sinks.Stored {
			tb.Fatalf("record %d: got %v, want Stored", i, r)
		}
	}
}

func content(tb testing.TB, path string) string {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

func wantContent(tb testing.TB, path, want string) {
	tb.Helper()
	if got := content(tb, path); got != want {
		tb.Errorf("the file holds %q, want %q", got, want)
	}
}

func TestWriteAppendsLines(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new")
	path := filepath.Join(dir, "a.ndjson")
	s := mustOpen(t, path)
	write(t, s, "{1}", "{2}")
	write(t, s, "{3}")
	s.Close()
	write(t, mustOpen(t, path), "{4}")
	wantContent(t, path, "{1}\n{2}\n{3}\n{4}\n")
	for name, want := range map[string]os.FileMode{dir: 0o700, path: 0o600} {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %o", name, st.Mode(), want)
		}
	}
}

func TestWriteSkipsWhatIsNotDue(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a")
	s := mustOpen(t, path)
	records := make([]pipeline.Record, 3)
	records[0].Fate = pipeline.Drop
	b := pipeline.Restore([][]byte{nil, []byte("{1}"), []byte("{2}")}, records)
	results := []sinks.Result{{}, {Verdict: sinks.Stored}, {}}
	if err := s.Write(context.Background(), b, results); err != nil {
		t.Fatal(err)
	}
	if results[0].Verdict != sinks.Retry || results[2].Verdict != sinks.Stored {
		t.Errorf("got %v", results)
	}
	wantContent(t, path, "{2}\n")
}

func TestManyChunksAndHugeDocuments(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a")
	var docs []string
	for i := range 300 {
		docs = append(docs, fmt.Sprintf("{%d%s}", i, strings.Repeat("x", i*10)))
	}
	docs = append(docs, strings.Repeat("y", 10*chunk), "{end}")
	s := mustOpen(t, path)
	write(t, s, docs...)
	wantContent(t, path, strings.Join(docs, "\n")+"\n")
	if cap(s.buf) > 4*chunk {
		t.Errorf("kept %d bytes", cap(s.buf))
	}
}

func TestReplayCutsWhatACrashLeft(t *testing.T) {
	t.Parallel()
	for name, left := range map[string]string{
		"nothing": "", "half a line": `{"a":`, "a line and a half": "{3}\n{4", "the whole batch": "{3}\n{4}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "a")
			s := mustOpen(t, path)
			write(t, s, "{1}", "{2}")
			mark := s.Mark()
			s.Close()
			f, _ := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			f.WriteString(left)
			f.Close()

			s = mustOpen(t, path)
			wantContent(t, path, "{1}\n{2}\n"+left) // Open cuts nothing
			if err := s.Rewind(mark); err != nil {
				t.Fatal(err)
			}
			if got := s.Mark(); got != mark {
				t.Errorf("mark after the replay is %d, want %d", got, mark)
			}
			write(t, s, "{3}", "{4}")
			wantContent(t, path, "{1}\n{2}\n{3}\n{4}\n")
		})
	}
}

func TestRewindLeavesAnotherFileAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a")
	s := mustOpen(t, path)
	write(t, s, "{a long line of the new file}")
	for _, mark := range []int64{-1, 10, 1000} {
		if err := s.Rewind(mark); err != nil {
			t.Fatal(err)
		}
	}
	wantContent(t, path, "{a long line of the new file}\n")
}

func TestTornLineOfSomebodyElseStaysALineOfItsOwn(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte("{torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := mustOpen(t, path)
	mark := s.Mark()
	write(t, s, "{1}")
	wantContent(t, path, "{torn\n{1}\n")
	if err := s.Rewind(mark); err != nil {
		t.Fatal(err)
	}
	write(t, s, "{1}")
	wantContent(t, path, "{torn\n{1}\n")
}

func TestMovedOrDeletedFileIsMadeAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "dir", "a")
	s := mustOpen(t, path)
	write(t, s, "{1}")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if got := s.Mark(); got != 0 {
		t.Errorf("mark is %d, want 0", got)
	}
	write(t, s, "{2}")
	wantContent(t, path+".1", "{1}\n")
	wantContent(t, path, "{2}\n")
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	write(t, s, "{3}")
	wantContent(t, path, "{3}\n")
}

func TestTruncatedFileGoesOnFromItsEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a")
	s := mustOpen(t, path)
	write(t, s, "{1}", "{2}")
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	write(t, s, "{3}")
	wantContent(t, path, "{3}\n")
}

// limited runs the named test again in a process that may write files of a few KiB only: the system then cuts a write
// short and fails the next, as a full disk does.
func limited(t *testing.T) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), "FILE_LIMIT=4096")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFullDiskIsCutBackAndRetried(t *testing.T) {
	if os.Getenv("FILE_LIMIT") == "" {
		limited(t)
		return
	}
	path := filepath.Join(t.TempDir(), "a")
	s := mustOpen(t, path)
	write(t, s, "{1}")
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	small := was
	small.Cur = 4096
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &small); err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 1000)
	results := make([]sinks.Result, 5)
	if err := s.Write(context.Background(), batchOf(big, big, big, big, big), results); err == nil {
		t.Fatal("a write over the limit succeeded")
	}
	for i, r := range results {
		if r.Verdict != sinks.Retry {
			t.Errorf("record %d: got %v, want Retry", i, r)
		}
	}
	wantContent(t, path, "{1}\n")
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	write(t, s, big)
	wantContent(t, path, "{1}\n"+big+"\n")
}

func TestStdoutWritesLinesAndAReaderThatHasGoneIsAnError(t *testing.T) {
	if os.Getenv("TO_STDOUT") == "" {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "TO_STDOUT=1")
		cmd.Stdout = w
		stdin, _ := cmd.StdinPipe()
		var stderr strings.Builder
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		w.Close()
		buf := make([]byte, 100)
		n, _ := r.Read(buf)
		if got, want := string(buf[:n]), "{1}\n{2}\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		r.Close()
		stdin.Close()
		cmd.Wait() // the test's own output has nowhere to go
		if !strings.Contains(stderr.String(), "whoever read the output has gone") {
			t.Errorf("the process said %q", stderr.String())
		}
		return
	}
	s, err := Open(Config{Path: "-"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got := s.Mark(); got != -1 {
		t.Errorf("mark is %d, want -1", got)
	}
	write(t, s, "{1}", "{2}")
	os.Stdin.Read(make([]byte, 1)) // until the reader has gone
	results := make([]sinks.Result, 1)
	err = s.Write(context.Background(), batchOf("{3}"), results)
	fmt.Fprintln(os.Stderr, err, results[0].Verdict == sinks.Retry)
	os.Stderr.Sync()
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"": "is empty", t.TempDir(): "open the store", os.DevNull: "not a regular file"} {
		s, err := Open(Config{Path: path}, Options{})
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", path, err, want)
		}
	}
}
