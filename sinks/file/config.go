package file

// Config is `store.file`.
type Config struct {
	// Path of the file to append to, or "-" for standard output. No default.
	Path string `yaml:"path"`
}
