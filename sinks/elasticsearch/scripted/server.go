// Package scripted is an HTTP server for tests that answers as Elasticsearch does, and fails as a healthy one never
// does: a script says what becomes of the next bulk requests.
//
// It keeps what it is sent in memory and knows _bulk (create), _mget, the templates and the analyser, as far as the sink
// asks for them.
package scripted

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// A Fault decides about one bulk request. It calls store to have the documents stored and the answer made, or not.
type Fault func(w http.ResponseWriter, r *http.Request, store func() []byte)

// An Item refuses one document of a bulk request.
type Item struct {
	Status       int
	Type, Reason string
}

// A Server is what the tests talk to. Its methods may be called at any time.
type Server struct {
	*httptest.Server

	mu        sync.Mutex
	docs      map[string]json.RawMessage // by index/id
	templates map[string]json.RawMessage // by path
	script    []Fault
	refuse    map[string]Item // by id
	key       string          // that requests must carry, "" for any
	guard     Fault           // of all that is no bulk request
	bulks     []int           // documents in each bulk request
}

// Start starts a server that ends with the test.
func Start(tb interface{ Cleanup(func()) }) *Server {
	s := &Server{docs: map[string]json.RawMessage{}, templates: map[string]json.RawMessage{}, refuse: map[string]Item{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	tb.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// Script sets what becomes of the next bulk requests, one fault each; nil lets one through.
func (s *Server) Script(faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.script = faults
}

// Refuse makes the document of an id be refused, until Item is zero.
func (s *Server) Refuse(id string, it Item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse[id] = it
}

// RequireKey makes every request without this API key be answered with 401.
func (s *Server) RequireKey(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = key
}

// Guard sets what becomes of every request that is no bulk request; nil lets them through.
func (s *Server) Guard(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guard = f
}

// Documents returns what is stored, by index/id.
func (s *Server) Documents() map[string]json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]json.RawMessage, len(s.docs))
	for k, v := range s.docs {
		out[k] = v
	}
	return out
}

// Templates returns how many templates are there.
func (s *Server) Templates() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.templates)
}

// Bulks returns how many documents each bulk request had, those included that failed.
func (s *Server) Bulks() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int(nil), s.bulks...)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	key, fault := s.key, s.guard
	if r.URL.Path == "/_bulk" {
		fault = nil
		if len(s.script) > 0 {
			fault, s.script = s.script[0], s.script[1:]
		}
	}
	s.mu.Unlock()
	if key != "" && r.Header.Get("Authorization") != "ApiKey "+key {
		Status(http.StatusUnauthorized, "security_exception")(w, r, nil)
		return
	}
	body, err := read(r)
	if err != nil {
		http.Error(w, "unreadable", http.StatusBadRequest)
		return
	}
	answer := func() []byte { return s.bulk(body) }
	if r.URL.Path == "/_bulk" {
		s.mu.Lock()
		s.bulks = append(s.bulks, bytes.Count(body, []byte("\n"))/2)
		s.mu.Unlock()
	} else {
		answer = func() []byte { return s.other(w, r, body) }
	}
	if fault != nil {
		fault(w, r, answer)
		return
	}
	if a := answer(); a != nil {
		send(w, http.StatusOK, a)
	}
}

func read(r *http.Request) ([]byte, error) {
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			return nil, err
		}
		in = z
	}
	return io.ReadAll(in)
}

func send(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that is gone is what some tests are about
}

