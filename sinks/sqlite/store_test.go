package sqlite

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"
	"go.uber.org/goleak"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// day0 is when the tests' activities begin.
var day0 = time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)

// idAt makes the id of the n-th activity at t.
func idAt(t time.Time, n int) ulid.ULID {
	return activity.PositionID(t, activity.NewAgentKey("test"), activity.StreamID{}, int64(n), 1)
}

// A testDoc is a document and its record.
type testDoc struct {
	rec  pipeline.Record
	body string
}

// document makes a document of kind k at t with the members in more (JSON, "" for none).
func document(k activity.Kind, n int, t time.Time, more string) testDoc {
	id := idAt(t, n)
	if more != "" {
		more = "," + more
	}
	return testDoc{
		rec: pipeline.Record{Decision: pipeline.Decision{Kind: k, Time: t.UnixNano()}, ID: id},
		body: fmt.Sprintf(`{"id":%q,"@timestamp":%q,"kind":%q,"activity_type":%q,"created_at":"2026-01-03T00:00:00Z"%s,"integrity":{"seq":1}}`,
			id, t.UTC().Format(time.RFC3339Nano), k, k, more),
	}
}

func batchOf(docs ...testDoc) *pipeline.Batch {
	var bodies [][]byte
	var records []pipeline.Record
	for _, d := range docs {
		bodies, records = append(bodies, []byte(d.body)), append(records, d.rec)
	}
	return pipeline.Restore(bodies, records)
}

