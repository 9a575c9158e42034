package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/truledgr/activity-agent/internal/agenttest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		agenttest.Remove()
		os.Exit(code)
	}))
}

// patience is how long tests wait for what must come; on a busy machine everything takes longer.
const patience = 2 * time.Minute

func patiently(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// A scripted server answers each request as respond says: with a status, or 0 to hang up.
type scripted struct {
	*httptest.Server
	respond func(r *http.Request, body []byte) int

	mu     sync.Mutex
	bodies []string
	keys   []string
	header []http.Header
}

func newScripted(t *testing.T) *scripted {
	t.Helper()
	s := &scripted{respond: func(*http.Request, []byte) int { return http.StatusAccepted }}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client gave up
		}
		s.mu.Lock()
		s.bodies = append(s.bodies, string(body))
		s.keys = append(s.keys, r.Header.Get("Idempotency-Key"))
		s.header = append(s.header, r.Header)
		s.mu.Unlock()
		status := s.respond(r, body)
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s
}

// records are what came with the answer 202, in order.
func records(t *testing.T, bodies ...string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for _, body := range bodies {
		for line := range strings.Lines(body) {
			var r map[string]any
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Fatalf("%v in %s", err, line)
			}
			all = append(all, r)
		}
	}
	return all
}

func open(t *testing.T, c Config) *Client {
	t.Helper()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	cl, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // whoever wants to wait has closed it before
		_ = cl.Close(ctx)
		balance(t, cl.Stats())
	})
	return cl
}

func balance(t *testing.T, s Stats) {
	t.Helper()
	if s.Logged != s.Delivered+s.Rejected+s.Dropped+s.Abandoned+s.Pending {
		t.Errorf("the stats do not add up: %+v", s)
	}
}

