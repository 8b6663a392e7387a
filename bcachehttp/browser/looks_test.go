package browser

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"

	"github.com/iwanbk/bcache/bcachehttp"
)

// pages are addresses of all kinds of pages, with long keys and short ones.
func (s *site) pages() map[string]string {
	return map[string]string{
		"node": s.urls[0] + "?refresh=0&hot=1", "node that goes on": s.urls[0],
		"form": s.urls[0] + "why", "key": s.why(0, "user:0") + "&values=1",
		"long key": s.why(0, strings.Repeat("w", 3000)), "none": s.urls[0] + "nothing",
	}
}

// each opens all pages, which stay as they are then.
func (s *site) each(tb *tab, look func(t *testing.T)) {
	for name, url := range s.pages() {
		tb.t.Run(name, func(t *testing.T) {
			outer := tb.t
			tb.t = t
			defer func() { tb.t = outer }()
			tb.wait(func() error {
				if tb.open(url) == http.StatusNotFound {
					tb.expect("404")
				}
				state, err := try[string](tb, `stop(), document.readyState`)
				if err == nil && state != "complete" {
					err = fmt.Errorf("it is %s", state)
				}
				return err
			})
			look(t)
		})
	}
}

// busySite is a site whose page has something everywhere.
func busySite(t *testing.T) *site {
	t.Helper()
	s := newSite(t, bcachehttp.Options{Values: true, Actions: true})
	t.Parallel()
	s.start(t)
	long := strings.Repeat("a-long-key/", 400)[:4000]
	if err := s.nodes[0].Set(long, strings.Repeat("value", 1000), 600); err != nil {
		t.Fatal(err)
	}
	tb := newTab(t)
	tb.wait(func() error {
		tb.open(s.urls[0] + "?refresh=0&hot=1")
		for _, id := range []string{"h-slow", "h-refused", "h-hot"} {
			if tb.count("#"+id+" ~ .scroll tbody tr") == 0 {
				return fmt.Errorf("%s has no rows", id)
			}
		}
		_, err := tb.points("fills")
		return err
	})
	return s
}

// sideways is what sticks out of the page, if that can be scrolled sideways.
const sideways = `(() => {
	const root = document.documentElement, width = Math.min(root.clientWidth, innerWidth);
	if (root.scrollWidth <= width) return [];
	const out = [...document.querySelectorAll("body *")].filter(e =>
		e.getBoundingClientRect().right > width && !e.parentElement.closest(".scroll"));
	return [root.scrollWidth + " of " + width, ...out.map(e => e.outerHTML.slice(0, 80))];
})()`

// No page can be scrolled sideways: on a desk, on phones, at 200 %, and with letters of twice the size.
func TestWidths(t *testing.T) {
	s := busySite(t)
	tb := newTab(t)
	s.each(tb, func(t *testing.T) {
		for _, size := range []struct {
			name          string
			width, height int64
			scale         float64
			font          int64
		}{
			{"desk", 1280, 800, 1, 16},
			{"desk at 200 %", 640, 400, 2, 16},
			{"desk at 400 %", 320, 200, 4, 16},
			{"desk with large letters", 1280, 800, 1, 32},
			{"phone", 390, 844, 3, 16},
			{"phone with large letters", 390, 844, 3, 24},
			{"wide", 2560, 1440, 1, 16},
		} {
			tb.size(size.width, size.height, size.scale)
			call(tb, page.SetFontSizes, page.SetFontSizesParams{FontSizes: &page.FontSizes{Standard: size.font}})
			if got := eval[int64](tb, `innerWidth`); got != size.width {
				t.Errorf("%s: the page takes itself to be %d wide", size.name, got)
			}
			font := fmt.Sprintf("%dpx", size.font)
			if got := eval[string](tb, `getComputedStyle(document.body).fontSize`); got != font {
				t.Errorf("%s: letters have %s, not %s", size.name, got, font)
			}
			if out := eval[[]string](tb, sideways); len(out) > 0 {
				t.Errorf("%s: %s", size.name, strings.Join(out, "\n\t"))
			}
		}
	})
}

// A paint is something that is to be told from what is below it.
type paint struct {
	What, Colour string
	Grounds      []string
}

// paints are texts, and what else has to be seen.
const paints = `(() => {
	const grounds = e => {
		const all = [];
		for (; e; e = e.parentElement) all.push(getComputedStyle(e).backgroundColor);
		return all;
	};
	const texts = [], others = [];
	const add = (to, what, colour, on) => to.push({What: what, Colour: colour, Grounds: on});
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const text = walker.currentNode.textContent.trim(), e = walker.currentNode.parentElement;
		if (text && e.checkVisibility()) add(texts, text.slice(0, 60), getComputedStyle(e).color, grounds(e));
	}
	for (const e of document.querySelectorAll('input:not([type="hidden"])')) {
		add(texts, "placeholder", getComputedStyle(e, "::placeholder").color, grounds(e));
		add(texts, "input", getComputedStyle(e).color, grounds(e));
		add(others, "edge of input", getComputedStyle(e).borderTopColor, grounds(e.parentElement));
	}
	for (const e of document.querySelectorAll("polyline"))
		add(others, "line", getComputedStyle(e).stroke, grounds(e.closest("figure")));
	for (const e of document.querySelectorAll("rect.fill"))
		add(others, "bar", getComputedStyle(e).fill, [getComputedStyle(e.previousElementSibling).fill]);
	return {texts, others};
})()`

// All text has a contrast of 4.5, and what else is to be seen one of 3, in light and in dark.
func TestContrast(t *testing.T) {
	s := busySite(t)
	tb := newTab(t)
	for _, scheme := range []string{"light", "dark"} {
		tb.scheme(scheme)
		s.each(tb, func(t *testing.T) {
			if !eval[bool](tb, fmt.Sprintf(`matchMedia("(prefers-color-scheme: %s)").matches`, scheme)) {
				t.Fatal("the scheme isn't set")
			}
			found := eval[struct{ Texts, Others []paint }](tb, paints)
			check := func(list []paint, least float64) {
				for _, p := range list {
					if got, err := contrastOn(p.Colour, p.Grounds); err != nil || got < least {
						t.Errorf("%s: a contrast of %.2f: %+v, %v", scheme, got, p, err)
					}
				}
			}
			check(found.Texts, 4.5)
			check(found.Others, 3)
			if len(found.Texts) < 4 {
				t.Errorf("there are only %d texts", len(found.Texts))
			}
		})
	}
}
