// Package deploy holds what puts the agent where it runs. Its tests read the manifests as strictly as the Kubernetes API
// does, and hold them to the rules that make a sidecar harmless.
package deploy

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/truledgr/activity-agent/config"
)

const agentName = "activity-agent"

// A manifest is what one file holds, by kind.
type manifest struct {
	deployments []appsv1.Deployment
	configMaps  []corev1.ConfigMap
}

// read decodes a file strictly, with the decoder that the API server uses: an unknown, misspelt or repeated key fails the
// test, as does a kind without rules here.
func read(t *testing.T, file string) manifest {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	kinds := runtime.NewScheme()
	if err := errors.Join(appsv1.AddToScheme(kinds), corev1.AddToScheme(kinds)); err != nil {
		t.Fatal(err)
	}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, kinds, kinds, json.SerializerOptions{Yaml: true, Strict: true})
	var m manifest
	for _, document := range regexp.MustCompile(`(?m)^---\n`).Split(string(content), -1) {
		object, kind, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		switch object := object.(type) {
		case *appsv1.Deployment:
			m.deployments = append(m.deployments, *object)
		case *corev1.ConfigMap:
			m.configMaps = append(m.configMaps, *object)
		default:
			t.Fatalf("%s: no test knows %s", file, kind)
		}
	}
	return m
}

func TestManifestsDecodeStrictly(t *testing.T) {
	t.Parallel()
	found := 0
	err := filepath.WalkDir(".", func(file string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(file) == ".yaml" {
			read(t, file)
			found++
		}
		return err
	})
	if err != nil || found == 0 {
		t.Errorf("got %d manifests and error %v, want some and none", found, err)
	}
}

// A sidecar is the example with its parts at hand.
type sidecar struct {
	pod    corev1.PodSpec
	agent  corev1.Container
	app    corev1.Container
	config string
}

func readSidecar(t *testing.T) sidecar {
	t.Helper()
	m := read(t, filepath.Join("kubernetes", "sidecar.yaml"))
	if len(m.deployments) != 1 || len(m.configMaps) != 1 {
		t.Fatalf("got %d deployments and %d config maps, want one of each", len(m.deployments), len(m.configMaps))
	}
	pod := m.deployments[0].Spec.Template.Spec
	if len(pod.InitContainers) != 1 || len(pod.Containers) != 1 || pod.InitContainers[0].Name != agentName {
		t.Fatalf("got %d init containers and %d containers, want the agent alone and the application alone", len(pod.InitContainers), len(pod.Containers))
	}
	return sidecar{pod, pod.InitContainers[0], pod.Containers[0], m.configMaps[0].Data["agent.yaml"]}
}

// mount returns where a container mounts the volume that a test of its source is true for.
func (s sidecar) mount(t *testing.T, c corev1.Container, is func(corev1.Volume) bool) (corev1.VolumeMount, corev1.Volume) {
	t.Helper()
	for _, m := range c.VolumeMounts {
		i := slices.IndexFunc(s.pod.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name })
		if i < 0 {
			t.Fatalf("%s mounts %s, which is no volume", c.Name, m.Name)
		}
		if is(s.pod.Volumes[i]) {
			return m, s.pod.Volumes[i]
		}
	}
	t.Fatalf("%s mounts no such volume", c.Name)
	return corev1.VolumeMount{}, corev1.Volume{}
}

func named(name string) func(corev1.Volume) bool {
	return func(v corev1.Volume) bool { return v.Name == name }
}

func (s sidecar) env(name string) *corev1.EnvVar {
	i := slices.IndexFunc(s.agent.Env, func(e corev1.EnvVar) bool { return e.Name == name })
	if i < 0 {
		return nil
	}
	return &s.agent.Env[i]
}

func is[T comparable](p *T, want T) bool { return p != nil && *p == want }

func TestSidecarIsNative(t *testing.T) {
	t.Parallel()
	if s := readSidecar(t); !is(s.agent.RestartPolicy, corev1.ContainerRestartPolicyAlways) {
		t.Error("the agent's restartPolicy is not Always: it would have to end before the application starts")
	}
}

