package pipeline

import (
	"strings"

	"github.com/truledgr/activity-agent/activity"
)

// A sense is what a word in the name of an action says.
type sense uint16

const (
	reads   sense = 1 << iota // get, list, download
	changes                   // create, update, delete
	runs                      // start, run, send: changes something only if somebody did it
	enters                    // login, mfa: authentication in any company
	grants                    // issue, refresh, revoke: authentication in the company of a credential
	credential
	session
	rules // policy, settings: what is done to them is a change, also of those about logins
	fails
	succeeds
	calls   // outgoing, upstream
	api     // api, request
	machine // what computers do by themselves
	entered // has logged in or out
)

// vocabulary is the words that actions are named by, without the endings of verbs.
var vocabulary = []struct {
	sense sense
	verbs string // known with -s, -d, -ed, -ing and the doubled consonant, too
	words string
}{
	{reads, "get list read clone pull view describe download fetch search find query select access preview lookup export print watch count inspect show browse retrieve scan open peek preview backup unwrap decrypt",
		"viewing reading downloads reads accesses got found head listing retrieval seen opened"},
	{changes, "create add insert update modify change edit set put patch delete remove destroy drop grant assign unassign enable disable rename move copy upload import share unshare restore archive invite approve reject install uninstall attach detach deploy publish unpublish merge write truncate alter lock unlock suspend unsuspend activate deactivate register deregister subscribe unsubscribe upsert replace purge append save store commit configure provision deprovision promote demote transfer tag untag link unlink trash recover override block unblock rotate replicate sync allocate release associate disassociate undelete comment post push reset clear patch seal mark accept cancel void refund complete submit close reopen migrate ban unban mute encrypt sign ship pay order purchase checkout book",
		"creation deletion removal modification addition assignment insertion registration provisioning installation uploads made written sent_to put gave withdrew bulk_write new"},
	{runs, "start stop run execute restart reboot invoke send trigger terminate launch join leave connect disconnect schedule begin end exec kill", "execution ran sent"},
	{enters, "login logon logout logoff signin signon signout authenticate authorise authorize reauthenticate impersonate",
		"loggedin loggedout authentication authn authorization authz auth mfa 2fa otp totp webauthn passkey sso saml oidc oauth logins logouts sign_in lockout kerberos ldap_bind signup"},
	{grants, "issue refresh revoke exchange renew expire validate verify introspect generate", "issuance revocation renewal expiry expiration forgot forgotten challenge"},
	{session, "", "session sessions"},
	{credential, "", "token tokens password passwords credential credentials passcode secret_id certificate_login jwt apikey"},
	{rules, "", "policy policies setting settings config configuration configurations rule rules provider providers template templates preference preferences role roles permission permissions group groups connection connections integration client clients application applications"},
	{fails, "fail deny reject block refuse decline forbid", "failure failures denial denied invalid incorrect wrong unauthorized unauthenticated unsuccessful error errors forbidden bad mismatch expired locked"},
	{succeeds, "succeed accept allow pass complete", "success successful successfully ok accepted passed granted completed opened established"},
	{calls, "", "external upstream outgoing outbound egress downstream thirdparty partner vendor calling requesting"},
	{machine, "", "process processes thread threads driver drivers malware threat virus botnet detection alert incident"},
	{api, "", "api request call http rest endpoint service response webhook"},
}

var senses = buildSenses()

func buildSenses() map[string]sense {
	m := map[string]sense{}
	for _, v := range vocabulary {
		for _, w := range strings.Fields(v.words) {
			m[w] |= v.sense
		}
		for _, w := range strings.Fields(v.verbs) {
			for _, form := range forms(w) {
				m[form] |= v.sense
			}
		}
	}
	return m
}

// forms returns a verb with its regular endings.
func forms(verb string) []string {
	stem, last := verb, verb[len(verb)-1]
	switch {
	case last == 'e':
		stem = verb[:len(verb)-1]
		return []string{verb, verb + "s", verb + "d", stem + "ing"}
	case last == 'y' && !strings.ContainsRune("aeiou", rune(verb[len(verb)-2])):
		stem = verb[:len(verb)-1]
		return []string{verb, stem + "ies", stem + "ied", verb + "ing"}
	case strings.HasSuffix(verb, "s") || strings.HasSuffix(verb, "sh") || strings.HasSuffix(verb, "ch"):
		return []string{verb, verb + "es", verb + "ed", verb + "ing"}
	}
	twice := stem + string(last)
	return []string{verb, verb + "s", verb + "ed", verb + "ing", twice + "ed", twice + "ing"}
}

// phrase is the first words of a name or a message, in lower case.
type phrase struct {
	buf  [128]byte
	ends [16]uint8 // of the words in buf
	n    int
	all  sense // of all words
	each [16]sense
}

