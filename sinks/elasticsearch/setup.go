package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/elastic/go-elasticsearch/v8/esapi"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
)

// A Change is what Setup did about one template.
type Change struct {
	Template
	Did string // "created", "updated" or "unchanged"
}

// A Setup is what was found and done.
type Setup struct {
	Changes []Change
	// Exact is false where the cluster cannot cut text into words as search.AppendWords defines them, so that full text
	// finds words joined to digits differently than SQLite does.
	Exact bool
}

// Install puts the templates of c, for the kinds of m, into the cluster, and leaves alone those that are there already. What a template says
// holds for indices made after it.
func Install(ctx context.Context, c Config, m *activity.Model) (Setup, error) {
	cl, err := newClient(c)
	if err != nil {
		return Setup{}, err
	}
	s, err := cl.install(ctx, c, m, true)
	return s, errors.Join(err, cl.close())
}

// install makes the templates that are missing, and where update is true brings the others up to date.
func (c *client) install(ctx context.Context, cfg Config, m *activity.Model, update bool) (Setup, error) {
	there, err := c.fingerprints(ctx, cfg.IndexPrefix)
	if err != nil {
		return Setup{}, err
	}
	var s Setup
	if s.Exact, err = c.canAnalyse(ctx); err != nil {
		return s, err
	}
	for _, t := range cfg.Templates(m, s.Exact) {
		found, ok := there[t.Kind+"/"+t.Name]
		did := "created"
		switch {
		case ok && (found == t.fingerprint() || !update):
			s.Changes = append(s.Changes, Change{t, "unchanged"})
			continue
		case ok:
			did = "updated"
		}
		if err := c.put(ctx, t); err != nil {
			return s, err
		}
		s.Changes = append(s.Changes, Change{t, did})
	}
	return s, nil
}

func (c *client) put(ctx context.Context, t Template) error {
	op, body := "put the "+t.Kind+" "+t.Name, bytes.NewReader(t.Body)
	var r esapi.Request = esapi.IndicesPutIndexTemplateRequest{Name: t.Name, Body: body}
	if t.Kind == "component_template" {
		r = esapi.ClusterPutComponentTemplateRequest{Name: t.Name, Body: body}
	}
	_, err := c.call(ctx, op, r)
	return err
}

type meta struct {
	Meta struct {
		Fingerprint string `json:"fingerprint"`
	} `json:"_meta"`
}

func (t Template) fingerprint() string {
	var m meta
	_ = json.Unmarshal(t.Body, &m) // our own
	return m.Meta.Fingerprint
}

// fingerprints returns those of the templates that are there, by kind/name.
func (c *client) fingerprints(ctx context.Context, prefix string) (map[string]string, error) {
	const op = "look at the templates"
	there := map[string]string{}
	for kind, r := range map[string]esapi.Request{
		"component_template": esapi.ClusterGetComponentTemplateRequest{Name: []string{prefix + "-common"}},
		"index_template":     esapi.IndicesGetIndexTemplateRequest{Name: prefix + "-*"},
	} {
		answer, err := c.call(ctx, op, r)
		if e := (*Error)(nil); errors.As(err, &e) && e.Status == http.StatusNotFound && (e.Type == "" || e.Type == "resource_not_found_exception") {
			continue
		} else if err != nil {
			return nil, err
		}
		var got struct {
			Component []struct {
				Name string `json:"name"`
				Body meta   `json:"component_template"`
			} `json:"component_templates"`
			Index []struct {
				Name string `json:"name"`
				Body meta   `json:"index_template"`
			} `json:"index_templates"`
		}
		if json.Unmarshal(answer, &got) != nil {
			return nil, fmt.Errorf("%s: %w", op, errAnswer)
		}
		for _, t := range got.Component {
			there[kind+"/"+t.Name] = t.Body.Meta.Fingerprint
		}
		for _, t := range got.Index {
			there[kind+"/"+t.Name] = t.Body.Meta.Fingerprint
		}
	}
	return there, nil
}

// canAnalyse asks whether the cluster has what analysis() is made of. One that has rights to refuse the question is no bare
// node.
func (c *client) canAnalyse(ctx context.Context) (bool, error) {
	a := analysis()
	body := encode(object{
		"text":      "A-1",
		"tokenizer": a["tokenizer"].(object)["activity_words"],
		"filter":    a["analyzer"].(object)["activity_words"].(object)["filter"],
	})
	_, err := c.call(ctx, "try the analyser", esapi.IndicesAnalyzeRequest{Body: bytes.NewReader(body)})
	if e := (*Error)(nil); errors.As(err, &e) && (e.Status == http.StatusBadRequest || e.Status == http.StatusForbidden) {
		return e.Status == http.StatusForbidden, nil
	}
	return err == nil, err
}

// prepare makes the templates before the first request, where they are missing and may be made. It fails only where the
// cluster cannot be asked; then Write has failed, and the next one tries again.
func (s *Sink) prepare(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ready {
		return nil
	}
	done, err := s.client.install(ctx, s.c, s.model, false)
	var e *Error
	switch {
	case err == nil:
		for _, c := range done.Changes {
			if c.Did == "created" {
				s.log.Info("template made", zap.String("kind", c.Kind), zap.String("name", c.Name))
			}
		}
	case errors.As(err, &e) && e.Status < 500 && e.Status != http.StatusTooManyRequests && e.Status != http.StatusUnauthorized:
		s.log.Warn("the index templates may be missing: somebody who may make them runs `activity-agent setup`", zap.Error(err))
	default:
		return err
	}
	s.ready = true
	return nil
}
