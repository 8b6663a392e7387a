// Package fill is who waits for which fill, and what to do with what is held: the loads of a node, how
// long they are waited for, which failures are remembered, and a Loader's Policy.
//
// Its law: it never calls a Fill, and neither reads nor writes the cache. Loaders do that, and tell it.
// It has locks of its own, held for a moment and never while anybody waits; Written may be called under
// the lock of the replica. A caller obeys its own context only; a fill that all callers have left is
// cancelled, and isn't joined from then on.
package fill
