package caches

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"
	"github.com/redis/rueidis"
)

// Names that results are looked up by.
const (
	Redis   = "Redis"
	Rueidis = "Redis, client-side"
)

// A Loader takes many entries at once. Over a network that saves minutes of warming up.
type Loader interface {
	Load(keys, vals []string) error
}

// RedisKinds are Redis by plain GETs, and by a client that caches what it has got until the
// server says that it has changed. Each has the redis-server of that path for itself, so that
// neither makes the other's copies invalid.
func RedisKinds(path string) []Kind {
	return []Kind{
		{
			Name: Redis, Module: "github.com/redis/go-redis/v9", Remote: true, Unbounded: true,
			Setup: "redis-server on loopback, nothing kept on disk; GET and SET EX of an hour by go-redis",
			New:   func(int) (Cache, error) { return newRedis(path) },
		},
		{
			Name: Rueidis, Module: "github.com/redis/rueidis", Remote: true, Unbounded: true,
			Setup: "the same; DoCache and SET EX of an hour by rueidis",
			New:   func(int) (Cache, error) { return newRueidis(path) },
		},
	}
}

const loadBatch = 1000 // entries in a pipeline

type redisCache struct {
	server *redisServer
	client *redis.Client
	firstError
}

func newRedis(path string) (Cache, error) {
	server, err := startRedis(path)
	if err != nil {
		return nil, err
	}
	return &redisCache{server: server, client: redis.NewClient(&redis.Options{Addr: server.addr})}, nil
}

func (c *redisCache) Get(key string) (string, bool) {
	val, err := c.client.Get(context.Background(), key).Result()
	if err != nil {
		if !errors.Is(err, redis.Nil) {
			c.note(err)
		}
		return "", false
	}
	return val, true
}

func (c *redisCache) Set(key, val string) {
	if err := c.client.Set(context.Background(), key, val, TTL).Err(); err != nil {
		c.note(err)
	}
}

func (c *redisCache) Load(keys, vals []string) error {
	for len(keys) > 0 {
		n := min(loadBatch, len(keys))
		_, err := c.client.Pipelined(context.Background(), func(p redis.Pipeliner) error {
			for i, key := range keys[:n] {
				p.Set(context.Background(), key, vals[i%len(vals)], TTL)
			}
			return nil
		})
		if err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

func (c *redisCache) Settle() {}

func (c *redisCache) Len() int {
	n, err := c.client.DBSize(context.Background()).Result()
	if err != nil {
		c.note(err)
	}
	return int(n)
}

func (c *redisCache) Close() error {
	return errors.Join(c.first(), c.client.Close(), c.server.stop())
}

type rueidisCache struct {
	server *redisServer
	client rueidis.Client
	firstError
}

func newRueidis(path string) (Cache, error) {
	server, err := startRedis(path)
	if err != nil {
		return nil, err
	}
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{server.addr}})
	if err != nil {
		return nil, errors.Join(err, server.stop())
	}
	return &rueidisCache{server: server, client: client}, nil
}

func (c *rueidisCache) Get(key string) (string, bool) {
	val, err := c.client.DoCache(context.Background(), c.client.B().Get().Key(key).Cache(), TTL).ToString()
	if err != nil {
		if !rueidis.IsRedisNil(err) {
			c.note(err)
		}
		return "", false
	}
	return val, true
}

func (c *rueidisCache) set(key, val string) rueidis.Completed {
	return c.client.B().Set().Key(key).Value(val).Ex(TTL).Build()
}

func (c *rueidisCache) Set(key, val string) {
	if err := c.client.Do(context.Background(), c.set(key, val)).Error(); err != nil {
		c.note(err)
	}
}

// Load leaves a copy of each entry with the client.
func (c *rueidisCache) Load(keys, vals []string) error {
	for len(keys) > 0 {
		n := min(loadBatch, len(keys))
		sets := make(rueidis.Commands, n)
		gets := make([]rueidis.CacheableTTL, n)
		for i, key := range keys[:n] {
			sets[i] = c.set(key, vals[i%len(vals)])
			gets[i] = rueidis.CT(c.client.B().Get().Key(key).Cache(), TTL)
		}
		for _, r := range c.client.DoMulti(context.Background(), sets...) {
			if err := r.Error(); err != nil {
				return err
			}
		}
		for _, r := range c.client.DoMultiCache(context.Background(), gets...) {
			if err := r.Error(); err != nil {
				return err
			}
		}
		keys = keys[n:]
	}
	return nil
}

func (c *rueidisCache) Settle() {}

func (c *rueidisCache) Len() int {
	n, err := c.client.Do(context.Background(), c.client.B().Dbsize().Build()).AsInt64()
	if err != nil {
		c.note(err)
	}
	return int(n)
}

func (c *rueidisCache) Close() error {
	c.client.Close()
	return errors.Join(c.first(), c.server.stop())
}
