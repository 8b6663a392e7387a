package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

var importers = flag.Bool("importer", false, "import the public modules as others would after a release")

// nextVersion is less than v0.0.0, which the modules require between releases: if a go.mod still did,
// the go command would look for v0.0.0, which nobody has.
const nextVersion = "v0.0.0-next"

// What somebody who imports nothing but the root and bcachetest gets. A heavy dependency belongs into
// neither list.
var (
	// What is built, and required in go.mod.
	built = []string{
		"github.com/cespare/xxhash/v2",
		"github.com/hashicorp/golang-lru/v2",
		"github.com/weaveworks/mesh",
		"golang.org/x/crypto",
		"golang.org/x/sync",
		"golang.org/x/sys",
		"google.golang.org/protobuf",
	}
	// What tests of the root import, and what modules that are so old as mesh require. None of it is built:
	// its versions only count where the importer has it, too.
	named = []string{
		"github.com/davecgh/go-spew",
		"github.com/golang/protobuf",
		"github.com/google/go-cmp",
		"github.com/pmezard/go-difflib",
		"github.com/sirupsen/logrus",
		"github.com/stretchr/objx",
		"github.com/stretchr/testify",
		"go.uber.org/goleak",
		"golang.org/x/net",
		"golang.org/x/term",
		"golang.org/x/text",
		"gopkg.in/check.v1",
		"gopkg.in/yaml.v2",
		"pgregory.net/rapid",
	}
)

// Every public module can be imported from outside of the checkout, where no go.work and no replace
// helps: by itself, and all of them together. Who imports the root alone gets what that needs, no more.
func TestImporter(t *testing.T) {
	if !*importers {
		t.Skip("with -importer: takes a minute, and downloads what the modules need")
	}
	modules, err := readModules(workspace)
	if err != nil {
		t.Fatal(err)
	}
	proxy, cache := t.TempDir(), t.TempDir()
	var public []module
	for _, m := range modules {
		if m.public {
			gomod, err := released(m, modules, nextVersion)
			if err != nil {
				t.Fatal(err)
			}
			publish(t, proxy, filepath.Join(workspace, m.dir), m, gomod, nextVersion)
			public = append(public, m)
		}
	}

	root := public[0]
	t.Run("root", func(t *testing.T) {
		i := newImporter(t, proxy, cache, root)
		i.use()
		const modulePath = "{{with .Module}}{{.Path}}{{end}}"
		i.gets("builds", built, i.run("go", "list", "-deps", "-test", "-f", modulePath, "."))
		i.gets("requires", built, i.requires())
		i.gets("has named", slices.Concat(built, named), i.run("go", "list", "-m", "-f", "{{.Path}}", "all"))
	})
	for _, m := range public[1:] {
		t.Run(m.dir, func(t *testing.T) { newImporter(t, proxy, cache, root, m).use() })
	}
	if len(public) > 2 {
		t.Run("all", func(t *testing.T) { newImporter(t, proxy, cache, public...).use() })
	}
}

// An importer is a module of somebody else.
type importer struct {
	t       *testing.T
	dir     string
	env     []string
	modules []module
}

func newImporter(t *testing.T, proxy, cache string, modules ...module) importer {
	goenv := func(name string) string {
		out, err := exec.Command("go", "env", name).Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(out))
	}
	root := modules[0].path
	sources := []string{
		"file://" + filepath.ToSlash(proxy),
		"file://" + filepath.ToSlash(goenv("GOMODCACHE")) + "/cache/download", // it needn't come again
		goenv("GOPROXY"),
	}
	return importer{t, t.TempDir(), append(os.Environ(),
		"GOWORK=off", "GOTOOLCHAIN=local",
		"GOFLAGS=-mod=mod -modcacherw -trimpath", // -modcacherw: what is read-only can't be removed
		"GOMODCACHE="+cache,
		"GOPROXY="+strings.Join(sources, ","), "GOPRIVATE=", "GONOPROXY=",
		"GONOSUMDB="+root, // and what is below it
		"GOBIN="+t.TempDir(),
	), modules}
}

