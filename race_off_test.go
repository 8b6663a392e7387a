//go:build !race

package bcache

const (
	raceDetector    = false
	simDefaultSeeds = 1000
)
