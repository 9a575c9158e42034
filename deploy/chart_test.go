package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/truledgr/activity-agent/config"
)

func TestChartsPassHelmLint(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{chart, shop(t)} {
		if out, err := run(t, "helm", "lint", "--strict", "--kube-version", kubernetes, dir); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// valuesFiles are those in testdata, each another way to install the chart.
func valuesFiles(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d values files and error %v, want some and none", len(files), err)
	}
	return files
}

func TestChartRefusesWrongValues(t *testing.T) {
	t.Parallel()
	for _, file := range valuesFiles(t, "wrong-*.yaml") {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(content), "\n") // says what is refused
		want := strings.TrimPrefix(first, "# ")
		if _, err := run(t, "helm", "template", "x", chart, "--kube-version", kubernetes, "-f", file); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want one with %q", file, err, want)
		}
	}
}

// selects says that a selector finds the pods of a template.
func selects(t *testing.T, s *metav1.LabelSelector, pod map[string]string) bool {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Matches(labels.Set(pod))
}

// TestReadAPIKeepsTheRules holds the read API's Deployment to the rules under several values files.
func TestReadAPIKeepsTheRules(t *testing.T) {
	t.Parallel()
	for _, file := range append(valuesFiles(t, "values-*.yaml"), filepath.Join(chart, "values.yaml")) {
		m := helm(t, chart, "-f", file)
		d := only[*appsv1.Deployment](t, m)
		pod := d.Spec.Template.Spec
		if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 {
			t.Fatalf("%s: got %d containers, want the API alone", file, len(pod.Containers))
		}
		// The rules of the agent's container that are not about logs are the API's, too.
		c := pod.Containers[0]
		for name, holds := range map[string]bool{
			"it meets the restricted standard":    restricted(c) && pod.SecurityContext != nil && is(pod.SecurityContext.RunAsNonRoot, true),
			"it has no service account token":     is(pod.AutomountServiceAccountToken, false),
			"secrets are files":                   mount(c, "secret").ReadOnly && !slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil }),
			"memory is limited":                   !c.Resources.Limits.Memory().IsZero(),
			"its state has a limit":               limited(sidecar{pod: pod}.volume("state")) && mount(c, "state").MountPath == "/var/lib/activity-agent",
			"probes ask whether it runs":          alive(c.StartupProbe) && alive(c.LivenessProbe),
			"readiness does not ask the store":    c.ReadinessProbe != nil && c.ReadinessProbe.TCPSocket != nil && c.ReadinessProbe.TCPSocket.Port == intstr.FromString("http"),
			"it runs what the probes count on":    slices.Equal(c.Args, []string{"serve", "-c", "/etc/activity-agent/agent.yaml", "--admin", ":8482"}),
			"the Deployment finds its pods":       selects(t, d.Spec.Selector, d.Spec.Template.Labels),
			"a changed configuration rolls out":   d.Spec.Template.Annotations["checksum/config"] != "",
			"a digest or a tag, and never latest": strings.Contains(c.Image, "@sha256:") || !strings.HasSuffix(c.Image, ":latest") && strings.Contains(c.Image, ":"),
		} {
			if !holds {
				t.Errorf("%s: not so: %s", file, name)
			}
		}
		checkService(t, file, m, d)
		checkConfig(t, file, m, c)
	}
}

