//go:build !race

package testkit

const (
	RaceDetector    = false
	SimDefaultSeeds = 1000
)
