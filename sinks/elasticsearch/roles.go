package elasticsearch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// Roles returns the roles for who has to do with the indices of c: -writer for the agent, -reader for people and the read
// API, -admin for setup. None may do more than it needs.
func (c Config) Roles() []Template {
	on := func(privileges ...string) []object { return []object{c.allowed(privileges)} }
	kibana := func(privileges ...string) []object {
		return []object{{"application": "kibana-.kibana", "privileges": privileges, "resources": []string{"*"}}}
	}
	return []Template{
		role(c.IndexPrefix+"-writer", object{"cluster": []string{}, "indices": on(c.writing()...)}),
		role(c.IndexPrefix+"-reader", object{
			"cluster": []string{}, "indices": on("read", "view_index_metadata"),
			"applications": kibana("feature_discover.read", "feature_dashboard.read", "feature_visualize.read"),
		}),
		role(c.IndexPrefix+"-admin", object{
			"cluster": []string{"manage_index_templates", "manage_ilm", "monitor"}, "indices": on("read", "view_index_metadata", "manage"),
			"applications": kibana("all"),
		}),
	}
}

// allowed grants privileges on the indices, and on their alias, by which the agent and setup know them.
func (c Config) allowed(privileges []string) object {
	return object{"names": []string{c.IndexPrefix + "-*", c.IndexPrefix}, "privileges": privileges}
}

// writing are the privileges of the agent itself.
func (c Config) writing() []string {
	p := []string{"create_doc", "auto_configure"}
	if c.Expiry == ExpiryAgent {
		p = append(p, "delete_index", "view_index_metadata", "monitor")
	}
	return p
}

// role is template with what roles call _meta.
func role(name string, body object) Template {
	t := template("role", name, body)
	body["metadata"] = body["_meta"]
	delete(body, "_meta")
	t.Body = encode(body)
	return t
}

// AgentKey returns the request for the API key of an agent: it may do what the role -writer may.
func (c Config) AgentKey() Template {
	return Template{Kind: "api_key", Name: c.IndexPrefix + "-writer", Body: encode(object{
		"name": "activity-agent", "metadata": object{"managed_by": "activity-agent"},
		"role_descriptors": object{"writer": object{
			"cluster": []string{}, "indices": []object{c.allowed(c.writing())},
		}},
	})}
}

// CreateAPIKey makes an API key for an agent, and returns it as it goes into store.elasticsearch.api_key. Each call makes
// another one.
func CreateAPIKey(ctx context.Context, c Config) (string, error) {
	const op = "make the API key"
	cl, err := newClient(c)
	if err != nil {
		return "", err
	}
	defer func() { _ = cl.close() }()
	answer, err := cl.call(ctx, op, esapi.SecurityCreateAPIKeyRequest{Body: bytes.NewReader(c.AgentKey().Body)})
	if err != nil {
		return "", err
	}
	var got struct{ Encoded string }
	if json.Unmarshal(answer, &got) != nil || got.Encoded == "" {
		return "", fmt.Errorf("%s: %w", op, errAnswer)
	}
	return got.Encoded, nil
}

// roles returns the fingerprints of the roles that are there; absent where the cluster has no security.
func (c *client) roles(ctx context.Context, wanted []Template) (there map[string]found, absent bool, err error) {
	const op = "look at the roles"
	var names []string
	for _, t := range wanted {
		names = append(names, t.Name)
	}
	answer, err := c.call(ctx, op, request{method: http.MethodGet, path: "/_security/role/" + strings.Join(names, ",")})
	switch missing, unknown := absence(err); {
	case unknown:
		return nil, true, nil
	case missing:
		return nil, false, nil
	case err != nil:
		return nil, false, err
	}
	var got map[string]struct {
		Metadata struct {
			Fingerprint string `json:"fingerprint"`
		} `json:"metadata"`
	}
	if json.Unmarshal(answer, &got) != nil {
		return nil, false, fmt.Errorf("%s: %w", op, errAnswer)
	}
	there = map[string]found{}
	for name, r := range got {
		there["role/"+name] = found{print: r.Metadata.Fingerprint}
	}
	return there, false, nil
}
