package redact

// fold returns v in lower case in buf, or nil if it is longer.
func fold(buf *[24]byte, v []byte) []byte {
	if len(v) > len(buf) {
		return nil
	}
	for i, c := range v {
		buf[i] = lower(c)
	}
	return buf[:len(v)]
}

// schemeWord knows the schemes of an Authorization header (https://www.iana.org/assignments/http-authschemes) and those
// in use without being registered.
func schemeWord(v []byte) bool {
	var b [24]byte
	switch string(fold(&b, v)) {
	case "digest", "aws4-hmac-sha256", "hawk", "oauth", "mutual", "scram-sha-1", "scram-sha-256", "vapid", "signature",
		"gnap", "hoba", "dpop", "privatetoken", "concealed", "mac":
		return true
	}
	return oneCredential(v)
}

// oneCredential knows the schemes that are followed by one credential without spaces.
func oneCredential(v []byte) bool {
	var b [24]byte
	switch string(fold(&b, v)) {
	case "bearer", "basic", "token", "apikey", "api-key", "negotiate", "ntlm", "jwt", "bot", "key", "sharedkey", "splunk",
		"genie", "genie-key", "genieKey", "ssws", "goog", "aws", "discogs", "zoho-oauthtoken", "kerberos", "session":
		return true
	}
	return false
}

// literal knows the words that stand for no value.
func literal(v []byte) bool {
	var b [24]byte
	switch string(fold(&b, v)) {
	case "null", "none", "nil", "undefined", "true", "false", "<nil>", "<null>", "(null)", "n/a", "nan", "(nil)",
		"(none)", "(empty)", "(unset)", "(hidden)", "(redacted)", "(not set)":
		return true
	}
	return false
}

// statusWord knows what logs say about a secret in the place of one: "authorization: required", "token: expired". Only
// values without quotes are asked.
func statusWord(v []byte) bool {
	for len(v) > 0 && (v[len(v)-1] == '.' || v[len(v)-1] == '!' || v[len(v)-1] == ':' || v[len(v)-1] == '?') {
		v = v[:len(v)-1]
	}
	var b [24]byte
	switch string(fold(&b, v)) {
	case "required", "optional", "missing", "invalid", "unexpected", "expected", "failed", "failure", "fail", "success",
		"successful", "succeeded", "yes", "no", "ok", "okay", "on", "off", "denied", "expired", "granted", "rejected",
		"accepted", "empty", "not", "must", "is", "are", "was", "were", "has", "had", "been", "be", "cannot", "can", "can't",
		"could", "should", "will", "would", "does", "doesn't", "did", "too", "the", "a", "an", "this", "that", "these",
		"incorrect", "wrong", "set", "unset", "changed", "unchanged", "updated", "reset", "disabled", "enabled", "valid",
		"unknown", "redacted", "filtered", "hidden", "masked", "removed", "omitted", "secret", "protected", "encrypted",
		"hashed", "revoked", "rotated", "unauthorized", "forbidden", "error", "pending", "used", "unused", "reused",
		"found", "present", "absent", "mismatch", "mismatched", "match", "matched", "matches", "no-such", "could-not",
		"malformed", "blank", "default", "new", "old", "same", "given", "provided", "supplied", "specified", "defined",
		"unspecified", "unsupported", "supported", "skipped", "skipping", "ignored", "loaded", "loading", "created",
		"deleted", "refreshed", "refreshing", "renewed", "renewing", "issued", "generated", "generating", "fetching",
		"using", "reading", "checking", "verified", "verifying", "validating", "validated", "unable", "at", "for", "from",
		"in", "of", "to", "with", "and", "or", "if", "when", "please", "enter", "choose", "use", "via", "by", "see", "n/a",
		"there", "it", "its", "only", "already", "string", "bearer", "basic", "digest", "unsafe", "weak", "strong", "low",
		"insufficient", "token", "strict", "lax", "expires", "expiring", "authentication", "authorization", "got", "expire", "never", "comply", "zero", "null",
		"stored", "sent", "safe", "last", "just", "now":
		return true
	}
	return false
}

// tellsNothing reports whether what stands in the place of a secret is none.
func tellsNothing(v []byte) bool { return placeholder(v) || literal(v) || statusWord(v) }

// placeholder reports whether a value is none: empty, masked already, or a template's or statement's parameter.
func placeholder(v []byte) bool {
	if len(v) == 0 || hasAt(v, 0, Mask) {
		return true
	}
	masked := true
	for _, c := range v {
		if c != '*' && c != 'x' && c != 'X' && c != '.' && c != '?' && c != '-' && c != '_' && c != '#' {
			masked = false
			break
		}
	}
	if masked && (v[0] == '*' || v[0] == '?' || len(v) > 2 && v[0] != '-' && v[0] != '_') {
		return true
	}
	last := v[len(v)-1]
	switch v[0] {
	case '$':
		return len(v) > 1 && (v[1] == '{' || v[1] == '(' || span(v, 1, isNumeral) == len(v))
	case '%':
		return len(v) <= 3 && is(last, isAlpha) && !is(last, isHex) || len(v) > 1 && v[1] == '(' || string(v) == "%d"
	case '{':
		return last == '}' && (len(v) < 4 || v[1] == '{' || span(v, 1, isToken) == len(v)-1)
	case '<':
		return last == '>' && span(v, 1, isToken|isSpace) == len(v)-1
	case '[':
		return last == ']' && span(v, 1, isUpper|isSpace) == len(v)-1
	case ':', '@':
		return len(v) < 32 && len(v) > 1 && span(v, 1, isLower|isNumeral) == len(v) && is(v[1], isLower)
	}
	// The dots that some loggers put for what they hide: U+2022.
	return hasAt(v, 0, "\u2022\u2022")
}

// nameOfName knows the keys whose value names another value: {"key": "password", "value": "…"}.
func nameOfName(k []byte) bool {
	var b [24]byte
	switch string(fold(&b, k)) {
	case "key", "name", "field", "header", "param", "parameter", "attribute", "property", "variable", "label",
		"fieldname", "field_name", "headername":
		return true
	}
	return false
}

func nameOfValue(k []byte) bool {
	var b [24]byte
	switch string(fold(&b, k)) {
	case "value", "val", "v", "values", "content", "stringvalue", "string_value", "data", "to", "new", "old", "newvalue",
		"oldvalue", "new_value", "old_value":
		return true
	}
	return false
}

// queryNames are parameters of URLs that are secrets there though not elsewhere: signatures of presigned addresses; and,
// after the empty one, codes and keys as far as their values look like tokens.
var queryNames = []string{
	"sig", "signature", "x-amz-signature", "x-amz-credential", "x-goog-signature", "x-goog-credential",
	"",
	"key", "code", "auth", "access", "hash", "hmac", "ticket", "state", "session", "sid", "session_id", "sessionid",
	"assertion", "samlresponse", "samlrequest", "otc", "invite", "authkey",
}

func queryName(k []byte) (secret, ifToken bool) {
	var b [24]byte
	k = fold(&b, k)
	secret = true
	for _, n := range queryNames {
		if n == "" {
			secret = false
		} else if string(k) == n {
			return secret, !secret
		}
	}
	return false, false
}
