package bcachehttp

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/iwanbk/bcache"
)

// hostile is what nobody should be able to write into a page.
const hostile = `</title></main><script>alert(1)</script>"><img src=x onerror=alert(1)>' ` +
	`onclick='x' javascript:x`

// FuzzWhy asks about any key, with any value.
func FuzzWhy(f *testing.F) {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = cache.Close() })
	h := Handler(cache, Options{Values: true, Actions: true})
	f.Add("user:42", "v")
	f.Add(hostile, hostile)
	f.Add("\x00\xff\r\n\u2028", "\x00\xff")
	f.Add(strings.Repeat("k", 5000), "")
	f.Add("{{.}}", "${x}")
	f.Fuzz(func(t *testing.T, key, value string) {
		var tags []string
		if value != "" {
			tags = []string{value[:min(len(value), bcache.MaxTagLen)]}
		}
		if err := cache.Put(key, value, time.Minute, tags...); err != nil {
			t.Skip("it is too large")
		}
		status := http.StatusOK
		if len(key) > bcache.MaxWhyKey {
			status = http.StatusRequestURITooLong
		}
		page := pageOf(t, get(t, h, whyOf("/why", key)+"&values=1", status).Body.String())
		v := getJSON(t, h, whyOf("/api/why", key)+"&values=1", status)
		if status != http.StatusOK {
			return
		}
		if text := all(page, "h1")[0].text; !strings.Contains(text, shown(key, mostToRead)) {
			t.Errorf("the page of %q is of %q", key, text)
		}
		got := v["key"].(string)
		if coded, ok := v["key_base64"].(string); ok {
			bytes, err := base64.StdEncoding.DecodeString(coded)
			if got = string(bytes); err != nil || utf8.ValidString(key) {
				t.Errorf("%q is %q: %v", key, coded, err)
			}
		}
		if got != key {
			t.Errorf("%q is %q", key, got)
		}
		held := heldIn(v)
		if coded, ok := held["tags_base64"].([]any); ok {
			held["tags"] = []any{decoded(t, coded[0].(string))}
		}
		if of, _ := held["tags"].([]any); len(of) != len(tags) || len(of) == 1 && of[0] != tags[0] {
			t.Errorf("the tags of %q are %q, want %q", key, of, tags)
		}
	})
}

func decoded(t *testing.T, coded string) string {
	b, err := base64.StdEncoding.DecodeString(coded)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// FuzzRequest sends any path and query, and any form.
func FuzzRequest(f *testing.F) {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = cache.Close() })
	h := Handler(cache, Options{Values: true, Actions: true})
	f.Add("/why", "key=%ff&values=1", "key=k")
	f.Add("/", "refresh=0&hot=1", "")
	f.Add("", "x=y", "confirm=clear")
	f.Add("/delete", "", "key_base64=%2f%2f")
	f.Add("/clear", "", "prefix=%ff%3cscript>")
	f.Add("/api/clear", "", "tag_base64=%2f%2f%2f%2f")
	f.Add("/api/hot", "n=3", hostile)
	f.Fuzz(func(t *testing.T, path, query, form string) {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			r := httptest.NewRequest(method, "/", strings.NewReader(form))
			r.URL = &url.URL{Path: path, RawQuery: query}
			r.RequestURI = r.URL.RequestURI()
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code >= 500 || w.Code < 200 {
				t.Errorf("%s %q: %d", method, path, w.Code)
			}
			switch w.Header().Get("Content-Type") {
			case typeHTML:
				pageOf(t, w.Body.String())
			case typeJSON:
				object(t, w)
			case typeText, typeCSS, "": // "" is a redirection
			default:
				t.Errorf("it is %q", w.Header().Get("Content-Type"))
			}
		}
	})
}

