package bcache

import (
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/testkit"
)

// The picture is what its program draws.
func TestTimelineIsDrawn(t *testing.T) {
	want, err := exec.Command("go", "run", "./docs/timeline").Output()
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("docs/timeline.svg")
	if err != nil || string(got) != string(want) {
		t.Errorf("docs/timeline.svg isn't what go run ./docs/timeline prints (%v)", err)
	}
}

// Every option of a Loader has its guarantee in docs/loader.md, and how to choose it.
func TestLoaderOptionsAreDocumented(t *testing.T) {
	before, rest, found := strings.Cut(testkit.Document(t, "docs/loader.md"), "\n## What each option guarantees\n")
	guarantees, after, foundEnd := strings.Cut(rest, "\n## ")
	if !found || !foundEnd {
		t.Fatal("docs/loader.md has no chapter of guarantees")
	}
	fields := reflect.TypeFor[LoaderConfig]()
	for i := range fields.NumField() {
		name := regexp.MustCompile(`\b` + fields.Field(i).Name + `\b`)
		if fields.Field(i).Name != "FillMany" && !name.MatchString(guarantees) {
			t.Errorf("the guarantees don't mention %s", name)
		}
		if !name.MatchString(before + after) {
			t.Errorf("docs/loader.md doesn't say how to choose %s", name)
		}
	}
}
