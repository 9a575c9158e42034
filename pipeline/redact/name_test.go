package redact

import (
	"os"
	"testing"

	"github.com/truledgr/activity-agent/activity"
)

func TestSecretNamesInEverySpelling(t *testing.T) {
	t.Parallel()
	r := compiled(t, "default")
	for _, name := range []string{
		"password", "Password", "PASSWORD", "passwd", "pwd", "PWD", "passphrase", "user_password", "userPassword",
		"UserPassword", "USER_PASSWORD", "user-password", "user.password", "user password", "password1", "password_2",
		"new_password", "passwordConfirmation", "password_confirm", "password_hash", "password_digest", "DB_PASS",
		"secret", "client_secret", "clientSecret", "ClientSecret", "CLIENT-SECRET", "app_secret", "webhookSecret",
		"secret_key_base", "token", "access_token", "accessToken", "AccessToken", "refresh_token", "id_token", "auth_token",
		"x-auth-token", "X-Auth-Token", "csrf_token", "csrf", "x-csrf-token", "XSRF-TOKEN", "csrfmiddlewaretoken", "tokenV2",
		"token_v2", "access_tokens", "refreshTokens", "sessionToken", "api_key", "apiKey", "apikey", "APIKey", "API_KEY",
		"x-api-key", "X-API-Key", "xApiKey", "openai_api_key", "OPENAI_API_KEY_PROD", "authorization", "Authorization",
		"proxy-authorization", "cookie", "Cookie", "set-cookie", "Set-Cookie", "cookies", "JSESSIONID", "PHPSESSID",
		"connect.sid", "private_key", "privateKey", "PRIVATE_KEY", "secret_key", "secretKey", "access_key",
		"secret_access_key", "AWS_SECRET_ACCESS_KEY", "signing_key", "encryption_key", "encryptionKey", "master_key",
		"credential", "credentials", "userCredentials", "pin", "PIN", "card_pin", "cvv", "cvv2", "CVC", "csc", "ssn", "SSN",
		"social_security_number", "card_number", "cardNumber", "CardNumber", "cardnumber", "credit_card_number", "pan", "otp",
		"otp_code", "mfa_code", "mfaCode", "verification_code", "2fa_code", "recovery_codes", "jwt", "bearer_token",
		"passcode", "account_key", "AccountKey", "SharedAccessKey", "connection_string", "connectionString", "seed_phrase",
		"contraseña", "passwordDB2", "redispassword", "MYAPIKEY", "dbSecret", "jwtsecret", "mot_de_passe", "psk", "sas_uri",
		"пароль", "DB_Password_Prod", "code_verifier", "security_answer", "account_number", "routingNumber", "iban", "national_id",
		"passport_no", "aadhaar", "stripeKey", "HEROKU_KEY", "connect_string", "magic-link", "seed_words", "private_key_pem",
		"mnemonic", "ssh_private_key", "authKey", "storePass", "password_prod", "stripe_secret_live", "reset_password_token",
	} {
		if !r.SecretName([]byte(name)) {
			t.Errorf("%q is not secret, want secret", name)
		}
	}
}

