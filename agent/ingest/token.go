package ingest

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// A token is what requests must carry. One that comes from a file is read again when the file changes.
type token struct {
	path string

	mu    sync.Mutex
	sum   [sha256.Size]byte
	set   bool
	size  int64
	mtime time.Time
}

func newToken(c Config) *token {
	t := &token{path: c.TokenFile}
	if c.Token != "" {
		t.sum, t.set = sha256.Sum256([]byte(c.Token)), true
	}
	t.refresh()
	return t
}

// refresh takes up a file that changed. While it cannot be read, the token before counts.
func (t *token) refresh() {
	if t.path == "" {
		return
	}
	info, err := os.Stat(t.path)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil || info.Size() == t.size && info.ModTime().Equal(t.mtime) {
		return
	}
	b, err := os.ReadFile(t.path)
	if b = bytes.TrimRight(b, "\r\n"); err != nil || len(b) == 0 {
		return
	}
	t.sum, t.set, t.size, t.mtime = sha256.Sum256(b), true, info.Size(), info.ModTime()
}

// admits reports whether a request may come in. What is compared are hashes, so that neither time nor length tells how
// much was right.
func (t *token) admits(r *http.Request) bool {
	if t.matches(r) {
		return true
	}
	t.refresh()
	return t.matches(r)
}

func (t *token) matches(r *http.Request) bool {
	t.mu.Lock()
	want, set := t.sum, t.set
	t.mu.Unlock()
	if !set {
		return t.path == "" // a token that cannot be read admits nobody
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(strings.TrimSpace(given)))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}
