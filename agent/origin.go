package agent

import (
	"strings"

	"github.com/truledgr/activity-agent/pipeline"
)

// Environment variables that the downward API fills; deploy/ shows how.
const (
	envNamespace = "POD_NAMESPACE"
	envPod       = "POD_NAME"
	envPodUID    = "POD_UID"
	envNode      = "NODE_NAME"
	envContainer = "CONTAINER_NAME"
)

// DefaultID is the agent's id where none is configured: namespace/pod/container, or the host name outside Kubernetes.
func DefaultID(getenv func(string) string, hostname string) string {
	if getenv(envPod) == "" {
		return hostname
	}
	parts := []string{getenv(envNamespace), getenv(envPod)}
	if c := getenv(envContainer); c != "" {
		parts = append(parts, c)
	}
	return strings.Join(parts, "/")
}

// OriginOf collects what documents say about where the agent runs.
func OriginOf(c Config, getenv func(string) string, hostname string) pipeline.Origin {
	return pipeline.Origin{
		ServiceName: c.Service.Name, ServiceVersion: c.Service.Version, ServiceEnvironment: c.Service.Environment,
		HostName:  hostname,
		Namespace: getenv(envNamespace), PodName: getenv(envPod), PodUID: getenv(envPodUID), NodeName: getenv(envNode),
		Container: getenv(envContainer),
	}
}
