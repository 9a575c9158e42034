package redact

import (
	"bufio"
	"encoding/json"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/activity"
)

const corpusFile = "../../../shared/corpus/redaction.ndjson"

type vector struct {
	Kind, Text, Secret, Origin string
	Sensitive, Strict          bool
}

func readCorpus(t *testing.T) []vector {
	t.Helper()
	f, err := os.Open(corpusFile)
	if err != nil {
		t.Skipf("the corpus is not here: %v", err)
	}
	defer f.Close()
	var vs []vector
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatal(err)
		}
		vs = append(vs, v)
	}
	return vs
}

// TestCorpus holds the strict vectors: no secret stays, and fewer than one look-alike in a hundred is changed. The others
// depend on policy; -v lists them by kind.
func TestCorpus(t *testing.T) {
	t.Parallel()
	byDefault, everything := compiled(t, "default"), compiled(t, "default,phone,ip,mac,us_itin,national_id")
	var negatives, changed int
	loose := map[string][]string{}
	for _, v := range readCorpus(t) {
		r := byDefault
		switch v.Kind {
		case "phone", "ip", "mac", "us_itin":
			if v.Sensitive {
				r = everything
			}
		}
		got := masked(r, v.Text)
		leaked := v.Sensitive && strings.Contains(got, v.Secret)
		touched := !v.Sensitive && got != v.Text
		switch {
		case v.Strict && leaked:
			t.Errorf("%s: %q leaks %q: %q", v.Kind, v.Text, v.Secret, got)
		case v.Strict && !v.Sensitive:
			negatives++
			if touched {
				changed++
				t.Logf("%s: look-alike %q became %q", v.Kind, v.Text, got)
			}
		case leaked:
			loose[v.Kind] = append(loose[v.Kind], "left: "+v.Text)
		case touched:
			loose[v.Kind] = append(loose[v.Kind], "changed: "+v.Text)
		}
	}
	if changed*100 >= negatives {
		t.Errorf("%d of %d strict look-alikes changed, want under 1 %%", changed, negatives)
	}
	var kinds []string
	for k := range loose {
		kinds = append(kinds, k)
	}
	sort.Strings(kinds)
	for _, k := range kinds {
		t.Logf("not strict, %s:\n  %s", k, strings.Join(loose[k], "\n  "))
	}
}

func compiled(t testing.TB, detect string) *Rules {
	t.Helper()
	c := DefaultConfig()
	c.Detect = detect
	p, err := Compile(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.For(activity.Plain)
}

func masked(r *Rules, text string) string {
	return string(AppendMasked(nil, []byte(text), new(Replacer).Find(r, nil, []byte(text))))
}
