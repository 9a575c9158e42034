package estest

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	startWithin = 90 * time.Second
	closeWithin = 25 * time.Second // a little longer than the launcher allows itself
)

// A process is one node's JVM. It has no goroutine on our side, so that a node may outlive the tests of a package that
// looks for leaked ones.
type process struct {
	cmd      *exec.Cmd
	lifeLine *os.File // the node ends when this is closed, by us or by our end
	out      *os.File
	log      string // path
}

// launch starts a node in its home directory and does not wait for it. What the node logs goes to the file log,
// after what is there. The directory remove, unless empty, is removed when the node has ended in order.
func (i installation) launch(home, log, remove string, settings []string) (*process, error) {
	if err := os.MkdirAll(filepath.Join(home, "config"), 0o755); err != nil {
		return nil, err
	}
	logFile, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = logFile.Close() }()
	stdin, lifeLine, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = stdin.Close() }()
	out, stdout, err := os.Pipe()
	if err != nil {
		_ = lifeLine.Close()
		return nil, err
	}
	defer func() { _ = stdout.Close() }()

	cmd := exec.Command(i.java, i.arguments(home, remove, settings)...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = home, stdin, stdout, logFile
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, lifeLine.Close(), out.Close())
	}
	return &process{cmd, lifeLine, out, log}, nil
}

func (i installation) arguments(home, remove string, settings []string) []string {
	heap := os.Getenv("ACTIVITY_TEST_ES_HEAP")
	if heap == "" {
		heap = "512m"
	}
	args := []string{
		"-Xmx" + heap,
		// Tests are short and the processor is shared: the second compiler costs more than it brings.
		"-XX:TieredStopAtLevel=1",
		"-XX:-UsePerfData",
		"-XX:+ExitOnOutOfMemoryError",
		"-Djava.io.tmpdir=" + home,
		"-Dlog4j2.configurationFile=" + i.logging,
		"-cp", filepath.Join(i.jars, "*") + string(os.PathListSeparator) + i.jars,
		"Launcher", i.modules, home, remove,
	}
	return append(args, settings...)
}

// waitReady waits until the node listens. Where it ends instead, or takes too long, the error has its last log lines.
func (p *process) waitReady() error {
	if err := p.out.SetReadDeadline(time.Now().Add(startWithin)); err != nil {
		return err
	}
	line, err := bufio.NewReader(p.out).ReadString('\n')
	switch {
	case err == nil && line == "ready\n":
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = fmt.Errorf("the Elasticsearch node did not start within %v", startWithin)
	default:
		err = errors.New("the Elasticsearch node ended while it started")
	}
	_ = p.kill()
	return fmt.Errorf("%w; the end of its log:\n%s", err, p.lastLog())
}

func (p *process) lastLog() string {
	content, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return lastLines(string(content), 30)
}

// stop lets the node close its files and waits for its end.
func (p *process) stop() error {
	_ = p.lifeLine.Close()
	late := time.AfterFunc(closeWithin, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	return errors.Join(p.cmd.Wait(), p.out.Close())
}

// kill ends the node as a crash would.
func (p *process) kill() error {
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // says only that it was killed
	return errors.Join(err, p.lifeLine.Close(), p.out.Close())
}

// freePorts returns ports of the loopback address that nobody listens on. They lie below those that systems hand out
// for outgoing connections, one of which would otherwise take the port of a node that is down.
func freePorts(n int) ([]int, error) {
	const lowest, count = 20_000, 12_000
	var ports []int
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := lowest + rand.IntN(count)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		defer func() { _ = l.Close() }() // only now, so that no port is found twice
		ports = append(ports, port)
	}
	return nil, fmt.Errorf("no %d free ports from %d to %d", n, lowest, lowest+count)
}

// portTaken reports whether the node failed because another process took its port between freePorts and its start.
func portTaken(err error) bool {
	return strings.Contains(err.Error(), "BindHttpException") || strings.Contains(err.Error(), "BindTransportException")
}
