package tail

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/pipeline"
)

// A glob is an absolute pattern, cut at its slashes. "**" stands for any number of directories, the others are as in
// path/filepath.Match.
type glob []string

// parseGlob makes pattern absolute.
func parseGlob(pattern string) (glob, error) {
	abs, err := filepath.Abs(pattern)
	if err != nil {
		return nil, err
	}
	return strings.Split(strings.TrimPrefix(abs, "/"), "/"), nil
}

// match reports whether an absolute path fits.
func (g glob) match(path string) bool {
	return matchElements(g, strings.Split(strings.TrimPrefix(path, "/"), "/"))
}

func matchElements(g glob, path []string) bool {
	for len(g) > 0 {
		if g[0] == "**" {
			for i := 0; i <= len(path); i++ {
				if matchElements(g[1:], path[i:]) {
					return true
				}
			}
			return false
		}
		if len(path) == 0 {
			return false
		}
		if ok, _ := filepath.Match(g[0], path[0]); !ok {
			return false
		}
		g, path = g[1:], path[1:]
	}
	return len(path) == 0
}

// A lister reads directories, each at most once.
type lister map[string][]fs.DirEntry

// list returns the entries of dir, or none if it cannot be read: it may come later.
func (l lister) list(dir string) []fs.DirEntry {
	entries, ok := l[dir]
	if !ok {
		entries, _ = os.ReadDir(dir)
		l[dir] = entries
	}
	return entries
}

// expand calls yield with every path that fits. Directories reached by "**" are not followed through symbolic links,
// which may lead in circles.
func (l lister) expand(g glob, yield func(path string)) { l.below("/", g, yield) }

func (l lister) below(dir string, g glob, yield func(string)) {
	name, rest := g[0], g[1:]
	switch {
	case name == "**":
		if len(rest) == 0 {
			rest = glob{"*"}
		}
		l.below(dir, rest, yield)
		for _, e := range l.list(dir) {
			if e.IsDir() {
				l.below(filepath.Join(dir, e.Name()), g, yield)
			}
		}
	case len(rest) > 0 && !strings.ContainsAny(name, `*?[\`):
		l.below(filepath.Join(dir, name), rest, yield)
	default:
		for _, e := range l.list(dir) {
			ok, _ := filepath.Match(name, e.Name())
			if !ok {
				continue
			}
			if path := filepath.Join(dir, e.Name()); len(rest) == 0 {
				if !e.IsDir() {
					yield(path)
				}
			} else if e.IsDir() || e.Type()&fs.ModeSymlink != 0 {
				l.below(path, rest, yield)
			}
		}
	}
}

// An input is an entry of the configuration, made ready for use.
type input struct {
	Config
	include, exclude []glob
	excludeBase      []string
	cutter           *pipeline.Cutter
}

func newInput(c Config) (*input, error) {
	in := &input{Config: c, cutter: c.Cutter()}
	for _, p := range c.Include {
		g, err := parseGlob(p)
		if err != nil {
			return nil, err
		}
		in.include = append(in.include, g)
	}
	for _, p := range c.Exclude {
		if !strings.Contains(p, "/") {
			in.excludeBase = append(in.excludeBase, p)
			continue
		}
		g, err := parseGlob(p)
		if err != nil {
			return nil, err
		}
		in.exclude = append(in.exclude, g)
	}
	return in, nil
}

// source describes a stream for the pipeline.
func (in *input) source(id activity.StreamID, path string) *pipeline.Stream {
	s := in.Stream()
	s.ID, s.Path = id, path
	return &s
}

// takes reports whether path is included and not excluded.
func (in *input) takes(path string) bool {
	return slices.ContainsFunc(in.include, func(g glob) bool { return g.match(path) }) && !in.excludes(path)
}

func (in *input) excludes(path string) bool {
	base := filepath.Base(path)
	return slices.ContainsFunc(in.exclude, func(g glob) bool { return g.match(path) }) ||
		slices.ContainsFunc(in.excludeBase, func(p string) bool { ok, _ := filepath.Match(p, base); return ok })
}
