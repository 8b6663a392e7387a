// Package wire turns frames into structs, and back. docs/wire.proto is the schema.
//
// Its law: its functions are pure, it keeps nothing and needs no lock. Bytes of a peer are never
// trusted: no length is believed before its bytes are there, and a frame that is malformed anywhere is
// refused before anything of it is applied. What it returns shares no memory with a frame, but for a
// WireRecord. It doesn't judge what a frame means: the replica and the leases do.
package wire