// read splits a name at what is no letter or digit, and where small letters meet capitals.
func (p *phrase) read(v []byte) {
	p.n, p.all = 0, 0
	end := 0
	flush := func() {
		start := 0
		if p.n > 0 {
			start = int(p.ends[p.n-1])
		}
		if end == start {
			return
		}
		s := senses[string(p.buf[start:end])]
		p.ends[p.n], p.each[p.n] = uint8(end), s
		p.all |= s
		p.n++
	}
	for i, c := range v {
		upper := 'A' <= c && c <= 'Z'
		if !upper && !isLetter(c) && (c < '0' || c > '9') {
			flush()
		} else {
			if upper && i > 0 && (isLower(v[i-1]) || i+1 < len(v) && isLower(v[i+1]) && isLetter(v[i-1])) {
				flush()
			}
			if p.n == len(p.ends) || end == len(p.buf) {
				break
			}
			p.buf[end] = c
			if upper {
				p.buf[end] = c | 0x20
			}
			end++
		}
	}
	if p.n < len(p.ends) {
		flush()
	}
	p.pairs()
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

// pairs finds the words that people write apart: log in, sign-out, two factor.
func (p *phrase) pairs() {
	for i := 1; i < p.n; i++ {
		a, b := p.word(i-1), p.word(i)
		switch string(a) {
		case "log", "logged", "logging", "logs", "sign", "signed", "signing", "signs":
			switch string(b) {
			case "in", "out", "on", "off":
				p.each[i] |= enters | p.entry(i)
			}
		case "two", "second", "multi":
			if string(b) == "factor" {
				p.each[i] |= enters
			}
		case "assume":
			if string(b) == "role" {
				p.each[i] |= enters
			}
		case "not":
			if p.each[i]&succeeds != 0 {
				p.each[i] |= fails
			}
		case "third":
			if string(b) == "party" {
				p.each[i] |= calls
			}
		}
		p.all |= p.each[i]
	}
}

// entry tells whether "logged in", whose second word is i, says that somebody did or did not. What is logged in a file is written
// to a log.
func (p *phrase) entry(i int) sense {
	if a := p.word(i - 1); string(a) != "logged" && string(a) != "signed" {
		return 0
	}
	if i >= 2 && string(p.word(i-2)) == "not" {
		return fails
	}
	if i+1 == p.n {
		return entered
	}
	switch string(p.word(i + 1)) {
	case "from", "to", "as", "via", "with", "at", "using", "successfully", "by", "on", "and":
		return entered
	}
	return 0
}

func (p *phrase) word(i int) []byte {
	start := 0
	if i > 0 {
		start = int(p.ends[i-1])
	}
	return p.buf[start:p.ends[i]]
}

// kind tells what an action of that name is; NoKind where the words say nothing. by is the sense that decided.
func (p *phrase) kind(someone bool) (k activity.Kind, by string) {
	verb := p.verb()
	switch {
	case p.all&enters != 0 && !(p.all&(rules|changes) == rules|changes):
		return activity.AuthEvent, "authentication"
	case p.all&(credential|session) != 0 && p.all&(grants|runs) != 0 && verb != reads,
		p.all&(credential|session) != 0 && verb == changes && p.all&rules == 0:
		return activity.AuthEvent, "credential"
	case p.all&(machine|rules) == machine && verb&(changes|reads) != 0:
		return activity.NoKind, ""
	case verb == changes, p.all&grants != 0 && verb == 0:
		return activity.DataChange, "change"
	case verb == reads:
		return activity.DataAccess, "access"
	case verb == runs && someone:
		return activity.DataChange, "change"
	}
	return activity.NoKind, ""
}

// verb returns the sense of the verb that says what is done: the first word in GetUser, the last in user.created.
func (p *phrase) verb() sense {
	const verbs = reads | changes | runs
	if p.n == 0 {
		return 0
	}
	if s := p.each[0] & verbs; s != 0 {
		return lowest(s)
	}
	for i := p.n - 1; i > 0; i-- {
		if s := p.each[i] & verbs; s != 0 {
			return lowest(s)
		}
	}
	return 0
}

func lowest(s sense) sense { return s & -s }

// message tells what a sentence is about, which takes more than one word: that somebody logged in or could not, or that
// another service was called.
func (p *phrase) message() (k activity.Kind, by string) {
	switch {
	case p.all&enters != 0 && p.all&(fails|succeeds) != 0,
		p.all&credential != 0 && p.all&(fails|grants) != 0 && p.all&api == 0:
		return activity.AuthEvent, "authentication"
	case p.all&entered != 0:
		return activity.AuthEvent, "login"
	case p.all&calls != 0 && p.all&api != 0:
		return activity.ExternalAPI, "external_call"
	}
	return activity.NoKind, ""
}

// deed tells what a sentence says that somebody did: Created grant x, Deleting group y.
func (p *phrase) deed() (k activity.Kind, by string) {
	if p.n < 2 || p.each[0]&(changes|reads) == 0 || p.all&machine != 0 {
		return activity.NoKind, ""
	}
	return p.kind(true)
}

// done reports whether the name of an authentication event is that of the thing itself, such as login or user.logout:
// who could not log in has another one.
func (p *phrase) done() bool {
	return p.n > 0 && p.n <= 3 && p.each[p.n-1]&enters != 0
}

// outcome tells whether the words say that it failed or succeeded.
func (p *phrase) outcome() string {
	switch {
	case p.all&fails != 0:
		return failure
	case p.all&(succeeds|entered) != 0:
		return success
	}
	return ""
}
