package bcache_test

import (
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
	mutantsRun  = flag.Bool("mutants", false, "plant each of the bugs of mutants_list_test.go and see whether the simulation notices")
	mutantsOnly = flag.String("mutant", "", "with -mutants: only those whose name contains this")
)

const mutantSeeds = 1000

// A mutant is a bug that is planted in a copy of the sources.
type mutant struct {
	name  string
	edits []edit
	test  string // what must notice it; "" is TestSim
}

// An edit replaces a piece of text that must occur exactly once.
type edit struct{ file, old, new string }

// TestMutants plants bugs on purpose: a test that can't fail checks nothing. It takes
// minutes; CI runs it:
//
//	go test -run TestMutants -mutants -v -timeout 30m .
func TestMutants(t *testing.T) {
	if !*mutantsRun {
		t.Skip("it compiles the package once per bug and takes minutes; run it with -mutants, as .ci/run mutants does")
	}
	type row struct{ name, verdict string }
	var mu sync.Mutex
	var rows []row
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for _, m := range mutants {
		if !strings.Contains(m.name, *mutantsOnly) {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			verdict, err := m.run(t.TempDir())
			if err != nil {
				t.Errorf("%s: %v", m.name, err)
				verdict = "NOT CAUGHT: " + err.Error()
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

// The edits fit the code: the table can't rot between the times that it is run.
func TestMutantsFit(t *testing.T) {
	for _, m := range mutants {
		for _, e := range m.edits {
			text, err := os.ReadFile(e.file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), e.old); n != 1 || e.old == e.new {
				t.Errorf("%s: %s has the text to replace %d times: %q", m.name, e.file, n, e.old)
			}
		}
	}
}

var seedFailed = regexp.MustCompile(`seed (\d+): (.*)`)

// run plants the bug and says what noticed it.
func (m mutant) run(dir string) (verdict string, err error) {
	if err := copySources(dir); err != nil {
		return "", err
	}
	for _, e := range m.edits {
		file := filepath.Join(dir, e.file)
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		if n := strings.Count(string(text), e.old); n != 1 {
			return "", fmt.Errorf("%s has the text to replace %d times: %q", e.file, n, e.old)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(string(text), e.old, e.new, 1)), 0o644); err != nil {
			return "", err
		}
	}
	binary := filepath.Join(dir, "mutant.test")
	build := exec.Command("go", "test", "-c", "-vet=off", "-o", binary, ".")
	build.Dir = dir
	build.Env = append(os.Environ(), "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("it doesn't compile: %v\n%s", err, out)
	}
	test := "^TestSim$"
	if m.test != "" {
		test = m.test
	}
	run := exec.Command(binary, "-test.run", test, "-seeds", fmt.Sprint(mutantSeeds), "-test.timeout", "5m")
	run.Dir = dir
	start := time.Now()
	out, err := run.CombinedOutput()
	took := time.Since(start).Seconds()
	switch found := seedFailed.FindSubmatch(out); {
	case err == nil:
		return "", fmt.Errorf("%s passes", test)
	case m.test != "":
		return fmt.Sprintf("by %s", m.test), nil
	case found == nil:
		return fmt.Sprintf("by a crash, %.1f s", took), nil
	default:
		return fmt.Sprintf("by seed %4s, %4.1f s: %.100s", found[1], took, found[2]), nil
	}
}

// copySources copies the module, without what a test doesn't need.
func copySources(dir string) error {
	return filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == "." {
			return err
		}
		if d.IsDir() {
			if path == "testdata" || strings.HasPrefix(path, "testdata"+string(filepath.Separator)) {
				return os.MkdirAll(filepath.Join(dir, path), 0o755)
			}
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" && path != "go.mod" && path != "go.sum" && !strings.HasPrefix(path, "testdata") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, path), data, 0o644)
	})
}
