package ingest

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/truledgr/activity-agent/pipeline"
)

// A problem is an answer that says what is wrong (RFC 9457). It never shows anything of the request.
type problem struct {
	Type   string  `json:"type"`
	Title  string  `json:"title"`
	Status int     `json:"status"`
	Detail string  `json:"detail"`
	Errors []fault `json:"errors,omitempty"`

	retryAfter int // seconds; 0 for none
	close      bool
}

// A fault is one thing that is wrong with one record.
type fault struct {
	Record  int    `json:"record"`  // in the request, from 0
	Pointer string `json:"pointer"` // JSON Pointer into the record; "" is all of it
	Detail  string `json:"detail"`
}

// typePrefix begins the type of a problem; docs/ingest.md explains each.
const typePrefix = "urn:activity-agent:"

func newProblem(status int, name, detail string) *problem {
	return &problem{Type: typePrefix + name, Title: http.StatusText(status), Status: status, Detail: detail}
}

// invalid lists what is wrong with the records of a request: 400 if one is not JSON, else 422.
func invalid(ps []pipeline.Problem) *problem {
	p := newProblem(http.StatusUnprocessableEntity, "invalid-record", "records have fields of the wrong type; nothing of the request was stored")
	for _, one := range ps {
		if one.Syntax {
			p = newProblem(http.StatusBadRequest, "not-json", "records are not valid JSON; nothing of the request was stored")
			break
		}
	}
	for _, one := range ps {
		p.Errors = append(p.Errors, fault{one.Record, one.Pointer, one.Reason})
	}
	return p
}

// write sends the problem.
func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.retryAfter))
	}
	if p.close {
		h.Set("Connection", "close")
	}
	b, _ := json.Marshal(p) // strings and numbers
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(b, '\n'))
}
