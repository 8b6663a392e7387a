//go:build race

package bcache

const (
	raceDetector    = true
	simDefaultSeeds = 30 // ten times slower
)
