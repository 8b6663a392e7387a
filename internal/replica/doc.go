// Package replica is one node's part in replication: merge, repair, full sync, readiness.
//
// Its law: it is the lock, the order of things and the dispatch of frames. Its parts have no lock of
// their own: most are called under the replica's, and those whose work takes long take it themselves,
// step by step. It starts no goroutine, reads no clock and touches no network: it is driven by calls
// that carry the time, and queues what it wants sent or said. The same calls give the same bytes, which
// is what the simulation rests on.
package replica
