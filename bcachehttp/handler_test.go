package bcachehttp

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/iwanbk/bcache"
)

// Every path answers as it should, in its own language, and to no other method.
func TestPaths(t *testing.T) {
	_, h := local(t, Options{})
	_, able := local(t, Options{Values: true, Actions: true})
	for _, c := range []struct {
		path, typ string
	}{
		{"/", typeHTML}, {"/?refresh=0&hot=1", typeHTML}, {"/style.css", typeCSS}, {"/why", typeHTML},
		{"/why?key=k", typeHTML}, {"/healthz", typeText}, {"/readyz", typeText},
		{"/api/node", typeJSON}, {"/api/members", typeJSON}, {"/api/stats", typeJSON},
		{"/api/loaders", typeJSON}, {"/api/hot", typeJSON}, {"/api/slow", typeJSON},
		{"/api/refused?n=3", typeJSON},
		{"/api/why?key=k", typeJSON}, {"/api/warnings", typeJSON}, {"/api/history", typeJSON},
		{"/api/overview", typeJSON},
	} {
		w := get(t, h, c.path, http.StatusOK)
		if typ := w.Header().Get("Content-Type"); typ != c.typ {
			t.Errorf("%s is %q", c.path, typ)
		}
		if c.typ == typeHTML {
			pageOf(t, w.Body.String())
		}
		for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "get"} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, c.path, nil))
			if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, allowed are %q", method, c.path, w.Code, w.Header().Get("Allow"))
			}
		}
		head := httptest.NewRecorder()
		h.ServeHTTP(head, httptest.NewRequest(http.MethodHead, c.path, nil))
		if head.Code != http.StatusOK || head.Body.Len() > 0 || head.Header().Get("Content-Length") == "0" {
			t.Errorf("HEAD %s: %d, %d bytes", c.path, head.Code, head.Body.Len())
		}
	}
	for _, path := range []string{
		"/none", "/index.html", "//why", "/why/", "/../why", "/%00", "/healthz/", "/WHY",
	} {
		w := get(t, h, path, http.StatusNotFound)
		if strings.Count(path, "/") == 1 {
			pageOf(t, w.Body.String())
		} else if w.Body.String() != "there is no such page\n" {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
	for _, path := range []string{"/api", "/api/", "/api/none", "/api/node/"} {
		if v := getJSON(t, h, path, http.StatusNotFound); v["error"] != "there is no such page" {
			t.Errorf("%s says %v", path, v)
		}
	}
	for _, path := range []string{"/delete", "/clear", "/api/delete", "/api/clear"} {
		get(t, h, path, http.StatusNotFound)
		if w := get(t, able, path, http.StatusMethodNotAllowed); w.Header().Get("Allow") != "POST" {
			t.Errorf("of %s allowed are %q", path, w.Header().Get("Allow"))
		}
		if w := post(h, path, url.Values{"key": {"k"}, "confirm": {"clear"}}); w.Code != http.StatusNotFound {
			t.Errorf("POST %s: %d", path, w.Code)
		}
	}
}

// What is asked wrongly is refused, with a reason.
func TestWrongRequests(t *testing.T) {
	_, h := local(t, Options{Values: true})
	long := strings.Repeat("k", bcache.MaxWhyKey)
	for target, status := range map[string]int{
		"?key=" + long:                        http.StatusOK,
		"?key=" + long + "k":                  http.StatusRequestURITooLong,
		"?key=" + strings.Repeat("%00", 1e6):  http.StatusRequestURITooLong,
		"?key=%zz":                            http.StatusBadRequest,
		"?key=a;b":                            http.StatusBadRequest,
		"?key=a&key=b":                        http.StatusBadRequest,
		"?key=a&key_base64=YQ%3D%3D":          http.StatusBadRequest,
		"?key_base64=YQ%3D%3D&key_base64=":    http.StatusBadRequest,
		"?key_base64=%21":                     http.StatusBadRequest,
		"?key=a&values=yes":                   http.StatusBadRequest,
		"?key=a&values=1&values=1":            http.StatusBadRequest,
		"?key=a&values=0":                     http.StatusOK,
		"?key=&values=1":                      http.StatusOK,
		"?key=%00%ff%fe%3Cscript%3E&values=1": http.StatusOK,
		"?key_base64=AP8%3D":                  http.StatusOK,
	} {
		w := get(t, h, "/why"+target, status)
		pageOf(t, w.Body.String())
		if v := getJSON(t, h, "/api/why"+target, status); status != http.StatusOK && v["error"] == "" {
			t.Errorf("%.50s: no reason", target)
		}
	}
	getJSON(t, h, "/api/why", http.StatusBadRequest)
	for _, n := range []string{"0", "-1", "513", "x", "1&n=2", "%zz", "99999999999999999999"} {
		for _, path := range []string{"/api/hot", "/api/slow", "/api/refused"} {
			getJSON(t, h, path+"?n="+n, http.StatusBadRequest)
		}
	}
	for _, query := range []string{"refresh=2", "hot=x", "hot=1&hot=1", "refresh=0&refresh=0", "a=%zz"} {
		get(t, h, "/?"+query, http.StatusBadRequest)
	}
}

// It works below any prefix, and that prefix may be asked for without its slash.
func TestPrefixes(t *testing.T) {
	cache, h := local(t, Options{})
	for _, strip := range []string{"/cache", "/cache/"} {
		mux := http.NewServeMux()
		mux.Handle("/cache/", http.StripPrefix(strip, h))
		mux.Handle("/", h)
		for _, path := range []string{"/", "/why?key=k", "/api/node", "/style.css"} {
			if w := get(t, mux, "/cache"+path, http.StatusOK); len(w.Body.Bytes()) == 0 {
				t.Errorf("%s is empty", path)
			}
			get(t, mux, path, http.StatusOK)
		}
		get(t, mux, "/cache/none", http.StatusNotFound)
	}
	server := httptest.NewServer(http.StripPrefix("/a/b", Handler(cache, Options{})))
	defer server.Close()
	r, err := server.Client().Get(server.URL + "/a/b?refresh=0")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if got := r.Request.URL.RequestURI(); r.StatusCode != http.StatusOK || got != "/a/b/?refresh=0" {
		t.Errorf("%d at %s", r.StatusCode, got)
	}
}

// Every answer forbids what isn't needed, errors too.
func TestHeaders(t *testing.T) {
	_, h := local(t, Options{})
	for path, status := range map[string]int{
		"/": 200, "/why?key=k": 200, "/api/node": 200, "/none": 404, "/api/none": 404, "/healthz": 200,
	} {
		head := get(t, h, path, status).Header()
		if csp := head.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none';") ||
			strings.Contains(csp, "unsafe") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: the policy is %q", path, csp)
		}
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
			"X-Frame-Options": "DENY",
		} {
			if got := head.Get(name); got != want {
				t.Errorf("%s: %s is %q", path, name, got)
			}
		}
	}
	if got := get(t, h, "/style.css", 200).Header().Get("Cache-Control"); got != "private, max-age=86400" {
		t.Errorf("the style sheet is kept %q", got)
	}
}

