package scripted

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
)

// A Cluster answers `setup` as a whole distribution of Elasticsearch does, by its documentation: templates, life-cycle
// policies, roles, API keys, and the settings of indices. It is for what the nodes of tests lack.
type Cluster struct {
	*httptest.Server

	mu       sync.Mutex
	things   map[string]json.RawMessage // by path: /_ilm/policy/x
	indices  map[string]map[string]any  // their settings, flat, by name
	alias    string                     // of all indices
	requests []string                   // those that change something: "PUT /_ilm/policy/x"
	keys     int
	lack     []string // beginnings of paths that it does not know
	forbid   []string // beginnings of paths that nobody may
}

// StartCluster starts a cluster with these indices, which have the alias; it ends with the test.
func StartCluster(tb interface{ Cleanup(func()) }, alias string, indices ...string) *Cluster {
	c := &Cluster{things: map[string]json.RawMessage{}, indices: map[string]map[string]any{}, alias: alias}
	for _, name := range indices {
		c.indices[name] = map[string]any{}
	}
	c.Server = httptest.NewServer(http.HandlerFunc(c.serve))
	tb.Cleanup(c.Close)
	return c
}

// Lack makes requests to paths that begin so be answered as by a node without the module.
func (c *Cluster) Lack(paths ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lack = paths
}

// Forbid makes requests to paths that begin so be refused for want of a privilege.
func (c *Cluster) Forbid(paths ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forbid = paths
}

// Set sets a setting of an index.
func (c *Cluster) Set(index, name string, value any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.indices[index][name] = value
}

// Setting returns a setting of an index as text, "" for none.
func (c *Cluster) Setting(index, name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch v := c.indices[index][name].(type) {
	case nil:
		return ""
	case float64:
		return fmt.Sprint(int64(v))
	default:
		return fmt.Sprint(v)
	}
}

// Indices returns the names of the indices.
func (c *Cluster) Indices() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.indices))
}

// Thing returns what was put at a path; nil for nothing.
func (c *Cluster) Thing(path string) json.RawMessage {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.things[path]
}

// Changes returns the requests that changed something, since the last call.
func (c *Cluster) Changes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.requests
	c.requests = nil
	return out
}

func (c *Cluster) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	c.mu.Lock()
	defer c.mu.Unlock()
	begins := func(beginning string) bool { return strings.HasPrefix(r.URL.Path, beginning) }
	switch {
	case slices.ContainsFunc(c.lack, begins):
		send(w, http.StatusBadRequest, fmt.Appendf(nil, `{"error":"no handler found for uri [%s] and method [%s]"}`, r.URL.Path, r.Method))
	case slices.ContainsFunc(c.forbid, begins):
		send(w, http.StatusForbidden, []byte(`{"error":{"type":"security_exception","reason":"swordfish"},"status":403}`))
	case r.URL.Path == "/_analyze":
		send(w, http.StatusOK, []byte(`{"tokens":[]}`))
	case r.URL.Path == "/_security/api_key":
		c.keys++
		c.requests = append(c.requests, r.Method+" "+r.URL.Path)
		send(w, http.StatusOK, fmt.Appendf(nil, `{"id":"%d","name":"n","api_key":"k","encoded":"key-%[1]d"}`, c.keys))
	case strings.Contains(r.URL.Path, "/_alias/"), strings.HasSuffix(r.URL.Path, "/_settings/index.lifecycle.*"), strings.HasSuffix(r.URL.Path, "/_settings"),
		strings.HasSuffix(r.URL.Path, "/_stats/docs"):
		c.index(w, r, body)
	case r.Method == http.MethodPut && strings.HasPrefix(r.URL.Path, ismPath) && c.things[r.URL.Path] != nil && r.URL.RawQuery != ismSeq:
		send(w, http.StatusConflict, []byte(`{"error":{"type":"version_conflict_engine_exception"},"status":409}`))
	case r.Method == http.MethodPut:
		c.things[r.URL.Path] = body
		c.requests = append(c.requests, r.Method+" "+r.URL.Path)
		send(w, http.StatusOK, []byte(`{"acknowledged":true}`))
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, ismPath):
		c.ism(w, r.URL.Path)
	case r.Method == http.MethodGet:
		c.get(w, r.URL.Path)
	case r.Method == http.MethodDelete:
		name := strings.TrimPrefix(r.URL.Path, "/")
		if c.indices[name] == nil {
			send(w, http.StatusNotFound, []byte(`{"error":{"type":"index_not_found_exception"},"status":404}`))
			return
		}
		delete(c.indices, name)
		c.requests = append(c.requests, r.Method+" "+r.URL.Path)
		send(w, http.StatusOK, []byte(`{"acknowledged":true}`))
	}
}

