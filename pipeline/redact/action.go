package redact

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"hash"
	"net/netip"
	"slices"
	"unicode/utf8"
)

// An Action says what becomes of a secret.
type Action uint8

// The actions.
const (
	MaskWhole Action = iota // Mask takes its place
	Partial                 // what tells it apart for a person stays, of personal data only: the last four digits, the network of an address, the first letter and the domain of an e-mail address
	Hash                    // a pseudonym takes its place: the same for equal values
	Drop                    // the field that it is in is left out
	keep                    // of rules only: nothing
)

func actionNamed(name string) (Action, bool) {
	for a, n := range [...]string{MaskWhole: "mask", Partial: "partial", Hash: "hash", Drop: "drop", keep: "keep"} {
		if n == name {
			return Action(a), true
		}
	}
	return MaskWhole, name == ""
}

// ActionOn returns what becomes of a value with a secret verdict.
func (r *Rules) ActionOn(v Verdict) Action { return r.actions[v] }

// ActionOf returns what becomes of what a detector finds.
func (r *Rules) ActionOf(d Detector) Action { return r.found[d] }

// A Replacer finds secrets and replaces them. It holds scratch memory: one goroutine at a time.
type Replacer struct {
	mac    hash.Hash
	sum    [sha256.Size]byte
	text   []byte
	masked []byte
	more   []Match
}

// maxRounds bounds how often a text is looked through again after something in it was masked.
const maxRounds = 6

// Find appends the secrets in text to dst like Scan, and those that only show once the first are masked: two that share
// digits, one that hides between two others. So a text in which all of them are masked has none.
func (p *Replacer) Find(r *Rules, dst []Match, text []byte) []Match {
	base := len(dst)
	dst = r.Scan(dst, text)
	if len(dst) == base+1 && dst[base].Start == 0 && dst[base].End == len(text) {
		return dst // what is left is a mask
	}
	for round := 0; len(dst) > base; round++ {
		p.masked = AppendMasked(p.masked[:0], text, dst[base:])
		if p.more = r.Scan(p.more[:0], p.masked); len(p.more) == 0 {
			break
		}
		if round == maxRounds {
			return append(dst[:base], Match{0, len(text), Limit})
		}
		masks := dst[base:]
		for _, m := range p.more {
			m.Start, m.End = origin(masks, m.Start, false), origin(masks, m.End, true)
			dst = append(dst, m)
		}
		dst = dst[:base+join(dst[base:])]
	}
	return dst
}

// origin returns the place in a text that became place at when the matches were masked. What lies in a mask becomes the
// beginning or the end of the secret.
func origin(ms []Match, at int, end bool) int {
	shift := 0 // of the text behind the masks passed
	for _, m := range ms {
		lo := m.Start - shift // of the mask
		hi := lo + len(Mask)
		switch {
		case at < lo || at == lo && end:
			return at + shift
		case at < hi || at == hi && end:
			if end {
				return m.End
			}
			return m.Start
		}
		shift += m.End - m.Start - len(Mask)
	}
	return at + shift
}

// join sorts matches and makes one of those that overlap. It returns how many are left.
func join(ms []Match) int {
	slices.SortStableFunc(ms, func(a, b Match) int { return a.Start - b.Start })
	n := 0
	for _, m := range ms[1:] {
		if m.Start < ms[n].End {
			ms[n].End = max(ms[n].End, m.End)
			continue
		}
		n++
		ms[n] = m
	}
	return n + 1
}

// Drops reports whether one of the matches takes the field with it.
func (r *Rules) Drops(ms []Match) bool {
	return slices.ContainsFunc(ms, func(m Match) bool { return r.found[m.Detector] == Drop })
}

// AppendText appends text to dst with every match replaced as the rules say. The matches are as Find returns them.
func (p *Replacer) AppendText(r *Rules, dst, text []byte, ms []Match) []byte {
	at := 0
	for _, m := range ms {
		dst = append(dst, text[at:m.Start]...)
		dst = p.appendSecret(r, dst, text[m.Start:m.End], m.Detector, r.found[m.Detector])
		at = m.End
	}
	return append(dst, text[at:]...)
}

// AppendValue appends what takes the place of a whole value with a secret verdict. What it is is looked up as in a text,
// so that a pseudonym is the same in both.
func (p *Replacer) AppendValue(r *Rules, dst, value []byte, v Verdict) []byte {
	action := r.actions[v]
	if action == MaskWhole {
		return append(dst, Mask...)
	}
	d := SecretName
	p.more = r.Scan(p.more[:0], value)
	if len(p.more) == 1 && p.more[0].Start == 0 && p.more[0].End == len(value) {
		d = p.more[0].Detector
	}
	if action == Partial && d == SecretName {
		return appendPartialValue(dst, value)
	}
	return p.appendSecret(r, dst, value, d, action)
}

