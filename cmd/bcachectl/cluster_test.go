package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachehttp"
	"github.com/iwanbk/bcache/bcachetest"
)

// page serves the real page of a node.
func page(t *testing.T, cache *bcache.Bcache, opts bcachehttp.Options) call {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle("/cache/", http.StripPrefix("/cache", bcachehttp.Handler(cache, opts)))
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return call{addr: s.URL + "/cache"} // without the slash, too
}

// All commands work with the page of a real node of three.
func TestCluster(t *testing.T) {
	c := bcachetest.New(t, 3, bcache.Config{MaxKeys: 1000})
	node := c.Node(0)
	ctl := page(t, node, bcachehttp.Options{Values: true, Actions: true})
	odd := "odd\x00\x1b[31m\xff"
	for _, key := range []string{"user:1", odd} {
		if err := node.Set(key, "Ada", 60); err != nil {
			t.Fatal(err)
		}
	}
	c.WaitAll()
	node.Get("user:1")

	for args, wants := range map[string][]string{
		"node":       {"id ", "ready      yes", "max keys   1,000"},
		"members":    {"NODE  ADDRESS", "\n2     ", "\n3     ", "direct", "yes"},
		"stats":      {"reads\n", "  hit ratio       100.0 %\n", "  sets                  2\n"},
		"loaders":    {"There is no Loader."},
		"hot":        {"Nothing is sampled yet"},
		"slow":       {"There was no fill"},
		"refused":    {"No fill was refused"},
		"health":     {"ok\n"},
		"ready":      {"ready\n"},
		"warnings":   {"synced_alone: "},
		"watch -n 1": {"node 1", "KEYS", "GETS/S", "NODE  ADDRESS", "There is no Loader."},
		"why user:1": {"user:1\nAll 3 nodes have the same: a value.", "node 1: newest", "node 3: newest"},
		"why nobody": {"nobody\nAll 3 nodes have nothing of the key."},
	} {
		r := ctl.run(t, strings.Fields(args)...)
		if r.code != exitOK {
			t.Errorf("%s ends with %d: %s", args, r.code, r.stderr)
		}
		for _, want := range wants {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("%s lacks %q:\n%s", args, want, r.stdout)
			}
		}
		r = ctl.must(t, exitOK, append(strings.Fields(args), "-o", "json")...)
		if !strings.HasPrefix(r.stdout, "{") {
			t.Errorf("%s -o json prints %q", args, r.stdout)
		}
	}

	// Keys that aren't text.
	ctl.stdin = odd + "\n"
	r := ctl.must(t, exitOK, "why", "--values", "-")
	if !strings.HasPrefix(r.stdout, `odd\x00\x1b[31m\xff`+"\nAll 3 nodes have the same") ||
		!strings.Contains(r.stdout, "  value: Ada\n") {
		t.Errorf("of an odd key it is said %q", r.stdout)
	}
	ctl.must(t, exitOK, "delete", "-")
	c.WaitAll()
	if _, ok := c.Node(2).Get(odd); ok {
		t.Error("a key that isn't text is not deleted")
	}

	// A node that doesn't answer, and one that lacks the key.
	c.Loss(1)
	if r := ctl.must(t, exitDisagree, "why", "user:1"); !strings.Contains(r.stdout, "node 3: unknown\n") ||
		r.stderr != "" {
		t.Errorf("of a node that is cut off it is said %q, %q", r.stdout, r.stderr)
	}
	c.Loss(0)
	c.WaitAll()

	clearsSome(t, c, ctl)
	if r := ctl.must(t, exitOK, "clear", "--yes"); r.stdout != "cleared\n" {
		t.Errorf("clear prints %q", r.stdout)
	}
	c.WaitAll()
	if _, ok := c.Node(2).Get("user:1"); ok {
		t.Error("after clear node 3 has a key")
	}
}

// clearsSome clears by a prefix and by a tag, of any bytes, and finds that in the answers.
func clearsSome(t *testing.T, c *bcachetest.Cluster, ctl call) {
	t.Helper()
	const tag = "team:\xff"
	for _, key := range []string{"page:1", "tagged"} {
		if err := c.Node(1).Put(key, "v", time.Minute, tag); err != nil {
			t.Fatal(err)
		}
		c.WaitAll()
		if r := ctl.must(t, exitOK, "why", key); !strings.Contains(r.stdout, "  tag: team:\\xff\n") {
			t.Errorf("the tag isn't shown: %s", r.stdout)
		}
	}
	is := func(key string, there bool) {
		t.Helper()
		c.WaitAll()
		if _, ok := c.Node(2).Get(key); ok != there {
			t.Errorf("%s is there: %v", key, ok)
		}
	}
	ctl.must(t, exitOK, "clear", "--yes", "--prefix", "page:")
	is("page:1", false)
	is("tagged", true)
	if r := ctl.must(t, exitOK, "why", "page:1"); !strings.Contains(r.stdout, "last clear of the prefix page:, ") {
		t.Errorf("the clear isn't shown: %s", r.stdout)
	}
	ctl.must(t, exitOK, "clear", "--yes", "--tag", tag)
	is("tagged", false)
	ctl.must(t, exitUsage, "clear", "--yes", "--tag", strings.Repeat("t", bcache.MaxTagLen+1))
	if r := ctl.must(t, exitOK, "stats"); !strings.Contains(r.stdout, "clear tags") {
		t.Errorf("the figures are %s", r.stdout)
	}
}

// What the service doesn't allow is told apart from what fails.
func TestClusterRefuses(t *testing.T) {
	c := bcachetest.New(t, 1, bcache.Config{MaxKeys: 10})
	readOnly := page(t, c.Node(0), bcachehttp.Options{})
	for _, args := range [][]string{{"delete", "k"}, {"clear", "--yes"}, {"why", "--values", "k"}} {
		readOnly.must(t, exitRefused, args...)
	}
	readOnly.must(t, exitUsage, "why", strings.Repeat("k", bcache.MaxWhyKey+1))
	readOnly.must(t, exitUsage, "hot", "-n", "100000")

	guarded := page(t, c.Node(0), bcachehttp.Options{
		Actions: true, Authorize: func(r *http.Request, _ bcachehttp.Action) error {
			if r.Header.Get("Authorization") != "Bearer secret" {
				return errors.New("no token")
			}
			return nil
		},
	})
	guarded.must(t, exitRefused, "stats")
	guarded.must(t, exitRefused, "ready")
	guarded.env = map[string]string{"BCACHECTL_TOKEN": "secret\n"}
	guarded.must(t, exitOK, "stats")
	guarded.must(t, exitOK, "delete", "k")

	if err := c.Stop(0); err != nil {
		t.Fatal(err)
	}
	guarded.must(t, exitNotReady, "ready")
	guarded.must(t, exitNotReady, "health")
	if r := guarded.must(t, exitFailure, "stats"); !strings.Contains(r.stderr, "the cache is closed (503): ask another") {
		t.Errorf("of a closed cache it says %q", r.stderr)
	}
}
