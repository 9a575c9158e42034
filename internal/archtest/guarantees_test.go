package archtest

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/internal/testenv"
)

// TestGuaranteesNameTestsThatExist: a promise is worth what shows it. Every test that docs/guarantees.md names is there, and
// every row of the list of problems names one or says why it does not apply.
func TestGuaranteesNameTestsThatExist(t *testing.T) {
	t.Parallel()
	tests := map[string]bool{}
	for _, s := range sources(t) {
		for _, d := range s.ast.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && s.test && f.Recv == nil {
				tests[f.Name.Name] = true
			}
		}
	}
	text, err := os.ReadFile(filepath.Join(testenv.Root(t), "docs", "guarantees.md"))
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`(Test[A-Za-z0-9]+)`")
	row := regexp.MustCompile(`^\| (\d+) \|`)
	rows := map[int]bool{}
	for line := range strings.Lines(string(text)) {
		names := named.FindAllStringSubmatch(line, -1)
		for _, name := range names {
			if !tests[name[1]] {
				t.Errorf("there is no test %s", name[1])
			}
		}
		if m := row.FindStringSubmatch(line); m != nil {
			n, _ := strconv.Atoi(m[1])
			if rows[n] {
				t.Errorf("row %d comes twice", n)
			}
			rows[n] = true
			if len(names) == 0 && !strings.Contains(line, "does not apply:") {
				t.Errorf("row %d names no test and does not say why it does not apply", n)
			}
		}
	}
	for n := 1; n <= 61; n++ {
		if n != 60 && !rows[n] {
			t.Errorf("row %d is missing", n)
		}
	}
}
