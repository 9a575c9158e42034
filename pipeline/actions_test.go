package pipeline

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/pipeline/redact"
)

const testKey = "0123456789abcdef-test-key"

// redacting returns a configuration with the default detectors.
func redacting(change func(*redact.Config)) Config {
	c := DefaultConfig()
	c.Redact.HashKey = testKey
	change(&c.Redact)
	return c
}

func TestActions(t *testing.T) {
	t.Parallel()
	const change = `{"kind":"data_change","table_name":"t","operation":"update","record_id":"7","new_values":{"iban":"x9","code":5,"note":"write to ann@example.com"},"old_values":{"code":4}}`
	for _, tc := range []struct {
		name   string
		config func(*redact.Config)
		line   string
		want   map[string]string // path → value; "" for absent
	}{
		{"mask", func(*redact.Config) {}, `{"msg":"mail ann@example.com","pin":1234,"ok":1}`,
			map[string]string{"description": "mail [REDACTED]", "details.pin": "[REDACTED]", "details.ok": "1"}},
		{"partial shows the last four digits, of personal data only", func(c *redact.Config) { c.Action = "partial" },
			`{"msg":"card 4111-1111-1111-1234 or 4111 1111 1111 1111 of ann@example.com","iban":"","account":"DE89 3704 0044 0532 0130 00","password":"12345678901234","token":"ghp_abc"}`,
			map[string]string{"description": "card 4111-1111-1111-1234 or ****1111 of a***@example.com", "details.account": "****3000", "details.password": "[REDACTED]", "details.token": "[REDACTED]"}},
		{"partial of an own field", func(c *redact.Config) { c.Action, c.Fields = "partial", []string{"customer", "badge"} },
			`{"msg":"x","customer":"4711-0815-2342","badge":"short77","n":{"customer":471108152342}}`,
			map[string]string{"details.customer": "****2342", "details.badge": "[REDACTED]", "details.n.customer": "****2342"}},
		{"drop takes the field", func(c *redact.Config) { c.Action = "drop" },
			`{"msg":"hello","note":"mail ann@example.com","password":"x","secret":{"a":1},"list":["a","ann@example.com","b"],"ok":1}`,
			map[string]string{"description": "hello", "details.note": "", "details.password": "", "details.secret": "", "details.list": "[a b]", "details.ok": "1"}},
		{"drop of all there is", func(c *redact.Config) { c.Action = "drop" }, `{"msg":"ann@example.com","password":"x"}`,
			map[string]string{"description": "", "details.password": "", "kind": "system_event"}},
		{"drop of plain text", func(c *redact.Config) { c.Action = "drop" }, `password=hunter2 for ann`,
			map[string]string{"description": "", "kind": "system_event"}},
		{"drop in JSON in a string", func(c *redact.Config) { c.Action = "drop" }, `{"msg":"x","body":"{\"a\":1,\"token\":\"t\"}"}`,
			map[string]string{"details.body": `{"a":1}`}},
		{"a rule for a detector", func(c *redact.Config) { c.Rules = []redact.Rule{{Detect: []string{"email"}, Action: "partial"}} },
			`{"msg":"ann@example.com, 4111 1111 1111 1111"}`, map[string]string{"description": "a***@example.com, [REDACTED]"}},
		{"a rule switches a detector on", func(c *redact.Config) { c.Rules = []redact.Rule{{Detect: []string{"ip"}, Action: "partial"}} },
			`{"msg":"from 203.0.113.77 and 2001:db8:1:2::9"}`, map[string]string{"description": "from 203.0.113.0 and 2001:db8:1::"}},
		{"a rule that keeps", func(c *redact.Config) {
			c.Rules = []redact.Rule{{Detect: []string{"email"}, Action: "keep"}, {Fields: []string{"reset_token"}, Action: "keep"}}
		}, `{"msg":"ann@example.com","reset_token":"r1","token":"t1"}`,
			map[string]string{"description": "ann@example.com", "details.reset_token": "r1", "details.token": "[REDACTED]"}},
		{"the first rule counts", func(c *redact.Config) {
			c.Rules = []redact.Rule{{Fields: []string{"details.code"}, Action: "drop"}, {Fields: []string{"code"}, Action: "mask"}}
		}, `{"msg":"x","code":7,"sub":{"code":8}}`, map[string]string{"details.code": "", "details.sub.code": "[REDACTED]"}},
		{"allow wins over a rule", func(c *redact.Config) {
			c.Allow, c.Rules = []string{"code"}, []redact.Rule{{Fields: []string{"code"}, Action: "drop"}}
		}, `{"msg":"x","code":7}`, map[string]string{"details.code": "7"}},
		{"a rule wins over fields", func(c *redact.Config) {
			c.Fields, c.Rules = []string{"code"}, []redact.Rule{{Fields: []string{"code"}, Action: "drop"}}
		}, `{"msg":"x","code":7}`, map[string]string{"details.code": ""}},
		{"a rule for a kind", func(c *redact.Config) {
			c.Rules = []redact.Rule{{Fields: []string{"*.code"}, Detect: []string{"email"}, Kinds: []string{"data_change"}, Action: "drop"}}
		}, change, map[string]string{"new_values.code": "", "new_values.note": "", "old_values.code": "", "changed_fields": "[code iban note]", "record_id": "7"}},
		{"and not for another", func(c *redact.Config) {
			c.Rules = []redact.Rule{{Fields: []string{"*.code"}, Detect: []string{"email"}, Kinds: []string{"auth_event"}, Action: "drop"}}
		}, change, map[string]string{"new_values.code": "5", "new_values.note": "write to [REDACTED]"}},
		{"a path with a star", func(c *redact.Config) {
			c.Rules = []redact.Rule{{Fields: []string{"details.items.*.code"}, Action: "drop"}}
		}, `{"msg":"x","items":[{"code":1,"n":1},{"code":2,"n":2}],"code":3}`,
			map[string]string{"details.items": "[map[n:1] map[n:2]]", "details.code": "3"}},
		{"a number, a date and a truth value cannot hold a mask", func(c *redact.Config) { c.Fields = []string{"status_code", "success", "execution_time_ms"} },
			`{"kind":"api_transaction","method":"GET","endpoint":"/","status_code":503,"execution_time_ms":12}`,
			map[string]string{"status_code": "", "execution_time_ms": "", "event.duration": "", "event.outcome": "unknown", "method": "GET"}},
		{"the time stays", func(c *redact.Config) { c.Fields = []string{"timestamp", "ts", "@timestamp"} }, `{"msg":"x","ts":"2026-11-23T11:00:00Z"}`,
			map[string]string{"@timestamp": "2026-11-23T11:00:00Z"}},
		{"an address that is masked has no place", func(c *redact.Config) { c.Fields = []string{"ip_address"} }, `{"kind":"auth_event","ip_address":"203.0.113.77"}`,
			map[string]string{"ip_address": "", "details.ip_address": ""}},
		{"the network of an address", func(c *redact.Config) {
			c.Rules = []redact.Rule{{Fields: []string{"ip_address"}, Action: "partial"}}
		}, `{"kind":"auth_event","ip_address":"203.0.113.77"}`, map[string]string{"ip_address": "203.0.113.0"}},
		{"activity_type is never without a value", func(c *redact.Config) { c.Rules = []redact.Rule{{Fields: []string{"activity_type"}, Action: "drop"}} },
			`{"activity_type":"user_creation","user_id":"u"}`, map[string]string{"activity_type": "activity"}},
		{"strict", func(c *redact.Config) { c.Only = []string{"description", "user_id", "*_count", "order"} },
			`{"msg":"for ann@example.com","user_id":"ann","ip_address":"10.1.1.1","item_count":3,"order":{"a":{"b":1},"password":"x"},"password":"x","free":true,"level":"warn","ts":"2026-11-23T11:00:00Z"}`,
			map[string]string{"description": "for [REDACTED]", "user_id": "ann", "ip_address": "", "details.item_count": "3", "details.order.a.b": "1", "details.order.password": "[REDACTED]",
				"details.free": "[REDACTED]", "details.password": "[REDACTED]", "@timestamp": "2026-11-23T11:00:00Z", "service.name": "shop", "kind": "system_event"}},
		{"strict drops", func(c *redact.Config) { c.Only, c.Action = []string{"details.a"}, "drop" }, `{"msg":"text","a":{"b":[1,2]},"c":1,"user_id":"u"}`,
			map[string]string{"description": "", "details.a.b": "[1 2]", "details.c": "", "user_id": ""}},
		{"identity in details", func(c *redact.Config) { c.Identity, c.Only = "hash", []string{"details.a"} },
			`{"level":"info","msg":"x","details":{"a":{"userId":"ann","address":"x","ip-address":"203.0.113.77"}},"b":1}`,
			map[string]string{"details.a.ip-address": pseudonym("203.0.113.77"), "details.a.userId": pseudonym("ann"), "details.a.address": "x", "details.b": "[REDACTED]"}},
		{"identity keeps personal data and no credential", func(*redact.Config) {}, `{"msg":"x","user_id":"ann@example.com"}`,
			map[string]string{"user_id": "ann@example.com", "redacted": ""}},
		{"a credential is nobody's name", func(*redact.Config) {}, `{"msg":"x","user_id":"ghp_a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2"}`,
			map[string]string{"user_id": "[REDACTED]"}},
		{"identity", func(c *redact.Config) { c.Identity = "hash" }, `{"msg":"x","user_id":"ann@example.com","user":{"id":"ignored"}}`,
			map[string]string{"user_id": pseudonym("ann@example.com")}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			docs, _ := process(t, redacting(tc.config), tc.line+"\n")
			if len(docs) != 1 {
				t.Fatalf("%d documents", len(docs))
			}
			for path, want := range tc.want {
				got := ""
				if v := at(docs[0], path); v != nil {
					got = fmt.Sprint(v)
				}
				if got != want {
					t.Errorf("%s is %q, want %q\n%v", path, got, want, docs[0])
				}
			}
		})
	}
}

