//go:build schemathesis

package main

import (
	"cmp"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// The OpenAPI documents of both listeners are held to what is answered by schemathesis, which makes requests of them, right
// and wrong ones: api/schemathesis/check has it, and runs these tests.

var postedTo = regexp.MustCompile(`"activities are posted to".*"address":"([^"]+)"`)

// TestAnswersAreAsDescribed asks the read API over both stores.
func TestAnswersAreAsDescribed(t *testing.T) {
	for _, store := range []string{"sqlite", "elasticsearch"} {
		t.Run(store, func(t *testing.T) {
			s := newSite(t, store, "")
			s.configure("api: {listen: \"127.0.0.1:0\", rate_limit: 1000000, exports: 1000, auth: {api_keys: " + s.path("keys.yaml") + "}}\n")
			if err := s.write(50, true); err != nil {
				t.Fatal(err)
			}
			s.runToEnd()
			if s.node != nil {
				s.node.MustDo(t, "POST", "/"+s.prefix+"-*/_refresh", "", nil)
			}
			address := serving(t, s)
			code, key, errs := call(t, "", "keys", "create", "-c", s.config, "--role", "admin", "--user", "zoe")
			if code != 0 {
				t.Fatal(errs)
			}
			describe(t, address, "--header", "Authorization: Bearer "+strings.TrimSpace(key), "--exclude-path-regex", "/live$")
		})
	}
}

// TestPostsAreAsDescribed posts to the ingest listener.
func TestPostsAreAsDescribed(t *testing.T) {
	s := newSite(t, "sqlite", "")
	r := withAdmin(t, s, "ingest: {listen: \"127.0.0.1:0\", token: schemathesis}\n").start()
	m := postedTo.FindStringSubmatch(r.said.String())
	if m == nil {
		t.Fatal(r.said.String())
	}
	describe(t, m[1], "--header", "Authorization: Bearer schemathesis")
	r.stop()
}

// describe runs schemathesis for SCHEMATHESIS_SECONDS, 15 unless told. Its check of requests without a right token is left out:
// who sends many of them is told to wait, which is described, and package api tests who may ask what.
func describe(t *testing.T, address string, flags ...string) {
	t.Helper()
	seconds, seed := cmp.Or(os.Getenv("SCHEMATHESIS_SECONDS"), "15"), cmp.Or(os.Getenv("SCHEMATHESIS_SEED"), "1")
	phases := cmp.Or(os.Getenv("SCHEMATHESIS_PHASES"), "fuzzing") // coverage overruns the stack of some versions of Python
	cmd := exec.CommandContext(t.Context(), os.Getenv("SCHEMATHESIS"), append([]string{
		"run", "http://" + address + "/openapi.json", "--max-time", seconds, "--seed", seed, "--phases", phases, "--max-examples", "20", "--continue-on-failure", "--no-color",
		"--generation-database", "none", "--request-timeout", "60", "--warnings", "off",
		"--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,response_headers_conformance",
	}, flags...)...)
	cmd.Dir = t.TempDir()
	said, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	t.Logf("%s", said)
}
