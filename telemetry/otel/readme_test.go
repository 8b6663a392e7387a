package bcacheotel

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// README.md lists all instruments, as they are.
func TestReadmeListsTheInstruments(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "\n| instrument |")
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(strings.TrimSpace(table), "\n")
	var want []string
	for _, i := range append(slices.Clone(observables), fillDuration, leaseWaitDuration) {
		want = append(want, row(i))
	}
	if len(rows) < 3 || !slices.Equal(rows[2:], want) {
		t.Errorf("the table of README.md should have these rows:\n%s", strings.Join(want, "\n"))
	}
}

func row(i instrument) string {
	var attrs []string
	for _, a := range i.attributes {
		attrs = append(attrs, fmt.Sprintf("`%s`", a))
	}
	return fmt.Sprintf("| `%s` | %s | %s | %s | %s |", i.name, i.kind, i.unit, strings.Join(attrs, ", "), i.description)
}
