package redact

import (
	"errors"
	"fmt"
)

// maxKey bounds how much of a name is looked at: its end, where the noun is.
const maxKey = 80

// names decides by the words of a key. A key is secret when its last meaningful word is ("user_password",
// "resetPasswordToken"), or its last two are ("api-key", "cardNumber"). Words that say where or in what form the secret
// is ("_prod", "_hash") are skipped from the end; any other last word makes it something about the secret
// ("token_count", "password_changed_at"), which is no secret. Some words ("key", "auth") name credentials as often as
// identifiers: there the value decides.
type names struct {
	custom  map[string]Verdict // squashed: lower-case letters and digits, no trailing digits
	endings gate               // how secret names can end
	inText  gate               // the same, and how names of names and of URL parameters do
}

// What a word does to the name that ends in it.
const (
	wordOther  = iota
	wordSecret // secret on its own
	wordPlural // secret after one of the qualifiers only: "tokens" are counted, "refresh_tokens" are kept
	wordHead   // secret after a matching word only: "key", "number", "code"
	wordForm   // says which or in what form; the word before decides
	wordLikely // secret where the value looks like a credential
)

// wordsByRole is the vocabulary, in lower case.
var wordsByRole = map[int][]string{
	wordSecret: {
		"password", "passwords", "passwd", "passwrd", "pwd", "pwds", "passphrase", "passphrases", "passcode", "passcodes",
		"pswd", "psw", "pw", "userpass", "userpassword", "dbpassword", "rootpassword", "adminpassword", "newpassword",
		"oldpassword", "loginpassword", "pgpassword", "mysqlpwd", "sshpass", "keypass", "storepass", "keystorepass",
		"passwort", "kennwort", "contrasena", "contraseña", "senha", "palavrapasse", "motdepasse", "mdp", "wachtwoord",
		"parola", "haslo", "heslo", "passord", "adgangskode", "losenord", "lösenord", "salasana", "jelszo", "sifre", "şifre",
		"пароль", "Пароль", "密码", "密碼", "パスワード", "비밀번호",
		"secret", "secrets", "clientsecret", "appsecret", "sharedsecret", "token", "accesstoken", "refreshtoken",
		"idtoken", "authtoken", "csrftoken", "xsrftoken", "csrfmiddlewaretoken", "sessiontoken", "bearertoken", "apitoken",
		"usertoken", "privatetoken", "authenticitytoken", "bearer", "jwt", "csrf", "xsrf", "apikey", "apikeys", "xapikey",
		"authkey", "secretkey", "accesskey", "privatekey", "signingkey", "encryptionkey", "masterkey", "sharedkey",
		"accountkey", "sharedaccesskey", "secretaccesskey", "sharedaccesssignature", "authorization", "proxyauthorization",
		"cookie", "cookies", "setcookie", "jsessionid", "phpsessid", "aspsessionid", "cfid", "cftoken", "credential",
		"credentials", "creds", "pin", "pincode", "cvv", "cvc", "csc", "cvn", "cvvc", "cav", "ssn", "ssns",
		"socialsecuritynumber", "cardnumber", "cardno", "cardnum", "creditcard", "creditcardnumber", "ccnumber", "ccnum",
		"ccn", "pan", "otp", "totp", "otpcode", "mfacode", "mnemonic", "seedphrase", "recoveryphrase", "connectionstring",
		"connstr", "trackdata", "pinblock", "keytab", "htpasswd", "passkey", "psk", "sas", "macaroon", "aspxauth",
		"privkey", "sshkey", "rsakey", "cardcvv", "cardcvc", "cardpin", "securitycode", "verificationcode", "onetimepassword",
		"socialsecurity", "iban", "accountnumber", "accountno", "bankaccount", "routingnumber", "passportnumber", "passportno",
		"nationalid", "taxid", "aadhaar", "aadhar", "pesel", "codicefiscale", "personnummer", "steuerid",
	},
	wordLikely: {"auth", "sig", "hmac", "license", "licence", "assertion", "samlresponse", "samlrequest", "pat", "clave", "ticket", "tok"},
	wordPlural: {"tokens", "pins", "pans", "otps"},
	wordHead: {
		"key", "keys", "number", "numbers", "num", "no", "nr", "code", "codes", "sid", "string", "phrase", "phrases",
		"session", "word", "words", "card", "cards", "security", "passe", "seed", "data", "url", "uri", "dsn", "signature",
		"pem", "str", "verifier", "answer", "answers", "link", "id",
	},
	wordForm: {
		"value", "values", "val", "plain", "plaintext", "cleartext", "raw", "hash", "hashed", "digest",
		"salt", "encrypted", "enc", "encoded", "bb", "base", "hex", "header", "headers", "confirmation", "confirm",
		"repeat", "again", "retype", "verify", "new", "old", "current", "previous", "default", "temp",
		"tmp", "temporary", "primary", "secondary", "backup", "prod", "production", "stage", "staging", "dev",
		"development", "test", "testing", "sandbox", "live", "qa", "uat", "env", "admin", "root", "readonly", "v", "github", "gitlab", "slack", "stripe", "openai", "aws", "gcp", "azure",
		"google", "twilio", "sendgrid", "postgres", "postgresql", "mysql", "redis", "mongo", "mongodb", "db", "smtp",
		"ldap", "api", "input", "override", "bcrypt", "argon", "md", "sha",
	},
}

