package browser

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachehttp"
)

// nodesSay waits until the page of a key at each node has a text for each node.
func (s *site) nodesSay(tb *tab, key, text string) {
	tb.t.Helper()
	for i := range s.nodes {
		tb.wait(func() error {
			if status := tb.open(s.why(i, key)); status != http.StatusOK {
				return fmt.Errorf("the status is %d", status)
			}
			said := tb.texts("article > p")
			for _, line := range said {
				if !strings.Contains(line, text) {
					return fmt.Errorf("node %d: %q isn't in %q", i, text, said)
				}
			}
			if len(said) != len(s.nodes) {
				return fmt.Errorf("node %d: %d nodes say something", i, len(said))
			}
			return nil
		})
		if got, own := tb.texts("article h3")[0], s.id(i); !strings.HasPrefix(got, "Node "+own+" this one") {
			tb.t.Errorf("the first node is %q, not the one of the page, %s", got, own)
		}
	}
}

// The page of a key says why there is nothing: at each node, of all nodes.
func TestWhy(t *testing.T) {
	s := newSite(t, bcachehttp.Options{})
	t.Parallel()
	tb := newTab(t)
	s.nodesSay(tb, "never", "never heard of the key")

	if err := s.nodes[0].Set("k", "v", 600); err != nil {
		t.Fatal(err)
	}
	s.nodesSay(tb, "k", "Has a value (2 B with its key), written by node "+s.id(0)+" at ")
	if err := s.nodes[1].Delete("k"); err != nil {
		t.Fatal(err)
	}
	s.nodesSay(tb, "k", "Deleted by node "+s.id(1)+" at ")
	if got := tb.text(".summary"); got != "Agreed All 3 nodes have the same: that the key is deleted." {
		t.Errorf("in short: %q", got)
	}
}

// The page of a key that was evicted says that.
func TestWhyEvicted(t *testing.T) {
	s := newSite(t, bcachehttp.Options{})
	t.Parallel()
	tb := newTab(t)
	const key = "rarely used"
	if err := s.nodes[0].Set(key, "v", 600); err != nil {
		t.Fatal(err)
	}
	n := 0
	tb.wait(func() error {
		for range 20 {
			n++
			if err := s.nodes[0].Set(fmt.Sprint("other", n), "v", 600); err != nil {
				return err
			}
		}
		for _, node := range s.nodes {
			reports, err := node.Inspect().Why(t.Context(), key, false)
			if err != nil || reports[0].Held != nil {
				return fmt.Errorf("of %d others none made the key be evicted: %v", n, err)
			}
		}
		return nil
	})
	s.nodesSay(tb, key, "Has nothing: evicted")
}

// Nodes that don't answer are shown as such.
func TestWhyWithoutAnswers(t *testing.T) {
	c, s := inMemory(t, bcache.Config{MaxKeys: 100}, bcachehttp.Options{})
	t.Parallel()
	tb := newTab(t)
	s.nodesSay(tb, "k", "never heard of the key")
	c.Loss(1)
	tb.open(s.why(0, "k"))
	silent := 0
	for _, text := range tb.texts("article") {
		if strings.Contains(text, "no answer") && strings.Contains(text, "It doesn't answer: it is cut off") {
			silent++
		}
	}
	const short = "As far as known The one node that answered"
	if got := tb.text(".summary"); silent != 2 || !strings.HasPrefix(got, short) {
		t.Errorf("%d nodes are silent; in short: %q", silent, got)
	}
}

// hostile are keys of which nothing but their text may be seen.
var hostile = map[string]string{
	"HTML":         `"'></a></code></p><script>alert(1)</script><img src=x onerror=alert()><b id=injected>`,
	"not UTF-8":    "\xff\xfe<b id=injected>\x00\xc3",
	"address":      "javascript:alert(1)",
	"entities":     `&lt;b id=injected&gt;&#x3c;b&#62;&amp;key=other;`,
	"direction":    "\u202e\u2066txt.exe\u2069",
	"lines":        "a\r\nSet-Cookie: a=b\r\n\r\n<b id=injected>",
	"of a CSS URL": `url("//example.com/x")</style><style>*{display:none}</style>`,
}

// skeleton lists the elements of a page, with the names of their attributes.
func (tb *tab) skeleton() string {
	tb.t.Helper()
	return eval[string](tb, `[...document.querySelectorAll("*")].map(e => e.tagName + "[" +
		[...e.attributes].map(a => a.name).join() + "]").join("\n")`)
}

// No key, value or prefix of a Loader puts anything into a page but text.
func TestHostileKeys(t *testing.T) {
	s := newSite(t, bcachehttp.Options{Values: true, Actions: true})
	t.Parallel()
	tb := newTab(t)
	set := func(key, value string) {
		t.Helper()
		if err := s.nodes[0].Set(key, value, 600); err != nil {
			t.Fatal(err)
		}
		s.nodesSay(tb, key, "Has a value")
		tb.open(s.why(1, key) + "&values=1")
	}
	set("harmless", "harmless")
	harmless := tb.skeleton()
	for _, name := range slices.Sorted(maps.Keys(hostile)) {
		key := hostile[name]
		set(key, key)
		if got := tb.skeleton(); got != harmless {
			t.Errorf("%s: the page has other elements: %s", name, got)
		}
		if tb.click(`form[action="delete"] button`); tb.text("h1") != "Deleted" {
			t.Errorf("%s isn't deleted: %s", name, tb.text("main"))
		}
		if _, ok := s.nodes[1].Get(key); ok {
			t.Errorf("%s is deleted, and is still there", name)
		}
		tb.click("a.key") // it leads to the same key
		s.checkDeleted(tb, name)
	}
	s.checkLists(tb)
}

// checkDeleted looks whether the page is of a key that the second node deleted.
func (s *site) checkDeleted(tb *tab, name string) {
	tb.t.Helper()
	if said := tb.texts("article > p"); !strings.HasPrefix(said[0], "Deleted by node "+s.id(1)) {
		tb.t.Errorf("%s: the link leads to another key: %q", name, said)
	}
}

// checkLists looks at hostile keys in the lists of the page.
func (s *site) checkLists(tb *tab) {
	tb.t.Helper()
	fill := func(_ context.Context, key string) (bcache.Loaded, error) {
		return bcache.Loaded{Value: key, TTL: bcache.NoExpiry}, nil
	}
	for _, key := range hostile {
		l, err := bcache.NewLoader(s.nodes[0], bcache.LoaderConfig{Prefix: key, Fill: fill, TTL: time.Hour})
		if err != nil {
			tb.t.Fatal(err)
		}
		_, _ = l.Get(tb.t.Context(), key)
	}
	tb.open(s.urls[0] + "?refresh=0")
	if n := tb.count("#h-slow ~ .scroll tbody tr"); n != len(hostile) {
		tb.t.Errorf("%d slow fills are shown of %d", n, len(hostile))
	}
	if n := tb.count(`#injected, script, img, b, style, body [src], [onerror]`); n > 0 {
		tb.t.Errorf("keys have put %d elements into the page", n)
	}
	for i := range len(hostile) {
		tb.open(s.urls[0] + "?refresh=0")
		tb.click(fmt.Sprintf("#h-slow ~ .scroll tbody tr:nth-child(%d) a", i+1))
		if said := tb.texts("article > p"); !strings.HasPrefix(said[0], "Has a value") {
			tb.t.Errorf("link %d leads to another key: %q", i, said)
		}
	}
}