func mustOpen(tb testing.TB, path string) *Store {
	tb.Helper()
	s, err := Open(Config{Path: path}, Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func mustRead(tb testing.TB, path string) *Reader {
	tb.Helper()
	r, err := OpenReader(Config{Path: path}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { r.Close() })
	return r
}

// write writes the documents as one batch and returns the verdicts.
func write(tb testing.TB, s *Store, docs ...testDoc) []sinks.Result {
	tb.Helper()
	results := make([]sinks.Result, len(docs))
	if err := s.Write(context.Background(), batchOf(docs...), results); err != nil {
		tb.Fatal(err)
	}
	return results
}

func verdicts(results []sinks.Result) string {
	var b strings.Builder
	for _, r := range results {
		b.WriteString([]string{"retry", "stored", "duplicate", "conflict", "rejected"}[r.Verdict])
		if r.Reason != "" {
			b.WriteString(":" + r.Reason)
		}
		b.WriteByte(' ')
	}
	return strings.TrimSpace(b.String())
}

func count(tb testing.TB, path string) int64 {
	tb.Helper()
	r, err := OpenReader(Config{Path: path}, nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	n, err := r.Count(context.Background(), search.Query{})
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func series(k activity.Kind, from, n int) []testDoc {
	docs := make([]testDoc, n)
	for i := range docs {
		docs[i] = document(k, from+i, day0.Add(time.Duration(from+i)*time.Second), `"description":"number `+fmt.Sprint(from+i)+`"`)
	}
	return docs
}

func TestWriteStoresAndRecognisesDuplicates(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "dir", "a.db")
	s := mustOpen(t, path)
	docs := series(activity.Plain, 0, 3)
	if got, want := verdicts(write(t, s, docs...)), "stored stored stored"; got != want {
		t.Errorf("first: got %s, want %s", got, want)
	}
	changed := docs[1]
	changed.body = strings.Replace(changed.body, "number", "other", 1)
	if got, want := verdicts(write(t, s, docs[0], changed, document(activity.Plain, 9, day0, ""))), "duplicate duplicate stored"; got != want {
		t.Errorf("again, one with other content: got %s, want %s", got, want)
	}
	twice := document(activity.Plain, 10, day0, "")
	if got, want := verdicts(write(t, s, twice, twice)), "stored duplicate"; got != want {
		t.Errorf("one id twice in a batch: got %s, want %s", got, want)
	}
	if got := count(t, path); got != 5 {
		t.Errorf("stored %d, want 5", got)
	}
}

func TestWriteSkipsWhatIsNotDue(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	docs := series(activity.Plain, 0, 3)
	docs[0].rec.Fate = pipeline.Drop
	results := make([]sinks.Result, 3)
	results[1] = sinks.Result{Verdict: sinks.Rejected, Reason: "before"}
	if err := s.Write(context.Background(), batchOf(docs...), results); err != nil {
		t.Fatal(err)
	}
	if got, want := verdicts(results), "retry rejected:before stored"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWriteComparesGivenIDs(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	first := document(activity.Plain, 1, day0, `"user_id":"ann","log":{"offset":1}`)
	first.rec.Trusted = true
	again, other := first, first
	again.body = strings.NewReplacer(`2026-01-03`, `2026-01-09`, `{"offset":1}`, `{"offset":2}`).Replace(first.body)
	other.body = strings.Replace(first.body, "ann", "bob", 1)
	write(t, s, first)
	if got, want := verdicts(write(t, s, again, other)), "duplicate conflict"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	q := search.Query{Where: []search.Condition{{Field: activity.Details, Path: "id", Values: []any{first.rec.ID.String()}}}}
	p, err := mustRead(t, path).Search(context.Background(), q)
	if err != nil || len(p.Items) != 1 || !strings.Contains(string(p.Items[0]), "bob") {
		t.Errorf("by the id it was given: got %s, %v", p.Items, err)
	}
	if got := count(t, path); got != 2 {
		t.Errorf("got %d, want 2", got)
	}
}

func TestFilesAreForTheOwnerAlone(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "private")
	s := mustOpen(t, filepath.Join(dir, "a.db"))
	write(t, s, series(activity.Plain, 0, 1)...)
	for name, want := range map[string]os.FileMode{"": 0o700, "a.db": 0o600, "a.db-wal": 0o600, "a.db-shm": 0o600} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Mode().Perm(); got != want {
			t.Errorf("%q has mode %o, want %o", name, got, want)
		}
	}
}

func TestOddPathsWork(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a b%20?#ä.db")
	s := mustOpen(t, path)
	write(t, s, series(activity.Plain, 0, 1)...)
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	if got := count(t, path); got != 1 {
		t.Errorf("stored %d, want 1", got)
	}
}

// openRaw opens the file as some other program would.
func openRaw(tb testing.TB, path string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		tb.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	tb.Cleanup(func() { db.Close() })
	return db
}

func mustExec(tb testing.TB, db *sql.DB, query string) {
	tb.Helper()
	if _, err := db.Exec(query); err != nil {
		tb.Fatalf("%s: %v", query, err)
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		make func(tb testing.TB, path string)
		want string
	}{
		"not a database": {func(tb testing.TB, path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("just text ", 1000)), 0o600); err != nil {
				tb.Fatal(err)
			}
		}, "not an SQLite database: move it away"},
		"damaged": {func(tb testing.TB, path string) {
			s, err := Open(Config{Path: path}, Options{})
			if err != nil {
				tb.Fatal(err)
			}
			s.Close()
			b, _ := os.ReadFile(path)
			for i := 100; i < len(b); i++ {
				b[i] ^= 0x5a
			}
			if err := os.WriteFile(path, b, 0o600); err != nil {
				tb.Fatal(err)
			}
		}, "is damaged: move it away"},
		"a directory": {func(tb testing.TB, path string) {
			if err := os.Mkdir(path, 0o700); err != nil {
				tb.Fatal(err)
			}
		}, "is not a regular file"},
		"of another program": {func(tb testing.TB, path string) {
			mustExec(tb, openRaw(tb, path), "CREATE TABLE recipes (name)")
		}, "of another program"},
		"newer": {func(tb testing.TB, path string) {
			s, err := Open(Config{Path: path}, Options{})
			if err != nil {
				tb.Fatal(err)
			}
			s.Close()
			mustExec(tb, openRaw(tb, path), "PRAGMA user_version = 99")
		}, "newer activity-agent made the database (schema 99, this one knows 1)"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "a.db")
			tt.make(t, path)
			s, err := Open(Config{Path: path}, Options{})
			if err == nil {
				s.Close()
				t.Fatal("opened")
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %q, want it to contain %q", err, tt.want)
			}
		})
	}
}

func TestOpenReaderOfNothingSaysWhatToDo(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	if _, err := OpenReader(Config{Path: path}, nil); err == nil || !strings.Contains(err.Error(), "activity-agent run") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the reader made a file")
	}
}

func TestReaderWorksAfterTheAgentHasGone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s, err := Open(Config{Path: path}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, series(activity.Plain, 0, 3)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		t.Error("Close left a write-ahead log")
	}
	if got := count(t, path); got != 3 {
		t.Errorf("got %d, want 3", got)
	}
}

