//go:build unix

package measure

import (
	"syscall"
	"time"
)

// CPUTime is what this process has used of all cores; ok if the system says it.
func CPUTime() (d time.Duration, ok bool) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
