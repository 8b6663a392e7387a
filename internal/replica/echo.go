package replica

import (
	"time"
)

// An echo says how far a node had counted its touches when it sent a frame: all with a lesser count came
// before. A node remembers the echoes of its neighbours. Who fills a key has seen whatever they had
// processed by then: it was issued, and so committed, before the database was asked.

// A peerEcho is one of a neighbour, in one of its lives.
type peerEcho struct {
	peer, origin uint64
	heardEcho
}

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

// before returns the last one that was heard before a time, if there is one.
func (l *echoLog) before(at time.Duration) (x heardEcho) {
	for _, x = range l {
		if x.count > 0 && x.at < at {
			return x
		}
	}
	return heardEcho{}
}
