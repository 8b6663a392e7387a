package nats_test

import (
	"log"
	"time"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/transport/nats"
)

// A node whose cluster talks through two NATS servers.
func Example() {
	transport, err := nats.New(nats.Config{
		Servers:   []string{"nats://nats-1.example:4222", "nats://nats-2.example:4222"},
		CredsFile: "/etc/users/cache.creds",
	})
	if err != nil {
		log.Fatal(err)
	}
	cache, err := bcache.New(bcache.Config{
		MaxKeys:     100_000,
		ClusterName: "users",
		Transport:   transport,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	if err := cache.Put("user:17", "Ada", time.Hour); err != nil {
		log.Print(err)
	}
}
