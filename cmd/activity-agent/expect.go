package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/truledgr/activity-agent/config"
	"github.com/truledgr/activity-agent/pipeline"
)

// expect runs the configuration's own tests, and tells on standard output which fail and how.
func (p *program) expect(pipe *pipeline.Pipeline, c *config.Config) error {
	failed := 0
	for i, test := range c.Tests {
		name := test.Name
		if name == "" {
			name = fmt.Sprintf("tests[%d]", i)
		}
		differences, err := differences(pipe, c, test)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if len(differences) > 0 {
			failed++
			fmt.Fprintf(p.stdout, "FAIL  %s\n      %s\n", name, strings.Join(differences, "\n      "))
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d tests of the configuration failed", failed, len(c.Tests))
	}
	fmt.Fprintf(p.stdout, "ok  %d tests of the configuration\n", len(c.Tests))
	return nil
}

// differences compares what becomes of a test's line with what is expected of it, a line for each difference.
func differences(pipe *pipeline.Pipeline, c *config.Config, test config.Test) ([]string, error) {
	line := strings.TrimRight(test.Line, "\n") + "\n"
	raw := &pipeline.Raw{Buf: []byte(line), Ranges: []pipeline.Range{{Stream: &pipeline.Stream{Path: "test"}, End: int64(len(line))}}}
	cutter := pipeline.Cutter{MaxLine: c.Files[0].MaxLineBytes}
	cutter.Cut(raw, 0, len(line), 0, true)
	var b pipeline.Batch
	pipe.Process(raw, 1, time.Now().UTC(), &b)
	if len(b.Records) != 1 {
		return nil, fmt.Errorf("the line is %d records", len(b.Records))
	}
	r := &b.Records[0]
	dropped := ""
	if r.Fate != pipeline.Deliver {
		dropped = r.Reason
	}
	if dropped != test.Dropped {
		return []string{fmt.Sprintf("dropped by %s, want %s", orNothing(dropped), orNothing(test.Dropped))}, nil
	}
	if dropped != "" {
		return nil, nil
	}
	var doc map[string]any
	if err := json.Unmarshal(b.Doc(0), &doc); err != nil {
		return nil, err
	}
	var all []string
	for _, path := range slices.Sorted(maps.Keys(test.Expect)) {
		if got, want := valueAt(doc, path), test.Expect[path]; got != want {
			all = append(all, fmt.Sprintf("%s is %s, want %s", path, orNothing(got), orNothing(want)))
		}
	}
	if len(all) > 0 {
		all = append(all, fmt.Sprintf("it was classified by %v as %v", doc["classified_by"], doc["kind"]))
	}
	return all, nil
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return fmt.Sprintf("%q", s)
}

// valueAt returns the value at a dotted path as text, of objects and arrays as JSON; "" for none.
func valueAt(doc map[string]any, path string) string {
	if v, ok := doc[path]; ok {
		return asText(v)
	}
	for i := range path {
		if path[i] != '.' {
			continue
		}
		if below, ok := doc[path[:i]].(map[string]any); ok {
			if s := valueAt(below, path[i+1:]); s != "" {
				return s
			}
		}
	}
	return ""
}

func asText(v any) string {
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	if err != nil || string(b) == "null" {
		return ""
	}
	return string(b)
}
