package redact

import (
	"math/rand/v2"
	"testing"
)

func TestCredential(t *testing.T) {
	t.Parallel()
	for _, v := range []string{
		"k3v9q0z7m1x5c8b2n4", "Q7wE9rT2yU5iO8pA1sD4", "9PMZ2KQ4X7B1NR5TW9CY", "mB4/T9cX2nZ8+kL5jH1gF7dS3aP6oI0uY9qW=",
		"live-8fK2mQ9xZ4vB7nC1", "Ym9iOmh1bnRlcjI=", "a1b2c3d4e5f6g7h8i9j0k1l2m3n4o5p6",
	} {
		if !Credential([]byte(v)) {
			t.Errorf("%q is no credential, want one", v)
		}
	}
	for _, v := range []string{
		"", "short1", "customer_settings_page", "messages.errors.not_found", "user:42:profile", "OrderCreatedEvent2024V2",
		"6fa1c2d4-90b7-4e3a-8c55-0d1e2f3a4b5c", "5d41402abc4b2a76b9719d911017c592", "1714979289123456789",
		"da39a3ee5e6b4b0d3255bfef95601890afd80709", "2024-05-06T07:08:09Z", "2024-05-06-report-final-v2", "uploads/2024/05/06/9f86d081884c.png",
		"/var/lib/app/9f86d08188.db", "eu-central-1-prod-cluster-02", "a value with 3 spaces in it", "rRAMCzzVjzarq8zZIW8y9uZLSWg=",
		"SGVsbG8sIHdvcmxkIQ==", "ABCDEFGHIJKLMNOPQRSTUVWX", "v1.22.333-rc4-build20240506", "ORD-2024-000123-DE-4711",
		"arn:aws:kms:eu-west-1:123456789012:key/1a2b3c4d", "com.example.orders.internal.OrderService2",
	} {
		if Credential([]byte(v)) {
			t.Errorf("%q is a credential, want none", v)
		}
	}
}

// TestRandomKeysAreCredentials bounds how many generated keys pass for words.
func TestRandomKeysAreCredentials(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	for _, letters := range []string{
		"abcdefghijklmnopqrstuvwxyz0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
	} {
		missed := 0
		for range 2000 {
			b := make([]byte, 24+rng.IntN(24))
			for i := range b {
				b[i] = letters[rng.IntN(len(letters))]
			}
			if !Credential(b) {
				missed++
			}
		}
		if missed > 60 {
			t.Errorf("%d of 2000 keys of %q are not seen as credentials", missed, letters)
		}
	}
}

func TestLikelyNamesDependOnTheValue(t *testing.T) {
	t.Parallel()
	r := compiled(t, "default")
	for text, want := range map[string]string{
		`billing_key: "k3v9q0z7m1x5c8b2n4"`:                                    `billing_key: "[REDACTED]"`,
		`using Key=Q7wE9rT2yU5iO8pA1sD4 now`:                                   `using Key=[REDACTED] now`,
		`{"auth":"Ym9iOmh1bnRlcjI="}`:                                          `{"auth":"[REDACTED]"}`,
		`{"key":"orders/2024/05"}`:                                             `{"key":"orders/2024/05"}`,
		`cache_key=k3v9q0z7m1x5c8b2n4`:                                         `cache_key=k3v9q0z7m1x5c8b2n4`,
		`"key": "6fa1c2d4-90b7-4e3a-8c55-0d1e2f3a4b5c"`:                        `"key": "6fa1c2d4-90b7-4e3a-8c55-0d1e2f3a4b5c"`,
		`merge_key=5d41402abc4b2a76b9719d911017c592`:                           `merge_key=5d41402abc4b2a76b9719d911017c592`,
		`status_code=Q7wE9rT2yU5iO8pA1sD4 code=E1001`:                          `status_code=Q7wE9rT2yU5iO8pA1sD4 code=E1001`,
		`api_token ?= "hunter2" db_secret ::= "x1" token .= "y2"`:              `api_token ?= "[REDACTED]" db_secret ::= "[REDACTED]" token .= "[REDACTED]"`,
		`if (api_key !== "hunter2") and password === 'x2'`:                     `if (api_key !== "[REDACTED]") and password === '[REDACTED]'`,
		`System.setProperty("SHOP_TOKEN", "hunter2"), h.Set("X-Api-Key","k2")`: `System.setProperty("SHOP_TOKEN", "[REDACTED]"), h.Set("X-Api-Key","[REDACTED]")`,
		`fail("password", "required") and f("name", "bob") or t("token"`:       `fail("password", "required") and f("name", "bob") or t("token"`,
		`password => 'x', secret := "y", error in token::verify now`:           `password => '[REDACTED]', secret := "[REDACTED]", error in token::verify now`,
	} {
		if got := masked(r, text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
