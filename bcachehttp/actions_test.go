package bcachehttp

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// What is deleted is gone, whatever bytes its key has, and the answer says so.
func TestDelete(t *testing.T) {
	cache, h := local(t, Options{Actions: true})
	for _, key := range []string{"user:42", "", "\x00\xff<script>", "a\r\nb&c=d+e%20"} {
		coded := base64.StdEncoding.EncodeToString([]byte(key))
		for _, form := range []url.Values{{"key": {key}}, {"key_base64": {coded}}} {
			for _, path := range []string{"/delete", "/api/delete"} {
				if err := cache.Set(key, "v", 60); err != nil {
					t.Fatal(err)
				}
				w := post(h, path, form)
				if _, ok := cache.Get(key); ok || w.Code != http.StatusOK {
					t.Fatalf("%q by %v: %d, and there: %v", key, form, w.Code, ok)
				}
				if path == "/delete" {
					if page := pageOf(t, w.Body.String()); all(page, "h1")[0].text != "Deleted" {
						t.Errorf("the page is %s", w.Body)
					}
				} else if v := object(t, w); v["done"] != "deleted" ||
					v["key"] != strings.ToValidUTF8(key, "\ufffd") {
					t.Errorf("the answer is %v", v)
				}
			}
		}
	}
	// The form of a page deletes its own key.
	key := "\x00\xff<script>"
	if err := cache.Set(key, "v", 60); err != nil {
		t.Fatal(err)
	}
	page := pageOf(t, get(t, h, whyOf("/why", key), 200).Body.String())
	form := url.Values{}
	for _, input := range all(page, "input") {
		if strings.Contains(input.in, "form") && input.attrs["type"] == "hidden" {
			form.Set(input.attrs["name"], input.attrs["value"])
		}
	}
	if w := post(h, "/delete", form); w.Code != http.StatusOK {
		t.Errorf("%v: %d", form, w.Code)
	}
	if _, ok := cache.Get(key); ok {
		t.Error("the form deleted something else")
	}
}

// A browser sends no Sec-Fetch-Site over plain HTTP, but for localhost: of the page of a form it tells no
// more than the Origin, and not even that if the page forbids referrers.
func TestFormsOverPlainHTTP(t *testing.T) {
	_, h := local(t, Options{Actions: true})
	for form, page := range map[string]string{"/delete": "/why?key=k", "/clear": "/"} {
		origin := "http://example.com" // where httptest.NewRequest has its requests go to
		if get(t, h, page, 200).Header().Get("Referrer-Policy") == "no-referrer" {
			origin = "null"
		}
		fields := url.Values{"key": {"k"}, "confirm": {"clear"}}
		if w := post(h, form, fields, "Origin", origin); w.Code != http.StatusOK {
			t.Errorf("%s of %s: %d", form, page, w.Code)
		}
		if w := post(h, form, fields, "Origin", "null"); w.Code != http.StatusForbidden {
			t.Errorf("%s of nowhere: %d", form, w.Code)
		}
	}
}

// Nothing is cleared by mistake.
func TestClearAll(t *testing.T) {
	cache, h := local(t, Options{Actions: true})
	for _, path := range []string{"/clear", "/api/clear"} {
		if err := cache.Set("k", "v", 60); err != nil {
			t.Fatal(err)
		}
		for _, form := range []url.Values{
			nil, {"confirm": {""}}, {"confirm": {"yes"}}, {"confirm": {"clear", "clear"}},
		} {
			if w := post(h, path, form); w.Code != http.StatusBadRequest {
				t.Errorf("%v: %d", form, w.Code)
			}
		}
		if _, ok := cache.Get("k"); !ok {
			t.Fatal("it is cleared")
		}
		if w := post(h, path+"?confirm=clear", nil); w.Code != http.StatusBadRequest {
			t.Errorf("by the address: %d", w.Code)
		}
		w := post(h, path, url.Values{"confirm": {"clear"}})
		if _, ok := cache.Get("k"); ok || w.Code != http.StatusOK ||
			!strings.Contains(w.Body.String(), "leared") {
			t.Errorf("%d: %s", w.Code, w.Body)
		}
	}
}

