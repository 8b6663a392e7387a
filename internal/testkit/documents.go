package testkit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func Document(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root(t), name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Table returns the table between <!-- table:begin --> and <!-- table:end --> of a document.
func Table(t *testing.T, name, table string) (header []string, rows [][]string) {
	t.Helper()
	_, rest, hasBegin := strings.Cut(Document(t, name), "<!-- "+table+":begin -->\n")
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

// root is the folder of the module, from wherever in it a test runs.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	t.Fatalf("there is no go.mod above this test: %v", err)
	return ""
}