// The hook is asked before anything is shown, and what it refuses isn't; it isn't said why.
func TestAuthorize(t *testing.T) {
	asked := []Action{}
	refuse := map[Action]bool{}
	authorize := func(_ *http.Request, a Action) error {
		if asked = append(asked, a); refuse[a] {
			return errors.New("hush")
		}
		return nil
	}
	cache, h := local(t, Options{Values: true, Actions: true, Authorize: authorize})
	if err := cache.Set("k", "secret-value", 60); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"key": {"k"}, "confirm": {"clear"}}
	for _, c := range []struct {
		method, path string
		asks         Action
	}{
		{"GET", "/", View}, {"GET", "/style.css", View}, {"GET", "/api/stats", View},
		{"GET", "/api/hot", View},
		{"GET", "/why?key=k", Why}, {"GET", "/api/why?key=k", Why}, {"GET", "/why?key=k&values=1", Value},
		{"GET", "/api/why?key=k&values=1", Value}, {"GET", "/healthz", Health}, {"GET", "/readyz", Health},
		{"POST", "/delete", Delete}, {"POST", "/api/delete", Delete}, {"POST", "/clear", Clear},
		{"POST", "/api/clear", Clear},
	} {
		clear(refuse)
		refuse[c.asks], asked = true, nil
		var w *httptest.ResponseRecorder
		if c.method == "GET" {
			w = get(t, h, c.path, http.StatusForbidden)
		} else if w = post(h, c.path, form); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", c.path, w.Code)
		}
		if !slices.Contains(asked, c.asks) || strings.Contains(w.Body.String(), "hush") ||
			strings.Contains(w.Body.String(), "secret-value") {
			t.Errorf("%s: asked was %v, and the answer is %s", c.path, asked, w.Body)
		}
	}
	if _, ok := cache.Get("k"); !ok {
		t.Error("the key is gone")
	}

	clear(refuse)
	page := get(t, h, "/why?key=k&values=1", 200).Body.String()
	if !strings.Contains(page, "secret-value") || !strings.Contains(page, `action="delete"`) {
		t.Errorf("neither value nor button: %s", page)
	}
	if page := get(t, h, "/?refresh=0", 200).Body.String(); !strings.Contains(page, `action="clear"`) {
		t.Error("there is no button to clear")
	}
	refuse[Delete], refuse[Clear], refuse[Value] = true, true, true
	if page := get(t, h, "/why?key=k", 200).Body.String(); strings.Contains(page, `action="delete"`) ||
		strings.Contains(page, "values=1") {
		t.Error("what isn't allowed is offered")
	}
	if page := get(t, h, "/", 200).Body.String(); strings.Contains(page, `action="clear"`) {
		t.Error("to clear is offered, and isn't allowed")
	}
}

