package tail

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// naming is a configuration that reads dir/glob.
func naming(dir, glob string) []Config {
	c := DefaultConfig()
	c.Include = []string{filepath.Join(dir, glob)}
	return []Config{c}
}

func TestOtherFilesWhileReading(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{})
	write(t, g.path("app.log"), "a1\n", "a")
	write(t, g.path("app.txt"), "t1\n")
	g.wants("a1")

	must(t, g.Reconfigure(naming(g.dir, "*.txt")))
	write(t, g.path("app.log"), "2\n")
	g.wants("a1", "t1")

	must(t, g.Reconfigure(naming(g.dir, "app.*")))
	write(t, g.path("app.txt"), "t2\n")
	g.wants("a1", "t1", "a2", "t2")
}

// TestADeletedFileIsReadOnOverAReconfiguration: nothing but the open descriptor leads to it any more.
func TestADeletedFileIsReadOnOverAReconfiguration(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{})
	write(t, g.path("app.log"), "a1\n")
	g.wants("a1")
	f, err := os.OpenFile(g.path("app.log"), os.O_APPEND|os.O_WRONLY, 0)
	must(t, err)
	defer f.Close()
	must(t, os.Remove(g.path("app.log")))
	must(t, g.Reconfigure(naming(g.dir, "app*")))
	_, err = f.WriteString("a2\n")
	must(t, err)
	g.wants("a1", "a2")
}

// TestALongerLineAfterAReconfiguration: buffers that were made for shorter lines grow.
func TestALongerLineAfterAReconfiguration(t *testing.T) {
	t.Parallel()
	small, large := naming("", ""), naming("", "")
	dir := t.TempDir()
	small[0].Include = []string{filepath.Join(dir, "*.log")}
	large[0].Include = small[0].Include
	small[0].MaxLineBytes, large[0].MaxLineBytes = 1<<10, 4<<20
	g := start(t, dir, newMemory(), Options{Files: small, BatchBytes: 4 << 10})
	line := strings.Repeat("x", 3<<20)
	write(t, g.path("app.log"), line+"\n")
	until(t, func() bool { return len(g.got()) == 1 })
	must(t, g.Reconfigure(large))
	var want []string
	for range 5 { // more than the pool holds
		write(t, g.path("app.log"), line+"\n")
		want = append(want, line)
	}
	g.wants(append(want, line[:1<<10])...)
	must(t, g.Reconfigure(small))
	write(t, g.path("app.log"), line+"\n")
	g.wants(append(want, line[:1<<10], line[:1<<10])...)
}

// TestReconfiguredAllTheTime changes the way of reading while much is read: each line comes once, in order.
func TestReconfiguredAllTheTime(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{BatchBytes: 1 << 10})
	var want []string
	for i := range 200 {
		var text strings.Builder
		for j := range 50 {
			line := fmt.Sprintf("line %d of turn %d", j, i)
			want = append(want, line)
			text.WriteString(line + "\n")
		}
		write(t, g.path("app.log"), text.String())
		c := naming(g.dir, []string{"*.log", "app.*", "a*"}[i%3])
		c[0].MaxLineBytes = 1<<10 + i<<10
		c[0].TrustIDs = i%2 == 0
		must(t, g.Reconfigure(c))
	}
	g.wants(want...)
}

func TestAWrongReconfigurationChangesNothing(t *testing.T) {
	t.Parallel()
	g := start(t, t.TempDir(), newMemory(), Options{})
	wrong := naming(g.dir, "*.txt")
	wrong[0].Format = "xml"
	if err := g.Reconfigure(wrong); err == nil {
		t.Error("no error")
	}
	write(t, g.path("app.log"), "a\n")
	write(t, g.path("app.txt"), "t\n")
	g.wants("a")
	g.Drain()
	until(t, func() bool { return errors.Is(g.Reconfigure(naming(g.dir, "*.log")), ErrDraining) })
	if err := g.Reconfigure(naming(g.dir, "*.log")); !errors.Is(err, ErrDraining) {
		t.Errorf("while draining: %v", err)
	}
}
