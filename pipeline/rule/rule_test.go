package rule

import (
	"strings"
	"testing"
)

// TestConditionsThatAreRefused: what is wrong, endless or different from one time to the next is told when it is loaded.
func TestConditionsThatAreRefused(t *testing.T) {
	t.Parallel()
	for when, want := range map[string]string{
		"":                                      "empty",
		`level = "x"`:                           "column 7",
		`level == `:                             "line 1, column",
		"level == 1 and\n(":                     "line 2",
		`"text"`:                                "bool",
		`a +`:                                   "column",
		`a matches "("`:                         "",
		`now() > 1`:                             "now",
		`date("2026-01-01") == d`:               "date",
		`a.b()`:                                 "method",
		`f(1)`:                                  "no function f",
		`$env["a"] == 1`:                        `line["name"]`,
		`line[a] == 1`:                          "in quotes",
		`all(1..n, true)`:                       "range",
		`all(1..100000, true)`:                  "range",
		`any(a, any(#, any(#, # == 1)))`:        "inside each other",
		`len(repeat("x", 1000000)) > 1`:         "",
		strings.Repeat("a == 1 or ", 300) + "b": "nodes",
	} {
		_, err := Compile(when)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%.60q: got error %v, want one line with %q", when, err, want)
		}
	}
}

func TestOnlyCandidatesAreEvaluated(t *testing.T) {
	t.Parallel()
	for when, always := range map[string]bool{
		`a == 1`: false, `a == 1 or b == 2`: false, `a != 1`: true, `not (a == 1)`: true, `a == nil`: true,
		`_kind == "x" and a == 1`: false, `_kind == "x"`: false,
	} {
		c, err := Compile(when)
		if err != nil {
			t.Fatal(err)
		}
		if c.always != always {
			t.Errorf("%s: holds without members: %v, want %v", when, c.always, always)
		}
	}
}
