//go:build !race

package testkit

// RaceDetector reports whether the race detector is built in.
const RaceDetector = false