// TestPodMeetsTheRestrictedStandard follows the "restricted" Pod Security Standard, and goes beyond it where an agent
// that needs nothing can.
func TestPodMeetsTheRestrictedStandard(t *testing.T) {
	t.Parallel()
	s := readSidecar(t)
	pod := s.pod.SecurityContext
	switch {
	case pod == nil:
		t.Fatal("the pod has no securityContext")
	case !is(pod.RunAsNonRoot, true) || pod.RunAsUser == nil || *pod.RunAsUser == 0:
		t.Error("the pod may run as root")
	case pod.SeccompProfile == nil || pod.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault:
		t.Error("the seccomp profile is not RuntimeDefault")
	case pod.FSGroup == nil:
		t.Error("without fsGroup, volumes belong to root")
	}
	if s.pod.HostNetwork || s.pod.HostPID || s.pod.HostIPC || is(s.pod.ShareProcessNamespace, true) {
		t.Error("the pod shares a namespace that it does not need")
	}
	if !is(s.pod.AutomountServiceAccountToken, false) {
		t.Error("the pod gets a service account token, which nothing in it uses")
	}
	for _, c := range []corev1.Container{s.agent, s.app} {
		sc := c.SecurityContext
		switch {
		case sc == nil:
			t.Errorf("%s has no securityContext", c.Name)
		case !is(sc.AllowPrivilegeEscalation, false):
			t.Errorf("%s may gain privileges", c.Name)
		case !is(sc.ReadOnlyRootFilesystem, true):
			t.Errorf("the root file system of %s is writable", c.Name)
		case sc.Capabilities == nil || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(sc.Capabilities.Add) > 0:
			t.Errorf("%s does not drop all capabilities", c.Name)
		case is(sc.Privileged, true) || sc.RunAsUser != nil || sc.RunAsNonRoot != nil || sc.SeccompProfile != nil:
			t.Errorf("%s overrides what the pod says", c.Name)
		}
	}
	for _, v := range s.pod.Volumes {
		if v.EmptyDir == nil && v.ConfigMap == nil && v.Secret == nil {
			t.Errorf("the volume %s is of a kind that a sidecar does not need", v.Name)
		}
	}
}

func TestStateAndLogsLieInVolumesWithALimit(t *testing.T) {
	t.Parallel()
	s := readSidecar(t)
	for _, name := range []string{"activity-agent-state", "logs"} {
		_, v := s.mount(t, s.agent, named(name))
		if v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil || v.EmptyDir.SizeLimit.Value() <= 0 {
			t.Errorf("%s is not an emptyDir with a sizeLimit", name)
		}
	}
	state, _ := s.mount(t, s.agent, named("activity-agent-state"))
	if state.ReadOnly {
		t.Error("the state is mounted read-only")
	}
	for _, m := range s.app.VolumeMounts {
		if m.Name != "logs" {
			t.Errorf("the application mounts the agent's %s", m.Name)
		}
	}
	read, _ := s.mount(t, s.agent, named("logs"))
	written, _ := s.mount(t, s.app, named("logs"))
	if !read.ReadOnly || written.ReadOnly {
		t.Errorf("logs are mounted read-only: agent %v, application %v; want true and false", read.ReadOnly, written.ReadOnly)
	}
}

func TestConfigAndSecretAreDirectories(t *testing.T) {
	t.Parallel()
	s := readSidecar(t)
	cm, v := s.mount(t, s.agent, func(v corev1.Volume) bool { return v.ConfigMap != nil })
	if cm.SubPath != "" || cm.SubPathExpr != "" || !cm.ReadOnly || len(v.ConfigMap.Items) > 0 {
		t.Error("the config map is not mounted whole: a file by subPath is never updated")
	}
	if want := []string{"run", "-c", path.Join(cm.MountPath, "agent.yaml")}; !slices.Equal(s.agent.Args, want) || len(s.agent.Command) > 0 {
		t.Errorf("got command %q and arguments %q, want the image's command and %q", s.agent.Command, s.agent.Args, want)
	}
	secret, v := s.mount(t, s.agent, func(v corev1.Volume) bool { return v.Secret != nil })
	if secret.SubPath != "" || secret.SubPathExpr != "" || !secret.ReadOnly {
		t.Error("the secret is not mounted whole: a new key would need a restart")
	}
	if mode := v.Secret.DefaultMode; mode == nil || *mode&0o027 != 0 {
		t.Error("others may read the secret, or its group may write it")
	}
	if !strings.Contains(s.config, path.Join(secret.MountPath, "api-key")) {
		t.Errorf("the configuration does not name the key in %s", secret.MountPath)
	}
	for _, e := range s.agent.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			t.Errorf("%s is a secret in the environment, where every child and crash report sees it", e.Name)
		}
	}
}

func TestDownwardAPINamesThePod(t *testing.T) {
	t.Parallel()
	s := readSidecar(t)
	for name, field := range map[string]string{
		"POD_NAMESPACE": "metadata.namespace", "POD_NAME": "metadata.name", "POD_UID": "metadata.uid",
		"NODE_NAME": "spec.nodeName", "POD_IP": "status.podIP",
	} {
		e := s.env(name)
		if e == nil || e.ValueFrom == nil || e.ValueFrom.FieldRef == nil || e.ValueFrom.FieldRef.FieldPath != field {
			t.Errorf("%s is not %s of the downward API", name, field)
		}
	}
	if e := s.env("CONTAINER_NAME"); e == nil || e.Value != s.app.Name {
		t.Errorf("CONTAINER_NAME is not %q, the container that the logs come from", s.app.Name)
	}
}

