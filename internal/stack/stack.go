// Package stack tells which functions the goroutine is in.
//
// Its law: it only looks. It finds nothing on other goroutines, so whoever relies on it to not wait for
// itself needs a limit for that wait besides. It is slow, and not for what is called often.
package stack

import (
	"runtime"
	"strings"
)

// Contains reports whether a function, by the end of its name, has called the caller.
func Contains(suffix string) bool {
	pcs := make([]uintptr, 64)
	for skip := 2; ; skip += len(pcs) {
		n := runtime.Callers(skip, pcs)
		frames := runtime.CallersFrames(pcs[:n])
		for {
			f, more := frames.Next()
			if strings.HasSuffix(f.Function, suffix) {
				return true
			}
			if !more {
				break
			}
		}
		if n < len(pcs) {
			return false
		}
	}
}
