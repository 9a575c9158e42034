package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/agent/ingest"
	"github.com/truledgr/activity-agent/agent/tail"
	"github.com/truledgr/activity-agent/api"
	"github.com/truledgr/activity-agent/api/access"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/pipeline/redact"
	userrule "github.com/truledgr/activity-agent/pipeline/rule"
	"github.com/truledgr/activity-agent/sinks/sqlite"
)

// mustParse reads one of the files in testdata/good.
func mustParse(t *testing.T, name string) *Config {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata/good", name))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(name, data, environment)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestEveryKeyIsDecodedAndExpanded(t *testing.T) {
	t.Parallel()
	got := mustParse(t, "all.yaml")
	want := &Config{
		Agent: agent.Config{
			ID: "7", IDKey: "pa$$-swordfish", StateDir: "swordfish/a$b/c/$", DrainTimeout: 90 * time.Second, MemoryBudget: 16 << 20,
			Service: agent.Service{Name: "a: b", Version: "1.10", Environment: "true"},
		},
		Files: []tail.Config{
			{
				Include: []string{"/logs/**/*.log", "*.ndjson"}, Exclude: []string{"*.gz"}, StartAt: "end", Format: "cri",
				NonJSON: "dead_letter", Multiline: "traces", Delete: "never", VolumeWarning: 85, TrustIDs: true, MaxLineBytes: 64 << 10,
			},
			{Include: []string{"b.log"}, StartAt: "beginning", Format: "auto", NonJSON: "keep", Multiline: "traces", Delete: "never", VolumeWarning: 85, MaxLineBytes: 2048},
		},
		Pipeline: pipeline.Config{Classify: []userrule.Config{
			{Name: "noisy", When: `level == "debug" and not (path startsWith "/x")`, Drop: true},
			{
				Name: "few", When: "_kind == 'api_transaction'", Sample: 0.25, ActivityType: "seen", Kind: "api_transaction",
				Set: map[string]string{"status": "a$b", "method": "get"}, Rename: map[string]string{"a.b": "user_id"}, Copy: map[string]string{"c": "endpoint"},
			},
		}, Redact: redact.Config{
			Fields: []string{"badge_no", "request_data.*.code"}, Allow: []string{"session_id"}, Detect: "none",
			Action: "partial", Rules: []redact.Rule{
				{Fields: []string{"customer_no"}, Action: "mask"},
				{Detect: []string{"phone", "email"}, Kinds: []string{"data_change"}, Action: "hash"},
			},
			Only: []string{"message", "*_count"}, Identity: "hash", HashKey: "pa$$-swordfish-and-more",
		}},
		Ingest: ingest.Config{
			Listen: "unix:/run/swordfish.sock", SocketMode: "0660", Token: "pa$$-swordfish", TokenFile: "testdata/secret.txt",
			MaxBody: 2 << 20, MaxConnections: 7, DiskBudget: 65 << 20,
		},
		Store: Store{SQLite: &sqlite.Config{Path: "-"}},
		API: api.Config{Listen: "[::1]:9001", RateLimit: 60, Exports: 3, RecordReads: "best_effort", StateDir: "./api", AmendOwn: true, CORSOrigins: []string{"https://app.example.com"}, Live: api.Live{PerCaller: 4}, Auth: access.Config{
			JWT: access.JWT{
				Secret: "pa$$-swordfish-that-has-32-bytes-or-more", JWKSURL: "http://127.0.0.1:1/jwks", Issuer: "i", Audience: "a", Leeway: time.Minute,
				UserClaim: "email", RolesClaim: "realm_access.roles", TenantClaim: "org",
			},
			APIKeys: "./keys.yaml", Anonymous: "auditor",
		}},
		Retention: agent.Retention{Default: "13m", AuthEvent: "2y", SystemEvent: "forever"},
		Admin:     agent.Admin{Listen: "[::1]:9000"},
		Log:       Log{Level: "info", Format: "auto"},
		Tests: []Test{
			{Name: "one", Line: `{"msg":"x"}`, Expect: map[string]string{"kind": "system_event", "user_id": ""}}, {Line: "x", Dropped: "noisy"},
		},
		masked:  map[string]bool{"agent.id_key": true, "ingest.token": true, "pipeline.redact.hash_key": true, "api.auth.jwt.secret": true},
		sources: []string{"testdata/secret.txt", "testdata/secret.txt", "testdata/secret.txt", "testdata/secret.txt"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

func TestAliasesAndMergesAreFollowed(t *testing.T) {
	t.Parallel()
	got := mustParse(t, "aliases.yaml")
	entry := func(include, exclude, startAt, format, nonJSON string) tail.Config {
		c := tail.DefaultConfig()
		c.Include, c.StartAt, c.Format, c.NonJSON = []string{include}, startAt, format, nonJSON
		if exclude != "" {
			c.Exclude = []string{exclude}
		}
		return c
	}
	want := []tail.Config{
		entry("a.log", "", "end", "auto", "drop"),
		entry("b.log", "", "beginning", "auto", "drop"),
		entry("a.log", "a.log", "beginning", "auto", "keep"),
		entry("a.log", "", "end", "cri", "drop"),
	}
	if !reflect.DeepEqual(got.Files, want) {
		t.Errorf("got  %+v\nwant %+v", got.Files, want)
	}
	if store := sqlite.DefaultConfig(); got.Admin.Listen != "" || !reflect.DeepEqual(got.Store.SQLite, &store) {
		t.Errorf("got admin %+v and store %+v, want no listener and the default store", got.Admin, got.Store)
	}
}

// printed returns a config as it is printed, with masks for the key of pseudonyms and the secret of tokens that are long
// enough for them, which it gets itself, too.
func printed(c *Config) []byte {
	text := c.String()
	if c.Pipeline.Redact.HashKey != "" {
		c.Pipeline.Redact.HashKey = mask + mask
		text = strings.Replace(text, "hash_key: '"+mask+"'", "hash_key: '"+mask+mask+"'", 1)
	}
	if long := strings.Repeat(mask, 4); c.API.Auth.JWT.Secret != "" {
		c.API.Auth.JWT.Secret = long
		text = strings.Replace(text, " secret: '"+mask+"'", " secret: '"+long+"'", 1)
	}
	return []byte(text)
}

func TestPrintedConfigReadsBack(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"all.yaml", "aliases.yaml"} {
		want := mustParse(t, name)
		want.Agent.IDKey, want.Ingest.Token, want.masked, want.sources = "", "", nil, nil // printed masked
		got, err := Parse("printed", printed(want), nil)
		if err != nil {
			t.Fatalf("%v\n%s", err, want)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestSecretsAreNeverPrinted(t *testing.T) {
	t.Parallel()
	const canary = "canary-7f3a"
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fromFile := "${file:" + path + "}"
	c, err := Parse("x", fmt.Appendf(nil, `
agent: {id: %q, id_key: %q, service: {name: "a-%s"}}
files: [{include: ["a.log", %q]}]
store: {sqlite: {path: %q}}
`, fromFile, canary, fromFile, "/x/"+fromFile, fromFile), nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Agent.IDKey != canary || c.Agent.Service.Name != "a-"+canary || c.Files[0].Include[1] != "/x/"+canary {
		t.Fatal("the secrets were not read")
	}
	prints := map[string]string{
		"String": c.String(), "%v": fmt.Sprintf("%v", c), "%+v": fmt.Sprintf("%+v", *c), "%#v": fmt.Sprintf("%#v", c),
		"%#v of a value": fmt.Sprintf("%#v", *c), "%q": fmt.Sprintf("%q", *c),
	}
	asYAML, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.Marshal(map[string]any{"config": *c})
	if err != nil {
		t.Fatal(err)
	}
	prints["YAML"], prints["JSON"] = string(asYAML), string(asJSON)
	for how, text := range prints {
		if strings.Contains(text, canary) || !strings.Contains(text, mask) {
			t.Errorf("%s shows a secret, or does not mask it:\n%s", how, text)
		}
	}
}

func TestSecretsAreNotInErrors(t *testing.T) {
	t.Parallel()
	const canary = "canary-7f3a"
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(canary+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	env := func(name string) (string, bool) { return canary, name == "SECRET" }
	keys := []string{
		"agent.id_key", "agent.drain_timeout", "agent.memory_budget", "agent.service", "files", "files[].include", "files[].start_at",
		"files[].trust_ids", "files[].max_line_bytes", "pipeline.redact.fields", "store", "store.sqlite", "admin.listen",
		"log.level", "log", "unknown", "agent.unknown", "ingest",
	}
	values := []string{"${SECRET}", "${file:" + path + "}", "\"${SECRET}\x01\""}
	for _, v := range []string{"%s", "!x %s", "[%s]", "{a: %s}", "[[%s]]", "{id: {b: %s}}", "${%s", "$%s", "${%s!}", "*%s", "@%s", "\"%s", "'%s", "a: %s: b", "[%s", "{%s", "\t%s", "\\%s", "\"\\%s\"", "a\n%s\n b: c"} {
		values = append(values, fmt.Sprintf(v, canary))
	}
	for _, key := range keys {
		for _, value := range values {
			_, err := Parse("x", nest(key, value), env)
			literal := strings.Contains(value, canary)
			if err == nil || !strings.Contains(err.Error(), canary) || literal && key != "agent.id_key" {
				continue // a value that is no secret may be shown where it is literal
			}
			t.Errorf("%s: %s: the error shows the secret:\n%v", key, value, err)
		}
	}
}

func TestPasswordsInAddressesAreNotInErrors(t *testing.T) {
	t.Parallel()
	const address = "https://elastic:swordfish@es:9200"
	for _, key := range []string{"store.elasticsearch.addresses", "store.elasticsearch.addresses[]", "store.elasticsearch.cloud_id", "store.elasticsearch.request_timeout", "store", "admin.listen", "agent.memory_budget"} {
		for _, value := range []string{address, "[" + address + "]", "{a: " + address + "}"} {
			if _, err := Parse("x", nest(key, value), nil); err == nil || strings.Contains(err.Error(), "swordfish") {
				t.Errorf("%s: %s: got %v, want an error without the password", key, value, err)
			}
		}
	}
}

// nest writes a file with one value at a key of the table of rules.
func nest(key, value string) []byte {
	var b strings.Builder
	indent := ""
	for part := range strings.SplitSeq(key, ".") {
		name, list := strings.CutSuffix(part, "[]")
		b.WriteString("\n" + indent + name + ":")
		indent += "  "
		if list {
			b.WriteString("\n" + indent + "-")
			indent += "  "
		}
	}
	b.WriteString(" " + value + "\n")
	return []byte(b.String())
}

func TestExpansionNeverCreatesStructure(t *testing.T) {
	t.Parallel()
	env := func(string) (string, bool) { return "x\nadmin: {listen: \"\"} # ${HOME} $$", true }
	c, err := Parse("x", []byte("agent: {id_key: \"${V}\"}\nfiles: [{include: [\"${V}\"]}]\nstore: {sqlite: {}}"), env)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := env("")
	if c.Agent.IDKey != want || len(c.Files[0].Include) != 1 || c.Files[0].Include[0] != want || c.Admin.Listen == "" {
		t.Errorf("got %q, %q, listen %q; want the variable as it is", c.Agent.IDKey, c.Files[0].Include, c.Admin.Listen)
	}
}

func TestAliasBombsAreRefused(t *testing.T) {
	t.Parallel()
	list := strings.TrimSuffix(strings.Repeat("a,", 5_000), ",")
	for name, text := range map[string]string{
		"entries": "files: [&e {include: [" + list + "]}" + strings.Repeat(", *e", 30_000) + "]\nstore: {sqlite: {}}",
		"merges":  "files:\n- &e {include: [" + list + "]}\n- <<: [*e" + strings.Repeat(", *e", 30_000) + "]\nstore: {sqlite: {}}",
		"keys":    "files:\n" + strings.Repeat("- {unknown_key: 1}\n", 20_000),
		"wide":    "agent: {" + strings.Repeat("k: 1, ", 50_000) + "}",
		"self":    "files: &f [*f, {include: *f}]\nstore: &s {<<: *s, sqlite: *s}\nagent: &a {service: *a}",
		"deep":    "agent: " + strings.Repeat("[", 500_000),
		"large":   strings.Repeat("# comment\n", 200_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			_, err := Parse("x", []byte(text), nil)
			if err == nil {
				t.Fatal("got no error")
			}
			if took := time.Since(begun); took > 30*time.Second {
				t.Errorf("it took %v", took)
			}
			if n := len(err.Error()); n > 20_000 {
				t.Errorf("got an error of %d bytes", n)
			}
		})
	}
}

func TestLoadSaysWhatToDoAboutTheFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	unreadable := filepath.Join(dir, "unreadable.yaml")
	if err := os.WriteFile(unreadable, nil, 0o000); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		path, want string
		is         error
	}{
		{filepath.Join(dir, "none.yaml"), "none.yaml: there is no such file\n    name another with -c FILE, or begin", fs.ErrNotExist},
		{dir, ": it is a directory, not a file\n    name the file in it, such as " + dir, nil},
		{"", "config: no file is named\n    name it with -c FILE", nil},
		{"/dev/zero", "/dev/zero: the file is larger than 1MiB", nil},
		{unreadable, ": permission to read it is denied\n    make it readable for the user", fs.ErrPermission},
	} {
		if tt.is == fs.ErrPermission && os.Getuid() == 0 {
			t.Log("not tried: a file without permission, since root may read it")
			continue
		}
		_, err := Load(tt.path)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q in it", tt.path, err, tt.want)
		}
		if tt.is != nil && !errors.Is(err, tt.is) {
			t.Errorf("%q: got %v, want it to be %v", tt.path, err, tt.is)
		}
	}
}

func TestUnknownDetectorIsAnsweredWithTheKnownOnes(t *testing.T) {
	t.Parallel()
	_, err := Parse("x", nest("pipeline.redact.detect", "none,everything"), nil)
	for _, name := range append(redact.DetectorNames(), "default", "none", "x:4:13: pipeline.redact.detect: there is no such detector") {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want %q in it", err, name)
		}
	}
}

func TestLoadReadsTheExample(t *testing.T) {
	t.Parallel()
	if _, err := Load(examplePath); err != nil {
		t.Fatal(err)
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.yaml", "testdata/good/*.yaml", examplePath} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz", data, environment)
		if err != nil {
			var errs Errors
			if !errors.As(err, &errs) || len(errs) == 0 || strings.Contains(err.Error(), "swordfish") && !strings.Contains(string(data), "swordfish") {
				t.Fatalf("got %v, want Errors that show no value of a variable", err)
			}
			return
		}
		c.masked, c.sources = nil, nil
		again, err := Parse("printed", printed(c), nil)
		if err != nil {
			t.Fatalf("what was printed does not parse: %v\n%s", err, c)
		}
		if c.Agent.IDKey != "" {
			c.Agent.IDKey = mask
		}
		if c.Ingest.Token != "" {
			c.Ingest.Token = mask
		}
		if !reflect.DeepEqual(again, c) {
			t.Fatalf("got\n%s\nwant\n%s", again, c)
		}
	})
}

func TestSecretFilesAreNamedToTheSection(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte("swordfish\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for value, want := range map[string]string{"${file:" + path + "}": path, "${KEY:-x}": "", `"a${file:` + path + `}"`: ""} {
		text := "files: [{include: [a.log]}]\nstore:\n  elasticsearch:\n    addresses: [\"http://es:9200\"]\n    api_key: " + value + "\n"
		c, err := Parse("x.yaml", []byte(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Store.Elasticsearch.APIKeyFile; got != want {
			t.Errorf("%s: got file %q, want %q", value, got, want)
		}
	}
}