// A crash is what a copy of the files at that moment holds.
func TestCommittedBatchesSurviveACrash(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	for i := range 5 {
		write(t, s, series(activity.Plain, i*100, 100)...)
	}
	// The copy is taken with the sixth transaction open.
	if err := s.conn.exec("BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	s.next = make([]sinks.Result, 1)
	if res, err := s.store(batchOf(series(activity.Plain, 900, 1)...), 0, 501); err != nil || res.Verdict != sinks.Stored {
		t.Fatal(res, err)
	}
	crashed := filepath.Join(t.TempDir(), "a.db")
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if suffix == "-wal" {
			b = append(b, b[:1000]...) // torn
		}
		if err := os.WriteFile(crashed+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.conn.rollback()
	again := mustOpen(t, crashed)
	if got := count(t, crashed); got != 500 {
		t.Errorf("got %d, want 500", got)
	}
	if got := verdicts(write(t, again, series(activity.Plain, 499, 2)...)); got != "duplicate stored" {
		t.Errorf("got %s", got)
	}
	integrity(t, crashed)
}

func integrity(tb testing.TB, path string) {
	tb.Helper()
	var res string
	db := openRaw(tb, path)
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&res); err != nil || res != "ok" {
		tb.Errorf("integrity: %s %v", res, err)
	}
	mustExec(tb, db, "INSERT INTO activities_text(activities_text) VALUES ('integrity-check')")
}

func TestFullDiskIsRetriedAndRecovers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	write(t, s, series(activity.Plain, 0, 10)...)
	if err := s.conn.exec("PRAGMA max_page_count = 30"); err != nil {
		t.Fatal(err)
	}
	b := batchOf(series(activity.Plain, 5, 1000)...)
	results := make([]sinks.Result, 1000)
	err := s.Write(context.Background(), b, results)
	if err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Fatalf("got %v, want a full disk", err)
	}
	for i, r := range results {
		if r.Verdict != sinks.Retry {
			t.Fatalf("result %d is %v, want Retry", i, r)
		}
	}
	// max_page_count was the connection's, which Write has opened anew: there is space again.
	if err := s.Write(context.Background(), b, results); err != nil {
		t.Fatal(err)
	}
	if got := count(t, path); got != 1005 {
		t.Errorf("got %d, want 1005", got)
	}
	integrity(t, path)
}

func TestLockedDatabaseIsRetried(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	other := openRaw(t, path)
	mustExec(t, other, "BEGIN IMMEDIATE")
	if err := s.conn.exec("PRAGMA busy_timeout = 10"); err != nil {
		t.Fatal(err)
	}
	b, results := batchOf(series(activity.Plain, 0, 1)...), make([]sinks.Result, 1)
	err := s.Write(context.Background(), b, results)
	if err == nil || !strings.Contains(err.Error(), "locked") || results[0].Verdict != sinks.Retry {
		t.Fatalf("got %v, %v", err, results)
	}
	mustExec(t, other, "COMMIT")
	if err := s.Write(context.Background(), b, results); err != nil || results[0].Verdict != sinks.Stored {
		t.Fatalf("got %v, %v", err, results)
	}
}

// TestALockedDatabaseIsWaitedForAtTheStart: by one who writes, and by one who keeps everybody out.
func TestALockedDatabaseIsWaitedForAtTheStart(t *testing.T) {
	for name, lock := range map[string]string{"writer": "BEGIN IMMEDIATE", "alone": "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			if err := mustOpen(t, path).Close(); err != nil {
				t.Fatal(err)
			}
			other := openRaw(t, path)
			mustExec(t, other, lock)
			s := mustOpen(t, path)
			b, results := batchOf(series(activity.Plain, 0, 3)...), make([]sinks.Result, 3)
			if err := s.Write(t.Context(), b, results); err == nil || !strings.Contains(err.Error(), "locked") {
				t.Fatalf("Write says %v while the database is locked", err)
			}
			mustExec(t, other, "ROLLBACK")
			if err := other.Close(); err != nil {
				t.Fatal(err)
			}
			if err := s.Write(t.Context(), b, results); err != nil {
				t.Fatal(err)
			}
			if n := count(t, path); n != 3 {
				t.Errorf("%d activities are stored, want 3", n)
			}
		})
	}
}

func TestOneRefusedDocumentLeavesTheOthers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	mustExec(t, openRaw(t, path), `CREATE TRIGGER no BEFORE INSERT ON activities WHEN new.user_id = 'secret'
		BEGIN SELECT RAISE(ABORT, 'not this one'); END`)
	docs := series(activity.Plain, 0, 3)
	docs[1] = document(activity.Plain, 1, day0, `"user_id":"secret"`)
	if got, want := verdicts(write(t, s, docs...)), "stored rejected:constraint stored"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := count(t, path); got != 2 {
		t.Errorf("got %d, want 2", got)
	}
}

