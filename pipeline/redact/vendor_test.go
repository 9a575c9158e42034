package redact

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// body makes a token's body of n bytes, at random until the check of its entry takes it.
func (v *vendorToken) randomBody(rng *rand.Rand, n int) string {
	var letters []byte
	for c := range 128 {
		if v.body.has(byte(c)) && c != '.' && c != '=' && c != '-' && c != '/' && c != '+' && c != '_' {
			letters = append(letters, byte(c))
		}
	}
	b := make([]byte, n)
	for {
		for i := range b {
			b[i] = letters[rng.IntN(len(letters))]
		}
		if v.check == nil || v.check(b) {
			return string(b)
		}
	}
}

func TestEveryVendorTokenIsFound(t *testing.T) {
	t.Parallel()
	r := compiled(t, "default")
	rng := rand.New(rand.NewPCG(1, 2))
	shaped := map[string]string{ // bodies with a form that chance does not make
		"pi_": "3Kq8aXyT0bNw5mZr7cVd_secret_9pLk2JhG4fDs6aQe8wRt1yUi", "seti_": "1Kq8aXyT0bNw5mZr7cVd_secret_Mz7xCv5bNq3wEr1tYu9i",
		"pk_": "4471902_Q8ZK2M4XV7B1NR5TW9CY3HD6JF0GPLSA", "sdk-": "6fa1c2d4-90b7-4e3a-8c55-0d1e2f3a4b5c",
		"rh-api-": "6fa1c2d4-90b7-4e3a-8c55-0d1e2f3a4b5c", "waka_": "6fa1c2d4-90b7-4e3a-8c55-0d1e2f3a4b5c",
	}
	for i := range vendorTokens {
		v := &vendorTokens[i]
		for _, n := range []int{v.min, min(v.max, v.min+16)} {
			body, ok := shaped[v.prefix]
			if !ok {
				body = v.randomBody(rng, n)
			}
			for _, around := range [][2]string{{"got ", " here"}, {`{"m":"`, `"}`}, {"(", ")"}, {"at ", ","}, {"", ""}, {"x\n", "\ny"}} {
				text := around[0] + v.prefix + body + around[1]
				if got := masked(r, text); strings.Contains(got, body) {
					t.Errorf("%s: %q became %q", v.detector, text, got)
				}
			}
			if crossed := "use " + v.prefix + strings.Repeat("x", n) + " here"; v.body.has('x') && masked(r, crossed) != crossed {
				t.Errorf("%q became %q", crossed, masked(r, crossed))
			}
		}
	}
}

func TestTokensWithoutPrefix(t *testing.T) {
	t.Parallel()
	r := compiled(t, "default")
	for _, secret := range []string{
		"access_token$sandbox$q7x2m9c4v8b1n5kz$0f1e2d3c4b5a69788796a5b4c3d2e1f0",
		"hooks.slack.com/services/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",
		"5d41402abc4b2a76b9719d911017c592-9b7f3a1c-22d4e6f8",
		"aZ3kQ9wE7rT5yU1iO8pL2sD4fG6hJ0kX3cV5bN7mAzFuQ2wE4rT6",
		"0f3c9a71b5d2e8460f3c9a71b5d2e846FFFFNRAL",
		"NzQ2OTI4NjEwMDIzMjU0NDgy.GxK7Qa.mB4vT9cX2nZ8kL5jH1gF7dS3aP6oI0uY",
	} {
		text := "used " + secret + " then"
		tail := secret[len(secret)-12:]
		if got := masked(r, text); strings.Contains(got, tail) {
			t.Errorf("%q became %q", text, got)
		}
	}
}
