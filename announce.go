package bcache

import (
	"fmt"
	"strings"
	"time"
)

// What an operator reads when a node is synced.

// A syncNotice says how it came to that: by a full sync, or on the node's own authority.
type syncNotice struct {
	from   uint64        // PeerID of who sent the full sync; 0: nobody
	keys   int           // held after it
	others int           // nodes that were connected
	took   time.Duration // it, or the wait for another node
}

// takeNotices returns what is to be logged.
func (r *replica) takeNotices() (ns []syncNotice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ns, r.out.notices = r.out.notices, nil
	return ns
}

func (p *peer) announce(notices []syncNotice) {
	for _, n := range notices {
		switch failed := p.transport.Unreached(); {
		case n.from != 0:
			took := n.took.Round(time.Millisecond)
			p.log.Printf(n.from, "synced with node %x: %d keys in %v", n.from, n.keys, took)
		case n.others > 0:
			p.log.Printf(0, "declares itself synced, as the first of those that are reached: %d other nodes",
				n.others)
		case len(failed) == 0:
			p.log.Printf(0, "declares itself synced: its Peers lead to no other node")
		default:
			p.log.Errorf(0, "declares itself synced: no other node is reached for %v: %s",
				n.took.Round(time.Second), unreachedList(failed))
		}
	}
}

// unreachedList says what can't be reached, and why, in one line.
func unreachedList(failed []dialFailure) string {
	const shown = 8
	var list []string
	for i, f := range failed {
		if i == shown {
			list = append(list, fmt.Sprintf("and %d more", len(failed)-shown))
			break
		}
		list = append(list, f.String())
	}
	return strings.Join(list, "; ")
}