// Forms that aren't are refused, and those that are too large.
func TestBadForms(t *testing.T) {
	cache, h := local(t, Options{Actions: true})
	if err := cache.Set("k", "v", 60); err != nil {
		t.Fatal(err)
	}
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		typ, body string
		status    int
	}{
		{form, "", http.StatusBadRequest},
		{form, "key=%zz", http.StatusBadRequest},
		{form, "key=a;b", http.StatusBadRequest},
		{form, "key=k&key=k", http.StatusBadRequest},
		{form, "key=k&key_base64=aw%3D%3D", http.StatusBadRequest},
		{form, "key=" + strings.Repeat("k", 4097), http.StatusRequestEntityTooLarge},
		{form, "key=k&x=" + strings.Repeat("x", maxForm), http.StatusRequestEntityTooLarge},
		{"application/json", `{"key":"k"}`, http.StatusUnsupportedMediaType},
		{"multipart/form-data; boundary=x", "--x--", http.StatusUnsupportedMediaType},
		{"text/plain", "key=k", http.StatusUnsupportedMediaType},
		{"", "key=k", http.StatusUnsupportedMediaType},
	} {
		for _, path := range []string{"/delete", "/api/delete"} {
			r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.typ)
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != c.status {
				t.Errorf("%s %.30q: %d, want %d: %s", c.typ, c.body, w.Code, c.status, w.Body)
			}
			if path == "/api/delete" && object(t, w)["error"] == "" {
				t.Errorf("%.30q: no reason", c.body)
			}
		}
	}
	if _, ok := cache.Get("k"); !ok {
		t.Error("the key is gone")
	}
	if w := post(h, "/delete?key=k", nil); w.Code != http.StatusBadRequest {
		t.Errorf("by the address: %d", w.Code)
	}
}

// A page of another site can't have a browser delete anything.
func TestOtherSites(t *testing.T) {
	cache, h := local(t, Options{Actions: true})
	form := url.Values{"key": {"k"}, "confirm": {"clear"}}
	for _, c := range []struct {
		status  int
		headers []string
	}{
		{403, []string{"Sec-Fetch-Site", "cross-site"}}, {403, []string{"Sec-Fetch-Site", "same-site"}},
		{403, []string{"Origin", "https://evil.example"}}, {403, []string{"Origin", "null"}},
		{200, []string{"Sec-Fetch-Site", "same-origin"}}, {200, []string{"Origin", "http://example.com"}},
		{200, nil}, // no browser
	} {
		for _, path := range []string{"/delete", "/clear", "/api/delete", "/api/clear"} {
			if err := cache.Set("k", "v", 60); err != nil {
				t.Fatal(err)
			}
			w := post(h, path, form, c.headers...)
			if _, ok := cache.Get("k"); w.Code != c.status || ok != (c.status == 403) {
				t.Errorf("%s of %v: %d, and there: %v", path, c.headers, w.Code, ok)
			}
		}
	}
}

// Those who send their forms slowly hold up nobody else.
func TestSlowForms(t *testing.T) {
	_, h := local(t, Options{Actions: true})
	var slow sync.WaitGroup
	defer slow.Wait()
	for range maxAnswers {
		body, in := io.Pipe()
		slow.Go(func() {
			r := httptest.NewRequest(http.MethodPost, "/api/delete", body)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != http.StatusOK {
				t.Errorf("at last: %d", w.Code)
			}
		})
		if _, err := io.WriteString(in, "key="); err != nil { // it is being read
			t.Fatal(err)
		}
		defer in.Close()
	}
	if w := post(h, "/api/delete", url.Values{"key": {"k"}}); w.Code != http.StatusOK {
		t.Errorf("meanwhile: %d", w.Code)
	}
}
