package bcachehttp

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
)

// What a prefix or a tag selects is deleted, and nothing else, whatever bytes it has.
func TestClearSome(t *testing.T) {
	cache, h := local(t, Options{Actions: true})
	for _, text := range []string{"team:7", "\x00\xff<script>", "a\r\nb&c=d+e%20", strings.Repeat("x", 256)} {
		coded := base64.StdEncoding.EncodeToString([]byte(text))
		for _, of := range []string{"prefix", "tag"} {
			for _, form := range []url.Values{
				{of: {text}}, {of + "_base64": {coded}}, {of: {text}, "confirm": {"clear"}},
			} {
				for _, path := range []string{"/clear", "/api/clear"} {
					must(t, cache.Set(text+"1", "v", 60))
					must(t, cache.Put("tagged", "v", time.Minute, text, "other"))
					must(t, cache.Put("other", "v", time.Minute, "other"))
					w := post(h, path, form)
					_, keyed := cache.Get(text + "1")
					_, tagged := cache.Get("tagged")
					_, other := cache.Get("other")
					if w.Code != http.StatusOK || keyed != (of == "tag") || tagged != (of == "prefix") || !other {
						t.Fatalf("%v: %d; there are the key %v, the tagged %v, the other %v", form, w.Code, keyed, tagged,
							other)
					}
					if path == "/clear" {
						page := pageOf(t, w.Body.String())
						if all(page, "h1")[0].text != "Cleared" || !strings.Contains(all(page, "code")[0].text, visible(text)[:5]) {
							t.Errorf("the page is %s", w.Body)
						}
					} else if v := object(t, w); v["done"] != "cleared" ||
						v[of] != strings.ToValidUTF8(text, "\ufffd") || v[of+"_base64"] != nil && v[of+"_base64"] != coded {
						t.Errorf("the answer is %v", v)
					}
				}
			}
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What isn't clear deletes nothing.
func TestClearSomeByMistake(t *testing.T) {
	cache, h := local(t, Options{Actions: true})
	must(t, cache.Put("key", "v", time.Minute, "tag"))
	for _, c := range []struct {
		form   string
		status int
	}{
		{"prefix=", 400}, {"prefix=&confirm=clear", 400}, {"prefix_base64=", 400}, {"tag=", 400},
		{"tag=&confirm=clear", 400}, {"prefix=k&tag=t", 400}, {"prefix=&tag=", 400}, {"prefix=k&prefix=k", 400},
		{"prefix=k&prefix_base64=aw%3D%3D", 400}, {"tag_base64=%21", 400}, {"prefix=k&confirm=x&confirm=x", 400},
		{"tag=" + strings.Repeat("t", bcache.MaxTagLen+1), 400},
		{"prefix=" + strings.Repeat("k", bcache.MaxPrefixLen+1), 413},
		{"prefix=" + strings.Repeat("%6b", bcache.MaxPrefixLen), 200}, // of no key
	} {
		form, err := url.ParseQuery(c.form)
		must(t, err)
		for _, path := range []string{"/clear", "/api/clear"} {
			if w := post(h, path, form); w.Code != c.status {
				t.Errorf("%.40s: %d, want %d: %s", c.form, w.Code, c.status, w.Body)
			}
			if _, ok := cache.Get("key"); !ok {
				t.Fatalf("%.40s deleted something", c.form)
			}
		}
	}
}

// The page has a form for each, and each has its one field: who sends it can't get another one's effect.
func TestClearForms(t *testing.T) {
	fieldsOf := func(opts Options) (names []string) {
		_, h := local(t, opts)
		for _, input := range all(pageOf(t, get(t, h, "/?refresh=0", 200).Body.String()), "input") {
			names = append(names, input.attrs["name"])
		}
		return names
	}
	if got, want := fieldsOf(Options{Actions: true}), []string{"key", "prefix", "tag", "confirm"}; !slices.Equal(got, want) {
		t.Errorf("the fields are %v", got)
	}
	no := func(_ *http.Request, action Action) error {
		if action == Clear {
			return bcache.ErrClosed
		}
		return nil
	}
	for _, opts := range []Options{{}, {Actions: true, Authorize: no}} {
		if got := fieldsOf(opts); !slices.Equal(got, []string{"key"}) {
			t.Errorf("without leave the fields are %v", got)
		}
		_, h := local(t, opts)
		if w := post(h, "/api/clear", url.Values{"tag": {"t"}}); w.Code != 403 && w.Code != 404 {
			t.Errorf("without leave: %d", w.Code)
		}
	}
}

// The page and the JSON of a key have its tags, and the Clear that hides it.
func TestWhyOfGroups(t *testing.T) {
	cache, h := local(t, Options{})
	must(t, cache.Put("k:1", "v", time.Minute, "team:7", "\xff<b>"))
	held := heldIn(getJSON(t, h, "/api/why?key=k:1", 200))
	if fmt.Sprint(held["tags"]) != "[team:7 \ufffd<b>]" || fmt.Sprint(held["tags_base64"]) != "[dGVhbTo3 /zxiPg==]" {
		t.Errorf("the tags are %v, %v", held["tags"], held["tags_base64"])
	}
	page := get(t, h, "/why?key=k:1", 200).Body.String()
	if text := all(pageOf(t, page), "article")[0].text; strings.Count(text, `\xff<b>`) != 1 {
		t.Errorf("the page has %q", text)
	}

	must(t, cache.ClearPrefix("k:"))
	report := getJSON(t, h, "/api/why?key=k:1", 200)["reports"].([]any)[0].(map[string]any)
	clear, _ := report["key_clear"].(map[string]any)
	if report["cleared"] != true || clear["prefix"] != "k:" || clear["version"] == nil || clear["at"] == nil ||
		!strings.HasPrefix(report["text"].(string), "Has nothing any more: the Clear of the prefix k: by node a1 at ") {
		t.Errorf("the report is %v", report)
	}
	page = get(t, h, "/why?key=k:1", 200).Body.String()
	if text := all(pageOf(t, page), "article")[0].text; !strings.Contains(text, "Last Clear of a prefix") {
		t.Errorf("the page has %q", text)
	}
}

// The bound of what is remembered is the one that the page has.
func TestBoundOfClears(t *testing.T) {
	cache, _ := local(t, Options{})
	most := 0
	for i := range maxClears + 10 {
		must(t, cache.ClearTag(fmt.Sprint(i)))
		most = max(most, cache.Stats().ClearsRemembered)
	}
	if s := cache.Stats(); most != maxClears || s.DroppedClears == 0 {
		t.Errorf("at most %d were remembered, and %d forgotten", most, s.DroppedClears)
	}
}