// pseudonym returns what action hash makes of a whole value.
func pseudonym(value string) string {
	p, err := redact.Compile(redact.Config{Detect: "default", Action: "hash", HashKey: testKey, Fields: []string{"x"}}, nil)
	if err != nil {
		panic(err)
	}
	var r redact.Replacer
	return string(r.AppendValue(p.For(activity.Plain), nil, []byte(value), redact.Field))
}

// TestPseudonyms: equal values get equal pseudonyms wherever they stand and however they are written, others do not,
// and another key makes others.
func TestPseudonyms(t *testing.T) {
	t.Parallel()
	find := regexp.MustCompile(`hash:[a-z2-7]{26}`)
	of := func(key, line string) []string {
		docs, b := process(t, redacting(func(c *redact.Config) {
			c.Action, c.Identity, c.HashKey, c.Fields = "hash", "hash", key, []string{"customer"}
		}), line+"\n")
		if len(docs) != 1 {
			t.Fatalf("%d documents of %s", len(docs), line)
		}
		return find.FindAllString(string(b.Doc(0)), -1)
	}
	same := of(testKey, `{"msg":"x Ann@Example.com y 4111 1111 1111 1111","user_id":"ann@example.com","customer":"ann@EXAMPLE.com","a":["ann@example.com"],"b":"{\"n\":\"4111-1111-1111-1111\"}","c":4111111111111111}`)
	if len(same) != 7 {
		t.Fatalf("%d pseudonyms, want 7: %q", len(same), same)
	}
	count := map[string]int{}
	for _, p := range same {
		count[p]++
	}
	if len(count) != 2 || count[pseudonym("ann@example.com")] != 4 || count[pseudonym("4111111111111111")] != 3 {
		t.Errorf("got %v, want one pseudonym of the address, one of the card", count)
	}
	if other := of("another-key-0123456789", `{"msg":"ann@example.com"}`); len(other) != 1 || count[other[0]] > 0 {
		t.Errorf("another key makes %q", other)
	}
	if other := of(testKey, `{"msg":"anna@example.com"}`); len(other) != 1 || count[other[0]] > 0 {
		t.Errorf("another value makes %q", other)
	}
}