// headPairs says which words make a wordHead secret.
var headPairs = map[string][]string{
	"key": {
		"api", "access", "secret", "private", "signing", "sign", "encryption", "encrypt", "decryption", "crypto", "cipher",
		"master", "shared", "auth", "authentication", "authorization", "account", "storage", "ssh", "rsa", "dsa", "ecdsa",
		"pgp", "gpg", "aes", "hmac", "jwt", "license", "service", "subscription", "functions", "function", "app",
		"application", "client", "consumer", "deploy", "host", "wallet", "session", "server", "signature", "tls", "ssl",
		"webhook", "write", "bot", "admin", "symmetric", "pre", "recovery", "otp", "totp", "data", "integration", "ingest",
		"enc", "decrypt", "unseal", "unlock", "activation", "wpa", "wep", "wifi", "sas", "vapid", "fcm", "luks", "merchant",
		"openai", "anthropic", "gemini", "stripe", "twilio", "sendgrid", "mailgun", "mailchimp", "heroku", "snyk", "datadog",
		"newrelic", "pagerduty", "cloudflare", "digitalocean", "hubspot", "algolia", "sentry", "supabase", "linear", "notion",
		"airtable", "shopify", "square", "plaid", "mapbox", "maps", "okta", "fastly", "vercel", "netlify", "pinecone",
		"cosmos", "cosmosdb", "iam", "aws", "gcp", "azure", "github", "gitlab", "slack",
	},
	"keys":     {"api", "access", "secret", "private", "signing", "encryption", "ssh", "recovery", "session"},
	"number":   {"card", "cc", "pan", "security", "ssn", "pin", "cvv", "credit", "debit", "account", "acct", "bank", "routing", "passport"},
	"numbers":  {"card", "cc", "security"},
	"num":      {"card", "cc", "pan", "ssn", "account", "acct", "passport"},
	"no":       {"card", "cc", "pan", "ssn", "account", "acct", "passport"},
	"nr":       {"card", "cc", "pan", "ssn", "account", "acct", "passport"},
	"code":     {"security", "verification", "mfa", "otp", "totp", "sms", "fa", "2fa", "tfa", "recovery", "backup", "auth", "authorization", "pin", "pass", "cvv", "cvc", "access", "confirmation", "passcode", "login", "onetime", "device", "activation", "pairing", "unlock", "reset", "enrollment"},
	"codes":    {"verification", "mfa", "otp", "totp", "recovery", "backup", "fa", "2fa", "scratch"},
	"sid":      {"connect"},
	"string":   {"connection", "connect", "conn", "jdbc", "password", "secret", "token"},
	"str":      {"connection", "conn"},
	"verifier": {"code"},
	"answer":   {"security", "secret", "recovery"},
	"answers":  {"security", "secret", "recovery"},
	"link":     {"magic", "reset"},
	"id":       {"national", "tax"},
	"words":    {"seed", "mnemonic", "recovery"},
	"phrase":   {"pass", "seed", "recovery", "mnemonic", "backup"},
	"phrases":  {"pass", "seed", "recovery", "mnemonic"},
	"session":  {"laravel", "rails", "flask", "gitlab", "ci", "express"},
	"word":     {"pass"},
	"card":     {"credit", "debit"},
	"cards":    {"credit", "debit"},
	"security": {"social"},
	"passe":    {"de"},
	"seed":     {"wallet", "totp", "otp", "mfa", "hd"},
	"data":     {"track", "secret", "card"},
	"dsn":      {"database", "db", "sentry", "mysql", "postgres", "pg"},
	"url":      {"database", "db", "redis", "mongo", "mongodb", "postgres", "amqp", "rabbitmq", "jdbc", "presigned", "signed", "sas", "reset"},
	"uri":      {"database", "db", "redis", "mongo", "mongodb", "postgres", "amqp", "rabbitmq", "otpauth", "sas"},
	"pem":      {"key", "private"},
	// The empty word is none: "pass" alone is a password, "first_pass" is not.
	"pass": {"", "user", "db", "database", "smtp", "mail", "email", "imap", "admin", "root", "login", "ftp", "sftp", "ssh", "redis",
		"mysql", "pg", "postgres", "mongo", "proxy", "auth", "http", "basic", "account", "wifi", "key", "store", "keystore",
		"truststore", "new", "old", "current", "ldap", "bind", "mq", "rabbitmq", "amqp", "api", "app", "client", "server",
		"sudo", "vpn", "my", "the", "sql", "kafka", "es", "elastic", "superuser", "service", "registry", "docker", "git"},
}

