package estest

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// A distribution is what nodes are made of.
type distribution struct {
	name    string // for people
	version string // the one that its pom.xml asks for
	dir     string // of its files
	modules bool   // its transport is a module with a class loader of its own
}

var (
	elasticsearch = distribution{"elasticsearch", "8.18.8", "node", true}
	openSearch    = distribution{"opensearch", "2.19.1", "opensearch", false}
)

const oldestJava = 17

//go:embed node opensearch
var files embed.FS

// errAbsent marks that the machine lacks what a node needs. Tests are then skipped, or fail in CI.
var errAbsent = errors.New("a real Elasticsearch is not available")

// An installation is a directory that nodes run from. No node writes into it.
type installation struct {
	java    string
	jars    string // what goes on the class path, the compiled launcher included
	modules string
	logging string // log4j's configuration
}

// install returns the installation in the user's cache and makes it on first use: maven resolves the jars, javac
// compiles the launcher. Any number of processes may do so at once.
func install(d distribution) (installation, error) {
	java, err := findJava()
	if err != nil {
		return installation{}, err
	}
	root, err := cached(d)
	if err != nil {
		return installation{}, err
	}
	return installation{
		java:    java,
		jars:    filepath.Join(root, "core"),
		modules: filepath.Join(root, "modules"),
		logging: filepath.Join(root, d.dir, "log4j2.properties"),
	}, nil
}

var javaVersion = regexp.MustCompile(`version "(\d+)`)

func findJava() (string, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return "", fmt.Errorf("%w: it needs java %d or newer on PATH, or ACTIVITY_TEST_ES_URL", errAbsent, oldestJava)
	}
	said, err := exec.Command(java, "-version").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: java -version: %w", errAbsent, err)
	}
	if m := javaVersion.FindSubmatch(said); m != nil {
		if major, err := strconv.Atoi(string(m[1])); err == nil && major < oldestJava {
			return "", fmt.Errorf("%w: it needs java %d or newer, and java on PATH is %d", errAbsent, oldestJava, major)
		}
	}
	return java, nil
}

// cached returns the directory of the installation. Its name has a hash of the files in this package, so that a change
// of the launcher is never run from an old cache.
func cached(d distribution) (string, error) {
	hash, err := hashFiles(d.dir)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the jars of Elasticsearch: %w", err)
	}
	cache = filepath.Join(cache, "activity-agent")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("where to keep the jars of Elasticsearch: %w", err)
	}
	root := filepath.Join(cache, d.name+"-"+d.version+"-"+hash)
	unlock, err := lock(filepath.Join(cache, d.name+".lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(root); err == nil {
		return root, nil
	}
	return root, build(d, cache, root)
}

// lock waits until this process is the only one that builds. The lock ends with the process at the latest.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the cache of Elasticsearch: %w", err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			return func() { _ = f.Close() }, nil
		}
		if !errors.Is(err, syscall.EINTR) {
			_ = f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}

// build makes the installation beside its place and renames it when it is whole.
func build(d distribution, cache, root string) error {
	for _, tool := range []string{"mvn", "javac"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fmt.Errorf("%w: its jars are not cached yet, and %s is not on PATH to make them", errAbsent, tool)
		}
	}
	dir, err := os.MkdirTemp(cache, "building-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // gone already when all went well
	if err := os.CopyFS(dir, files); err != nil {
		return err
	}
	core, transport := filepath.Join(dir, "core"), filepath.Join(dir, "modules", "transport-netty4")
	if err := os.MkdirAll(transport, 0o755); err != nil {
		return err
	}
	if err := tool(filepath.Join(dir, d.dir), "mvn", "--quiet", "--batch-mode", "dependency:copy-dependencies",
		"-DoutputDirectory="+core); err != nil {
		return fmt.Errorf("%w: maven cannot fetch its jars: %w", errAbsent, err)
	}
	if d.modules {
		err := moveTransport(core, transport)
		if err == nil {
			err = os.Rename(filepath.Join(dir, d.dir, "plugin-descriptor.properties"), filepath.Join(transport, "plugin-descriptor.properties"))
		}
		if err != nil {
			return err
		}
	}
	if err := tool(dir, "javac", "--release", strconv.Itoa(oldestJava), "-cp", filepath.Join(core, "*"), "-d", core,
		filepath.Join(d.dir, "Launcher.java")); err != nil {
		return fmt.Errorf("compile the launcher of %s: %w", d.name, err)
	}
	return os.Rename(dir, root)
}

// moveTransport moves the jars of the one module out of the class path: Elasticsearch loads modules from elsewhere.
func moveTransport(core, module string) error {
	for _, pattern := range []string{"netty-*.jar", "transport-netty4-*.jar"} {
		jars, err := filepath.Glob(filepath.Join(core, pattern))
		if err != nil {
			return err
		}
		if len(jars) == 0 {
			return fmt.Errorf("maven brought no %s", pattern)
		}
		for _, jar := range jars {
			if err := os.Rename(jar, filepath.Join(module, filepath.Base(jar))); err != nil {
				return err
			}
		}
	}
	return nil
}

func tool(dir, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	said, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, lastLines(string(bytes.TrimSpace(said)), 20))
	}
	return nil
}

func hashFiles(dir string) (string, error) {
	h := fnv.New32a()
	err := fs.WalkDir(files, dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := files.ReadFile(path)
		_, _ = h.Write([]byte(path))
		_, _ = h.Write(content)
		return err
	})
	return fmt.Sprintf("%08x", h.Sum32()), err
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
