package bcache_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/sirupsen/logrus"
)

// A node without a ListenAddr is a local cache.
func Example() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	if err := cache.Set("greeting", "hello", 60); err != nil {
		log.Fatal(err)
	}
	val, ok := cache.Get("greeting")
	fmt.Println(val, ok)

	if err := cache.Delete("greeting"); err != nil {
		log.Fatal(err)
	}
	val, ok = cache.Get("greeting")
	fmt.Printf("%q %v\n", val, ok)
	// Output:
	// hello true
	// "" false
}

// Two nodes, here in one process. In production each runs in a process of its own,
// with fixed addresses and a Secret.
func ExampleNew_cluster() {
	first, err := bcache.New(bcache.Config{ListenAddr: "127.0.0.1:0", MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer first.Close()
	second, err := bcache.New(bcache.Config{
		ListenAddr: "127.0.0.1:0",
		Peers:      []string{first.Addr()},
		MaxKeys:    1000,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer second.Close()

	// They connect in the background.
	eventually(func() bool { return len(first.Members()) == 1 && len(second.Members()) == 1 })

	if err := first.Set("greeting", "hello", 60); err != nil {
		log.Fatal(err)
	}
	eventually(func() bool { _, ok := second.Get("greeting"); return ok })
	fmt.Println(second.Get("greeting"))
	// Output: hello true
}

func ExampleBcache_GetWithFiller() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	fromDatabase := func(key string) (string, error) {
		fmt.Println("querying", key)
		return "Ada", nil
	}
	for range 2 {
		name, err := cache.GetWithFiller("user:1", fromDatabase, 3600)
		fmt.Println(name, err)
	}
	// Output:
	// querying user:1
	// Ada <nil>
	// Ada <nil>
}

func ExampleBcache_SetWithTTL() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	fmt.Println(cache.SetWithTTL("token", "abc", 1500*time.Millisecond))
	fmt.Println(cache.SetWithTTL("setting", "on", bcache.NoExpiry))
	fmt.Println(cache.Len())
	// Output:
	// <nil>
	// <nil>
	// 2
}

func ExampleErrTooLarge() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000, MaxBytes: 10_000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	_ = cache.Set("page", "small", 60)
	err = cache.Set("page", string(make([]byte, 20_000)), 60)
	fmt.Println(errors.Is(err, bcache.ErrTooLarge))
	_, ok := cache.Get("page") // "small" is no longer true
	fmt.Println(ok)
	// Output:
	// true
	// false
}

// Everything that is wrong is reported at once.
func ExampleNew_errors() {
	_, err := bcache.New(bcache.Config{Peers: []string{"10.0.0.1"}, Secret: "short"})
	fmt.Println(errors.Is(err, bcache.ErrConfig))
	// Output: true
}

// A logrus logger can be used as it is; for log/slog there is NewSlogLogger.
func ExampleLogger() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000, Logger: logrus.New()})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
}

