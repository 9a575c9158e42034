package pipeline

import (
	"bytes"
	"hash/maphash"
	"strconv"
	"unicode/utf8"

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
	minScanName = 13 // shorter names are scanned only if they have an "@"
	minScanNum  = 13 // digits of the shortest payment card
)

// A mode says how the values below a name are treated.
type mode uint8

const (
	look   mode = iota // by the detectors
	secret             // replaced whole
	allow              // as they are
)

// A hit is one place where something was removed.
type hit struct {
	path     []byte
	detector redact.Detector
}

// writer writes values of a tape into a document. Nothing of a line gets into a document by another way, so what it
// does to strings and names is what redaction means.
type writer struct {
	rules     *redact.Rules
	t         *tape.Tape
	out       []byte
	hits      []hit
	pathMem   []byte // memory of the hits' paths
	changes   int    // removals of the record, listed or not
	cut       bool   // something was shortened at a limit
	counts    *Redactions
	path      []segment
	matches   []redact.Match
	scratch   []byte
	nests     []*nest
	level     int // of JSON in strings
	flat      int // levels left in a free field; negative is no limit
	pathBytes int
	cache     [cacheSize]cacheEntry
	clean     [cleanSize]uint64 // hashes of texts without a secret
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
	n    uint8 // length plus one; 0 is empty
	mode mode
	key  [cachedKey]byte
}

// begin starts a record, whose document is appended to out.
func (w *writer) begin(t *tape.Tape, out []byte) {
	w.t, w.out = t, out
	w.hits, w.pathMem, w.changes, w.cut = w.hits[:0], w.pathMem[:0], 0, false
	w.path, w.scratch, w.level, w.flat, w.pathBytes = w.path[:0], w.scratch[:0], 0, -1, 0
}

// named finds how values under a name are treated, with a memory: the names of an application's lines are few.
func (w *writer) named(n *tape.Node, key []byte) mode {
	if len(key) > cachedKey {
		return judge(w.rules, key)
	}
	e := &w.cache[n.Hash%cacheSize]
	if int(e.n) == len(key)+1 && string(e.key[:len(key)]) == string(key) {
		return e.mode
	}
	e.n, e.mode = uint8(len(key)+1), judge(w.rules, key)
	copy(e.key[:], key)
	return e.mode
}

func judge(rules *redact.Rules, key []byte) mode {
	switch {
	case rules.AllowedName(key):
		return allow
	case rules.SecretName(key):
		return secret
	}
	return look
}

// seed makes the hashes of clean texts unpredictable: nobody can make a text that is taken for another one.
var seed = maphash.MakeSeed()

// scan looks for secrets in s and leaves them in w.matches. Most texts of a log come again and again, and are known by
// 64 bits of a keyed hash as ones in which nothing was found.
func (w *writer) scan(s []byte) (found bool) {
	h := maphash.Bytes(seed, s) | 1 // 0 is an empty place
	at := &w.clean[h>>1%cleanSize]
	if *at == h {
		return false
	}
	if w.matches = w.rules.Scan(w.matches[:0], s); len(w.matches) > 0 {
		return true
	}
	*at = h
	return false
}

