package access

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var now = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func b64(n *big.Int) string { return base64.RawURLEncoding.EncodeToString(n.Bytes()) }

// A provider is an identity provider with a key set.
type provider struct {
	rsa   *rsa.PrivateKey
	ec    *ecdsa.PrivateKey
	asked atomic.Int64
	down  atomic.Bool
	srv   *httptest.Server
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{}
	var err error
	if p.rsa, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	if p.ec, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	point, err := p.ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	part := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	set, err := json.Marshal(map[string]any{"keys": []map[string]string{
		{"kty": "RSA", "kid": "r", "use": "sig", "alg": "RS256", "n": b64(p.rsa.N), "e": b64(big.NewInt(int64(p.rsa.E)))},
		{"kty": "EC", "kid": "e", "crv": "P-256", "x": part(point[1:33]), "y": part(point[33:])},
		{"kty": "RSA", "kid": "enc", "use": "enc", "n": b64(p.rsa.N), "e": "AQAB"},
		{"kty": "EC", "kid": "off", "crv": "P-256", "x": "AQ", "y": "AQ"},
		{"kty": "oct", "kid": "o", "k": "AAAA"},
	}})
	if err != nil {
		t.Fatal(err)
	}
	p.srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.asked.Add(1)
		if p.down.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
		_, _ = w.Write(set)
	}))
	t.Cleanup(p.srv.Close)
	return p
}

func sign(t *testing.T, m jwt.SigningMethod, kid string, key any, more jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{"sub": "ann", "exp": now.Add(time.Hour).Unix(), "iss": "https://id", "aud": []string{"x", "activities"}}
	for k, v := range more {
		claims[k] = v
	}
	token := jwt.NewWithClaims(m, claims)
	token.Header["kid"] = kid
	s, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func identify(g *Gate, token string, at time.Time) (Caller, error) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return g.Identify(r, at)
}

