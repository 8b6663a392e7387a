package nodeprocess

import (
	"slices"
	"strconv"
	"time"

	"github.com/iwanbk/bcache"
)

// probeEvery is how often a prober asks for its keys.
const probeEvery = 10 * time.Millisecond

// A Prober asks the node of its process for the same keys again and again. The rounds
// have the same numbers in all processes.
type Prober struct {
	quit chan struct{}
	runs chan []ProbeRun
}

// A ProbeRun is a run of rounds in a row that had the same outcome.
type ProbeRun struct {
	From, To int64  // the first and the last one
	Ready    bool   // the node's, when the round began
	Missed   []byte // nil: it wasn't asked, as the machine was busy
}

// Missing reports whether the key of this number was missed.
func (r ProbeRun) Missing(key int) bool { return r.Missed[key/8]&(1<<(key%8)) != 0 }

// StartProber begins with keys keys, prefix0, prefix1 and so on.
func StartProber(b *bcache.Bcache, prefix string, keys int) *Prober {
	p := &Prober{quit: make(chan struct{}), runs: make(chan []ProbeRun, 1)}
	names := make([]string, keys)
	for i := range names {
		names[i] = prefix + strconv.Itoa(i)
	}
	go func() {
		var runs []ProbeRun
		timer := time.NewTimer(0)
		defer timer.Stop()
		for {
			select {
			case <-nextTick(timer, probeEvery):
			case <-p.quit:
				p.runs <- runs
				return
			}
			round := time.Now().UnixMilli() / probeEvery.Milliseconds()
			r := ProbeRun{From: round, To: round, Ready: b.Ready() == nil, Missed: make([]byte, (keys+7)/8)}
			for i, key := range names {
				if _, found := b.Get(key); !found {
					r.Missed[i/8] |= 1 << (i % 8)
				}
			}
			runs = AddRun(runs, r)
		}
	}()
	return p
}

// Stop ends it, and returns what was seen.
func (p *Prober) Stop() []ProbeRun {
	close(p.quit)
	return <-p.runs
}

// AddRun adds a round, to the last run if it is like it.
func AddRun(runs []ProbeRun, r ProbeRun) []ProbeRun {
	n := len(runs) - 1
	if n >= 0 && runs[n].To+1 < r.From {
		runs = append(runs, ProbeRun{From: runs[n].To + 1, To: r.From - 1})
		n++
	}
	if n >= 0 && runs[n].Ready == r.Ready && slices.Equal(runs[n].Missed, r.Missed) {
		runs[n].To = r.To
		return runs
	}
	return append(runs, r)
}

// nextTick returns a channel that delivers when the next multiple of d comes, by the wall
// clock: processes that wait for it do so together.
func nextTick(timer *time.Timer, d time.Duration) <-chan time.Time {
	now := time.Now()
	timer.Reset(now.Truncate(d).Add(d).Sub(now))
	return timer.C
}
