package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/sinks"
	"github.com/truledgr/activity-agent/sinks/elasticsearch/scripted"
)

// against is a store on a scripted server.
func against(tb testing.TB, change ...func(*Config)) (*Sink, *scripted.Server) {
	tb.Helper()
	srv := scripted.Start(tb)
	c := DefaultConfig()
	c.Addresses = []string{srv.URL}
	for _, f := range change {
		f(&c)
	}
	return mustOpen(tb, c), srv
}

// An attempt is what one Write came to.
type attempt struct {
	verdicts string
	problem  string // a part of the error, "" for none
}

// deliver makes one attempt after another and compares; the batch is delivered when the last leaves nothing open. No
// error may repeat what a server said.
func deliver(t *testing.T, s *Sink, b *pipeline.Batch, want ...attempt) (last error) {
	t.Helper()
	results := make([]sinks.Result, len(b.Records))
	for i, w := range want {
		last = s.Write(context.Background(), b, results)
		if got := verdicts(results); got != w.verdicts {
			t.Errorf("attempt %d: got %s, want %s (%v)", i+1, got, w.verdicts, last)
		}
		switch {
		case (last == nil) != (w.problem == ""):
			t.Errorf("attempt %d: got error %v, want %q", i+1, last, w.problem)
		case last != nil && !strings.Contains(last.Error(), w.problem):
			t.Errorf("attempt %d: got error %v, want %q", i+1, last, w.problem)
		case last != nil && strings.Contains(last.Error(), "swordfish"):
			t.Errorf("attempt %d: the error repeats an answer: %v", i+1, last)
		}
	}
	return last
}

// Whatever happens to a request as a whole, its documents are open until an answer says otherwise, and are stored once.
func TestRequestFaults(t *testing.T) {
	t.Parallel()
	const open, stored, dup = "retry retry retry", "stored stored stored", "duplicate duplicate duplicate"
	for name, tt := range map[string]struct {
		fault scripted.Fault
		want  []attempt
	}{
		"reset before processing":  {scripted.Reset(false), []attempt{{open, "cannot reach Elasticsearch"}, {stored, ""}}},
		"reset after processing":   {scripted.Reset(true), []attempt{{open, "cannot reach Elasticsearch"}, {dup, ""}}},
		"timeout after processing": {scripted.Hang(), []attempt{{open, "no answer from Elasticsearch within 300ms"}, {dup, ""}}},
		"429":                      {scripted.Status(429, "es_rejected_execution_exception"), []attempt{{open, "429 es_rejected_execution_exception: it is overloaded"}, {stored, ""}}},
		"503":                      {scripted.Status(503, ""), []attempt{{open, "503 Service Unavailable"}, {stored, ""}}},
		"500":                      {scripted.Status(500, "null_pointer_exception"), []attempt{{open, "500 null_pointer_exception"}, {stored, ""}}},
		"502 from a proxy":         {scripted.Status(502, ""), []attempt{{open, "502 Bad Gateway"}, {stored, ""}}},
		"401":                      {scripted.Status(401, "security_exception"), []attempt{{open, "401 security_exception: check store.elasticsearch.api_key"}, {stored, ""}}},
		"403":                      {scripted.Status(403, "security_exception"), []attempt{{open, "403 security_exception: the API key or user lacks a privilege"}, {stored, ""}}},
		"404 from elsewhere":       {scripted.Status(404, ""), []attempt{{open, "404 Not Found: check that store.elasticsearch.addresses"}, {stored, ""}}},
		"400 of the request":       {scripted.Status(400, "illegal_argument_exception"), []attempt{{open, "400 illegal_argument_exception: it refuses the request as such"}, {stored, ""}}},
		"half an answer, cut off":  {scripted.Half(false), []attempt{{open, "unexpected EOF"}, {dup, ""}}},
		"half an answer, whole":    {scripted.Half(true), []attempt{{open, "cannot be read"}, {dup, ""}}},
		"an HTML page, 200":        {scripted.Status(200, ""), []attempt{{open, "cannot be read"}, {stored, ""}}},
		"an empty answer":          {scripted.Answer(200, ``), []attempt{{open, "cannot be read"}, {dup, ""}}},
		"no HTTP":                  {scripted.Raw("HTTP/1.1 200 OK\r\nswordfish\r\n\r\n"), []attempt{{open, "does not speak HTTP"}, {stored, ""}}},
		"no status":                {scripted.Raw("HTTP/1.1 swordfish\r\n\r\n"), []attempt{{open, "does not speak HTTP"}, {stored, ""}}},
		"no length":                {scripted.Raw("HTTP/1.1 200 OK\r\nContent-Length: swordfish\r\n\r\n"), []attempt{{open, "does not speak HTTP"}, {stored, ""}}},
		"no items":                 {scripted.Answer(200, `{"errors":false}`), []attempt{{open, "cannot be read"}, {dup, ""}}},
		"an item too few":          {scripted.Answer(200, `{"errors":false,"items":[{"create":{"status":201}},{"create":{"status":201}}]}`), []attempt{{open, "cannot be read"}, {dup, ""}}},
		"an item without status":   {scripted.Answer(200, `{"errors":true,"items":[{"create":{"status":201}},{"create":{}},{"create":{"status":201}}]}`), []attempt{{open, "cannot be read"}, {dup, ""}}},
		"an item of another kind":  {scripted.Answer(200, `{"errors":true,"items":[1,2,3]}`), []attempt{{open, "cannot be read"}, {dup, ""}}},
		"everything, unfiltered": {scripted.Answer(200, `{"took":3,"errors":false,"items":[`+strings.Repeat(`{"create":{"_index":"x","_id":"y","status":201,"_shards":{}}},`, 2)+
			`{"create":{"_index":"x","_id":"y","status":201}}]}`), []attempt{{stored, ""}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, srv := against(t, func(c *Config) { c.RequestTimeout = 300 * time.Millisecond })
			b := batchOf(series(activity.AuthEvent, 0, 3)...)
			srv.Script(tt.fault)
			deliver(t, s, b, tt.want...)
			if got := len(srv.Documents()); got != 3 {
				t.Errorf("%d documents are stored, want 3", got)
			}
		})
	}
}

