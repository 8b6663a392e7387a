package transporttest

import "testing"

// Stacks have the dots of a path's last part escaped.
func TestEscaped(t *testing.T) {
	for path, want := range map[string]string{
		"example.com/engine": "example.com/engine", "example.com/a.b/engine.go": "example.com/a.b/engine%2ego",
	} {
		if got := escaped(path); got != want {
			t.Errorf("escaped(%q) = %q, want %q", path, got, want)
		}
	}
}
