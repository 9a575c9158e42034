package elasticsearch

import (
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"
)

// secrets hold what authenticates the agent. Those in files are read again when the file changes, as it does when
// Kubernetes updates a mounted secret, and when the cluster refuses them.
type secrets struct {
	key, password secret
	username      string
}

// A secret is a fixed text, or the content of a file.
type secret struct {
	fixed string
	path  string // "" for none

	mu    sync.Mutex
	text  string
	size  int64
	mtime time.Time
}

func newSecrets(c Config) *secrets {
	return &secrets{
		key:      secret{fixed: c.APIKey, path: c.APIKeyFile},
		password: secret{fixed: c.Password, path: c.PasswordFile},
		username: c.Username,
	}
}

// authorization returns the value of the header of that name, "" for none.
func (s *secrets) authorization() (string, error) {
	key, err := s.key.value()
	if err != nil {
		return "", err
	}
	if key != "" {
		return "ApiKey " + key, nil
	}
	if s.username == "" {
		return "", nil
	}
	password, err := s.password.value()
	if err != nil {
		return "", err
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(s.username+":"+password)), nil
}

// forget makes the files be read again.
func (s *secrets) forget() {
	s.key.forget()
	s.password.forget()
}

// value returns the secret. A look at the file's size and time tells whether it has to be read.
func (s *secret) value() (string, error) {
	if s.path == "" {
		return s.fixed, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	info, err := os.Stat(s.path)
	if err == nil && s.text != "" && info.Size() == s.size && info.ModTime().Equal(s.mtime) {
		return s.text, nil
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(s.path)
	}
	if err != nil {
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err
		}
		return "", &secretError{s.path, err, "check that it is mounted and that the agent may read it"}
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return "", &secretError{s.path, errors.New("there is not one line in it"), "write the secret into it, and nothing else"}
	}
	s.text, s.size, s.mtime = text, info.Size(), info.ModTime()
	return s.text, nil
}

// A secretError says why a secret file cannot be used.
type secretError struct {
	path   string
	err    error
	advice string
}

func (e *secretError) Error() string {
	return "read the secret file " + e.path + ": " + e.err.Error() + ": " + e.advice
}

func (e *secretError) Unwrap() error { return e.err }

func (s *secret) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = ""
}
