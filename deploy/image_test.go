package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/truledgr/activity-agent/internal/testenv"
)

// image is the last stage of a Dockerfile, and what comes before it.
func image(t *testing.T, file string) (build, last string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	build, last, found := strings.Cut(string(content), "\nFROM scratch\n")
	if !found || strings.Contains(last, "FROM ") {
		t.Fatalf("%s: the last stage does not begin from scratch", file)
	}
	return build, last
}

// TestImageIsTheBinaryAlone holds the last stage of the Dockerfile to what the manifests count on.
func TestImageIsTheBinaryAlone(t *testing.T) {
	t.Parallel()
	build, last := image(t, "Dockerfile")
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "-X main.version=$VERSION"} {
		if !strings.Contains(build, want) {
			t.Errorf("the build has no %s", want)
		}
	}
	for _, want := range []string{
		"\nUSER 65532:65532\n", "\nENTRYPOINT [\"/activity-agent\"]\n", "/etc/ssl/certs/ca-certificates.crt",
		"org.opencontainers.image.source", "org.opencontainers.image.version",
	} {
		if !strings.Contains(last, want) {
			t.Errorf("the image has no %s", strings.TrimSpace(want))
		}
	}
	if strings.Contains(last, "\nRUN ") {
		t.Error("a RUN in an image without a shell")
	}
	if _, released := image(t, "Dockerfile.release"); released != last {
		t.Error("the image of a release is not that of the Dockerfile")
	}
}

// A release is what the tests ask of .goreleaser.yaml. `goreleaser check` knows the rest; it takes minutes to build.
type release struct {
	Builds []struct {
		Main         string
		Env          []string
		Flags        []string
		Ldflags      []string
		ModTimestamp string `yaml:"mod_timestamp"`
		Goos, Goarch []string
	}
	Archives []struct {
		BuildsInfo struct{ MTime string } `yaml:"builds_info"`
		Files      []struct {
			Src  string
			Info struct{ MTime string }
		}
	}
	Checksum struct{ Algorithm string }
	Sboms    []struct{ Artifacts string }
	Images   []struct {
		Dockerfile string
		Platforms  []string
		Sbom       string
	} `yaml:"dockers_v2"`
}

func TestReleasesAreReproducibleAndListWhatIsInThem(t *testing.T) {
	t.Parallel()
	root := testenv.Root(t)
	content, err := os.ReadFile(filepath.Join(root, ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var r release
	if err := yaml.Unmarshal(content, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Builds) != 1 || len(r.Archives) != 1 || len(r.Images) != 1 {
		t.Fatalf("got %d builds, %d archives and %d images, want one of each", len(r.Builds), len(r.Archives), len(r.Images))
	}
	b, a, image := r.Builds[0], r.Archives[0], r.Images[0]
	both := []string{"amd64", "arm64"}
	for name, holds := range map[string]bool{
		"the binary is static":                slices.Contains(b.Env, "CGO_ENABLED=0"),
		"it names no path of who built it":    slices.Contains(b.Flags, "-trimpath"),
		"it has its version":                  len(b.Ldflags) == 1 && strings.Contains(b.Ldflags[0], "-X main.version={{ .Version }}"),
		"it has the commit's time":            b.ModTimestamp == "{{ .CommitTimestamp }}",
		"so it has in archives":               a.BuildsInfo.MTime == "{{ .CommitDate }}",
		"for both architectures":              slices.Equal(b.Goarch, both) && slices.Contains(b.Goos, "linux"),
		"archives are listed":                 len(r.Sboms) > 0 && r.Sboms[0].Artifacts == "archive",
		"the image is listed":                 image.Sbom == "true",
		"the image is for both architectures": slices.Equal(image.Platforms, []string{"linux/amd64", "linux/arm64"}),
		"there are checksums":                 r.Checksum.Algorithm == "sha256",
	} {
		if !holds {
			t.Errorf("not so: %s", name)
		}
	}
	files := []string{b.Main, image.Dockerfile}
	for _, f := range a.Files {
		files = append(files, f.Src)
		if f.Info.MTime != "{{ .CommitDate }}" {
			t.Errorf("%s has not the commit's time", f.Src)
		}
	}
	for _, f := range files {
		if _, err := os.Stat(filepath.Join(root, f)); err != nil {
			t.Errorf("%s is not there", f)
		}
	}
}
