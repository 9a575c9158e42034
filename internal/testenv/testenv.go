// Package testenv tells tests what their surroundings offer: corpora that are not part of the repository, and time for
// long runs. What is absent is skipped with a reason on a developer's machine, and fails in CI, where nothing may be
// skipped unseen.
package testenv

import (
	"os"
	"path/filepath"
	"testing"
)

// Shared returns the absolute path of a file or directory below the shared directory, which lies beside the module's
// root. path is slash-separated ("corpus/logs"). A test whose path is absent is skipped, or fails when CI runs it.
func Shared(tb testing.TB, path string) string {
	tb.Helper()
	root, err := moduleRoot()
	if err != nil {
		tb.Fatalf("testenv: %v", err)
	}
	full := filepath.Join(filepath.Dir(root), "shared", filepath.FromSlash(path))
	if _, err := os.Stat(full); err != nil {
		Missing(tb, "needs ../shared/"+path+" beside the repository, which is not there")
	}
	return full
}

// Root returns the absolute path of the module's root directory.
func Root(tb testing.TB) string {
	tb.Helper()
	root, err := moduleRoot()
	if err != nil {
		tb.Fatalf("testenv: %v", err)
	}
	return root
}

// CI reports whether .ci/run runs the tests, so that a skip is a failure.
func CI() bool { return os.Getenv("ACTIVITY_CI") == "1" }

// Soak reports whether tests may take minutes, as in `make soak`. A soak only repeats more often what a normal run
// does too, so that being off is no skip.
func Soak() bool { return os.Getenv("ACTIVITY_SOAK") == "1" }

// Missing ends a test for which something is absent: skipped on a developer's machine, failed in CI. why says what is
// absent and how to get it.
func Missing(tb testing.TB, why string) {
	tb.Helper()
	if CI() {
		tb.Fatal(why + " (ACTIVITY_CI=1 allows no skip)")
	} else {
		tb.Skip(why)
	}
}

// moduleRoot walks up to the directory of go.mod; tests run in their package's directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", os.ErrNotExist
		}
		dir = up
	}
}
