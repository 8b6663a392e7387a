// Package both is two transports at once, as one: for a cluster that moves from one to the other while it
// runs. First all nodes get both, one by one, and then all get the new one alone.
//
// Its law: a node is there as long as one of the two says so, as the life that was heard of last. What is
// broadcast goes both ways, so nodes that have both get it twice.
package both

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/iwanbk/bcache/transport"
)

// A Transport is two of them.
type Transport struct {
	parts [2]transport.Transport
	h     transport.Handler

	mu    sync.Mutex // Joined and Left are told under it, so that they alternate
	peers map[uint64]*peer
}

// A peer is what is known of a node that at least one of the two has told of.
type peer struct {
	lives [2]uint64 // the origin that each has told of; 0: none
	told  uint64    // that the handler was told of; 0: none
}

// New returns two transports as one. The first one says what the node's address is.
func New(first, second transport.Transport) *Transport {
	return &Transport{parts: [2]transport.Transport{first, second}, peers: map[uint64]*peer{}}
}

// Start implements transport.Transport.
func (t *Transport) Start(n transport.Node, h transport.Handler) error {
	t.h = h
	for i, p := range t.parts {
		if err := p.Start(n, part{t, i}); err != nil {
			return err
		}
	}
	return nil
}

// Expects implements transport.Transport.
func (t *Transport) Expects() bool { return t.parts[0].Expects() || t.parts[1].Expects() }

// Addr implements transport.Transport.
func (t *Transport) Addr() string { return cmp.Or(t.parts[0].Addr(), t.parts[1].Addr()) }

// Broadcast implements transport.Transport.
func (t *Transport) Broadcast(frame []byte) {
	for _, p := range t.parts {
		p.Broadcast(frame)
	}
}

// Send implements transport.Transport. The second one is tried if the first one can't.
func (t *Transport) Send(to uint64, frame []byte, bulk bool) error {
	err := t.parts[0].Send(to, frame, bulk)
	if err == nil {
		return nil
	}
	if other := t.parts[1].Send(to, frame, bulk); !errors.Is(other, transport.ErrUnknownPeer) {
		return other
	}
	return err
}

// Supersede implements transport.Transport.
func (t *Transport) Supersede(to uint64) {
	for _, p := range t.parts {
		p.Supersede(to)
	}
}

// Disconnect implements transport.Transport.
func (t *Transport) Disconnect(id uint64) {
	for _, p := range t.parts {
		p.Disconnect(id)
	}
}

// Members implements transport.Transport.
func (t *Transport) Members() []transport.Member {
	rank := func(m transport.Member) int {
		if m.Direct {
			return 1
		}
		return 0
	}
	id := func(m transport.Member) uint64 { return m.ID }
	return merge(t.parts[0].Members(), t.parts[1].Members(), id, rank)
}

// Everybody implements transport.Transport.
func (t *Transport) Everybody(within time.Duration) []transport.Presence {
	rank := func(p transport.Presence) int {
		switch {
		case p.Gone:
			return 0
		case p.Origin == 0:
			return 1
		}
		return 2
	}
	id := func(p transport.Presence) uint64 { return p.ID }
	return merge(t.parts[0].Everybody(within), t.parts[1].Everybody(within), id, rank)
}

// merge lists what is in either of two lists: of one node what has the higher rank, or else what is in the
// first one.
func merge[T any](first, second []T, id func(T) uint64, rank func(T) int) []T {
	all := map[uint64]T{}
	for _, x := range first {
		all[id(x)] = x
	}
	for _, x := range second {
		if old, ok := all[id(x)]; !ok || rank(x) > rank(old) {
			all[id(x)] = x
		}
	}
	byID := func(a, b T) int { return cmp.Compare(id(a), id(b)) }
	return slices.SortedFunc(maps.Values(all), byID)
}

// Unreached implements transport.Transport.
func (t *Transport) Unreached() []transport.DialFailure {
	return append(t.parts[0].Unreached(), t.parts[1].Unreached()...)
}

// Stats implements transport.Transport.
func (t *Transport) Stats() transport.Stats {
	a, b := t.parts[0].Stats(), t.parts[1].Stats()
	return transport.Stats{
		FramesIn: a.FramesIn + b.FramesIn, FramesOut: a.FramesOut + b.FramesOut,
		BytesIn: a.BytesIn + b.BytesIn, BytesOut: a.BytesOut + b.BytesOut,
		DroppedFrames: a.DroppedFrames + b.DroppedFrames,
		RefusedSkew:   a.RefusedSkew + b.RefusedSkew, RefusedOther: a.RefusedOther + b.RefusedOther,
	}
}

// Close implements transport.Transport. The two close at the same time.
func (t *Transport) Close() error {
	var errs [2]error
	var wg sync.WaitGroup
	for i, p := range t.parts {
		wg.Go(func() { errs[i] = p.Close() })
	}
	wg.Wait()
	return errors.Join(errs[:]...)
}
