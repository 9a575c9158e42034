package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/internal/testenv"
)

// documents returns the texts of README.md and docs/*.md by name.
func documents(t *testing.T) map[string]string {
	t.Helper()
	root := testenv.Root(t)
	names, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(names) < 10 {
		t.Fatalf("got %d documents, %v", len(names), err)
	}
	out := map[string]string{}
	for _, name := range append(names, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = string(text)
	}
	return out
}

// code returns all Go source that is no test.
func code(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		text, err := os.ReadFile(filepath.Join(testenv.Root(t), s.name))
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// TestMetricsInDocumentsExist: an alert on a metric that is not there never fires.
func TestMetricsInDocumentsExist(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for file, form := range map[string]string{"agent/metrics.go": `desc\("(\w+)"`, "api/server.go": `"activity_agent_(\w+)"`} {
		text, err := os.ReadFile(filepath.Join(testenv.Root(t), filepath.FromSlash(file)))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(form).FindAllStringSubmatch(string(text), -1) {
			known[m[1]] = true
		}
	}
	named := 0
	for name, doc := range documents(t) {
		for _, m := range regexp.MustCompile(`\bactivity_agent_(\w*[a-z])`).FindAllStringSubmatch(doc, -1) {
			if named++; !known[m[1]] {
				t.Errorf("%s names the metric activity_agent_%s, which there is not", name, m[1])
			}
		}
	}
	if named < 30 {
		t.Errorf("only %d metrics are named: has the form changed?", named)
	}
}

// TestLogLinesInDocumentsExist: `msg: …` is what people search their logs for. The first word may be put in when it runs.
func TestLogLinesInDocumentsExist(t *testing.T) {
	t.Parallel()
	all, named := code(t), 0
	for name, doc := range documents(t) {
		for _, m := range regexp.MustCompile("`msg: ([^`]+)`").FindAllStringSubmatch(doc, -1) {
			named++
			_, rest, _ := strings.Cut(m[1], " ")
			whole, part := strconv.Quote(m[1]), strconv.Quote(" "+rest)
			if !strings.Contains(all, strings.TrimSuffix(whole, `"`)) && !strings.Contains(all, part) {
				t.Errorf("%s names the log line %q, which nothing logs", name, m[1])
			}
		}
	}
	if named < 10 {
		t.Errorf("only %d log lines are named: has the form changed?", named)
	}
}