// Without Options nothing can be changed, and no value is shown.
func TestZeroOptions(t *testing.T) {
	cache, h := local(t, Options{})
	if err := cache.Set("k", "secret-value", 60); err != nil {
		t.Fatal(err)
	}
	get(t, h, "/why?key=k&values=1", http.StatusForbidden)
	getJSON(t, h, "/api/why?key=k&values=1", http.StatusForbidden)
	for _, path := range []string{"/", "/why?key=k", "/api/why?key=k"} {
		page := get(t, h, path, 200).Body.String()
		if strings.Contains(page, "secret-value") || strings.Contains(page, `method="post"`) ||
			strings.Contains(page, "values=1") {
			t.Errorf("%s: %s", path, page)
		}
	}
}

// A closed cache is said to be closed, and so is one that isn't ready.
func TestHealth(t *testing.T) {
	cache, h := local(t, Options{Actions: true})
	lives, ready := get(t, h, "/healthz", 200).Body.String(), get(t, h, "/readyz", 200).Body.String()
	if lives != "ok\n" || ready != "ready\n" {
		t.Errorf("got %q and %q", lives, ready)
	}
	if err := cache.Close(); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/healthz", "/readyz", "/", "/why?key=k"} {
		if got := get(t, h, path, 503).Body.String(); !strings.Contains(got, "closed") {
			t.Errorf("%s: %s", path, got)
		}
	}
	getJSON(t, h, "/api/why?key=k", http.StatusServiceUnavailable)
	if w := post(h, "/api/clear", url.Values{"confirm": {"clear"}}); w.Code != 503 {
		t.Errorf("clear: %d", w.Code)
	}

	waits, err := bcache.New(bcache.Config{MaxKeys: 10, ListenAddr: "127.0.0.1:0", MinPeers: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer waits.Close()
	h = Handler(waits, Options{})
	get(t, h, "/healthz", 200)
	if got := get(t, h, "/readyz", 503).Body.String(); got != waits.Ready().Error()+"\n" {
		t.Errorf("got %q", got)
	}
	says := func(h http.Handler, word string) {
		t.Helper()
		page := pageOf(t, get(t, h, "/", 200).Body.String())
		if text := all(page, "header")[0].text; !strings.Contains(text, word+" Not synced yet: ") {
			t.Errorf("the page says %q", text)
		}
	}
	says(h, "Not ready")
	isolated, err := bcache.New(bcache.Config{
		MaxKeys: 10, ListenAddr: "127.0.0.1:0", MinPeers: 1, Isolation: bcache.MissWhenIsolated,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer isolated.Close()
	says(Handler(isolated, Options{}), "Isolated")
}

// So many answers are made at a time, and no more; who asks for something else is answered.
func TestBusy(t *testing.T) {
	began, end := make(chan struct{}), make(chan struct{})
	_, h := local(t, Options{})
	hh := h.(*handler)
	hh.routes["/slow"] = route{action: View, serve: func(*handler, *http.Request) (answer, error) {
		began <- struct{}{}
		<-end
		return plain(""), nil
	}}
	done := make(chan struct{})
	for range maxAnswers {
		go func() {
			h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/slow", nil))
			done <- struct{}{}
		}()
		<-began
	}
	if w := get(t, h, "/", http.StatusServiceUnavailable); w.Header().Get("Retry-After") != "1" {
		t.Errorf("the headers are %v", w.Header())
	}
	get(t, h, "/healthz", 200)
	get(t, h, "/why?key=k", 200)
	close(end)
	for range maxAnswers {
		<-done
	}
	get(t, h, "/", 200)
}

// A page that isn't there has no links that lead nowhere, and without a cache there is none.
func TestNothingThere(t *testing.T) {
	_, h := local(t, Options{})
	for path, page := range map[string]bool{"/nothing": true, "/why/": false, "/a/b": false} {
		w := get(t, h, path, http.StatusNotFound)
		if is := strings.Contains(w.Body.String(), "style.css"); is != page {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
	none := Handler(nil, Options{Actions: true})
	for _, path := range []string{"/", "/api/node", "/readyz", "/a/b"} {
		w := get(t, none, path, http.StatusServiceUnavailable)
		if !strings.Contains(w.Body.String(), "without a cache") {
			t.Errorf("%s: %s", path, w.Body)
		}
	}
}
