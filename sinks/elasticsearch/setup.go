package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/elastic/go-elasticsearch/v8/esapi"
	"go.uber.org/zap"

	"github.com/truledgr/activity-agent/activity"
)

// A Change is what Install did about one of the things that it puts into a cluster.
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
	// Lacking names what was wanted and the cluster does not have: "life-cycle policies", "roles".
	Lacking []string
}

// Wanted is what setup makes beyond the templates, which the agent can do without.
type Wanted struct {
	Model *activity.Model         // the kinds and fields there are; nil for the built-in ones
	Days  func(activity.Kind) int // how long activities of a kind are kept; 0 is for ever
	Roles bool
}

// Wanted returns everything that Install puts into a cluster that has everything, in that order.
func (c Config) Wanted(w Wanted) []Template {
	lives := c.lives(w.Model, w.Days)
	var out []Template
	for _, l := range lives {
		out = append(out, l.templates(c.Flavor)...)
	}
	out = append(out, c.templates(w.Model, true, lives)...)
	if w.Roles {
		out = append(out, c.Roles()...)
	}
	return out
}

// Install puts what is wanted into the cluster, as far as that has it, and leaves alone what is there already. What a
// template says holds for indices made after it; indices that are there get their life cycle.
func Install(ctx context.Context, c Config, w Wanted) (Setup, error) {
	cl, err := newClient(c)
	if err != nil {
		return Setup{}, err
	}
	s, err := cl.installAll(ctx, c, w)
	return s, errors.Join(err, cl.close())
}

func (c *client) installAll(ctx context.Context, cfg Config, w Wanted) (Setup, error) {
	var s Setup
	lives := cfg.lives(w.Model, w.Days)
	there, absent, err := c.policies(ctx, cfg.Flavor, cfg.IndexPrefix, lives)
	if err != nil {
		return s, err
	}
	if absent && len(lives) > 0 {
		s.Lacking, lives = append(s.Lacking, "life-cycle policies"), nil
	}
	templates, err := c.fingerprints(ctx, cfg.IndexPrefix)
	if err != nil {
		return s, err
	}
	if there == nil {
		there = templates
	}
	maps.Copy(there, templates)
	if s.Exact, err = c.canAnalyse(ctx); err != nil {
		return s, err
	}
	for _, l := range lives {
		if err := c.putAll(ctx, &s, l.templates(cfg.Flavor), there, true); err != nil {
			return s, err
		}
	}
	if err := c.putAll(ctx, &s, cfg.templates(w.Model, s.Exact, lives), there, true); err != nil {
		return s, err
	}
	if w.Roles {
		if err := c.installRoles(ctx, &s, cfg.Roles()); err != nil {
			return s, err
		}
	}
	if len(lives) == 0 || cfg.Flavor == FlavorOpenSearch {
		return s, nil
	}
	adopted, err := c.adopt(ctx, cfg.target(w.Model), lives)
	s.Changes = append(s.Changes, adopted...)
	return s, err
}

func (c *client) installRoles(ctx context.Context, s *Setup, roles []Template) error {
	there, absent, err := c.roles(ctx, roles)
	switch {
	case err != nil:
		return err
	case absent:
		s.Lacking = append(s.Lacking, "roles")
		return nil
	}
	return c.putAll(ctx, s, roles, there, true)
}

// install makes the templates that are missing, for an agent that starts. It has no right to more, and needs none.
func (c *client) install(ctx context.Context, cfg Config, m *activity.Model) (s Setup, err error) {
	there, err := c.fingerprints(ctx, cfg.IndexPrefix)
	if err != nil {
		return s, err
	}
	if s.Exact, err = c.canAnalyse(ctx); err != nil {
		return s, err
	}
	return s, c.putAll(ctx, &s, cfg.Templates(m, s.Exact), there, false)
}

// found is what is known of something that is there.
type found struct {
	print string // its fingerprint
	query string // that has to come with the request that changes it
}

// putAll puts what is missing, and where update is true what is different.
func (c *client) putAll(ctx context.Context, s *Setup, wanted []Template, there map[string]found, update bool) error {
	for _, t := range wanted {
		f, ok := there[t.Kind+"/"+t.Name]
		did := "created"
		switch {
		case ok && (f.print == t.print || t.print == "" || !update):
			s.Changes = append(s.Changes, Change{t, "unchanged"})
			continue
		case ok:
			did = "updated"
		}
		method, path := t.Request()
		op := "put the " + strings.ReplaceAll(t.Kind, "_", " ") + " " + t.Name
		if _, err := c.call(ctx, op, request{method, path + f.query, t.Body}); err != nil {
			return err
		}
		s.Changes = append(s.Changes, Change{t, did})
	}
	return nil
}

type meta struct {
	Meta struct {
		Fingerprint string `json:"fingerprint"`
	} `json:"_meta"`
}

// fingerprints returns those of the templates that are there, by kind/name.
func (c *client) fingerprints(ctx context.Context, prefix string) (map[string]found, error) {
	const op = "look at the templates"
	there := map[string]found{}
	for kind, r := range map[string]esapi.Request{
		"component_template": esapi.ClusterGetComponentTemplateRequest{Name: []string{prefix + "*"}},
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
			there[kind+"/"+t.Name] = found{print: t.Body.Meta.Fingerprint}
		}
		for _, t := range got.Index {
			there[kind+"/"+t.Name] = found{print: t.Body.Meta.Fingerprint}
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
	done, err := s.client.install(ctx, s.c, s.model)
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
