package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/modfile"
)

// list says of each module whether it is public.
const list = "scripts/modules.txt"

// A module of the workspace.
type module struct {
	dir    string // as go.work has it, without "./"; the root is "."
	path   string
	gomod  []byte
	public bool
}

// tag is the name that git has for a version of the module.
func (m module) tag(version string) string {
	if m.dir == "." {
		return version
	}
	return m.dir + "/" + version
}

// readModules reads the modules of a workspace in the order of go.work. It is an error if the list lacks
// one of them, or has another one.
func readModules(workspace string) (modules []module, err error) {
	public, err := readList(filepath.Join(workspace, list))
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(filepath.Join(workspace, "go.work"))
	if err != nil {
		return nil, err
	}
	work, err := modfile.ParseWork("go.work", b, nil)
	if err != nil {
		return nil, err
	}
	for _, use := range work.Use {
		m := module{dir: filepath.ToSlash(filepath.Clean(use.Path))}
		var listed bool
		if m.public, listed = public[m.dir]; !listed {
			return nil, fmt.Errorf("%s doesn't say whether %s is public", list, m.dir)
		}
		delete(public, m.dir)
		if m.gomod, err = os.ReadFile(filepath.Join(workspace, m.dir, "go.mod")); err != nil {
			return nil, err
		}
		if m.path = modfile.ModulePath(m.gomod); m.path == "" {
			return nil, fmt.Errorf("%s/go.mod has no module path", m.dir)
		}
		modules = append(modules, m)
	}
	for dir := range public {
		return nil, fmt.Errorf("%s has %s, which isn't in go.work", list, dir)
	}
	if len(modules) == 0 || modules[0].dir != "." {
		return nil, errors.New("the first module of go.work isn't the root")
	}
	return modules, nil
}

func readList(file string) (public map[string]bool, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	public = make(map[string]bool)
	for line := range strings.Lines(string(b)) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] == "#":
		case len(words) == 2 && (words[0] == "public" || words[0] == "private"):
			public[words[1]] = words[0] == "public"
		default:
			return nil, fmt.Errorf("%s: %q isn't public DIR or private DIR", list, strings.TrimSpace(line))
		}
	}
	return public, nil
}
