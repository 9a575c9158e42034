package agent

import "time"

// Config is `agent`.
type Config struct {
	// ID names this agent in the ids of activities. Default: namespace/pod/container from the environment variables
	// POD_NAMESPACE, POD_NAME and CONTAINER_NAME, else the host name. It is frozen in the ledger when that is made.
	ID string `yaml:"id"`
	// IDKey keys the hash of a file's first line, by which its stream is recognised. Default: the agent's id. Secret.
	IDKey string `yaml:"id_key" secret:"true"`
	// StateDir holds the ledger and the dead letters. One agent at a time. Default ./activity-data/state.
	StateDir string `yaml:"state_dir"`
	// DrainTimeout is how long stopping may take; for up to half of it, reading goes on while the application still writes.
	// Default 25s.
	DrainTimeout time.Duration `yaml:"drain_timeout"`
	// StopFile is a file that ends the agent when it appears: everything written by then is delivered, however long it takes.
	// For a Job whose agent is no native sidecar. Default "", none.
	StopFile string `yaml:"stop_file"`
	// MemoryBudget bounds the bytes of records held at once: raw, encoded and in requests. Default 12MiB, at least 6MiB.
	MemoryBudget Bytes `yaml:"memory_budget"`
	// Service describes the application, for activities that do not say it themselves.
	Service Service `yaml:"service"`
}

// Service is `agent.service`.
type Service struct {
	Name        string `yaml:"name"`
	Version     string `yaml:"version"`
	Environment string `yaml:"environment"`
}

// Bytes is a size; in YAML a number, or a number with KiB, MiB or GiB behind it.
type Bytes int64

// Admin is `admin`.
type Admin struct {
	// Listen is the address of the probes and /metrics; "" is off. Default 127.0.0.1:8482.
	Listen string `yaml:"listen"`
}

// DefaultConfig returns the configuration that omitted keys fall back to.
func DefaultConfig() Config {
	return Config{StateDir: "./activity-data/state", DrainTimeout: 25 * time.Second, MemoryBudget: 12 << 20}
}

// DefaultAdmin returns the admin listener that omitted keys fall back to.
func DefaultAdmin() Admin { return Admin{Listen: "127.0.0.1:8482"} }
