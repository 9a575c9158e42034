// Package tape reads JSON into a flat list of nodes that point into the source.
//
// It exists because the pipeline must look at every member of a line without building maps or copying values: a parsed
// line is a few dozen nodes in a slice that is reused for the next line, and values are copied once, from the source into
// the document. The grammar is RFC 8259, strictly; what encoding/json takes this takes, and the other way round, except
// for the depth limit, and that invalid UTF-8 is the caller's to replace beforehand.
package tape

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Type is the type of a value.
type Type uint8

// The types.
const (
	Null Type = iota
	False
	True
	Number
	String
	Object
	Array
)

// Flags of a node.
const (
	// Escaped: the string has escapes; use Tape.Text for its value.
	Escaped uint8 = 1 << iota
	// Lone: the string has an escaped surrogate without its pair, which stands for U+FFFD.
	Lone
	// KeyEscaped: the member's name has escapes in the source.
	KeyEscaped
	// Duplicate: a later member of the same object has the same name; this one is passed over.
	Duplicate
	// Taken is the caller's: the pipeline marks what has found its place in the document.
	Taken
)

// A Node is a value, and the name it has if it is a member of an object.
type Node struct {
	Hash     uint32 // of the member's name, as Hash gives it
	Lo, Hi   uint32 // source of the value; of a string, without the quotes
	Next     uint32 // index of the node after this one and all below it
	keyLo    uint32 // name: in the source, or in Tape.keys where KeyEscaped
	keyHi    uint32
	Children uint32 // members of an object or elements of an array, duplicates included
	Type     Type
	Flags    uint8
}

// MaxDepth is how deep values may nest; deeper input is ErrDepth.
const MaxDepth = 512

// A Tape is a parsed text. The zero Tape is ready for Parse, which may be called again and again; what an earlier call
// found is then gone.
type Tape struct {
	Src   []byte
	Nodes []Node // Nodes[0] is the whole text
	// Duplicates counts the members that were passed over.
	Duplicates int

	keys []byte // unescaped names
	dups []uint32
	err  error
}

// An Error says what is wrong with a text, and never shows any of it.
type Error string

func (e Error) Error() string { return string(e) }

// The errors of Parse.
const (
	ErrSyntax Error = "not valid JSON"
	ErrDepth  Error = "nested too deeply"
	ErrSize   Error = "too large"
)

// Parse reads src, which the tape keeps a reference to until the next call. Members whose name appears again later in
// their object are marked Duplicate: the last one counts, as with encoding/json.
func (t *Tape) Parse(src []byte) error {
	t.Src, t.Nodes, t.keys, t.Duplicates, t.err = src, t.Nodes[:0], t.keys[:0], 0, nil
	if len(src) >= 1<<31 {
		return ErrSize
	}
	i := t.value(src, space(src, 0), 0, t.add())
	if t.err != nil {
		return t.err
	}
	if space(src, i) != len(src) {
		return ErrSyntax
	}
	return nil
}

// The functions below take the source as an argument and return an index, or a negative number where the text is
// wrong: what they work on stays in registers.

// wrong notes the error and returns the index that says so.
func (t *Tape) wrong(e Error) int {
	if t.err == nil {
		t.err = e
	}
	return -1
}

// space returns the index of the first byte from i on that is not white space, at most len(s).
func space(s []byte, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\n' || s[i] == '\t' || s[i] == '\r') {
		i++
	}
	return i
}

// add appends a node and returns its index.
func (t *Tape) add() int {
	at := len(t.Nodes)
	if at < cap(t.Nodes) {
		t.Nodes = t.Nodes[:at+1]
		t.Nodes[at] = Node{}
	} else {
		t.Nodes = append(t.Nodes, Node{})
	}
	return at
}

// value reads the value at i into node at, and returns the index behind it.
func (t *Tape) value(s []byte, i, depth, at int) int {
	if i >= len(s) {
		return t.wrong(ErrSyntax)
	}
	n := &t.Nodes[at]
	n.Lo, n.Next = uint32(i), uint32(at+1)
	switch c := s[i]; c {
	case '"':
		end, flags := text(s, i+1)
		if end < 0 {
			return t.wrong(ErrSyntax)
		}
		n.Type, n.Flags, n.Lo, n.Hi = String, n.Flags|flags, uint32(i+1), uint32(end)
		return end + 1
	case '{', '[':
		if depth >= MaxDepth {
			return t.wrong(ErrDepth)
		}
		if c == '{' {
			n.Type = Object
			return t.object(s, i, depth, at)
		}
		n.Type = Array
		return t.array(s, i, depth, at)
	case 't':
		n.Type = True
		i = word(s, i, "true")
	case 'f':
		n.Type = False
		i = word(s, i, "false")
	case 'n':
		n.Type = Null
		i = word(s, i, "null")
	default:
		n.Type = Number
		i = number(s, i)
	}
	if i < 0 {
		return t.wrong(ErrSyntax)
	}
	n.Hi = uint32(i)
	return i
}

