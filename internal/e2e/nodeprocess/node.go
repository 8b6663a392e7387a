package nodeprocess

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/iwanbk/bcache"
	"github.com/iwanbk/bcache/internal/lease"
)

// A node is a cache, and what runs over it in the background, by its keys.
type node struct {
	name    string
	id      uint64 // its PeerID
	cache   *bcache.Bcache
	loads   map[string]*Load
	probes  map[string]*Prober
	follows map[string]*follower
	filler  *filler
}

func newNode(name string, id uint64, cache *bcache.Bcache) (*node, error) {
	f, err := newFiller(cache, name)
	return &node{
		name: name, id: id, cache: cache, filler: f,
		loads: map[string]*Load{}, probes: map[string]*Prober{}, follows: map[string]*follower{},
	}, err
}

// do runs one command.
func (n *node) do(words []string) (any, error) {
	if len(words) == 0 {
		return nil, errors.New("no command")
	}
	c, known := commands[words[0]]
	args := words[1:]
	want := len(strings.Fields(c.args))
	if !known || len(args) != want && !strings.HasSuffix(c.args, "...") {
		return nil, fmt.Errorf("%q isn't a command such as %s %s", words, words[0], c.args)
	}
	return c.run(n, args)
}

// granter returns the node that this one would ask for the lease of a key.
func (n *node) granter(key string) uint64 {
	ids := []uint64{n.id}
	for _, m := range n.cache.Members() {
		ids = append(ids, m.ID)
	}
	id, _ := lease.Granter(key, ids)
	return id
}

// EachKey calls f with the keys of a range, until it fails.
func EachKey(prefix string, from, to int, f func(key string) error) error {
	for i := from; i < to; i++ {
		if err := f(prefix + strconv.Itoa(i)); err != nil {
			return err
		}
	}
	return nil
}
