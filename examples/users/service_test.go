package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/iwanbk/bcache"
)

// call sends a request to s and checks the status.
func call(t *testing.T, s *service, method, path, body string, status int) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	s.handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	if w.Code != status {
		t.Errorf("%s %s %.40s: status %d, want %d; %s", method, path, body, w.Code, status, w.Body)
	}
	return w
}

// wantUser reads a user and checks it, and where it came from.
func wantUser(t *testing.T, s *service, path, name, cached string) {
	t.Helper()
	w := call(t, s, "GET", path, "", http.StatusOK)
	var u User
	if err := json.Unmarshal(w.Body.Bytes(), &u); err != nil || u.Name != name {
		t.Errorf("GET %s: %s (%v), want the name %q", path, w.Body, err, name)
	}
	if got := w.Header().Get(cacheHeader); got != cached {
		t.Errorf("GET %s: %s is %q, want %q", path, cacheHeader, got, cached)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("GET %s: Content-Type is %q", path, got)
	}
}

func TestGetUser(t *testing.T) {
	s := newTestService(t)
	wantUser(t, s, "/users/7", "User 7", "miss")
	wantUser(t, s, "/users/7", "User 7", "hit")
	wantUser(t, s, "/users/07", "User 7", "hit")
	wantUser(t, s, "/users/8", "User 8", "miss")
	if n := s.store.Queries(); n != 2 {
		t.Errorf("%d queries, want 2", n)
	}
}

func TestUnknownUserIsRemembered(t *testing.T) {
	s := newTestService(t)
	for range 2 {
		w := call(t, s, "GET", "/users/10001", "", http.StatusNotFound)
		if got := w.Body.String(); got != `{"error":"no user 10001"}`+"\n" {
			t.Errorf("the body is %q", got)
		}
	}
	if n := s.store.Queries(); n != 1 {
		t.Errorf("%d queries, want 1", n)
	}
}

func TestPutUser(t *testing.T) {
	s := newTestService(t)
	wantUser(t, s, "/users/7", "User 7", "miss")
	wantUser(t, s, "/users/7", "User 7", "hit")
	call(t, s, "PUT", "/users/7", `{"name": "Zoë"}`, http.StatusNoContent)
	wantUser(t, s, "/users/7", "Zoë", "miss")
	call(t, s, "PUT", "/users/10001", `{"name": "Zoë"}`, http.StatusNotFound)
}

// deleteHook calls hook before each Delete.
type deleteHook struct {
	users
	hook func(key string)
}

func (u deleteHook) Delete(key string) error {
	u.hook(key)
	return u.users.Delete(key)
}

func TestPutCommitsBeforeItDeletes(t *testing.T) {
	s := newTestService(t)
	var deleted []string
	s.users = deleteHook{s.users, func(key string) {
		deleted = append(deleted, key)
		if u, err := s.store.User(t.Context(), 7); err != nil || u.Name != "Ada" {
			t.Errorf("at the Delete, the database holds %+v, %v", u, err)
		}
	}}
	call(t, s, "PUT", "/users/7", `{"name": "Ada"}`, http.StatusNoContent)
	if len(deleted) != 1 || deleted[0] != "7" {
		t.Errorf("deleted %q, want %q once", deleted, "7")
	}
}

func TestDatabaseFails(t *testing.T) {
	s := newTestService(t)
	wantUser(t, s, "/users/7", "User 7", "miss")
	call(t, s, "GET", "/healthz", "", http.StatusOK)
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	wantUser(t, s, "/users/7", "User 7", "hit")
	call(t, s, "GET", "/healthz", "", http.StatusServiceUnavailable)
	if w := call(t, s, "GET", "/users/8", "", http.StatusServiceUnavailable); strings.Contains(w.Body.String(), "sql") {
		t.Errorf("the client sees how the database failed: %s", w.Body)
	}
	// The update may have been made: what is cached may be wrong from now on.
	call(t, s, "PUT", "/users/7", `{"name": "Ada"}`, http.StatusServiceUnavailable)
	call(t, s, "GET", "/users/7", "", http.StatusServiceUnavailable)
}

