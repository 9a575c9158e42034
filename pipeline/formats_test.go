package pipeline

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestFormats: lines in the formats of loggers and products, in our own words, become the activities beside them.
func TestFormats(t *testing.T) {
	t.Parallel()
	f, err := os.Open(filepath.Join("testdata", "formats.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	for s := bufio.NewScanner(f); s.Scan(); {
		var c struct {
			Name string
			Line json.RawMessage
			Want map[string]string // path → value; "" for absent
		}
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatalf("%v in %s", err, s.Bytes())
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			docs, b := process(t, DefaultConfig(), string(c.Line)+"\n")
			if len(docs) != 1 {
				t.Fatalf("%d documents", len(docs))
			}
			for path, want := range c.Want {
				got := ""
				if v := at(docs[0], path); v != nil {
					got = fmt.Sprint(v)
				}
				if got != want {
					t.Errorf("%s is %q, want %q in %s", path, got, want, b.Doc(0))
				}
			}
		})
	}
}
