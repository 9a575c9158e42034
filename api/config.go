package api

import (
	"github.com/truledgr/activity-agent/api/access"
)

// Config is `api`.
type Config struct {
	// Listen is the address of the read API, host:port.
	Listen string `yaml:"listen"`
	// Auth says who may ask.
	Auth access.Config `yaml:"auth"`
	// RateLimit is how many requests a minute one caller may send; up to a quarter of a minute's at once.
	RateLimit int `yaml:"rate_limit"`
	// CORSOrigins are those of web pages, beside the API's own, that may read answers and open a WebSocket, as in
	// https://app.example.com. See CheckOrigin.
	CORSOrigins []string `yaml:"cors_origins"`
	// Exports is how many exports one caller may have under way.
	Exports int `yaml:"exports"`
	// RecordReads says whether each read by an auditor or admin of what others did is recorded: RecordRequired, RecordBest or
	// RecordOff.
	RecordReads string `yaml:"record_reads"`
	// StateDir is where `serve` keeps what it records until the store has it. Each one needs a directory of its own.
	// "" is api-state beside agent.state_dir.
	StateDir string `yaml:"state_dir"`
	// AmendOwn lets users amend their own activities.
	AmendOwn bool `yaml:"amend_own"`
	// Live is about /activities/live.
	Live Live `yaml:"live"`
}

// Live is `api.live`.
type Live struct {
	// PerCaller is how many live readers one caller may have at once.
	PerCaller int `yaml:"per_caller"`
}

// DefaultConfig returns the configuration that omitted keys fall back to.
func DefaultConfig() Config {
	return Config{
		Listen: "127.0.0.1:8481", Auth: access.DefaultConfig(), RateLimit: 600, Exports: 2,
		RecordReads: RecordRequired, Live: Live{PerCaller: 20},
	}
}