func TestConnectionRefused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := DefaultConfig()
	c.Addresses = []string{"http://" + address}
	deliver(t, mustOpen(t, c), batchOf(series(activity.Plain, 0, 1)...), attempt{"retry", "connection refused"}, attempt{"retry", address})
}

func TestRetryAfterIsPassedOn(t *testing.T) {
	t.Parallel()
	in := time.Now().Add(40 * time.Second).UTC().Format(http.TimeFormat)
	for value, want := range map[string]time.Duration{
		"7": 7 * time.Second, in: 40 * time.Second, "0": 0, "-1": 0, "soon": 0, "": 0, "86400": maxDelay,
		"Mon, 01 Jan 2001 00:00:00 GMT": 0,
	} {
		s, srv := against(t)
		srv.Script(scripted.Status(429, "x", "Retry-After", value))
		err := deliver(t, s, batchOf(series(activity.Plain, 0, 1)...), attempt{"retry", "429"})
		if got := sinks.RetryAfter(err); got > want || got < want-2*time.Second {
			t.Errorf("%q: got %v, want %v", value, got, want)
		}
	}
}

// Each document of a request has its own fate.
func TestItemFaults(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		item scripted.Item
		want attempt
	}{
		"field refused": {scripted.Item{Status: 400, Type: "document_parsing_exception", Reason: "[1:200] failed to parse field [ip_address] of type [ip] in document with id 'x'. Preview of field's value: 'swordfish'"},
			attempt{"stored rejected:document_parsing_exception: ip_address stored", ""}},
		"below a free field": {scripted.Item{Status: 400, Type: "mapper_parsing_exception", Reason: "failed to parse field [details.swordfish] of type [flattened]"},
			attempt{"stored rejected:mapper_parsing_exception: details stored", ""}},
		"field unknown": {scripted.Item{Status: 400, Type: "document_parsing_exception", Reason: "failed to parse field [swordfish] of type [ip]"},
			attempt{"stored rejected:document_parsing_exception stored", ""}},
		"strict mapping": {scripted.Item{Status: 400, Type: "strict_dynamic_mapping_exception", Reason: "mapping set to strict, dynamic introduction of [swordfish] is not allowed"},
			attempt{"stored rejected:strict_dynamic_mapping_exception stored", ""}},
		"immense term": {scripted.Item{Status: 400, Type: "illegal_argument_exception", Reason: `Document contains at least one immense term in field="user_id" (whose UTF8 encoding is longer than the max length 32766), all of which were skipped. The prefix of the first immense term is: 'swordfish`},
			attempt{"stored rejected:illegal_argument_exception: user_id stored", ""}},
		"429":             {scripted.Item{Status: 429, Type: "es_rejected_execution_exception", Reason: "swordfish"}, attempt{"stored retry stored", "Elasticsearch answered 429 es_rejected_execution_exception"}},
		"503":             {scripted.Item{Status: 503, Type: "unavailable_shards_exception"}, attempt{"stored retry stored", "look at the cluster's health"}},
		"no index":        {scripted.Item{Status: 404, Type: "index_not_found_exception"}, attempt{"stored retry stored", "does not make indices by itself"}},
		"blocked":         {scripted.Item{Status: 403, Type: "cluster_block_exception"}, attempt{"stored retry stored", "an index is blocked"}},
		"disk full":       {scripted.Item{Status: 429, Type: "cluster_block_exception"}, attempt{"stored retry stored", "a disk is nearly full"}},
		"no right":        {scripted.Item{Status: 403, Type: "security_exception"}, attempt{"stored retry stored", "lacks a privilege"}},
		"closed":          {scripted.Item{Status: 400, Type: "index_closed_exception"}, attempt{"stored retry stored", "is closed"}},
		"broken template": {scripted.Item{Status: 400, Type: "mapper_parsing_exception", Reason: "Failed to parse mapping: swordfish"}, attempt{"stored retry stored", "400 mapper_parsing_exception"}},
		"no pipeline":     {scripted.Item{Status: 400, Type: "illegal_argument_exception", Reason: "pipeline with id [swordfish] does not exist"}, attempt{"stored retry stored", "400 illegal_argument_exception"}},
		"bad index name":  {scripted.Item{Status: 400, Type: "invalid_index_name_exception"}, attempt{"stored retry stored", "400 invalid_index_name_exception"}},
		"type in disguise": {scripted.Item{Status: 400, Type: "swordfish: 1234", Reason: "failed to parse"},
			attempt{"stored retry stored", "answered 400 Bad Request"}},
		"other conflict": {scripted.Item{Status: 409, Type: "some_other_exception"}, attempt{"stored retry stored", "409 some_other_exception"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, srv := against(t)
			docs := series(activity.AuthEvent, 0, 3)
			srv.Refuse(docs[1].rec.ID.String(), tt.item)
			b := batchOf(docs...)
			want := []attempt{tt.want}
			if tt.want.problem != "" { // then only that one is sent again
				want = append(want, tt.want)
			}
			deliver(t, s, b, want...)
			if tt.want.problem == "" {
				return
			}
			srv.Refuse(docs[1].rec.ID.String(), scripted.Item{})
			results := []sinks.Result{{Verdict: sinks.Stored}, {}, {Verdict: sinks.Stored}}
			if err := s.Write(context.Background(), b, results); err != nil || verdicts(results) != "stored stored stored" {
				t.Errorf("mended: got %s, %v", verdicts(results), err)
			}
			if got, want := fmt.Sprint(srv.Bulks()), "[3 1 1]"; got != want {
				t.Errorf("requests had %s documents, want %s", got, want)
			}
		})
	}
}

