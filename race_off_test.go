//go:build !race

package bcache

const raceDetector = false
