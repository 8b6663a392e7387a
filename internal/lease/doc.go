// Package lease decides which node fills a key. A Table is the side of the node that grants leases, Asks
// are that of the nodes that ask for them.
//
// Its law: it is about efficiency, never about correctness, so it knows nothing of values, and whatever
// is lost only costs a query. Nothing in it is locked: its caller, the replica, has the lock. It starts
// no timer and reads no clock: it is told what comes, and the time, and speaks by Net. What takes long
// is done in steps, in whose pauses the caller may let others have the lock.
package lease
