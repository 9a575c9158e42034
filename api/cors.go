package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// CheckOrigin tells what is wrong with an entry of Config.CORSOrigins; "" for nothing.
func CheckOrigin(origin string) (advice string) {
	u, err := url.Parse(origin)
	switch {
	case strings.Contains(origin, "*"):
		return "name each origin: a page of any other could read what its visitors may see"
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || origin != strings.ToLower(u.Scheme+"://"+u.Host):
		return "write it as browsers send it: https://app.example.com, in lower case, without a path"
	case u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80":
		return "leave the port out: browsers do not send the usual one"
	}
	return ""
}

// crossOrigin lets scripts in pages of the configured origins read the answer, and reports whether the request was only
// the browser's question whether they may. Cookies are never part of it: a token is in a header that the page sets.
func (c *Config) crossOrigin(w http.ResponseWriter, r *http.Request) (preflight bool) {
	if len(c.CORSOrigins) == 0 {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if !slices.Contains(c.CORSOrigins, origin) {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Expose-Headers", "ETag, Retry-After, X-Request-Id, "+nextCursor)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	h.Add("Vary", "Access-Control-Request-Method, Access-Control-Request-Headers")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, PATCH")
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match, Last-Event-ID")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
