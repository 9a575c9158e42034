package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// TransportOptions say what Transport logs of a call. The zero value is fine.
type TransportOptions struct {
	// Service names the service that is called. nil: the host's name.
	Service func(*http.Request) string
	// User names for whom the call is made.
	User func(*http.Request) string
}

// Transport returns a round tripper that logs each call of base (nil: http.DefaultTransport) as an external API activity:
// with its URL without query and user, its status, the time to the headers of the answer, and the rate limit that the
// answer tells of.
func (c *Client) Transport(base http.RoundTripper, o TransportOptions) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{c, base, o}
}

type transport struct {
	client *Client
	base   http.RoundTripper
	o      TransportOptions
}

// RoundTrip passes the request on as it is, and the answer back.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := t.base.RoundTrip(r)
	now := time.Now()
	trace, span := traceparent(r.Header.Get("Traceparent"))
	a := ExternalAPI{
		Timestamp:       began,
		ServiceName:     r.URL.Hostname(),
		Method:          method(r),
		Endpoint:        endpoint(r.URL),
		ExecutionTimeMS: new(float64(now.Sub(began).Microseconds()) / 1000),
		RequestID:       r.Header.Get("X-Request-Id"),
		TraceID:         trace,
		SpanID:          span,
	}
	if t.o.Service != nil {
		a.ServiceName = t.client.ask(t.o.Service, r)
	}
	if t.o.User != nil {
		a.UserID = t.client.ask(t.o.User, r)
	}
	if err != nil {
		a.ErrorDetails = err.Error()
	} else {
		a.StatusCode = &resp.StatusCode
		a.RateLimit = rateLimit(resp, now)
	}
	_, _ = t.client.LogExternalAPI(context.WithoutCancel(r.Context()), a) // errors are counted
	return resp, err
}

// CloseIdleConnections is for http.Client.
func (t *transport) CloseIdleConnections() {
	if c, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		c.CloseIdleConnections()
	}
}

func method(r *http.Request) string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

func endpoint(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// rateLimit reads what services tell of their limits: the fields RateLimit and RateLimit-Policy, the older RateLimit-Limit,
// -Remaining and -Reset (both of the IETF's draft-ietf-httpapi-ratelimit-headers), the same with X- before them, and, when
// there is nothing left, Retry-After.
func rateLimit(resp *http.Response, now time.Time) RateLimit {
	get := func(what string) string {
		for _, prefix := range []string{"RateLimit-", "X-RateLimit-", "X-Rate-Limit-"} {
			if v := resp.Header.Get(prefix + what); v != "" {
				return v
			}
		}
		return ""
	}
	l := RateLimit{
		Limit:     number(get("Limit")),
		Remaining: number(get("Remaining")),
		ResetAt:   resetAt(get("Reset"), now),
	}
	if item := resp.Header.Get("RateLimit"); item != "" {
		l.Remaining = or(l.Remaining, number(parameter(item, "r")))
		if l.ResetAt.IsZero() {
			l.ResetAt = resetAt(parameter(item, "t"), now)
		}
	}
	l.Limit = or(l.Limit, number(parameter(resp.Header.Get("RateLimit-Policy"), "q")))
	if resp.StatusCode == http.StatusTooManyRequests && l.ResetAt.IsZero() {
		l.ResetAt = resetAt(resp.Header.Get("Retry-After"), now)
	}
	return l
}

func or(a, b *int) *int {
	if a != nil {
		return a
	}
	return b
}

// number reads the whole number that a value begins with ("100, 100;w=60" is 100); nil is none.
func number(v string) *int {
	end := strings.IndexFunc(v, func(c rune) bool { return c < '0' || c > '9' })
	if end >= 0 {
		v = v[:end]
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return nil
	}
	return &n
}

// parameter finds a parameter of the first member of a list ("default";r=50;t=30).
func parameter(list, name string) string {
	first, _, _ := strings.Cut(list, ",")
	for _, p := range strings.Split(first, ";")[1:] {
		if k, v, ok := strings.Cut(strings.TrimSpace(p), "="); ok && k == name {
			return v
		}
	}
	return ""
}

// resetAt reads when a window ends: seconds from now, seconds or milliseconds since 1970, told apart by magnitude, or a date.
// What is none of that, and what is past all reason, is the zero time.
func resetAt(v string, now time.Time) time.Time {
	t := instant(v, now)
	if y := t.Year(); y < 1970 || y > 2200 {
		return time.Time{}
	}
	return t.UTC()
}

func instant(v string, now time.Time) time.Time {
	const aYear, inSeconds, end = 366 * 24 * 3600, 1e11, 1e14
	if n, err := strconv.ParseFloat(v, 64); err == nil {
		switch {
		case !(n >= 0 && n < end): // also NaN
			return time.Time{}
		case n <= aYear:
			return now.Add(time.Duration(n * float64(time.Second))).Truncate(time.Millisecond)
		case n < inSeconds:
			return time.UnixMilli(int64(n * 1000))
		}
		return time.UnixMilli(int64(n))
	}
	if t, err := http.ParseTime(v); err == nil {
		return t
	}
	t, _ := time.Parse(time.RFC3339, v) // the zero time where it is none
	return t
}
