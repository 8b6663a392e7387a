package replica

import (
	"time"
)

// Repair (anti-entropy). Every round a node pings its neighbours with its vector, and each
// answers whether it has more. If so, the node asks one of them to send it: that is a pull,
// and one at a time suffices. What is sent are deltas, made from the log. Where no log
// reaches back far enough, there is a full sync (sync_in.go).

const (
	RoundMin = 2 * time.Second // between the pings to a neighbour
	RoundMax = 10 * time.Second

	// A neighbour of which nothing came for so long, in spite of two pings, is cut.
	SilentMost = 3 * RoundMin

	pullLimit   = time.Minute // however much of it comes
	surveyEvery = time.Second

	pullTimeout      = 2 * time.Second
	pullEvery        = 200 * time.Millisecond // for gaps, which frames may come and fill
	defaultPullBytes = 512 << 10              // in an answer, about; then the node asks again

	pullsAtOnce = 2           // answers that flush makes in one go
	pullAgain   = time.Second // until the same is answered again

	stepWork = 2048 // intervals compared without letting others take the lock
)
