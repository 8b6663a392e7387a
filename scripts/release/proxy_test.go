package main

import (
	"os"
	"path/filepath"
	"testing"

	mod "golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// publish puts a module into a file GOPROXY with the content that a tag would have: its files as they
// are, and the go.mod of the release.
func publish(t *testing.T, proxy, source string, m module, gomod []byte, version string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", m.path, err)
		}
	}
	in, err := zip.CheckDir(source) // without nested modules, as a tag
	must(err)
	must(in.Err())
	tree := t.TempDir()
	for _, file := range in.Valid {
		name, err := filepath.Rel(source, file)
		must(err)
		b, err := os.ReadFile(file)
		must(err)
		must(os.MkdirAll(filepath.Dir(filepath.Join(tree, name)), 0o755))
		must(os.WriteFile(filepath.Join(tree, name), b, 0o644))
	}
	must(os.WriteFile(filepath.Join(tree, "go.mod"), gomod, 0o644))

	escaped, err := mod.EscapePath(m.path)
	must(err)
	folder := filepath.Join(proxy, filepath.FromSlash(escaped), "@v")
	must(os.MkdirAll(folder, 0o755))
	for name, text := range map[string]string{
		"list":            version + "\n",
		version + ".info": `{"Version": "` + version + `"}`,
		version + ".mod":  string(gomod),
	} {
		must(os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644))
	}
	f, err := os.Create(filepath.Join(folder, version+".zip"))
	must(err)
	must(zip.CreateFromDir(f, mod.Version{Path: m.path, Version: version}, tree))
	must(f.Close())
}
