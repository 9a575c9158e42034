package elasticsearch

import (
	"encoding/base64"
	"errors"
	"fmt"
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
		return "", fmt.Errorf("read the secret file %s: %w: check that it is mounted and that the agent may read it", s.path, err)
	}
	text := strings.TrimRight(string(data), "\r\n")
	if text == "" || strings.ContainsAny(text, "\r\n") {
		return "", fmt.Errorf("read the secret file %s: it must hold one line", s.path)
	}
	s.text, s.size, s.mtime = text, info.Size(), info.ModTime()
	return s.text, nil
}

func (s *secret) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text = ""
}