// bulk stores the documents and makes the answer as filter_path leaves it.
func (s *Server) bulk(body []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var items []string
	errs := false
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var action struct {
			Create struct {
				Index string `json:"_index"`
				ID    string `json:"_id"`
			}
		}
		if json.Unmarshal(lines.Bytes(), &action) != nil || !lines.Scan() {
			return []byte(`{"error":{"type":"illegal_argument_exception"},"status":400}`)
		}
		at := action.Create.Index + "/" + action.Create.ID
		it := s.refuse[action.Create.ID]
		if _, taken := s.docs[at]; taken && it.Status == 0 {
			it = Item{http.StatusConflict, "version_conflict_engine_exception", "[x]: version conflict, document already exists"}
		}
		if it.Status == 0 {
			s.docs[at] = bytes.Clone(lines.Bytes())
			items = append(items, `{"create":{"status":201}}`)
			continue
		}
		errs = true
		reason, _ := json.Marshal(it.Reason)
		items = append(items, fmt.Sprintf(`{"create":{"status":%d,"error":{"type":%q,"reason":%s}}}`, it.Status, it.Type, reason))
	}
	return fmt.Appendf(nil, `{"errors":%v,"items":[%s]}`, errs, strings.Join(items, ","))
}

// other answers what is no bulk request; nil means that it has done so already.
func (s *Server) other(w http.ResponseWriter, r *http.Request, body []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.URL.Path == "/_mget":
		return s.mget(body)
	case r.URL.Path == "/_analyze":
		return []byte(`{"tokens":[]}`)
	case r.Method == http.MethodPut && strings.Contains(r.URL.Path, "_template/"):
		s.templates[r.URL.Path] = bytes.Clone(body)
		return []byte(`{"acknowledged":true}`)
	}
	send(w, http.StatusNotFound, []byte(`{"error":{"type":"resource_not_found_exception"},"status":404}`))
	return nil
}

func (s *Server) mget(body []byte) []byte {
	var ask struct {
		Docs []struct {
			Index string `json:"_index"`
			ID    string `json:"_id"`
		} `json:"docs"`
	}
	_ = json.Unmarshal(body, &ask)
	var docs []string
	for _, d := range ask.Docs {
		if doc, ok := s.docs[d.Index+"/"+d.ID]; ok {
			docs = append(docs, fmt.Sprintf(`{"found":true,"_source":%s}`, doc))
		} else {
			docs = append(docs, `{"found":false}`)
		}
	}
	return fmt.Appendf(nil, `{"docs":[%s]}`, strings.Join(docs, ","))
}

// Status answers with a status and an error of that type; "" is an HTML page, as a proxy makes them.
func Status(status int, kind string, header ...string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ func() []byte) {
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		if kind == "" {
			w.Header().Set("Content-Type", "text/html")
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html><body><h1>swordfish</h1></body></html>")
			return
		}
		send(w, status, fmt.Appendf(nil, `{"error":{"type":%q,"reason":"swordfish"},"status":%d}`, kind, status))
	}
}

// Reset resets the connection, before or after the documents are stored.
func Reset(stored bool) Fault {
	return func(w http.ResponseWriter, _ *http.Request, store func() []byte) {
		if stored {
			store()
		}
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
}

// Hang stores the documents and never answers.
func Hang() Fault {
	return func(_ http.ResponseWriter, r *http.Request, store func() []byte) {
		store()
		<-r.Context().Done()
	}
}

// Half stores the documents and sends the first half of the answer. whole tells whether the connection then breaks, or the
// half is sent as if it were all.
func Half(whole bool) Fault {
	return func(w http.ResponseWriter, _ *http.Request, store func() []byte) {
		answer := store()
		if !whole {
			w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		}
		send(w, http.StatusOK, answer[:len(answer)/2])
	}
}

// Answer stores the documents and answers something else.
func Answer(status int, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, store func() []byte) {
		store()
		send(w, status, []byte(body))
	}
}

// Raw sends bytes that may be no HTTP in place of an answer, and stores nothing.
func Raw(answer string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ func() []byte) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = io.WriteString(c, answer)
		_ = c.Close()
	}
}

// Limit refuses a request of more bytes than n as a proxy does.
func Limit(n int64) Fault {
	return func(w http.ResponseWriter, r *http.Request, store func() []byte) {
		if r.ContentLength > n {
			Status(http.StatusRequestEntityTooLarge, "")(w, r, store)
			return
		}
		send(w, http.StatusOK, store())
	}
}