func TestHashedAddressIsAnAddress(t *testing.T) {
	t.Parallel()
	of := func(addr string) string {
		docs, _ := process(t, redacting(func(c *redact.Config) { c.Identity = "hash" }), `{"kind":"auth_event","ip_address":"`+addr+`"}`+"\n")
		return fmt.Sprint(at(docs[0], "ip_address"))
	}
	a, b := of("203.0.113.77"), of("203.0.113.78")
	if p := netip.MustParsePrefix("fd00::/8"); a == b || !p.Contains(netip.MustParseAddr(a)) || !p.Contains(netip.MustParseAddr(b)) {
		t.Errorf("got %s and %s, want two addresses in %s", a, b, p)
	}
	if mapped := of("::ffff:203.0.113.77"); mapped != a {
		t.Errorf("the IPv4 address written as IPv6 becomes %s, want %s", mapped, a)
	}
}

// TestNoActionLeaks: under every action the secrets of the detectors are gone from the document, of whatever kind it is.
func TestNoActionLeaks(t *testing.T) {
	t.Parallel()
	secrets := []string{"hunter2-and-more", "4111 1111 1111 1111", "ann.lee@example.com", "ghp_" + strings.Repeat("a1B2", 9), "078-05-1123"}
	for _, action := range []string{"mask", "partial", "hash", "drop"} {
		for _, k := range activity.Kinds() {
			for _, strict := range [][]string{nil, {"description", "details", "new_values", "old_values"}} {
				c := redacting(func(c *redact.Config) { c.Action, c.Only = action, strict })
				for _, s := range secrets {
					line := fmt.Sprintf(`{"kind":%q,"msg":"a %s b","password":%q,"new_values":{"token":%q,"x":"password=%s"},"old_values":{"token":"o","x":"y"},"details":{"password":{"a":[%q]},"q":"{\"pin\":\"%s\"}"},"tags":["a","password=%s"],"password=%s":1}`,
						k, strings.Replace(s, "hunter2", "password=hunter2", 1), s, s, s, s, s, s, s)
					_, b := process(t, c, line+"\n")
					if len(b.Records) != 1 {
						t.Fatalf("%d records of %s", len(b.Records), line)
					}
					assertGone(t, action+" "+k.String(), b, s)
				}
			}
		}
	}
}

