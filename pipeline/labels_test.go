package pipeline

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/truledgr/activity-agent/internal/testenv"
)

// A label is what a person expects of a line of a real product.
type label struct {
	File   string
	Line   int
	Expect struct {
		Kind    string `json:"activity_type"`
		UserID  string `json:"user_id"`
		IP      string
		Outcome string
		Method  string
		Status  int
	}
	Confidence  string
	AcceptTypes []string `json:"accept_types"`
}

func readLabels(t *testing.T) (all []label) {
	t.Helper()
	f, err := os.Open(testenv.Shared(t, "corpus/labels.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		var l label
		if err := json.Unmarshal(s.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

// score counts how many labels of one sort are met.
type score struct{ right, all int }

func (s *score) add(ok bool) bool {
	s.all++
	if ok {
		s.right++
	}
	return ok
}

func (s score) String() string { return fmt.Sprintf("%d of %d", s.right, s.all) }

func (s score) atLeast(share float64) bool { return float64(s.right) >= share*float64(s.all) }

// TestLinesOfProducts: the lines of products get the kind, user, address, outcome, method and status that a person gave
// them, and most of them by the general reading alone, as those of products that no convention is about.
func TestLinesOfProducts(t *testing.T) {
	t.Parallel()
	p := newPipeline(t, DefaultConfig())
	judge(t, p, 0.95)
	p.conventions = nil
	judge(t, p, 0.8)
}

// judge compares what p makes of the labelled lines with the labels; at least the share given must be right of each sort.
func judge(t *testing.T, p *Pipeline, share float64) {
	t.Helper()
	scores := map[string]*score{}
	files := map[string][][]byte{}
	for _, l := range readLabels(t) {
		if files[l.File] == nil {
			data, err := os.ReadFile(testenv.Shared(t, "corpus/"+l.File))
			if err != nil {
				t.Fatal(err)
			}
			files[l.File] = bytes.Split(data, []byte("\n"))
		}
		line := string(files[l.File][l.Line-1])
		var b Batch
		p.Process(cutLines(t, line+"\n", &Stream{Path: "/app.log"}), 1, testTime, &b)
		docs := documents(t, &b)
		if len(docs) != 1 {
			t.Fatalf("%s:%d: %d documents", l.File, l.Line, len(docs))
		}
		check := func(what, want string, path string, ok func(got string) bool) {
			if want == "" || want == "0" {
				return
			}
			if scores[what] == nil {
				scores[what] = &score{}
			}
			got := ""
			if v := at(docs[0], path); v != nil {
				got = fmt.Sprint(v)
			}
			if !scores[what].add(ok(got)) {
				t.Logf("%s:%d (%s): %s is %q, want %q, by %v\n   %.700s", l.File, l.Line, l.Confidence, what, got, want, docs[0]["classified_by"], line)
			}
		}
		equal := func(want string) func(string) bool { return func(got string) bool { return got == want } }
		check("kind, confidence "+l.Confidence, l.Expect.Kind, "kind", func(got string) bool {
			return got == l.Expect.Kind || l.Confidence != "high" && slices.Contains(l.AcceptTypes, got)
		})
		check("user", l.Expect.UserID, "user_id", equal(l.Expect.UserID))
		check("address", l.Expect.IP, "ip_address", equal(l.Expect.IP))
		check("outcome", l.Expect.Outcome, "event.outcome", equal(l.Expect.Outcome))
		check("method", l.Expect.Method, "method", equal(l.Expect.Method))
		check("status", fmt.Sprint(l.Expect.Status), "status_code", equal(fmt.Sprint(l.Expect.Status)))
	}
	for what, s := range scores {
		t.Logf("%s: %v", what, s)
		if !s.atLeast(share) {
			t.Errorf("%s: %v right, want %.0f %%", what, s, 100*share)
		}
	}
}
