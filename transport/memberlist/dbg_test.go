package memberlist

import (
	"fmt"
	"regexp"
	"sort"
	"testing"
	"time"
)

func TestDbg(t *testing.T) {
	n := *nodes
	if n == 0 {
		t.Skip()
	}
	var all []*place
	b := time.Now()
	for i := range n {
		c := Config{}
		if i > 0 {
			c.Join = append(c.Join, all[0].Addr())
		}
		all = append(all, start(t, uint64(i+1), c))
	}
	fmt.Println("started", time.Since(b))
	for k := 0; k < 20 && !full(all); k++ {
		time.Sleep(time.Second)
		links, members, joined, left := 0, 0, 0, 0
		for _, p := range all {
			links += len(p.Members())
			p.roster.mu.Lock()
			members += len(p.roster.members)
			p.roster.mu.Unlock()
			joined += p.Count("+")
			left += p.Count("-")
		}
		fmt.Println(time.Since(b), "cpu", cpu(), "links", links, "of", n*(n-1), "members", members, "joined", joined, "left", left)
	}
	num := regexp.MustCompile(`[0-9a-f]*[0-9][0-9a-f:.-]*`)
	counts := map[string]int{}
	for _, p := range all {
		for _, l := range p.log.at {
			counts[num.ReplaceAllString(l, "#")]++
		}
	}
	var keys []string
	for k := range counts {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return counts[keys[i]] > counts[keys[j]] })
	for _, k := range keys[:min(40, len(keys))] {
		fmt.Println(counts[k], k)
	}
}
