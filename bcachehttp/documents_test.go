package bcachehttp

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/iwanbk/bcache"
)

// docs/observing.md says of the page what is true of it.
func TestDocument(t *testing.T) {
	b, err := os.ReadFile("../docs/observing.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(b), "\n## The page\n")
	text, _, _ = strings.Cut(text, "\n## ")
	says := func(what string) {
		t.Helper()
		if !strings.Contains(strings.Join(strings.Fields(text), " "), what) {
			t.Errorf("it doesn't say %q", what)
		}
	}
	says(fmt.Sprintf("anew every %d seconds", refreshEvery))
	says(fmt.Sprintf("%d answers are made at a time", maxAnswers))
	says(fmt.Sprintf("?n=%d` | the keys found most often, of up to %d;", fewKeys, mostKeys))
	says("A key has at most " + whole(bcache.MaxWhyKey) + " bytes")
	says("every two seconds of the last five minutes")
	if (samples-1)*sampleEvery.Minutes() != 5 || sampleEvery.Seconds() != 2 {
		t.Error("it isn't two seconds, or five minutes")
	}
	for path := range routesOf(Options{Actions: true}) {
		if strings.HasPrefix(path, "/api/") {
			says(path)
		}
	}
	for _, action := range []string{"Health", "View", "Why", "Value", "Delete", "Clear"} {
		says("`" + action + "`")
	}
	for _, of := range []any{
		overviewJSON{}, historyJSON{}, hotJSON{}, refusedJSON{}, slowFillsJSON{}, whyJSON{},
		clearedJSON{},
	} {
		for _, name := range tagsOf(reflect.TypeOf(of)) {
			says("`" + name + "`")
		}
	}
}

// tagsOf are the names of all fields of a type, and of types in it.
func tagsOf(of reflect.Type) []string {
	switch of.Kind() {
	case reflect.Pointer, reflect.Slice:
		return tagsOf(of.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	var all []string
	for i := range of.NumField() {
		field := of.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name != "" {
			all = append(all, name)
		}
		all = append(all, tagsOf(field.Type)...)
	}
	return all
}