// A readiness probe: 503 and the reason until the node has what the others hold. This one
// reaches nobody, and after SyncTimeout is the first one of its cluster.
func ExampleBcache_Ready() {
	cache, err := bcache.New(bcache.Config{
		ListenAddr:  "127.0.0.1:0",
		Peers:       []string{"127.0.0.1:1"}, // nobody is there
		MaxKeys:     1000,
		SyncTimeout: 2 * time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if err := cache.Ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	probe := func() (status int, body string) {
		rec := httptest.NewRecorder()
		mux.ServeHTTP(rec, httptest.NewRequest("GET", "/ready", nil))
		return rec.Code, rec.Body.String()
	}

	status, body := probe()
	fmt.Println(status, strings.HasPrefix(body, "bcache: not synced yet: no other node is reached"))

	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if err := cache.WaitSynced(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(probe())
	// Output:
	// 503 true
	// 200
}

// A node that has heard from no other one serves nothing of what it holds, its own writes included. What
// Loaders look up meanwhile is kept on this node, for IsolatedAfter at most.
func ExampleIsolation() {
	cache, err := bcache.New(bcache.Config{
		ListenAddr: "127.0.0.1:0",
		MaxKeys:    1000,
		MinPeers:   1,
		Isolation:  bcache.MissWhenIsolated,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	if err := cache.Set("greeting", "hello", 60); err != nil {
		log.Fatal(err)
	}
	_, ok := cache.Get("greeting")
	fmt.Println(ok, errors.Is(cache.Ready(), bcache.ErrIsolated))

	query := func(string) (string, error) { return "hello, says the database", nil }
	val, err := cache.GetWithFiller("greeting", query, 60)
	fmt.Println(val, err)
	val, ok = cache.Get("greeting")
	fmt.Println(val, ok)
	// Output:
	// false true
	// hello, says the database <nil>
	// hello, says the database true
}

// The order of shutdown in a service: first what uses the cache, then the cache.
func ExampleBcache_Close() {
	cache, err := bcache.New(bcache.Config{ListenAddr: "127.0.0.1:0", MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:0"}
	go server.ListenAndServe()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	stop() // as if Ctrl-C had been pressed
	<-ctx.Done()

	if err := server.Shutdown(context.Background()); err != nil {
		log.Print(err)
	}
	fmt.Println(cache.Close())
	// Output: <nil>
}

// A local node works in a testing/synctest bubble: its TTLs follow the bubble's clock,
// and after Close no goroutine is left to keep the bubble from ending.
func Example_synctest() {
	var before, after bool
	testExpiry := func(t *testing.T) { // in a package of yours, a Test function
		synctest.Test(t, func(t *testing.T) {
			cache, err := bcache.New(bcache.Config{MaxKeys: 10})
			if err != nil {
				t.Fatal(err)
			}
			defer cache.Close()
			if err := cache.Set("k", "v", 3600); err != nil {
				t.Fatal(err)
			}
			<-time.After(3599 * time.Second) // takes no time
			_, before = cache.Get("k")
			<-time.After(time.Second)
			_, after = cache.Get("k")
		})
	}
	run("Example_synctest", testExpiry)
	fmt.Println(before, after)
	// Output: true false
}

// run runs a test function outside of the list that "go test" has.
func run(name string, test func(t *testing.T)) {
	testing.RunTests(regexp.MatchString, []testing.InternalTest{{Name: name, F: test}})
}

// eventually waits until cond is true.
func eventually(cond func() bool) {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(10 * time.Second); !cond(); {
		select {
		case <-tick.C:
		case <-timeout:
			log.Fatal("timed out")
		}
	}
}

// A Loader in front of a table of names: what isn't cached is looked up, once for all who ask; a
// name that doesn't exist is remembered as that.
func ExampleNewLoader() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	table := map[string]string{"1": "Ada"}
	users, err := bcache.NewLoader(cache, bcache.LoaderConfig{
		Prefix: "user:",
		Fill: func(_ context.Context, id string) (bcache.Loaded, error) {
			fmt.Println("looking up", id)
			name, ok := table[id]
			if !ok {
				return bcache.Loaded{}, bcache.ErrNotFound
			}
			return bcache.Loaded{Value: name}, nil
		},
		TTL:         time.Minute,
		StaleFor:    10 * time.Second,
		NegativeTTL: time.Second,
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	for range 2 {
		fmt.Println(users.Get(ctx, "1"))
		fmt.Println(users.Get(ctx, "2"))
	}
	// Output:
	// looking up 1
	// Ada <nil>
	// looking up 2
	//  bcache: not found
	// Ada <nil>
	//  bcache: not found
}

// Each node keeps the pages that it is asked for, and a Delete on one of them ends them on all.
func ExampleLoaderConfig_localValues() {
	pages := map[string]string{"/home": "Hello"}
	var nodes []*bcache.Bcache
	var loaders []*bcache.Loader
	for i := range 2 {
		cfg := bcache.Config{ListenAddr: "127.0.0.1:0", MaxKeys: 1000}
		for _, other := range nodes {
			cfg.Peers = append(cfg.Peers, other.Addr())
		}
		cache, err := bcache.New(cfg)
		if err != nil {
			log.Fatal(err)
		}
		defer cache.Close()
		loader, err := bcache.NewLoader(cache, bcache.LoaderConfig{
			Fill: func(_ context.Context, path string) (bcache.Loaded, error) {
				fmt.Println("node", i, "renders", path)
				return bcache.Loaded{Value: pages[path]}, nil
			},
			TTL:         time.Hour,
			LocalValues: true,
		})
		if err != nil {
			log.Fatal(err)
		}
		nodes, loaders = append(nodes, cache), append(loaders, loader)
	}
	eventually(func() bool { return len(nodes[0].Members()) == 1 && len(nodes[1].Members()) == 1 })

	ctx := context.Background()
	fmt.Println(loaders[0].Get(ctx, "/home"))
	fmt.Println(loaders[0].Get(ctx, "/home"))
	fmt.Println("node 1 holds", nodes[1].Len())
	fmt.Println(loaders[1].Get(ctx, "/home"))

	pages["/home"] = "Hello, world"
	if err := loaders[1].Delete("/home"); err != nil {
		log.Fatal(err)
	}
	eventually(func() bool { return nodes[0].Len() == 0 })
	fmt.Println(loaders[0].Get(ctx, "/home"))
	// Output:
	// node 0 renders /home
	// Hello <nil>
	// Hello <nil>
	// node 1 holds 0
	// node 1 renders /home
	// Hello <nil>
	// node 0 renders /home
	// Hello, world <nil>
}

// Values of a type, as JSON.
func ExampleNewTyped() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	type point struct{ X, Y int }
	points, err := bcache.NewTyped(cache, bcache.TypedConfig[point]{
		Fill: func(_ context.Context, key string) (bcache.TypedLoaded[point], error) {
			return bcache.TypedLoaded[point]{Value: point{len(key), 1}}, nil
		},
		Loader: bcache.LoaderConfig{Prefix: "point:", TTL: time.Minute},
	})
	if err != nil {
		log.Fatal(err)
	}
	p, err := points.Get(context.Background(), "abc")
	fmt.Println(p.X, p.Y, err)
	fmt.Println(cache.Get("point:abc"))
	// Output:
	// 3 1 <nil>
	// {"X":3,"Y":1} true
}

// Something derived from the cache follows its changes.
func ExampleBcache_Subscribe() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	done := make(chan struct{})
	cancel := cache.Subscribe(func(e bcache.Event) {
		fmt.Println(e.Kind, e.Key, e.Value)
		if e.Kind == bcache.EventDelete {
			close(done)
		}
	})
	defer cancel()
	if err := cache.Set("greeting", "hello", 60); err != nil {
		log.Fatal(err)
	}
	if err := cache.Delete("greeting"); err != nil {
		log.Fatal(err)
	}
	<-done
	// Output:
	// set greeting hello
	// delete greeting
}

// After an update in the database the key is deleted, on all nodes; a value that nobody else has is
// set. Keys are without the Prefix.
func ExampleLoader_Delete() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	table := map[string]string{"1": "Ada", "2": "Bob"}
	users, err := bcache.NewLoader(cache, bcache.LoaderConfig{
		Prefix: "user:",
		Fill: func(_ context.Context, id string) (bcache.Loaded, error) {
			return bcache.Loaded{Value: table[id]}, nil
		},
		TTL: time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	fmt.Println(users.Get(ctx, "1"))

	table["1"], table["2"] = "Ada Lovelace", "Robert" // commit, then delete
	fmt.Println(users.DeleteMany([]string{"1", "2"}))
	fmt.Println(users.Get(ctx, "1"))

	fmt.Println(users.Set("guest", "a visitor", 0)) // for the Loader's TTL
	fmt.Println(cache.Get("user:guest"))
	fmt.Println(users.Delete("guest"))
	// Output:
	// Ada <nil>
	// <nil>
	// Ada Lovelace <nil>
	// <nil>
	// a visitor true
	// <nil>
}

// While the database is down, an old value is served, and GetResult says so.
func ExampleTyped_GetResult() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	prices, err := bcache.NewTyped(cache, bcache.TypedConfig[int]{
		Fill: func(context.Context, string) (bcache.TypedLoaded[int], error) {
			return bcache.TypedLoaded[int]{}, errors.New("the database is down")
		},
		Loader: bcache.LoaderConfig{Prefix: "price:", TTL: time.Minute, StaleOnErrorFor: time.Hour},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := prices.Set("tea", 250, time.Millisecond); err != nil {
		log.Fatal(err)
	}
	eventually(func() bool { _, ok := cache.Get("price:tea"); return !ok }) // it has expired
	fmt.Printf("%+v\n", prices.GetResult(context.Background(), "tea"))
	// Output: {Value:250 Stale:true Err:the database is down}
}

// A value is decoded once, and all callers get the same one, which they mustn't alter.
func ExampleTypedConfig_shared() {
	type User struct{ Name string }
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	users, err := bcache.NewTyped(cache, bcache.TypedConfig[*User]{
		Fill: func(context.Context, string) (bcache.TypedLoaded[*User], error) {
			return bcache.TypedLoaded[*User]{Value: &User{"Ada"}}, nil
		},
		Shared: true,
		Loader: bcache.LoaderConfig{Prefix: "user:", TTL: time.Minute},
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	one, _ := users.Get(ctx, "1")
	two, _ := users.Get(ctx, "1")
	fmt.Println(one.Name, one == two)

	if err := users.Delete("1"); err != nil { // after a commit: the next one is another
		log.Fatal(err)
	}
	three, _ := users.Get(ctx, "1")
	fmt.Println(three.Name, one == three)
	// Output:
	// Ada true
	// Ada false
}

// When DeleteConfirmed returns nil, no node serves the old value any more. If it can't be known in time,
// the key is deleted all the same, and the error says who may still serve what it had.
func ExampleBcache_DeleteConfirmed() {
	first, err := bcache.New(bcache.Config{ListenAddr: "127.0.0.1:0", MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer first.Close()
	second, err := bcache.New(bcache.Config{
		ListenAddr: "127.0.0.1:0", Peers: []string{first.Addr()}, MaxKeys: 1000,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer second.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := second.WaitSynced(ctx); err != nil {
		log.Fatal(err)
	}

	if err := first.Set("permissions:42", "admin", 60); err != nil {
		log.Fatal(err)
	}
	if err := first.Confirm(ctx); err != nil {
		log.Fatal(err)
	}
	fmt.Println(second.Get("permissions:42"))

	switch err := first.DeleteConfirmed(ctx, "permissions:42"); {
	case errors.Is(err, bcache.ErrUnconfirmed):
		fmt.Println("deleted, but some node may not know yet:", err)
	case err != nil:
		log.Fatal(err) // not deleted
	default:
		_, ok := second.Get("permissions:42")
		fmt.Println(ok)
	}
	// Output:
	// admin true
	// false
}

// Who has written on one node, and comes to another one with the Token, sees what was written.
func ExampleBcache_Await() {
	first, err := bcache.New(bcache.Config{ListenAddr: "127.0.0.1:0", MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer first.Close()
	second, err := bcache.New(bcache.Config{
		ListenAddr: "127.0.0.1:0", Peers: []string{first.Addr()}, MaxKeys: 1000,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer second.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := second.WaitSynced(ctx); err != nil {
		log.Fatal(err)
	}

	if err := first.Set("name", "Ada", 60); err != nil {
		log.Fatal(err)
	}
	cookie := first.Token().String()

	token, err := bcache.ParseToken(cookie)
	if err != nil {
		log.Fatal(err)
	}
	switch err := second.Await(ctx, token); {
	case errors.Is(err, bcache.ErrTokenUnknown):
		fmt.Println("read the database")
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Println(second.Get("name"))
	}
	// Output: Ada true
}

// A Loader awaits the Token of a context by itself. If it can't be awaited, the Fill is called.
func ExampleWithToken() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	name := "Ada"
	users, err := bcache.NewLoader(cache, bcache.LoaderConfig{
		Fill: func(context.Context, string) (bcache.Loaded, error) {
			return bcache.Loaded{Value: name}, nil
		},
		TTL:        time.Minute,
		AwaitToken: 200 * time.Millisecond,
	})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	fmt.Println(users.Get(ctx, "1"))

	name = "Grace" // as another node commits, whose Delete isn't here yet
	fmt.Println(users.Get(ctx, "1"))
	elsewhere, err := bcache.ParseToken("1AAAAAAAAAAEB")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(users.Get(bcache.WithToken(ctx, elsewhere), "1"))
	// Output:
	// Ada <nil>
	// Ada <nil>
	// Grace <nil>
}

// One change makes several values stale: those that were made of what has changed.
func ExampleBcache_ClearTag() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	pages := map[string][]string{ // and the teams that they show
		"home": {"team:1", "team:2"}, "about": {"team:1"}, "jobs": {"team:2"},
	}
	for page, teams := range pages {
		if err := cache.Put(page, "<html>", time.Hour, teams...); err != nil {
			log.Fatal(err)
		}
	}
	if err := cache.ClearTag("team:2"); err != nil { // after the commit that renames it
		log.Fatal(err)
	}
	for _, page := range []string{"home", "about", "jobs"} {
		_, ok := cache.Get(page)
		fmt.Println(page, ok)
	}
	// Output:
	// home false
	// about true
	// jobs false
}

// What is too large is named; everything else is deleted.
func ExampleBcache_DeleteMany() {
	cache, err := bcache.New(bcache.Config{MaxKeys: 1000})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()
	for _, key := range []string{"a", "b", "c"} {
		if err := cache.Set(key, "v", 60); err != nil {
			log.Fatal(err)
		}
	}
	err = cache.DeleteMany([]string{"a", strings.Repeat("x", bcache.MaxRecordSize+1), "c"})
	var failed bcache.KeyErrors
	fmt.Println(errors.As(err, &failed), len(failed), errors.Is(err, bcache.ErrTooLarge))
	fmt.Println(cache.Len())
	// Output:
	// true 1 true
	// 1
}
