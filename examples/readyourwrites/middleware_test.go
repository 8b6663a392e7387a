package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachetest"
)

// A browser has a cookie, and sends requests to whatever node.
type browser struct {
	t      *testing.T
	cookie *http.Cookie
}

func (b *browser) do(node http.Handler, method, id, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(b.t.Context(), method, "/notes/"+id, strings.NewReader(body))
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	w := httptest.NewRecorder()
	node.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		b.cookie = c
	}
	return w
}

// cluster has n nodes with the service, all before one database.
func cluster(t *testing.T, n int) (*bcachetest.Cluster, *database, []http.Handler) {
	t.Helper()
	c, db := bcachetest.New(t, n, bcache.Config{MaxKeys: 100}), &database{}
	var nodes []http.Handler
	for i := range n {
		service, err := newService(c.Node(i), db)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, service)
	}
	return c, db, nodes
}

// Whoever writes on one node and reads on another sees what he wrote, whatever happens between the
// nodes; others may not.
func TestReadYourWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _, nodes := cluster(t, 2)
		done := make(chan struct{})
		var users sync.WaitGroup
		stranger := &browser{t: t}
		older := 0
		for u := range 4 {
			users.Go(func() {
				id, user := fmt.Sprint(u), &browser{t: t}
				for i := range 200 {
					text, writer := fmt.Sprint(i), rand.IntN(2)
					if w := user.do(nodes[writer], "PUT", id, text); w.Code != http.StatusNoContent {
						t.Errorf("PUT: %d", w.Code)
					}
					if u == 0 && stranger.do(nodes[1-writer], "GET", id, "").Body.String() != text {
						older++
					}
					if w := user.do(nodes[1-writer], "GET", id, ""); w.Body.String() != text {
						t.Errorf("user %d reads %q after writing %q", u, w.Body, text)
					}
					time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
				}
			})
		}
		go func() { users.Wait(); close(done) }()
		for weather := true; weather; {
			c.Delay(time.Duration(rand.IntN(300)) * time.Millisecond)
			c.Loss(float64(rand.IntN(5)) / 10)
			if rand.IntN(4) == 0 {
				c.Partition([]int{0}, []int{1})
			} else {
				c.Heal()
			}
			select {
			case <-done:
				weather = false
			case <-time.After(time.Second):
			}
		}
		if older == 0 {
			t.Error("no node was ever behind: this test shows nothing")
		}
	})
}

func TestCookie(t *testing.T) {
	_, _, nodes := cluster(t, 1)
	user := &browser{t: t}
	if user.do(nodes[0], "GET", "1", ""); user.cookie != nil {
		t.Errorf("who reads gets the cookie %v", user.cookie)
	}
	user.do(nodes[0], "PUT", "1", "a")
	c := user.cookie
	if c == nil || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.MaxAge != 600 || c.Secure || c.Path != "/" {
		t.Fatalf("who writes gets %v", c)
	}
	first := c.Value
	user.do(nodes[0], "PUT", "1", strings.Repeat("x", maxNote+1)) // it may have changed something
	if user.cookie.Value != first {
		t.Errorf("%q isn't %q", user.cookie.Value, first)
	}
	user.do(nodes[0], "PUT", "1", "b")
	if user.cookie.Value == first {
		t.Error("after another write the cookie is the same")
	}
	user.cookie = &http.Cookie{Name: cookieName, Value: "garbled"}
	if w := user.do(nodes[0], "GET", "1", ""); w.Body.String() != "b" {
		t.Errorf("with a garbled cookie: %d %s", w.Code, w.Body)
	}
}

// What was written on more nodes than a Token has isn't forgotten: the database is read.
func TestTooManyNodes(t *testing.T) {
	user := &browser{t: t}
	for range bcache.MaxTokenNodes + 1 {
		_, _, nodes := cluster(t, 1)
		user.do(nodes[0], "PUT", "1", "v")
	}
	if user.cookie.Value != unknown.String() {
		t.Errorf("the cookie is %q", user.cookie.Value)
	}
	_, db, nodes := cluster(t, 1)
	user.do(nodes[0], "PUT", "1", "old")
	user.do(nodes[0], "GET", "1", "")
	db.setNote("1", "new") // by another node
	if w := user.do(nodes[0], "GET", "1", ""); w.Body.String() != "new" {
		t.Errorf("it reads %s", w.Body)
	}
}

// The cookie is in the header of the answer, whatever the service does with that, and once.
func TestAnswers(t *testing.T) {
	cache, err := bcache.New(bcache.Config{MaxKeys: 10})
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close()
	for name, answer := range map[string]http.HandlerFunc{
		"nothing":        func(http.ResponseWriter, *http.Request) {},
		"a body":         func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "a", "b") },
		"a status":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"a hint, a body": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); fmt.Fprint(w, "a") },
	} {
		w := httptest.NewRecorder()
		readYourWrites(cache, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name == "a hint, a body" {
				w.WriteHeader(http.StatusEarlyHints)
				if len(w.Header()["Set-Cookie"]) > 0 {
					t.Error("the cookie is set before anything was written")
				}
			}
			if err := cache.Delete("k"); err != nil {
				t.Error(err)
			}
			answer(w, r)
		})).ServeHTTP(w, httptest.NewRequest("POST", "/", nil))
		if got := w.Header()["Set-Cookie"]; len(got) != 1 || !strings.Contains(got[0], cache.Token().String()) {
			t.Errorf("%s: %q", name, got)
		}
	}
}
