package replica

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"github.com/iwanbk/bcache/internal/delta"
)

// neighbours are the nodes that are directly connected, by PeerID.
type neighbours struct {
	byID  map[uint64]*neighbour
	ids   []uint64     // ascending
	list  []*neighbour // in the order of ids: each frame looks at all of them, several times
	turns int          // taken among them
}

func newNeighbours() neighbours { return neighbours{byID: map[uint64]*neighbour{}} }

// add puts a neighbour in, in the place of the one that had its PeerID.
func (n *neighbours) add(id uint64, p *neighbour) {
	i, there := slices.BinarySearch(n.ids, id)
	if !there {
		n.ids, n.list = slices.Insert(n.ids, i, id), slices.Insert(n.list, i, p)
	}
	n.list[i], n.byID[id] = p, p
}

func (n *neighbours) remove(id uint64) {
	delete(n.byID, id)
	if i, there := slices.BinarySearch(n.ids, id); there {
		n.ids, n.list = slices.Delete(n.ids, i, i+1), slices.Delete(n.list, i, i+1)
	}
}

// all lists them by PeerID, as they are now: meanwhile others may come and go.
func (n *neighbours) all() iter.Seq2[uint64, *neighbour] {
	return func(yield func(uint64, *neighbour) bool) {
		for _, id := range slices.Clone(n.ids) {
			if p := n.byID[id]; p != nil && !yield(id, p) {
				return
			}
		}
	}
}

// where lists those that are as wanted and get on, by PeerID.
func (n *neighbours) where(want func(*neighbour) bool) (ids []uint64) {
	for i, p := range n.list {
		if p.missed == 0 && want(p) {
			ids = append(ids, n.ids[i])
		}
	}
	return ids
}

// exists reports whether one is as wanted, whether or not it gets on.
func (n *neighbours) exists(want func(*neighbour) bool) bool {
	return slices.ContainsFunc(n.list, want)
}

// choose takes one of some, another one each time; those who choose from the same begin at different
// ones if their start is different.
func (n *neighbours) choose(ids []uint64, start uint64) uint64 {
	n.turns++
	return ids[(start+uint64(n.turns))%uint64(len(ids))]
}

// hear notes a sign of life of a neighbour, with the echo that came with it, and the origin that says
// which life of it that was. It returns nil for a node that isn't one.
func (n *neighbours) hear(now delta.Instant, from, origin, echo uint64) *neighbour {
	p := n.byID[from]
	if p == nil {
		return nil
	}
	p.heard = now.Mono
	if origin == p.origin {
		p.echoes.add(echo, now.Mono)
	}
	return p
}

// echoes lists what they have said of their touches, if it was heard at least settle ago.
func (n *neighbours) echoes(now delta.Instant, settle time.Duration) (echoes []peerEcho) {
	for _, id := range n.ids {
		p := n.byID[id]
		echo := p.echoes[0]
		if settle > 0 {
			echo = p.echoes.before(now.Mono - settle)
		}
		if echo.count > 0 {
			echoes = append(echoes, peerEcho{id, p.origin, echo})
		}
	}
	return echoes
}

// claimed says how far their own dots go, by their own word.
func (n *neighbours) claimed() map[uint64]uint64 {
	claimed := map[uint64]uint64{}
	for _, p := range n.byID {
		if p.claims {
			claimed[p.origin] = p.claimed
		}
	}
	return claimed
}

// doubt has all of them be asked anew what they have more.
func (n *neighbours) doubt() {
	for _, p := range n.byID {
		p.doubt()
	}
}

// holders lists those that hold something that this node lacks, or haven't said yet that
// they don't.
func (n *neighbours) holders() []uint64 {
	return n.where(holdsMore)
}

// knowSynced reports whether one of them is synced, however slow it is.
func (n *neighbours) knowSynced() bool { return n.exists(isSynced) }

// knowServer reports whether one of them hasn't failed to serve this node, since it last did.
func (n *neighbours) knowServer() bool {
	return n.exists(func(p *neighbour) bool { return p.synced && !p.unable })
}

// outdone reports whether one of them holds more than this node: of nodes that start together the one
// that holds most serves the others. The lowest PeerID does if they hold as much.
func (n *neighbours) outdone(id, held uint64) bool {
	for other, p := range n.byID {
		if cmp.Or(cmp.Compare(p.held, held), cmp.Compare(id, other)) > 0 {
			return true
		}
	}
	return false
}
