package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/internal/testenv"
)

// A poster posts from many connections until its work is done, whatever becomes of the agent meanwhile, and notes which
// ids were answered.
type poster struct {
	t        *testing.T
	url      string
	client   *http.Client
	accepted atomic.Int64

	mu    sync.Mutex
	ids   map[string]string // of the activity with a number, by it
	twice []string          // numbers that were answered with two ids under one key
}

// body is what is posted as number n. It holds secrets, and only some of them have an idempotency key.
func (p *poster) body(n int) string {
	return fmt.Sprintf(`{"activity_type":"order_placed","user_id":"u%d","seq":%d,"password":%q,"description":"card 4111111111111111 of jane.roe@mail.example.org"}`,
		n%100, n, leaks[0])
}

// post sends number n until it is answered. A request whose answer did not come is repeated only if it has a key: what became of
// it is not known.
func (p *poster) post(n int, keyed bool) (id string, known bool) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		req, err := http.NewRequest(http.MethodPost, p.url, strings.NewReader(p.body(n)))
		if err != nil {
			p.t.Error(err)
			return "", false
		}
		req.Header.Set("Content-Type", "application/json")
		if keyed {
			req.Header.Set("Idempotency-Key", fmt.Sprint("order-", n))
		}
		res, err := p.client.Do(req)
		if err != nil {
			if keyed || strings.Contains(err.Error(), "connection refused") || strings.Contains(err.Error(), "no such file") {
				continue
			}
			return "", false
		}
		text, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		var a struct{ IDs []string }
		switch {
		case err != nil && !keyed:
			return "", false
		case err != nil:
		case res.StatusCode == http.StatusServiceUnavailable, res.StatusCode == http.StatusTooManyRequests:
		case res.StatusCode == http.StatusAccepted && json.Unmarshal(text, &a) == nil && len(a.IDs) == 1:
			p.accepted.Add(1)
			return a.IDs[0], true
		default:
			p.t.Errorf("%d: %s", res.StatusCode, text)
			return "", false
		}
	}
	p.t.Errorf("number %d was not answered in time", n)
	return "", false
}

// run posts the numbers up to n from conns connections. Every third is keyed, and these are sent a second time.
func (p *poster) run(n, conns int) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range conns {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				keyed := i%3 == 0
				id, ok := p.post(i, keyed)
				again := id
				if ok && keyed {
					again, _ = p.post(i, true)
				}
				p.mu.Lock()
				if ok {
					p.ids[id] = fmt.Sprint(i)
				}
				if again != id {
					p.twice = append(p.twice, fmt.Sprint(i))
				}
				p.mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestPostsOverKills: the agent is killed again and again while 64 connections post. Every id that was answered with 202 is in
// the store once, a request that was repeated with its Idempotency-Key is one activity, and at no moment is there a
// secret in the state directory.
func TestPostsOverKills(t *testing.T) {
	t.Parallel()
	posts, kills := 6_000, 6
	if testenv.Soak() {
		posts, kills = 1_000_000, 10
	}
	exe := binary(t)
	stores := []string{"sqlite", "file"}
	if testenv.Soak() {
		stores = append(stores, "elasticsearch")
	}
	for _, store := range stores {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			address := freeAddress(t)
			s := newSite(t, store, fmt.Sprintf("ingest: {listen: %q}", address))
			s.exe = exe
			p := &poster{t: t, url: "http://" + address + "/v1/activities", ids: map[string]string{}, client: &http.Client{
				Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64},
			}}
			posted := make(chan struct{})
			go func() {
				defer close(posted)
				p.run(posts, 64)
			}()
			r := rand.New(rand.NewPCG(crashSeed, uint64(posts)))
			for kill := range kills {
				cmd := s.command("run", "-c", s.config)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				until := p.accepted.Load() + int64(r.IntN(posts/kills)) + 1
				for end := time.Now().Add(5 * time.Second); p.accepted.Load() < until && time.Now().Before(end); {
					time.Sleep(time.Millisecond)
				}
				s.findNoSecrets(fmt.Sprintf("before kill %d", kill))
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
				_ = cmd.Wait()
				s.findNoSecrets(fmt.Sprintf("after kill %d", kill))
			}
			last := s.launch()
			<-posted
			p.client.CloseIdleConnections()
			last.stop()
			a := s.account()
			t.Logf("%d kills; %d ids; the last run read %d, replayed %d, stored %d, duplicate %d", kills, len(p.ids), a.Read, a.Replayed, a.Stored, a.Duplicate)
			if len(a.Lost) > 0 || a.Conflict > 0 {
				t.Errorf("lost %v, %d conflicts", a.Lost, a.Conflict)
			}
			if len(p.twice) > 0 {
				t.Errorf("%d requests got two ids under one key, such as number %s", len(p.twice), p.twice[0])
			}
			s.checkPosts(p)
			s.findNoSecrets("at the end")
		})
	}
}