// free writes node i as the value of a field that holds any object; what is no object is put into one.
func (w *writer) free(path []byte, i uint32) {
	w.flat = maxFlat
	w.push(segment{key: path})
	if w.t.Nodes[i].Type == tape.Object {
		w.value(i, w.modeOf(look, &w.t.Nodes[i], nil))
	} else {
		w.out = append(w.out, `{"value":`...)
		w.push(segment{key: valueKey})
		w.value(i, w.modeOf(look, &w.t.Nodes[i], nil))
		w.pop()
		w.out = append(w.out, '}')
	}
	w.pop()
	w.flat = -1
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

// modeOf finds how the value at the current path is treated, below a value of mode m.
func (w *writer) modeOf(m mode, n *tape.Node, key []byte) mode {
	if m == allow {
		return allow
	}
	if w.rules.HasPaths() {
		at := len(w.scratch)
		w.scratch = w.appendPath(w.scratch)
		v := w.rules.Path(w.scratch[at:])
		w.scratch = w.scratch[:at]
		switch v {
		case redact.Allow:
			return allow
		case redact.Redact:
			return secret
		}
	}
	if len(key) == 0 {
		return m
	}
	switch named := w.named(n, key); {
	case named == allow, m == look:
		return named
	}
	return m
}

// value writes node i.
func (w *writer) value(i uint32, m mode) {
	n := &w.t.Nodes[i]
	switch n.Type {
	case tape.String:
		w.str(n, m)
	case tape.Number:
		w.number(n, m)
	case tape.Object, tape.Array:
		if w.flat == 0 || w.flat > 0 && w.pathBytes > maxKeyPath-shortestCut {
			w.asString(i, m)
			return
		}
		w.flat--
		if n.Type == tape.Object {
			w.object(i, m)
		} else {
			w.array(i, m)
		}
		w.flat++
	default:
		w.out = append(w.out, w.t.Raw(n)...)
	}
}

// asString writes what is nested too deeply for a free field as the text of its JSON.
func (w *writer) asString(i uint32, m mode) {
	at := len(w.out)
	w.flat = -1
	w.value(i, m)
	w.flat = 0
	mark := len(w.scratch)
	w.scratch = append(w.scratch, w.out[at:]...)
	w.out = append(w.out[:at], '"')
	w.out = append(tape.AppendEscaped(w.out, w.scratch[mark:]), '"')
	w.scratch = w.scratch[:mark]
}

func (w *writer) object(i uint32, m mode) {
	w.out = append(w.out, '{')
	w.members(i, m, false)
	w.out = append(w.out, '}')
}

// members writes the members of object i that are not taken, with a comma before the first if some are there already.
func (w *writer) members(i uint32, m mode, comma bool) (wrote bool) {
	pair := w.pairValue(i)
	masked := 0
	end := w.t.Nodes[i].Next
	for j := i + 1; j < end; j = w.t.Nodes[j].Next {
		n := &w.t.Nodes[j]
		if n.Flags&(tape.Taken|tape.Duplicate) != 0 {
			continue
		}
		if comma {
			w.out = append(w.out, ',')
		}
		comma, wrote = true, true
		w.member(j, m, pair, &masked)
	}
	return wrote
}

// member writes one member; pair is the member that another one of the object says is secret.
func (w *writer) member(j uint32, m mode, pair uint32, masked *int) {
	n := &w.t.Nodes[j]
	key := w.t.Key(n)
	if j != pair && w.simple(n, key, m) {
		return
	}
	w.push(segment{key: key})
	w.name(n, key, masked)
	sub := w.modeOf(m, n, key)
	if j == pair && sub == look {
		sub = secret
	}
	w.value(j, sub)
	w.pop()
}

// simple writes a member if it is of the ordinary sort, with nothing to decide and nothing to remove: a short name, and
// a scalar in which the detectors find nothing. Else it writes nothing and returns false.
func (w *writer) simple(n *tape.Node, key []byte, m mode) bool {
	if m != look || n.Flags&(tape.KeyEscaped|tape.Escaped|tape.Lone) != 0 || len(key) >= minScanName || w.pathBytes > maxKeyPath-shortestCut || w.rules.HasPaths() {
		return false
	}
	raw := w.t.Raw(n)
	switch n.Type {
	case tape.String:
		if len(raw) >= minScan {
			if mayNest(raw) {
				return false
			}
			if w.scan(raw) {
				return false
			}
		}
	case tape.Number:
		if len(raw) >= minScanNum {
			return false
		}
	case tape.Object, tape.Array:
		return false
	}
	if w.named(n, key) != look || bytes.IndexByte(key, '@') >= 0 {
		return false
	}
	w.out = append(append(append(w.out, '"'), key...), '"', ':')
	if n.Type == tape.String {
		w.out = append(append(append(w.out, '"'), raw...), '"')
	} else {
		w.out = append(w.out, raw...)
	}
	return true
}

// name writes a member's name. Names can hold secrets too: {"ann@example.com": true}.
func (w *writer) name(n *tape.Node, key []byte, masked *int) {
	w.out = append(w.out, '"')
	w.nameText(n, key, masked)
	w.out = append(w.out, '"', ':')
}

func (w *writer) nameText(n *tape.Node, key []byte, masked *int) {
	if len(key) >= minScanName || bytes.IndexByte(key, '@') >= 0 {
		if w.scan(key) {
			w.maskName(key, masked)
			return
		}
	}
	if room := maxKeyPath - (w.pathBytes - len(key)); w.flat >= 0 && len(key) > room {
		key = cutText(key, room)
		w.cut = true
	}
	if n.Flags&tape.KeyEscaped == 0 {
		w.out = append(w.out, key...)
		return
	}
	w.withoutNUL(key)
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

// maskName writes a name with its secrets replaced. The second such name of an object gets a number, so that names stay
// different.
func (w *writer) maskName(key []byte, masked *int) {
	mark := len(w.scratch)
	w.scratch = redact.AppendMasked(w.scratch, key, w.matches)
	if *masked++; *masked > 1 {
		w.scratch = strconv.AppendInt(append(w.scratch, '_'), int64(*masked), 10)
	}
	clean := w.scratch[mark:len(w.scratch):len(w.scratch)]
	w.path[len(w.path)-1].key = clean // paths of hits below must not show it either
	w.out = tape.AppendEscaped(w.out, clean)
	w.noteMatches()
	// The memory of clean stays in scratch until the record ends.
}

// cutText cuts text to at most n bytes, between characters.
func cutText(b []byte, n int) []byte {
	for n > 0 && !utf8.RuneStart(b[n]) {
		n--
	}
	return b[:n]
}

func (w *writer) array(i uint32, m mode) {
	w.out = append(w.out, '[')
	end := w.t.Nodes[i].Next
	pairs := w.headerPairs()
	index := int32(0)
	var before []byte // the string before this element, if it announces a secret
	for j := i + 1; j < end; j = w.t.Nodes[j].Next {
		n := &w.t.Nodes[j]
		if index > 0 {
			w.out = append(w.out, ',')
		}
		w.push(segment{index: index})
		sub := w.modeOf(m, n, nil)
		if before != nil && sub == look && n.Type == tape.String {
			sub = secret
		}
		w.value(j, sub)
		w.pop()
		before = w.announces(n, w.t.Nodes[i].Children, index, pairs)
		index++
	}
	w.out = append(w.out, ']')
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

// announces returns the text of an element after which a secret comes: a flag of a command line, or a header's name.
func (w *writer) announces(n *tape.Node, count uint32, index int32, pairs bool) []byte {
	if n.Type != tape.String || n.Flags&tape.Escaped != 0 || n.Hi-n.Lo > 64 || n.Hi == n.Lo {
		return nil
	}
	s := w.t.Raw(n)
	name := bytes.TrimLeft(s, "-")
	flag := len(name) < len(s)
	if len(name) == 0 || !flag && !(pairs && index%2 == 0 && count%2 == 0) {
		return nil
	}
	if bytes.IndexByte(name, '=') < 0 && w.rules.SecretName(name) {
		return s
	}
	return nil
}

// pairValue finds the value in {"key": "password", "value": "…"}; 0 for none.
func (w *writer) pairValue(i uint32) uint32 {
	if c := w.t.Nodes[i].Children; c < 2 || c > 16 {
		return 0
	}
	var named bool
	var value uint32
	for j := i + 1; j < w.t.Nodes[i].Next; j = w.t.Nodes[j].Next {
		n := &w.t.Nodes[j]
		if n.Type == tape.String && n.Hi-n.Lo <= 64 && !named && w.namesPair(n) {
			named = w.rules.SecretName(w.t.Raw(n))
		}
	}
	if !named {
		return 0
	}
	for j := i + 1; j < w.t.Nodes[i].Next; j = w.t.Nodes[j].Next {
		if anyFold(w.t.Key(&w.t.Nodes[j]), pairValues) {
			value = j
		}
	}
	return value
}

// namesPair reports whether a member of that name says what another one is. Most names are told by their first letter.
func (w *writer) namesPair(n *tape.Node) bool {
	key := w.t.Key(n)
	if len(key) < 3 || len(key) > 9 {
		return false
	}
	switch key[0] | 0x20 {
	case 'k', 'n', 'f', 'h', 'p', 'a', 'c':
		return anyFold(key, pairNames)
	}
	return false
}

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
func (w *writer) number(n *tape.Node, m mode) {
	raw := w.t.Raw(n)
	switch {
	case m == secret:
		w.mask(redact.SecretName)
		return
	case m == look && len(raw) >= minScanNum:
		if w.scan(raw) {
			w.noteMatches()
			w.out = append(append(append(w.out, '"'), redact.Mask...), '"')
			return
		}
	}
	w.out = append(w.out, raw...)
}

// mask writes the replacement for a whole value.
func (w *writer) mask(d redact.Detector) {
	w.note(d)
	w.out = append(append(append(w.out, '"'), redact.Mask...), '"')
}

// str writes a string with its quotes.
func (w *writer) str(n *tape.Node, m mode) {
	raw := w.t.Raw(n)
	switch {
	case m == secret && len(raw) > 0:
		w.mask(redact.SecretName)
		return
	case m == allow || len(raw) == 0:
		w.plain(n)
		return
	}
	if n.Flags&(tape.Escaped|tape.Lone) == 0 && !mayNest(raw) {
		if len(raw) >= minScan {
			if w.scan(raw) {
				w.masked(raw)
				return
			}
		}
		w.out = append(append(append(w.out, '"'), raw...), '"')
		return
	}
	mark := len(w.scratch)
	var s []byte
	s, w.scratch = w.t.Text(n, w.scratch)
	if !w.nested(n, s) {
		if w.scan(s) {
			w.masked(s)
		} else {
			w.plain(n)
		}
	}
	w.scratch = w.scratch[:mark]
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
func (w *writer) text(s []byte) {
	if w.scan(s) {
		w.masked(s)
		return
	}
	w.out = append(tape.AppendEscaped(append(w.out, '"'), s), '"')
}

// masked writes text with w.matches replaced.
func (w *writer) masked(s []byte) {
	mark := len(w.scratch)
	w.scratch = redact.AppendMasked(w.scratch, s, w.matches)
	w.out = append(w.out, '"')
	if w.flat >= 0 {
		w.withoutNUL(w.scratch[mark:])
	} else {
		w.out = tape.AppendEscaped(w.out, w.scratch[mark:])
	}
	w.out = append(w.out, '"')
	w.scratch = w.scratch[:mark]
	w.noteMatches()
}

// nested writes a string that holds JSON, and reports whether it did. Inside it the same rules hold as outside; if
// nothing had to go, the string stays as it was.
func (w *writer) nested(n *tape.Node, s []byte) bool {
	in := bytes.TrimSpace(s)
	if len(in) < 4 || !closes(in[0], in[len(in)-1]) {
		return false
	}
	if w.level == maxNested {
		w.mask(redact.Limit)
		return true
	}
	if w.level == len(w.nests) {
		w.nests = append(w.nests, new(nest))
	}
	nx := w.nests[w.level]
	if nx.tape.Parse(in) != nil {
		return false
	}
	t, out, flat, changes := w.t, w.out, w.flat, w.changes
	w.t, w.out, w.flat = &nx.tape, nx.out[:0], -1
	w.level++
	w.value(0, look)
	w.level--
	nx.out = w.out
	w.t, w.out, w.flat = t, out, flat
	if w.changes == changes && nx.tape.Duplicates == 0 {
		w.plain(n)
		return true
	}
	w.out = append(tape.AppendEscaped(append(w.out, '"'), nx.out), '"')
	return true
}

func closes(first, last byte) bool {
	return first == '{' && last == '}' || first == '[' && last == ']' || first == '"' && last == '"'
}

// noteMatches notes a hit for each detector in w.matches.
func (w *writer) noteMatches() {
	for i, m := range w.matches {
		if i == 0 || m.Detector != w.matches[i-1].Detector {
			w.note(m.Detector)
		}
	}
}

// note records that something was removed at the current path.
func (w *writer) note(d redact.Detector) {
	w.changes++
	w.counts[d]++
	if len(w.hits) >= maxListed {
		return
	}
	at := len(w.pathMem)
	w.pathMem = w.appendPath(w.pathMem)
	w.hits = append(w.hits, hit{w.pathMem[at:len(w.pathMem):len(w.pathMem)], d})
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
