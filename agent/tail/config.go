package tail

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/truledgr/activity-agent/pipeline"
)

// Config is one entry of `files`: what to tail and how to read it.
type Config struct {
	// Include lists files by glob ("*" within a path element, "**" across them). At least one. "-" is standard input, which
	// is the agent's to read and not the tailer's.
	Include []string `yaml:"include"`
	// Exclude takes files out again, by the same globs; one without a slash is compared with the base name.
	Exclude []string `yaml:"exclude"`
	// StartAt says where a file is begun that is there when the agent first starts and has never been read: "beginning"
	// (default) or "end". Files that appear later are read from their beginning.
	StartAt string `yaml:"start_at"`
	// Format is the envelope of the lines: "auto" (default; told line by line), "json", "docker", "cri" or "text".
	Format string `yaml:"format"`
	// NonJSON says what becomes of a line that is not JSON: "keep" (default), "drop" or "dead_letter".
	NonJSON string `yaml:"non_json"`
	// Multiline says what becomes of the lines of a stack trace: "traces" (default) joins them, with the line of text
	// before them, into one record; "off" makes a record of each line.
	Multiline string `yaml:"multiline"`
	// TrustIDs takes a line's own `id` for the activity's, where it is a ULID. Default false.
	TrustIDs bool `yaml:"trust_ids"`
	// Delete says whether rotated files are deleted: "never" (default), or "after_ack", once every record of one has an
	// outcome that is safe on the disk, nothing has been written to it for a minute, and its log goes on in a newer file.
	// Dead letters of it cannot be replayed then.
	Delete string `yaml:"delete"`
	// VolumeWarning is how full the volume of the files may be, in percent, until the agent warns. Default 85; 0 never
	// warns.
	VolumeWarning int `yaml:"volume_warning"`
	// MaxLineBytes is how much of a line is kept; the rest is read, counted and left out. Default 1 MiB, between 1 KiB
	// and 4 MiB.
	MaxLineBytes int `yaml:"max_line_bytes"`
}

// DefaultConfig returns the entry that omitted keys fall back to. Include has no default.
func DefaultConfig() Config {
	return Config{StartAt: "beginning", Format: "auto", NonJSON: "keep", Multiline: "traces", Delete: "never", VolumeWarning: 85, MaxLineBytes: 1 << 20}
}

// Cutter returns what finds the records in bytes of such a file.
func (c *Config) Cutter() *pipeline.Cutter {
	cutter := &pipeline.Cutter{MaxLine: c.MaxLineBytes}
	switch c.Format {
	case "json", "text":
		cutter.Envelope = pipeline.NoEnvelope
	case "docker":
		cutter.Envelope = pipeline.DockerEnvelope
	case "cri":
		cutter.Envelope = pipeline.CRIEnvelope
	}
	cutter.Traces = c.Stream().NonJSON == pipeline.KeepText && c.Multiline == "traces"
	return cutter
}

// Stream returns how lines of such a file are treated.
func (c *Config) Stream() pipeline.Stream {
	s := pipeline.Stream{TrustIDs: c.TrustIDs}
	switch c.NonJSON {
	case "drop":
		s.NonJSON = pipeline.DropText
	case "dead_letter":
		s.NonJSON = pipeline.DeadLetterText
	}
	return s
}

// Validate returns everything that is wrong with c, each error beginning with the name of its key.
func (c *Config) Validate() []error {
	var errs []error
	if len(c.Include) == 0 {
		errs = append(errs, fmt.Errorf("include: is empty; name at least one file or glob, such as /var/log/app/*.log"))
	}
	errs = append(errs, checkGlobs("include", c.Include)...)
	errs = append(errs, checkGlobs("exclude", c.Exclude)...)
	errs = append(errs, oneOf("start_at", c.StartAt, "beginning", "end")...)
	errs = append(errs, oneOf("format", c.Format, "auto", "json", "docker", "cri", "text")...)
	errs = append(errs, oneOf("non_json", c.NonJSON, "keep", "drop", "dead_letter")...)
	errs = append(errs, oneOf("multiline", c.Multiline, "traces", "off")...)
	errs = append(errs, oneOf("delete", c.Delete, "never", "after_ack")...)
	if c.VolumeWarning < 0 || c.VolumeWarning > 100 {
		errs = append(errs, fmt.Errorf("volume_warning: %d is not between 0 and 100", c.VolumeWarning))
	}
	if c.MaxLineBytes < 1<<10 || c.MaxLineBytes > 4<<20 {
		errs = append(errs, fmt.Errorf("max_line_bytes: %d is not between 1024 and 4194304", c.MaxLineBytes))
	}
	return errs
}

func checkGlobs(key string, globs []string) []error {
	var errs []error
	for i, g := range globs {
		if strings.TrimSpace(g) == "" {
			errs = append(errs, fmt.Errorf("%s[%d]: is empty", key, i))
		} else if _, err := filepath.Match(g, ""); err != nil {
			errs = append(errs, fmt.Errorf("%s[%d]: %q is not a glob: a bracket or a backslash is left open", key, i, g))
		}
	}
	return errs
}

func oneOf(key, got string, want ...string) []error {
	if slices.Contains(want, got) {
		return nil
	}
	return []error{fmt.Errorf("%s: %q is none of %s", key, got, strings.Join(want, ", "))}
}
