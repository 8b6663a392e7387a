package store

import (
	"fmt"
	"testing"
)

func TestLRUProbation(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 4, LRU: true})
	r.remote("a", "")
	r.remote("b", "")
	r.remote("c", "")
	r.has("a")         // a use
	r.set("b", "")     // a use
	r.remote("c", "2") // none
	r.Peek("c")        // none
	if n := r.policy.probation(); n != 1 {
		t.Errorf("%d in probation", n)
	}
	r.remote("a", "2") // stays where it is
	if n := r.policy.probation(); n != 1 {
		t.Errorf("%d in probation", n)
	}
	r.remote("d", "") // d and c are half of all
	r.set("e", "")
	if _, ok := r.Peek("c"); ok {
		t.Error("c had to go")
	}
	r.set("f", "") // d is no more than a quarter: a is the oldest of the others
	if _, ok := r.Peek("a"); ok {
		t.Error("a had to go")
	}
	for _, key := range []string{"b", "d", "e", "f"} {
		if _, ok := r.Peek(key); !ok {
			t.Errorf("%s is gone", key)
		}
	}
	storeCheck(t, r.Store)
}

// Where there are several shards, an entry that was moved a few inserts ago is only marked as used; at the
// back it is moved instead of given up.
func TestLRUSecondChance(t *testing.T) {
	r := newStoreRig(Config{MaxKeys: 1000, Shards: 2, LRU: true})
	var keys []string // of one shard
	for i := 0; len(keys) < 100; i++ {
		if key := fmt.Sprint(i); r.hash.Of(key)%2 == 0 {
			keys = append(keys, key)
			r.set(key, "")
		}
	}
	x := r.table.at(0).entries.order.(*recency)
	last := keys[len(keys)-1]
	find := func(key string) *Entry { return r.table.at(0).entries.find(r.hash.Of(key), key) }
	if r.has(last); find(last).used.Load()&usedBit == 0 {
		t.Error("a use of what is near isn't noted")
	}
	for _, key := range keys[:99] {
		x.main.touch(lruKeyOf(find(key))) // as if all others had been moved since
	}
	if e, _ := x.victim(false); e.Key != keys[0] {
		t.Errorf("the victim is %s", e.Key)
	}
}
