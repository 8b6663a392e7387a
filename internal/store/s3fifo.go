package store

import (
	"sync/atomic"

	"github.com/iwanbk/bcache/internal/delta"
)

// s3fifo is the policy S3-FIFO (Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP
// 2023), in every shard. Most keys are asked for once, and never again. So what is new waits in a small
// queue, and goes at its end unless it was used meanwhile: then it moves on to the main one, where what
// is used goes round. A Get only counts; it never moves anything, and takes no lock.
//
// What other nodes write waits in a queue of its own. So a flood of it replaces itself: neither what is
// read here, nor what was just written here. It is no use of its key, it asks no ghosts and leaves none.
type s3fifo struct {
	*evictor
	ghosts ghosts
	timed  bool                     // the store may be thin: rings note when what they have came
	clock  atomic.Uint32            // what was queued so far; it may wrap
	queued [inMain + 1]atomic.Int64 // entries, by queue
}

const (
	// waitPart is which part of all entries either of the waiting queues may be.
	waitPart = 10

	// ownShare is how many entries a shard must have for its queues to be of use.
	ownShare = 64

	// maxSteps is how many entries are looked at for a victim, before one goes although it was used. After
	// a time of reads only, all were.
	maxSteps = 256
)

func newS3FIFO(v *evictor) *s3fifo {
	shards, most := v.table.len(), &v.limits
	return &s3fifo{
		evictor: v,
		timed:   shards > 1 && (most.maxBytes > 0 || most.maxKeys/ownShare < shards),
	}
}

func (p *s3fifo) newOrder(x *index) order {
	f := &fifo{index: x, policy: p}
	for i := range f.rings {
		f.rings[i].timed = p.timed
	}
	return f
}

// nextQueue is which queue is to give something up, if they have so many entries.
func nextQueue(small, remote, main int64) int {
	n := small + remote + main
	switch {
	case remote*waitPart > n:
		return inRemote
	case small*waitPart > n:
		return inSmall
	case main > 0:
		return inMain
	case small > 0:
		return inSmall
	}
	return inRemote
}

func (p *s3fifo) noteUse(e *Entry) bool {
	e.countUse()
	return true
}

func (p *s3fifo) probation() int { return int(p.queued[inSmall].Load() + p.queued[inRemote].Load()) }

func (p *s3fifo) reset() {
	p.ghosts = ghosts{}
	for i := range p.queued {
		p.queued[i].Store(0)
	}
}

// evict gives up an entry, and looks at few for that.
func (p *s3fifo) evict(now delta.Instant, hash uint64, nth int) {
	for steps := 0; ; {
		sh, queue := p.choose(hash, nth)
		if sh == nil {
			return // nothing is held
		}
		n, done := p.evictFrom(now, sh, queue, steps >= maxSteps)
		if done {
			return
		}
		steps += n
	}
}

// anyQueue is the one that the shard itself chooses.
const anyQueue = -1

// choose returns a shard that is to give something up, and of which queue.
//
// It is the key's own shard, unless that has less than its share: so mostly no other shard's memory is
// needed, and the shards keep their sizes. What takes the place of many takes it from all.
func (p *s3fifo) choose(hash uint64, nth int) (sh *shard, queue int) {
	if p.thin() {
		return p.oldest()
	}
	if sh = p.table.of(hash); nth == 0 && sh != nil && p.hasShare(sh) {
		return sh, anyQueue
	}
	return p.fullest(), anyQueue
}

// thin reports whether the shards have too few entries for queues of their own, as they may have where
// large values fill MaxBytes.
func (p *s3fifo) thin() bool {
	return p.timed && p.tally.entries.Load() < int64(p.table.len())*ownShare
}

// oldest takes the queues of all shards for one, as well as it can: of some shards it returns the one
// whose next entry in a queue came first. Which queue that is is decided for all.
func (p *s3fifo) oldest() (sh *shard, queue int) {
	queue = nextQueue(p.queued[inSmall].Load(), p.queued[inRemote].Load(), p.queued[inMain].Load())
	now := p.clock.Load()
	return p.eldest(func(sh *shard) (int64, bool) {
		r := &sh.entries.order.(*fifo).rings[queue]
		if r.n == 0 {
			return 0, false
		}
		return int64(now - r.bornAt()), true
	}), queue
}

// hasShare reports whether a shard has about as many entries as others.
func (p *s3fifo) hasShare(sh *shard) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	n, shards := int64(sh.entries.index.n), int64(p.table.len())
	return n > 0 && (shards == 1 || n*shards*8 >= p.tally.entries.Load()*7)
}

// fullest returns, of some shards, the one that has most entries.
func (p *s3fifo) fullest() *shard {
	return p.eldest(func(sh *shard) (int64, bool) {
		n := int64(sh.entries.index.n)
		return n, n > 0
	})
}

// evictFrom gives up an entry of a shard, or several dead ones. It looks at some, of which there may be
// none that wasn't used, unless one is to go anyway.
func (p *s3fifo) evictFrom(now delta.Instant, sh *shard, queue int, anyway bool) (steps int, done bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if p.sweeper.sweepLocked(sh, now) > 0 {
		return 1, true
	}
	f := sh.entries.order.(*fifo)
	for steps = 1; ; steps++ {
		from := queue
		if queue == anyQueue {
			from = f.next()
		}
		if f.rings[from].n == 0 {
			return steps, false // a Get or a sweep was faster
		}
		if e, t := f.step(from, anyway); e != nil {
			if from == inSmall {
				p.ghosts.add(sh.number, t, p.tally.entries.Load())
			}
			sh.evictLocked(now.Wall, t, e)
			return steps, true
		}
		if queue != anyQueue || steps == sweepBatch {
			return steps, false
		}
	}
}
