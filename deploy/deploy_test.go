// Package deploy holds what puts the agent where it runs. Its tests render the charts, read the manifests as strictly as the
// Kubernetes API does, and hold them to the rules that make a sidecar harmless.
package deploy

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"

	"github.com/truledgr/activity-agent/internal/testenv"
)

// kubernetes is the version that charts are rendered for: helm's own default depends on how it was built.
const kubernetes = "1.33.0"

// A manifest is what one file, or one rendering, holds.
type manifest []runtime.Object

// objects are those of one type.
func objects[T runtime.Object](m manifest) []T {
	var all []T
	for _, o := range m {
		if typed, ok := o.(T); ok {
			all = append(all, typed)
		}
	}
	return all
}

// only is the object of a type, of which there has to be one.
func only[T runtime.Object](t *testing.T, m manifest) T {
	t.Helper()
	all := objects[T](m)
	if len(all) != 1 {
		t.Fatalf("got %d of %T, want one", len(all), *new(T))
	}
	return all[0]
}

// A ServiceMonitor is as much of Prometheus's operator's as is used here: its types would bring a client of the API along.
type ServiceMonitor struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector  metav1.LabelSelector `json:"selector"`
		Endpoints []struct {
			Port     string `json:"port"`
			Path     string `json:"path"`
			Interval string `json:"interval"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// DeepCopyObject is for the decoder, which never asks for it.
func (s *ServiceMonitor) DeepCopyObject() runtime.Object { c := *s; return &c }

// decode reads manifests strictly, with the decoder that the API server uses: an unknown, misspelt or repeated key fails the
// test, as does a kind without rules here.
func decode(t *testing.T, name string, content []byte) manifest {
	t.Helper()
	kinds := runtime.NewScheme()
	if err := errors.Join(appsv1.AddToScheme(kinds), batchv1.AddToScheme(kinds), corev1.AddToScheme(kinds),
		networkingv1.AddToScheme(kinds), policyv1.AddToScheme(kinds)); err != nil {
		t.Fatal(err)
	}
	kinds.AddKnownTypes(schema.GroupVersion{Group: "monitoring.coreos.com", Version: "v1"}, &ServiceMonitor{})
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, kinds, kinds, json.SerializerOptions{Yaml: true, Strict: true})
	var m manifest
	for _, document := range regexp.MustCompile(`(?m)^---\n`).Split(string(content), -1) {
		if strings.TrimSpace(document) == "" {
			continue
		}
		object, _, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		switch object.(type) {
		case *appsv1.Deployment, *batchv1.Job, *corev1.ConfigMap, *corev1.Service, *corev1.Pod, *networkingv1.NetworkPolicy,
			*policyv1.PodDisruptionBudget, *ServiceMonitor:
			m = append(m, object)
		default:
			t.Fatalf("%s: no test knows %T", name, object)
		}
	}
	return m
}

func read(t *testing.T, file string) manifest {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, file, content)
}

// tool is the path of a pinned tool, which `make tools` and the gate build from its Go module.
func tool(t *testing.T, name string) string {
	t.Helper()
	makefile, err := os.ReadFile(filepath.Join(testenv.Root(t), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^` + strings.ToUpper(name) + ` +:= (\S+)$`).FindSubmatch(makefile)
	if version == nil {
		t.Fatalf("the Makefile pins no version of %s", name)
	}
	path := filepath.Join(testenv.Root(t), ".cache", "bin", name+"-"+string(version[1]))
	if _, err := os.Stat(path); err != nil {
		testenv.Missing(t, "needs "+name+": run `make tools` once")
	}
	return path
}

// run is what a tool writes to its standard output. Its error has what the tool says.
func run(t *testing.T, name string, args ...string) ([]byte, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, name), args...)
	cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+t.TempDir(), "HELM_CONFIG_HOME="+t.TempDir(), "HELM_DATA_HOME="+t.TempDir())
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = errors.New(err.Error() + ": " + errs.String() + string(out))
	}
	return out, err
}

// helm renders a chart with its defaults and more values.
func helm(t *testing.T, chart string, flags ...string) manifest {
	t.Helper()
	out, err := run(t, "helm", append([]string{"template", "shop", chart, "--kube-version", kubernetes}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, chart, out)
}

// chart is where the agent's chart lies.
var chart = filepath.Join("helm", "activity-agent")

// shop is a copy of the example of an application's chart, with the agent's chart where `helm dependency build` puts it.
func shop(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for to, from := range map[string]string{"": filepath.Join("helm", "examples", "shop"), filepath.Join("charts", "activity-agent"): chart} {
		if err := os.CopyFS(filepath.Join(dir, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestManifestsDecodeStrictly(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("kubernetes", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("got %d manifests and error %v, want some and none", len(files), err)
	}
	for _, file := range files {
		read(t, file)
	}
}
