package pipeline

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"strconv"
	"unicode/utf8"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
	"github.com/truledgr/activity-agent/pipeline/redact"
)

// Limits of what is looked through and written.
const (
	maxNested   = 8   // JSON inside strings inside JSON …; deeper is replaced whole
	maxFlat     = 18  // levels of a free field; deeper is written as a string (Elasticsearch: depth_limit 20)
	maxKeyPath  = 512 // bytes of a path of names in a free field; a longer name is cut
	shortestCut = 80  // room that a name has at least
	maxListed   = 64  // places listed in `redacted`
	cachedKey   = 30  // bytes of a name whose verdict is remembered
	cacheSize   = 1024
	cleanSize   = 2048
	minScan     = 5  // bytes of the shortest text with a secret in it: pin=1
	minScanNum  = 13 // digits of the shortest payment card
)

// A hit is one place where something was removed.
type hit struct {
	path     []byte
	detector redact.Detector
	verdict  redact.Verdict // None where a detector found it
}

// A lens is the rules for some kinds of activities, with what is remembered of them.
type lens struct {
	rules  *redact.Rules
	fields []redact.Verdict // by the rules for the field's own name and path
	names  [cacheSize]cacheEntry
	clean  [cleanSize]uint64 // hashes of texts without a secret
}

func newLens(rules *redact.Rules, m *activity.Model) *lens {
	l := &lens{rules: rules, fields: make([]redact.Verdict, m.FieldCount())}
	for f := activity.FieldID(1); f < m.FieldCount(); f++ {
		name := []byte(m.FieldName(f))
		l.fields[f] = l.below(rules.Root(), rules.Path(name), rules.Name(name))
	}
	return l
}

// below returns how a value is treated inside one that is treated as v, given the verdicts on its path and its name.
func (l *lens) below(v, path, name redact.Verdict) redact.Verdict {
	switch {
	case v == redact.Allow || path == redact.Allow:
		return redact.Allow
	case path.Secret():
		return path
	case path == redact.Listed && v == redact.Unlisted:
		v = redact.None
	}
	switch {
	case name == redact.None, v.Secret() && name != redact.Allow:
		return v
	case name == redact.Listed:
		return redact.None
	}
	return name
}

// writer writes values of a tape into a document. Nothing of a line gets into a document by another way, so what it
// does to strings and names is what redaction means.
type writer struct {
	*lens
	replacer  redact.Replacer
	t         *tape.Tape
	out       []byte
	hits      []hit
	pathMem   []byte      // memory of the hits' paths
	lastNames maskedNames // of the object written last
	changes   int         // removals of the record, listed or not
	cut       bool        // something was shortened at a limit
	identity  bool        // the value under way names a person: only credentials are secrets in it
	counts    *Redactions
	path      []segment
	matches   []redact.Match
	scratch   []byte
	nests     []*nest
	level     int // of JSON in strings
	flat      int // levels left in a free field; negative is no limit
	pathBytes int
}

// Redactions counts what each detector removed.
type Redactions [256]uint32

type segment struct {
	key   []byte
	index int32 // of an element, where key is nil
}

// nest is the memory for one level of JSON inside a string.
type nest struct {
	tape tape.Tape
	out  []byte
}

type cacheEntry struct {
	n       uint8 // length plus one; 0 is empty
	verdict redact.Verdict
	secret  bool // there is one in the name itself
	key     [cachedKey]byte
}

// begin starts a record, whose document is appended to out.
func (w *writer) begin(l *lens, t *tape.Tape, out []byte) {
	w.lens, w.t, w.out = l, t, out
	w.hits, w.pathMem, w.changes, w.cut, w.identity = w.hits[:0], w.pathMem[:0], 0, false, false
	w.path, w.scratch, w.level, w.flat, w.pathBytes = w.path[:0], w.scratch[:0], 0, -1, 0
}

