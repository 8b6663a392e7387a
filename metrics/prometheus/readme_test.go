package bcacheprom

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
)

// table is what README.md says of the metrics.
func table() [][]string {
	var rows [][]string
	for _, f := range families {
		labels := ""
		if len(f.labels) > 0 {
			labels = "`" + strings.Join(f.labels, "`, `") + "`"
		}
		rows = append(rows, []string{"`" + f.name + "`", string(f.kind), labels, f.help})
	}
	return rows
}

// README.md has all metrics as they are described.
func TestReadmeTable(t *testing.T) {
	_, rows := testkit.Table(t, "README.md", "metrics")
	if want := table(); !slices.EqualFunc(rows, want, slices.Equal) {
		var b strings.Builder
		for _, row := range want {
			fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
		}
		t.Errorf("the table should be\n%s", b.String())
	}
}

// What README.md shows in Go is part of the example, which runs.
func TestReadmeProgram(t *testing.T) {
	example, err := os.ReadFile("example_test.go")
	testkit.Ok(t, err)
	_, rest, _ := strings.Cut(testkit.Document(t, "README.md"), "```go\n")
	shown, _, ok := strings.Cut(rest, "```")
	flat := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	if !ok || !strings.Contains(flat(string(example)), flat(shown)) {
		t.Errorf("example_test.go doesn't have\n%s", shown)
	}
}
