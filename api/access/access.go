// Package access tells who a request comes from: a JSON Web Token of an identity provider, an API key of our own, or nobody.
// What a caller may then see is decided in package api.
//
//	Authorization: Bearer … ─► keys (Keys, a file of hashes) ─► Caller
//	                        └► JWTs (a shared secret, or a key set) ─►
//
// A token that anything is wrong with is refused, all alike: the answer does not say what was wrong, the error does.
package access

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Role is how much a caller may see.
type Role string

// The roles.
const (
	User    Role = "user"    // own activities, but for system events
	Auditor Role = "auditor" // all, reading only
	Admin   Role = "admin"   // all
)

// Sees reports whether the role sees what others did.
func (r Role) Sees() bool { return r == Auditor || r == Admin }

// ParseRole returns the role of that name.
func ParseRole(name string) (Role, bool) {
	r := Role(name)
	return r, slices.Contains([]Role{User, Auditor, Admin}, r)
}

// A Caller is who asks.
type Caller struct {
	User string // as the token names them; "" for callers who are no user, and who are then no User by role
	Role Role
	// Tenant is the only tenant whose activities the caller sees; "" is those of no tenant.
	Tenant string
	// AllTenants opens those of every tenant.
	AllTenants bool
	// By is how the caller came in: "jwt", "key:" and its id, or "anonymous".
	By string
}

// Config is `api.auth`.
type Config struct {
	// JWT says which JSON Web Tokens to accept.
	JWT JWT `yaml:"jwt"`
	// APIKeys is the file of API keys; `activity-agent keys` writes it.
	APIKeys string `yaml:"api_keys"`
	// Anonymous is the role of callers without a token, "auditor" or "admin"; "" refuses them. Only on a loopback listener.
	Anonymous string `yaml:"anonymous"`
}

// JWT is `api.auth.jwt`.
type JWT struct {
	// Secret verifies HS256; of 32 bytes or more (RFC 7518, section 3.2).
	Secret string `yaml:"secret" secret:"true"`
	// JWKSURL is the address of the key set (RFC 7517) that verifies RS256 and ES256.
	JWKSURL string `yaml:"jwks_url"`
	// Issuer and Audience must be those of the token, where they are set.
	Issuer   string `yaml:"issuer"`
	Audience string `yaml:"audience"`
	// Leeway is by how much clocks may differ.
	Leeway time.Duration `yaml:"leeway"`
	// UserClaim, RolesClaim and TenantClaim name the claims; dots go into objects.
	UserClaim   string `yaml:"user_claim"`
	RolesClaim  string `yaml:"roles_claim"`
	TenantClaim string `yaml:"tenant_claim"`
}

// DefaultConfig returns the configuration that omitted keys fall back to.
func DefaultConfig() Config {
	return Config{
		JWT:     JWT{Leeway: 30 * time.Second, UserClaim: "sub", RolesClaim: "roles", TenantClaim: "tenant"},
		APIKeys: "./activity-data/api-keys.yaml",
	}
}

// minSecret is the least size of an HS256 key, in bytes.
const minSecret = 32

// Check tells what is wrong with c for a listener on address; one error for each mistake, beginning with its key.
func (c Config) Check(listen string) []error {
	var errs []error
	if n := len(c.JWT.Secret); n > 0 && n < minSecret {
		errs = append(errs, fmt.Errorf("auth.jwt.secret: HS256 needs a secret of %d bytes or more; write one to a file (openssl rand -hex 32) and set ${file:/path/to/it}", minSecret))
	}
	if u := c.JWT.JWKSURL; u != "" && !fetchable(u) {
		errs = append(errs, errors.New("auth.jwt.jwks_url: must be an https address (http only for loopback): who can change the keys in transit can be anyone"))
	}
	if c.Anonymous != "" && !Loopback(listen) {
		errs = append(errs, fmt.Errorf("auth.anonymous: only where listen is a loopback address such as 127.0.0.1:8481, which %q is not; leave it \"\" and make keys with `activity-agent keys create`", listen))
	}
	return errs
}

// Loopback reports whether an address of host and port, or a host alone, is this machine's to itself.
func Loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = strings.Trim(address, "[]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// ErrNoWay says that nothing is configured by which anybody could be recognised.
var ErrNoWay = errors.New("no way to authenticate is configured: make a key with `activity-agent keys create -c FILE --role auditor`, or set api.auth.jwt")

// ErrNoToken says that the request has no bearer token.
var ErrNoToken = errors.New("no token: send Authorization: Bearer with an API key or a JSON Web Token")

// A Gate recognises callers.
type Gate struct {
	keys      *Keys
	jwt       *verifier // nil where none is configured
	anonymous Role
}

// NewGate makes a gate of a checked configuration.
func NewGate(c Config) *Gate {
	g := &Gate{keys: OpenKeys(c.APIKeys), anonymous: Role(c.Anonymous)}
	if c.JWT.Secret != "" || c.JWT.JWKSURL != "" {
		g.jwt = newVerifier(c.JWT)
	}
	return g
}

// Way reports whether there is a way to be recognised: nil, or an error that is ErrNoWay.
func (g *Gate) Way() error {
	if g.jwt != nil || g.anonymous != "" {
		return nil
	}
	if any, err := g.keys.Any(); err != nil || !any {
		return errors.Join(ErrNoWay, err)
	}
	return nil
}

// Identify tells who a request comes from, at a time. Its errors carry nothing of the token.
func (g *Gate) Identify(r *http.Request, now time.Time) (Caller, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		// A page in a browser can reach a loopback address under a name of its own; it cannot choose the name it is asked by.
		if g.anonymous != "" && Loopback(r.Host) {
			return Caller{Role: g.anonymous, AllTenants: true, By: "anonymous"}, nil
		}
		if err := g.Way(); err != nil {
			return Caller{}, err
		}
		return Caller{}, ErrNoToken
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return Caller{}, ErrNoToken
	}
	if strings.HasPrefix(token, keyPrefix) {
		return g.keys.identify(token, now)
	}
	if g.jwt == nil {
		return Caller{}, errors.New("JSON Web Tokens are not configured")
	}
	return g.jwt.identify(r.Context(), token, now)
}