func TestKeySetVerifies(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	c := DefaultConfig()
	c.JWT.JWKSURL, c.JWT.Issuer, c.JWT.Audience, c.JWT.RolesClaim = p.srv.URL, "https://id", "activities", "realm_access.roles"
	c.APIKeys = filepath.Join(t.TempDir(), "keys.yaml")
	g := NewGate(c)
	roles := jwt.MapClaims{"realm_access": map[string]any{"roles": []string{"auditor"}}, "tenant": "acme"}
	for _, token := range []string{sign(t, jwt.SigningMethodRS256, "r", p.rsa, roles), sign(t, jwt.SigningMethodES256, "e", p.ec, roles)} {
		if got, err := identify(g, token, now); err != nil || got != (Caller{User: "ann", Role: Auditor, Tenant: "acme", By: "jwt"}) {
			t.Errorf("got %+v, %v", got, err)
		}
	}
	public, err := x509.MarshalPKIXPublicKey(&p.rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, token := range map[string]string{
		"the public key as an HMAC secret": sign(t, jwt.SigningMethodHS256, "r", public, nil),
		"another key":                      sign(t, jwt.SigningMethodRS256, "r", other, nil),
		"a key of another sort":            sign(t, jwt.SigningMethodRS256, "e", p.rsa, nil),
		"a key to encrypt with":            sign(t, jwt.SigningMethodRS256, "enc", p.rsa, nil),
		"a point that is not on the curve": sign(t, jwt.SigningMethodES256, "off", p.ec, nil),
		"an algorithm not offered":         sign(t, jwt.SigningMethodRS512, "r", p.rsa, nil),
		"no key":                           sign(t, jwt.SigningMethodRS256, "", p.rsa, nil),
		"another issuer":                   sign(t, jwt.SigningMethodRS256, "r", p.rsa, jwt.MapClaims{"iss": "https://other"}),
		"another audience":                 sign(t, jwt.SigningMethodRS256, "r", p.rsa, jwt.MapClaims{"aud": "other"}),
		"expired beyond the leeway":        sign(t, jwt.SigningMethodRS256, "r", p.rsa, jwt.MapClaims{"exp": now.Add(-31 * time.Second).Unix()}),
		"a secret of no bytes":             sign(t, jwt.SigningMethodHS256, "r", []byte{}, nil),
	} {
		if got, err := identify(g, token, now); err == nil {
			t.Errorf("%s: accepted as %+v", name, got)
		}
	}
	if _, err := identify(g, sign(t, jwt.SigningMethodRS256, "r", p.rsa, jwt.MapClaims{"exp": now.Add(-29 * time.Second).Unix()}), now); err != nil {
		t.Errorf("within the leeway: %v", err)
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("the key set was asked for %d times", n)
	}
}

func TestKeySetIsKeptWhileTheProviderIsDown(t *testing.T) {
	t.Parallel()
	p := newProvider(t)
	g := NewGate(Config{JWT: JWT{JWKSURL: p.srv.URL, UserClaim: "sub"}, APIKeys: filepath.Join(t.TempDir(), "keys.yaml")})
	token := sign(t, jwt.SigningMethodRS256, "r", p.rsa, nil)
	p.down.Store(true)
	for i := range 3 {
		if _, err := identify(g, token, now.Add(time.Duration(i)*time.Second)); err == nil {
			t.Error("accepted without a key")
		}
	}
	if n := p.asked.Load(); n != 1 {
		t.Errorf("a provider that is down was asked %d times", n)
	}
	p.down.Store(false)
	if _, err := identify(g, token, now.Add(time.Minute)); err != nil {
		t.Error(err)
	}
	p.down.Store(true)
	if _, err := identify(g, token, now.Add(30*time.Minute)); err != nil {
		t.Errorf("the keys of before: %v", err)
	}
	if n := p.asked.Load(); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

func TestKeysAreKeptHashedAndToThemselves(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state", "keys.yaml")
	var secrets sync.Map
	var g sync.WaitGroup
	for i := range 8 {
		g.Go(func() {
			_, secret, err := OpenKeys(path).Create(Key{Role: User, User: fmt.Sprint("u", i), Expires: now.Add(time.Hour)}, now)
			if err != nil {
				t.Error(err)
			}
			secrets.Store(fmt.Sprint("u", i), secret)
		})
	}
	g.Wait()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	gate := NewGate(Config{APIKeys: path})
	count := 0
	for user, secret := range secrets.Range {
		count++
		if got, err := identify(gate, secret.(string), now); err != nil || got.User != user || got.Role != User {
			t.Errorf("%s: %+v, %v", user, got, err)
		}
		if part := secret.(string)[len(keyPrefix)+17:]; len(part) != 64 || strings.Contains(string(text), part) {
			t.Error("the file has the secret")
		}
	}
	for name, want := range map[string]os.FileMode{path: 0o600, path + ".lock": 0o600, filepath.Dir(path): 0o700} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*")); count != 8 || len(left) > 0 {
		t.Errorf("%d keys, and %v left behind", count, left)
	}
	if err := os.WriteFile(path, []byte("keys: {"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := identify(gate, "aak_0123456789abcdef_"+strings.Repeat("0", 64), now); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a broken file: %v", err)
	}
}

func TestKeysThatMakeNoSenseAreRefused(t *testing.T) {
	t.Parallel()
	keys := OpenKeys(filepath.Join(t.TempDir(), "keys.yaml"))
	later := now.Add(time.Hour)
	for _, k := range []Key{
		{Role: "root", Expires: later}, {Role: User, Expires: later}, {Role: Admin, Expires: now}, {Role: Admin},
		{Role: Admin, Tenant: "a", AllTenants: true, Expires: later},
	} {
		if _, _, err := keys.Create(k, now); err == nil {
			t.Errorf("%+v is made", k)
		}
	}
	if any, err := keys.Any(); any || err != nil {
		t.Errorf("%v, %v", any, err)
	}
	if err := keys.Revoke("x"); err == nil {
		t.Error("a key that is not there is revoked")
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]Config{
		"secret": {JWT: JWT{Secret: "short"}}, "jwks_url": {JWT: JWT{JWKSURL: "http://id.example/jwks"}}, "anonymous": {Anonymous: "admin"},
	} {
		if errs := c.Check("0.0.0.0:8481"); len(errs) != 1 || !strings.Contains(errs[0].Error(), name) {
			t.Errorf("%s: %v", name, errs)
		}
	}
	if errs := (Config{JWT: JWT{Secret: strings.Repeat("s", 32), JWKSURL: "http://[::1]:1/"}, Anonymous: "admin"}).Check("[::1]:8481"); errs != nil {
		t.Error(errs)
	}
}
