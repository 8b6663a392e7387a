package caches

import (
	"errors"
	"time"
	"unsafe"

	"github.com/coocood/freecache"
)

const (
	freecacheEntry = 24 + 109   // its header, a key and a value
	freecacheMin   = 512 * 1024 // it allots no less
)

var freecacheKind = Kind{
	Name: "freecache", Module: "github.com/coocood/freecache",
	Setup:       "as many bytes as the entries take; keys and values as bytes without copying; TTL of an hour",
	MinCapacity: freecacheMin/freecacheEntry + 1,
	New: func(capacity int) (Cache, error) {
		return &freecacheCache{Cache: freecache.NewCache(capacity * freecacheEntry)}, nil
	},
}

type freecacheCache struct {
	*freecache.Cache
	firstError
}

func (c *freecacheCache) Get(key string) (string, bool) {
	val, err := c.Cache.Get(bytesOf(key))
	if err != nil {
		if !errors.Is(err, freecache.ErrNotFound) {
			c.note(err)
		}
		return "", false
	}
	return unsafe.String(unsafe.SliceData(val), len(val)), true // a copy made for us
}

func (c *freecacheCache) Set(key, val string) { c.SetTTL(key, val, TTL) }

func (c *freecacheCache) SetTTL(key, val string, ttl time.Duration) {
	if err := c.Cache.Set(bytesOf(key), bytesOf(val), int(ttl/time.Second)); err != nil {
		c.note(err)
	}
}

func (c *freecacheCache) Settle()      {}
func (c *freecacheCache) Len() int     { return int(c.EntryCount()) }
func (c *freecacheCache) Close() error { return c.first() }

// bytesOf spares freecache a copy that a program with keys in bytes doesn't make. It only
// reads them.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
