package bcache

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What the documents say in figures is what the code says: here a figure that changes is noticed.
func TestFiguresInDocuments(t *testing.T) {
	text := map[string]string{}
	for _, file := range []string{"README.md", "docs/design.md", "docs/loader.md", "docs/benchmarks.md"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text[file] = strings.Join(strings.Fields(string(b)), " ")
	}
	for _, f := range []struct{ file, says string }{
		{"README.md", "`MaxRecordSize` (" + mib(MaxRecordSize) + ")"},
		{"README.md", fmt.Sprintf("`EntryOverhead` (%d bytes)", EntryOverhead)},
		{"README.md", "bucket (there are " + thousands(numBuckets) + ")"},
		{"README.md", "(" + thousands(maxOrigins) + " lives of nodes, with up to " + thousands(2*maxIntervals) + " gaps each)"},
		{"README.md", "remembers the failures of " + thousands(maxFailures) + " keys"},
		{"README.md", "at most " + thousands(maxFillsOfMany) + " `Fill`s at a time"},
		{"README.md", fmt.Sprintf("a node serves %s at a time", words[syncServing])},
		{"README.md", fmt.Sprintf("PBKDF2 (HMAC-SHA-256, %s rounds,", thousands(secretRounds))},
		{"README.md", fmt.Sprintf("waits %v seconds for the answers at most", confirmTimeout.Seconds())},
		{"README.md", fmt.Sprintf("If nothing comes for %v seconds,", syncStall.Seconds())},
		{"README.md", fmt.Sprintf("every %v seconds, or up to %v", roundMin.Seconds(), roundMax.Seconds())},
		{"README.md", fmt.Sprintf("is synced after %v seconds in which", electAfter.Seconds())},
		{"README.md", fmt.Sprintf("after %v seconds while there are writes, 25 at most", silentMost.Seconds())},
		{"README.md", fmt.Sprintf("it is cut, %v to 25 seconds", silentMost.Seconds())}, // TestStuckNeighbourIsCut
		{"docs/design.md", fmt.Sprintf("is cut (%v s with traffic, 25 s at most without", silentMost.Seconds())},
		{"docs/design.md", fmt.Sprintf("| gaps per origin | %d; %d where contexts are merged", maxIntervals, 2*maxIntervals)},
		{"docs/design.md", fmt.Sprintf("at most %d, or %d of two contexts", maxIntervals, 2*maxIntervals)},
		{"docs/loader.md", fmt.Sprintf("`MaxClockSkew` is %v unless", defaultMaxClockSkew)},
		{"docs/loader.md", fmt.Sprintf("gets at most: %s, unless", thousands(defaultBatchSize))},
		{"docs/loader.md", thousands(maxFailures) + " keys, and 32 MiB of keys and errors; beyond that"},
		{"docs/loader.md", fmt.Sprintf("%v seconds, if it isn't set,", int(defaultFillTimeout/time.Second))},
	} {
		if !strings.Contains(text[f.file], f.says) {
			t.Errorf("%s doesn't say %q", f.file, f.says)
		}
	}

	// The README's figures of speed are those that were measured last.
	table := readme(t)
	table = table[strings.Index(table, "## How fast it is"):]
	n := 0
	for _, row := range regexp.MustCompile(`(?m)^\| [^|]*[GS]ets?[^|]* \| ([0-9.]+) \|`).FindAllStringSubmatch(table, -1) {
		n++
		if !regexp.MustCompile(`\| \**bcache[^|]*\| \**` + regexp.QuoteMeta(row[1]) + `\** \|`).MatchString(text["docs/benchmarks.md"]) {
			t.Errorf("docs/benchmarks.md has no figure of bcache's like %q", row[0])
		}
	}
	if n != 5 {
		t.Errorf("%d rows were found", n)
	}
}

var words = map[int]string{3: "three", 4: "four", 5: "five"}

func mib(n int) string { return fmt.Sprintf("%d MiB", n>>20) }

// thousands writes a number with a comma between them.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
