package bcache

import "time"

// An echo says how far a node had counted its touches when it sent a frame: all with a lesser count came
// before. A node remembers the echoes of its neighbours. Who fills a key has seen whatever they had
// processed by then: it was issued, and so committed, before the database was asked.

// A peerEcho is one of a neighbour, in one of its lives.
type peerEcho struct{ peer, origin, count uint64 }

// An echoLog remembers the last echo of a neighbour, and some before: the older, the fewer. They are
// needed where reads lag behind commits.
type echoLog [18]heardEcho

type heardEcho struct {
	count uint64 // 0: none
	at    time.Duration
}

// echoSpacing is the least time between two echoes that are remembered beside the last; twice as long at
// each further step back. So they reach back for a minute.
const echoSpacing = 2 * time.Millisecond

func (l *echoLog) add(count uint64, at time.Duration) {
	if count <= l[0].count {
		return // the earlier it was heard, the better
	}
	x := heardEcho{count, at}
	for i := range l {
		x, l[i] = l[i], x
		if i+1 < len(l) && l[i+1].count > 0 && x.at-l[i+1].at < echoSpacing<<i {
			return
		}
	}
}

// before returns the last one that was heard before a time; 0 if there is none.
func (l *echoLog) before(at time.Duration) uint64 {
	for _, x := range l {
		if x.count > 0 && x.at < at {
			return x.count
		}
	}
	return 0
}

// echoes lists what the neighbours have said, if it was heard at least settle ago.
func (r *replica) echoes(now instant, settle time.Duration) (echoes []peerEcho) {
	for _, id := range r.peerIDs {
		p := r.peers[id]
		count := p.echoes[0].count
		if settle > 0 {
			count = p.echoes.before(now.mono - settle)
		}
		if count > 0 {
			echoes = append(echoes, peerEcho{id, p.origin, count})
		}
	}
	return echoes
}

// hear notes a sign of life of a neighbour, with the echo that came with it, and the origin that says
// which life of it that was. It returns nil for a node that isn't one.
func (r *replica) hear(now instant, from, origin, echo uint64) *neighbour {
	p := r.peers[from]
	if p == nil {
		return nil
	}
	p.heard = now.mono
	if origin == p.origin {
		p.echoes.add(echo, now.mono)
	}
	return p
}
