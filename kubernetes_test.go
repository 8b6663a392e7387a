package bcache

import (
	"regexp"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
)

// docs/kubernetes.md shows the files of deploy/base as they are, in the order of its kustomization. What
// the files say is checked in their own module.
func TestKubernetesManifests(t *testing.T) {
	listed := regexp.MustCompile(`(?m)^  - (\S+\.yaml)$`)
	files := listed.FindAllStringSubmatch(testkit.Document(t, "deploy/base/kustomization.yaml"), -1)
	blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").
		FindAllStringSubmatch(testkit.Document(t, "docs/kubernetes.md"), -1)
	if len(files) == 0 || len(blocks) != 1 {
		t.Fatalf("%d files and %d blocks of YAML", len(files), len(blocks))
	}
	shown := strings.Split(blocks[0][1], "---\n")
	if len(shown) != len(files) {
		t.Errorf("docs/kubernetes.md shows %d objects, the base has %d files", len(shown), len(files))
	}
	for i := range min(len(files), len(shown)) {
		if file := "deploy/base/" + files[i][1]; shown[i] != testkit.Document(t, file) {
			t.Errorf("%s differs from docs/kubernetes.md, which shows\n%s", file, shown[i])
		}
	}
}

// docs/kubernetes.md and the README of the manifests have people make the same Secret.
func TestKubernetesSecret(t *testing.T) {
	secret := func(document string) string {
		command := regexp.MustCompile(`create secret generic (.*)`)
		m := command.FindStringSubmatch(testkit.Document(t, document))
		if m == nil {
			t.Fatalf("%s makes no Secret", document)
		}
		return m[1]
	}
	if page, readme := secret("docs/kubernetes.md"), secret("deploy/README.md"); page != readme {
		t.Errorf("docs/kubernetes.md makes %q, deploy/README.md %q", page, readme)
	}
}
