package bcache

import (
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/coarse"
	"github.com/iwanbk/bcache/internal/delta"
	"github.com/iwanbk/bcache/internal/dots"
	"github.com/iwanbk/bcache/internal/fill"
	"github.com/iwanbk/bcache/internal/replica"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/meshnet"
	"github.com/iwanbk/bcache/transport"
)

// What the documents say in figures is what the code says: here a figure that changes is noticed.
func TestFiguresInDocuments(t *testing.T) {
	stuck := (replica.RoundFew + 2*replica.RoundMin).Seconds() // TestStuckNeighbourIsCut
	for _, f := range []struct{ file, says string }{
		{"promises", "`MaxRecordSize` (" + mib(MaxRecordSize) + ")"},
		{"promises", "bucket (there are " + thousands(delta.NumBuckets) + ")"},
		{"promises", "at most " + thousands(maxFillsOfMany) + " `Fill`s at a time"},
		{"promises", fmt.Sprintf("waits %v seconds for the answers at most", confirmTimeout.Seconds())},
		{"promises", fmt.Sprintf("The last %s nodes that went are remembered", thousands(transport.MaxGone))},
		{"promises", fmt.Sprintf("until it is cut, %v to %v seconds", replica.SilentMost.Seconds(), stuck)},
		{"promises", fmt.Sprintf("stores every %d ms, and ask the clock when a deadline is within %d ms of it",
			coarse.Every.Milliseconds(), coarse.Margin.Milliseconds())},
		{"design", fmt.Sprintf("stores the time every %d ms,", coarse.Every.Milliseconds())},
		{"design", fmt.Sprintf("more than %d ms after the stored time", coarse.Margin.Milliseconds())},
		{"testing", fmt.Sprintf("follow a `Skew` within %d ms", coarse.Every.Milliseconds())},
		{"configuration", fmt.Sprintf("`EntryOverhead` (%d bytes)", EntryOverhead)},
		{"configuration", fmt.Sprintf("`MaxClockSkew` is %v unless", defaultMaxClockSkew)},
		{"limits", thousands(dots.MaxOrigins) + " lives of nodes, with up to " + thousands(2*dots.MaxIntervals) + " gaps each"},
		{"limits", "those of " + thousands(fill.MaxFailures) + " keys"},
		{"security", fmt.Sprintf("PBKDF2 (HMAC-SHA-256, %s rounds,", thousands(meshnet.SecretRounds))},
		{"tokens", fmt.Sprintf("It has place for %d nodes (`MaxTokenNodes`)", MaxTokenNodes)},
		{"tokens", fmt.Sprintf("reads no more than %d characters", maxTokenText)},
		{"tokens", fmt.Sprintf("place for %s lives of nodes", thousands(dots.MaxOrigins))},
		{"joining", fmt.Sprintf("a node serves %s at a time", words[replica.SyncServing])},
		{"joining", fmt.Sprintf("If nothing comes for %v seconds,", replica.SyncStall.Seconds())},
		{"joining", fmt.Sprintf("every %v seconds, or %v where", replica.RoundMin.Seconds(), replica.RoundFew.Seconds())},
		{"joining", fmt.Sprintf("They wait for %v seconds first", replica.ElectAfter.Seconds())},
		{"joining", fmt.Sprintf("after %v seconds while there are writes, %v at most", replica.SilentMost.Seconds(), stuck)},
		{"joining", thousands(dots.MaxOrigins) + " lives are kept"},
		{"design", fmt.Sprintf("is cut after %v s with traffic, and %v s at most without", replica.SilentMost.Seconds(), stuck)},
		{"design", fmt.Sprintf("| gaps per origin | %d; %d where vectors are merged", dots.MaxIntervals, 2*dots.MaxIntervals)},
		{"design", fmt.Sprintf("at most %d, or %d of two vectors", dots.MaxIntervals, 2*dots.MaxIntervals)},
		{"design", "up to " + words[replica.SyncWindow] + " chunks are under way"},
		{"design", fmt.Sprintf("a round, %v s while there are writes, %v s otherwise",
			replica.RoundMin.Seconds(), replica.RoundFew.Seconds())},
		{"design", fmt.Sprintf("With up to %d neighbours (`Fanout`) a round pings all", replica.Fanout)},
		{"design", fmt.Sprintf("These are %d origins at most", delta.MaxUpTo)},
		{"scale", fmt.Sprintf("With up to %d nodes it asks all others in each round, also while nothing "+
			"happens, but then every %v seconds. With more it asks %d,",
			replica.Fanout+1, replica.RoundFew.Seconds(), replica.Fanout)},
		{"promises", fmt.Sprintf("With more than %d directly connected nodes", replica.Fanout)},
		{"wire.proto", fmt.Sprintf("then the number, a varint. At most %d.", delta.MaxUpTo)},
		{"wire.proto", fmt.Sprintf("up to %d ahead of what", replica.SyncWindow)},
		{"loader", fmt.Sprintf("gets at most: %s, unless", thousands(defaultBatchSize))},
		{"loader", thousands(fill.MaxFailures) + " keys, and 32 MiB of keys and errors; beyond that"},
		{"loader", fmt.Sprintf("The default of %v seconds, if it isn't set,", int(defaultFillTimeout/time.Second))},
	} {
		name := "docs/" + f.file
		if path.Ext(name) == "" {
			name += ".md"
		}
		if text := strings.Join(strings.Fields(testkit.Document(t, name)), " "); !strings.Contains(text, f.says) {
			t.Errorf("%s doesn't say %q", name, f.says)
		}
	}

	// The README's figures of speed are those that were measured last.
	_, table, _ := strings.Cut(testkit.Document(t, "README.md"), "\n## How fast it is\n")
	measured := testkit.Document(t, "docs/benchmarks.md")
	n := 0
	for _, row := range regexp.MustCompile(`(?m)^\| [^|]*[GS]ets?[^|]* \| ([0-9.]+) \|`).FindAllStringSubmatch(table, -1) {
		n++
		if !regexp.MustCompile(`\| \**bcache[^|]*\| \**` + regexp.QuoteMeta(row[1]) + `\** \|`).MatchString(measured) {
			t.Errorf("docs/benchmarks.md has no figure of bcache's like %q", row[0])
		}
	}
	if n != 5 {
		t.Errorf("%d rows were found", n)
	}
}

var words = map[int]string{3: "three", 4: "four", 5: "five", 16: "sixteen"}

func mib(n int) string { return fmt.Sprintf("%d MiB", n>>20) }

// thousands writes a number with a comma between them.
func thousands(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
