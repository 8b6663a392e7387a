package bcache

import (
	"go/format"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"strings"
	"testing"
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

// Every option of a Loader has its guarantee in the README, and how to choose it in docs/loader.md.
func TestLoaderOptionsAreDocumented(t *testing.T) {
	guide, err := os.ReadFile("docs/loader.md")
	if err != nil {
		t.Fatal(err)
	}
	text := readme(t)
	from := strings.Index(text, "## Protecting the database")
	chapter := text[from : from+strings.Index(text[from+1:], "\n## ")]
	fields := reflect.TypeFor[LoaderConfig]()
	for i := range fields.NumField() {
		name := regexp.MustCompile(`\b` + fields.Field(i).Name + `\b`)
		if fields.Field(i).Name != "FillMany" && !name.MatchString(chapter) {
			t.Errorf("the chapter of the README doesn't mention %s", name)
		}
		if fields.Field(i).Name != "FillMany" && !name.Match(guide) {
			t.Errorf("docs/loader.md doesn't mention %s", name)
		}
	}
	for _, code := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(guide), -1) {
		if b, err := format.Source([]byte(code[1])); err != nil || string(b) != code[1] {
			t.Errorf("%v: gofmt makes of it\n%s", err, b)
		}
	}
}
