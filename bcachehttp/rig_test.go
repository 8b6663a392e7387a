package bcachehttp

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/iwanbk/bcache"
)

// local is a node without a network, and its page.
func local(t testing.TB, opts Options) (*bcache.Bcache, http.Handler) {
	t.Helper()
	cache, err := bcache.New(bcache.Config{PeerID: 0xa1, MaxKeys: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cache.Close() })
	return cache, Handler(cache, opts)
}

// get asks for something, and expects a status.
func get(t testing.TB, h http.Handler, target string, status int) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, nil))
	if w.Code != status {
		t.Fatalf("GET %.200s: %d, want %d: %.500s", target, w.Code, status, w.Body)
	}
	return w
}

// getJSON asks for JSON.
func getJSON(t testing.TB, h http.Handler, target string, status int) map[string]any {
	t.Helper()
	w := get(t, h, target, status)
	return object(t, w)
}

func object(t testing.TB, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	if typ := w.Header().Get("Content-Type"); typ != typeJSON {
		t.Errorf("the type is %q", typ)
	}
	var v map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%v in %.500s", err, w.Body)
	}
	return v
}

// post sends a form; the headers are names and values.
func post(h http.Handler, target string, form url.Values, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// whyOf is the address of a key's page, below a path.
func whyOf(path, key string) string { return path + "?key=" + url.QueryEscape(key) }
