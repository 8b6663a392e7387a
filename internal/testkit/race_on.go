//go:build race

package testkit

const (
	raceDetector    = true
	simDefaultSeeds = 30 // ten times slower
)
