// Package striped counts what all processors count at once.
//
// Its law: who counts never waits for others that count, and takes no lock.
package striped