func (t *Tape) object(s []byte, i, depth, at int) int {
	count := uint32(0)
	var seen [4]uint64 // a bit for the hash of every name so far
	i = space(s, i+1)
	if i < len(s) && s[i] == '}' {
		return t.closeAt(at, i, 0)
	}
	for {
		if i >= len(s) || s[i] != '"' {
			return t.wrong(ErrSyntax)
		}
		m := t.add()
		if i = t.name(s, i+1, &t.Nodes[m]); i < 0 {
			return t.wrong(ErrSyntax)
		}
		h := t.Nodes[m].Hash
		w, bit := h>>6&3, uint64(1)<<(h&63)
		if seen[w]&bit != 0 && count < smallObject {
			t.markEarlier(at, m)
		}
		seen[w] |= bit
		if i = t.value(s, i, depth+1, m); i < 0 {
			return i
		}
		count++
		if i >= len(s) || s[i] <= ' ' {
			i = space(s, i)
		}
		if i >= len(s) {
			return t.wrong(ErrSyntax)
		}
		switch s[i] {
		case ',':
			if i++; i < len(s) && s[i] <= ' ' {
				i = space(s, i)
			}
		case '}':
			end := t.closeAt(at, i, count)
			if count > smallObject {
				t.markSorted(at)
			}
			return end
		default:
			return t.wrong(ErrSyntax)
		}
	}
}

func (t *Tape) array(s []byte, i, depth, at int) int {
	count := uint32(0)
	i = space(s, i+1)
	if i < len(s) && s[i] == ']' {
		return t.closeAt(at, i, 0)
	}
	for {
		if i = t.value(s, i, depth+1, t.add()); i < 0 {
			return i
		}
		count++
		i = space(s, i)
		if i >= len(s) {
			return t.wrong(ErrSyntax)
		}
		switch s[i] {
		case ',':
			i = space(s, i+1)
		case ']':
			return t.closeAt(at, i, count)
		default:
			return t.wrong(ErrSyntax)
		}
	}
}

func (t *Tape) closeAt(at, i int, count uint32) int {
	n := &t.Nodes[at]
	n.Hi, n.Next, n.Children = uint32(i+1), uint32(len(t.Nodes)), count
	return i + 1
}

// name reads the member name whose first byte is at i, with the colon behind it, and returns the index of the value.
func (t *Tape) name(s []byte, i int, m *Node) int {
	end, flags := text(s, i)
	if end < 0 {
		return end
	}
	m.keyLo, m.keyHi = uint32(i), uint32(end)
	if flags == 0 {
		m.Hash = Hash(s[i:end])
	} else {
		m.Flags |= KeyEscaped
		m.keyLo = uint32(len(t.keys))
		t.keys = AppendUnescaped(t.keys, s[i:end])
		m.keyHi = uint32(len(t.keys))
		m.Hash = Hash(t.keys[m.keyLo:])
	}
	if i = end + 1; i >= len(s) || s[i] != ':' {
		if i = space(s, i); i >= len(s) || s[i] != ':' {
			return -1
		}
	}
	if i++; i < len(s) && s[i] <= ' ' {
		i = space(s, i)
	}
	return i
}

func word(s []byte, i int, w string) int {
	if len(s)-i < len(w) || string(s[i:i+len(w)]) != w {
		return -1
	}
	return i + len(w)
}

func number(s []byte, i int) int {
	if i < len(s) && s[i] == '-' {
		i++
	}
	switch {
	case i < len(s) && s[i] == '0':
		i++
	case i < len(s) && '1' <= s[i] && s[i] <= '9':
		i = digits(s, i)
	default:
		return -1
	}
	if i < len(s) && s[i] == '.' {
		j := digits(s, i+1)
		if j == i+1 {
			return -1
		}
		i = j
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		j := digits(s, i)
		if j == i {
			return -1
		}
		i = j
	}
	return i
}