func TestWhyIsExplained(t *testing.T) {
	t.Parallel()
	c := redacting(func(c *redact.Config) {
		c.Fields, c.Identity = []string{"badge"}, "hash"
		c.Rules = []redact.Rule{{Detect: []string{"email"}, Action: "partial"}, {Fields: []string{"details.code"}, Action: "drop"}}
	})
	var got []Redaction
	p, err := New(Options{Config: c, AgentID: "a", Explain: func(i int, r Redaction) {
		if i != 0 {
			t.Errorf("record %d", i)
		}
		got = append(got, r)
	}})
	if err != nil {
		t.Fatal(err)
	}
	raw := cutLines(t, `{"msg":"ann@example.com 4111111111111111","user_id":"u","badge":"1","code":2,"password":"p"}`+"\n", &Stream{})
	p.Process(raw, 1, testTime, new(Batch))
	want := []Redaction{
		{"user_id", "identity", "identity"}, {"description", "email", "rules[0]"}, {"description", "payment_card", "detect"},
		{"details.badge", "secret_name", "fields"}, {"details.code", "secret_name", "rules[1]"}, {"details.password", "secret_name", "built-in names"},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestNoHalfASecretIsLeftAtACut: a line that is cut at its limit ends before the word in which it was cut.
func TestNoHalfASecretIsLeftAtACut(t *testing.T) {
	t.Parallel()
	const room = 400
	p := newPipeline(t, DefaultConfig())
	for _, secret := range []string{"jane.roe12345678@example.com", "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00", "ghp_a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2", "GB82 WEST 1234 5698 7654 32"} {
		for _, form := range []string{`{"msg":"pad and `, `pad "`, "pad\t", `pad, then password=`, "2026-11-23T11:00:00Z stdout F {\"msg\":\"pad ", `{"log":"{\"msg\":\"pad `} {
			for left := range len(secret) + 1 { // bytes of it before the cut
				pad := strings.Repeat("x ", room)[:room-left-len(form)+len("pad")]
				line := strings.Replace(form, "pad", pad, 1) + secret + strings.Repeat(" and more", 100) + "\"}\n"
				raw := &Raw{Buf: []byte(line), Ranges: []Range{{Stream: &Stream{Path: "a"}, End: int64(len(line))}}}
				c := Cutter{MaxLine: room}
				c.Cut(raw, 0, len(line), 0, true)
				var b Batch
				p.Process(raw, 1, testTime, &b)
				doc := string(b.Doc(0))
				if !strings.Contains(doc, "x x") || !strings.Contains(doc, `"truncated":true`) {
					t.Fatalf("what came before is gone from %s", doc)
				}
				if strings.Contains(doc, secret[:5]) {
					t.Fatalf("%d bytes of %q left something in %s", left, secret, doc)
				}
			}
		}
	}
}
