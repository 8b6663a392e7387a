package bcachehttp

import (
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/bcachetest"
	"go.uber.org/goleak"
)

// The figures are read every two seconds, kept for five minutes, and no longer read once the cache is
// closed.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := bcachetest.New(t, 1, bcache.Config{MaxKeys: 1000})
		start := time.Now()
		h := Handler(c.Node(0), Options{}).(*handler)
		if list := h.history.list(); len(list) != 1 || !list[0].at.Equal(start) {
			t.Fatalf("at first there are %d", len(list))
		}
		for range 10 {
			c.Node(0).Get("none")
		}
		time.Sleep(5 * sampleEvery)
		synctest.Wait()
		if list := h.history.list(); len(list) != 6 || list[5].stats.Misses != 10 {
			t.Fatalf("after ten seconds there are %d", len(list))
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		list := h.history.list()
		now := time.Now()
		if len(list) != samples || now.Sub(list[samples-1].at) >= sampleEvery {
			t.Errorf("after an hour there are %d, the last one of %v ago", len(list), now.Sub(list[samples-1].at))
		}
		for i, s := range list[1:] {
			if d := s.at.Sub(list[i].at); d != sampleEvery {
				t.Errorf("%v between two", d)
			}
		}
		if d := now.Sub(ago(list, now, time.Minute).at); d != time.Minute {
			t.Errorf("a minute ago was %v ago", d)
		}
		if s := ago(list, now, time.Hour); s != list[0] {
			t.Error("an hour ago isn't the oldest")
		}
		if s := ago(list[:1], now, 0); s != list[0] {
			t.Error("of one it isn't the one")
		}
		if v := getJSON(t, h, "/api/history", 200); len(v["rates"].([]any)) != samples-1 {
			t.Errorf("there are %d rates", len(v["rates"].([]any)))
		}
		if err := c.Stop(0); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		n := h.history.n
		time.Sleep(time.Minute)
		if h.history.n != n {
			t.Error("a closed cache is read")
		}
	}) // and a goroutine that is left would fail the test
}

// A Handler leaves nothing behind, neither one of a cache that is closed already.
func TestNoLeaks(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cache, h := local(t, Options{})
	get(t, h, "/", http.StatusOK)
	Handler(cache, Options{})
	if err := cache.Close(); err != nil {
		t.Fatal(err)
	}
	get(t, Handler(cache, Options{}), "/", http.StatusServiceUnavailable)
}

func TestRelayed(t *testing.T) {
	list := []bcache.Member{{ID: 1, Direct: true}, {ID: 2}, {ID: 3}}
	if got := relayed(list); !slices.Equal(got, []uint64{2, 3}) {
		t.Errorf("got %v", got)
	}
}

func TestRates(t *testing.T) {
	at := time.Unix(1000, 0)
	a := &sample{at: at, stats: bcache.Stats{Hits: 10, Misses: 10, Sets: 5, BytesIn: 100}}
	b := &sample{at: at.Add(2 * time.Second), stats: bcache.Stats{
		Hits: 40, Misses: 20, Sets: 9, Deletes: 2, Fills: 8, BytesIn: 1100, BytesOut: 10, Keys: 7,
	}}
	r := rates([]*sample{a, b})
	want := rate{
		at: b.at, hitRatio: 0.75, gets: 20, sets: 2, deletes: 1, fills: 4, in: 500, out: 5, keys: 7,
	}
	if len(r) != 1 || r[0] != want {
		t.Errorf("got %+v", r)
	}
	if r := between(b, a); r.gets != 0 || r.hitRatio != 0 {
		t.Errorf("back in time: %+v", r)
	}
	if r := rates([]*sample{a}); len(r) != 0 {
		t.Errorf("of one: %+v", r)
	}
}
