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
	// Action says what becomes of a secret: "mask", "partial", "hash" or "drop".
	Action string `yaml:"action"`
	// Rules are exceptions from Action, the first that fits counts.
	Rules []Rule `yaml:"rules"`
	// Only, if it names any fields, makes redaction strict: of what a line says only they pass, and the detectors still
	// look through them. The notation is that of Fields.
	Only []string `yaml:"only"`
	// Identity says what becomes of user_id and ip_address: "keep" leaves them as they are, "hash" makes pseudonyms.
	Identity string `yaml:"identity"`
	// HashKey is the key of pseudonyms, of 16 bytes or more. Secret; usually ${file:/path}.
	HashKey string `yaml:"hash_key" secret:"true"`
}

// Rule is an entry of `pipeline.redact.rules`. It names fields, or detectors, or both.
type Rule struct {
	// Fields are secret fields in the notation of Config.Fields.
	Fields []string `yaml:"fields"`
	// Detect names detectors, which the rule also switches on.
	Detect []string `yaml:"detect"`
	// Kinds are the kinds of activities that the rule is for; none means all.
	Kinds []string `yaml:"kinds"`
	// Action is "mask", "partial", "hash" or "drop", or "keep": these fields, or what these detectors find, are left alone.
	Action string `yaml:"action"`
}

// DefaultConfig returns the configuration that omitted keys fall back to.
func DefaultConfig() Config { return Config{Detect: "default", Action: "mask", Identity: "keep"} }