// AppendAddress appends what takes the place of a network address with a secret verdict; it is an address too, so that
// it can stand in a field for them. A pseudonym is one of the unique local addresses of RFC 4193. ok is false where the
// action leaves no address.
func (p *Replacer) AppendAddress(r *Rules, dst []byte, a netip.Addr, v Verdict) (out []byte, ok bool) {
	switch r.actions[v] {
	case Partial:
		return network(a).AppendTo(dst), true
	case Hash:
		sum := p.hmac(r, a.AppendTo(p.text[:0]))
		b := [16]byte(sum[:16])
		b[0] = 0xfd
		return netip.AddrFrom16(b).AppendTo(dst), true
	}
	return dst, false
}

func (p *Replacer) appendSecret(r *Rules, dst, secret []byte, d Detector, a Action) []byte {
	switch a {
	case Partial:
		return appendPartial(dst, secret, d)
	case Hash:
		p.text = appendCanonical(p.text[:0], secret, d)
		sum := p.hmac(r, p.text)
		return pseudonyms.AppendEncode(append(dst, "hash:"...), sum[:16])
	}
	return append(dst, Mask...)
}

// pseudonyms are 128 bits of HMAC-SHA-256 (RFC 2104) in lower-case base32 (RFC 4648, section 6).
var pseudonyms = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func (p *Replacer) hmac(r *Rules, value []byte) []byte {
	if p.mac == nil {
		p.mac = hmac.New(sha256.New, r.key)
	}
	p.mac.Reset()
	p.mac.Write(value)
	return p.mac.Sum(p.sum[:0])
}

// appendCanonical writes equal values alike: numbers without what groups their digits, e-mail addresses in lower case.
func appendCanonical(dst, secret []byte, d Detector) []byte {
	switch detectors[d].form {
	case lastFour:
		for _, c := range secret {
			if is(c, isAlnum) {
				dst = append(dst, upper(c))
			}
		}
	case mailbox:
		for _, c := range secret {
			dst = append(dst, lower(c))
		}
	default:
		dst = append(dst, secret...)
	}
	return dst
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// A form is how much of a finding may be shown, and which spellings of it are the same.
type form uint8

const (
	opaque   form = iota // nothing, as of every credential
	lastFour             // four digits or letters at the end
	mailbox              // the first letter and the domain
	address              // the network
)

// Credentials returns the matches that are no personal data, in place.
func Credentials(ms []Match) []Match {
	return slices.DeleteFunc(ms, func(m Match) bool { return detectors[m.Detector].personal() })
}

func appendPartial(dst, secret []byte, d Detector) []byte {
	switch detectors[d].form {
	case lastFour:
		return appendLastFour(dst, secret, d == IBAN)
	case mailbox:
		if at := bytes.LastIndexByte(secret, '@'); at > 0 && bytes.IndexByte(secret, '%') < 0 {
			_, n := utf8.DecodeRune(secret)
			return append(append(append(dst, secret[:n]...), "***"...), secret[at:]...)
		}
	case address:
		if a, err := netip.ParseAddr(string(secret)); err == nil {
			return network(a).AppendTo(dst)
		}
	}
	return append(dst, Mask...)
}

// appendLastFour shows the end of a number of eight digits or more, which is at most half of it.
func appendLastFour(dst, secret []byte, letters bool) []byte {
	var last [4]byte
	n := 0
	for i := len(secret) - 1; i >= 0; i-- {
		switch c := secret[i]; {
		case is(c, isNumeral) || letters && is(c, isAlpha):
			if n < len(last) {
				last[len(last)-1-n] = c
			}
			n++
		case is(c, isAlpha):
			return append(dst, Mask...)
		}
	}
	if n < 2*len(last) {
		return append(dst, Mask...)
	}
	return append(append(dst, "****"...), last[:]...)
}

// appendPartialValue shows part of a value of which only the name is known.
func appendPartialValue(dst, value []byte) []byte {
	if a, err := netip.ParseAddr(string(value)); err == nil {
		return network(a).AppendTo(dst)
	}
	return appendLastFour(dst, value, false)
}

// network returns the address of the network that people anonymise to: the first three bytes of IPv4, 48 bits of IPv6.
func network(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	bits := 24
	if a.Is6() {
		bits = 48
	}
	n, err := a.Prefix(bits)
	if err != nil {
		return a
	}
	return n.Addr()
}