func digits(s []byte, i int) int {
	for i < len(s) && '0' <= s[i] && s[i] <= '9' {
		i++
	}
	return i
}

const (
	ones = 0x0101010101010101
	tops = 0x8080808080808080
)

// text returns the index of the quote that ends the string whose first byte is at i. It looks at eight bytes at a time:
// a byte of a word stands out if it is a quote, a backslash, a control character (all three by the "has a zero byte"
// and "has a byte less than n" tests of Anderson's Bit Twiddling Hacks). Bytes above the first that stands out may be
// marked wrongly, so only the lowest mark is looked at.
func text(s []byte, i int) (int, uint8) {
	var flags uint8
	for {
		for i+8 <= len(s) {
			w := binary.LittleEndian.Uint64(s[i:])
			q := w ^ ones*'"'
			b := w ^ ones*'\\'
			m := ((q-ones)&^q | (b-ones)&^b | (w-ones*' ')&^w) & tops
			if m != 0 {
				i += bits.TrailingZeros64(m) >> 3
				break
			}
			i += 8
		}
		if i >= len(s) {
			return -1, flags
		}
		switch c := s[i]; {
		case c == '"':
			return i, flags
		case c < ' ':
			return -1, flags
		case c != '\\':
			i++
		default:
			var lone bool
			if i, lone = escape(s, i+1); i < 0 {
				return -1, flags
			}
			if lone {
				flags |= Lone
			}
			flags |= Escaped
		}
	}
}

// escape checks the escape whose first byte after the backslash is at i, and returns the index behind it.
func escape(s []byte, i int) (next int, lone bool) {
	if i >= len(s) {
		return -1, false
	}
	switch s[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1, false
	case 'u':
		r := hex4(s, i+1)
		if r < 0 {
			return -1, false
		}
		i += 5
		if !utf16.IsSurrogate(r) {
			return i, false
		}
		if i+1 < len(s) && s[i] == '\\' && s[i+1] == 'u' {
			if r2 := hex4(s, i+2); r2 >= 0 && utf16.DecodeRune(r, r2) != utf8.RuneError {
				return i + 6, false
			}
		}
		return i, true
	}
	return -1, false
}

