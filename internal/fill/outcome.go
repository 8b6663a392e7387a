package fill

// An Outcome says how a fill of a key has ended.
type Outcome uint8

const (
	Failed      Outcome = iota // the Fill returned an error, or panicked
	Found                      // its value is cached on all nodes
	Provisional                // its value is cached without a version
	NotFound                   // there is no value
	Refused                    // what it brought isn't cached: something newer may be known
	Uncached                   // its value isn't to be cached
	TooLarge                   // its value can't be
	Abandoned                  // it was cancelled, as nobody waited any more
	Local                      // its value is cached on this node only, as its Loader wants it

	NumOutcomes = iota
)

// A Cause says why a fill was begun.
type Cause uint8

const (
	Foreground Cause = iota // a caller waits
	Refresh                 // it runs in the background
	Lease                   // a caller waits, and the node has the lease of the key

	NumCauses = iota
)

// A WaitEnd says what a wait for the lease of a key has ended with.
type WaitEnd uint8

const (
	WaitAbandoned WaitEnd = iota // nobody waited any more
	WaitGranted                  // the lease
	WaitAlone                    // no lease was to be had: the node fills without
	WaitFilled                   // the value came from another node
	WaitFailed                   // another node's fill failed

	NumWaitEnds = iota
)
