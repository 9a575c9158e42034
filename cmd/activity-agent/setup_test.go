package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/internal/estest"
)

func TestSetupChangesNothingTheSecondTime(t *testing.T) {
	t.Parallel()
	s := newSite(t, "elasticsearch", "")
	for i, want := range []string{"created    component_template " + s.prefix + "-common\n", "Nothing had to be done.\n"} {
		code, out, stderr := call(t, "", "setup", "-c", s.config)
		if code != exitDone || !strings.Contains(out, want) {
			t.Errorf("run %d: got %d, %s, %s, want %q", i+1, code, out, stderr, want)
		}
	}
}

func TestSetupPrintsAndExportsWithoutACluster(t *testing.T) {
	t.Parallel()
	s := usualSite(t, "elasticsearch")
	s.prefix, s.node = "activities", new(estest.Node)
	s.made("")
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.Replace(string(text), `addresses: [""]`, `addresses: ["http://127.0.0.1:1"]`, 1))
	if err := os.WriteFile(s.config, text, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, stderr := call(t, "", "setup", "-c", s.config, "--dry-run")
	if code != exitDone || strings.Count(out, "PUT /_index_template/activities-") != 7 || !strings.HasPrefix(out, "PUT /_component_template/activities-common\n{") {
		t.Errorf("--dry-run: got %d, %.300s, %s", code, out, stderr)
	}
	code, out, stderr = call(t, "", "setup", "-c", s.config, "--export", s.path("es"))
	if code != exitDone {
		t.Fatalf("--export: got %d, %s", code, stderr)
	}
	files := strings.Fields(out)
	for _, f := range files {
		body, err := os.ReadFile(f)
		if err != nil || !json.Valid(body) {
			t.Errorf("%s: %v", f, err)
		}
	}
	if want := filepath.Join(s.path("es"), "component_template", "activities-common.json"); len(files) != 8 || files[0] != want {
		t.Errorf("got %v, want 8 with %s first", files, want)
	}
	code, _, stderr = call(t, "", "setup", "-c", s.config)
	if code != exitFailed || !strings.Contains(stderr, "cannot reach Elasticsearch") {
		t.Errorf("without a cluster: got %d, %s", code, stderr)
	}
}

func TestSetupIsForElasticsearch(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite", "")
	for _, args := range [][]string{{}, {"--dry-run"}, {"--dry-run", "--export", "x"}} {
		if code, _, stderr := call(t, "", append([]string{"setup", "-c", s.config}, args...)...); code != exitUsage || stderr == "" {
			t.Errorf("%v: got %d, %s", args, code, stderr)
		}
	}
}
