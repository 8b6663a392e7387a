package transporttest

import (
	"fmt"
	"slices"
	"sync"
)

// lives are all nodes that there ever were in a scene.
type lives struct {
	mu  sync.Mutex
	all map[string]map[uint64][]uint64 // cluster, PeerID, origins
}

func (l *lives) add(cluster string, id, origin uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all[cluster] == nil {
		l.all[cluster] = map[uint64][]uint64{}
	}
	l.all[cluster][id] = append(l.all[cluster][id], origin)
}

func (l *lives) known(cluster string, id uint64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all[cluster][id]) > 0
}

// wrong says what is wrong with a node that has joined one of a cluster.
func (l *lives) wrong(cluster string, e event) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	origins := l.all[cluster][e.peer]
	switch {
	case len(origins) == 0:
		return "there is no such node in the cluster"
	case !slices.Contains(origins, e.origin):
		return fmt.Sprintf("its lives had %x", origins)
	}
	return ""
}
