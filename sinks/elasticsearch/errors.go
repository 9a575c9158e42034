package elasticsearch

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/truledgr/activity-agent/internal/tape"
	"github.com/truledgr/activity-agent/sinks"
)

// An Error is a refusal by Elasticsearch, or by what stands before it. Its text is made of the status and the type of the
// error alone: Elasticsearch's own explanation may quote a document.
type Error struct {
	Op     string // what was being done
	Status int    // of HTTP, or of one item of a bulk request
	Type   string // Elasticsearch's name for the error; "" where the answer was not Elasticsearch's
	Of     string // who answered; "" is Elasticsearch
}

func (e *Error) Error() string {
	of := e.Of
	if of == "" {
		of = "Elasticsearch"
	}
	text := fmt.Sprintf("%s: %s answered %d", e.Op, of, e.Status)
	if e.Type != "" {
		text += " " + e.Type
	} else if s := http.StatusText(e.Status); s != "" {
		text += " " + s
	}
	if advice := e.advice(); advice != "" {
		text += ": " + advice
	}
	return text
}

// advice says what to do.
func (e *Error) advice() string {
	switch {
	case e.Of != "" && (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden):
		return "check store.elasticsearch.api_key, or username and password: it needs Kibana's privilege All on Saved Objects Management and on what is imported"
	case e.Of != "":
		return "look at Kibana's log"
	case e.Type == "cluster_block_exception":
		return "an index is blocked for writing, as it is when a disk is nearly full or somebody set it read-only: free space, or lift the block"
	case e.Type == "index_not_found_exception":
		return "the cluster does not make indices by itself: allow action.auto_create_index for them"
	case e.Type == "index_closed_exception":
		return "an index is closed: open it"
	case e.Type == "unavailable_shards_exception":
		return "the shard is not available: look at the cluster's health"
	case e.Status == http.StatusUnauthorized:
		return "check store.elasticsearch.api_key, or username and password; secret files are read again each time"
	case e.Status == http.StatusForbidden:
		return "the API key or user lacks a privilege: the agent needs create_doc and auto_configure on the indices, setup and others need more, see docs/elasticsearch.md"
	case e.Status == http.StatusTooManyRequests:
		return "it is overloaded and asks to come again"
	case e.Status >= 500:
		return ""
	case e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed:
		return "check that store.elasticsearch.addresses lead to Elasticsearch"
	}
	return "it refuses the request as such, not a document: look at its log, and run `activity-agent setup`"
}

// refused makes the error of a request that was answered with a status from 400 on.
func (c *client) refused(op string, status int, h http.Header, answer []byte) error {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		c.secrets.forget()
	}
	e := &Error{Op: op, Status: status, Type: errorType(answer)}
	if after := retryAfter(h.Get("Retry-After"), time.Now()); after > 0 {
		return &sinks.DelayError{Err: e, After: after}
	}
	return e
}

// errorType returns the type in {"error":{"type":…}}, "" where there is none.
func errorType(answer []byte) string {
	var t tape.Tape
	if t.Parse(answer) != nil {
		return ""
	}
	if e := t.Member(0, "error"); e != 0 && t.Nodes[e].Type == tape.Object {
		return typeIn(&t, e)
	}
	return ""
}

// typeIn returns the type of the error object at i. What does not look like one is not taken: it may be anything.
func typeIn(t *tape.Tape, i uint32) string {
	k := t.Member(i, "type")
	if k == 0 || t.Nodes[k].Type != tape.String {
		return ""
	}
	name := t.Raw(&t.Nodes[k])
	if len(name) > 64 {
		return ""
	}
	for _, c := range name {
		if (c < 'a' || c > 'z') && c != '_' {
			return ""
		}
	}
	return string(name)
}

// maxDelay bounds what a server may ask for.
const maxDelay = 5 * time.Minute

// retryAfter reads the header Retry-After: seconds, or a date of HTTP.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if n, err := strconv.Atoi(value); err == nil {
		return min(time.Duration(max(n, 0))*time.Second, maxDelay)
	}
	if t, err := http.ParseTime(value); err == nil {
		return min(max(t.Sub(now), 0), maxDelay)
	}
	return 0
}
