package pipeline

import (
	"github.com/truledgr/activity-agent/pipeline/redact"
	"github.com/truledgr/activity-agent/pipeline/rule"
)

// Config is `pipeline`.
type Config struct {
	// Classify are rules of the user's own; the first whose condition holds for a line counts.
	Classify []rule.Config `yaml:"classify"`
	Redact   redact.Config `yaml:"redact"`
}

// DefaultConfig returns the configuration that omitted keys fall back to.
func DefaultConfig() Config { return Config{Redact: redact.DefaultConfig()} }
