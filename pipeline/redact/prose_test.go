package redact

import "testing"

func TestSentencesAndCommandsThatGiveSecretsAway(t *testing.T) {
	t.Parallel()
	r := compiled(t, "default")
	for text, want := range map[string]string{
		"the password is tr0ub4dor":                                                "the password is [REDACTED]",
		"Your new Password is now Blue$Sky.":                                       "Your new Password is now [REDACTED].",
		"password for user kim was changed to swordfish.":                          "password for user kim was changed to [REDACTED].",
		"admin password set to 'correct-horse' by ops":                             "admin password set to '[REDACTED]' by ops",
		`config: password "correct-horse";`:                                        `config: password "[REDACTED]";`,
		"logged in with password tr0ub4dor from 10.0.0.1":                          "logged in with password [REDACTED] from 10.0.0.1",
		"Das Passwort lautet Fr3ihe1t!":                                            "Das Passwort lautet [REDACTED]",
		"Ihr Kennwort ist Sonne77, bitte":                                          "Ihr Kennwort ist [REDACTED], bitte",
		"Your API key is k3v9q0z7m1x5c8b2n4":                                       "Your API key is [REDACTED]",
		"Your verification code is 482913. Do not share it":                        "Your verification code is [REDACTED]. Do not share it",
		"your PIN is 4071":                                                         "your PIN is [REDACTED]",
		"mysql -h db -u root -ptr0ub4dor shop":                                     "mysql -h db -u root -p[REDACTED] shop",
		"/usr/bin/mysqldump -uroot -p'tr0ub 4dor' shop":                            "/usr/bin/mysqldump -uroot -p'[REDACTED]' shop",
		"sshpass -p tr0ub4dor ssh kim@host":                                        "sshpass -p [REDACTED] ssh kim@host",
		"docker login -u kim -p tr0ub4dor registry.local":                          "docker login -u kim -p [REDACTED] registry.local",
		"redis-cli -h r -a tr0ub4dor PING":                                         "redis-cli -h r -a [REDACTED] PING",
		"ldapsearch -x -D cn=admin -w tr0ub4dor -b dc=x":                           "ldapsearch -x -D cn=admin -w [REDACTED] -b dc=x",
		"sqlcmd -S db -U sa -P tr0ub4dor -Q x":                                     "sqlcmd -S db -U sa -P [REDACTED] -Q x",
		`exec ["mysql","-ptr0ub4dor","shop"]`:                                      `exec ["mysql","-p[REDACTED]","shop"]`,
		"keytool -list -storepass changeit -keystore x":                            "keytool -list -storepass [REDACTED] -keystore x",
		"Connect-It -ClientSecret 'tr0ub4dor' -Id 7":                               "Connect-It -ClientSecret '[REDACTED]' -Id 7",
		"openssl rsa -passin pass:tr0ub4dor -in k":                                 "openssl rsa -passin pass:[REDACTED] -in k",
		"username kim password 7 0822455D0A16":                                     "username kim password 7 [REDACTED]",
		"curl -s --user  'kim:tr0ub4dor' https://x":                                "curl -s --user  'kim:[REDACTED]' https://x",
		"PGPASSWORD=tr0ub4dor psql -h db":                                          "PGPASSWORD=[REDACTED] psql -h db",
		"mysql -uroot -pSecretKey7 shop":                                           "mysql -uroot -p[REDACTED] shop",
		"aws configure set aws_secret_access_key kX9bQ2zL7mN4vR8tW1yP5sD3fG6hJ0aC": "aws configure set aws_secret_access_key [REDACTED]",
		"vault write auth app/api-token k3v9q0z7m1x5c8b2n4":                        "vault write auth app/api-token [REDACTED]",
		`calling user.setPassword("tr0ub4dor")`:                                    `calling user.setPassword("[REDACTED]")`,
		`client.with_api_key('tr0ub4dor').go()`:                                    `client.with_api_key('[REDACTED]').go()`,
		"your temporary password is: tr0ub4dor.":                                   "your temporary password is: [REDACTED].",
		"OTP 771204 sent to user":                                                  "OTP [REDACTED] sent to user",
		"login verification code 771204 sent":                                      "login verification code [REDACTED] sent",
		"openssl enc -aes-256-cbc -k tr0ub4dor -in f":                              "openssl enc -aes-256-cbc -k [REDACTED] -in f",
		"API key k3v9q0z7m1x5c8b2n4 is expired":                                    "API key [REDACTED] is expired",
		"secret key k3v9q0z7m1x5c8b2n4 used":                                       "secret key [REDACTED] used",
		`["password"]=> string(9) "tr0ub4dor"`:                                     `["password"]=> string(9) "[REDACTED]"`,
		"- name: DB_PASSWORD\n  value: tr0ub4dor\n- name: A\n  value: b":           "- name: DB_PASSWORD\n  value: [REDACTED]\n- name: A\n  value: b",
		"- name: API_TOKEN\r\n  value: 'tr0ub4dor'":                                "- name: API_TOKEN\r\n  value: '[REDACTED]'",
		"Sec-WebSocket-Protocol: bearer, k3v9q0z7m1x5c8b2n4k3v9q0z7m1":             "Sec-WebSocket-Protocol: bearer, [REDACTED]",
		"OTP for login is 483920, valid for 5 minutes":                             "OTP for login is [REDACTED], valid for 5 minutes",
		"Use 483920 as your verification code":                                     "Use [REDACTED] as your verification code",
		"483920 is your Acme verification code":                                    "[REDACTED] is your Acme verification code",
		"Your PIN has been changed to 4821":                                        "Your PIN has been changed to [REDACTED]",
		"card declined, cvv 123 entered":                                           "card declined, cvv [REDACTED] entered",
		"changed password: 'old1' -> 'new2'":                                       "changed password: '[REDACTED]' -> '[REDACTED]'",
		"password: hunter2 => swordfish9":                                          "password: [REDACTED] => [REDACTED]",
		"credentials: admin / tr0ub4dor":                                           "credentials: [REDACTED] / [REDACTED]",
		"username/password: bob / tr0ub4dor (test)":                                "username/password: [REDACTED] / [REDACTED] (test)",
		"tag 57: 4111111111111111D25121010000000000F":                              "tag 57: [REDACTED]F",
		"4111111111111111D25121010000000000":                                       "[REDACTED]",
		";4111111111111111=25121010000000000?":                                     ";[REDACTED]?",
		`password("tr0ub4dor")`:                                                    `password("[REDACTED]")`,
	} {
		if got := masked(r, text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

func TestSentencesThatGiveNothingAway(t *testing.T) {
	t.Parallel()
	r := compiled(t, "default")
	for _, text := range []string{
		"the password is required", "password was changed by kim", "Failed password for root from 10.0.0.1 port 40532 ssh2",
		"Failed password for invalid user admin from 192.0.2.7 port 51234 ssh2", "Accepted password for kim from 10.1.2.3 port 22",
		"password is too short", "password must be at least 12 characters", "password is stored as SHA-256", "your password was reset",
		"password is set to expire in 30 days", "password set to never expire", "password changed to comply with policy", "the password is compromised",
		"password authentication failed for user kim", "password reset link sent", "password is case-sensitive", "the password is 12 characters long",
		"the primary key is order_id2", "cache key is k3v9q0z7m1x5c8b2n4", "foreign key is violated", "the key is missing", "token is expired",
		"the error code is 5001", "the password is: required", "error code 5001 from upstream", "cache key k3v9q0z7m1x5c8b2n4 is gone",
		"- name: DB_HOST\n  value: db7", "name: password\nvalue of it: x1y2z3w4", "exit code 1370", "HTTP status code 5003",
		"used 4096 token 8192 of context", "openssl version -k", "openssl s_client -connect h:443", "the code 4031 means busy", "exit code is 1370", "zip code is 90210", "docker run -p 8080:80 nginx", "cp -p a b", "mkdir -p /srv/data",
		"mysql -h db -u root -p shop", "tar -p -a -w x", "ssh -p 2222 host", "netstat -a -p tcp", "kubectl logs -p api-0 -c app", "mysql --help -P 3306",
		"network is unreachable", "keyword is new", "he spoke for hours", "a wooden keyboard", "the password", "password ", "password is", "key is ",
		`checkPassword("kim")`, `password()`, `password(kim)`, `resetPassword("kim@host")`, `setPassword(x)`, `setPassword("")`, "set api_key to rotate",
		"primary_key order_id2", "kv get app/client_secret done", "the client_secret rotated yesterday", "cache_key k3v9q0z7m1x5c8b2n4",
		"the error code for login is 483920", "4821 is your order", "use 4821 as the port", "status code 200", "PIN codes were reset 4 times", "5001 is the error code",
		"he changed it to 4821", "secret was 4096 bytes", "sent auth token to 5432", "request 4821 is the token", "moved from pin to 4821", "session key to 1234", "HTTP code was 404", "sort=4821 is your best bet",
		"the password for kim", "wrong password 5 times", "password 7 ", "password 7", "the password field", "-", "-p", "mysql -p", "swords are 1234567 long",
	} {
		if got := masked(r, text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

// TestPasswordHashes: what is stored of a password lets somebody guess it offline.
func TestPasswordHashes(t *testing.T) {
	t.Parallel()
	r := compiled(t, "default")
	for _, hash := range []string{
		"$2b$12$Q9ZVbUeQv1WZJ5f8l0aB2eXyK3mN7pR4tS6uV8wY0zA1bC2dE3fG4",
		"$2y$10$./AbCdEfGhIjKlMnOpQrStUvWxYz0123456789./aBcDeFgHiJkLm",
		"$6$rounds=5000$saltsalt$Zk3vN9qT1xW5yB7cD2eF4gH6iJ8kL0mN.pQrStUvWxYz/1234567890abcdefghijklmnopqrstuvwxyzABCDE",
		"$5$salt$Zk3vN9qT1xW5yB7cD2eF4gH6iJ8kL0mNpQrStUvWxYz",
		"$1$salt$Zk3vN9qT1xW5yB7cD2eF41",
		"$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHRzb21l$Zk3vN9qT1xW5yB7cD2eF4gH6iJ8kL0mNpQrStUvWxYz",
		"$y$j9T$saltsaltsalt$Zk3vN9qT1xW5yB7cD2eF4gH6iJ8kL0mNpQrStUvWxYz",
		"pbkdf2_sha256$260000$saltsaltsalt$Zk3vN9qT1xW5yB7cD2eF4gH6iJ8kL0mNpQrStUvWxY=",
	} {
		for _, around := range [][2]string{{"", ""}, {"row: ", " of kim"}, {`("`, `")`}, {"kim:", ":19000:0:99999"}} {
			if got, want := masked(r, around[0]+hash+around[1]), around[0]+"[REDACTED]"+around[1]; got != want {
				t.Errorf("%q became %q, want %q", around[0]+hash+around[1], got, want)
			}
		}
	}
	for _, text := range []string{
		"costs $5 a month or $6 in all", "$1$2$3 are groups", "/usr/share/icons/abcdefghijklmnopqrst/x", "cost: $2b in the year", "echo $PATH_TO_SOMETHING_LONG/x",
	} {
		if got := masked(r, text); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}
