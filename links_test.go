package bcache

import (
	"fmt"
	iofs "io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"

	"github.com/iwanbk/bcache/internal/testkit"
)

// Every relative link of every document leads to a file that exists, and to a heading that it has.
func TestLinksLeadSomewhere(t *testing.T) {
	n := 0
	for _, name := range documents(t) {
		links, broken := checkLinks(os.DirFS("."), name)
		n += links
		for _, b := range broken {
			t.Error(b)
		}
	}
	if n < 50 {
		t.Errorf("only %d links were found", n)
	}
}

// Comments name only documents that exist.
func TestLinksOfComments(t *testing.T) {
	named := regexp.MustCompile(`\bdocs/[a-z0-9_/]+\.[a-z]+`)
	n := 0
	for _, source := range filesOf(t, ".go") {
		if source == "links_test.go" {
			continue // its documents are made up
		}
		for _, name := range named.FindAllString(testkit.Document(t, source), -1) {
			n++
			if _, err := os.Stat(name); err != nil {
				t.Errorf("%s names %s: %v", source, name, err)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d documents are named", n)
	}
}

// The source files and the tests that documents name are there.
func TestLinksToSources(t *testing.T) {
	sources := make(map[string]bool)
	tests := make(map[string]bool)
	function := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)`)
	for _, source := range filesOf(t, ".go") {
		sources[path.Base(source)] = true
		for _, m := range function.FindAllStringSubmatch(testkit.Document(t, source), -1) {
			tests[m[1]] = true
		}
	}
	n := 0
	for _, name := range documents(t) {
		text := testkit.Document(t, name)
		for _, m := range regexp.MustCompile("`([\\w]+\\.go)`").FindAllStringSubmatch(text, -1) {
			n++
			if !sources[m[1]] && m[1] != "main.go" {
				t.Errorf("%s names %s, which isn't there", name, m[1])
			}
		}
		for _, m := range regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)`").FindAllStringSubmatch(text, -1) {
			n++
			if !tests[m[1]] {
				t.Errorf("%s names %s, which isn't there", name, m[1])
			}
		}
	}
	if n < 100 {
		t.Errorf("only %d names were found", n)
	}
}

// The check of the links finds what is broken, and nothing else.
func TestLinksThatLeadNowhere(t *testing.T) {
	files := fstest.MapFS{
		"README.md": {Data: []byte("# A title: with `code`\n[file](docs/a.md) [heading](docs/a.md#once-more-1)\n" +
			"[own](#a-title-with-code) [over two\nlines](docs/a.md) [out](https://example.com/x#y)\n" +
			"![picture](docs/p.svg) `[code](none.md)`\n```\n# no heading\n[code](none.md)\n```\n" +
			"[1](none.md) [2](docs/a.md#none) [3](#no-heading) ![4](docs/none.svg) [5](docs/a.md#once-more-2)\n")},
		"docs/a.md":  {Data: []byte("## Once more\n## Once more\n[up](../README.md) [6](README.md)\n")},
		"docs/p.svg": {},
	}
	links, broken := checkLinks(files, "README.md")
	if links != 10 || len(broken) != 5 {
		t.Errorf("%d links, of which are broken %q", links, broken)
	}
	links, broken = checkLinks(files, "docs/a.md")
	if links != 2 || len(broken) != 1 {
		t.Errorf("%d links, of which are broken %q", links, broken)
	}
}

var linkTarget = regexp.MustCompile(`\]\(([^()\s]+)\)`)

// checkLinks counts the relative links of a document, and says which of them are broken.
func checkLinks(files iofs.FS, name string) (links int, broken []string) {
	for _, m := range linkTarget.FindAllStringSubmatch(prose(files, name, true), -1) {
		target, anchor, _ := strings.Cut(m[1], "#")
		if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
			continue
		}
		links++
		file := name
		if target != "" {
			file = path.Join(path.Dir(name), target)
		}
		if _, err := iofs.Stat(files, file); err != nil {
			broken = append(broken, fmt.Sprintf("%s: %s: %v", name, m[1], err))
		} else if anchor != "" && !anchors(files, file)[anchor] {
			broken = append(broken, fmt.Sprintf("%s: %s: %s has no such heading", name, m[1], file))
		}
	}
	return links, broken
}

// anchors are the names that GitHub gives to the headings of a document.
func anchors(files iofs.FS, name string) map[string]bool {
	found := make(map[string]bool)
	for line := range strings.Lines(prose(files, name, false)) {
		heading := regexp.MustCompile(`^#{1,6} +(.*)`).FindStringSubmatch(line)
		if heading == nil {
			continue
		}
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, heading[1])
		unique := slug
		for i := 1; found[unique]; i++ {
			unique = fmt.Sprintf("%s-%d", slug, i)
		}
		found[unique] = true
	}
	return found
}

// prose is a document without its blocks of code and, if it is told so, without code in its lines.
func prose(files iofs.FS, name string, withoutSpans bool) string {
	b, err := iofs.ReadFile(files, name)
	if err != nil {
		return ""
	}
	text := regexp.MustCompile("(?ms)^```.*?^```").ReplaceAllString(string(b), "")
	if withoutSpans {
		text = regexp.MustCompile("`[^`]*`").ReplaceAllString(text, "")
	}
	return text
}
