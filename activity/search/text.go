package search

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/truledgr/activity-agent/activity"
)

// TextFields are the fields that full text covers, in the order in which stores index them.
func TextFields(m *activity.Model) []activity.FieldID {
	fields := []activity.FieldID{
		activity.Description, activity.ErrorDetails, activity.StackTrace, activity.Endpoint,
		activity.UserID, activity.EntityID, activity.RequestID, activity.TraceID, activity.SessionID, activity.RecordID,
	}
	for f := activity.FieldCount; f < m.FieldCount(); f++ {
		if m.FieldType(f) == activity.Text {
			fields = append(fields, f)
		}
	}
	return fields
}

// MaxWord is how many bytes of a word count; what follows is passed over, in documents and in questions alike.
const MaxWord = 255

// AppendWords appends the words of text to dst, each followed by a space. This function is the definition of a word, for
// every store:
//
//   - A word is a longest run of letters, marks and digits (Unicode categories L, M and N). Everything else separates
//     words: "user_login" is two, "10.0.0.1" four, a UUID five. Invalid UTF-8 separates, too.
//   - Case makes no difference: each character is mapped to lower case (Unicode's simple mapping).
//   - Accents on Latin letters make no difference: U+00C0 to U+017F are mapped to the letter below them where there is
//     one, and the combining marks U+0300 to U+036F are left out. "Ærø" is "æro": letters of their own stay.
//   - At most MaxWord bytes of a word count, in whole characters.
//
// There is no stemming, and there are no stop words.
func AppendWords[T string | []byte](dst []byte, text T) []byte {
	dst = slices.Grow(dst, len(text)+1)
	start := len(dst) // of the word that is being written
	for i := 0; i < len(text); {
		// A run of ASCII is nearly all there is in a log.
		run := i
		for run < len(text) && text[run] < utf8.RuneSelf && asciiWord[text[run]] != 0 {
			run++
		}
		for end := min(run, i+max(MaxWord-(len(dst)-start), 0)); i < end; i++ {
			dst = append(dst, asciiWord[text[i]])
		}
		if i = run; i == len(text) {
			break
		}
		r, size := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(string(text[i:min(i+utf8.UTFMax, len(text))]))
		}
		i += size
		switch {
		case r < utf8.RuneSelf, r == utf8.RuneError, !unicode.In(r, unicode.L, unicode.M, unicode.N):
			if len(dst) > start {
				dst = append(dst, ' ')
				start = len(dst)
			}
		case 0x300 <= r && r <= 0x36F: // an accent of the letter before
		default:
			if r = fold(r); len(dst)-start+utf8.RuneLen(r) <= MaxWord {
				dst = utf8.AppendRune(dst, r)
			}
		}
	}
	if len(dst) > start {
		dst = append(dst, ' ')
	}
	return dst
}

// asciiWord maps the characters of words to lower case and all others to 0.
var asciiWord = func() (t [utf8.RuneSelf]byte) {
	for c := range t {
		switch {
		case '0' <= c && c <= '9', 'a' <= c && c <= 'z':
			t[c] = byte(c)
		case 'A' <= c && c <= 'Z':
			t[c] = byte(c) + 'a' - 'A'
		}
	}
	return
}()

// latin holds, for U+00C0 to U+017F in lower case, the letter below the accent, and a dot where there is none.
const latin = "aaaaaa.ceeeeiiii" + ".nooooo.ouuuuy.." + "aaaaaa.ceeeeiiii" + ".nooooo.ouuuuy.y" + // 00C0 to 00FF
	"aaaaaaccccccccdd" + "ddeeeeeeeeeegggg" + "gggghhhhiiiiiiii" + "ii..jjkk.lllllll" + // 0100 to 013F
	"lllnnnnnnn..oooo" + "oo..rrrrrrssssss" + "ssttttttuuuuuuuu" + "uuuuwwyyyzzzzzz." // 0140 to 017F

func fold(r rune) rune {
	if 0xC0 <= r && r <= 0x17F {
		if l := latin[r-0xC0]; l != '.' {
			return rune(l)
		}
	}
	return unicode.ToLower(r)
}

// A Phrase is words that must follow one another within one field.
type Phrase []string

// Text is a parsed full-text question: every phrase of Must, and none of Not, must be in one of the TextFields. Phrases may
// be in different fields.
type Text struct {
	Must, Not []Phrase
}

// ParseText reads a question as people type it: words, "quoted phrases", and either with a minus before it. Something
// without a space that is several words to AppendWords ("/api/v1", a UUID) is a phrase. "" is the zero Text.
func ParseText(q string) (Text, error) {
	var t Text
	for rest := strings.TrimSpace(q); rest != ""; rest = strings.TrimSpace(rest) {
		not := len(rest) > 1 && rest[0] == '-'
		if not {
			rest = rest[1:]
		}
		var part string
		if rest[0] == '"' {
			var closed bool
			if part, rest, closed = strings.Cut(rest[1:], `"`); !closed {
				return Text{}, &ParamError{Param: "q", Problem: `a quotation mark is not closed`}
			}
		} else if end := strings.IndexFunc(rest, unicode.IsSpace); end >= 0 {
			part, rest = rest[:end], rest[end:]
		} else {
			part, rest = rest, ""
		}
		words := Phrase(strings.Fields(string(AppendWords(nil, part))))
		switch {
		case len(words) == 0:
		case not:
			t.Not = append(t.Not, words)
		default:
			t.Must = append(t.Must, words)
		}
	}
	if strings.TrimSpace(q) != "" && len(t.Must)+len(t.Not) == 0 {
		return Text{}, &ParamError{Param: "q", Problem: "has no letter or digit to search for"}
	}
	return t, nil
}

// Matches reports whether the fields' texts answer the question; it is what a store's own search must agree with.
func (t Text) Matches(fields []string) bool {
	words := make([][]string, len(fields))
	for i, f := range fields {
		words[i] = strings.Fields(string(AppendWords(nil, f)))
	}
	has := func(p Phrase) bool {
		return slices.ContainsFunc(words, func(w []string) bool { return containsRun(w, p) })
	}
	return !slices.ContainsFunc(t.Not, has) && !slices.ContainsFunc(t.Must, func(p Phrase) bool { return !has(p) })
}

func containsRun(words, run []string) bool {
	for i := 0; i+len(run) <= len(words); i++ {
		if slices.Equal(words[i:i+len(run)], run) {
			return true
		}
	}
	return false
}
