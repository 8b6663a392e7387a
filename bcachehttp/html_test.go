package bcachehttp

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// An element is one of a page.
type element struct {
	name  string
	attrs map[string]string
	in    string // the names of those that it is in
	text  string // in it, and in those in it
}

// void are the elements that have no end.
var void = []string{"meta", "link", "input", "br", "hr", "img"}

// elements reads a page, and complains if it isn't well-formed: every element ends, in the right order.
func elements(page string) ([]*element, error) {
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.Entity = false, xml.HTMLEntity
	var all, open []*element
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local, attrs: map[string]string{}}
			for _, o := range open {
				e.in += " " + o.name
			}
			for _, a := range token.Attr {
				if _, twice := e.attrs[a.Name.Local]; twice {
					return nil, fmt.Errorf("<%s> has two %s", e.name, a.Name.Local)
				}
				e.attrs[a.Name.Local] = a.Value
			}
			if all = append(all, e); !slices.Contains(void, e.name) {
				open = append(open, e)
			}
		case xml.EndElement:
			if slices.Contains(void, token.Name.Local) {
				continue // the reader ends what is written <path/>
			}
			n := len(open)
			if n == 0 || open[n-1].name != token.Name.Local {
				return nil, fmt.Errorf("</%s> ends nothing: open are %v", token.Name.Local, names(open))
			}
			open = open[:n-1]
		case xml.CharData:
			for _, e := range open {
				e.text += string(token)
			}
		}
	}
	if len(open) > 0 {
		return nil, fmt.Errorf("never ended: %v", names(open))
	}
	return all, nil
}

func names(list []*element) []string {
	var all []string
	for _, e := range list {
		all = append(all, e.name)
	}
	return all
}

// all has the elements of a name.
func all(page []*element, name string) []*element {
	var found []*element
	for _, e := range page {
		if e.name == name {
			found = append(found, e)
		}
	}
	return found
}

// checkPage says what is wrong with a page: with its form, and for those who can't see it.
func checkPage(page string) (list []*element, wrong []string) {
	list, err := elements(page)
	if err != nil {
		return nil, []string{err.Error()}
	}
	no := func(format string, v ...any) { wrong = append(wrong, fmt.Sprintf(format, v...)) }
	if !strings.HasPrefix(page, "<!DOCTYPE html>\n<html lang=\"en\">") {
		no("it doesn't begin as a page does")
	}
	ids, labels := map[string]bool{}, map[string]bool{}
	for _, e := range list {
		if id, ok := e.attrs["id"]; ok {
			if ids[id] {
				no("two elements have the id %q", id)
			}
			ids[id] = true
		}
		if e.name == "label" {
			labels[e.attrs["for"]] = true
		}
	}
	for _, name := range []string{"h1", "main", "title", "header"} {
		if n := len(all(list, name)); n != 1 && name != "title" {
			no("it has %d <%s>", n, name)
		}
	}
	for _, e := range list {
		for name, value := range e.attrs {
			switch {
			case strings.HasPrefix(name, "on"), name == "style":
				no("<%s> has a %s", e.name, name)
			case name == "aria-labelledby":
				for id := range strings.FieldsSeq(value) {
					if !ids[id] {
						no("<%s> is labelled by %q, which isn't there", e.name, id)
					}
				}
			case name == "href" || name == "action" || name == "src":
				if !regexp.MustCompile(`^(\./|why|api/|style\.css|delete$|clear$|data:,$)`).MatchString(value) {
					no("<%s> leads to %q", e.name, value)
				}
			}
		}
		switch e.name {
		case "script", "iframe", "object", "embed", "base", "img", "b", "style":
			no("it has a <%s>", e.name)
		case "th":
			if e.attrs["scope"] == "" {
				no("<th>%s has no scope", e.text)
			}
		case "svg":
			named := e.attrs["role"] == "img" && e.attrs["aria-labelledby"] != ""
			if e.attrs["aria-hidden"] != "true" && !named {
				no("a drawing has no name")
			}
		case "input":
			if e.attrs["type"] != "hidden" && !labels[e.attrs["id"]] {
				no("<input> %s has no label", e.attrs["name"])
			}
		}
	}
	if tables := len(all(list, "table")); len(all(list, "caption")) != tables {
		no("not each of %d tables has a caption", tables)
	}
	return list, wrong
}

// pageOf checks a page, and returns its elements.
func pageOf(t testing.TB, page string) []*element {
	t.Helper()
	list, wrong := checkPage(page)
	if len(wrong) > 0 {
		t.Fatalf("%s\n\n%.3000s", strings.Join(wrong, "\n"), page)
	}
	return list
}

// The check of pages finds what is wrong, and nothing else.
func TestCheckPage(t *testing.T) {
	const begin = "<!DOCTYPE html>\n<html lang=\"en\"><head><title>T</title></head><body>" +
		"<header><h1>x</h1></header><main>"
	const end = "</main></body></html>"
	if _, wrong := checkPage(begin + `<p id="a">&lt;script> &amp; <br>` +
		`<svg aria-hidden="true"><path d="M0"/></svg><label for="k">K</label><input id="k" required></p>` +
		end); len(wrong) > 0 {
		t.Errorf("nothing is wrong, but %q", wrong)
	}
	for _, bad := range []string{
		"<p>", "</p>", "<p><b></p></b>", "<script></script>", `<p onclick="x"></p>`, `<a href="//x"></a>`,
		`<a href="javascript:x"></a>`, "<h1></h1>", `<input name="x">`, "<th></th>", "<table></table>",
		`<p id="x"></p><p id="x"></p>`, `<p aria-labelledby="none"></p>`, "<svg></svg>", `<p style="x"></p>`,
	} {
		if _, wrong := checkPage(begin + bad + end); len(wrong) == 0 {
			t.Errorf("nothing is said of %q", bad)
		}
	}
}
