// Package delta is one write: its key, value, version and times.
//
// Its law: it is the floor of the house. It knows no other package of the module, and every package that
// deals with writes knows it. It holds values and pure functions of them, so nothing in it needs a lock;
// a Clock is atomic. The time is a parameter: no clock is read. What all nodes must agree on of a single
// write is decided here, and in one way: which of two versions wins, the bucket of a key, and when a
// deadline has come.
package delta