// qualifiers make a wordPlural secret.
var qualifiers = []string{
	"access", "refresh", "auth", "api", "id", "session", "bearer", "csrf", "device", "push", "oauth", "personal", "user",
	"reset", "jwt", "security", "secret", "card",
}

// notAfter lists first words that turn a secret word into a question, a limit or something else.
var notAfter = []string{
	"has", "is", "can", "should", "must", "need", "needs", "require", "requires", "required", "allow", "allows", "allowed",
	"enable", "enabled", "disable", "disabled", "show", "hide", "no", "without", "max", "min", "maximum", "minimum", "num",
	"total", "count", "avg", "remaining", "missing", "invalid", "wrong", "expired", "supports", "gpio", "led", "ignore",
	"verify", "validate", "public", "next", "page", "continuation", "pagination", "prompt", "completion", "eos", "bos",
	"pad", "sep", "unk", "stop", "cancellation", "sync", "elevated", "elevation", "safety",
}

// plainKeys are the words before "key" that make it an identifier, whatever it looks like.
var plainKeys = []string{
	"primary", "foreign", "public", "pub", "cache", "sort", "partition", "idempotency", "routing", "object", "s", "row",
	"message", "msg", "group", "dedup", "dedupe", "deduplication", "hash", "range", "lookup", "index", "unique", "natural",
	"surrogate", "join", "issue", "project", "registry", "translation", "resource", "entity", "event", "record", "request",
	"correlation", "trace", "lock", "queue", "topic", "shard", "bucket", "file", "blob", "image", "asset", "metric", "tag",
	"feature", "flag", "checkpoint", "etag", "digest", "fingerprint", "field", "column", "property", "attribute", "content",
	"document", "template", "sequence", "job", "task", "alert", "incident", "path", "name", "kms", "composite",
}

// compounds are endings of words that were written without a gap: "redispassword", "MYAPIKEY".
var compounds = []string{
	"password", "passwd", "passphrase", "secret", "apikey", "secretkey", "accesskey", "privatekey", "accesstoken",
	"authtoken", "refreshtoken", "apitoken", "credentials",
}

// vocabulary is the tables above, turned for look-up by word.
type word struct {
	role  uint8
	after map[string]bool
}