// named finds how values under a name are treated, and whether the name itself holds a secret, with a memory: the names
// of an application's lines are few. It overwrites w.matches.
func (w *writer) named(n *tape.Node, key []byte) (v redact.Verdict, secret bool) {
	if len(key) > cachedKey {
		return w.rules.Name(key), w.scanName(key)
	}
	e := &w.names[n.Hash%cacheSize]
	if int(e.n) == len(key)+1 && string(e.key[:len(key)]) == string(key) {
		return e.verdict, e.secret
	}
	e.n, e.verdict, e.secret = uint8(len(key)+1), w.rules.Name(key), w.scanName(key)
	copy(e.key[:], key)
	return e.verdict, e.secret
}

// scanName looks for secrets in a name. Names name no persons.
func (w *writer) scanName(key []byte) (found bool) {
	identity := w.identity
	w.identity = false
	found = w.scan(key)
	w.identity = identity
	return found
}

// seed makes the hashes of clean texts unpredictable: nobody can make a text that is taken for another one.
var seed = maphash.MakeSeed()

// scan looks for secrets in s and leaves them in w.matches. Most texts of a log come again and again, and are known by
// 64 bits of a keyed hash as ones in which nothing was found.
func (w *writer) scan(s []byte) (found bool) {
	if w.rules.Glance(s) == len(s) {
		return false
	}
	h := maphash.Bytes(seed, s) | 1 // 0 is an empty place
	at := &w.clean[h>>1%cleanSize]
	if *at == h {
		return false
	}
	w.matches = w.replacer.Find(w.rules, w.matches[:0], s)
	if w.identity {
		if w.matches = redact.Credentials(w.matches); len(w.matches) == 0 {
			return false
		}
	}
	if len(w.matches) > 0 {
		return true
	}
	*at = h
	return false
}

// free writes node i, treated as v, as the value of a field that holds any object; what is no object is put into one. It
// reports whether there is anything left to write.
func (w *writer) free(path []byte, i uint32, v redact.Verdict) (kept bool) {
	w.flat = maxFlat
	w.push(segment{key: path})
	if w.t.Nodes[i].Type == tape.Object {
		kept = w.value(i, v)
	} else {
		w.out = append(w.out, `{"value":`...)
		w.push(segment{key: valueKey})
		kept = w.value(i, w.verdict(v, &w.t.Nodes[i], nil))
		w.pop()
		w.out = append(w.out, '}')
	}
	w.pop()
	w.flat = -1
	return kept
}

var valueKey = []byte("value")

func (w *writer) push(s segment) {
	w.path = append(w.path, s)
	w.pathBytes += len(s.key) + 1
}

func (w *writer) pop() {
	w.pathBytes -= len(w.path[len(w.path)-1].key) + 1
	w.path = w.path[:len(w.path)-1]
}

// verdict finds how the value at the current path is treated, inside one that is treated as v.
func (w *writer) verdict(v redact.Verdict, n *tape.Node, key []byte) redact.Verdict {
	var path, name redact.Verdict
	if w.rules.HasPaths() {
		at := len(w.scratch)
		w.scratch = w.appendPath(w.scratch)
		path = w.rules.Path(w.scratch[at:])
		w.scratch = w.scratch[:at]
	}
	if len(key) > 0 {
		name, _ = w.named(n, key)
	}
	return w.below(v, path, w.likely(name, n))
}

// likely settles a verdict that depends on the value.
func (w *writer) likely(v redact.Verdict, n *tape.Node) redact.Verdict {
	switch {
	case v != redact.Likely:
		return v
	case n.Type == tape.String:
		var text []byte
		if text, w.scratch = w.t.Text(n, w.scratch); redact.Credential(text) {
			return redact.Redact
		}
	}
	return redact.None
}

// drops reports whether a value with that verdict is left out of the document, and notes it.
func (w *writer) drops(v redact.Verdict) bool {
	if v == redact.None || v == redact.Allow || w.actionOn(v) != redact.Drop {
		return false
	}
	w.noteVerdict(v)
	return true
}

func (w *writer) actionOn(v redact.Verdict) redact.Action {
	if v.Secret() || v == redact.Unlisted {
		return w.rules.ActionOn(v)
	}
	return redact.MaskWhole
}

