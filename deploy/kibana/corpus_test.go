package kibana

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/testenv"
	"github.com/truledgr/activity-agent/pipeline"
)

// corpus is what the pipeline makes of real logs, by kind.
func corpus(t *testing.T) map[activity.Kind][]document {
	t.Helper()
	pipe, err := pipeline.New(pipeline.Options{Config: pipeline.DefaultConfig(), AgentID: "test"})
	if err != nil {
		t.Fatal(err)
	}
	out := map[activity.Kind][]document{}
	var files []string
	for _, dir := range []string{filepath.Join(testenv.Root(t), "examples", "logs"), testenv.Shared(t, "corpus/logs")} {
		found, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for i, file := range files {
		if strings.HasSuffix(file, ".provenance") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		raw := &pipeline.Raw{Buf: text}
		raw.Ranges = []pipeline.Range{{Stream: &pipeline.Stream{ID: activity.StreamID{byte(i)}, Path: file}, End: int64(len(text))}}
		cutter := pipeline.Cutter{MaxLine: 1 << 20}
		cutter.Cut(raw, 0, len(text), 0, true)
		var b pipeline.Batch
		pipe.Process(raw, uint64(i+1), time.Now().UTC(), &b)
		for n, r := range b.Records {
			if r.Fate != pipeline.Deliver {
				continue
			}
			var source any
			if err := json.Unmarshal(b.Doc(n), &source); err != nil {
				t.Fatal(err)
			}
			d := document{}
			flatten(d, "", source)
			out[r.Kind] = append(out[r.Kind], d)
		}
	}
	return out
}

// flatten puts the values of a JSON document into d by their dotted names.
func flatten(d document, name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for member, below := range v {
			flatten(d, strings.TrimPrefix(name+"."+member, "."), below)
		}
	case []any:
		for _, element := range v {
			flatten(d, name, element)
		}
	default:
		d[name] = append(d[name], v)
	}
}

// rare are conditions and fields that the real logs have none of, and why they are asked for all the same.
var rare = map[string]string{
	"agent-truncated truncated: true":               "no line of the corpus is so long",
	"auth-second-factors two_factor_success: false": "nobody gave a wrong one",
	"agent-pods kubernetes.pod.name":                "the agent knows its pod from its environment",
}

// TestPanelsHaveSomethingToShow: what panels ask for is what the agent writes when it reads real logs, in the spelling that it
// writes.
func TestPanelsHaveSomethingToShow(t *testing.T) {
	t.Parallel()
	written := corpus(t)
	all := objects(t, "activities")
	kinds := kindsOfViews(t, "activities", all)
	excused := maps.Clone(rare)
	for _, o := range all {
		if o.Type != "lens" {
			continue
		}
		view, _ := o.reference("indexpattern-datasource-layer-main")
		l, asked := lensOf(t, o)
		name := strings.TrimPrefix(o.ID, "activities-lens-")
		documents := filtered(documentsOf(written, kinds[view]), parseKQL(t, l.State.Query.Query))
		if len(documents) == 0 {
			missing(t, excused, name, l.State.Query.Query)
			continue
		}
		for _, c := range asked.Columns {
			if c.Filter != nil && len(filtered(documents, parseKQL(t, c.Filter.Query))) == 0 {
				missing(t, excused, name, c.Filter.Query)
			}
			has := condition{clauses: []clause{{c.SourceField, ":", []string{"*"}}}}
			if c.OperationType != "count" && len(filtered(documents, has)) == 0 {
				missing(t, excused, name, c.SourceField)
			}
		}
	}
	for what := range excused {
		t.Errorf("the corpus has %s: it is not rare", what)
	}
}

// missing notes that a panel finds nothing, which needs an excuse.
func missing(t *testing.T, excused map[string]string, panel, what string) {
	t.Helper()
	if _, ok := rare[panel+" "+what]; !ok {
		t.Errorf("%s: no activity of the corpus has %s", panel, what)
	}
	delete(excused, panel+" "+what)
}
