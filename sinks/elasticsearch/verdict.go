package elasticsearch

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/truledgr/activity-agent/activity"
	"github.com/truledgr/activity-agent/internal/tape"
	"github.com/truledgr/activity-agent/sinks"
)

// filterPath asks for what verdicts need of the answer to a bulk request: 25 bytes a document that was stored.
const filterPath = "errors,items.*.status,items.*.error.type,items.*.error.reason"

// errAnswer: nothing is known of what became of the documents.
var errAnswer = errors.New("the answer cannot be read, so nothing is known of what it answers: is it Elasticsearch's, or a proxy's?")

var itemsKey = []byte(`"items":[`)

// alike reports whether the answer says the same of all n documents, byte for byte, and returns the answer with the first
// of its items alone. Most answers say of every document that it was stored, and need not be parsed. It compares every
// byte: half an answer says nothing. scratch is memory to use.
func alike(answer []byte, n int, scratch []byte) (one []byte, ok bool) {
	at := bytes.Index(answer, itemsKey)
	if at < 0 || n < 2 || len(answer) < 2 || string(answer[len(answer)-2:]) != "]}" {
		return scratch, false
	}
	list := answer[at+len(itemsKey) : len(answer)-2]
	size := (len(list) + 1) / n // of an item and its comma
	if size < 3 || size*n != len(list)+1 || list[size-1] != ',' || !bytes.Equal(list[:len(list)-size], list[size:]) {
		return scratch, false
	}
	scratch = append(scratch[:0], answer[:at+len(itemsKey)+size-1]...)
	return append(scratch, "]}"...), true
}

// An item is what became of one document of a bulk request.
type item struct {
	model  *activity.Model // whose fields are named
	status int
	kind   string // error type, "" for none
	reason []byte // Elasticsearch's explanation, which may quote the document: never kept
}

// items calls f for each document of the answer, or returns errAnswer when it does not have one entry for each of n, in
// which case f has not been called.
func items(t *tape.Tape, answer []byte, n int, f func(i int, it item)) error {
	if t.Parse(answer) != nil || t.Nodes[0].Type != tape.Object {
		return errAnswer
	}
	list := t.Member(0, "items")
	if list == 0 || t.Nodes[list].Type != tape.Array || int(t.Nodes[list].Children) != n {
		return errAnswer
	}
	for pass := range 2 { // the first only looks
		i := 0
		for j := list + 1; j < t.Nodes[list].Next; j = t.Nodes[j].Next {
			it, ok := readItem(t, j)
			if !ok {
				return errAnswer
			}
			if pass == 1 {
				f(i, it)
			}
			i++
		}
	}
	return nil
}

// readItem reads {"create":{"status":…,"error":{"type":…,"reason":…}}} at j.
func readItem(t *tape.Tape, j uint32) (it item, ok bool) {
	if t.Nodes[j].Type != tape.Object || t.Nodes[j].Children != 1 {
		return it, false
	}
	body := j + 1
	if t.Nodes[body].Type != tape.Object {
		return it, false
	}
	k := t.Member(body, "status")
	if k == 0 || t.Nodes[k].Type != tape.Number {
		return it, false
	}
	it.status, _ = strconv.Atoi(string(t.Raw(&t.Nodes[k])))
	if e := t.Member(body, "error"); e != 0 && t.Nodes[e].Type == tape.Object {
		it.kind = typeIn(t, e)
		if r := t.Member(e, "reason"); r != 0 && t.Nodes[r].Type == tape.String {
			it.reason = t.Raw(&t.Nodes[r])
		}
	}
	return it, it.status >= 200 && it.status < 600
}

// verdict says what an item means for its document. taken: the id belongs to a document already. For Retry, err says why.
func (it item) verdict() (res sinks.Result, taken bool, err *Error) {
	switch {
	case it.status < 300:
		return sinks.Result{Verdict: sinks.Stored}, false, nil
	case it.status == http.StatusConflict && (it.kind == "" || it.kind == "version_conflict_engine_exception"):
		return sinks.Result{}, true, nil
	case it.ofDocument():
		return sinks.Result{Verdict: sinks.Rejected, Reason: it.why()}, false, nil
	}
	return sinks.Result{}, false, &Error{Op: "store documents", Status: it.status, Type: it.kind}
}

// ofDocument reports whether the error belongs to this one document, so that any other could be stored and this one never
// will be. Errors of the index, the cluster or the rights have the same status and in part the same type; the beginning
// of the explanation, which is Elasticsearch's own text, tells them apart. What is not known for sure is not the
// document's.
func (it item) ofDocument() bool {
	if it.status != http.StatusBadRequest {
		return false
	}
	switch it.kind {
	case "document_parsing_exception", "strict_dynamic_mapping_exception":
		return true
	case "mapper_parsing_exception": // a template with a mapping that cannot be read has this type, too
		for _, begin := range []string{"failed to parse", "object mapping ", "object field ", "Could not dynamically add mapping", "["} {
			if bytes.HasPrefix(it.reason, []byte(begin)) {
				return true
			}
		}
	case "illegal_argument_exception": // as has a pipeline or an alias that is not there
		return bytes.HasPrefix(it.reason, []byte("Document contains at least one immense term")) ||
			bytes.HasPrefix(it.reason, []byte("Flattened field [")) ||
			bytes.HasPrefix(it.reason, []byte("The number of nested documents has exceeded"))
	}
	return false
}

// why is the reason that is kept: the error's type, and the field when it is one of ours.
func (it item) why() string {
	if f := it.field(); f != "" {
		return it.kind + ": " + f
	}
	return it.kind
}

// field finds the field's name in the explanation. Only names of the table are returned: what stands there otherwise could
// come from the document.
func (it item) field() string {
	for _, before := range []string{"field [", `field=\"`} {
		_, rest, found := bytes.Cut(it.reason, []byte(before))
		if !found {
			continue
		}
		end := bytes.IndexAny(rest, `]\`)
		if end < 0 {
			continue
		}
		name := string(rest[:end])
		if _, ok := it.model.FieldNamed(name, activity.NoKind); ok {
			return name
		}
		// Below a free object: its name alone.
		top, _, _ := strings.Cut(name, ".")
		if _, ok := it.model.FieldNamed(top, activity.NoKind); ok {
			return top
		}
	}
	return ""
}
