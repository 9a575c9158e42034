package config

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files, schema.json and docs/configuration.md")

// environment is what the golden files and the fuzzer find in theirs.
func environment(name string) (string, bool) {
	v, ok := map[string]string{
		"SET_TO_WORD": "swordfish",
		"SET_TO_LIST": "[swordfish",
		"SET_EMPTY":   "",
		"PORT":        "9000",
		"LINE":        "64KiB",
		"TRUE":        "true",
	}[name]
	return v, ok
}

// compare checks got against a file, or rewrites the file.
func compare(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is out of date (go test ./config -update rewrites it)\ngot:\n%s\nwant:\n%s", path, got, want)
	}
}

func TestWrongConfigsAreExplained(t *testing.T) {
	t.Parallel()
	paths, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(paths) < 20 {
		t.Fatalf("got %d files, %v; want at least 20", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Parse(filepath.Base(path), data, environment)
			var errs Errors
			if !errors.As(err, &errs) {
				t.Fatalf("got %v, want Errors", err)
			}
			for _, e := range errs {
				if e.Line == 0 || e.Advice == "" {
					t.Errorf("no line or no advice: %v", e)
				}
			}
			if strings.Contains(err.Error(), "swordfish") {
				t.Errorf("the value of a variable or file is shown:\n%v", err)
			}
			compare(t, strings.TrimSuffix(path, ".yaml")+".golden", err.Error()+"\n")
		})
	}
}