// value writes node i. It reports whether the value stays: if not, the caller takes back what it wrote of it.
func (w *writer) value(i uint32, v redact.Verdict) (kept bool) {
	n := &w.t.Nodes[i]
	switch n.Type {
	case tape.String:
		return w.str(n, v)
	case tape.Number:
		return w.number(n, v)
	case tape.Object, tape.Array:
		return w.container(i, n.Type, v)
	case tape.Null:
		w.out = append(w.out, "null"...)
		return true
	}
	switch {
	case v == redact.Unlisted, v > redact.Redact && w.rules.ActionOn(v) == redact.Drop:
		return w.secret(w.t.Raw(n), v)
	}
	w.out = append(w.out, w.t.Raw(n)...) // a boolean tells nothing under the name of a secret
	return true
}

// container writes an object or an array, as a text where it is too deep for a free field.
func (w *writer) container(i uint32, typ tape.Type, v redact.Verdict) (kept bool) {
	if v.Secret() && w.drops(v) {
		return false
	}
	if w.flat == 0 || w.flat > 0 && w.pathBytes > maxKeyPath-shortestCut {
		w.asString(i, v)
		return true
	}
	w.flat--
	if typ == tape.Object {
		w.object(i, v)
	} else {
		w.array(i, v)
	}
	w.flat++
	return true
}

// asString writes what is nested too deeply for a free field as the text of its JSON.
func (w *writer) asString(i uint32, v redact.Verdict) {
	at := len(w.out)
	w.flat = -1
	w.value(i, v)
	w.flat = 0
	mark := len(w.scratch)
	w.scratch = append(w.scratch, w.out[at:]...)
	w.out = append(w.out[:at], '"')
	w.out = append(tape.AppendEscaped(w.out, w.scratch[mark:]), '"')
	w.scratch = w.scratch[:mark]
}

func (w *writer) object(i uint32, v redact.Verdict) {
	w.out = append(w.out, '{')
	w.members(i, v, w.namesSecret(i), false)
	w.out = append(w.out, '}')
}

// members writes the members of object i that are not taken, with a comma before the first if some are there already.
// pair says that one of them names a secret.
func (w *writer) members(i uint32, v redact.Verdict, pair, comma bool) (wrote bool) {
	masked := maskedNames{objects: [2]uint32{i}}
	end := w.t.Nodes[i].Next
	for j := i + 1; j < end; j = w.t.Nodes[j].Next {
		n := &w.t.Nodes[j]
		if n.Flags&(tape.Taken|tape.Duplicate) != 0 {
			continue
		}
		at := len(w.out)
		if comma {
			w.out = append(w.out, ',')
		}
		if !w.member(j, v, pair, &masked) {
			w.out = w.out[:at]
			continue
		}
		comma, wrote = true, true
	}
	w.lastNames = masked
	return wrote
}

// member writes one member; pair says that another one of the object names a secret, of which this may be the value.
func (w *writer) member(j uint32, v redact.Verdict, pair bool, masked *maskedNames) (kept bool) {
	n := &w.t.Nodes[j]
	key := w.t.Key(n)
	pair = pair && anyFold(key, pairValues)
	if !pair {
		if done, kept := w.simple(n, key, v); done {
			return kept
		}
	}
	w.push(segment{key: key})
	sub := w.verdict(v, n, key)
	if pair && sub == redact.None {
		sub = redact.Redact
	}
	kept = w.name(n, key, masked) && w.value(j, sub)
	w.pop()
	return kept
}

// simple writes a member if it is of the ordinary sort, a scalar under a short name that says nothing about it, and
// reports whether it did. kept is false where a secret in the value takes the member with it.
func (w *writer) simple(n *tape.Node, key []byte, v redact.Verdict) (done, kept bool) {
	if v != redact.None || n.Flags&(tape.KeyEscaped|tape.Escaped|tape.Lone) != 0 || len(key) > cachedKey || w.pathBytes > maxKeyPath-shortestCut || w.rules.HasPaths() {
		return false, false
	}
	raw := w.t.Raw(n)
	switch n.Type {
	case tape.String:
		if len(raw) >= minScan && mayNest(raw) {
			return false, false
		}
	case tape.Number:
		if len(raw) >= minScanNum {
			return false, false
		}
	case tape.Object, tape.Array:
		return false, false
	}
	if v, secret := w.named(n, key); v != redact.None || secret {
		return false, false
	}
	w.out = append(append(append(w.out, '"'), key...), '"', ':')
	switch {
	case n.Type != tape.String:
		w.out = append(w.out, raw...)
	case len(raw) >= minScan && w.scan(raw):
		w.push(segment{key: key})
		kept = w.masked(raw)
		w.pop()
		return true, kept
	default:
		w.out = append(append(append(w.out, '"'), raw...), '"')
	}
	return true, true
}

