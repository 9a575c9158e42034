package redact

// Config is `pipeline.redact`.
type Config struct {
	// Fields names more secret fields, beside those recognised by default: a bare name ("badge_no"), matched like the
	// built-in ones in any spelling at any depth, or a dotted path from the root with "*" for one element
	// ("request_data.*.code"), or a pattern for the last element ("*_code").
	Fields []string `yaml:"fields"`
	// Allow lists fields that are never redacted, in the same notation. It wins over everything else.
	Allow []string `yaml:"allow"`
	// Detect chooses the value detectors: "default", "none", or a comma-separated list of their names, in which "default"
	// may stand too and a minus takes one away ("default,phone,-email"). Secret names are redacted in any case.
	Detect string `yaml:"detect"`
}

// DefaultConfig returns the configuration that omitted keys fall back to.
func DefaultConfig() Config { return Config{Detect: "default"} }
