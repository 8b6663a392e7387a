package browser

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachehttp"
	"github.com/iwanbk/bcache/bcachetest"
	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/testkit/live"
)

// A site is a cluster of nodes, and the page of each.
type site struct {
	nodes []*bcache.Bcache
	urls  []string // of each page, with the slash at the end
}

// newSite starts three nodes that are connected by TCP, as in production. Under the race detector their
// network is in memory: the library that connects them has races of its own.
func newSite(t *testing.T, opts bcachehttp.Options) *site {
	t.Helper()
	const most = 400 // keys: fewer than the load uses
	browser(t)       // or it is skipped
	if testkit.RaceDetector {
		_, s := inMemory(t, bcache.Config{MaxKeys: most}, opts)
		return s
	}
	return newSiteOf(t, live.Cluster(t, 3, func(c *bcache.Config) { c.MaxKeys = most }), opts)
}

// inMemory starts three nodes whose network can be cut.
func inMemory(t *testing.T, cfg bcache.Config, opts bcachehttp.Options) (*bcachetest.Cluster, *site) {
	t.Helper()
	browser(t)
	c := bcachetest.New(t, 3, cfg)
	nodes := make([]*bcache.Bcache, c.Len())
	for i := range nodes {
		nodes[i] = c.Node(i)
	}
	return c, newSiteOf(t, nodes, opts)
}

// newSiteOf serves the pages of nodes, below a path as a service does.
func newSiteOf(t *testing.T, nodes []*bcache.Bcache, opts bcachehttp.Options) *site {
	t.Helper()
	s := &site{nodes: nodes}
	for _, node := range nodes {
		mux := http.NewServeMux()
		mux.Handle("/cache/", http.StripPrefix("/cache", bcachehttp.Handler(node, opts)))
		server := httptest.NewServer(mux)
		t.Cleanup(server.Close)
		s.urls = append(s.urls, server.URL+"/cache/")
	}
	return s
}

// why is the address of the page of a key.
func (s *site) why(node int, key string) string {
	return s.urls[node] + "why?key=" + url.QueryEscape(key)
}

// id is a node's as pages have it.
func (s *site) id(node int) string { return fmt.Sprintf("%x", s.nodes[node].Inspect().Node().ID) }
