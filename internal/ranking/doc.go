// Package ranking says which keys come most often, or took longest, in bounded memory.
//
// Its law: it keeps a given number of keys, and of each no more than its beginning, in memory of its
// own. Two keys are taken for one only if their 64-bit hashes are the same, which nobody can bring
// about from outside. Nothing here has a lock: who shares a ranking among goroutines has one. Time is
// passed in.
package ranking
