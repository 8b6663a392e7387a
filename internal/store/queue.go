package store

import (
	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// A queue is a simplelru that takes no memory until something is added. It never
// evicts by itself: its owner decides when, it says which.
type queue[K comparable, V any] struct{ lru *simplelru.LRU[K, V] }

// add puts a value at the front, in place of the one that the key has.
func (q *queue[K, V]) add(key K, v V) {
	if q.lru == nil {
		q.lru, _ = simplelru.NewLRU[K, V](int(^uint(0)>>1), nil) // fails for sizes <= 0 only
	}
	q.lru.Add(key, v)
}

// touch moves a key that is there to the front.
func (q *queue[K, V]) touch(key K) { q.lru.Get(key) }

// peek looks a key up and leaves it where it is.
func (q *queue[K, V]) peek(key K) (v V, ok bool) {
	if q.lru == nil {
		return v, false
	}
	return q.lru.Peek(key)
}

func (q *queue[K, V]) remove(key K) bool { return q.lru != nil && q.lru.Remove(key) }

// oldest returns what is at the back.
func (q *queue[K, V]) oldest() (key K, v V, ok bool) {
	if q.lru == nil {
		return key, v, false
	}
	return q.lru.GetOldest()
}

// values lists what is held, oldest first.
func (q *queue[K, V]) values() []V {
	if q.lru == nil {
		return nil
	}
	return q.lru.Values()
}

// trim gives an empty queue's memory back: a map doesn't shrink.
func (q *queue[K, V]) trim() {
	if q.lru != nil && q.lru.Len() == 0 {
		q.lru = nil
	}
}
