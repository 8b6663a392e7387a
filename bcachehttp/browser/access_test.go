package browser

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
)

// stops are what people can use, as far as it can be seen, in the order of the page. Each remembers its
// number.
const stops = `(() => {
	const usable = 'a[href], button, input:not([type="hidden"]), summary, [tabindex="0"]';
	const all = [...document.querySelectorAll(usable)].filter(e => e.checkVisibility());
	all.forEach((e, i) => e.stop = i);
	return all.map(e => e.outerHTML.slice(0, 80));
})()`

// A focus is what has it, and how that looks.
type focus struct {
	Stop    int // its number; -1: nothing that has one
	Style   string
	Width   float64 // CSS pixels
	Colour  string
	Grounds []string
	InView  bool
}

const focused = `(() => {
	const e = document.activeElement, look = getComputedStyle(e), box = e.getBoundingClientRect();
	const grounds = [];
	for (let p = e.parentElement; p; p = p.parentElement) grounds.push(getComputedStyle(p).backgroundColor);
	return {
		Stop: e.stop ?? -1, Style: look.outlineStyle, Width: parseFloat(look.outlineWidth),
		Colour: look.outlineColor, Grounds: grounds, InView: box.bottom > 0 && box.top < innerHeight,
	};
})()`

// Whatever can be used is reached by the Tab key, in the order of the page, and can be seen to be.
func TestKeyboard(t *testing.T) {
	s := busySite(t)
	tb := newTab(t)
	s.each(tb, func(t *testing.T) {
		all := eval[[]string](tb, stops)
		for i, what := range all {
			tb.tabKey()
			f := eval[focus](tb, focused)
			if f.Stop != i {
				t.Fatalf("Tab leads to number %d, not %d: %s", f.Stop, i, what)
			}
			ratio, err := contrastOn(f.Colour, f.Grounds)
			if f.Style == "none" || f.Width < 2 || err != nil || ratio < 3 || !f.InView {
				t.Errorf("that %s has the focus can't be seen: %+v, a contrast of %.2f, %v", what, f, ratio, err)
			}
		}
		if tb.tabKey(); len(all) < 2 {
			t.Errorf("only %q can be used", all)
		}
	})
}

// A thing is what people hear of an element.
type thing struct {
	role, name string
	level      int
	in         []string // the roles that it is in, the next one first
}

// things are all of a page, as a screen reader has them.
func (tb *tab) things() []thing {
	tb.t.Helper()
	call(tb, accessibility.Enable, struct{}{})
	nodes := call(tb, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes
	byID := map[accessibility.NodeID]*accessibility.Node{}
	for _, n := range nodes {
		byID[n.NodeID] = n
	}
	var all []thing
	for _, n := range nodes {
		if n.Ignored {
			continue
		}
		th := thing{role: value(n.Role), name: value(n.Name)}
		for _, p := range n.Properties {
			if p.Name == accessibility.PropertyNameLevel {
				_ = json.Unmarshal(p.Value.Value, &th.level)
			}
		}
		for p := byID[n.ParentID]; p != nil; p = byID[p.ParentID] {
			if !p.Ignored {
				th.in = append(th.in, value(p.Role))
			}
		}
		all = append(all, th)
	}
	return all
}

// value is a text of the tree.
func value(v *accessibility.Value) string {
	var text string
	if v != nil {
		_ = json.Unmarshal(v.Value, &text)
	}
	return text
}

// named are the roles of what needs a name.
var named = []string{
	"image", "img", "link", "button", "textbox", "table", "region", "article", "heading", "rowheader",
	"columnheader",
}

// checkThings says what is wrong for those who hear a page.
func checkThings(all []thing) (wrong []string) {
	no := func(format string, v ...any) { wrong = append(wrong, fmt.Sprintf(format, v...)) }
	count := map[string]int{}
	level := 0
	names := map[string]bool{}
	for _, th := range all {
		count[th.role]++
		if slices.Contains(named, th.role) && th.name == "" {
			no("a %s in %v has no name", th.role, th.in)
		}
		switch th.role {
		case "heading":
			if th.level == 1 {
				count["h1"]++
			}
			if th.level > level+1 {
				no("%q has the level %d, and follows one of %d", th.name, th.level, level)
			}
			level = th.level
		case "region":
			if names[th.name] {
				no("two regions have the name %q", th.name)
			}
			names[th.name] = true
		case "cell", "gridcell", "columnheader", "rowheader":
			if !slices.Contains(th.in, "table") {
				no("a %s isn't in a table but in %v", th.role, th.in)
			}
		}
	}
	for _, role := range []string{"h1", "main", "banner"} {
		if count[role] != 1 {
			no("it has %d %s", count[role], role)
		}
	}
	if count["contentinfo"] > 1 {
		no("it has %d footers", count["contentinfo"])
	}
	if tables := count["table"]; tables > 0 && count["columnheader"] < 2*tables {
		no("%d tables have %d headers of columns", tables, count["columnheader"])
	}
	return wrong
}

// Who hears the page finds the way in it: headings, landmarks, tables and images that say what they are.
func TestAccessibility(t *testing.T) {
	s := busySite(t)
	tb := newTab(t)
	s.each(tb, func(t *testing.T) {
		all := tb.things()
		for _, wrong := range checkThings(all) {
			t.Error(wrong)
		}
		if lang := eval[string](tb, `document.documentElement.lang`); lang != "en" {
			t.Errorf("its language is %q", lang)
		}
		captions := eval[[]string](tb, `[...document.querySelectorAll("table")]
			.filter(e => !e.caption?.textContent.trim() || !e.tHead).map(e => e.outerHTML.slice(0, 80))`)
		if len(captions) > 0 {
			t.Errorf("tables without a caption, or a head: %q", captions)
		}
	})
}
