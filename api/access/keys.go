package access

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"gopkg.in/yaml.v3"
)

// A Key is an API key as it is kept: the key itself is not among it.
type Key struct {
	ID         string    `yaml:"id"`
	Name       string    `yaml:"name,omitempty"` // for people
	Role       Role      `yaml:"role"`
	User       string    `yaml:"user,omitempty"` // whose activities a key of role user sees
	Tenant     string    `yaml:"tenant,omitempty"`
	AllTenants bool      `yaml:"all_tenants,omitempty"`
	Created    time.Time `yaml:"created"`
	Expires    time.Time `yaml:"expires"`
	// Hash is the SHA-256 of the secret part, in hex. The secret has 256 random bits, so a slow hash would protect nothing.
	Hash string `yaml:"hash"`
}

// keyPrefix begins every API key, so that it is known from a JSON Web Token and found by scanners for secrets:
// aak_<id>_<secret>.
const keyPrefix = "aak_"

var keyForm = regexp.MustCompile(`^aak_([0-9a-f]{16})_([0-9a-f]{64})$`)

// maxKeys bounds the file of keys, in bytes.
const maxKeys = 4 << 20

// Keys are the API keys in a file. Changes of the file count at once.
type Keys struct {
	path string

	mu   sync.Mutex
	seen os.FileInfo // when byID was read; nil before
	byID map[string]Key
}

// OpenKeys returns the keys in the file at path, which need not exist.
func OpenKeys(path string) *Keys { return &Keys{path: path} }

// Any reports whether there are any keys.
func (k *Keys) Any() (bool, error) {
	all, err := k.current()
	return len(all) > 0, err
}

// List returns the keys, oldest first.
func (k *Keys) List() ([]Key, error) {
	keys, err := k.load()
	slices.SortFunc(keys, func(a, b Key) int { return a.Created.Compare(b.Created) })
	return keys, err
}

// Create adds a key like k, whose ID, Created and Hash are made, and returns it and its secret, which is kept nowhere.
func (k *Keys) Create(key Key, now time.Time) (Key, string, error) {
	if err := key.Check(now); err != nil {
		return key, "", err
	}
	var id [8]byte
	var secret [32]byte
	_, _ = rand.Read(id[:]) // never fails
	_, _ = rand.Read(secret[:])
	text := hex.EncodeToString(secret[:])
	key.ID, key.Created, key.Hash = hex.EncodeToString(id[:]), now.UTC().Truncate(time.Second), hashOf(text)
	err := k.change(func(keys []Key) ([]Key, error) { return append(keys, key), nil })
	return key, keyPrefix + key.ID + "_" + text, err
}

// Check tells what is wrong with a key at a time.
func (key *Key) Check(now time.Time) error {
	switch _, ok := ParseRole(string(key.Role)); {
	case !ok:
		return errors.New("the role must be user, auditor or admin")
	case key.Role == User && key.User == "":
		return errors.New("a key of the role user needs the user whose activities it shows")
	case key.Tenant != "" && key.AllTenants:
		return errors.New("a key is for one tenant or for all")
	case !key.Expires.After(now):
		return errors.New("the key would have expired already")
	}
	return nil
}

// Revoke removes a key.
func (k *Keys) Revoke(id string) error {
	return k.change(func(keys []Key) ([]Key, error) {
		i := slices.IndexFunc(keys, func(key Key) bool { return key.ID == id })
		if i < 0 {
			return nil, errors.New("there is no key with this id: `activity-agent keys list` shows them")
		}
		return slices.Delete(keys, i, i+1), nil
	})
}

// identify returns whose key the token is. An unknown id takes the same comparison as a known one.
func (k *Keys) identify(token string, now time.Time) (Caller, error) {
	m := keyForm.FindStringSubmatch(token)
	if m == nil {
		return Caller{}, errors.New("the API key is malformed")
	}
	all, err := k.current()
	if err != nil {
		return Caller{}, err
	}
	key, known := all[m[1]]
	same := subtle.ConstantTimeCompare([]byte(hashOf(m[2])), []byte(key.Hash)) == 1
	switch {
	case !known || !same:
		return Caller{}, errors.New("there is no such API key")
	case !now.Before(key.Expires):
		return Caller{}, errors.New("the API key " + key.ID + " has expired")
	}
	if err := key.Check(now); err != nil { // edited by hand
		return Caller{}, fmt.Errorf("the API key %s is not usable: %w", key.ID, err)
	}
	return Caller{User: key.User, Role: key.Role, Tenant: key.Tenant, AllTenants: key.AllTenants, By: "key:" + key.ID}, nil
}

func hashOf(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// current returns the keys by id, read again if the file is another than before. Nobody changes a file in place: change
// replaces it, so the file that the path leads to tells.
func (k *Keys) current() (map[string]Key, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	info, err := os.Stat(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		k.seen, k.byID = nil, nil
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the API keys: %w", err)
	}
	if k.seen != nil && os.SameFile(info, k.seen) && info.ModTime().Equal(k.seen.ModTime()) && info.Size() == k.seen.Size() {
		return k.byID, nil
	}
	keys, err := k.load()
	if err != nil {
		return nil, err
	}
	k.seen, k.byID = info, map[string]Key{}
	for _, key := range keys {
		k.byID[key.ID] = key
	}
	return k.byID, nil
}

func (k *Keys) load() ([]Key, error) {
	f, err := os.Open(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the API keys: %w", err)
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxKeys+1))
	if err != nil || len(data) > maxKeys {
		return nil, fmt.Errorf("read the API keys: %s is too large, or cannot be read", k.path)
	}
	var file struct {
		Keys []Key `yaml:"keys"`
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read the API keys: %s is not as `activity-agent keys` writes it", k.path)
	}
	return file.Keys, nil
}

// change replaces the file by what f makes of its keys. A lock beside it keeps two changes apart.
func (k *Keys) change(f func([]Key) ([]Key, error)) (err error) {
	dir := filepath.Dir(k.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("write the API keys: %w", err)
	}
	lock, err := os.OpenFile(k.path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("write the API keys: %w", err)
	}
	defer func() { _ = lock.Close() }()
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return fmt.Errorf("lock the API keys: %w", err)
	}
	keys, err := k.load()
	if err != nil {
		return err
	}
	if keys, err = f(keys); err != nil {
		return err
	}
	data, err := yaml.Marshal(map[string][]Key{"keys": keys})
	if err != nil {
		return err
	}
	return k.replace(dir, data)
}

func (k *Keys) replace(dir string, data []byte) error {
	tmp, err := os.CreateTemp(dir, "."+strings.TrimPrefix(filepath.Base(k.path), ".")+".*") // of mode 0600
	if err != nil {
		return fmt.Errorf("write the API keys: %w", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), k.path)
	}
	if err != nil {
		return fmt.Errorf("write the API keys: %w", err)
	}
	return nil
}
