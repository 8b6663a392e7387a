package bcache

import (
	"fmt"
	"time"
)

// A node is complete once it is synced and no connected neighbour, synced or not, holds what it lacks.
// Only then is it ready. Like being synced, that lasts. It isn't waited for for ever: what comes no
// nearer for as long as a synced node is waited for can't be had.

// judgeComplete notes it, if it is so.
func (r *replica) noteComplete(now instant) {
	if r.complete {
		return
	}
	fed := r.counts.recordsRepaired + r.client.counts.recordsSynced
	if !r.synced || fed != r.fed || len(r.arrivals) > 0 {
		r.fed, r.fedAt = fed, now.mono
	}
	if !r.synced || r.client.session != nil {
		return
	}
	if len(r.neighbours.holders()) == 0 || now.mono-r.fedAt >= r.unsyncedLimit {
		r.complete = true
		r.became()
	}
}

// incomplete says what a node that is synced still waits for.
func (r *replica) incomplete(now instant) string {
	return fmt.Sprintf("nodes %x hold, or may hold, what this one lacks; "+
		"that is enough after %v in which nothing comes",
		r.neighbours.holders(), (r.unsyncedLimit - (now.mono - r.fedAt)).Round(time.Second))
}