// Whatever other nodes say of themselves, and errors say, is text.
func TestHostileTexts(t *testing.T) {
	now := time.Now()
	version := bcache.KeyVersion{Time: now, Origin: 1}
	held := &bcache.HeldKey{Kind: hostile, Value: hostile, Version: version, Tags: []string{hostile, "\xff"}}
	report := bcache.KeyReport{
		Node: 1, At: now, Held: held,
		Provisional: &bcache.HeldKey{Kind: bcache.KeyValue, Value: hostile + "\x00\xff"},
		Decisions:   []bcache.KeyDecision{{What: hostile + "\xff", At: now}},
		KeyClear:    &bcache.KeyClear{Tag: hostile + "\x00\xff", Version: version, At: now}, TagFloor: now,
	}
	why := whyView{Title: hostile, Asked: true, Key: newKeyView(hostile), Text: hostile, Word: hostile,
		Delete: true, Coded: hostile, Again: whyLink(hostile, true), ValuesLink: whyLink(hostile, true)}
	rv := newReportView(&report, stateNewest, true)
	rv.Values = append(rv.Values, valueView{hostile, hostile})
	why.Reports = append(why.Reports, rv)
	node := &bcache.NodeInfo{Addr: hostile, Version: hostile, Go: hostile, Config: bcache.Config{
		ClusterName: hostile, Peers: []string{hostile}, ListenAddr: hostile, Secret: hostile,
	}}
	m := newMemberView(&member{bcache.Member{ID: 1, Addr: hostile}, &bcache.PeerStats{}}, now)
	loaders, _ := loaderViews([]bcache.LoaderStats{{Prefix: hostile, Hits: 1}})
	page := pageView{
		Title: hostile, Node: node, Config: settings(&node.Config), Members: []memberView{m}, Loaders: loaders,
		Status: statusView{Word: hostile, Class: hostile, Text: hostile}, Toggle: pageLink(true, true),
		HotLink:  "./",
		Warnings: []warningView{{hostile, hostile, hostile, hostile}}, Clear: true,
		Slow:    []slowView{{newKeyView(hostile), hostile, timeView{hostile, hostile, hostile}}},
		Refused: []countView{{newKeyView(hostile + "\xff"), hostile}}, Hot: &hotView{Hits: hostile},
		Plots:  []plot{{"x", hostile, hostile, hostile, hostile, []run{{hostile, hostile}}}},
		Bounds: []bound{{Name: hostile, Class: hostile}},
	}
	for _, made := range []func() (answer, error){
		func() (answer, error) { return inHTML(keyPage, &why) },
		func() (answer, error) { return inHTML(mainPage, &page) },
		func() (answer, error) {
			return inHTML(donePage, doneView{hostile, hostile, page.Slow[0].Key, true, hostile})
		},
		func() (answer, error) { return failure("/", errors.New(hostile)), nil },
	} {
		a, err := made()
		if err != nil {
			t.Fatal(err)
		}
		list := pageOf(t, string(a.body))
		if text := all(list, "html")[0].text; !strings.Contains(text, "<script>") &&
			!strings.Contains(text, "&lt;script") {
			t.Errorf("nothing is shown of it: %s", text)
		}
	}
	if a := failure("/api/x", errors.New(hostile)); strings.Contains(string(a.body), "<") {
		t.Errorf("the JSON is %s", a.body)
	}
	if page := get(t, mustHandler(t), "/", 200).Body.String(); strings.Contains(page, "{{") {
		t.Error("a template isn't done")
	}
}

func mustHandler(t *testing.T) http.Handler {
	_, h := local(t, Options{})
	return h
}

// The Secret isn't shown.
func TestSecret(t *testing.T) {
	const secret = "a-secret-of-16-bytes"
	cache, err := bcache.New(bcache.Config{MaxKeys: 10, ListenAddr: "127.0.0.1:0", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	h := Handler(cache, Options{Values: true})
	for _, path := range []string{"/", "/api/node", "/api/overview"} {
		if page := get(t, h, path, 200).Body.String(); strings.Contains(page, secret) {
			t.Errorf("%s has it", path)
		}
	}
	if v := getJSON(t, h, "/api/node", 200)["config"].(map[string]any); v["secret"] != true {
		t.Errorf("the configuration is %v", v)
	}
}
