// Package meshnet is the transport over TCP, by weaveworks/mesh: whom to dial, which connection lives,
// how frames go, how all of it ends.
//
// Its law: it alone imports mesh, and what mesh does oddly stays in here. It never looks into the frames
// that it carries, nor knows what they are for. Its methods may be called from everywhere, and none but
// Close waits for a peer. Its parts have locks of their own, held for a moment, in the order that
// Transport names. Whatever waits for a peer has a bound, and is dropped and counted there.
package meshnet
