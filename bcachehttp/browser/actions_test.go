package browser

import (
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/bcachehttp"
)

// hold sets a key, and waits until all nodes have it.
func (s *site) hold(t *testing.T, key string) {
	t.Helper()
	if err := s.nodes[0].Set(key, "v", 600); err != nil {
		t.Fatal(err)
	}
	s.settle(t, key, true)
}

// settle waits until all nodes have a key, or have it no more.
func (s *site) settle(t *testing.T, key string, want bool) {
	t.Helper()
	if err := within(limit, func() error {
		for i, node := range s.nodes {
			if _, ok := node.Get(key); ok != want {
				return fmt.Errorf("node %d: that it has %q is %t", i, key, ok)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// By default nothing can be changed.
func TestNoActions(t *testing.T) {
	s := newSite(t, bcachehttp.Options{})
	t.Parallel()
	tb := newTab(t)
	s.hold(t, "k")
	for _, page := range []string{"?refresh=0", "why?key=k"} {
		tb.open(s.urls[0] + page)
		if n := tb.count(`form:not([method="get"]), .danger`); n > 0 {
			t.Errorf("%s has %d things that change something", page, n)
		}
	}
	tb.open("data:text/html," + url.PathEscape(attack(s.urls[0]+"delete", "k")))
	if status := tb.click("button"); status != http.StatusNotFound {
		t.Errorf("the status is %d", status)
	}
	tb.expect("404")
	s.settle(t, "k", true)
}

// A key that is deleted by the button is deleted at all nodes, and all is cleared once that is
// confirmed.
func TestActions(t *testing.T) {
	s := newSite(t, bcachehttp.Options{Actions: true})
	t.Parallel()
	tb := newTab(t)
	s.hold(t, "k")
	tb.open(s.why(0, "k"))
	if status := tb.click(`form[action="delete"] button`); status != http.StatusOK {
		t.Errorf("the status is %d", status)
	}
	s.settle(t, "k", false)
	s.nodesSay(tb, "k", "Deleted by node "+s.id(0))

	s.hold(t, "other")
	tb.open(s.urls[0] + "?refresh=0")
	at := eval[string](tb, `location.href`)
	confirm := func(text string) {
		eval[any](tb, `document.querySelector("#confirm").focus()`)
		tb.press(text)
	}
	confirm("clea")
	const button = `form:has(#confirm) button`
	eval[any](tb, `document.querySelector('`+button+`').click()`)
	if valid := eval[bool](tb, `document.querySelector("#confirm").checkValidity()`); valid ||
		eval[string](tb, `location.href`) != at {
		t.Error("a clear that isn't confirmed is sent")
	}
	confirm("r")
	status := tb.click(button)
	if status != http.StatusOK || tb.text("h1") != "Cleared" {
		t.Errorf("the status is %d, the page %q", status, tb.text("body"))
	}
	s.settle(t, "other", false)

	s.hold(t, "page:1")
	tb.open(s.urls[0] + "?refresh=0")
	eval[any](tb, `document.querySelector("#prefix").focus()`)
	tb.press("page:")
	status = tb.click(`form:has(#prefix) button`)
	if text := tb.text("main"); status != http.StatusOK || !strings.Contains(text, "page:") {
		t.Errorf("the status is %d, the page %q", status, text)
	}
	s.settle(t, "page:1", false)
}

// attack is a page that sends a form somewhere.
func attack(to, key string) string {
	return fmt.Sprintf(`<!DOCTYPE html><html lang="en"><title>Kittens</title>`+
		`<form method="post" action="%s"><input type="hidden" name="key_base64" value="%s">`+
		`<input type="hidden" name="confirm" value="clear">`+
		`<button>More kittens</button></form>`, html.EscapeString(to),
		base64.StdEncoding.EncodeToString([]byte(key)))
}

// elsewhere serves a page of somebody else.
func elsewhere(t *testing.T, page string) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, page)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// A page of somebody else can't have the browser of an operator change anything.
func TestCrossOrigin(t *testing.T) {
	s := newSite(t, bcachehttp.Options{Actions: true})
	t.Parallel()
	tb := newTab(t)
	s.hold(t, "k")
	for _, path := range []string{"delete", "clear", "api/delete", "api/clear"} {
		page := attack(s.urls[0]+path, "k")
		other := elsewhere(t, page)
		for _, from := range []string{
			other, // the same site for a browser, of another origin
			strings.Replace(other, "127.0.0.1", "localhost", 1),
			"data:text/html," + url.PathEscape(page),
		} {
			tb.open(from)
			if status := tb.click("button"); status != http.StatusForbidden {
				t.Errorf("to %s from %.30s: the status is %d", path, from, status)
			}
			tb.expect("403")
		}
	}
	s.settle(t, "k", true)
}

// A page of somebody else can't have ours within it, to have an operator press a button unknowingly.
func TestFrames(t *testing.T) {
	s := newSite(t, bcachehttp.Options{Actions: true})
	t.Parallel()
	tb := newTab(t)
	s.hold(t, "k")
	tb.open(elsewhere(t, `<!DOCTYPE html><html lang="en"><title>Kittens</title><iframe src="`+
		html.EscapeString(s.why(0, "k"))+`"></iframe>`))
	tb.expect("frame-ancestors")
}
