// Package testenv tells tests what their surroundings offer: corpora that are not part of the repository, and time for
// long runs. What is absent is skipped with a reason on a developer's machine, and fails in CI, where nothing may be
// skipped unseen.
package testenv

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
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

// Budget is how long a test that goes on for as long as it may goes on: normal, a tenth of it with -short, or
// ACTIVITY_SOAK_SECONDS.
func Budget(tb testing.TB, normal time.Duration) time.Duration {
	tb.Helper()
	if text := os.Getenv("ACTIVITY_SOAK_SECONDS"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 1 {
			tb.Fatalf("testenv: ACTIVITY_SOAK_SECONDS is %q, not a number of seconds", text)
		}
		return time.Duration(seconds) * time.Second
	}
	if testing.Short() {
		return normal / 10
	}
	return normal
}

// Seed is the seed of a random test: normal, or ACTIVITY_SOAK_SEED, of which "random" is a new one every time. The test
// prints it.
func Seed(tb testing.TB, normal uint64) uint64 {
	tb.Helper()
	switch text := os.Getenv("ACTIVITY_SOAK_SEED"); text {
	case "":
		return normal
	case "random":
		return uint64(rand.Uint32())
	default:
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			tb.Fatalf("testenv: ACTIVITY_SOAK_SEED is %q, not a number", text)
		}
		return seed
	}
}

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
