package scripted

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// A Kibana answers as the saved-objects API of Kibana does, by its documentation: _export and _import, under an optional
// space. Like Kibana it changes objects to its own version when it takes them.
type Kibana struct {
	*httptest.Server

	mu      sync.Mutex
	objects map[string]map[string]any // by type/id
	imports int
	key     string
	refuse  string // type of the error that every import gets for its first object
}

// StartKibana starts a Kibana that wants an API key, "" for none; it ends with the test.
func StartKibana(tb interface{ Cleanup(func()) }, key string) *Kibana {
	k := &Kibana{objects: map[string]map[string]any{}, key: key}
	k.Server = httptest.NewServer(http.HandlerFunc(k.serve))
	tb.Cleanup(k.Close)
	return k
}

// Imports returns how many imports there were.
func (k *Kibana) Imports() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.imports
}

// Objects returns how many objects there are.
func (k *Kibana) Objects() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.objects)
}

// Delete removes an object, as people do.
func (k *Kibana) Delete(typ, id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.objects, typ+"/"+id)
}

// Refuse makes the first object of every import be refused with an error of that type.
func (k *Kibana) Refuse(kind string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refuse = kind
}

func (k *Kibana) serve(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	defer k.mu.Unlock()
	say := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("kbn-name", "kibana")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v) // a client that is gone is its own business
	}
	bad := func(status int, message string) {
		say(status, map[string]any{"statusCode": status, "error": http.StatusText(status), "message": message})
	}
	_, path, _ := strings.Cut(r.URL.Path, "/api/saved_objects/")
	switch {
	case k.key != "" && r.Header.Get("Authorization") != "ApiKey "+k.key:
		bad(http.StatusUnauthorized, "Unauthorized")
	case r.Header.Get("kbn-xsrf") == "":
		bad(http.StatusBadRequest, "Request must contain a kbn-xsrf header.")
	case r.Method == http.MethodPost && path == "_export":
		k.export(w, r, bad)
	case r.Method == http.MethodPost && path == "_import":
		k.take(r, say, bad)
	default:
		bad(http.StatusNotFound, "Not Found")
	}
}

func (k *Kibana) export(w http.ResponseWriter, r *http.Request, bad func(int, string)) {
	var ask struct {
		Objects              []struct{ Type, ID string }
		ExcludeExportDetails bool
	}
	if json.NewDecoder(r.Body).Decode(&ask) != nil || !ask.ExcludeExportDetails {
		bad(http.StatusBadRequest, "[request body]: expected a plain object value")
		return
	}
	var out bytes.Buffer
	for _, o := range ask.Objects {
		found := k.objects[o.Type+"/"+o.ID]
		if found == nil {
			bad(http.StatusBadRequest, "Error fetching objects to export")
			return
		}
		_ = json.NewEncoder(&out).Encode(found)
	}
	w.Header().Set("Content-Type", "application/ndjson")
	_, _ = w.Write(out.Bytes())
}

func (k *Kibana) take(r *http.Request, say func(int, any), bad func(int, string)) {
	file, head, err := r.FormFile("file")
	if err != nil || !strings.HasSuffix(head.Filename, ".ndjson") {
		bad(http.StatusUnsupportedMediaType, "Invalid file extension")
		return
	}
	text, _ := io.ReadAll(file)
	k.imports++
	var results, errs []any
	for line := range bytes.Lines(text) {
		var o map[string]any
		if json.Unmarshal(line, &o) != nil {
			bad(http.StatusBadRequest, "Unexpected token in JSON")
			return
		}
		at := fmt.Sprint(o["type"], "/", o["id"])
		switch {
		case k.refuse != "" && len(errs) == 0:
			errs = append(errs, map[string]any{"type": o["type"], "id": o["id"], "title": "swordfish", "error": map[string]any{"type": k.refuse}})
			continue
		case k.objects[at] != nil && r.URL.Query().Get("overwrite") != "true":
			errs = append(errs, map[string]any{"type": o["type"], "id": o["id"], "error": map[string]any{"type": "conflict"}})
			continue
		}
		o["typeMigrationVersion"], o["updated_at"] = "99.0.0", "2026-11-26T00:00:00.000Z"
		k.objects[at] = o
		results = append(results, map[string]any{"type": o["type"], "id": o["id"]})
	}
	answer := map[string]any{"success": len(errs) == 0, "successCount": len(results), "successResults": results, "warnings": []any{}}
	if len(errs) > 0 {
		answer["errors"] = errs
	}
	say(http.StatusOK, answer)
}