// name writes a member's name. Names can hold secrets too: {"ann@example.com": true}.
func (w *writer) name(n *tape.Node, key []byte, masked *maskedNames) (kept bool) {
	w.out = append(w.out, '"')
	kept = true
	_, secret := w.named(n, key)
	switch {
	case secret && w.scanName(key):
		kept = w.maskName(key, masked)
	case n.Flags&tape.KeyEscaped != 0 && bytes.IndexByte(key, 0) >= 0:
		key = bytes.ReplaceAll(key, []byte{0}, escapedNUL)
		w.out = tape.AppendEscaped(w.out, w.fitName(key))
	case n.Flags&tape.KeyEscaped != 0:
		w.out = tape.AppendEscaped(w.out, w.fitName(key))
	default:
		w.out = append(w.out, w.fitName(key)...)
	}
	w.out = append(w.out, '"', ':')
	return kept
}

// fitName cuts a name at the current path to what a free field takes.
func (w *writer) fitName(name []byte) []byte {
	room := maxKeyPath - (w.pathBytes - len(w.path[len(w.path)-1].key))
	if w.flat < 0 || len(name) <= room {
		return name
	}
	w.cut = true
	return cutText(name, room)
}

// withoutNUL writes text with NULs as the six characters of their escape: Elasticsearch's flattened fields take none.
func (w *writer) withoutNUL(s []byte) {
	for {
		z := bytes.IndexByte(s, 0)
		if z < 0 {
			w.out = tape.AppendEscaped(w.out, s)
			return
		}
		w.out = append(tape.AppendEscaped(w.out, s[:z]), `\\u0000`...)
		s = s[z+1:]
	}
}

// maskedNames numbers the names of an object that had secrets in them, so that they stay different.
type maskedNames struct {
	objects [2]uint32 // whose names they stand beside; 0 for the whole line, or for none
	number  int
	begun   bool
}

// next returns the number of another such name: beyond all at the ends of names that have a mask already.
func (m *maskedNames) next(t *tape.Tape) int {
	for k := 0; !m.begun && k < len(m.objects); k++ {
		i := m.objects[k]
		if t.Nodes[i].Type != tape.Object || k > 0 && i == 0 {
			continue
		}
		for j := i + 1; j < t.Nodes[i].Next; j = t.Nodes[j].Next {
			if key := t.Key(&t.Nodes[j]); bytes.Contains(key, []byte(redact.Mask)) {
				digits := len(key)
				for digits > 0 && key[digits-1]-'0' <= 9 && len(key)-digits < 9 {
					digits--
				}
				last, _ := strconv.Atoi(text(key[digits:]))
				m.number = max(m.number, last, 1)
			}
		}
	}
	m.begun = true
	m.number++
	return m.number
}

// maskName writes a name with its secrets replaced. Another such name of an object gets a number.
func (w *writer) maskName(key []byte, masked *maskedNames) (kept bool) {
	mark := len(w.scratch)
	w.scratch = w.replacer.AppendText(w.rules, w.scratch, key, w.matches)
	if z := bytes.IndexByte(w.scratch[mark:], 0); z >= 0 {
		w.scratch = append(w.scratch[:mark], bytes.ReplaceAll(w.scratch[mark:], []byte{0}, escapedNUL)...)
	}
	if fits := w.fitName(w.scratch[mark:]); len(fits) < len(w.scratch)-mark {
		w.scratch = append(w.scratch[:mark], redact.Mask...) // half of what is left would be no use
	}
	if n := masked.next(w.t); n > 1 || w.scratch[len(w.scratch)-1]-'0' <= 9 {
		w.scratch = strconv.AppendInt(append(w.scratch, '_'), int64(n), 10)
	}
	clean := w.scratch[mark:len(w.scratch):len(w.scratch)]
	top := &w.path[len(w.path)-1]
	w.pathBytes += len(clean) - len(top.key)
	top.key = clean // paths of hits below must not show it either
	w.out = tape.AppendEscaped(w.out, clean)
	w.noteMatches()
	// The memory of clean stays in scratch until the record ends.
	return !w.rules.Drops(w.matches)
}