func TestMovedDatabaseIsMadeAnew(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s := mustOpen(t, path)
	write(t, s, series(activity.Plain, 0, 2)...)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(path + suffix); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s, series(activity.Plain, 2, 3)...)
	if got := count(t, path); got != 3 {
		t.Errorf("got %d, want 3", got)
	}
}

func TestCancelledWriteChangesNothing(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, filepath.Join(t.TempDir(), "a.db"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	results := make([]sinks.Result, 1)
	if err := s.Write(ctx, batchOf(series(activity.Plain, 0, 1)...), results); err == nil || results[0].Verdict != sinks.Retry {
		t.Errorf("got %v, %v", err, results)
	}
}

func TestColumnsThatTheFileLacksAreAddedAndFilled(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	s, err := Open(Config{Path: path}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s, document(activity.APITransaction, 1, day0, `"status_code":503,"tags":["a"],"service":{"name":"shop"}`))
	s.Close()
	db := openRaw(t, path)
	for _, c := range []string{"status_code", "service.name", "created_at", "tags"} {
		mustExec(t, db, `ALTER TABLE activities DROP COLUMN "`+c+`"`)
	}
	q := search.Query{Where: []search.Condition{
		{Field: activity.StatusCode, Op: search.GTE, Values: []any{int64(500)}},
		{Field: activity.ServiceName, Values: []any{"shop"}},
		{Field: activity.CreatedAt, Values: []any{time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC)}},
		{Field: activity.Tags, Values: []any{"a"}},
	}}
	check := func(when string) {
		if n, err := mustRead(t, path).Count(context.Background(), q); err != nil || n != 1 {
			t.Errorf("%s: got %d, %v; want 1", when, n, err)
		}
	}
	check("without the columns")
	mustOpen(t, path)
	check("after they were added")
	var got string
	if err := db.QueryRow(`SELECT status_code || ' ' || "service.name" || ' ' || created_at || ' ' || tags FROM activities`).Scan(&got); err != nil {
		t.Fatal(err)
	}
	if want := `503 shop 1767398400000000000 ["a"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

var benchWords = strings.Fields(`user order payment failed retry timeout gateway request response cache miss hit database
	connection refused service started stopped invoice created updated deleted customer session expired token refresh queue
	worker finished batch import export file row rows column index query slow warning`)

// benchDocs makes n documents of about 900 bytes.
func benchDocs(n int) []testDoc {
	rnd := rand.New(rand.NewPCG(1, 2))
	docs := make([]testDoc, n)
	for i := range docs {
		var desc strings.Builder
		for range 9 {
			desc.WriteString(benchWords[rnd.IntN(len(benchWords))] + " ")
		}
		docs[i] = document(activity.APITransaction, i, day0.Add(time.Duration(i)*time.Millisecond), fmt.Sprintf(
			`"user_id":"user-%d","entity_type":"order","entity_id":"ord-%d","description":%q,"status":"ok","tags":["eu","web"],`+
				`"method":"POST","endpoint":"/api/v1/orders/%d/items","status_code":%d,"execution_time_ms":12.5,`+
				`"ip_address":"10.1.2.3","details":{"note":%q},"trace_id":"%016x%016x","request_id":"req-%012x",`+
				`"service":{"name":"shop-api"},"host":{"name":"pod-7f9c"},"log":{"file":{"path":"/var/log/app/app.log"},"offset":%d}`,
			rnd.IntN(20000), rnd.IntN(200000), desc.String(), rnd.IntN(200000), 200+i%5*75, strings.Repeat("lorem ipsum ", 15),
			rnd.Uint64(), rnd.Uint64(), rnd.Uint64()>>16, i*900))
	}
	return docs
}

func BenchmarkWrite(b *testing.B) {
	s := mustOpen(b, filepath.Join(b.TempDir(), "a.db"))
	const size = 1000
	docs := benchDocs(size * b.N)
	results := make([]sinks.Result, size)
	batches := make([]*pipeline.Batch, b.N)
	bytes := 0
	for i := range batches {
		batches[i] = batchOf(docs[i*size : (i+1)*size]...)
		bytes += batches[i].Bytes()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i := range batches {
		clear(results)
		if err := s.Write(context.Background(), batches[i], results); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "activities/s")
	b.ReportMetric(float64(bytes)/float64(b.N*size), "B/doc")
	if v := verdicts(results[:1]); v != "stored" {
		b.Fatal(v)
	}
}
