package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/truledgr/activity-agent/activity/search"
)

// A problem is the body of an answer that is an error (RFC 9457). Its type is about:blank, so the title is the status's.
type problem struct {
	Title     string           `json:"title"`
	Status    int              `json:"status"`
	Detail    string           `json:"detail"`
	Errors    []parameterError `json:"errors,omitempty"`
	RequestID string           `json:"request_id"`
}

// A parameterError is what is wrong with one parameter.
type parameterError struct {
	Parameter string `json:"parameter"`
	Detail    string `json:"detail"`
}

var (
	errForbidden      = errors.New("your role may not see this")
	errNoRoute        = errors.New("there is no such route: docs/api.md lists them")
	errMethod         = errors.New("the API only reads: use GET")
	errTooManyStreams = errors.New("you, or all together, have as many exports or live readers as there may be: end one, or try again later")
	errTooMany        = errors.New("too many requests: wait for as long as Retry-After says")
)

// problemOf tells which status an error is. What is the store's trouble is in the log, not in the answer.
func problemOf(err error) problem {
	p := problem{Status: http.StatusServiceUnavailable, Detail: "the store does not answer: try again; the log of the API says more under this request_id"}
	if mistakes := parameterErrors(err); len(mistakes) > 0 {
		p.Status, p.Detail, p.Errors = http.StatusUnprocessableEntity, "the question has mistakes", mistakes
	}
	for known, status := range map[error]int{
		errForbidden: http.StatusForbidden, errNoUser: http.StatusForbidden, errOrigin: http.StatusForbidden, errNoRoute: http.StatusNotFound,
		errMethod: http.StatusMethodNotAllowed, errTooMany: http.StatusTooManyRequests, errTooManyStreams: http.StatusTooManyRequests,
		search.ErrNotFound: http.StatusNotFound,
	} {
		if errors.Is(err, known) {
			p.Status, p.Detail = status, known.Error()
		}
	}
	p.Title = http.StatusText(p.Status)
	return p
}

// parameterErrors returns the mistakes in a question, which may be joined.
func parameterErrors(err error) []parameterError {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var out []parameterError
		for _, e := range all.Unwrap() {
			out = append(out, parameterErrors(e)...)
		}
		return out
	}
	var p *search.ParamError
	if errors.As(err, &p) {
		return []parameterError{{p.Param, p.Problem}}
	}
	return nil
}

func (p problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone
}