func assertStats(t *testing.T, c *Client, want Stats) {
	t.Helper()
	if got := c.Stats(); got != want {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func flush(t *testing.T, c *Client) {
	t.Helper()
	if err := c.Flush(patiently(t)); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T) func(id string, err error) string {
	return func(id string, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
}

func TestOneActivityIsOneRequest(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	c := open(t, Config{Address: s.URL + "/", Token: "t0p"})
	id := must(t)(c.LogDataAccess(t.Context(), DataAccess{UserID: "u1", TableName: "users<>", RecordCount: new(0)}))
	flush(t, c)
	r := records(t, s.bodies...)
	if len(r) != 1 || r[0]["id"] != id || r[0]["kind"] != "data_access" || r[0]["table_name"] != "users<>" || r[0]["record_count"] != 0.0 {
		t.Errorf("got %v", r)
	}
	if _, err := time.Parse(time.RFC3339Nano, r[0]["@timestamp"].(string)); err != nil {
		t.Error(err)
	}
	if len(r[0]) != 6 {
		t.Errorf("values that were not given are written: %s", s.bodies[0])
	}
	if h := s.header[0]; h.Get("Content-Type") != "application/x-ndjson" || h.Get("Authorization") != "Bearer t0p" || s.keys[0] == "" {
		t.Errorf("headers %v", h)
	}
	assertStats(t, c, Stats{Logged: 1, Delivered: 1})
}

func TestWhatIsLoggedWhileARequestIsUnderWayGoesTogether(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	came, gate := make(chan struct{}, 10), make(chan struct{})
	s.respond = func(*http.Request, []byte) int {
		came <- struct{}{}
		<-gate
		return http.StatusAccepted
	}
	c := open(t, Config{Address: s.URL})
	must(t)(c.CreateActivity(t.Context(), Activity{}))
	<-came
	for range 2500 {
		must(t)(c.CreateActivity(t.Context(), Activity{}))
	}
	close(gate)
	flush(t, c)
	var sizes []int
	for _, b := range s.bodies {
		sizes = append(sizes, len(records(t, b)))
	}
	if fmt.Sprint(sizes) != "[1 1000 1000 500]" {
		t.Errorf("batches of %v", sizes)
	}
}

func TestBatchesHoldAsManyBytesAsAnAgentTakes(t *testing.T) {
	t.Parallel()
	q := newQueue(1 << 30)
	for _, n := range []int{maxBatchBytes - 1, 10, maxBatchBytes / 2, maxBatchBytes/2 - 1, 1} {
		if err := q.put(t.Context(), make([]byte, n), false); err != nil {
			t.Fatal(err)
		}
	}
	var got []int
	for range 3 {
		batch := q.take(t.Context())
		got = append(got, len(bytes.Join(batch, newline)))
	}
	if fmt.Sprint(got) != fmt.Sprint([]int{maxBatchBytes - 1, 11 + maxBatchBytes/2, maxBatchBytes/2 + 1}) {
		t.Errorf("bodies of %v bytes", got)
	}
}

func TestTroubleIsTriedAgainWithTheSameBytesAndKey(t *testing.T) {
	t.Parallel()
	for _, trouble := range []int{0, 500, 503, 429, 408, 401, 403, 404, 301, 200} {
		t.Run(fmt.Sprint(trouble), func(t *testing.T) {
			t.Parallel()
			s := newScripted(t)
			var n atomic.Int32
			s.respond = func(*http.Request, []byte) int {
				if n.Add(1) <= 2 {
					return trouble
				}
				return http.StatusAccepted
			}
			c := open(t, Config{Address: s.URL})
			must(t)(c.CreateActivity(t.Context(), Activity{UserID: "u1"}))
			flush(t, c)
			if len(s.bodies) < 3 { // net/http may try once more by itself when the server hangs up
				t.Fatalf("%d requests", len(s.bodies))
			}
			for i := range s.bodies {
				if s.bodies[i] != s.bodies[0] || s.keys[i] != s.keys[0] {
					t.Errorf("try %d has other bytes or another key", i)
				}
			}
			assertStats(t, c, Stats{Logged: 1, Delivered: 1})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 17, 8, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "soon": 0, "-1": 0, "0": firstPause, "5": 5 * time.Second, "86400": maxRetryAfter,
		"Tue, 17 Nov 2026 08:00:07 GMT": 7 * time.Second, "Tue, 17 Nov 2026 07:00:00 GMT": firstPause,
	} {
		if got := retryAfter(v, now); got != want {
			t.Errorf("%q is %v, want %v", v, got, want)
		}
	}
}

func TestARefusedRecordTakesNoOtherWithIt(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 413, 422} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			s := newScripted(t)
			s.respond = func(_ *http.Request, body []byte) int {
				if bytes.Contains(body, []byte("poison")) {
					return status
				}
				return http.StatusAccepted
			}
			c := open(t, Config{Address: s.URL})
			for i := range 100 {
				a := Activity{Status: "fine"}
				if i == 3 || i == 77 {
					a.Status = "poison"
				}
				must(t)(c.CreateActivity(t.Context(), a))
			}
			flush(t, c)
			assertStats(t, c, Stats{Logged: 100, Delivered: 98, Rejected: 2})
			seen := map[string]bool{}
			for _, k := range s.keys {
				if seen[k] {
					t.Error("another body has the same key")
				}
				seen[k] = true
			}
		})
	}
}

func TestAFullQueueDropsAndCountsAndDoesNotWait(t *testing.T) {
	t.Parallel()
	c := open(t, Config{Address: "unix://" + filepath.Join(t.TempDir(), "none"), QueueBytes: 10_000})
	full := 0
	for range 1000 {
		if _, err := c.CreateActivity(t.Context(), Activity{Description: strings.Repeat("x", 100)}); errors.Is(err, ErrFull) {
			full++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	s := c.Stats()
	balance(t, s)
	if s.Logged != 1000 || s.Dropped < 900 || s.Dropped != int64(full) || s.Pending == 0 {
		t.Errorf("got %+v and %d errors", s, full)
	}
}

func TestWaitingForRoomLosesNothing(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	c := open(t, Config{Address: s.URL, QueueBytes: 1000, Block: true})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 50 {
				if _, err := c.CreateActivity(context.Background(), Activity{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	flush(t, c)
	assertStats(t, c, Stats{Logged: 400, Delivered: 400})
	if got := len(records(t, s.bodies...)); got != 400 {
		t.Errorf("%d records came", got)
	}
}

func TestWaitingForRoomEndsWithTheContextAndTheClient(t *testing.T) {
	t.Parallel()
	c := open(t, Config{Address: "unix://" + filepath.Join(t.TempDir(), "none"), QueueBytes: 150, Block: true})
	must(t)(c.CreateActivity(t.Context(), Activity{}))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.CreateActivity(ctx, Activity{}); !errors.Is(err, ErrFull) {
		t.Errorf("got %v, want ErrFull", err)
	}
	waits := make(chan error)
	go func() {
		_, err := c.CreateActivity(context.Background(), Activity{})
		waits <- err
	}()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Close(gone); err == nil || !strings.Contains(err.Error(), "1 activities could not be delivered") {
		t.Errorf("got %v", err)
	}
	if err := <-waits; !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	assertStats(t, c, Stats{Logged: 3, Dropped: 2, Abandoned: 1})
}

func TestCloseDeliversWhatIsLeft(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	var n atomic.Int32
	s.respond = func(*http.Request, []byte) int {
		if n.Add(1) <= 3 {
			return http.StatusServiceUnavailable
		}
		return http.StatusAccepted
	}
	c := open(t, Config{Address: s.URL})
	for range 100 {
		must(t)(c.CreateActivity(t.Context(), Activity{}))
	}
	if err := c.Close(patiently(t)); err != nil {
		t.Error(err)
	}
	assertStats(t, c, Stats{Logged: 100, Delivered: 100})
	if _, err := c.CreateActivity(t.Context(), Activity{}); !errors.Is(err, ErrClosed) {
		t.Errorf("got %v, want ErrClosed", err)
	}
	if err := c.Flush(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestCloseDoesNotWaitForAnAgentThatHangs(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	came, gate := make(chan struct{}), make(chan struct{})
	s.respond = func(*http.Request, []byte) int {
		close(came)
		<-gate
		return http.StatusAccepted
	}
	defer close(gate)
	c := open(t, Config{Address: s.URL, RequestTimeout: 10 * patience})
	must(t)(c.CreateActivity(t.Context(), Activity{}))
	<-came
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := c.Close(ctx); err == nil {
		t.Error("an activity was abandoned, and Close has no error")
	}
	assertStats(t, c, Stats{Logged: 1, Abandoned: 1})
}

func TestTheTokenFileIsReadAnew(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newScripted(t)
	s.respond = func(r *http.Request, _ []byte) int {
		if r.Header.Get("Authorization") == "Bearer new" {
			return http.StatusAccepted
		}
		if err := os.WriteFile(file, []byte("new\n"), 0o600); err != nil {
			t.Error(err)
		}
		return http.StatusUnauthorized
	}
	c := open(t, Config{Address: s.URL, TokenFile: file})
	must(t)(c.CreateActivity(t.Context(), Activity{}))
	flush(t, c)
}

func TestAnAddressThatIsNoneIsAnError(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"localhost:8480", "ftp://x", "file://host/x", "unix://", "http://", "http://x/?q=1", "http://u:p@x", "x"} {
		if c, err := Open(Config{Address: address}); err == nil {
			t.Errorf("%s is taken", address)
			_ = c.Close(t.Context())
		}
	}
}

func TestComplaintsAreFewAndWithoutValues(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	c := open(t, Config{
		Address: "unix://" + filepath.Join(t.TempDir(), "none"), QueueBytes: 500,
		Logger: slog.New(slog.NewTextHandler(&out, nil)),
	})
	for range 100 {
		_, _ = c.CreateActivity(t.Context(), Activity{Description: "hunter2"})
		_, _ = c.CreateActivity(t.Context(), Activity{Description: strings.Repeat("hunter2", 1000)})
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_ = c.Close(gone) // and with it what writes to out
	if n := strings.Count(out.String(), "\n"); n != 1 || strings.Contains(out.String(), "hunter2") {
		t.Errorf("%d lines: %s", n, out.String())
	}
}

// --- what can be said

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("hunter2") }

func TestAValueThatJSONCannotSayTakesNoOtherWithIt(t *testing.T) {
	t.Parallel()
	cycle := map[string]any{}
	cycle["self"] = cycle
	for name, bad := range map[string]any{
		"channel": make(chan int), "function": func() {}, "infinity": map[string]any{"a": math.Inf(1)}, "cycle": cycle,
		"panic": panics{}, "key": map[struct{ int }]int{{1}: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScripted(t)
			c := open(t, Config{Address: s.URL})
			must(t)(c.LogDataChanges(t.Context(), DataChange{UserID: "u1", OldValues: map[string]int{"a": 1}, NewValues: bad}))
			must(t)(c.LogExternalAPI(t.Context(), ExternalAPI{UserID: "u1", ExecutionTimeMS: new(math.NaN())}))
			flush(t, c)
			r := records(t, s.bodies...)
			if r[0]["user_id"] != "u1" || r[0]["old_values"] == nil || r[0]["new_values"] != fmt.Sprintf("<%T>", bad) {
				t.Errorf("got %v", r[0])
			}
			if r[1]["user_id"] != "u1" || r[1]["execution_time_ms"] != nil {
				t.Errorf("got %v", r[1])
			}
		})
	}
}

func TestWhatWasLoggedDoesNotChangeWithTheValues(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	c := open(t, Config{Address: s.URL})
	details := map[string]int{"a": 1}
	must(t)(c.CreateActivity(t.Context(), Activity{Details: details}))
	details["a"] = 2
	flush(t, c)
	if !strings.Contains(s.bodies[0], `{"a":1}`) {
		t.Error(s.bodies[0])
	}
}

func TestRecordsThatCannotBeSentAreRejected(t *testing.T) {
	t.Parallel()
	s := newScripted(t)
	c := open(t, Config{Address: s.URL, MaxRecordBytes: 1000})
	if _, err := c.CreateActivity(t.Context(), Activity{Description: strings.Repeat("x", 1000)}); err == nil {
		t.Error("a large record is taken")
	}
	if _, err := c.CreateActivity(t.Context(), Activity{ID: "42"}); err == nil {
		t.Error("an id that is no ULID is taken")
	}
	given := ulid.Make().String()
	if id := must(t)(c.CreateActivity(t.Context(), Activity{ID: strings.ToLower(given)})); id != given {
		t.Errorf("the id is %s", id)
	}
	flush(t, c)
	assertStats(t, c, Stats{Logged: 3, Delivered: 1, Rejected: 2})
}

// --- files

func TestARotatedFileIsLeftForANewOne(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "later", "app.log")
	c := open(t, Config{Address: "file://" + path})
	first := must(t)(c.CreateActivity(t.Context(), Activity{}))
	if err := os.Mkdir(filepath.Dir(path), 0o755); err != nil { // until then it waits
		t.Fatal(err)
	}
	flush(t, c)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	second := must(t)(c.CreateActivity(t.Context(), Activity{}))
	flush(t, c)
	for file, want := range map[string]string{path + ".1": first, path: second} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if r := records(t, string(b)); len(r) != 1 || r[0]["id"] != want {
			t.Errorf("%s holds %s", file, b)
		}
	}
}

// limited is a file on a disk with room for so many bytes.
type limited struct {
	bytes.Buffer
	room int
}

var errNoSpace = errors.New("no space left on device")

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.room)
	l.room -= n
	_, _ = l.Buffer.Write(p[:n])
	if n < len(p) {
		return n, errNoSpace
	}
	return n, nil
}

func TestALineThatAFullDiskCutIsWrittenAgainWhole(t *testing.T) {
	t.Parallel()
	w, disk := &fileWay{}, &limited{room: 10}
	line := []byte(`{"a":"0123456789"}` + "\n")
	if err := w.write(disk, line); !errors.Is(err, errNoSpace) {
		t.Fatalf("got %v", err)
	}
	disk.room = 1000
	if err := w.write(disk, line); err != nil {
		t.Fatal(err)
	}
	if got, want := disk.String(), `{"a":"0123`+"\n"+string(line); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func BenchmarkCreateActivity(b *testing.B) {
	c, err := Open(Config{Address: "file:///dev/null", Block: true})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = c.CreateActivity(b.Context(), Activity{UserID: "user_123", EntityType: "order", EntityID: "o-1", Description: "paid"})
	}
}
