// Package replica is one node's part in replication: merge, repair, full sync, readiness.
//
// Its law: it is the lock, the order of things and the dispatch of frames; what it is made of (state,
// neighbours, outgoing and so on) has no lock, and is called under the replica's. It starts no
// goroutine, reads no clock and touches no network: it is driven by calls that carry the time, and
// queues what it wants sent or said. The same calls give the same bytes, which is what the simulation
// rests on. What takes long is done in steps, and the loop that does them shows where others get the
// lock.
package replica
