// Package histogram counts durations by how long they are, in a bounded number of buckets.
//
// Its law: a count never falls, the bounds never change, and nobody waits for anybody. It reads no
// clock.
package histogram
