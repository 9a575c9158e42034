package sqlite

// Config is `store.sqlite`.
type Config struct {
	// Path of the database file. Default ./activity-data/activities.db. Its directory is made when missing.
	Path string `yaml:"path"`
}

// DefaultConfig returns the configuration that omitted keys fall back to.
func DefaultConfig() Config { return Config{Path: "./activity-data/activities.db"} }
