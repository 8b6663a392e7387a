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
			for _, name := range []string{p, escaped(p)} {
				if strings.Contains(stack, "\n"+name) || strings.Contains(stack, "created by "+name) {
					found[id] = stack
				}
			}
		}
	}
	return found
}

// escaped is an import path as stacks have it: with the dots of its last part in another way.
func escaped(path string) string {
	i := strings.LastIndex(path, "/") + 1
	return path[:i] + strings.ReplaceAll(path[i:], ".", "%2e")
}