// cutText cuts text to at most n bytes, between characters.
func cutText(b []byte, n int) []byte {
	for n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}

func (w *writer) array(i uint32, v redact.Verdict) {
	w.out = append(w.out, '[')
	end := w.t.Nodes[i].Next
	pairs := w.headerPairs()
	index, wrote := int32(0), false
	announced := false // what comes before this element says that it is a secret
	var command redact.Command
	for j := i + 1; j < end; j = w.t.Nodes[j].Next {
		n := &w.t.Nodes[j]
		at := len(w.out)
		if wrote {
			w.out = append(w.out, ',')
		}
		w.push(segment{index: index})
		sub := w.verdict(v, n, nil)
		secret, next := w.argument(&command, n)
		if (announced || secret) && sub == redact.None && n.Type != tape.Object {
			sub = redact.Redact
		}
		if w.value(j, sub) {
			wrote = true
		} else {
			w.out = w.out[:at]
		}
		w.pop()
		announced = next || w.announces(n, w.t.Nodes[i].Children, index, pairs)
		index++
	}
	w.out = append(w.out, ']')
}

// argument reads an element as one of a command's.
func (w *writer) argument(c *redact.Command, n *tape.Node) (secret, next bool) {
	if n.Type != tape.String || n.Hi-n.Lo < 2 {
		return false, false
	}
	mark := len(w.scratch)
	s, scratch := w.t.Text(n, w.scratch)
	w.scratch = scratch[:mark]
	return c.Argument(s)
}

// headerPairs reports whether the array under way may be names and values in turn: an element of an array
// ([["Authorization", "…"]]), or a member called after headers (["Authorization", "…", "Accept", "…"]).
func (w *writer) headerPairs() bool {
	if len(w.path) == 0 {
		return false
	}
	top := w.path[len(w.path)-1]
	return top.key == nil || containsFold(top.key, "header")
}

// announces reports whether a secret comes after an element: that is a flag of a command line, or a header's name.
func (w *writer) announces(n *tape.Node, count uint32, index int32, pairs bool) bool {
	if n.Type != tape.String || n.Hi == n.Lo {
		return false
	}
	pairs = pairs && index%2 == 0 && count%2 == 0
	if s := w.t.Raw(n); !pairs && s[0] != '-' && s[0] != '\\' {
		return false
	}
	mark := len(w.scratch)
	s, scratch := w.t.Text(n, w.scratch)
	w.scratch = scratch[:mark]
	name := bytes.TrimLeft(s, "-")
	return (len(name) < len(s) || pairs) && bytes.IndexByte(name, '=') < 0 && w.rules.SecretName(name)
}

// namesSecret reports whether a member of object i says that another one is a secret, as in {"key": "password",
// "value": "…"}.
func (w *writer) namesSecret(i uint32) bool {
	if w.t.Nodes[i].Children < 2 {
		return false
	}
	for j := i + 1; j < w.t.Nodes[i].Next; j = w.t.Nodes[j].Next {
		n := &w.t.Nodes[j]
		if n.Type != tape.String || !w.namesPair(n) {
			continue
		}
		mark := len(w.scratch)
		s, scratch := w.t.Text(n, w.scratch)
		w.scratch = scratch[:mark]
		if w.rules.SecretName(s) {
			return true
		}
	}
	return false
}

// namesPair reports whether a member of that name says what another one is. Most names are told by their length and first
// letter.
func (w *writer) namesPair(n *tape.Node) bool {
	key := w.t.Key(n)
	return len(key) > 0 && pairShapes[key[0]&0x1f]>>len(key)&1 != 0 && anyFold(key, pairNames)
}

// pairShapes has, by the last five bits of the first letter, a bit for each length of pairNames.
var pairShapes = func() (t [32]uint16) {
	for _, name := range pairNames {
		t[name[0]&0x1f] |= 1 << len(name)
	}
	return t
}()

