package browser

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// limit is how long anything may take that the tests wait for.
const limit = 2 * time.Minute

// mode is "required" where a missing browser is an error.
var (
	drive = flag.Bool("browser", false, "run the tests that need a browser")
	mode  = os.Getenv("BCACHE_BROWSER")
)

// errMissing says that there is no browser to test with.
var errMissing = errors.New("there is no Chromium")

// findChromium looks for a browser under the names that it has on some systems.
func findChromium(lookPath func(string) (string, error)) (string, error) {
	names := []string{"chromium", "chromium-browser", "google-chrome", "chrome"}
	for _, name := range names {
		if path, err := lookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: none of %s is in the PATH", errMissing, strings.Join(names, ", "))
}

// verdict says what becomes of a test if the browser hasn't started. Only one that isn't there is a
// reason to skip it, unless BCACHE_BROWSER says that it must be there.
func verdict(err error, mode string) (skip bool) {
	return errors.Is(err, errMissing) && mode != "required"
}

// A chromium is a running browser.
type chromium struct {
	ctx context.Context
	dir string // of all that it writes; each of its processes has it among its arguments
	end func()
}

// startChromium starts a browser. If the process of the test dies, so does the browser.
func startChromium() (*chromium, error) {
	path, err := findChromium(exec.LookPath)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "bcache-browser-")
	if err != nil {
		return nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], // as root it has no sandbox
		chromedp.ExecPath(path), chromedp.UserDataDir(filepath.Join(dir, "profile")),
		chromedp.Env("HOME="+dir, "TMPDIR="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir),
		chromedp.Flag("hide-scrollbars", false), // people have them
	)
	allocator, end := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	c := &chromium{ctx: ctx, dir: dir, end: func() { cancel(); end() }}
	timer := time.AfterFunc(limit, cancel)
	_, err = chromedp.Run(ctx, chromedp.Title())
	if !timer.Stop() && err == nil {
		err = context.DeadlineExceeded
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s doesn't start: %w", path, err), c.stop())
	}
	return c, nil
}

// stop ends the browser, and waits until all its processes are gone.
func (c *chromium) stop() error {
	ctx, cancel := context.WithTimeout(c.ctx, limit)
	defer cancel()
	_ = chromedp.Cancel(ctx) // lets it end its children
	c.end()
	err := within(limit, func() error {
		if pids := processes(c.dir); len(pids) > 0 {
			return fmt.Errorf("processes of the browser are left: %v", pids)
		}
		return nil
	})
	return errors.Join(err, os.RemoveAll(c.dir))
}

// within waits until cond returns nil.
func within(d time.Duration, cond func() error) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(d); ; {
		err := cond()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-timeout:
			return fmt.Errorf("after %v: %w", d, err)
		}
	}
}

// processes lists those that have a text among their arguments, on systems with a /proc.
func processes(text string) (pids []string) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	for _, file := range files {
		args, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(args), text) {
			pids = append(pids, filepath.Base(filepath.Dir(file)))
		}
	}
	return pids
}

// shared is the browser of this run: all tests have it, each with a profile of its own within it.
var shared struct {
	once sync.Once
	*chromium
	err error
}

// browser is the browser of this run, which is started for the first test that wants it.
func browser(t *testing.T) *chromium {
	t.Helper()
	if !*drive && *shots == "" && mode != "required" {
		t.Skip("a browser is a load that isn't for every change: -browser")
	}
	shared.once.Do(func() { shared.chromium, shared.err = startChromium() })
	switch {
	case shared.err == nil:
	case verdict(shared.err, mode):
		t.Skip(shared.err)
	default:
		t.Fatal(shared.err)
	}
	return shared.chromium
}

func TestMain(m *testing.M) {
	if os.Getenv(orphanEnv) != "" {
		orphan()
	}
	if err := flag.Set("test.parallel", "8"); err != nil { // most of the time tests wait for the page
		panic(err)
	}
	code := m.Run()
	if shared.chromium != nil {
		if err := shared.stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}
