package bcache

import (
	iofs "io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// documents lists the Markdown files of the repository.
func documents(t *testing.T) []string {
	t.Helper()
	names := filesOf(t, ".md")
	if len(names) < 15 {
		t.Fatalf("only %d documents were found", len(names))
	}
	return names
}

// filesOf lists the files of the repository that have an extension.
func filesOf(t *testing.T, extension string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, entry iofs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path == ".git":
			return filepath.SkipDir
		case filepath.Ext(path) == extension:
			names = append(names, filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func document(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// documentTable returns the table between <!-- table:begin --> and <!-- table:end --> of a document.
func documentTable(t *testing.T, name, table string) (header []string, rows [][]string) {
	t.Helper()
	_, rest, hasBegin := strings.Cut(document(t, name), "<!-- "+table+":begin -->\n")
	text, _, hasEnd := strings.Cut(rest, "<!-- "+table+":end -->")
	if !hasBegin || !hasEnd {
		t.Fatalf("%s has no table %q", name, table)
	}
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for j := range cells {
			cells[j] = strings.TrimSpace(cells[j])
		}
		switch {
		case i == 0:
			header = cells
		case len(cells) != len(header):
			t.Fatalf("a row has %d cells instead of %d: %s", len(cells), len(header), line)
		case i > 1: // below the line of dashes
			rows = append(rows, cells)
		}
	}
	return header, rows
}
