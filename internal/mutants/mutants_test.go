// Package mutants plants bugs in a copy of the sources and shows which test notices each: a test that
// can't fail checks nothing.
package mutants

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	mutantsRun  = flag.Bool("mutants", false, "plant each of the bugs of list_test.go and see whether a test notices")
	mutantsOnly = flag.String("mutant", "", "with -mutants: only those whose name contains this")
)

const mutantSeeds = 1000

// simulation is what must notice a bug that names no test.
const simulation = "TestSim$"

// A mutant is a bug that is planted in a copy of the sources.
type mutant struct {
	name  string
	edits []edit
	test  string // a pattern; the first of its tests says which package is tested. "" is the simulation
}

// An edit replaces a piece of text. It must occur exactly once in the sources, wherever that is, so that
// code may move; one that occurs more often is looked for within a declaration.
type edit struct {
	old, new string
	in       string // the beginning of a line above it, and the nearest; "" = it occurs once
}

// A tree is the module's sources by their paths.
type tree map[string]string

// readTree reads the module that this package belongs to.
func readTree(t *testing.T) tree {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/iwanbk/bcache").Output()
	if err != nil {
		t.Fatal(err)
	}
	root := strings.TrimSpace(string(out))
	files := tree{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != root && exists(filepath.Join(path, "go.mod")) || d.Name() == ".git" {
				return fs.SkipDir
			}
			return nil
		}
		data, err := os.ReadFile(path)
		files[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// plant returns the files that change, with the bug in them.
func (f tree) plant(m mutant) (tree, error) {
	changed := tree{}
	for _, e := range m.edits {
		file, at, err := f.find(e)
		if err != nil {
			return nil, err
		}
		text, ok := changed[file]
		if ok {
			if at = strings.Index(text, e.old); at < 0 || strings.Count(text, e.old) > 1 {
				return nil, fmt.Errorf("another edit leaves no place for %q", e.old)
			}
		} else {
			text = f[file]
		}
		changed[file] = text[:at] + e.new + text[at+len(e.old):]
	}
	return changed, nil
}

// find returns where an edit's text stands.
func (f tree) find(e edit) (file string, at int, err error) {
	found := 0
	for name, text := range f {
		if filepath.Ext(name) != ".go" || strings.HasPrefix(name, "internal/mutants/") {
			continue
		}
		from, to := 0, len(text)
		if e.in != "" {
			if from = strings.Index(text, "\n"+e.in); from < 0 {
				continue
			}
			if end := strings.Index(text[from:], "\n}\n"); end >= 0 {
				to = from + end
			}
		} else if strings.HasSuffix(name, "_test.go") {
			continue
		}
		if n := strings.Count(text[from:to], e.old); n > 0 {
			found += n
			file, at = name, from+strings.Index(text[from:to], e.old)
		}
	}
	if found != 1 || e.old == e.new {
		return "", 0, fmt.Errorf("the sources have the text to replace %d times: %q", found, e.old)
	}
	return file, at, nil
}

// packageOf returns the folder of the test that must notice a bug.
func (f tree) packageOf(test string) (string, error) {
	first, _, _ := strings.Cut(test, "|")
	first = strings.TrimPrefix(first, "^")
	declared := "\nfunc " + first
	if whole, ok := strings.CutSuffix(declared, "$"); ok {
		declared = whole + "("
	}
	var dirs []string
	for file, text := range f {
		has := strings.HasSuffix(file, "_test.go") && strings.Contains(text, declared)
		if dir := "./" + pathDir(file); has && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	if len(dirs) != 1 {
		return "", fmt.Errorf("%s is in %d packages: %v", test, len(dirs), dirs)
	}
	return dirs[0], nil
}

func pathDir(file string) string {
	if i := strings.LastIndex(file, "/"); i >= 0 {
		return file[:i]
	}
	return "."
}

func (m mutant) pattern() string {
	if m.test == "" {
		return simulation
	}
	return m.test
}

// The edits fit the code: the table can't rot between the times that it is run.
func TestMutantsFit(t *testing.T) {
	files := readTree(t)
	for _, m := range mutants {
		if _, err := files.plant(m); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		if _, err := files.packageOf(m.pattern()); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
	}
}

// TestMutants plants bugs on purpose. It takes half an hour with two processors:
//
//	go test -run TestMutants -v -timeout 2h ./internal/mutants -mutants
func TestMutants(t *testing.T) {
	if !*mutantsRun {
		t.Skip("it compiles a package per bug, for half an hour; run it with -mutants, as .ci/run mutants does")
	}
	files := readTree(t)
	var chosen []mutant
	for _, m := range mutants {
		if strings.Contains(m.name, *mutantsOnly) {
			chosen = append(chosen, m)
		}
	}
	work := t.TempDir()
	if err := files.sound(chosen, filepath.Join(work, "sound")); err != nil {
		t.Fatalf("without a bug: %v", err)
	}
	type row struct{ name, verdict string }
	var mu sync.Mutex
	var rows []row
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, m := range chosen {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			dir := filepath.Join(work, fmt.Sprint(i))
			verdict, err := m.run(files, dir)
			if err != nil {
				t.Errorf("%s: %v", m.name, err)
				verdict = "NOT CAUGHT: " + err.Error()
			} else {
				t.Logf("%s: %s", m.name, verdict) // who waits sees how far it is
			}
			if err := os.RemoveAll(dir); err != nil { // all copies and binaries would take gigabytes
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			rows = append(rows, row{m.name, verdict})
		})
	}
	wg.Wait()
	slices.SortFunc(rows, func(a, b row) int { return strings.Compare(a.name, b.name) })
	var table strings.Builder
	for _, r := range rows {
		fmt.Fprintf(&table, "\n%-58s %s", r.name, r.verdict)
	}
	t.Logf("%d planted bugs:%s", len(rows), table.String())
}

var seedFailed = regexp.MustCompile(`seed (\d+): (.*)`)

// write writes the sources, some of them changed, into a folder.
func (f tree) write(dir string, changed tree) error {
	for name, text := range f {
		if t, ok := changed[name]; ok {
			text = t
		}
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

var errBuild = errors.New("it doesn't compile")

// test compiles a package of the sources in a folder, and runs tests of it. With -trimpath the packages
// that are the same in all folders are compiled once.
func test(dir, pkg, pattern string, limit time.Duration) (out []byte, took time.Duration, err error) {
	binary := filepath.Join(dir, "mutant.test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-trimpath", "-ldflags=-s -w",
		"-o", binary, pkg)
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, 0, fmt.Errorf("%w: %v\n%s", errBuild, err, out)
	}
	args := []string{"-test.run", pattern, "-test.timeout", limit.String()}
	if pattern == simulation {
		args = append(args, "-seeds", fmt.Sprint(mutantSeeds))
	}
	run := exec.Command(binary, args...)
	run.Dir = filepath.Join(dir, pkg)
	start := time.Now()
	out, err = run.CombinedOutput()
	return out, time.Since(start), err
}

// sound makes sure that all tests that must notice a bug pass where there is none: one that fails anyway
// would seem to notice all.
func (f tree) sound(ms []mutant, dir string) error {
	if err := f.write(dir, nil); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	patterns := map[string][]string{} // by package
	for _, m := range ms {
		pkg, err := f.packageOf(m.pattern())
		if err != nil {
			return err
		}
		if m.test != "" && !slices.Contains(patterns[pkg], m.test) {
			patterns[pkg] = append(patterns[pkg], m.test)
		}
	}
	for pkg, all := range patterns {
		if out, _, err := test(dir, pkg, strings.Join(all, "|"), 20*time.Minute); err != nil {
			return fmt.Errorf("%s: %w\n%s", pkg, err, out)
		}
	}
	return nil
}

// run plants the bug and says what noticed it.
func (m mutant) run(files tree, dir string) (verdict string, err error) {
	changed, err := files.plant(m)
	if err != nil {
		return "", err
	}
	if err := files.write(dir, changed); err != nil {
		return "", err
	}
	pkg, err := files.packageOf(m.pattern())
	if err != nil {
		return "", err
	}
	out, took, err := test(dir, pkg, m.pattern(), 5*time.Minute)
	switch found := seedFailed.FindSubmatch(out); {
	case errors.Is(err, errBuild):
		return "", err
	case err == nil:
		return "", fmt.Errorf("%s passes", m.pattern())
	case m.test != "":
		return "by " + m.test, nil
	case found != nil:
		return fmt.Sprintf("by seed %4s, %4.1f s: %.100s", found[1], took.Seconds(), found[2]), nil
	case strings.Contains(string(out), "panic: test timed out"):
		return "", fmt.Errorf("no seed has noticed it within %v", took.Round(time.Second))
	default:
		return fmt.Sprintf("by a crash, %.1f s", took.Seconds()), nil
	}
}
