package estest

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A Cluster is a set of nodes that belongs to one test, which may stop, kill and restart them. Nodes keep their ports
// and their data.
type Cluster struct {
	install installation
	nodes   []*member
}

type member struct {
	node     Node
	home     string
	log      string
	remove   string // a directory, when the node ends
	settings []string
	process  *process // nil while the node is down
}

// Start returns a new cluster of so many nodes, all of them ready. It ends with the test; when the test has failed, the
// ends of the nodes' logs are logged. settings ("thread_pool.write.queue_size=1") go to each node.
//
// The test is skipped (in CI: fails) where the machine has no Java or the jars cannot be had.
func Start(tb testing.TB, nodes int, settings ...string) *Cluster {
	tb.Helper()
	i, err := install(elasticsearch)
	if err != nil {
		giveUp(tb, err)
	}
	c, err := startCluster(i, nodes, tb.TempDir(), "", settings)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		for n, m := range c.nodes {
			if m.process == nil {
				continue
			}
			if err := m.process.stop(); err != nil {
				tb.Errorf("stop node %d of Elasticsearch: %v", n, err)
			}
			if tb.Failed() {
				tb.Logf("the end of the log of Elasticsearch's node %d:\n%s", n, m.process.lastLog())
			}
		}
	})
	return c
}

// startCluster tries again with other ports where another process was faster.
func startCluster(i installation, nodes int, dir, remove string, settings []string) (*Cluster, error) {
	for attempt := 1; ; attempt++ {
		c, err := newCluster(i, nodes, filepath.Join(dir, strconv.Itoa(attempt)), remove, settings)
		if err == nil {
			err = c.startAll()
		}
		if err == nil || attempt == 3 || !portTaken(err) {
			return c, err
		}
	}
}

func newCluster(i installation, nodes int, dir, remove string, settings []string) (*Cluster, error) {
	ports, err := freePorts(2 * nodes)
	if err != nil {
		return nil, err
	}
	httpPorts, transportPorts := ports[:nodes], ports[nodes:]
	var names, seeds []string
	for n := range nodes {
		names = append(names, "node-"+strconv.Itoa(n))
		seeds = append(seeds, hostPort(transportPorts[n]))
	}
	c := &Cluster{install: i}
	for n := range nodes {
		home := filepath.Join(dir, names[n])
		m := &member{home: home, log: filepath.Join(home, "node.log"), remove: remove}
		m.node.url = "http://" + hostPort(httpPorts[n])
		m.settings = []string{
			"path.data=" + filepath.Join(home, "data"),
			"cluster.name=" + "activity-test-" + strconv.Itoa(transportPorts[0]),
			"node.name=" + names[n],
			"network.host=127.0.0.1",
			"http.port=" + strconv.Itoa(httpPorts[n]),
			"transport.port=" + strconv.Itoa(transportPorts[n]),
			"cluster.routing.allocation.disk.threshold_enabled=false", // the developer's disk may be nearly full
			"discovery.initial_state_timeout=0s",                      // we wait ourselves, and say what for
			"node.processors=2",
		}
		if nodes == 1 {
			m.settings = append(m.settings, "discovery.type=single-node")
		} else {
			m.settings = append(m.settings,
				"discovery.seed_hosts="+strings.Join(seeds, ","),
				"cluster.initial_master_nodes="+strings.Join(names, ","))
		}
		m.settings = append(m.settings, settings...)
		c.nodes = append(c.nodes, m)
	}
	return c, nil
}

// startAll starts every node, and stops them all where one fails.
func (c *Cluster) startAll() (err error) {
	defer func() {
		if err == nil {
			return
		}
		for _, m := range c.nodes {
			if m.process != nil {
				_ = m.process.kill()
				m.process = nil
			}
		}
	}()
	for _, m := range c.nodes {
		if m.process, err = c.install.launch(m.home, m.log, m.remove, m.settings); err != nil {
			return err
		}
	}
	for _, m := range c.nodes {
		if err = m.waitReady(); err != nil {
			return err
		}
	}
	return c.waitFor(len(c.nodes))
}

func (m *member) waitReady() error {
	err := m.process.waitReady()
	if err != nil {
		m.process = nil
	}
	return err
}

// Size is the number of nodes, those included that are down.
func (c *Cluster) Size() int { return len(c.nodes) }

// Node returns a node by its number, from 0.
func (c *Cluster) Node(i int) *Node { return &c.nodes[i].node }

// URLs are the addresses of all nodes, those included that are down.
func (c *Cluster) URLs() []string {
	var urls []string
	for _, m := range c.nodes {
		urls = append(urls, m.node.url)
	}
	return urls
}

// Stop shuts a node down in order and waits for its end.
func (c *Cluster) Stop(tb testing.TB, i int) {
	tb.Helper()
	if err := c.up(tb, i).stop(); err != nil {
		tb.Errorf("stop node %d of Elasticsearch: %v", i, err)
	}
}

// Kill ends a node with SIGKILL.
func (c *Cluster) Kill(tb testing.TB, i int) {
	tb.Helper()
	if err := c.up(tb, i).kill(); err != nil {
		tb.Errorf("kill node %d of Elasticsearch: %v", i, err)
	}
}

// up returns the process of a node that is up and notes that it is not any more.
func (c *Cluster) up(tb testing.TB, i int) *process {
	tb.Helper()
	p := c.nodes[i].process
	if p == nil {
		tb.Fatalf("node %d of Elasticsearch is down already", i)
	}
	c.nodes[i].process = nil
	return p
}

// Restart starts a node that is down, with its data and ports, and returns when it answers. It does not wait for a
// master or for shards: that is WaitReady's.
func (c *Cluster) Restart(tb testing.TB, i int) {
	tb.Helper()
	m := c.nodes[i]
	if m.process != nil {
		tb.Fatalf("node %d of Elasticsearch is up already", i)
	}
	var err error
	if m.process, err = c.install.launch(m.home, m.log, m.remove, m.settings); err == nil {
		err = m.waitReady()
	}
	if err != nil {
		tb.Fatalf("restart node %d: %v", i, err)
	}
}

// WaitReady waits until all nodes that are up form one cluster and every primary shard that they have is active.
func (c *Cluster) WaitReady(tb testing.TB) {
	tb.Helper()
	up := 0
	for _, m := range c.nodes {
		if m.process != nil {
			up++
		}
	}
	if err := c.waitFor(up); err != nil {
		tb.Fatal(err)
	}
}

// waitFor asks a node that is up until so many nodes have found one another.
func (c *Cluster) waitFor(nodes int) error {
	path := fmt.Sprintf("/_cluster/health?wait_for_nodes=%d&wait_for_status=yellow&timeout=2s", nodes)
	var last error
	for deadline := time.Now().Add(startWithin); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		for _, m := range c.nodes {
			if m.process == nil {
				continue
			}
			status, answer, err := m.node.do(http.MethodGet, path, "")
			if err == nil && status == http.StatusOK {
				return nil
			}
			last = errors.Join(err, fmt.Errorf("status %d: %.300s", status, answer))
		}
	}
	return fmt.Errorf("no cluster of %d nodes within %v: %w", nodes, startWithin, last)
}

func hostPort(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// startShared starts the node that the tests of a process share. Its launcher removes its files, since nobody else is
// there when it ends.
func startShared(d distribution) (*Cluster, error) {
	i, err := install(d)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "activity-"+d.name+"-")
	if err != nil {
		return nil, err
	}
	c, err := startCluster(i, 1, dir, dir, nil)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return c, nil
}
