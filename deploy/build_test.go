package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// monitored is a kustomization as the README shows it: the base with the component. It isn't a file.
const monitored = "monitored/kustomization.yaml"

// manifests are all YAML files of this folder by their paths, and monitored.
func manifests(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{monitored: "resources: [../base]\ncomponents: [../monitoring]\n"}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		b, err := os.ReadFile(path)
		files[filepath.ToSlash(path)] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// kustomizations are the folders that can be built by themselves: the base, the base with the component,
// and each overlay.
func kustomizations(files map[string]string) (folders []string) {
	for name, text := range files {
		folder, is := strings.CutSuffix(name, "/kustomization.yaml")
		if is && !strings.Contains(text, "\nkind: Component\n") {
			folders = append(folders, folder)
		}
	}
	return folders
}

// readmeSecrets are the Secrets, as NAME/KEY, that the README has people make.
func readmeSecrets(t *testing.T) (secrets []string) {
	t.Helper()
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	command := regexp.MustCompile(`create secret generic (\S+) --from-literal=(\w+)=`)
	for _, m := range command.FindAllStringSubmatch(string(readme), -1) {
		secrets = append(secrets, m[1]+"/"+m[2])
	}
	return secrets
}

// build does what "kubectl apply -k" does before it sends anything: it gives each object as YAML.
func build(files map[string]string, folder string) (objects [][]byte, err error) {
	disk := filesys.MakeFsInMemory()
	for name, text := range files {
		if err := disk.WriteFile("/deploy/"+name, []byte(text)); err != nil {
			return nil, err
		}
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, "/deploy/"+folder)
	if err != nil {
		return nil, err
	}
	for _, r := range built.Resources() {
		b, err := r.AsYAML()
		if err != nil {
			return nil, err
		}
		objects = append(objects, b)
	}
	return objects, nil
}

// examine builds a kustomization and says what is wrong with its objects.
func examine(files map[string]string, secrets []string, folder string) []string {
	built, err := build(files, folder)
	if err != nil {
		return []string{err.Error()}
	}
	all := objects{secrets: secrets}
	for _, yaml := range built {
		all.add(yaml)
	}
	all.checkRelations()
	return all.wrong
}

// The base, the base with the component, and each overlay make objects that Kubernetes knows, and that
// fit together.
func TestManifests(t *testing.T) {
	files, secrets := manifests(t), readmeSecrets(t)
	folders := kustomizations(files)
	if len(folders) < 3 {
		t.Errorf("only %v were found", folders)
	}
	for _, folder := range folders {
		for _, wrong := range examine(files, secrets, folder) {
			t.Errorf("%s: %s", folder, wrong)
		}
	}
}