func checkService(t *testing.T, file string, m manifest, d *appsv1.Deployment) {
	t.Helper()
	pod := d.Spec.Template.Labels
	ports := map[string]bool{}
	for _, p := range d.Spec.Template.Spec.Containers[0].Ports {
		ports[p.Name] = true
	}
	services := map[string]*corev1.Service{}
	for _, s := range objects[*corev1.Service](m) {
		if !selects(t, metav1.SetAsLabelSelector(s.Spec.Selector), pod) || !ports[s.Spec.Ports[0].TargetPort.StrVal] {
			t.Errorf("%s: the Service %s leads to no port of the API's pods", file, s.Name)
		}
		if s.Spec.Type != corev1.ServiceTypeClusterIP && s.Spec.Ports[0].TargetPort.StrVal == "admin" && s.Spec.ClusterIP != "None" {
			t.Errorf("%s: the Service %s shows the metrics to the world", file, s.Name)
		}
		services[s.Spec.Ports[0].Name] = s
	}
	for _, monitor := range objects[*ServiceMonitor](m) {
		s := services[monitor.Spec.Endpoints[0].Port]
		if s == nil || !selects(t, &monitor.Spec.Selector, s.Labels) || selects(t, &monitor.Spec.Selector, services["http"].Labels) {
			t.Errorf("%s: the ServiceMonitor does not find the Service of the metrics alone", file)
		}
	}
	for _, budget := range objects[*policyv1.PodDisruptionBudget](m) {
		if !selects(t, budget.Spec.Selector, pod) {
			t.Errorf("%s: the PodDisruptionBudget is not about the API's pods", file)
		}
	}
	for _, policy := range objects[*networkingv1.NetworkPolicy](m) {
		if !selects(t, &policy.Spec.PodSelector, pod) || len(policy.Spec.PolicyTypes) != 2 {
			t.Errorf("%s: the NetworkPolicy does not bound the API's pods in both directions", file)
		}
		for _, in := range policy.Spec.Ingress {
			if len(in.From) == 0 || len(in.Ports) == 0 {
				t.Errorf("%s: the NetworkPolicy lets in everybody, or everywhere", file)
			}
		}
	}
}

// checkConfig reads the API's configuration as the agent does.
func checkConfig(t *testing.T, file string, m manifest, api corev1.Container) {
	t.Helper()
	for _, cm := range objects[*corev1.ConfigMap](m) {
		if !strings.HasSuffix(cm.Name, "-api") {
			continue
		}
		c, err := config.Parse("agent.yaml", []byte(cm.Data["agent.yaml"]), func(name string) (string, bool) {
			return "10.1.2.3", slices.ContainsFunc(api.Env, func(e corev1.EnvVar) bool { return e.Name == name })
		})
		switch {
		case err != nil:
			t.Errorf("%s: %v", file, err)
		case c.API.Listen != ":8481":
			t.Errorf("%s: the API listens on %s, where no Service leads", file, c.API.Listen)
		case !strings.HasPrefix(c.API.StateDir, mount(api, "state").MountPath+"/"):
			t.Errorf("%s: the API records reads in %s, which is not on its volume", file, c.API.StateDir)
		case c.Store.Elasticsearch == nil || c.Ingest.Listen != "":
			t.Errorf("%s: the API has no store, or takes posts", file)
		}
	}
}

func TestTogglesOfTheChart(t *testing.T) {
	t.Parallel()
	all, none := helm(t, chart, "-f", "testdata/values-all.yaml"), helm(t, chart, "-f", "testdata/values-bare.yaml")
	for name, got := range map[string][2]int{
		"ServiceMonitor":      {len(objects[*ServiceMonitor](all)), len(objects[*ServiceMonitor](none))},
		"NetworkPolicy":       {len(objects[*networkingv1.NetworkPolicy](all)), len(objects[*networkingv1.NetworkPolicy](none))},
		"PodDisruptionBudget": {len(objects[*policyv1.PodDisruptionBudget](all)), len(objects[*policyv1.PodDisruptionBudget](none))},
	} {
		if got != [2]int{1, 0} {
			t.Errorf("%s: switched on %d, switched off %d; want 1 and 0", name, got[0], got[1])
		}
	}
	if off := helm(t, chart, "--set", "api.enabled=false"); len(off) != 0 {
		t.Errorf("a chart of templates alone makes %d objects, want none", len(off))
	}
}

func TestHookAsksTheService(t *testing.T) {
	t.Parallel()
	m := helm(t, chart)
	hook, service := only[*corev1.Pod](t, m), only[*corev1.Service](t, m)
	c := hook.Spec.Containers[0]
	if hook.Annotations["helm.sh/hook"] != "test" || !restricted(c) || !is(hook.Spec.AutomountServiceAccountToken, false) {
		t.Error("the hook is no test, or may do more than it needs")
	}
	if want := "http://" + service.Name + ":80/activities/"; c.Env[0].Value != want {
		t.Errorf("the hook asks %s, want %s", c.Env[0].Value, want)
	}
	d := only[*appsv1.Deployment](t, m)
	if selects(t, d.Spec.Selector, hook.Labels) {
		t.Error("the Service would send requests to the hook")
	}
}
