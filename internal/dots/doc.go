// Package dots is which writes a node has processed: dots, the version vector with its gaps, and the log
// of recent dots.
//
// Its law: it knows that a write was delivered and which version it had, never its value, nor whether it
// won. Nothing in it is locked: its caller, the replica, has the lock. What takes long (a comparison, an
// adoption) is done in steps, so that the caller can let others have the lock in between. A Vector
// claims no dot that it wasn't given, and a Log doesn't claim to know what it doesn't hold.
package dots
