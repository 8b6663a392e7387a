package memberlist_test

import (
	"context"
	"fmt"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/transport/memberlist"
)

func Example() {
	key := []byte("32 random bytes, of a secret mnt") // the same on all nodes

	// The first node. In production each is on a machine of its own, and listens on ":7946".
	first, err := memberlist.New(memberlist.Config{
		BindAddr: "127.0.0.1:0",
		Keys:     [][]byte{key},
	})
	if err != nil {
		panic(err)
	}
	a, err := bcache.New(bcache.Config{MaxKeys: 100_000, Transport: first})
	if err != nil {
		panic(err)
	}
	defer a.Close()

	// The others join it, or whoever else a name stands for: "srv+_bcache._tcp.example", say.
	second, err := memberlist.New(memberlist.Config{
		BindAddr: "127.0.0.1:0",
		Join:     []string{a.Addr()},
		Keys:     [][]byte{key},
	})
	if err != nil {
		panic(err)
	}
	b, err := bcache.New(bcache.Config{MaxKeys: 100_000, Transport: second})
	if err != nil {
		panic(err)
	}
	defer b.Close()
	if err := b.WaitSynced(context.Background()); err != nil {
		panic(err)
	}

	if err := b.Set("greeting", "hello", 60); err != nil {
		panic(err)
	}
	if err := b.Confirm(context.Background()); err != nil { // all nodes have it
		panic(err)
	}
	fmt.Println(a.Get("greeting"))
	// Output: hello true
}
