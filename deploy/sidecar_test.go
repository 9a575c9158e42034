package deploy

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/truledgr/activity-agent/config"
)

const agentName = "activity-agent"

// A sidecar is a pod with the agent in it, and its parts at hand.
type sidecar struct {
	pod      corev1.PodSpec
	agent    corev1.Container
	app      corev1.Container // the agent itself, where it runs the application
	config   string
	native   bool // the agent is a native sidecar
	executes bool // the agent runs the application
	job      bool
}

// sidecars are all ways in which the agent comes beside an application.
func sidecars(t *testing.T) map[string]sidecar {
	t.Helper()
	kustomized, err := run(t, "kustomize", "build", filepath.Join("kustomize", "example"))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]sidecar{}
	for name, m := range map[string]manifest{
		"the example":         read(t, filepath.Join("kubernetes", "sidecar.yaml")),
		"a job":               read(t, filepath.Join("kubernetes", "job.yaml")),
		"a job of old":        read(t, filepath.Join("kubernetes", "job-sentinel.yaml")),
		"exec":                read(t, filepath.Join("kubernetes", "exec.yaml")),
		"the component":       decode(t, "kustomize", kustomized),
		"the chart's example": helm(t, shop(t)),
	} {
		all[name] = sidecarOf(t, name, m)
	}
	return all
}

func sidecarOf(t *testing.T, name string, m manifest) sidecar {
	t.Helper()
	s := sidecar{config: only[*corev1.ConfigMap](t, m).Data["agent.yaml"]}
	if jobs := objects[*batchv1.Job](m); len(jobs) == 1 {
		s.pod, s.job = jobs[0].Spec.Template.Spec, true
	} else {
		s.pod = only[*appsv1.Deployment](t, m).Spec.Template.Spec
	}
	containers := append(slices.Clone(s.pod.InitContainers), s.pod.Containers...)
	switch {
	case len(containers) == 2 && containers[0].Name == agentName:
		s.agent, s.app, s.native = containers[0], containers[1], len(s.pod.InitContainers) == 1
	case len(containers) == 1 && len(s.pod.InitContainers) == 0:
		s.agent, s.app, s.executes = containers[0], containers[0], true
	default:
		t.Fatalf("%s: got %d containers, want the agent and the application", name, len(containers))
	}
	return s
}

// volume is the volume of a name.
func (s sidecar) volume(name string) corev1.Volume {
	i := slices.IndexFunc(s.pod.Volumes, func(v corev1.Volume) bool { return v.Name == name })
	if i < 0 {
		return corev1.Volume{}
	}
	return s.pod.Volumes[i]
}

// mount is where a container mounts a volume; zero where it does not.
func mount(c corev1.Container, volume string) corev1.VolumeMount {
	i := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == volume })
	if i < 0 {
		return corev1.VolumeMount{}
	}
	return c.VolumeMounts[i]
}

func (s sidecar) env(name string) corev1.EnvVar {
	i := slices.IndexFunc(s.agent.Env, func(e corev1.EnvVar) bool { return e.Name == name })
	if i < 0 {
		return corev1.EnvVar{}
	}
	return s.agent.Env[i]
}

// field is the field of the pod that a variable has the value of.
func (s sidecar) field(variable string) string {
	if from := s.env(variable).ValueFrom; from != nil && from.FieldRef != nil {
		return from.FieldRef.FieldPath
	}
	return ""
}

func is[T comparable](p *T, want T) bool { return p != nil && *p == want }

// limited says that a volume is an emptyDir that cannot fill the node.
func limited(v corev1.Volume) bool {
	return v.EmptyDir != nil && v.EmptyDir.SizeLimit != nil && v.EmptyDir.SizeLimit.Value() > 0
}

// restricted says that a container meets the "restricted" Pod Security Standard by itself, whatever its pod says, and has no
// file system to write to.
func restricted(c corev1.Container) bool {
	sc := c.SecurityContext
	return sc != nil && is(sc.RunAsNonRoot, true) && sc.RunAsUser != nil && *sc.RunAsUser > 0 && harmless(c) &&
		sc.SeccompProfile != nil && sc.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault
}

// harmless says that a container can gain nothing, and has no file system to write to.
func harmless(c corev1.Container) bool {
	sc := c.SecurityContext
	return sc != nil && is(sc.AllowPrivilegeEscalation, false) && is(sc.ReadOnlyRootFilesystem, true) && !is(sc.Privileged, true) &&
		sc.Capabilities != nil && slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(sc.Capabilities.Add) == 0
}

// alive says that a probe asks whether the agent itself runs, which no store can make untrue.
func alive(p *corev1.Probe) bool {
	return p != nil && p.HTTPGet != nil && p.HTTPGet.Path == "/livez" && p.HTTPGet.Port == intstr.FromString("admin")
}