// index answers what is about indices.
func (c *Cluster) index(w http.ResponseWriter, r *http.Request, body []byte) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	ofAlias := strings.HasPrefix(rest, "_alias/")
	switch {
	case ofAlias && (r.URL.Path != "/"+c.alias+"-*/_alias/"+c.alias || len(c.indices) == 0):
		send(w, http.StatusNotFound, []byte(`{"error":"alias [x] missing","status":404}`))
	case ofAlias:
		out := map[string]any{}
		for name := range c.indices {
			out[name] = map[string]any{"aliases": map[string]any{c.alias: map[string]any{}}}
		}
		answer, _ := json.Marshal(out)
		send(w, http.StatusOK, answer)
	case strings.HasSuffix(r.URL.Path, "/_stats/docs"):
		send(w, http.StatusOK, []byte(`{"_all":{"primaries":{"docs":{"count":7}}}}`))
	case r.Method == http.MethodPut:
		var set map[string]any
		_ = json.Unmarshal(body, &set)
		maps.Copy(c.indices[name], set)
		c.requests = append(c.requests, r.Method+" "+r.URL.Path)
		send(w, http.StatusOK, []byte(`{"acknowledged":true}`))
	default: // numbers and truth values come back as texts, nested
		life := map[string]string{}
		for k, v := range c.indices[name] {
			text := fmt.Sprint(v)
			if f, ok := v.(float64); ok {
				text = fmt.Sprint(int64(f))
			}
			life[strings.TrimPrefix(k, "index.lifecycle.")] = text
		}
		settings := map[string]any{}
		if len(life) > 0 {
			settings["index"] = map[string]any{"lifecycle": life}
		}
		answer, _ := json.Marshal(map[string]any{name: map[string]any{"settings": settings}})
		send(w, http.StatusOK, answer)
	}
}

// Of OpenSearch's Index State Management: where its policies are, and the number that a change of one has to name.
const (
	ismPath = "/_plugins/_ism/policies/"
	ismSeq  = "if_seq_no=7&if_primary_term=2"
)

func (c *Cluster) ism(w http.ResponseWriter, path string) {
	var put struct{ Policy json.RawMessage }
	if json.Unmarshal(c.things[path], &put) != nil {
		send(w, http.StatusNotFound, []byte(`{"error":{"type":"status_exception","reason":"Policy not found"},"status":404}`))
		return
	}
	send(w, http.StatusOK, fmt.Appendf(nil, `{"_id":"x","_version":1,"_primary_term":2,"_seq_no":7,"policy":%s}`, put.Policy))
}

// get answers with what was put, in the form of its kind.
func (c *Cluster) get(w http.ResponseWriter, path string) {
	at := strings.LastIndex(path, "/") + 1
	dir, names := path[:at], strings.Split(path[at:], ",")
	var list []any
	byName := map[string]any{}
	for _, p := range slices.Sorted(maps.Keys(c.things)) {
		name, ok := strings.CutPrefix(p, dir)
		if !ok || !slices.ContainsFunc(names, func(n string) bool {
			prefix, wild := strings.CutSuffix(n, "*")
			return n == name || wild && strings.HasPrefix(name, prefix)
		}) {
			continue
		}
		kind := strings.Trim(dir, "/_")
		list = append(list, map[string]any{"name": name, kind: c.things[p]})
		byName[name] = c.things[p]
		if kind == "ilm/policy" {
			var policy map[string]any
			_ = json.Unmarshal(c.things[p], &policy)
			policy["version"], policy["modified_date"] = 1, "2026-11-26T00:00:00.000Z"
			byName[name] = policy
		}
	}
	status, answer := http.StatusOK, any(byName)
	switch {
	case strings.HasSuffix(dir, "_template/") && len(list) == 0:
		status, answer = http.StatusNotFound, map[string]any{"error": map[string]any{"type": "resource_not_found_exception"}, "status": 404}
	case strings.HasSuffix(dir, "_template/"):
		answer = map[string]any{strings.Trim(dir, "/_") + "s": list}
	case dir == "/_security/role/" && len(byName) == 0:
		status = http.StatusNotFound // and {}
	}
	text, _ := json.Marshal(answer)
	send(w, status, text)
}
