package fill

import (
	"sync/atomic"
	"time"

	"github.com/iwanbk/bcache/internal/histogram"
	"github.com/iwanbk/bcache/internal/striped"
)

// Figures count what a Loader does, or the Fillers of a cache. They are safe for concurrent use.
type Figures struct {
	Hits, Misses striped.Counter

	begun   [NumCauses]atomic.Uint64   // keys whose fills have begun
	ended   [NumOutcomes]atomic.Uint64 // those that have ended
	took    histogram.Histogram        // how long calls of Fill and FillMany took
	running atomic.Int64               // those calls that haven't ended
	waits   [NumWaitEnds]atomic.Uint64 // for leases
	waited  histogram.Histogram        // how long those were

	Stale         atomic.Uint64 // values served after their deadline,
	StaleHits     atomic.Uint64 // of which nobody had to wait for these
	StaleFailures atomic.Uint64 // fills that failed while there was an old value,
	StaleMissed   atomic.Uint64 // of which an OnStale was too slow to be told
	Missing       atomic.Uint64 // times that a remembered ErrNotFound was returned
	Undecodable   atomic.Uint64 // misses, as what is held has another layout
	Anew          atomic.Uint64 // Gets to which what was held, or was being filled, couldn't be given
}

// Sums are figures at some time, of one Loader or of several.
type Sums struct {
	Hits, Misses uint64

	Begun   [NumCauses]uint64
	Ended   [NumOutcomes]uint64
	Took    histogram.Counts
	Running int64
	Waits   [NumWaitEnds]uint64
	Waited  histogram.Counts

	Stale, StaleHits, StaleFailures, StaleMissed, Missing, Undecodable, Anew uint64
}

// Count counts a Get: whether something was served without a fill.
func (f *Figures) Count(hit bool) {
	if hit {
		f.Hits.Add1()
	} else {
		f.Misses.Add1()
	}
}

// Begin counts a call that fills so many keys, by their causes.
func (f *Figures) Begin(keys *[NumCauses]int) {
	for why, n := range keys {
		f.begun[why].Add(uint64(n))
	}
	f.running.Add(1)
}

// End counts how it has ended.
func (f *Figures) End(took time.Duration, outcomes *[NumOutcomes]int) {
	for o, n := range outcomes {
		f.ended[o].Add(uint64(n))
	}
	f.took.Add(took)
	f.running.Add(-1)
}

// EndWait counts a wait for a lease.
func (f *Figures) EndWait(took time.Duration, end WaitEnd) {
	f.waits[end].Add(1)
	f.waited.Add(took)
}

// Sums returns what was counted so far.
func (f *Figures) Sums() Sums {
	s := Sums{
		Hits: f.Hits.Load(), Misses: f.Misses.Load(),
		Took: f.took.Counts(), Waited: f.waited.Counts(), Running: f.running.Load(),
		Stale: f.Stale.Load(), StaleHits: f.StaleHits.Load(), StaleFailures: f.StaleFailures.Load(),
		StaleMissed: f.StaleMissed.Load(), Missing: f.Missing.Load(), Undecodable: f.Undecodable.Load(),
		Anew: f.Anew.Load(),
	}
	for i := range f.begun {
		s.Begun[i] = f.begun[i].Load()
	}
	for i := range f.ended {
		s.Ended[i] = f.ended[i].Load()
	}
	for i := range f.waits {
		s.Waits[i] = f.waits[i].Load()
	}
	return s
}

// Fills is how many keys' fills have begun.
func (s *Sums) Fills() (n uint64) {
	for _, begun := range s.Begun {
		n += begun
	}
	return n
}

// Merge adds those of another Loader.
func (s *Sums) Merge(o *Sums) {
	s.Hits += o.Hits
	s.Misses += o.Misses
	for i, n := range o.Begun {
		s.Begun[i] += n
	}
	for i, n := range o.Ended {
		s.Ended[i] += n
	}
	s.Took.Merge(&o.Took)
	s.Waited.Merge(&o.Waited)
	s.Running += o.Running
	for i, n := range o.Waits {
		s.Waits[i] += n
	}
	s.Stale += o.Stale
	s.StaleHits += o.StaleHits
	s.StaleFailures += o.StaleFailures
	s.StaleMissed += o.StaleMissed
	s.Missing += o.Missing
	s.Undecodable += o.Undecodable
	s.Anew += o.Anew
}
