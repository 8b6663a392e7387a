package browser

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"

	"github.com/iwanbk/bcache/bcachehttp"
	"github.com/iwanbk/bcache/internal/testkit"
)

// points are those of a plot's lines.
func (tb *tab) points(id string) (string, error) {
	const lines = `[...document.querySelectorAll('svg[aria-labelledby~="t-%s"] polyline')]` +
		`.map(e => e.getAttribute("points")).join(" ")`
	return try[string](tb, fmt.Sprintf(lines, id))
}

// moved waits until a plot isn't any more what it was, and returns what it is.
func (tb *tab) moved(id, was string) (now string) {
	tb.t.Helper()
	tb.wait(func() (err error) {
		if now, err = tb.points(id); err == nil && (now == was || now == "") {
			err = fmt.Errorf("the plot %s stands still at %q", id, was)
		}
		return err // of a page that goes just then
	})
	return now
}

// The page shows the node and the two others, and goes on by itself, with and without JavaScript.
func TestPage(t *testing.T) {
	for _, script := range []bool{true, false} {
		t.Run(fmt.Sprintf("script=%t", script), func(t *testing.T) {
			s := newSite(t, bcachehttp.Options{})
			t.Parallel()
			s.start(t)
			tb := newTab(t)
			call(tb, emulation.SetScriptExecutionDisabled,
				emulation.SetScriptExecutionDisabledParams{Value: !script})
			tb.open(elsewhere(t, `<!DOCTYPE html><title></title><script>document.title = "ran"</script>`))
			if ran := tb.text("title") == "ran"; ran != script {
				t.Fatalf("that scripts run is %t", ran)
			}
			if status := tb.open(s.urls[0]); status != http.StatusOK || tb.count("script") > 0 {
				t.Fatalf("the status is %d, and there are %d scripts", status, tb.count("script"))
			}
			first := tb.moved("gets", "")
			tb.moved("gets", first)
			s.checkFigures(tb)
		})
	}
}

// checkFigures looks at what the page of the first node says, while the site is under load.
func (s *site) checkFigures(tb *tab) {
	tb.t.Helper()
	tb.open(s.urls[0] + "?refresh=0")
	if got, want := tb.text("h1"), "Node "+s.id(0); got != want {
		tb.t.Errorf("the page is of %q, not %q", got, want)
	}
	if got := tb.text(".status .badge"); got != "Ready" {
		tb.t.Errorf("the node is %q", got)
	}
	others := tb.texts(`section[aria-labelledby="h-members"] tbody th`)
	want := []string{s.id(1), s.id(2)}
	if slices.Sort(others); !slices.Equal(others, slices.Sorted(slices.Values(want))) {
		tb.t.Errorf("the other nodes are %q, not %q", others, want)
	}
	for _, cell := range tb.texts(`section[aria-labelledby="h-members"] td:nth-child(2)`) {
		if !strings.HasPrefix(cell, "127.0.0.1:") && !testkit.RaceDetector { // in memory it is no address
			tb.t.Errorf("another node is at %q", cell)
		}
	}
	for _, state := range tb.texts(`section[aria-labelledby="h-members"] .badge`) {
		if state != "synced" && state != "has more than this node" {
			tb.t.Errorf("another node is %q", state)
		}
	}
	names := []string{"Hit ratio", "Gets", "Sets and Deletes", "Fills", "Received", "Sent"}
	if got := tb.texts("figcaption span"); !slices.Equal(got, names) {
		tb.t.Errorf("the plots are of %q", got)
	}
	now := tb.texts("figcaption strong")
	if f := number(tb, now[0]); f < 20 || f > 100 {
		tb.t.Errorf("the hit ratio is %q", now[0])
	}
	// A node has three workers, which ask some five times in 50 ms, were the machine not busy.
	if f := number(tb, now[1]); f < 1 || f > 3000 {
		tb.t.Errorf("there are %q Gets", now[1])
	}
	loaders := tb.texts(`section[aria-labelledby="h-loaders"] tbody th`)
	for _, prefix := range []string{"user:", "product:", "report:"} {
		if !slices.Contains(loaders, prefix) {
			tb.t.Errorf("of the Loader of %s nothing is said: %q", prefix, loaders)
		}
	}
}

// number reads the number that a text begins with.
func number(tb *tab, text string) float64 {
	tb.t.Helper()
	first, _, _ := strings.Cut(text, " ")
	f, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSuffix(first, "/s"), ",", ""), 64)
	if err != nil {
		tb.t.Errorf("%q begins with no number: %v", text, err)
	}
	return f
}

// Hot keys are counted only once somebody asks.
func TestHotKeys(t *testing.T) {
	s := newSite(t, bcachehttp.Options{})
	t.Parallel()
	s.start(t)
	tb := newTab(t)
	tb.open(s.urls[0] + "?refresh=0")
	const rows = "#h-hot ~ .scroll tbody tr"
	if n := tb.count(rows); n > 0 {
		t.Errorf("%d hot keys are shown, and nobody asked", n)
	}
	tb.click("#h-hot ~ p a.button")
	tb.wait(func() error {
		tb.open(eval[string](tb, `location.href`))
		if keys := tb.texts("#h-hot ~ .scroll tbody a"); !slices.Contains(keys, "user:0") {
			return fmt.Errorf("the key that is asked for most isn't among %q", keys)
		}
		return nil
	})
}

// Probes are answered, and a node that is closed says so.
func TestHealth(t *testing.T) {
	s := newSite(t, bcachehttp.Options{})
	t.Parallel()
	tb := newTab(t)
	for path, text := range map[string]string{"healthz": "ok", "readyz": "ready"} {
		if status := tb.open(s.urls[0] + path); status != http.StatusOK || tb.text("body") != text {
			t.Errorf("%s: %d, %q", path, status, tb.text("body"))
		}
	}
	if err := s.nodes[0].Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"healthz", "readyz", "", "why?key=k"} {
		status := tb.open(s.urls[0] + path)
		text := tb.text("body")
		if status != http.StatusServiceUnavailable || !strings.Contains(text, "closed") {
			t.Errorf("%q of a closed node: %d, %q", path, status, text)
		}
		tb.expect("503")
	}
}

// What is typed into the form leads to the page of the key.
func TestAskForKey(t *testing.T) {
	s := newSite(t, bcachehttp.Options{})
	t.Parallel()
	tb := newTab(t)
	for _, page := range []string{"?refresh=0", "", "why"} {
		tb.open(s.urls[0] + page)
		if page == "" { // it is new every few seconds, and what is typed would be lost
			if n := tb.count("input"); n > 0 {
				t.Errorf("one can type into %d fields of a page that goes", n)
			}
			tb.click(`a.button[href="why"]`)
		}
		eval[any](tb, `document.querySelector("#key").focus()`)
		const key = `user:42&values=1#<é>`
		tb.press(key)
		tb.click(`form[action="why"] button`)
		if got := tb.text("h1 code"); got != key {
			t.Errorf("asked was for %q, not %q", got, key)
		}
		at, err := url.Parse(eval[string](tb, `location.href`))
		if err != nil || at.Query().Get("key") != key || len(at.Query()) != 1 {
			t.Errorf("the address is %v: %v", at, err)
		}
	}
}
