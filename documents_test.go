package bcache

import (
	iofs "io/fs"
	"path/filepath"
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
