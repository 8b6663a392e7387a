package store

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// hotReads are those that count.
var hotReads = map[string]func(*storeRig, string) bool{
	"Get": func(r *storeRig, key string) bool { return r.has(key) },
	"Fresh": func(r *storeRig, key string) bool {
		return r.Fresh(key, func() int64 { return r.now.Wall }) != nil
	},
}

func TestHot(t *testing.T) {
	for name, read := range hotReads {
		for kind, rig := range map[string]func() *storeRig{
			"S3-FIFO": func() *storeRig { return newStoreRig(Config{MaxKeys: 4096}) },
			"LRU":     func() *storeRig { return newStoreRig(Config{MaxKeys: 9, LRU: true}) }, // they lock
			"provisional": func() *storeRig {
				r := newStoreRig(Config{MaxKeys: 4096})
				for _, key := range []string{"hot", "warm"} {
					r.Fills.Keep(r.now, r.Epochs.Now(), &delta.Record{Key: key, Val: "v"}, nil, false)
				}
				return r
			},
		} {
			t.Run(name+" "+kind, func(t *testing.T) {
				r := rig()
				for _, key := range []string{"hot", "warm"} {
					if _, ok := r.Fills.Peek(key); !ok {
						r.set(key, "v")
					}
				}
				hit := func(key string, n int) {
					for range n {
						if !read(r, key) {
							t.Fatalf("%s isn't found", key)
						}
					}
				}
				hit("hot", 1000)
				if top, hits := r.Hot.Top(9); len(top) != 0 || hits != 0 {
					t.Errorf("nobody has asked: %v of %d", top, hits)
				}
				r.Hot.Ask(r.now.Mono)
				hit("hot", 32_000)
				hit("warm", 8_000)
				for range 10_000 {
					read(r, "none") // no hits
				}
				top, hits := r.Hot.Top(9)
				// 500 samples on average, give or take 6 deviations.
				if len(top) != 2 || top[0].Key != "hot" || top[1].Key != "warm" ||
					top[0].Count < 366*sampledOne || top[0].Count > 634*sampledOne || top[0].Count+top[1].Count != hits {
					t.Errorf("%v of %d", top, hits)
				}
				if top, _ := r.Hot.Top(1); len(top) != 1 || top[0].Key != "hot" {
					t.Errorf("the first is %v", top)
				}
			})
		}
	}
}

// Sampling lasts for a minute after somebody asked; what was sampled goes with it.
func TestHotEnds(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 9})
	r.set("k", "v")
	sampled := func() bool {
		for range 10_000 {
			r.has("k")
		}
		top, _ := r.Hot.Top(1)
		return len(top) > 0
	}
	r.Hot.Ask(5 * time.Second)
	for _, tt := range []struct {
		at   time.Duration
		ask  bool
		want bool
	}{
		{5 * time.Second, false, true},
		{64 * time.Second, false, true},
		{64 * time.Second, true, true},
		{60 * time.Second, true, true}, // who asks late doesn't make it shorter
		{123 * time.Second, false, true},
		{124 * time.Second, false, false},
		{125 * time.Second, false, false},
		{126 * time.Second, true, true},
	} {
		if tt.ask {
			r.Hot.Ask(tt.at)
		}
		r.Hot.Tick(tt.at)
		if got := sampled(); got != tt.want {
			t.Errorf("after %v sampled is %v", tt.at, got)
		}
	}
	r.Close()
	if top, _ := r.Hot.Top(1); len(top) != 0 {
		t.Errorf("after Close: %v", top)
	}
	r.Hot.Ask(200 * time.Second)
	if r.samples.Load() != nil {
		t.Error("after Close hits are sampled")
	}
}

// A hit never waits for who looks at the samples.
func TestHotKeepsNobodyWaiting(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 9})
	r.set("key", "v")
	r.Hot.Ask(0)
	s := r.samples.Load()
	s.mu.Lock()
	for range 10_000 {
		r.has("key") // would hang
	}
	s.mu.Unlock()
	if _, hits := r.Hot.Top(1); hits != 0 {
		t.Errorf("%d hits are sampled while the lock is held", hits)
	}
}

// It may be asked, read and ended at once, and a hit allocates nothing.
func TestHotAtOnce(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 1000})
	long := strings.Repeat("k", 1000)
	for i := range 100 {
		r.set(fmt.Sprint(long, i), "v")
	}
	wall := r.now.Wall
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 5000 {
				r.Get(fmt.Sprint(long, (i+g)%100), func() int64 { return wall })
				if i%1000 == 0 {
					r.Hot.Ask(time.Duration(i))
					r.Hot.Top(i % 7)
					r.Hot.Tick(hotFor * time.Duration(i%2000))
				}
			}
		})
	}
	wg.Wait()
	r.Hot.Ask(hotFor * 3000)
	key := fmt.Sprint(long, 1)
	for range 1000 {
		r.has(key)
	}
	if n := testing.AllocsPerRun(10_000, func() { r.Get(key, storeNoWall) }); n != 0 {
		t.Errorf("a hit takes %v allocations", n)
	}
}