// A rule is what makes a sidecar harmless, and why.
type rule struct {
	name  string
	why   string
	holds func(sidecar) bool
}

// everywhere are the rules of every pod that the agent is in.
var everywhere = []rule{
	{"the agent meets the restricted standard by itself", "a pod that is not ours may say nothing", func(s sidecar) bool { return restricted(s.agent) }},
	{"the example of an application is harmless", "people copy it", func(s sidecar) bool { return harmless(s.app) }},
	{"no service account token", "nothing in the pod talks to the API server", func(s sidecar) bool { return is(s.pod.AutomountServiceAccountToken, false) }},
	{"no namespace is shared", "the agent needs files and an address", func(s sidecar) bool {
		return !s.pod.HostNetwork && !s.pod.HostPID && !s.pod.HostIPC && !is(s.pod.ShareProcessNamespace, true)
	}},
	{"volumes belong to a group", "else those that are writable belong to root", func(s sidecar) bool {
		return s.pod.SecurityContext != nil && s.pod.SecurityContext.FSGroup != nil
	}},
	{"volumes are empty, configuration or secrets", "the agent needs nothing of the node", func(s sidecar) bool {
		return !slices.ContainsFunc(s.pod.Volumes, func(v corev1.Volume) bool { return v.EmptyDir == nil && v.ConfigMap == nil && v.Secret == nil })
	}},
	{"the state has a volume of its own with a limit", "it must not fill the node, nor be gone when a container crashes", func(s sidecar) bool {
		return limited(s.volume("activity-agent-state")) && mount(s.agent, "activity-agent-state").MountPath != "" && !mount(s.agent, "activity-agent-state").ReadOnly
	}},
	{"the configuration is mounted whole", "a file by subPath is never updated", func(s sidecar) bool {
		m, v := mount(s.agent, "activity-agent-config"), s.volume("activity-agent-config")
		return m.ReadOnly && m.SubPath == "" && m.SubPathExpr == "" && v.ConfigMap != nil && len(v.ConfigMap.Items) == 0
	}},
	{"secrets are files, mounted whole", "a new key needs no restart", func(s sidecar) bool {
		m, v := mount(s.agent, "activity-agent-secret"), s.volume("activity-agent-secret")
		return m.ReadOnly && m.SubPath == "" && m.SubPathExpr == "" && v.Secret != nil && strings.Contains(s.config, path.Join(m.MountPath, "api-key"))
	}},
	{"others may not read secrets, nor the group write them", "a volume is as open as its mode", func(s sidecar) bool {
		v := s.volume("activity-agent-secret").Secret
		return v != nil && v.DefaultMode != nil && *v.DefaultMode&0o027 == 0
	}},
	{"no secret is in the environment", "every child and crash report sees it", func(s sidecar) bool {
		return len(s.agent.EnvFrom) == 0 && !slices.ContainsFunc(s.agent.Env, func(e corev1.EnvVar) bool { return e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil })
	}},
	{"the downward API names the pod", "it makes the ids of activities", func(s sidecar) bool {
		return s.field("POD_NAMESPACE") == "metadata.namespace" && s.field("POD_NAME") == "metadata.name" && s.field("POD_UID") == "metadata.uid" &&
			s.field("NODE_NAME") == "spec.nodeName" && s.field("POD_IP") == "status.podIP" && s.env("CONTAINER_NAME").Value == s.app.Name
	}},
	{"the start-up and liveness probes ask the agent alone", "a store that is down must not restart it", func(s sidecar) bool {
		return alive(s.agent.StartupProbe) && alive(s.agent.LivenessProbe)
	}},
	{"no readiness probe", "it would count for the whole pod", func(s sidecar) bool { return s.agent.ReadinessProbe == nil }},
	{"the only port is admin", "posts come from within the pod", func(s sidecar) bool {
		return len(s.agent.Ports) == 1 && s.agent.Ports[0].Name == "admin" && s.agent.Ports[0].ContainerPort == 8482
	}},
	{"memory has a limit, and the processor has none", "a throttled agent falls behind for nothing", func(s sidecar) bool {
		return !s.agent.Resources.Limits.Memory().IsZero() && s.agent.Resources.Limits.Cpu().IsZero()
	}},
	{"it runs with its configuration alone", "arguments show in every list of processes, and the image has no shell", func(s sidecar) bool {
		return s.executes || len(s.agent.Command) == 0 && slices.Equal(s.agent.Args, []string{"run", "-c", "/etc/activity-agent/agent.yaml"})
	}},
}