var vocabulary, questions, plurals, identifiers = func() (v map[string]word, not, quals, ids map[string]bool) {
	v, not, quals, ids = map[string]word{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for role, ws := range wordsByRole {
		for _, w := range ws {
			v[w] = word{role: uint8(role)}
		}
	}
	for head, befores := range headPairs {
		w := word{role: wordHead, after: map[string]bool{}}
		for _, b := range befores {
			w.after[b] = true
		}
		v[head] = w
	}
	for _, w := range notAfter {
		not[w] = true
	}
	for _, w := range qualifiers {
		quals[w] = true
	}
	for _, w := range plainKeys {
		ids[w] = true
	}
	return v, not, quals, ids
}()

func (n *names) builtin() {
	for w := range vocabulary {
		n.endings.let(w)
	}
	n.inText = n.endings
	for _, w := range []string{"name", "field", "header", "param", "parameter", "attribute", "property", "variable", "label"} {
		n.inText.let(w)
	}
	for _, w := range queryNames {
		n.inText.let(w)
	}
}

// A gate has the three letters that a name can end in: by the last two, a bit for the third.
type gate [26 * 26]uint32

// let opens the gate to names that end like w.
func (g *gate) let(w string) {
	e, ok := endingOf([]byte(w))
	switch {
	case !ok:
	case e.third == noLetter:
		g[e.pair] = ^uint32(0) // a word of two letters: what is before it may be another word
	default:
		g[e.pair] |= 1 << e.third
	}
}

// An ending is a key's last three letters in either case, without digits and signs after them.
type ending struct {
	pair  int
	third uint8 // 0 to 25, or noLetter
}

const noLetter = 26

func endingOf(key []byte) (e ending, ok bool) {
	i := len(key)
	for i > 0 && !is(key[i-1], isAlpha) {
		i--
	}
	if i < 2 || !is(key[i-2], isAlpha) {
		return e, false
	}
	e.pair = int(key[i-1]|0x20-'a')*26 + int(key[i-2]|0x20-'a')
	e.third = noLetter
	if i > 2 && is(key[i-3], isAlpha) {
		e.third = key[i-3] | 0x20 - 'a'
	}
	return e, true
}

// passes is the first look at a key. Most keys end here.
func (g *gate) passes(key []byte, custom bool) bool {
	e, ok := endingOf(key)
	if !ok {
		return custom || len(key) > 2 && (lower(key[len(key)-2]) == 'v' || key[len(key)-2] >= 0x80) // "_v2", "contraseña"
	}
	return g[e.pair]&(1<<e.third) != 0
}

func (n *names) add(name string, v Verdict) error {
	s := string(squash(nil, []byte(name)))
	if s == "" {
		return errors.New("no letter in the name")
	}
	if len(name) > maxKey {
		return fmt.Errorf("longer than %d bytes", maxKey)
	}
	if n.custom == nil {
		n.custom = map[string]Verdict{}
	}
	if _, taken := n.custom[s]; !taken { // what comes first wins
		n.custom[s] = v
	}
	for _, g := range []*gate{&n.endings, &n.inText} {
		g.let(s)
		if e, ok := endingOf([]byte(s)); ok {
			g[e.pair] |= 1 << noLetter // a sign may stand there: "user_id" is "userid" too
		}
	}
	return nil
}

// SecretName reports whether the values under a key are secret by the key's name, built in or of Config.Fields, in any
// spelling: camelCase, snake_case, kebab-case, SCREAMING, with dots, spaces or digits at the end. key is unescaped UTF-8.
// Names of Config.Allow are not. Booleans and nulls under a secret name are no secrets; the caller knows the type.
func (r *Rules) SecretName(key []byte) bool {
	return r.names.verdict(key).Secret()
}

// Name returns the verdict on the values under a key by its name alone.
func (r *Rules) Name(key []byte) Verdict { return r.names.verdict(key) }

func (n *names) verdict(key []byte) (v Verdict) {
	if len(key) == 0 || !n.endings.passes(key, n.custom != nil) {
		return None
	}
	if len(key) > maxKey {
		key = key[len(key)-maxKey:]
	}
	if n.custom != nil {
		var buf [maxKey]byte
		v = n.custom[string(squash(buf[:0], key))]
		if v != None && v != Listed {
			return v
		}
	}
	if b := byWords(key); b != None && (v == None || b == Redact) {
		return b
	}
	return v
}

// squash appends the key's letters and digits in lower case, without trailing digits: "Badge-No2" and "badgeNo" are both
// "badgeno".
func squash(dst, key []byte) []byte {
	for _, c := range key {
		if is(c, isAlnum) || c >= 0x80 {
			dst = append(dst, lower(c))
		}
	}
	for len(dst) > 0 && is(dst[len(dst)-1], isNumeral) {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// A wordBuffer holds one word in lower case. A longer word is none of the vocabulary's.
type wordBuffer [maxKey]byte

// lastWord returns the last word of key in lower case and what is before it. It cuts at signs and where the case changes:
// "APIKey" is api+key, "accessTokenV2" access+token+v. Digits at the end of a word are dropped.
func (b *wordBuffer) lastWord(key []byte) (word, rest []byte) {
	end := len(key)
	for end > 0 && !is(key[end-1], isAlpha) {
		lead := end - 1
		for lead > max(0, end-4) && key[lead] >= 0x80 && key[lead] < 0xc0 {
			lead--
		}
		if key[end-1] >= 0x80 && symbol(key[lead]) == 0 {
			break
		}
		end = min(lead, end-1)
	}
	start := end
	for start > 0 {
		c := key[start-1]
		if !is(c, isAlnum) && c < 0x80 {
			break
		}
		if n := symbol(c); n > 0 { // pictures and dashes are no letters
			start = min(start-1+n, end)
			break
		}
		start--
		if start > 0 && is(c, isUpper) {
			humped := !is(key[start-1], isUpper) || start+1 < end && is(key[start+1], isLower) && !(start+2 == end && key[start+1] == 's')
			if humped {
				break
			}
		}
	}
	n := 0
	for _, c := range key[start:end] {
		b[n] = lower(c)
		n++
	}
	return b[:n], key[:start]
}

// symbol returns the length of a character in UTF-8 that begins with c and is no letter of any script: U+2000 to U+2FFF,
// and from U+10000 on.
func symbol(c byte) int {
	switch c {
	case 0xe2:
		return 3
	case 0xf0:
		return 4
	}
	return 0
}

// firstWord returns the first word of key in lower case.
func (b *wordBuffer) firstWord(key []byte) []byte {
	n := 0
	for i, c := range key {
		if !is(c, isAlnum) || n > 0 && is(c, isUpper) && is(key[i-1], isLower) {
			if n > 0 {
				break
			}
			continue
		}
		b[n] = lower(c)
		n++
	}
	return b[:n]
}

// byWords decides by the vocabulary, from the last word on: Redact, Likely or None.
func byWords(key []byte) Verdict {
	var b, before wordBuffer
	whole := key
	for len(key) > 0 {
		w, rest := b.lastWord(key)
		e, ok := vocabulary[string(w)]
		switch {
		case len(w) == 0:
			return None
		case !ok:
			return compound(w, rest)
		case e.role == wordForm:
			key = rest
			continue
		case e.role == wordPlural:
			prev, _ := before.lastWord(rest)
			return secretIf(plurals[string(prev)])
		case questioned(rest):
			return None
		case e.role == wordSecret:
			return Redact
		case e.role == wordLikely:
			return Likely
		}
		prev, _ := before.lastWord(rest)
		if e.after[string(prev)] {
			return Redact
		}
		return likelyHead(w, prev)
	}
	return repeated(whole)
}

// repeated decides on a name that only says in what form it is. The second of the two fields of a form is one.
func repeated(key []byte) Verdict {
	var b wordBuffer
	switch w, _ := b.lastWord(key); string(w) {
	case "confirm", "confirmation", "repeat", "again", "retype", "verify":
		return Likely
	}
	return None
}

func secretIf(secret bool) Verdict {
	if secret {
		return Redact
	}
	return None
}

// compound decides on a word that is none of the vocabulary's.
func compound(w, rest []byte) Verdict {
	for _, c := range compounds {
		if n := len(w) - len(c); n > 0 && string(w[n:]) == c {
			return secretIf(!questions[string(w[:n])] && !questioned(rest))
		}
	}
	return None
}

// likelyHead decides on a wordHead after a word that does not make it secret.
func likelyHead(w, before []byte) Verdict {
	switch string(w) {
	case "key", "keys":
		if !identifiers[string(before)] {
			return Likely
		}
	case "code": // of OAuth; others say what happened
		if len(before) == 0 {
			return Likely
		}
	case "signature":
		return Likely
	}
	return None
}

// questioned reports whether the word before the secret, or the first of all, makes the name ask, count or limit.
func questioned(before []byte) bool {
	if len(before) == 0 {
		return false
	}
	var b wordBuffer
	if questions[string(b.firstWord(before))] {
		return true
	}
	w, _ := b.lastWord(before)
	return questions[string(w)]
}
