package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/internal/estest"
	"github.com/truledgr/activity-agent/sinks/elasticsearch/scripted"
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
	for _, f := range files[:len(files)-1] {
		body, err := os.ReadFile(f)
		if err != nil || !json.Valid(body) {
			t.Errorf("%s: %v", f, err)
		}
	}
	first, last := filepath.Join("component_template", "activities-common.json"), filepath.Join("saved_objects", "activities.ndjson")
	if len(files) != 13 || files[0] != filepath.Join(s.path("es"), first) || files[12] != filepath.Join(s.path("es"), last) {
		t.Errorf("got %v, want 13 with %s first and %s last", files, first, last)
	}
	info, err := os.Stat(files[12])
	if err != nil || info.Size() < 10_000 {
		t.Errorf("the saved objects: %v, %v", info, err)
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

// TestSetupOfEverythingChangesNothingTheSecondTime: life cycles, roles, a key and Kibana's objects, against servers that
// answer as Elasticsearch and Kibana do.
func TestSetupOfEverythingChangesNothingTheSecondTime(t *testing.T) {
	t.Parallel()
	cluster := scripted.StartCluster(t, "activities", "activities-auth-event-2026.03")
	dashboards := scripted.StartKibana(t, "")
	dir := t.TempDir()
	config, key := filepath.Join(dir, "agent.yaml"), filepath.Join(dir, "key")
	text := fmt.Sprintf("files: [{include: [a.log]}]\nstore: {elasticsearch: {addresses: [%q], warm_after: 30d}}\nretention: {default: 13m}\n", cluster.URL)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"created    api_key " + key, "Nothing had to be done.\n"} {
		code, out, stderr := call(t, "", "setup", "-c", config, "--roles", "--api-key", key, "--kibana", dashboards.URL)
		if code != exitDone || !strings.Contains(out, want) || strings.Contains(out, "has no") {
			t.Errorf("run %d: got %d, %s, %s, want %q", i+1, code, out, stderr, want)
		}
		if changes := cluster.Changes(); i == 1 && (len(changes) > 0 || dashboards.Imports() != 1) {
			t.Errorf("the second time changed %v, and %d imports", changes, dashboards.Imports())
		}
	}
	info, err := os.Stat(key)
	written, err2 := os.ReadFile(key)
	if err != nil || err2 != nil || info.Mode().Perm() != 0o600 || string(written) != "key-1\n" {
		t.Errorf("the key: %v, %q, %v", info, written, err)
	}
}

func TestSetupRefusesAnAddressOfKibanaWithAPassword(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := filepath.Join(dir, "agent.yaml")
	if err := os.WriteFile(config, []byte("files: [{include: [a.log]}]\nstore: {elasticsearch: {addresses: [\"http://127.0.0.1:1\"]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := call(t, "", "setup", "-c", config, "--kibana", "https://elastic:swordfish@kibana:5601")
	if code != exitUsage || strings.Contains(stderr, "swordfish") {
		t.Errorf("got %d, %s", code, stderr)
	}
}
