package elasticsearch

import (
	"strings"
	"unicode"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

// The parts of a field that full text asks, such as "description.words". A mapping has the first, or the two others.
const (
	wordsPart    = "words"    // cut by analysis(): the words of search.AppendWords
	lettersPart  = "letters"  // cut by the simple analyser: runs of letters, digits left out
	standardPart = "standard" // cut by the standard analyser: what underscores join, and dots within, stays one word
)

// textParts are the mappings of those parts. Any distribution of Elasticsearch can do it exactly; for a bare node without
// the module analysis-common, two built-in analysers together come near.
func textParts(exact bool) object {
	text := func(analyser string) object {
		return object{"type": "text", "norms": false, "analyzer": analyser}
	}
	if exact {
		return object{wordsPart: text("activity_words")}
	}
	return object{lettersPart: text("simple"), standardPart: text("standard")}
}

// analysis is search.AppendWords in the cluster's terms. Its filter folds more letters than that does (æ to ae); since
// questions go through it as well, they only find more.
func analysis() object {
	return object{
		"tokenizer": object{"activity_words": object{"type": "pattern", "pattern": `[^\p{L}\p{M}\p{N}]+`}},
		"analyzer":  object{"activity_words": object{"type": "custom", "tokenizer": "activity_words", "filter": []string{"lowercase", "asciifolding"}}},
	}
}

// A phrase is a search.Phrase, and the text it was made of.
type phrase struct {
	words search.Phrase
	raw   string
	not   bool
}

// phrases reads a question as search.ParseText does, which has found nothing wrong with it.
func phrases(q string) []phrase {
	var out []phrase
	for rest := strings.TrimSpace(q); rest != ""; rest = strings.TrimSpace(rest) {
		var p phrase
		if p.not = len(rest) > 1 && rest[0] == '-'; p.not {
			rest = rest[1:]
		}
		if rest[0] == '"' {
			p.raw, rest, _ = strings.Cut(rest[1:], `"`)
		} else if end := strings.IndexFunc(rest, unicode.IsSpace); end >= 0 {
			p.raw, rest = rest[:end], rest[end:]
		} else {
			p.raw, rest = rest, ""
		}
		if p.words = strings.Fields(string(search.AppendWords(nil, p.raw))); len(p.words) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// query asks for words that follow one another in one of the fields of full text. A field has either the exact part or
// the others; parts that no field has are passed over.
//
// What stands in for the exact part differs from it: it takes letters that are joined to digits for a word of their own,
// does not see digits within what an underscore or a dot joins, and keeps accents, so that they must be written as in the
// document.
func (p phrase) query(m *activity.Model) object {
	spaced := strings.Join(p.words, " ")
	if !strings.ContainsFunc(spaced, unicode.IsNumber) {
		return either(match(m, spaced, wordsPart, lettersPart), match(m, p.raw, lettersPart))
	}
	forms := []object{match(m, spaced, wordsPart, standardPart), match(m, p.raw, standardPart)}
	if len(p.words) > 1 { // joined in the document, apart in the question
		forms = append(forms, match(m, strings.Join(p.words, "_"), standardPart), match(m, strings.Join(p.words, "."), standardPart))
	}
	return either(forms...)
}

func either(queries ...object) object {
	return object{"bool": object{"should": queries, "minimum_should_match": 1}}
}

// match asks the parts of all fields of full text for a phrase.
func match(m *activity.Model, text string, parts ...string) object {
	var fields []string
	for _, f := range search.TextFields(m) {
		for _, p := range parts {
			fields = append(fields, m.FieldName(f)+"."+p)
		}
	}
	return object{"multi_match": object{"query": text, "type": "phrase", "fields": fields}}
}
