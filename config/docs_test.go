package config

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var (
	yamlBlock = regexp.MustCompile("(?ms)^```yaml\n(.*?)^```")
	fromFile  = regexp.MustCompile(`\$\{file:[^}]*\}`)
)

// TestConfigurationsInDocumentsAreRight: every block of YAML that has keys of ours is a configuration, if need be with a
// file and a store added.
func TestConfigurationsInDocumentsAreRight(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, name := range append(names, "../README.md") {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range yamlBlock.FindAllSubmatch(text, -1) {
			given := fromFile.ReplaceAllString(string(block[1]), "a-secret-of-thirty-two-bytes-or-more")
			if strings.Contains(given, "{{") {
				continue // a template of Helm's
			}
			var keys map[string]any
			if err := yaml.Unmarshal([]byte(given), &keys); err != nil {
				t.Errorf("%s: %v in\n%s", name, err, given)
				continue
			}
			ours := slices.ContainsFunc(keysOf(reflect.TypeFor[Config]()), func(k string) bool { return keys[k] != nil })
			if !ours {
				continue // of Kubernetes, or of another program
			}
			checked++
			if keys["files"] == nil && keys["ingest"] == nil {
				given += "\nfiles: [{include: [a.log]}]\n"
			}
			if keys["store"] == nil {
				given += "\nstore: {sqlite: {}}\n"
			}
			set := func(string) (string, bool) { return "a-secret-of-thirty-two-bytes-or-more", true }
			if _, err := Parse(filepath.Base(name), []byte(given), set); err != nil {
				t.Errorf("%v\nin\n%s", err, strings.TrimSpace(given))
			}
		}
	}
	if checked < 8 {
		t.Errorf("only %d blocks are configurations: has the form changed?", checked)
	}
}