func TestBadRequests(t *testing.T) {
	s := newTestService(t)
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/users/0", "", 400},
		{"GET", "/users/-1", "", 400},
		{"GET", "/users/abc", "", 400},
		{"GET", "/users/2147483648", "", 400},
		{"PUT", "/users/x", `{"name": "Ada"}`, 400},
		{"PUT", "/users/7", ``, 400},
		{"PUT", "/users/7", `{"name": 7}`, 400},
		{"PUT", "/users/7", `{"name": ""}`, 400},
		{"PUT", "/users/7", `{"name": "a\u0000b"}`, 400},
		{"PUT", "/users/7", `{"name": "Ada", "id": 8}`, 400},
		{"PUT", "/users/7", `{"name": "Ada"} {}`, 400},
		{"PUT", "/users/7", `{"name": "` + strings.Repeat("é", 101) + `"}`, 400},
		{"PUT", "/users/7", `{"name": "` + strings.Repeat("x", maxBody) + `"}`, 413},
		{"POST", "/users/7", `{"name": "Ada"}`, 405},
		{"DELETE", "/healthz", "", 405},
		{"PUT", "/stats", "", 405},
		{"PUT", "/ready", "", 405},
		{"GET", "/nowhere", "", 404},
	} {
		w := call(t, s, c.method, c.path, c.body, c.status)
		var body struct{ Error string }
		if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error == "" {
			t.Errorf("%s %s: the body is %q, want a JSON error", c.method, c.path, w.Body)
		}
		if c.status == 405 && w.Header().Get("Allow") == "" {
			t.Errorf("%s %s: no Allow header", c.method, c.path)
		}
	}
	if n := s.store.Queries(); n != 0 {
		t.Errorf("bad requests sent %d queries", n)
	}
	call(t, s, "PUT", "/users/7", `{"name": "`+strings.Repeat("é", 100)+`"}`, http.StatusNoContent)
}

func TestHealthAndStats(t *testing.T) {
	s := newTestService(t)
	if w := call(t, s, "GET", "/healthz", "", http.StatusOK); w.Body.String() != `{"peers":0,"status":"ok"}`+"\n" {
		t.Errorf("health is %s", w.Body)
	}
	wantUser(t, s, "/users/7", "User 7", "miss")
	wantUser(t, s, "/users/7", "User 7", "hit")
	w := call(t, s, "GET", "/stats", "", http.StatusOK)
	var stats struct{ Hits, Keys, Queries int }
	if err := json.Unmarshal(w.Body.Bytes(), &stats); err != nil ||
		stats.Hits != 1 || stats.Keys != 1 || stats.Queries != 1 {
		t.Errorf("stats are %s (%v), want 1 hit, 1 key and 1 query", w.Body, err)
	}
}

// notReady is a cache that waits for something.
type notReady struct{ userCache }

func (notReady) Ready() error { return bcache.ErrNotSynced }

func TestReady(t *testing.T) {
	s := newTestService(t)
	call(t, s, "GET", "/ready", "", http.StatusOK)
	s.cache = notReady{s.cache}
	w := call(t, s, "GET", "/ready", "", http.StatusServiceUnavailable)
	if !strings.Contains(w.Body.String(), bcache.ErrNotSynced.Error()) {
		t.Errorf("the body is %s", w.Body)
	}
}

func TestOperators(t *testing.T) {
	s := newTestService(t)
	wantUser(t, s, "/users/7", "User 7", "miss")
	wantUser(t, s, "/users/7", "User 7", "hit")
	w := call(t, s, "GET", "/metrics", "", http.StatusOK)
	if want := `bcache_requests_total{cache="users",result="hit"} 1`; !strings.Contains(w.Body.String(), want) {
		t.Errorf("the metrics lack %s:\n%s", want, w.Body)
	}
	w = call(t, s, "GET", "/cache/", "", http.StatusOK)
	if !strings.Contains(w.Body.String(), "<h1") {
		t.Errorf("the page is %s", w.Body)
	}
	w = call(t, s, "GET", "/cache/api/why?key=user:7", "", http.StatusOK)
	if !strings.Contains(w.Body.String(), `"kind": "value"`) || strings.Contains(w.Body.String(), "User 7") {
		t.Errorf("of a key it says %s", w.Body)
	}
	call(t, s, "GET", "/cache/readyz", "", http.StatusOK)
}
