package access

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// A verifier recognises the bearers of JSON Web Tokens.
type verifier struct {
	config  JWT
	methods []string // HS256 only with a secret, the others only with a key set, so that no key is taken for another sort
	set     *keySet
}

func newVerifier(c JWT) *verifier {
	v := &verifier{config: c}
	if c.Secret != "" {
		v.methods = append(v.methods, "HS256")
	}
	if c.JWKSURL != "" {
		v.methods = append(v.methods, "RS256", "ES256")
		v.set = newKeySet(c.JWKSURL)
	}
	return v
}

func (v *verifier) identify(ctx context.Context, token string, now time.Time) (Caller, error) {
	options := []jwt.ParserOption{
		jwt.WithValidMethods(v.methods), jwt.WithExpirationRequired(), jwt.WithLeeway(v.config.Leeway),
		jwt.WithTimeFunc(func() time.Time { return now }), jwt.WithIssuedAt(),
	}
	if v.config.Issuer != "" {
		options = append(options, jwt.WithIssuer(v.config.Issuer))
	}
	if v.config.Audience != "" {
		options = append(options, jwt.WithAudience(v.config.Audience))
	}
	claims := jwt.MapClaims{}
	_, err := jwt.NewParser(options...).ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		if t.Header["crit"] != nil { // extensions that must be understood (RFC 7515, section 4.1.11), and we know none
			return nil, errCritical
		}
		if t.Method.Alg() == "HS256" {
			return []byte(v.config.Secret), nil
		}
		kid, _ := t.Header["kid"].(string)
		return v.set.key(ctx, kid, t.Method.Alg(), now)
	})
	if err != nil {
		return Caller{}, fmt.Errorf("the JSON Web Token is refused: %w", reason(err))
	}
	return v.caller(claims)
}

var errCritical = errors.New("it has critical extensions")

// reason is why a token was refused, without anything that the token says.
func reason(err error) error {
	for _, known := range []error{
		jwt.ErrTokenMalformed, jwt.ErrTokenExpired, jwt.ErrTokenNotValidYet, jwt.ErrTokenUsedBeforeIssued, jwt.ErrTokenInvalidIssuer,
		jwt.ErrTokenInvalidAudience, jwt.ErrTokenRequiredClaimMissing, errKeySet, errNoKey, errCritical, jwt.ErrTokenSignatureInvalid,
	} {
		if errors.Is(err, known) {
			return known
		}
	}
	return errors.New("it cannot be verified")
}

// caller reads the claims that say who it is. A claim of the wrong type refuses the token: it must not count as absent.
func (v *verifier) caller(claims jwt.MapClaims) (Caller, error) {
	c := Caller{Role: User, By: "jwt"}
	for _, part := range []struct {
		claim string
		to    *string
	}{{v.config.UserClaim, &c.User}, {v.config.TenantClaim, &c.Tenant}} {
		value, ok := claim(claims, part.claim)
		if !ok {
			continue
		}
		if *part.to, ok = value.(string); !ok {
			return Caller{}, fmt.Errorf("the token's claim %s is not a string", part.claim)
		}
	}
	if c.User == "" {
		return Caller{}, fmt.Errorf("the token has no claim %s", v.config.UserClaim)
	}
	roles, _ := claim(claims, v.config.RolesClaim)
	switch names := words(roles); {
	case slices.Contains(names, string(Admin)):
		c.Role = Admin
	case slices.Contains(names, string(Auditor)):
		c.Role = Auditor
	}
	return c, nil
}

// claim finds a claim by its name, or by a path into objects ("realm_access.roles").
func claim(claims map[string]any, name string) (any, bool) {
	if v, ok := claims[name]; ok {
		return v, v != nil
	}
	head, rest, dotted := strings.Cut(name, ".")
	below, ok := claims[head].(map[string]any)
	if !dotted || !ok {
		return nil, false
	}
	return claim(below, rest)
}

// words are the strings of a list, or the words of a text.
func words(v any) []string {
	switch v := v.(type) {
	case string:
		return strings.Fields(v)
	case []any:
		var out []string
		for _, x := range v {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}
