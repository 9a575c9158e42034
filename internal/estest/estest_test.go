package estest

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/truledgr/activity-agent/internal/testenv"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSharedNodeIndexesScansAndWipes(t *testing.T) {
	n := Shared(t)
	if again := Shared(t); again.URL() != n.URL() {
		t.Errorf("a second call returned another node: %s and %s", again.URL(), n.URL())
	}
	prefix := n.Prefix(t)
	const documents = 12_000 // more than two pages
	var bulk strings.Builder
	for i := range documents {
		fmt.Fprintf(&bulk, `{"create":{"_index":"%s-%d","_id":"%d"}}`+"\n"+`{"seq":%d}`+"\n", prefix, i%2, i, i)
	}
	var answer struct{ Errors bool }
	n.MustDo(t, http.MethodPost, "/_bulk", bulk.String(), &answer)
	if answer.Errors {
		t.Fatal("the bulk request had errors")
	}
	seen := map[string]int{}
	for d := range n.Scan(t, prefix+"-*") {
		if want := fmt.Sprintf(`{"seq":%s}`, d.ID); string(d.Source) != want {
			t.Fatalf("got %s for id %s, want %s", d.Source, d.ID, want)
		}
		seen[d.ID]++
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("document %s came %d times", id, times)
		}
	}
	if len(seen) != documents {
		t.Errorf("got %d documents, want %d", len(seen), documents)
	}

	n.MustDo(t, http.MethodPut, "/_component_template/"+prefix+"-base", `{"template":{}}`, nil)
	n.MustDo(t, http.MethodPut, "/_index_template/"+prefix+"-all",
		fmt.Sprintf(`{"index_patterns":["%s-*"],"composed_of":["%[1]s-base"]}`, prefix), nil)
	n.Wipe(t, prefix)
	for _, path := range []string{"/_component_template/" + prefix + "-base", "/_index_template/" + prefix + "-all", "/" + prefix + "-0"} {
		if status, _ := n.Do(t, http.MethodGet, path, ""); status != http.StatusNotFound {
			t.Errorf("%s after a wipe: got status %d, want 404", path, status)
		}
	}
}

// Three nodes, ended in both ways, take a minute of processor time, so that they run only where that is no matter; a
// single node that is killed shows the same everywhere.
func TestClusterKeepsDataWhenNodesEnd(t *testing.T) {
	nodes, ways := 1, []func(*Cluster, testing.TB, int){(*Cluster).Kill}
	if testenv.CI() || testenv.Soak() {
		nodes, ways = 3, append(ways, (*Cluster).Stop)
	}
	began := time.Now()
	c := Start(t, nodes)
	t.Logf("%d nodes were ready after %v", nodes, time.Since(began).Round(time.Millisecond))
	c.Node(0).MustDo(t, http.MethodPut, "/kept", fmt.Sprintf(`{"settings":{"number_of_replicas":%d}}`, nodes-1), nil)
	for i, end := range ways {
		c.Node(0).MustDo(t, http.MethodPut, fmt.Sprintf("/kept/_doc/%d?wait_for_active_shards=all", i), `{"n":1}`, nil)
		end(c, t, 0)
		if _, _, err := c.Node(0).do(http.MethodGet, "/_cluster/health", ""); err == nil {
			t.Error("a node that was ended answers")
		}
		if nodes > 1 {
			c.WaitReady(t)
			c.Node(1).MustDo(t, http.MethodGet, fmt.Sprintf("/kept/_doc/%d", i), "", nil)
		}
		c.Restart(t, 0)
		c.WaitReady(t)
		c.Node(0).MustDo(t, http.MethodGet, fmt.Sprintf("/kept/_doc/%d", i), "", nil)
	}
	var health struct {
		Nodes int `json:"number_of_nodes"`
	}
	c.Node(0).Get(t, "/_cluster/health", &health)
	if health.Nodes != nodes {
		t.Errorf("got a cluster of %d nodes, want %d", health.Nodes, nodes)
	}
}

func TestInstallationIsWhole(t *testing.T) {
	i, err := install(elasticsearch)
	if err != nil {
		giveUp(t, err)
	}
	for pattern, want := range map[string]int{
		filepath.Join(i.jars, "elasticsearch-"+elasticsearch.version+".jar"):                           1,
		filepath.Join(i.jars, "Launcher.class"):                                                        1,
		filepath.Join(i.jars, "netty-*.jar"):                                                           0, // or the module cannot load
		filepath.Join(i.modules, "transport-netty4", "transport-netty4-"+elasticsearch.version+".jar"): 1,
		filepath.Join(i.modules, "transport-netty4", "plugin-descriptor.properties"):                   1,
		i.logging: 1,
	} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) != want {
			t.Errorf("%s: got %d files and error %v, want %d", pattern, len(found), err, want)
		}
	}
}

func TestNodeThatCannotStartSaysWhy(t *testing.T) {
	t.Parallel()
	i, err := install(elasticsearch)
	if err != nil {
		giveUp(t, err)
	}
	_, err = startCluster(i, 1, t.TempDir(), "", []string{"no.such.setting=1"})
	if err == nil || !strings.Contains(err.Error(), "no.such.setting") {
		t.Errorf("got error %v, want one that names the unknown setting", err)
	}
}

// recorder stands in for a test that Start ends.
type recorder struct {
	testing.TB
	skipped string
}

func (r *recorder) Helper() {}

func (r *recorder) Skip(args ...any) {
	r.skipped = fmt.Sprint(args...)
	panic(r) // as Skip does not return either
}

func TestMachineWithoutJavaSkips(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("ACTIVITY_CI", "")
	r := &recorder{TB: t}
	func() {
		defer func() { _ = recover() }()
		Start(r, 1)
	}()
	if !strings.Contains(r.skipped, "java 17") {
		t.Errorf("got skip reason %q, want one that says what is missing", r.skipped)
	}
}

func TestFreePortsAreDifferentAndBelowOutgoingOnes(t *testing.T) {
	t.Parallel()
	ports, err := freePorts(50)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, p := range ports {
		if p >= 32768 || seen[p] {
			t.Errorf("port %d is in the range of outgoing connections or came twice", p)
		}
		seen[p] = true
	}
}