func TestTooLargeRequestsAreSplitDownToTheDocument(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.WarnLevel)
	srv := scripted.Start(t)
	c := DefaultConfig()
	c.Addresses, c.Compression = []string{srv.URL}, "none"
	s, err := Open(c, Options{Logger: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	limit := slices.Repeat([]scripted.Fault{scripted.Limit(2000)}, 40)
	srv.Script(limit...)
	docs := series(activity.AuthEvent, 0, 16)
	docs[5] = document(activity.AuthEvent, 5, day0, `"description":"`+strings.Repeat("x", 3000)+`"`)
	want := strings.Split(strings.Repeat("stored ", 16), " ")
	want[5] = "rejected:too_large"
	deliver(t, s, batchOf(docs...), attempt{strings.TrimSpace(strings.Join(want, " ")), ""})
	if got := len(srv.Documents()); got != 15 {
		t.Errorf("%d documents are stored, want 15", got)
	}
	// Without such a document, what a request may have is learnt once.
	srv.Script(limit...)
	deliver(t, s, batchOf(series(activity.AuthEvent, 100, 16)...), attempt{strings.TrimSpace(strings.Repeat("stored ", 16)), ""})
	before := len(srv.Bulks())
	srv.Script(limit...)
	deliver(t, s, batchOf(series(activity.AuthEvent, 200, 16)...), attempt{strings.TrimSpace(strings.Repeat("stored ", 16)), ""})
	for _, n := range srv.Bulks()[before:] {
		if n > 8 {
			t.Errorf("a request has %d documents again", n)
		}
	}
	if logs.FilterMessageSnippet("too large").Len() != 1 {
		t.Errorf("got %d warnings, want 1", logs.Len())
	}
}

func TestSecretFilesAreReadAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	put := func(key string, at time.Time) {
		if err := os.WriteFile(path, []byte(key+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	put("first", now)
	s, srv := against(t, func(c *Config) { c.APIKeyFile = path })
	srv.RequireKey("first")
	deliver(t, s, batchOf(series(activity.Plain, 0, 1)...), attempt{"stored", ""})
	// A new key of the same length and the same time: only the 401 tells.
	srv.RequireKey("other")
	put("other", now)
	deliver(t, s, batchOf(series(activity.Plain, 1, 1)...), attempt{"retry", "401"}, attempt{"stored", ""})
	// A file that changes is read before anything is refused.
	srv.RequireKey("third key")
	put("third key", now.Add(time.Second))
	deliver(t, s, batchOf(series(activity.Plain, 2, 1)...), attempt{"stored", ""})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	deliver(t, s, batchOf(series(activity.Plain, 3, 1)...), attempt{"retry", "read the secret file " + path})
}

func TestBasicAuthentication(t *testing.T) {
	t.Parallel()
	var got string
	s, srv := against(t, func(c *Config) { c.Username, c.Password = "ann", "pass:word" })
	srv.Script(func(w http.ResponseWriter, r *http.Request, store func() []byte) {
		user, password, _ := r.BasicAuth()
		got = user + " " + password
		scripted.Status(503, "")(w, r, store)
	})
	deliver(t, s, batchOf(series(activity.Plain, 0, 1)...), attempt{"retry", "503"})
	if got != "ann pass:word" {
		t.Errorf("got %q", got)
	}
}

func TestNodesThatAreDownAreLeftOut(t *testing.T) {
	t.Parallel()
	down := scripted.Start(t)
	down.Close()
	s, srv := against(t, func(c *Config) { c.Addresses = []string{down.URL, c.Addresses[0], down.URL} })
	failed := 0
	for i := range 12 {
		results := make([]sinks.Result, 1)
		if s.Write(context.Background(), batchOf(series(activity.Plain, i, 1)...), results) != nil {
			failed++
		}
	}
	if failed > 2 {
		t.Errorf("%d of 12 attempts failed, want one for each address that is down", failed)
	}
	if got := len(srv.Documents()); got != 12-failed {
		t.Errorf("%d documents are stored, want %d", got, 12-failed)
	}
}

func TestTheStartNeedsNeitherClusterNorRights(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		guard     scripted.Fault
		want      []attempt
		templates int
	}{
		"no right":   {scripted.Status(403, "security_exception"), []attempt{{"stored", ""}}, 0},
		"no product": {scripted.Status(405, ""), []attempt{{"stored", ""}}, 0},
		"down":       {scripted.Status(503, ""), []attempt{{"retry", "look at the templates: Elasticsearch answered 503"}}, 0},
		"no key":     {scripted.Status(401, "security_exception"), []attempt{{"retry", "401"}}, 0},
		"all right":  {nil, []attempt{{"stored", ""}}, 8},
	} {
		s, srv := against(t)
		srv.Guard(tt.guard)
		b := batchOf(series(activity.Plain, 0, 1)...)
		deliver(t, s, b, tt.want...)
		if got := srv.Templates(); got != tt.templates {
			t.Errorf("%s: %d templates, want %d", name, got, tt.templates)
		}
		srv.Guard(nil)
		if tt.want[0].problem != "" {
			deliver(t, s, b, attempt{"stored", ""})
			if got := srv.Templates(); got != 8 {
				t.Errorf("%s: %d templates, want 8", name, got)
			}
		}
	}
}

func TestGivenIDsOverFaults(t *testing.T) {
	t.Parallel()
	s, srv := against(t)
	first := document(activity.Plain, 1, day0, `"user_id":"ann"`)
	first.rec.Trusted = true
	other := first
	other.body = strings.Replace(first.body, "ann", "bob", 1)
	deliver(t, s, batchOf(first), attempt{"stored", ""})
	// The comparison fails, then the second request; the verdict is a conflict all the same.
	srv.Guard(scripted.Status(503, ""))
	b := batchOf(other, document(activity.Plain, 2, day0, ""))
	results := make([]sinks.Result, 2)
	if err := s.Write(context.Background(), b, results); err == nil || verdicts(results) != "retry stored" {
		t.Errorf("got %s, %v", verdicts(results), err)
	}
	srv.Guard(nil)
	srv.Script(nil, scripted.Status(503, ""))
	if err := s.Write(context.Background(), b, results); err == nil || results[0].Verdict != sinks.Retry {
		t.Errorf("got %s, %v", verdicts(results), err)
	}
	if err := s.Write(context.Background(), b, results); err != nil || verdicts(results) != "conflict stored" {
		t.Errorf("got %s, %v", verdicts(results), err)
	}
	if got := len(srv.Documents()); got != 3 {
		t.Errorf("%d documents are stored, want 3", got)
	}
}

func TestStoppingEndsAnAttempt(t *testing.T) {
	t.Parallel()
	s, srv := against(t)
	srv.Script(scripted.Hang())
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	results := make([]sinks.Result, 1)
	began := time.Now()
	err := s.Write(ctx, batchOf(series(activity.Plain, 0, 1)...), results)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 5*time.Second || verdicts(results) != "retry" {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
}

func TestWriteSkipsWhatIsNotDue(t *testing.T) {
	t.Parallel()
	s, srv := against(t)
	docs := series(activity.Plain, 0, 3)
	docs[0].rec.Fate = pipeline.Drop
	results := make([]sinks.Result, 3)
	results[1] = sinks.Result{Verdict: sinks.Rejected, Reason: "before"}
	if err := s.Write(context.Background(), batchOf(docs...), results); err != nil {
		t.Fatal(err)
	}
	if got, want := verdicts(results), "retry rejected:before stored"; got != want || len(srv.Documents()) != 1 {
		t.Errorf("got %s, want %s", got, want)
	}
	if err := s.Write(context.Background(), batchOf(docs[0]), results[:1]); err != nil || len(srv.Bulks()) != 1 {
		t.Errorf("nothing to do: %v, %v requests", err, srv.Bulks())
	}
}
