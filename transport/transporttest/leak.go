package transporttest

import (
	"runtime"
	"strings"
)

// stacks returns the goroutines that run functions of some packages, or were created by one, but for
// those of tests, by their IDs. If all is set, it includes those that run functions of a _test.go file:
// they may belong to the test's network.
func stacks(packages []string, all bool) map[string]string {
	if len(packages) == 0 {
		return nil
	}
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	found := map[string]string{}
	for stack := range strings.SplitSeq(string(buf), "\n\n") {
		id, _, ok := strings.Cut(stack, " [")
		if !ok || strings.Contains(stack, "testing.tRunner(") || strings.Contains(stack, "testing.(*M).") {
			continue
		}
		if !all && strings.Contains(stack, "_test.go:") {
			continue
		}
		for _, p := range packages {
			if strings.Contains(stack, "\n"+p) || strings.Contains(stack, "created by "+p) {
				found[id] = stack
			}
		}
	}
	return found
}
