package store

import (
	"fmt"
	"sync"
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
)

// served lists the ways in which a key is served.
func (r *storeRig) served(key string) (ways []string) {
	wall := func() int64 { return r.now.Wall }
	if _, ok := r.Get(key, wall); ok {
		ways = append(ways, "Get")
	}
	if r.Fresh(key, wall) != nil {
		ways = append(ways, "Fresh")
	}
	if _, ok := r.Entry(key, r.now.Wall); ok {
		ways = append(ways, "Entry")
	}
	if _, ok := r.Beside(key, r.now.Wall); ok {
		ways = append(ways, "Beside")
	}
	for i := range r.Shards() {
		for _, e := range r.Live(i, r.now.Wall) {
			if e.Key == key {
				ways = append(ways, "Live")
			}
		}
	}
	return ways
}

// What is hidden isn't served in any way, and is held, compared and counted as before. What is kept
// meanwhile is served until that ends.
func TestHide(t *testing.T) {
	for _, lru := range []bool{false, true} {
		r := newStoreRig(Config{MaxKeys: 2000, LRU: lru})
		r.set("record", "v")
		r.set("both", "v")
		r.write(delta.Record{Key: "negative", Kind: delta.KindNegative, Deadline: r.now.Wall + 9999}, true)
		r.write(delta.Record{Key: "stale", Val: "v", Deadline: r.now.Wall + 1, StaleUntil: r.now.Wall + 9999}, true)
		r.keepBeside("before", "v")
		r.pass(2e6)
		is := func(when, key, want string) {
			t.Helper()
			if got := fmt.Sprint(r.served(key)); got != want {
				t.Errorf("LRU %v, %s: %s is served by %v, want %s", lru, when, key, got, want)
			}
		}
		all := map[string]string{"record": "[Get Fresh Entry Live]", "negative": "[Entry]", "stale": "[Entry]"}
		for key, ways := range all {
			is("before", key, ways)
		}
		is("before", "before", "[Get Fresh Entry Beside Live]")
		old, held, bytes := r.Epochs.Now(), r.Len(), r.Bytes()
		r.Hide(true)
		for key := range all {
			is("hidden", key, "[]")
			if _, ok := r.Peek(key); !ok {
				t.Errorf("%s isn't held any more", key)
			}
		}
		is("hidden", "before", "[]")
		if r.Len() != held || r.Bytes() != bytes || r.Admits(&delta.Record{Key: "record", Version: delta.Version{Stamp: 1}}) {
			t.Error("hidden it is forgotten")
		}
		r.set("written", "v")
		r.ApplyClear(Clear{Selector: delta.SelectPrefix("nothing"), Version: delta.Version{Stamp: 9, Origin: 1}})
		is("hidden", "written", "[]")
		is("hidden, after a Clear", "record", "[]")
		r.keepBeside("both", "local")
		is("hidden", "both", "[Get Fresh Entry Beside Live]")
		if v, _ := r.Get("both", nil); v != "local" {
			t.Errorf("%q is served", v)
		}
		f := r.Fills.Open("late", r.now)
		r.Fills.Begin(&f)
		r.Fills.Keep(r.now, old, &delta.Record{Key: "late", Val: "v"}, &f, true)
		r.Fills.End(&f)
		is("found to be current before it was hidden", "late", "[]")
		r.Hide(false)
		for key, ways := range all {
			is("again", key, ways)
		}
		is("again", "written", "[Get Fresh Entry Live]")
		is("again", "before", "[]")
		is("again", "both", "[Get Fresh Entry Live]")
		if v, _ := r.Get("both", nil); v != "v" {
			t.Errorf("%q is served", v)
		}
	}
}

// Who reads while it is hidden and shown sees one of the two.
func TestHideConcurrently(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 100})
	r.set("k", "v")
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for range 2000 {
				if v, ok := r.Get("k", nil); ok && v != "v" {
					t.Errorf("%q", v)
				}
			}
		})
	}
	for i := range 500 {
		r.Hide(i%2 == 0)
		if hidden := i%2 == 0; r.has("k") == hidden {
			t.Fatalf("hidden %v, and served", hidden)
		}
	}
	wg.Wait()
}
