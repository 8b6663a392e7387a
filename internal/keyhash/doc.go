// Package keyhash is the hash of keys within a process, which nobody outside can guess.
//
// Its law: it never leaves the process. What all nodes must agree on takes the wire's hash,
// delta.BucketOf. A Hash doesn't change once it is made, so it needs no lock.
package keyhash
