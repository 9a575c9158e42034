package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/truledgr/activity-agent/activity"
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

// A parameterError is what is wrong with one parameter, or one member of the body.
type parameterError struct {
	Parameter string `json:"parameter,omitempty"`
	// Pointer is the JSON Pointer of a member of the body; "" with no parameter is the body itself.
	Pointer string `json:"pointer,omitempty"`
	Detail  string `json:"detail"`
}

var (
	errForbidden       = errors.New("your role may not see this")
	errNoRoute         = errors.New("there is no such route: docs/api.md lists them")
	errMethod          = errors.New("this route does not take this method: Allow lists those that it takes")
	errTooManyStreams  = errors.New("you, or all together, have as many exports or live readers as there may be: end one, or try again later")
	errTooMany         = errors.New("too many requests: wait for as long as Retry-After says")
	errTooManyFailures = errors.New("too many requests from here failed for want of a valid token: wait for as long as Retry-After says")
)

// problemOf tells which status an error is. What is the store's trouble is in the log, not in the answer.
func problemOf(err error) problem {
	p := problem{Status: http.StatusServiceUnavailable, Detail: "the store does not answer: try again; the log of the API says more under this request_id"}
	if mistakes := parameterErrors(err); len(mistakes) > 0 {
		p.Status, p.Detail, p.Errors = http.StatusUnprocessableEntity, "the question has mistakes", mistakes
	}
	for known, status := range map[error]int{
		errForbidden: http.StatusForbidden, errNoUser: http.StatusForbidden, errOrigin: http.StatusForbidden, errNoRoute: http.StatusNotFound,
		errMethod: http.StatusMethodNotAllowed, errTooMany: http.StatusTooManyRequests, errTooManyFailures: http.StatusTooManyRequests, errTooManyStreams: http.StatusTooManyRequests,
		search.ErrNotFound: http.StatusNotFound, errLarge: http.StatusRequestEntityTooLarge, errMedia: http.StatusUnsupportedMediaType,
		errNotAmendable: http.StatusForbidden, errPrecondition: http.StatusPreconditionFailed, search.ErrChanged: http.StatusConflict,
		errUnrecorded: http.StatusServiceUnavailable,
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
		return []parameterError{{Parameter: p.Param, Detail: p.Problem}}
	}
	var out []parameterError
	if invalid := (*activity.InvalidError)(nil); errors.As(err, &invalid) {
		for _, p := range invalid.Problems {
			out = append(out, parameterError{Pointer: p.Pointer, Detail: p.Reason})
		}
	}
	return out
}

func (p problem) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone
}