// What the two members of a pair are called.
var (
	pairNames  = []string{"key", "name", "field", "header", "param", "parameter", "attribute", "property", "column"}
	pairValues = []string{"value", "val", "newvalue", "oldvalue", "new_value", "old_value", "content", "new", "old"}
)

func anyFold(v []byte, words []string) bool {
	for _, w := range words {
		if len(v) == len(w) && v[0]|0x20 == w[0] && equalFold(v, w) {
			return true
		}
	}
	return false
}

// number writes a number; long ones may be payment cards.
func (w *writer) number(n *tape.Node, v redact.Verdict) (kept bool) {
	raw := w.t.Raw(n)
	switch {
	case v == redact.Unlisted, v.Secret():
		return w.secret(raw, v)
	case v != redact.Allow && len(raw) >= minScanNum && w.scan(raw):
		return w.masked(raw)
	}
	w.out = append(w.out, raw...)
	return true
}

// secret writes what takes the place of a whole value. It reports whether anything does.
func (w *writer) secret(value []byte, v redact.Verdict) (kept bool) {
	if w.drops(v) {
		return false
	}
	w.noteVerdict(v)
	w.out = append(w.out, '"')
	if w.rules.ActionOn(v) == redact.MaskWhole {
		w.out = append(w.out, redact.Mask...)
	} else {
		mark := len(w.scratch)
		w.scratch = w.replacer.AppendValue(w.rules, w.scratch, value, v)
		w.out = tape.AppendEscaped(w.out, w.scratch[mark:])
		w.scratch = w.scratch[:mark]
	}
	w.out = append(w.out, '"')
	return true
}

// address writes a network address, which is in a field for such.
func (w *writer) address(a netip.Addr, path []byte, v redact.Verdict) (kept bool) {
	at := len(w.out)
	w.out = append(w.out, '"')
	if kept = !v.Secret() && v != redact.Unlisted; kept {
		w.out = a.AppendTo(w.out)
	} else {
		w.push(segment{key: path})
		w.noteVerdict(v)
		w.pop()
		w.out, kept = w.replacer.AppendAddress(w.rules, w.out, a, v)
	}
	if !kept {
		w.out = w.out[:at]
		return false
	}
	w.out = append(w.out, '"')
	return true
}

// str writes a string with its quotes.
func (w *writer) str(n *tape.Node, v redact.Verdict) (kept bool) {
	raw := w.t.Raw(n)
	switch {
	case len(raw) == 0, v == redact.Allow:
		w.plain(n)
		return true
	case n.Flags&(tape.Escaped|tape.Lone) == 0 && !mayNest(raw):
		switch {
		case v.Secret() || v == redact.Unlisted:
			return w.secret(raw, v)
		case len(raw) >= minScan && w.scan(raw):
			return w.masked(raw)
		}
		w.out = append(append(append(w.out, '"'), raw...), '"')
		return true
	}
	mark := len(w.scratch)
	var s []byte
	s, w.scratch = w.t.Text(n, w.scratch)
	kept = w.unescaped(n, s, v)
	w.scratch = w.scratch[:mark]
	return kept
}

// unescaped writes a string whose text is s.
func (w *writer) unescaped(n *tape.Node, s []byte, v redact.Verdict) (kept bool) {
	if v.Secret() || v == redact.Unlisted {
		return w.secret(s, v)
	}
	if done, kept := w.nested(n, s); done {
		return kept
	}
	if w.scan(s) {
		return w.masked(s)
	}
	w.plain(n)
	return true
}