// beside are the rules where the agent reads files that an application writes.
var beside = []rule{
	{"logs are read-only for the agent and writable for the application", "an agent that may not write cannot do harm", func(s sidecar) bool {
		return mount(s.agent, "logs").ReadOnly && mount(s.app, "logs").MountPath != "" && !mount(s.app, "logs").ReadOnly
	}},
	{"logs have a limit", "a log must not fill the node", func(s sidecar) bool { return limited(s.volume("logs")) }},
	{"the application mounts nothing of the agent's", "it may be attacked", func(s sidecar) bool {
		return !slices.ContainsFunc(s.app.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name != "logs" })
	}},
	{"requests 10m and 32Mi, limit 128Mi", "nobody notices it", func(s sidecar) bool {
		r := s.agent.Resources
		return r.Requests.Cpu().String() == "10m" && r.Requests.Memory().String() == "32Mi" && r.Limits.Memory().String() == "128Mi"
	}},
	{"GOMEMLIMIT follows limits.memory", "the collector works harder before the limit, in place of being killed at it", func(s sidecar) bool {
		from := s.env("GOMEMLIMIT").ValueFrom
		return from != nil && from.ResourceFieldRef != nil && from.ResourceFieldRef.Resource == "limits.memory"
	}},
	{"a native sidecar is restarted always", "it would have to end before the application starts", func(s sidecar) bool {
		return !s.native || is(s.agent.RestartPolicy, corev1.ContainerRestartPolicyAlways)
	}},
	{"an agent that is no native sidecar has a stop file that the application makes", "its Job would never be complete", func(s sidecar) bool {
		return s.native || s.job && strings.Contains(s.config, "stop_file: /var/log/app/.done") && strings.Contains(strings.Join(s.app.Args, ""), "touch /var/log/app/.done")
	}},
}

func TestSidecarsKeepTheRules(t *testing.T) {
	t.Parallel()
	for name, s := range sidecars(t) {
		rules := everywhere
		if !s.executes {
			rules = append(slices.Clone(rules), beside...)
		}
		for _, r := range rules {
			if !r.holds(s) {
				t.Errorf("%s: not so: %s (%s)", name, r.name, r.why)
			}
		}
	}
}

// TestTheSidecarIsTheSameEverywhere: the example, the component, the chart and the Jobs have one and the same agent.
func TestTheSidecarIsTheSameEverywhere(t *testing.T) {
	t.Parallel()
	all := sidecars(t)
	want := all["the example"]
	for name, s := range all {
		if s.executes {
			continue
		}
		if !s.native {
			s.agent.RestartPolicy = want.agent.RestartPolicy
		}
		if diff := cmp.Diff(want.agent, s.agent); diff != "" {
			t.Errorf("%s has another agent than the example:\n%s", name, diff)
		}
		for _, volume := range []string{"activity-agent-secret", "activity-agent-state", "logs"} {
			if diff := cmp.Diff(want.volume(volume), s.volume(volume)); diff != "" {
				t.Errorf("%s has another volume %s than the example:\n%s", name, volume, diff)
			}
		}
	}
}

// parse reads a configuration as the agent does, with the variables that the pod has.
func (s sidecar) parse() (*config.Config, error) {
	return config.Parse("agent.yaml", []byte(s.config), func(name string) (string, bool) {
		return "10.1.2.3", s.env(name).Name != "" // POD_IP; no other is used
	})
}

func TestConfigsOfSidecarsWork(t *testing.T) {
	t.Parallel()
	for name, s := range sidecars(t) {
		c, err := s.parse()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := s.fits(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// fits says whether a configuration goes with its pod.
func (s sidecar) fits(c *config.Config) error {
	if below := mount(s.agent, "activity-agent-state").MountPath; path.Dir(c.Agent.StateDir) != below {
		return fmt.Errorf("the state lies in %s, which is not below %s", c.Agent.StateDir, below)
	}
	if limit := s.volume("activity-agent-state").EmptyDir.SizeLimit.Value(); limit < int64(c.Ingest.DiskBudget)*5/4 {
		return fmt.Errorf("the state's volume of %d bytes has no room for a journal of %d and the ledger", limit, c.Ingest.DiskBudget)
	}
	for _, f := range c.Files {
		for _, include := range f.Include {
			if s.executes != (include == "-") || !s.executes && path.Dir(include) != mount(s.agent, "logs").MountPath {
				return fmt.Errorf("%s does not lie in the logs", include)
			}
		}
	}
	grace := s.pod.TerminationGracePeriodSeconds
	switch {
	case c.Admin.Listen != "[10.1.2.3]:8482":
		return fmt.Errorf("the admin listener is %q, want the pod's address", c.Admin.Listen)
	case c.Agent.ID != "":
		return fmt.Errorf("the agent's id is fixed to %q: all pods would be one agent", c.Agent.ID)
	case grace == nil || time.Duration(*grace)*time.Second < 2*c.Agent.DrainTimeout:
		return fmt.Errorf("terminationGracePeriodSeconds leaves the application less time to end than the agent's %v", c.Agent.DrainTimeout)
	}
	return nil
}
