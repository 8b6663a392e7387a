// Package store is what a node holds of each key: entries, tombstones and floors, within a capacity.
//
// Its law is COVER: of every version that was applied it holds that key at this version or a greater
// one, or the floor of its bucket, or Clear, stands for it. It knows nothing of frames, nor of who else
// there is. It locks its shards itself, one at a time; what adds to it (Apply and what is like it) is
// serialised by its caller, the replica, while reads come from everywhere, and as a rule take no lock.
// It reads no clock itself.
package store
