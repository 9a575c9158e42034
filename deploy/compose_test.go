package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/truledgr/activity-agent/config"
)

// composed loads compose.yaml as docker compose does: interpolated, merged, and checked against the specification's schema.
func composed(t *testing.T, environment ...string) (*types.Project, error) {
	t.Helper()
	o, err := cli.NewProjectOptions([]string{"compose.yaml"}, cli.WithEnv(environment), cli.WithConsistency(true), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	return o.LoadProject(t.Context())
}

func compose(t *testing.T) *types.Project {
	t.Helper()
	p, err := composed(t, "ELASTIC_PASSWORD=elastic-secret", "KIBANA_PASSWORD=kibana-secret")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestComposeAsksForPasswords(t *testing.T) {
	t.Parallel()
	if _, err := composed(t); err == nil || !strings.Contains(err.Error(), "PASSWORD") {
		t.Errorf("got error %v, want one that names the password", err)
	}
}

// ours are the services of the agent's image.
func ours(p *types.Project) []types.ServiceConfig {
	var all []types.ServiceConfig
	for _, s := range p.Services {
		if s.Image == "activity-agent:compose" {
			all = append(all, s)
		}
	}
	return all
}

func TestComposeKeepsTheRules(t *testing.T) {
	t.Parallel()
	p := compose(t)
	if n := len(ours(p)); n != 3 {
		t.Errorf("got %d services of the agent, want setup, run and serve", n)
	}
	for _, s := range p.Services {
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: the port %d is open to the network", s.Name, port.Target)
			}
		}
		if s.Privileged || s.Image == "" || strings.HasSuffix(s.Image, ":latest") {
			t.Errorf("%s is privileged, or of no certain version", s.Name)
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil || !v.ReadOnly {
				t.Errorf("%s mounts %s, which is not there or writable", s.Name, v.Source)
			}
		}
	}
	for _, s := range ours(p) {
		if s.User != "65532:65532" || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.MemLimit != 128<<20 {
			t.Errorf("%s may do more than it needs", s.Name)
		}
		if len(s.Environment) > 0 {
			t.Errorf("%s has secrets or settings in its environment: %v", s.Name, s.Environment)
		}
	}
	es, kibana := p.Services["elasticsearch"].Environment, p.Services["kibana"].Environment
	for _, name := range []string{"xpack.security.enabled", "xpack.security.http.ssl.enabled", "xpack.security.transport.ssl.enabled"} {
		if v := es[name]; v == nil || *v != "true" {
			t.Errorf("Elasticsearch's %s is not true", name)
		}
	}
	if *kibana["ELASTICSEARCH_USERNAME"] != "kibana_system" || *kibana["SERVER_SSL_ENABLED"] != "true" {
		t.Error("Kibana is no user of its own, or has no certificate")
	}
}

func TestComposeStartsInOrder(t *testing.T) {
	t.Parallel()
	p := compose(t)
	for service, on := range map[string]map[string]string{
		"elasticsearch": {"certificates": types.ServiceConditionCompletedSuccessfully},
		"keys":          {"elasticsearch": types.ServiceConditionHealthy},
		"kibana":        {"keys": types.ServiceConditionCompletedSuccessfully},
		"dashboards":    {"kibana": types.ServiceConditionHealthy},
		"templates":     {"keys": types.ServiceConditionCompletedSuccessfully},
		"agent":         {"templates": types.ServiceConditionCompletedSuccessfully},
		"api":           {"templates": types.ServiceConditionCompletedSuccessfully},
	} {
		for before, condition := range on {
			if got := p.Services[service].DependsOn[before].Condition; got != condition {
				t.Errorf("%s waits for %s as %q, want %q", service, before, got, condition)
			}
		}
	}
}

// TestComposeConfigsWork reads the configurations as the agent does, and looks for each path of them among the mounts.
func TestComposeConfigsWork(t *testing.T) {
	t.Parallel()
	keys := map[string]string{"templates": "/keys/setup", "agent": "/keys/writer", "api": "/keys/reader"}
	script, err := os.ReadFile(filepath.Join("compose", "keys.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range ours(compose(t)) {
		mounts := map[string]string{}
		for _, v := range s.Volumes {
			mounts[v.Target] = v.Source
		}
		content, err := os.ReadFile(mounts["/etc/activity-agent/agent.yaml"])
		if err != nil {
			t.Fatal(err)
		}
		c, err := config.Parse("agent.yaml", content, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Errorf("%s: %v", s.Name, err)
			continue
		}
		es := c.Store.Elasticsearch
		if es.APIKeyFile != keys[s.Name] || mounts["/keys"] == "" || !strings.Contains(string(script), "\nkey "+filepath.Base(es.APIKeyFile)+" ") {
			t.Errorf("%s has the key %s, want %s, which keys.sh makes", s.Name, es.APIKeyFile, keys[s.Name])
		}
		if es.CACert != "/certs/ca.crt" || mounts["/certs"] == "" || es.Addresses[0] != "https://elasticsearch:9200" {
			t.Errorf("%s does not check Elasticsearch's certificate", s.Name)
		}
	}
}