func TestProbesFollowTheAgentAlone(t *testing.T) {
	t.Parallel()
	s := readSidecar(t)
	if s.agent.ReadinessProbe != nil {
		t.Error("the agent has a readiness probe, which would count for the whole pod")
	}
	for name, p := range map[string]*corev1.Probe{"startup": s.agent.StartupProbe, "liveness": s.agent.LivenessProbe} {
		if p == nil || p.HTTPGet == nil {
			t.Errorf("the %s probe is no HTTP request", name)
			continue
		}
		if p.HTTPGet.Path != "/livez" || p.HTTPGet.Port != intstr.FromString("admin") {
			t.Errorf("the %s probe asks %s of port %s, want /livez of admin, which no store can fail", name, p.HTTPGet.Path, p.HTTPGet.Port.String())
		}
	}
	if len(s.agent.Ports) != 1 || s.agent.Ports[0].Name != "admin" || s.agent.Ports[0].ContainerPort != 8482 {
		t.Errorf("got ports %v, want admin alone, 8482", s.agent.Ports)
	}
}

func TestResourcesAreThoseOfASidecar(t *testing.T) {
	t.Parallel()
	s := readSidecar(t)
	r := s.agent.Resources
	for name, got := range map[string][2]string{
		"request of cpu":    {r.Requests.Cpu().String(), "10m"},
		"request of memory": {r.Requests.Memory().String(), "32Mi"},
		"limit of memory":   {r.Limits.Memory().String(), "128Mi"},
		"limit of cpu":      {r.Limits.Cpu().String(), "0"}, // a throttled agent falls behind for nothing
	} {
		if got[0] != got[1] {
			t.Errorf("%s: got %s, want %s", name, got[0], got[1])
		}
	}
	e := s.env("GOMEMLIMIT")
	if e == nil || e.ValueFrom == nil || e.ValueFrom.ResourceFieldRef == nil || e.ValueFrom.ResourceFieldRef.Resource != "limits.memory" {
		t.Error("GOMEMLIMIT does not follow limits.memory")
	}
}

func TestConfigOfTheSidecarWorks(t *testing.T) {
	t.Parallel()
	s := readSidecar(t)
	c, err := config.Parse("agent.yaml", []byte(s.config), func(name string) (string, bool) {
		if s.env(name) == nil {
			return "", false
		}
		return "10.1.2.3", true // POD_IP; no other is used
	})
	if err != nil {
		t.Fatal(err)
	}
	state, _ := s.mount(t, s.agent, named("activity-agent-state"))
	if path.Dir(c.Agent.StateDir) != state.MountPath {
		t.Errorf("the state lies in %s, which is not below %s", c.Agent.StateDir, state.MountPath)
	}
	logs, _ := s.mount(t, s.agent, named("logs"))
	for _, f := range c.Files {
		for _, include := range f.Include {
			if path.Dir(include) != logs.MountPath {
				t.Errorf("%s does not lie in the logs' %s", include, logs.MountPath)
			}
		}
	}
	if c.Admin.Listen != "[10.1.2.3]:8482" {
		t.Errorf("got the admin listener %q, want the pod's address", c.Admin.Listen)
	}
	if c.Agent.ID != "" {
		t.Errorf("the agent's id is fixed to %q: all pods would be one agent", c.Agent.ID)
	}
	grace := s.pod.TerminationGracePeriodSeconds
	switch {
	case c.Agent.DrainTimeout != 25*time.Second:
		t.Errorf("got drain_timeout %v, want 25s", c.Agent.DrainTimeout)
	case grace == nil || time.Duration(*grace)*time.Second < 2*c.Agent.DrainTimeout:
		t.Errorf("terminationGracePeriodSeconds leaves the application less time to end than the agent's %v", c.Agent.DrainTimeout)
	}
}

// TestImageIsTheBinaryAlone holds the last stage of the Dockerfile to what the manifests count on.
func TestImageIsTheBinaryAlone(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	build, image, found := strings.Cut(string(content), "\nFROM scratch\n")
	if !found || strings.Contains(image, "FROM ") {
		t.Fatal("the last stage does not begin from scratch")
	}
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "-X main.version=$VERSION"} {
		if !strings.Contains(build, want) {
			t.Errorf("the build has no %s", want)
		}
	}
	for _, want := range []string{
		"\nUSER 65532:65532\n", "\nENTRYPOINT [\"/activity-agent\"]\n", "/etc/ssl/certs/ca-certificates.crt",
		"org.opencontainers.image.source", "org.opencontainers.image.version",
	} {
		if !strings.Contains(image, want) {
			t.Errorf("the image has no %s", strings.TrimSpace(want))
		}
	}
	if strings.Contains(image, "\nRUN ") {
		t.Error("a RUN in an image without a shell")
	}
}