// run runs a command in the importer, and gives the lines that it prints.
func (i importer) run(name string, args ...string) []string {
	i.t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(i.t.Context(), name, args...)
	cmd.Dir, cmd.Env, cmd.Stderr = i.dir, i.env, &stderr
	out, err := cmd.Output()
	if err != nil {
		i.t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, &stderr)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// requires are the modules in go.mod.
func (i importer) requires() (paths []string) {
	b, err := os.ReadFile(filepath.Join(i.dir, "go.mod"))
	if err != nil {
		i.t.Fatal(err)
	}
	f, err := modfile.Parse("go.mod", b, nil)
	if err != nil {
		i.t.Fatal(err)
	}
	for _, r := range f.Require {
		paths = append(paths, r.Mod.Path)
	}
	return paths
}

// gets compares the modules that there are with those that there should be.
func (i importer) gets(what string, modules, paths []string) {
	i.t.Helper()
	for _, path := range modules {
		if !slices.Contains(paths, path) {
			i.t.Errorf("who imports the root no longer %s %s", what, path)
		}
	}
	own := []string{"", "importer", i.modules[0].path}
	slices.Sort(paths)
	for _, path := range slices.Compact(paths) {
		if !slices.Contains(own, path) && !slices.Contains(modules, path) {
			i.t.Errorf("who imports the root %s %s, too", what, path)
		}
	}
}

func (i importer) write(name, text string) {
	i.t.Helper()
	if err := os.WriteFile(filepath.Join(i.dir, name), []byte(text), 0o644); err != nil {
		i.t.Fatal(err)
	}
}

// use writes a program with a cache that imports all of the modules, and its test, and runs both.
// Commands are installed.
func (i importer) use() {
	i.t.Helper()
	var imports strings.Builder
	imported := i.modules[:1:1]
	for _, m := range i.modules[1:] {
		packages, commands := m.offers(i.t)
		if len(packages)+len(commands) == 0 {
			i.t.Errorf("%s is public, and has nothing to import or install", m.path)
		}
		if len(packages) > 0 {
			imported = append(imported, m)
		}
		for _, path := range packages {
			fmt.Fprintf(&imports, "import _ %q\n", path)
		}
		for _, path := range commands {
			i.run("go", "install", path+"@"+nextVersion)
		}
	}
	i.write("go.mod", "module importer\n\ngo 1.25.0\n")
	i.write("main.go", fmt.Sprintf(program, imports.String()))
	i.write("main_test.go", programTest)
	for _, m := range imported {
		i.run("go", "get", m.path+"@"+nextVersion)
	}
	i.run("go", "mod", "tidy")
	i.run("go", "vet", ".")
	if got := i.run("go", "run", "."); !slices.Equal(got, []string{"Ada true"}) {
		i.t.Errorf("the program prints %q", got)
	}
	i.run("go", "test", ".")
	for _, m := range imported {
		if got := i.run("go", "list", "-m", m.path)[0]; got != m.path+" "+nextVersion {
			i.t.Errorf("it uses %s", got)
		}
	}
}

// offers are the packages of a module that others can import, and its commands.
func (m module) offers(t *testing.T) (packages, commands []string) {
	t.Helper()
	cmd := exec.Command("go", "list", "-f", "{{if .GoFiles}}{{.Name}} {{.ImportPath}}{{end}}", "./...")
	cmd.Dir = filepath.Join(workspace, m.dir)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		name, path, found := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case !found || slices.Contains(strings.Split(path, "/"), "internal"):
		case name == "main":
			commands = append(commands, path)
		default:
			packages = append(packages, path)
		}
	}
	return packages, commands
}

const program = `package main

import (
	"fmt"
	"log"

	"github.com/iwanbk/bcache"
)

%s
func main() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 100})
	if err != nil {
		log.Fatal(err)
	}
	if err := cache.Set("user:1", "Ada", 60); err != nil {
		log.Fatal(err)
	}
	fmt.Println(cache.Get("user:1"))
	if err := cache.Close(); err != nil {
		log.Fatal(err)
	}
}
`

const programTest = `package main

import (
	"testing"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachetest"
)

func TestCluster(t *testing.T) {
	c := bcachetest.New(t, 2, bcache.Config{MaxKeys: 100})
	if err := c.Node(0).Set("user:1", "Ada", 60); err != nil {
		t.Fatal(err)
	}
	c.WaitAll()
	if name, ok := c.Node(1).Get("user:1"); !ok || name != "Ada" {
		t.Errorf("the other node has %q", name)
	}
}
`