// mayNest reports whether a text may hold JSON.
func mayNest(s []byte) bool {
	switch s[0] {
	case '{', '[', '"', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}

// plain writes a string as it is in the source, except for what stores refuse: halves of surrogate pairs, and NULs in
// free fields.
func (w *writer) plain(n *tape.Node) {
	w.out = append(w.out, '"')
	if n.Flags&tape.Lone != 0 || n.Flags&tape.Escaped != 0 && w.flat >= 0 && bytes.Contains(w.t.Raw(n), escapedNUL) {
		mark := len(w.scratch)
		var s []byte
		s, w.scratch = w.t.Text(n, w.scratch)
		w.withoutNUL(s)
		w.scratch = w.scratch[:mark]
	} else {
		w.out = append(w.out, w.t.Raw(n)...)
	}
	w.out = append(w.out, '"')
}

var escapedNUL = []byte(`\u0000`)

// text writes plain text as a string.
func (w *writer) text(s []byte, v redact.Verdict) (kept bool) {
	switch {
	case v.Secret() || v == redact.Unlisted:
		return w.secret(s, v)
	case v != redact.Allow && w.scan(s):
		return w.masked(s)
	}
	w.out = append(tape.AppendEscaped(append(w.out, '"'), s), '"')
	return true
}

// masked writes text with w.matches replaced.
func (w *writer) masked(s []byte) (kept bool) {
	if w.rules.Drops(w.matches) {
		w.noteMatches()
		return false
	}
	mark := len(w.scratch)
	w.scratch = w.replacer.AppendText(w.rules, w.scratch, s, w.matches)
	w.out = append(w.out, '"')
	if w.flat >= 0 {
		w.withoutNUL(w.scratch[mark:])
	} else {
		w.out = tape.AppendEscaped(w.out, w.scratch[mark:])
	}
	w.out = append(w.out, '"')
	w.scratch = w.scratch[:mark]
	w.noteMatches()
	return true
}

// nested writes a string that holds JSON, and reports whether it did, and whether the value stays. Inside it the same
// rules hold as outside; if nothing had to go, the string stays as it was.
func (w *writer) nested(n *tape.Node, s []byte) (done, kept bool) {
	in := bytes.TrimSpace(s)
	if len(in) < 4 || !closes(in[0], in[len(in)-1]) {
		return false, false
	}
	if w.level == maxNested {
		w.note(redact.Limit, redact.None)
		w.out = append(append(append(w.out, '"'), redact.Mask...), '"')
		return true, true
	}
	if w.level == len(w.nests) {
		w.nests = append(w.nests, new(nest))
	}
	nx := w.nests[w.level]
	if nx.tape.Parse(in) != nil {
		return false, false
	}
	t, out, flat, changes := w.t, w.out, w.flat, w.changes
	w.t, w.out, w.flat = &nx.tape, nx.out[:0], -1
	w.level++
	kept = w.value(0, redact.None)
	w.level--
	nx.out = w.out
	w.t, w.out, w.flat = t, out, flat
	if w.changes == changes && nx.tape.Duplicates == 0 {
		w.plain(n)
		return true, true
	}
	w.out = append(tape.AppendEscaped(append(w.out, '"'), nx.out), '"')
	return true, kept
}

func closes(first, last byte) bool {
	return first == '{' && last == '}' || first == '[' && last == ']' || first == '"' && last == '"'
}

// noteMatches notes a hit for each detector in w.matches.
func (w *writer) noteMatches() {
	for i, m := range w.matches {
		if i == 0 || m.Detector != w.matches[i-1].Detector {
			w.note(m.Detector, redact.None)
		}
	}
}

// noteVerdict records what removed a whole value.
func (w *writer) noteVerdict(v redact.Verdict) {
	d := redact.SecretName
	switch v {
	case redact.Unlisted:
		d = redact.NotListed
	case redact.Identify:
		d = redact.Identity
	}
	w.note(d, v)
}

// note records that something was removed at the current path.
func (w *writer) note(d redact.Detector, v redact.Verdict) {
	w.changes++
	w.counts[d]++
	if len(w.hits) >= maxListed {
		return
	}
	at := len(w.pathMem)
	w.pathMem = w.appendPath(w.pathMem)
	w.hits = append(w.hits, hit{w.pathMem[at:len(w.pathMem):len(w.pathMem)], d, v})
}

func (w *writer) appendPath(dst []byte) []byte {
	for i, s := range w.path {
		if i > 0 {
			dst = append(dst, '.')
		}
		if s.key == nil {
			dst = strconv.AppendInt(dst, int64(s.index), 10)
		} else {
			dst = append(dst, s.key...)
		}
	}
	return dst
}
