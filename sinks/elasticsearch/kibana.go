package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
)

// A kibana is Kibana's HTTP API, with the credentials and certificates of the cluster.
type kibana struct {
	base   string // without a slash at its end; may lead to a space: https://kibana:5601/s/audit
	client *client
	http   *http.Client
}

// CheckKibana says how to write the address of Kibana, "" if it is right. It does not repeat it: it may hold a password.
func CheckKibana(address string) (advice string) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.Fragment != "":
		return "write it as https://kibana:5601, or https://kibana:5601/s/SPACE"
	case u.User != nil:
		return "write the user and password into store.elasticsearch, where they are masked"
	}
	return ""
}

// marker is the saved object that says which objects were imported last: a tag, since Kibana changes all others when it
// migrates them to its own version, so that they cannot be compared.
func marker(prefix, print string) object {
	return object{
		"type": "tag", "id": prefix + "-setup", "managed": false, "references": []object{},
		"coreMigrationVersion": "8.8.0", "typeMigrationVersion": "8.0.0",
		"attributes": object{"name": prefix, "color": "#6092C0", "description": "saved objects of activity-agent " + print},
	}
}

// ImportObjects puts saved objects, one JSON object a line, into Kibana, in place of those of the same ids. Where all of
// them are there from such an import of the same objects, nothing is done, so that what people have changed stays until
// there are others. lacking is true where nothing at the address answers as Kibana does.
func ImportObjects(ctx context.Context, c Config, address string, objects []byte) (done Change, lacking bool, err error) {
	cl, err := newClient(c)
	if err != nil {
		return done, false, err
	}
	defer func() { _ = cl.close() }()
	k := &kibana{strings.TrimRight(address, "/"), cl, &http.Client{
		Transport:     cl.http,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // the key goes nowhere else
	}}
	ids, err := identities(objects)
	if err != nil {
		return done, false, err
	}
	m := marker(c.IndexPrefix, fingerprint(object{"objects": string(objects)}))
	done = Change{Template{Kind: "saved_objects", Name: fmt.Sprintf("of %s (%d)", c.IndexPrefix, len(ids))}, "unchanged"}
	had, same, err := k.has(ctx, append(ids, object{"type": m["type"], "id": m["id"]}), m)
	if e := (*Error)(nil); errors.As(err, &e) && (e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed) {
		return done, true, nil
	}
	if err != nil || same {
		return done, false, err
	}
	if done.Did = "created"; had {
		done.Did = "updated"
	}
	return done, false, k.put(ctx, append(append(bytes.TrimSpace(objects), '\n'), encode(m)...), len(ids)+1)
}

// identities returns the types and ids of the objects.
func identities(objects []byte) (out []object, err error) {
	d := json.NewDecoder(bytes.NewReader(objects))
	for {
		var o struct{ Type, ID string }
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil || o.Type == "" || o.ID == "" {
			return nil, fmt.Errorf("saved object %d: it is no JSON object with a type and an id", len(out)+1)
		}
		out = append(out, object{"type": o.Type, "id": o.ID})
	}
}

// has asks for all objects: had says that they are there, and same that the marker is m, too. An export of what is not there
// is a bad request.
func (k *kibana) has(ctx context.Context, ids []object, m object) (had, same bool, err error) {
	answer, err := k.call(ctx, "look at Kibana's saved objects", "/api/saved_objects/_export", "application/json",
		encode(object{"objects": ids, "excludeExportDetails": true}))
	if e := (*Error)(nil); errors.As(err, &e) && e.Status == http.StatusBadRequest {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	for line := range bytes.Lines(answer) {
		var o struct {
			ID         string
			Attributes struct{ Description string }
		}
		if json.Unmarshal(line, &o) == nil && o.ID == m["id"] {
			return true, o.Attributes.Description == m["attributes"].(object)["description"], nil
		}
	}
	return true, false, nil
}

// put imports the objects.
func (k *kibana) put(ctx context.Context, objects []byte, n int) error {
	const op = "import Kibana's saved objects"
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("file", "activities.ndjson") // the ending is checked
	if err == nil {
		_, err = file.Write(objects)
	}
	if err = errors.Join(err, form.Close()); err != nil {
		return err
	}
	answer, err := k.call(ctx, op, "/api/saved_objects/_import?overwrite=true", form.FormDataContentType(), body.Bytes())
	if err != nil {
		return err
	}
	var got struct {
		Success      bool `json:"success"`
		SuccessCount int  `json:"successCount"`
		Errors       []struct {
			Type  string                `json:"type"`
			ID    string                `json:"id"`
			Error struct{ Type string } `json:"error"`
		} `json:"errors"`
	}
	if json.Unmarshal(answer, &got) != nil {
		return fmt.Errorf("%s: %w", op, errAnswer)
	}
	if len(got.Errors) > 0 {
		e := got.Errors[0]
		return fmt.Errorf("%s: %d of %d were refused, the first (%s %s) for %s: is Kibana older than 8.18?", op, len(got.Errors), n, e.Type, e.ID, e.Error.Type)
	}
	if !got.Success || got.SuccessCount != n {
		return fmt.Errorf("%s: Kibana took %d of %d", op, got.SuccessCount, n)
	}
	return nil
}

// call posts one request. A status from 400 on is an *Error.
func (k *kibana) call(ctx context.Context, op, path, kind string, body []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, k.client.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, k.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New(op + ": the address of Kibana is none")
	}
	auth, err := k.client.secrets.authorization()
	if err != nil {
		return nil, err
	}
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	req.Header.Set("Content-Type", kind)
	req.Header.Set("kbn-xsrf", "true") // Kibana refuses what a browser could be made to send
	res, err := k.http.Do(req)
	if err != nil {
		return nil, k.failed(ctx, op, err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := readAnswer(nil, res.Body, nil)
	if err != nil {
		return nil, k.failed(ctx, op, err)
	}
	if res.StatusCode >= 400 {
		return nil, &Error{Op: op, Status: res.StatusCode, Of: "Kibana"}
	}
	return answer, nil
}

func (k *kibana) failed(ctx context.Context, op string, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%s: no answer from Kibana within %v: %w", op, k.client.timeout, context.DeadlineExceeded)
	case !ofTheWay(err):
		err = errors.New("what answers does not speak HTTP, or breaks off; check the address")
	}
	return fmt.Errorf("%s: cannot reach Kibana: %w", op, err)
}
