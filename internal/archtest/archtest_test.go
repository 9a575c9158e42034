// Package archtest holds the rules of the layout as tests: who may import whom, what stays pure, where raw bytes may
// be. A rule says why, so that whoever breaks it can tell whether the rule or the change is wrong.
package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/internal/testenv"
)

const module = "github.com/truledgr/activity-agent/"

// A source is one Go file.
type source struct {
	dir  string // of its package, relative to the module, slash-separated
	name string // relative to the module
	test bool
	ast  *ast.File
	fset *token.FileSet
}

func (s source) at(n ast.Node) string {
	return s.name + ":" + strconv.Itoa(s.fset.Position(n.Pos()).Line)
}

// imports are the paths that the file imports; ours are relative to the module.
func (s source) imports() []string {
	var paths []string
	for _, spec := range s.ast.Imports {
		p, _ := strconv.Unquote(spec.Path.Value)
		paths = append(paths, strings.TrimPrefix(p, module))
	}
	return paths
}

func (s source) importsOurs() []string {
	var ours []string
	for _, spec := range s.ast.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); strings.HasPrefix(p, module) {
			ours = append(ours, strings.TrimPrefix(p, module))
		}
	}
	return ours
}

// sources parses every Go file of the module, whatever its build tags.
func sources(t *testing.T) []source {
	t.Helper()
	root := testenv.Root(t)
	var all []source
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(d.Name(), ".") && file != root
		if d.IsDir() && (hidden || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || hidden || filepath.Ext(file) != ".go" {
			return nil
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		fset := token.NewFileSet()
		parsed, err := parser.ParseFile(fset, file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		all = append(all, source{path.Dir(name), name, strings.HasSuffix(name, "_test.go"), parsed, fset})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// under reports whether dir is one of roots or below it.
func under(dir string, roots ...string) bool {
	return slices.ContainsFunc(roots, func(root string) bool {
		return dir == root || strings.HasPrefix(dir, root+"/")
	})
}

// TestImportsGoOneWay: cmd → agent, api → pipeline, sinks → activity.
func TestImportsGoOneWay(t *testing.T) {
	t.Parallel()
	type rule struct {
		dir string
		may []string // of our own packages
		why string
	}
	rules := []rule{
		{"activity", []string{"activity"},
			"everything is derived from the model, so the model depends on nothing"},
		{"activity/search", []string{"activity", "internal"},
			"questions are about the model, and a store of any kind answers them"},
		{"activity/amend", []string{"activity", "internal"},
			"amendments are about the model, and a store of any kind takes them"},
		{"internal", []string{"internal"},
			"tools know nothing of what they are used for"},
		{"pipeline", []string{"pipeline", "activity", "internal"},
			"what becomes of a record does not depend on where it comes from or goes to"},
		{"sinks", []string{"sinks", "pipeline", "activity", "internal"},
			"a store takes batches, and knows neither the agent that sends them nor its configuration file"},
		{"agent", []string{"agent", "sinks", "pipeline", "activity", "internal"},
			"the agent is wired by cmd and configured by values: a library, testable without files and flags"},
		{"api", []string{"api", "sinks", "pipeline", "activity", "internal"},
			"the read API runs without an agent (serve)"},
		{"client", []string{"client", "activity"},
			"applications import it: it brings nothing of the agent along"},
		{"deploy", []string{"activity"},
			"what Kibana shows is derived from the model"},
		{"config", []string{"config", "agent", "api", "sinks", "pipeline", "activity", "internal"},
			"the configuration composes what each package defines for itself"},
	}
	for _, s := range sources(t) {
		rule := rule{}
		for _, r := range rules { // the innermost directory's
			if under(s.dir, r.dir) && len(r.dir) > len(rule.dir) {
				rule = r
			}
		}
		if !s.test && rule.dir != "" {
			for _, imported := range s.importsOurs() {
				if !under(imported, rule.may...) {
					t.Errorf("%s imports %s; %s may import only %s: %s", s.name, imported, rule.dir, strings.Join(rule.may, ", "), rule.why)
				}
			}
		}
	}
}

// TestDependenciesStayBehindOnePackage: a dependency that one package wraps can be replaced in one package.
func TestDependenciesStayBehindOnePackage(t *testing.T) {
	t.Parallel()
	rules := []struct {
		dependency string
		may        []string
		why        string
	}{
		{"github.com/spf13/cobra", []string{"cmd"}, "commands are words of the command line, nothing else"},
		{"github.com/fsnotify/fsnotify", []string{"agent/tail"}, "notifications are only hints to the tailer's poll"},
		{"github.com/expr-lang/expr", []string{"pipeline/rule"}, "a record is made without it where no rule is for it"},
		{"modernc.org/sqlite", []string{"sinks/sqlite"}, "it adds megabytes and seconds to whatever imports it"},
		{"gopkg.in/yaml.v3", []string{"config", "cmd", "api/access"}, "packages are configured by values; the file of API keys is data"},
		{"github.com/golang-jwt/jwt", []string{"api/access"}, "who a caller is, is decided in one place"},
		{"github.com/coder/websocket", []string{"api"}, "it is one of two forms of live activities; the rest knows events"},
		{"github.com/prometheus/client_golang", []string{"agent", "cmd", "api"}, "stages count in plain integers; the agent publishes them"},
		{"go.uber.org/zap", []string{"agent", "cmd", "api", "sinks"}, "the pipeline has nothing to say that is not in its result"},
		{"go.uber.org/goleak", nil, "it is for tests"},
		{"pgregory.net/rapid", nil, "it is for tests"},
		{"github.com/google/go-cmp", nil, "it is for tests"},
		{"github.com/danielgtaylor/huma", nil, "a test describes the read API with it"},
		{module + "internal/testenv", []string{"internal/estest"}, "it is for tests"},
		{module + "internal/agenttest", nil, "it is for tests"},
		{"testing", []string{"internal/testenv", "internal/estest", "internal/agenttest", "sinks/elasticsearch/scripted"}, "test code stays out of the binary"},
	}
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, imported := range s.imports() {
			for _, rule := range rules {
				if under(imported, strings.TrimPrefix(rule.dependency, module)) && !under(s.dir, rule.may...) {
					t.Errorf("%s imports %s, which belongs in %v: %s", s.name, imported, rule.may, rule.why)
				}
			}
		}
	}
}

// TestPipelineIsPure: no I/O, no clock, no goroutine. A replay after a crash gets the same result only from a pure
// function.
func TestPipelineIsPure(t *testing.T) {
	t.Parallel()
	impure := []string{"os", "net", "net/http", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand", "context"}
	clock := []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"}
	for _, s := range sources(t) {
		if s.test || !under(s.dir, "pipeline") && s.dir != "activity" {
			continue
		}
		for _, imported := range s.imports() {
			if slices.Contains(impure, imported) {
				t.Errorf("%s imports %s", s.name, imported)
			}
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s starts a goroutine", s.at(n))
			case *ast.SelectorExpr:
				if isName(n.X, "time") && slices.Contains(clock, n.Sel.Name) {
					t.Errorf("%s asks the clock: time.%s", s.at(n), n.Sel.Name)
				}
			}
			return true
		})
	}
}

// TestRawBytesStayBetweenTailerAndPipeline: what has not been redacted must not come near a disk or a socket, so the
// packages that write to them cannot even name the type.
func TestRawBytesStayBetweenTailerAndPipeline(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test || !under(s.dir, "sinks", "api", "client", "config", "agent/ledger", "agent/deadletter", "agent/ingest/journal") {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && isName(sel.X, "pipeline") && sel.Sel.Name == "Raw" {
				t.Errorf("%s names pipeline.Raw", s.at(n))
			}
			return true
		})
	}
}

// TestNothingStartsByBeingImported: what init would do, main says where all can see it.
func TestNothingStartsByBeingImported(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		for _, decl := range s.ast.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" && !s.test {
				t.Errorf("%s is an init function", s.at(f))
			}
		}
	}
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	t.Parallel()
	docs := map[string]string{} // by directory; "" where no file has said anything yet
	for _, s := range sources(t) {
		if strings.HasSuffix(s.ast.Name.Name, "_test") {
			continue
		}
		if doc := s.ast.Doc.Text(); doc != "" || docs[s.dir] == "" {
			docs[s.dir] = doc
		}
		want := "Package " + s.ast.Name.Name + " "
		if s.ast.Name.Name == "main" {
			want = "Command "
		}
		if doc := s.ast.Doc.Text(); doc != "" && !strings.HasPrefix(doc, want) {
			t.Errorf("%s: the package's comment begins %.30q, want %q", s.name, doc, want)
		}
	}
	for dir, doc := range docs {
		if doc == "" {
			t.Errorf("the package in %s has no comment that says what it is", dir)
		}
	}
}

func isName(x ast.Expr, name string) bool {
	id, ok := x.(*ast.Ident)
	return ok && id.Name == name
}
