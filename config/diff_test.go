package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const base = "files: [{include: [a.log]}]\n"

func parsed(t *testing.T, text string) *Config {
	t.Helper()
	c, err := Parse("x.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestChanges(t *testing.T) {
	t.Parallel()
	const sqlite, es = "store: {sqlite: {}}\n", "store: {elasticsearch: {addresses: [\"http://es\"]}}\n"
	for _, tt := range []struct {
		old, next string
		want      string
	}{
		{base + sqlite, base + sqlite, ""},
		{base + sqlite, sqlite + "# other\n" + base, ""},
		{base + sqlite, "files: [{include: [a.log], format: json}]\n" + sqlite, "files"},
		{base + sqlite, base + sqlite + "pipeline: {redact: {fields: [x], detect: none}}", "pipeline.redact.fields pipeline.redact.detect"},
		{base + sqlite, base + sqlite + "agent: {drain_timeout: 1s, state_dir: x}", "agent.state_dir! agent.drain_timeout"},
		{base + sqlite, base + es, "store.sqlite! store.elasticsearch!"},
		{base + es, base + strings.ReplaceAll(es, "http://es", "http://other"), "store.elasticsearch.addresses"},
		{base + sqlite, base + "store: {sqlite: {path: other.db}}", "store.sqlite.path!"},
		{base + sqlite, base + sqlite + "admin: {listen: \"\"}\nlog: {level: debug}", "admin.listen! log.level"},
	} {
		var got []string
		for _, c := range parsed(t, tt.old).Changes(parsed(t, tt.next)) {
			if c.Restart {
				c.Key += "!"
			}
			got = append(got, c.Key)
		}
		if text := strings.Join(got, " "); text != tt.want {
			t.Errorf("%s\ngot  %s\nwant %s", tt.next, text, tt.want)
		}
	}
}

func TestSourcesAreTheFilesThatWereRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, file := filepath.Join(dir, "key"), filepath.Join(dir, "agent.yaml")
	for path, text := range map[string]string{key: "swordfish", file: base + "store: {sqlite: {}}\nagent: {id_key: \"${file:" + key + "}\"}\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Sources(); !slices.Equal(got, []string{key, file}) {
		t.Errorf("got %q", got)
	}
}

func TestTheHashTellsOfEverythingButSecrets(t *testing.T) {
	t.Parallel()
	hash := func(more string) string { return parsed(t, base+"store: {sqlite: {}}\n"+more).Hash() }
	plain := hash("")
	if len(plain) != 16 || hash("# a comment\n") != plain {
		t.Errorf("got %q, and %q with a comment", plain, hash("# a comment\n"))
	}
	if hash("log: {level: warn}\n") == plain {
		t.Error("another level has the same hash")
	}
	if hash("agent: {id_key: one}\n") != hash("agent: {id_key: two}\n") {
		t.Error("the hash depends on a secret")
	}
}

// TestEveryKeyIsTakenUpOrTakesARestart: whoever adds a key decides, and teaches the agent to take it up.
func TestEveryKeyIsTakenUpOrTakesARestart(t *testing.T) {
	t.Parallel()
	takenUp := []string{"agent.drain_timeout", "agent.service.", "files", "pipeline.", "store.elasticsearch.", "log.level", "tests"}
	var walk func(v reflect.Type, at place)
	walk = func(v reflect.Type, at place) {
		for f := range fields(v) {
			typ, in := f.Type, at.key(f.Tag.Get("yaml"))
			if typ.Kind() == reflect.Pointer {
				typ = typ.Elem()
			}
			if typ.Kind() == reflect.Struct {
				walk(typ, in)
				continue
			}
			up := slices.ContainsFunc(takenUp, func(p string) bool { return strings.HasPrefix(in.rule, p) })
			if restart := rules[in.rule].restart; restart == up && in.rule != "store.elasticsearch.concurrency" {
				t.Errorf("%s: set restart in its rule, or have agent.Reconfigure take it up and say so here", in.rule)
			}
		}
	}
	walk(reflect.TypeFor[Config](), place{})
}
