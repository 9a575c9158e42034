package access

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// A keySet is a JSON Web Key Set (RFC 7517) at an address, kept between requests. It is read again when it is old, and when
// a token names a key that it does not have, but not more often than once in a while: whoever sends tokens must not make
// us send requests.
type keySet struct {
	address string
	client  *http.Client

	mu    sync.Mutex // held while it is read: the others wait for the same answer
	keys  map[string]publicKey
	read  time.Time // when it was read
	tried time.Time // when it was last asked for
}

// A publicKey verifies tokens of one algorithm.
type publicKey struct {
	alg string
	key any
}

const (
	setFresh   = 10 * time.Minute // how long keys count
	setPause   = 30 * time.Second // between two requests for the set
	setMax     = 1 << 20          // bytes
	minRSABits = 2048             // RFC 7518, section 3.3
)

var (
	errKeySet = errors.New("the key set at api.auth.jwt.jwks_url cannot be read")
	errNoKey  = errors.New("the key set has no key for it")
)

func newKeySet(address string) *keySet {
	return &keySet{address: address, client: &http.Client{
		Timeout:       5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// fetchable reports whether keys from the address can be trusted.
func fetchable(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && Loopback(u.Host))
}

// key returns the key of an id that is for the algorithm. A token without an id is for the only key of the set.
func (s *keySet) key(ctx context.Context, id, alg string, now time.Time) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, ok := s.find(id)
	if (!ok || now.Sub(s.read) > setFresh) && (s.tried.IsZero() || now.Sub(s.tried) > setPause) {
		s.tried = now
		keys, err := s.fetch(ctx)
		if err != nil && s.keys == nil {
			return nil, err
		}
		if err == nil { // else the keys of before count until the provider answers again
			s.keys, s.read = keys, now
		}
		k, ok = s.find(id)
	}
	switch {
	case s.keys == nil:
		return nil, errKeySet
	case !ok || k.alg != alg:
		return nil, errNoKey
	}
	return k.key, nil
}

func (s *keySet) find(id string) (k publicKey, ok bool) {
	if id == "" && len(s.keys) == 1 {
		for _, k = range s.keys {
			return k, true
		}
	}
	k, ok = s.keys[id]
	return k, ok
}

func (s *keySet) fetch(ctx context.Context) (map[string]publicKey, error) {
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodGet, s.address, nil)
	if err != nil {
		return nil, errKeySet
	}
	answer, err := s.client.Do(req)
	if err != nil {
		return nil, errKeySet
	}
	defer func() { _ = answer.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(answer.Body, setMax))
	s.client.CloseIdleConnections()
	if err != nil || answer.StatusCode != http.StatusOK {
		return nil, errKeySet
	}
	return parseKeySet(body)
}

// A jwk is a JSON Web Key (RFC 7517, RFC 7518 section 6).
type jwk struct {
	Type  string `json:"kty"`
	ID    string `json:"kid"`
	Use   string `json:"use"`
	Alg   string `json:"alg"`
	Curve string `json:"crv"`
	N     string `json:"n"`
	E     string `json:"e"`
	X     string `json:"x"`
	Y     string `json:"y"`
}

// parseKeySet reads the keys that can verify; others, such as those to encrypt with, are left out.
func parseKeySet(body []byte) (map[string]publicKey, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if json.Unmarshal(body, &set) != nil {
		return nil, errKeySet
	}
	keys := map[string]publicKey{}
	for _, k := range set.Keys {
		if k.Use != "" && k.Use != "sig" {
			continue
		}
		if p, ok := k.public(); ok && (k.Alg == "" || k.Alg == p.alg) {
			keys[k.ID] = p
		}
	}
	return keys, nil
}

func (k jwk) public() (publicKey, bool) {
	switch {
	case k.Type == "RSA":
		n, e := number(k.N), number(k.E)
		if n == nil || e == nil || n.BitLen() < minRSABits || !e.IsInt64() || e.Int64() < 3 || e.Int64() > 1<<31-1 {
			return publicKey{}, false
		}
		return publicKey{"RS256", &rsa.PublicKey{N: n, E: int(e.Int64())}}, true
	case k.Type == "EC" && k.Curve == "P-256":
		x, y := number(k.X), number(k.Y)
		if x == nil || y == nil || x.BitLen() > 256 || y.BitLen() > 256 {
			return publicKey{}, false
		}
		point := make([]byte, 65) // uncompressed, SEC 1 section 2.3.3
		point[0] = 4
		x.FillBytes(point[1:33])
		y.FillBytes(point[33:])
		key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
		return publicKey{"ES256", key}, err == nil
	}
	return publicKey{}, false
}

// number reads an unsigned big-endian number in base64url; nil if it is none.
func number(text string) *big.Int {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) == 0 || len(b) > 1024 {
		return nil
	}
	return new(big.Int).SetBytes(b)
}
