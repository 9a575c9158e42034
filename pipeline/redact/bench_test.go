package redact

import (
	"strings"
	"testing"
)

// ordinary are strings as logs have them, without a secret.
var ordinary = []string{
	"GET /api/v1/users/48213/orders?page=2&limit=50&sort=-created_at HTTP/1.1",
	"connection to upstream api-7d9f8b6c5d-x2x7z.default.svc.cluster.local:8443 closed after 12.345ms, retrying in 250ms",
	"2024-05-06T07:08:09.123456Z INFO  [main] com.example.orders.OrderService - order 2024-000123 accepted for customer 99182",
	`{"level":"info","ts":1714979289.123,"caller":"server/handler.go:118","msg":"request done","status":200,"latency_ms":12}`,
	"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
	"user updated the description of the project and moved three tasks to the next sprint",
	"550e8400-e29b-41d4-a716-446655440000",
	"java.lang.IllegalStateException: no handler\n\tat com.example.App.run(App.java:42)\n\tat java.base/java.lang.Thread.run(Thread.java:840)",
	"SELECT id, name, created_at FROM orders WHERE customer_id = $1 AND status IN ('open', 'paid') ORDER BY id DESC LIMIT 20",
	"completed", "production", "orders-service", "/var/log/app/orders-2024-05-06.log", "10.0.12.34",
}

func BenchmarkScan(b *testing.B) {
	r := compiled(b, "default")
	long := strings.Join(ordinary, "\n")
	b.Run("ordinary/values", func(b *testing.B) {
		var n int64
		values := make([][]byte, len(ordinary))
		for i, v := range ordinary {
			values[i] = []byte(v)
			n += int64(len(v))
		}
		b.SetBytes(n)
		b.ReportAllocs()
		for b.Loop() {
			for _, v := range values {
				if ms := r.Scan(nil, v); len(ms) > 0 {
					b.Fatal("found something in ordinary text")
				}
			}
		}
	})
	for name, text := range map[string]string{
		"ordinary/text": strings.Repeat(long+"\n", 8),
		"prose":         strings.Repeat(ordinary[5]+". ", 40),
		"hex":           strings.Repeat("33a64df551425fcc55e4d42a148795d9f25f89d4 ", 80),
		"base64":        strings.Repeat("aGVsbG8gd29ybGQsIHRoaXMgaXMgYSBsb25n/+x", 80),
		"uuid":          strings.Repeat(ordinary[6]+" ", 80),
		"email":         strings.Repeat("mail from jane.doe@example.com to o'brien@example.ie done ", 50),
		"payment_card":  strings.Repeat("charge 4111 1111 1111 1111 and 5555555555554444 failed ", 50),
		"numbers":       strings.Repeat("1714979289123 1623765432 20240506070809 99182 1711741827962628600 ", 50),
		"jwt":           strings.Repeat("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U ", 30),
		"bearer_token":  strings.Repeat("with Bearer 9944b09199c62bcf9418ad846dd0e4bb sent ", 50),
		"secret_name":   strings.Repeat(`{"user":"bob","password":"hunter2","n":1} `, 80),
		"url_password":  strings.Repeat("dial postgres://app:s3cret@db:5432/app failed; ", 60),
		"url_parameter": strings.Repeat("GET /x?token=abcdef&page=2 ", 100),
		"iban":          strings.Repeat("to DE89370400440532013000 or GB82 WEST 1234 5698 7654 32 ", 50),
		"us_ssn":        strings.Repeat("ssn 078-05-1123 filed ", 120),
		"vendor_token":  strings.Repeat("key ghp_0123456789abcdefghijklmnopqrstuvwxyzAB used ", 60),
		"private_key":   "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7\n", 60) + "-----END PRIVATE KEY-----",
		"percent":       strings.Repeat("a%20b%2Fc%3Dd ", 200),
		"escaped_json":  strings.Repeat(`{\"user\":\"bob\",\"items\":[1,2,3],\"state\":\"open\"} `, 60),
	} {
		b.Run(name, func(b *testing.B) {
			v, ms := []byte(text), []Match(nil)
			b.SetBytes(int64(len(v)))
			b.ReportAllocs()
			for b.Loop() {
				ms = r.Scan(ms[:0], v)
			}
		})
	}
}

func BenchmarkFloor(b *testing.B) {
	v := []byte(strings.Repeat(ordinary[5]+". ", 40))
	b.SetBytes(int64(len(v)))
	n := 0
	for b.Loop() {
		for _, c := range v {
			if class[c]&isNumeral != 0 {
				n++
			}
		}
	}
	_ = n
}

func BenchmarkSecretName(b *testing.B) {
	r := compiled(b, "default")
	for _, name := range []string{"level", "timestamp", "userName", "request_id", "status_code", "primary_key", "password", "x-auth-token", "token_count", "client_secret"} {
		b.Run(name, func(b *testing.B) {
			k := []byte(name)
			b.ReportAllocs()
			for b.Loop() {
				r.SecretName(k)
			}
		})
	}
}
