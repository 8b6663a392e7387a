package bcacheprom

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
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

// The numbers of series are what README.md says.
func TestReadmeSeries(t *testing.T) {
	b := localCache(t)
	c, err := New(b, Options{Cache: "c"})
	testkit.Ok(t, err)
	alone := lines(t, endpoint(t, c))

	n := &fakeNode{liveNode: liveNode{b}, stats: b.Stats(), loaders: liveNode{b}.Loaders()}
	count := func() int {
		c, err := newCollector(n, Options{Cache: "c"})
		testkit.Ok(t, err)
		return lines(t, endpoint(t, c))
	}
	before := count()
	n.stats.Peers = []bcache.PeerStats{{ID: 1}}
	peer := count() - before
	n.stats.Peers = nil
	l, err := bcache.NewLoader(b, bcache.LoaderConfig{Prefix: "p:", TTL: time.Hour, Fill: fillWithKey})
	testkit.Ok(t, err)
	n.loaders = append(n.loaders, l.Stats())
	loader := count() - before
	n.loaders[1].LeaseTook.Counts[0]++
	lease := count() - before - loader

	says := fmt.Sprintf("There are %d for a cache. For each directly connected node, at most `MaxConns`, "+
		"there are %d more. For each prefix of Loaders there are %d more, and %d if it has ever waited for a lease",
		alone, peer, loader, lease)
	text := strings.Join(strings.Fields(testkit.Document(t, "README.md")), " ")
	if !strings.Contains(text, says) {
		t.Errorf("README.md doesn't say %q", says)
	}
}