// hex4 reads four hexadecimal digits, or returns -1.
func hex4(s []byte, i int) rune {
	if len(s)-i < 4 {
		return -1
	}
	var r rune
	for _, c := range s[i : i+4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// Key returns the member's name, unescaped; nothing for elements of arrays and the root. It is valid until the next
// Parse.
func (t *Tape) Key(n *Node) []byte {
	if n.Flags&KeyEscaped != 0 {
		return t.keys[n.keyLo:n.keyHi]
	}
	return t.Src[n.keyLo:n.keyHi]
}

// Raw returns the source of the value: of a string what is between the quotes, still escaped.
func (t *Tape) Raw(n *Node) []byte { return t.Src[n.Lo:n.Hi] }

// Text returns the value of a string: the source itself where nothing is escaped, or what it appends to scratch, which
// it returns grown.
func (t *Tape) Text(n *Node, scratch []byte) (text, grown []byte) {
	if n.Flags&Escaped == 0 {
		return t.Src[n.Lo:n.Hi], scratch
	}
	at := len(scratch)
	scratch = AppendUnescaped(scratch, t.Src[n.Lo:n.Hi])
	return scratch[at:], scratch
}

// Part adds a string of its own that is a part of the string at index i, from lo to hi of its source, and returns its index. It goes by
// the same name, and is among the members of nothing.
func (t *Tape) Part(i uint32, lo, hi int) uint32 {
	n := t.Nodes[i]
	n.Lo, n.Hi, n.Next = n.Lo+uint32(lo), n.Lo+uint32(hi), uint32(len(t.Nodes)+1)
	n.Flags &^= Taken
	t.Nodes = append(t.Nodes, n)
	return n.Next - 1
}

// Member finds a member of the object at index i by name, or returns 0.
func (t *Tape) Member(i uint32, name string) uint32 {
	end := t.Nodes[i].Next
	if t.Nodes[i].Type != Object {
		return 0
	}
	h := Hash([]byte(name))
	for j := i + 1; j < end; j = t.Nodes[j].Next {
		n := &t.Nodes[j]
		if n.Hash == h && n.Flags&Duplicate == 0 && string(t.Key(n)) == name {
			return j
		}
	}
	return 0
}

// Hash is the hash that nodes carry of their names. It mixes the length, the first and the last eight bytes: names
// that differ only in between collide, so a match is always confirmed on the bytes.
func Hash(key []byte) uint32 {
	n := len(key)
	var a, b uint64
	switch {
	case n >= 8:
		a, b = binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[n-8:])
	case n >= 4:
		a, b = uint64(binary.LittleEndian.Uint32(key)), uint64(binary.LittleEndian.Uint32(key[n-4:]))
	case n > 0:
		a, b = uint64(key[0])|uint64(key[n/2])<<8, uint64(key[n-1])
	}
	hi, lo := bits.Mul64(a^0x9e3779b97f4a7c15^uint64(n), b^0xe7037ed1a0b428db)
	return uint32((hi ^ lo) >> 17)
}

// smallObject is the number of members up to which pairs are compared; larger objects are sorted, so that no input
// costs quadratic time.
const smallObject = 48

// markEarlier marks an earlier member of the object at index at, which is still being read, that has the name of m.
func (t *Tape) markEarlier(at, m int) {
	for k := at + 1; k < m; k = int(t.Nodes[k].Next) {
		if t.Nodes[k].Hash == t.Nodes[m].Hash {
			t.markIfSame(uint32(k), &t.Nodes[m])
		}
	}
}

// markIfSame marks node k as the earlier one of two members with one name.
func (t *Tape) markIfSame(k uint32, later *Node) {
	e := &t.Nodes[k]
	if e.Hash == later.Hash && e.Flags&Duplicate == 0 && bytes.Equal(t.Key(e), t.Key(later)) {
		e.Flags |= Duplicate
		t.Duplicates++
	}
}

func (t *Tape) markSorted(at int) {
	t.dups = t.dups[:0]
	for j := uint32(at + 1); j < t.Nodes[at].Next; j = t.Nodes[j].Next {
		t.dups = append(t.dups, j)
	}
	slices.SortStableFunc(t.dups, func(a, b uint32) int {
		na, nb := &t.Nodes[a], &t.Nodes[b]
		if na.Hash != nb.Hash {
			return int(int64(na.Hash) - int64(nb.Hash))
		}
		return bytes.Compare(t.Key(na), t.Key(nb))
	})
	for i := 1; i < len(t.dups); i++ {
		t.markIfSame(t.dups[i-1], &t.Nodes[t.dups[i]])
	}
}

// Find returns the member of object i that has the name of member n of another object, or 0.
func (t *Tape) Find(i uint32, n *Node) uint32 {
	key := t.Key(n)
	for j := i + 1; j < t.Nodes[i].Next; j = t.Nodes[j].Next {
		m := &t.Nodes[j]
		if m.Hash == n.Hash && m.Flags&Duplicate == 0 && bytes.Equal(t.Key(m), key) {
			return j
		}
	}
	return 0
}

// Equal compares two values: numbers by value as far as a float64 tells them apart, objects without regard to the order
// of their members.
func (t *Tape) Equal(i, j uint32) bool {
	a, b := &t.Nodes[i], &t.Nodes[j]
	if a.Type != b.Type {
		return false
	}
	switch a.Type {
	case String:
		if (a.Flags|b.Flags)&Escaped == 0 {
			return bytes.Equal(t.Raw(a), t.Raw(b))
		}
		return bytes.Equal(AppendUnescaped(nil, t.Raw(a)), AppendUnescaped(nil, t.Raw(b)))
	case Number:
		return sameNumber(t.Raw(a), t.Raw(b))
	case Array:
		return a.Children == b.Children && t.equalElements(i, j)
	case Object:
		return t.within(i, j) && t.within(j, i)
	}
	return true
}

func (t *Tape) equalElements(i, j uint32) bool {
	for k, l := i+1, j+1; k < t.Nodes[i].Next; k, l = t.Nodes[k].Next, t.Nodes[l].Next {
		if !t.Equal(k, l) {
			return false
		}
	}
	return true
}

// within reports whether every member of object i is in object j with the same value.
func (t *Tape) within(i, j uint32) bool {
	for k := i + 1; k < t.Nodes[i].Next; k = t.Nodes[k].Next {
		if t.Nodes[k].Flags&Duplicate != 0 {
			continue
		}
		if l := t.Find(j, &t.Nodes[k]); l == 0 || !t.Equal(k, l) {
			return false
		}
	}
	return true
}

func sameNumber(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, err1 := strconv.ParseFloat(string(a), 64)
	y, err2 := strconv.ParseFloat(string(b), 64)
	return err1 == nil && err2 == nil && x == y
}
