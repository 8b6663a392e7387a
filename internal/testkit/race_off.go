//go:build !race

package testkit

const (
	// RaceDetector reports whether the race detector is built in.
	RaceDetector = false

	// SimDefaultSeeds is how many seeds of the simulation a plain test run has: under the race detector
	// they are ten times slower.
	SimDefaultSeeds = 300
)
