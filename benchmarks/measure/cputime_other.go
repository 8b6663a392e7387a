//go:build !unix

package measure

import "time"

// CPUTime is unknown here.
func CPUTime() (d time.Duration, ok bool) { return 0, false }
