package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/api/export"
	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/sinks/sqlite"
)

// TestManyLiveReadersGetEveryOneOfTheirs: each of many users reads along, over either way, while activities of all of them
// arrive; each gets each of its own once. In a soak, 200 readers, and as many activities a second as the store takes, up to 4,000:
// it must be 2,000. They come in batches of a size as an agent that is so busy has them.
func TestManyLiveReadersGetEveryOneOfTheirs(t *testing.T) {
	t.Parallel()
	readers, batches, size, every := 20, 30, 20, 100*time.Millisecond // 200 a second
	if testenv.Soak() {
		readers, batches, size, every = 200, 90, 1000, 250*time.Millisecond
	}
	bothStores(t, func(t *testing.T, src *source) {
		base := hosted(t, serve(t, src.store, nil))
		src.add(person{"nobody", ""})
		src.settle()
		from := src.next
		all := make([]*reader, readers)
		var g sync.WaitGroup
		for i := range all {
			g.Go(func() {
				open := []opener{readEvents, readSocket}[i%2]
				all[i] = open(t, base, "", token(t, jwt.MapClaims{"sub": fmt.Sprint("u", i), "roles": "user"}), "")
			})
		}
		g.Wait()
		began := time.Now()
		for b := range batches {
			people := make([]person, size)
			for j := range people {
				people[j] = person{fmt.Sprint("u", (b*size+j)%readers), ""}
			}
			src.add(people...)
			time.Sleep(time.Until(began.Add(time.Duration(b+1) * every)))
		}
		wrote := time.Since(began)
		if rate := float64(src.next-from) / wrote.Seconds(); testenv.Soak() && rate < 2000 {
			t.Errorf("%.0f activities a second", rate)
		}
		late := time.After(testenv.Budget(t, 5*time.Minute))
		total := 0
		for i, r := range all {
			var want, got []int
			for n := from + 1; n <= src.next; n++ { // but for system events, which users do not see
				if (n-from-1)%readers == i && activity.Kinds()[n%len(activity.Kinds())] != activity.SystemEvent {
					want = append(want, n)
				}
			}
			for len(got) < len(want) {
				select {
				case e, ok := <-r.events:
					if !ok || e.end != "" {
						t.Fatalf("reader %d: ended (%s) after %d of %d", i, e.end, len(got), len(want))
					}
					if e.Activity != nil {
						got = append(got, e.n(t))
					}
				case <-late:
					t.Fatalf("reader %d: %d of %d came", i, len(got), len(want))
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("reader %d: got %d, want %d, each once", i, len(got), len(want))
			}
			total += len(got)
		}
		t.Logf("%d readers, %d activities in %v (%.0f a second); all %d deliveries were there %v after the last was written",
			readers, src.next-from, wrote.Round(time.Millisecond), float64(src.next-from)/wrote.Seconds(), total, (time.Since(began) - wrote).Round(time.Millisecond))
		time.Sleep(2 * heartbeat / 30) // for what is too much
		for i, r := range all {
			for len(r.events) > 0 {
				if e := <-r.events; e.Activity != nil {
					t.Errorf("reader %d: too much: %s", i, e.Activity)
				}
			}
		}
	})
}

// TestAnExportOfAMillion takes little memory, and its CSV has the documents.
func TestAnExportOfAMillion(t *testing.T) {
	if !testenv.Soak() {
		t.Parallel()
	}
	total := many()
	c := sqlite.Config{Path: filepath.Join(t.TempDir(), "a.db")}
	sink, err := sqlite.Open(c, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	load(t, sink, 0, total, total)
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	store, err := sqlite.OpenReader(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	base := hosted(t, serve(t, store, nil))
	debug.FreeOSMemory()
	idle := resident(t)
	peak, stop := watchResident(t)
	began := time.Now()
	docs, rows := exportBody(t, base, "ndjson"), csv.NewReader(exportBody(t, base, "csv"))
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		t.Fatal(err)
	}
	columns := slices.Clone(header)
	n := 0
	for lines := bufio.NewReaderSize(docs, 1<<20); ; n++ {
		doc, err := lines.ReadBytes('\n')
		row, err2 := rows.Read()
		if errors.Is(err, io.EOF) && errors.Is(err2, io.EOF) {
			break
		}
		if err = errors.Join(err, err2); err != nil {
			t.Fatalf("row %d: %v", n, err)
		}
		var want map[string]any
		if err := json.Unmarshal(doc, &want); err != nil {
			t.Fatal(err)
		}
		if got := readBack(t, columns, row); !reflect.DeepEqual(got, want) {
			t.Fatalf("row %d: got %v, want %v", n, got, want)
		}
	}
	stop()
	if n != total {
		t.Errorf("%d of %d are there", n, total)
	}
	above := *peak - idle
	t.Logf("%d activities, as NDJSON and CSV at once, read back and compared in %v; %d MiB above the idle %d MiB", n, time.Since(began).Round(time.Millisecond), above>>20, idle>>20)
	if testenv.Soak() && above > 100<<20 {
		t.Errorf("%d MiB more than idle", above>>20)
	}
}

func exportBody(t *testing.T, base, format string) io.Reader {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, base+"/activities/export?format="+format, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token(t, jwt.MapClaims{"sub": "zoe", "roles": "auditor"}))
	answer, err := http.DefaultClient.Do(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatal(err, answer)
	}
	t.Cleanup(func() { _ = answer.Body.Close() })
	return answer.Body
}

// readBack makes a document of a row, as docs/api.md says.
func readBack(t *testing.T, columns, row []string) map[string]any {
	t.Helper()
	doc := map[string]any{}
	for i, cell := range row {
		text, present := export.Unescape(cell)
		if !present {
			continue
		}
		var value any = text
		f, _ := activity.FieldNamed(columns[i], activity.NoKind)
		asJSON := []activity.Type{activity.Long, activity.Double, activity.Bool, activity.Free, activity.List, activity.Keywords}
		if columns[i] == "redacted" || slices.Contains(asJSON, f.Type()) {
			if err := json.Unmarshal([]byte(cell), &value); err != nil {
				t.Fatalf("%s: %v", columns[i], err)
			}
		}
		at := doc
		names := strings.Split(columns[i], ".")
		for _, name := range names[:len(names)-1] {
			below, ok := at[name].(map[string]any)
			if !ok {
				below = map[string]any{}
				at[name] = below
			}
			at = below
		}
		at[names[len(names)-1]] = value
	}
	return doc
}

// resident is how much memory the process has, in bytes; 0 where the system does not tell.
func resident(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, after, _ := bytes.Cut(status, []byte("VmRSS:"))
	kib, err := strconv.ParseInt(string(bytes.Fields(after)[0]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// watchResident notes the most until stop is called.
func watchResident(t *testing.T) (peak *int64, stop func()) {
	t.Helper()
	peak = new(int64)
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			*peak = max(*peak, resident(t))
			select {
			case <-end:
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return peak, func() { close(end); <-done }
}