// checkPosts compares the store with what was answered.
func (s *site) checkPosts(p *poster) {
	s.t.Helper()
	byID, keyed := map[string]int{}, map[int]int{}
	s.documents(func(doc []byte) {
		var d struct {
			ID      string
			Details struct{ Seq int }
		}
		if err := json.Unmarshal(doc, &d); err != nil {
			s.t.Fatal(err)
		}
		byID[d.ID]++
		if d.Details.Seq%3 == 0 {
			keyed[d.Details.Seq]++
		}
	})
	missing, twice := 0, 0
	for id := range p.ids {
		switch byID[id] {
		case 0:
			missing++
		case 1:
		default:
			twice++
		}
	}
	if missing+twice > 0 {
		s.t.Errorf("of %d ids that were answered, %d are not stored and %d twice", len(p.ids), missing, twice)
	}
	for seq, n := range keyed {
		if n != 1 {
			s.t.Errorf("number %d was posted with a key and is stored %d times", seq, n)
			return
		}
	}
}

// findNoSecrets looks through the state directory.
func (s *site) findNoSecrets(when string) {
	s.t.Helper()
	_ = filepath.WalkDir(s.path("state"), func(path string, _ fs.DirEntry, _ error) error {
		text, _ := os.ReadFile(path) // directories, and what is gone since
		for _, secret := range []string{leaks[0], "4111111111111111", "jane.roe@mail", "order-"} {
			if bytes.Contains(text, []byte(secret)) {
				s.t.Errorf("%s: %s holds %.12s…", when, path, secret)
			}
		}
		return nil
	})
}

// TestNothingButPosts: no file is needed, the listener stops in order, and what was posted while the store failed is there
// in the end.
func TestNothingButPosts(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "posts") // short: names of sockets are limited
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	s := newSite(t, "sqlite", "")
	socket := filepath.Join(dir, "in.sock")
	config := fmt.Sprintf("agent: {id: test, state_dir: %s}\ningest: {listen: %q, token: \"let me in\"}\nstore: {sqlite: {path: %s}}\nadmin: {listen: %q}\n",
		s.path("state"), "unix:"+socket, s.path("store.db"), freeAddress(t))
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	r := s.launch()
	p := &poster{t: t, url: "http://agent/v1/activities", ids: map[string]string{}, client: socketClient(socket, "let me in")}
	p.run(50, 4)
	p.client.CloseIdleConnections()
	r.stop()
	a := s.account()
	if a.Read != 50 || a.Stored != 50 || len(p.ids) != 50 {
		t.Errorf("%d ids, %+v", len(p.ids), a)
	}
	s.checkPosts(p)
}

func TestStandardInputIsRead(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	s.exe = binary(t)
	config := fmt.Sprintf("agent: {id: test, state_dir: %s}\nfiles: [{include: [\"-\"]}]\ningest: {listen: \"\"}\nstore: {sqlite: {path: %s}}\nadmin: {listen: \"\"}\n",
		s.path("state"), s.path("store.db"))
	if err := os.WriteFile(s.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	const lines = 20_000
	var in bytes.Buffer
	r := rand.New(rand.NewPCG(crashSeed, 2))
	for seq := range lines {
		in.Write(logLine(r, seq, seq%2 == 0))
		if seq < lines-1 {
			in.WriteByte('\n')
		}
	}
	cmd := s.command("run", "-c", s.config, "--summary", s.path("summary.json"))
	cmd.Stdin = &in
	if out, err := cmd.CombinedOutput(); err != nil { // ends by itself: nothing more can come
		t.Fatalf("%v\n%s", err, out)
	}
	if a := s.account(); a.Read != lines || a.Stored != lines {
		t.Errorf("%+v", a)
	}
	s.assertOnce(lines)
}
