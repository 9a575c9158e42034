// Package config reads the agent's YAML configuration: defaults first, the file decoded over them, every mistake
// reported at once with its line, what was expected and what to do.
//
// Each section is declared beside the code that it configures; this package composes them, and nothing but cmd imports
// it. The way of a file:
//
//	bytes ─ parseYAML ─► yaml.Node ─ decoder (keys, expansion, types, rules) ─► Config
//
// The decoder walks the nodes itself rather than leave that to the YAML package, because there every error must carry
// its place, expansion must not create structure, and no error may show a secret. What a key may hold is in the table
// rules; its name, type and default are the struct's; its description is the comment in agent.example.yaml. The JSON
// Schema and docs/configuration.md are generated from those three (go test ./config -update).
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"syscall"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/agent"
	"github.com/truledgr/activity-agent/agent/ingest"
	"github.com/truledgr/activity-agent/agent/tail"
	"github.com/truledgr/activity-agent/api"
	"github.com/truledgr/activity-agent/pipeline"
	"github.com/truledgr/activity-agent/pipeline/redact"
	"github.com/truledgr/activity-agent/sinks/elasticsearch"
	"github.com/truledgr/activity-agent/sinks/file"
	"github.com/truledgr/activity-agent/sinks/sqlite"
)

// Config is a whole configuration file. Printing it in any way masks its secrets; its sections do not mask theirs.
type Config struct {
	Agent     agent.Config          `yaml:"agent"`
	Files     []tail.Config         `yaml:"files"`
	Ingest    ingest.Config         `yaml:"ingest"`
	Kinds     []activity.KindConfig `yaml:"kinds"`
	Pipeline  pipeline.Config       `yaml:"pipeline"`
	Store     Store                 `yaml:"store"`
	Retention agent.Retention       `yaml:"retention"`
	API       api.Config            `yaml:"api"`
	Admin     agent.Admin           `yaml:"admin"`
	Log       Log                   `yaml:"log"`
	Tests     []Test                `yaml:"tests"`

	// model is what Kinds declare.
	model *activity.Model
	// masked holds the paths of values that came out of a ${file:…}: they are printed like secrets.
	masked map[string]bool
	// sources holds the files that the configuration was read from.
	sources []string
}

// Store is `store`: exactly one of its fields is set. To add a store, add its field here and its defaults to start.
type Store struct {
	SQLite        *sqlite.Config        `yaml:"sqlite"`
	Elasticsearch *elasticsearch.Config `yaml:"elasticsearch"`
	File          *file.Config          `yaml:"file"`
}

// Test is an entry of `tests`: a line and what it is expected to become.
type Test struct {
	// Name is shown where it fails; the number of the test where it is "".
	Name string `yaml:"name"`
	// Line is the line of the log.
	Line string `yaml:"line"`
	// Expect holds values of the document by their path, "" for what must not be there.
	Expect map[string]string `yaml:"expect"`
	// Dropped names the rule that must drop the line, "" for none.
	Dropped string `yaml:"dropped"`
}

// Log is `log`, the agent's own log.
type Log struct {
	// Level is the least severe level that is written: "debug", "info" (default), "warn" or "error".
	Level string `yaml:"level"`
	// Format is "json", "text", or "auto" (default): text on a terminal, else JSON.
	Format string `yaml:"format"`
}

// Default returns the configuration that omitted keys fall back to. It names no files and no store, which have no
// default.
func Default() *Config {
	return &Config{
		Agent:     agent.DefaultConfig(),
		Ingest:    ingest.DefaultConfig(),
		Pipeline:  pipeline.DefaultConfig(),
		Retention: agent.DefaultRetention(),
		API:       api.DefaultConfig(),
		Admin:     agent.DefaultAdmin(),
		Log:       Log{Level: "info", Format: "auto"},
	}
}

// start returns what a value of type t begins as, where it is not in Default: a list entry or a store.
func start(t reflect.Type) reflect.Value {
	for _, v := range []any{tail.DefaultConfig(), redact.Rule{Action: "mask"}, sqlite.DefaultConfig(), elasticsearch.DefaultConfig()} {
		if reflect.TypeOf(v) == t {
			return reflect.ValueOf(v)
		}
	}
	return reflect.Zero(t)
}

// Model returns the kinds and fields there are: nil where the file declares none of its own.
func (c *Config) Model() *activity.Model { return c.model }

// maxSize bounds a configuration file, in bytes.
const maxSize = 1 << 20

// Load reads and parses the file at path with the environment of the process. Its error is of type Errors.
func Load(path string) (*Config, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	c, err := Parse(path, data, os.LookupEnv)
	if err != nil {
		return nil, err
	}
	c.sources = append(c.sources, path)
	return c, nil
}

func unreadable(path string, err error) Errors {
	e := &Error{File: path, Err: err}
	switch {
	case path == "":
		e.File, e.Problem, e.Advice = "config", "no file is named", "name it with -c FILE"
	case errors.Is(err, fs.ErrNotExist):
		e.Problem, e.Advice = "there is no such file", "name another with -c FILE, or begin with a copy of agent.example.yaml"
	case errors.Is(err, fs.ErrPermission):
		e.Problem = "permission to read it is denied"
		e.Advice = fmt.Sprintf("make it readable for the user that the agent runs as (uid %d)", os.Getuid())
	case errors.Is(err, syscall.EISDIR):
		e.Problem = "it is a directory, not a file"
		e.Advice = "name the file in it, such as " + filepath.Join(path, "agent.yaml")
	default:
		e.Problem, e.Advice = "it cannot be read: "+cause(err), "check the file and its disk"
	}
	return Errors{e}
}

// cause returns the innermost error's text: paths are named by the caller.
func cause(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// Parse reads a configuration from data. name stands for the file in errors; env looks up the variables of ${VAR}, nil
// meaning that none is set. Its error is of type Errors: all mistakes found, by line. Files named by ${file:…} are read;
// nothing else is touched.
func Parse(name string, data []byte, env func(string) (string, bool)) (*Config, error) {
	root, errs := parseYAML(name, data)
	if errs != nil {
		return nil, errs
	}
	c := Default()
	d := decoder{file: name, env: env}
	d.value(root, reflect.ValueOf(c).Elem(), place{})
	if len(d.errs) > 0 {
		return nil, d.errs.sorted()
	}
	c.masked, c.sources, c.model = d.masked, d.sources, d.model
	return c, nil
}