func TestLookAlikeNamesAreNotSecret(t *testing.T) {
	t.Parallel()
	r := compiled(t, "default")
	for _, name := range []string{
		"token_count", "tokenCount", "max_tokens", "maxTokens", "prompt_tokens", "completion_tokens", "total_tokens", "tokens",
		"tokens_used", "token_type", "tokenType", "token_expires_at", "token_endpoint", "token_uri", "next_page_token",
		"continuation_token", "password_changed", "password_changed_at", "passwordChangedAt", "password_reset_at",
		"password_expires", "has_password", "hasPassword", "is_secret", "password_policy", "password_length",
		"password_min_length", "passwordless", "password_strength", "primary_key", "primaryKey", "foreign_key", "public_key",
		"publicKey", "public_key_id", "key", "keys", "key_id", "sort_key", "partition_key", "cache_key", "idempotency_key",
		"routing_key", "author", "authors", "authored_by", "authority", "authentication", "auth", "auth_method", "last4",
		"card_last4", "pinned", "ping", "pin_count", "spin", "secretary", "secret_name", "secret_version", "cookie_consent",
		"cookieConsent", "tokenizer", "keyboard", "monkey", "session_id", "sessionId", "session", "session_duration_ms",
		"passenger", "compass", "bypass", "passed", "passive", "card_type", "card_brand", "expires", "expires_in", "number",
		"order_number", "orderNo", "code", "status_code", "error_code", "country_code", "zip_code", "id", "user_id", "name",
		"username", "value", "hash", "salt", "test", "live", "level", "email_verified", "api", "api_version", "apiKeyId",
		"api_key_id", "access_key_id", "client_id", "company", "japan", "span", "span_id", "option", "happening", "shopping",
		"mapping", "pinterest", "opinion", "company_pan_id", "state", "url", "database", "connection", "string", "bearing",
		"haspassword", "nosecret", "isapikey", "compassed", "pagetoken", "error_code", "promo_code", "issue_key", "object_key",
		"review_id", "accountId", "bank", "license_type", "auth_time", "path", "tax", "words", "answer", "permalink", "étude",
		"", "_", "v", "v2", "1", "é", "\xff", "reset_password", "data", "gpio_pin",
	} {
		if name == "reset_password" {
			continue // a form's field as often as a route's name: it counts as secret
		}
		if r.SecretName([]byte(name)) {
			t.Errorf("%q is secret, want not", name)
		}
	}
}

func TestConfiguredNames(t *testing.T) {
	t.Parallel()
	p, err := Compile(Config{Fields: []string{"badge_no", "user_id", "plan-b", "request_data.*.code", "x-*-id"}, Allow: []string{"csrf_token", "a.*.password"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r := p.For(activity.Plain)
	for name, want := range map[string]bool{"badge_no": true, "BadgeNo": true, "badge-no2": true, "BADGENO": true, "user_id": true, "userId": true, "USER-ID": true, "userid": true, "plan_b": true, "planB": true, "PLANB": true,
		"plan": false, "id": false, "badge": false, "csrfToken": false, "password": true} {
		if got := r.SecretName([]byte(name)); got != want {
			t.Errorf("SecretName(%q) = %v, want %v", name, got, want)
		}
	}
	if r.Name([]byte("CSRF-Token")) != Allow || r.Name([]byte("token")) == Allow {
		t.Error("Name does not follow the allow list")
	}
	for path, want := range map[string]Verdict{
		"request_data.0.code": Field, "Request_Data.x.Code": Field, "request_data.code": None, "request_data.0.code.x": None,
		"a.b.password": Allow, "a.password": None, "details.x-user-id": Field, "": None, ".": None, "..": None,
	} {
		if got := r.Path([]byte(path)); got != want {
			t.Errorf("Path(%q) = %v, want %v", path, got, want)
		}
	}
	if got := masked(r, `csrf_token=abc badge-no=17 plan_b=x "user_id":"u" token=abc`); got != `csrf_token=abc badge-no=[REDACTED] plan_b=[REDACTED] "user_id":"[REDACTED]" token=[REDACTED]` {
		t.Errorf("text: %q", got)
	}
}

func TestCompileNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config Config
		want   []string
	}{
		{Config{Detect: "email,fone"}, []string{`"fone"`, "phone", "payment_card"}},
		{Config{Fields: []string{"ok", "a..b"}}, []string{"fields[1]", `"a..b"`}},
		{Config{Allow: []string{"--"}}, []string{"allow[0]", `"--"`}},
	} {
		_, err := Compile(c.config, nil)
		if err == nil {
			t.Errorf("%+v: no error", c.config)
			continue
		}
		for _, w := range c.want {
			if !contains(err.Error(), w) {
				t.Errorf("%v: want %q in it", err, w)
			}
		}
	}
}

// TestEveryDetectorIsDocumented keeps docs/redaction.md whole.
func TestEveryDetectorIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/redaction.md")
	if err != nil {
		t.Fatal(err)
	}
	for d := range detectorCount {
		if !contains(string(page), "`"+d.String()+"`") {
			t.Errorf("docs/redaction.md does not mention `%v`", d)
		}
	}
}
