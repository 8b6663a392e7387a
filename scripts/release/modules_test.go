package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// workspace is where this module's parent is.
const workspace = "../.."

// The list has every module of this repository, and what is public could be released. The cache of tests
// doesn't see these files: use -count=1, as .ci/run does.
func TestModules(t *testing.T) {
	modules, err := readModules(workspace)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range modules {
		if _, err := released(m, modules, "v0.2.0"); m.public && err != nil {
			t.Error(err)
		}
	}
}

// A module that is forgotten in the list, or in go.work, is an error.
func TestModulesListed(t *testing.T) {
	for _, bad := range []struct{ work, list, says string }{
		{"use (\n\t.\n\t./a\n)\n", "public .\n", "doesn't say whether a is public"},
		{"use .\n", "public .\nprivate a\n", "has a, which isn't in go.work"},
		{"use .\n", "public .\nsecret a\n", `"secret a" isn't`},
		{"use ./a\n", "public a\n", "isn't the root"},
		{"use (\n\t.\n\t./b\n)\n", "public .\nprivate b\n", "b/go.mod"},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{
			"go.work": "go 1.25.0\n" + bad.work, list: bad.list,
			"go.mod": "module example.com/a\n", "a/go.mod": "module example.com/a/a\n",
		} {
			file := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := readModules(dir); err == nil || !strings.Contains(err.Error(), bad.says) {
			t.Errorf("not %q: %v", bad.says, err)
		}
	}
}
