package pipeline

import "github.com/truledgr/activity-agent/pipeline/redact"

// Config is `pipeline`.
type Config struct {
	Redact redact.Config `yaml:"redact"`
}

// DefaultConfig returns the configuration that omitted keys fall back to.
func DefaultConfig() Config { return Config{Redact: redact.DefaultConfig()} }
