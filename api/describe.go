package api

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/activity/search"
)

// A doc is what a route adds to the parameters and the JSON that all have, for who describes the API.
type doc struct {
	summary string
	kind    activity.Kind // the only one there is; NoKind for all
	single  bool          // the answer is one document: there are no parameters of lists
	params  []param       // beside those of a list, or in their place
	without []string      // the parameters of a list that it does not take
	media   []string      // of the answer; none for application/json
	errors  []int         // the statuses of errors, beside those of all
	answer  any           // the zero value of the body's type; nil for a page, or for a document where single
}

// A param is a parameter of the query.
type param struct {
	name, text string
	values     []string // the only ones, where the set is closed
	low, high  int      // of a number; both 0 for text, and high 0 for no bound
	header     bool     // it is in a header
	several    bool     // it takes a list
}

// paging are the parameters that choose among what matches, or order it. The others say what matches.
var paging = []string{"limit", "offset", "cursor", "fields", "sort"}

// listParams are the parameters of a list that are not conditions on fields.
func listParams() []param {
	var kinds []string
	for _, k := range activity.Kinds() {
		kinds = append(kinds, k.String())
	}
	return []param{
		{name: "kind", text: "of these kinds; all that the caller may see unless told", values: kinds, several: true},
		{name: "from", text: "@timestamp at or after: 2026-01-02, RFC 3339, now, or before now such as -24h (s m h d w)"},
		{name: "to", text: "@timestamp before; a day is included"},
		{name: "q", text: `full text: words, "phrases", and -words that must not be there`},
		{name: "fields", text: "only these fields of each activity, or the objects they are in", several: true},
		{name: "sort", text: "fields to sort by, with a minus for the largest first; newest first unless told", several: true},
		{name: "limit", text: "of the page; " + strconv.Itoa(search.DefaultLimit) + " unless told", low: 1, high: search.MaxLimit},
		{name: "offset", text: "matches to leave out before the page; offset + limit is " + strconv.Itoa(search.MaxWindow) + " at most", high: search.MaxWindow},
		{name: "cursor", text: "next of the page before; not together with offset"},
	}
}

// The description is made from the table of routes by a test, `go test ./api -update`, which keeps what it takes to make it
// out of the binary.
var (
	//go:embed openapi.json
	openAPI []byte
	//go:embed docs.html
	docsPage []byte
)

// A leaf is a page of the description. It has no data in it, and is for everyone.
type leaf struct {
	mediaType, policy string
	body              []byte
}

// leaves returns the pages of the description, for the kinds of m, by path.
func leaves(m *activity.Model) map[string]leaf {
	return map[string]leaf{
		"/openapi.json": {"application/json", "default-src 'none'; frame-ancestors 'none'", described(m)},
		"/docs":         {"text/html; charset=utf-8", docsPolicy(docsPage), docsPage},
	}
}

// docsPolicy allows the page its own style sheet, and nothing else.
func docsPolicy(page []byte) string {
	_, rest, _ := strings.Cut(string(page), "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

func (l leaf) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", l.mediaType)
	h.Set("Content-Security-Policy", l.policy)
	h.Set("Content-Length", strconv.Itoa(len(l.body)))
	_, _ = w.Write(l.body) // the client is gone
}
