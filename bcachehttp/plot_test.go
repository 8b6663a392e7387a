package bcachehttp

import (
	"strings"
	"testing"
	"time"

	"github.com/iwanbk/bcache"
)

func TestPlots(t *testing.T) {
	now := time.Unix(10_000, 0)
	var list []*sample
	hits := uint64(0)
	for i := range 151 { // Gets in the first and the last minute only
		if i < 30 || i >= 120 {
			hits += 20
		}
		at := now.Add(time.Duration(i-150) * 2 * time.Second)
		list = append(list, &sample{at: at, stats: bcache.Stats{Hits: hits, BytesIn: uint64(i) * 2048}})
	}
	all := plots(list, now)
	ratio, gets, in := all[0], all[1], all[4]
	if ratio.Name != "Hit ratio" || ratio.Now != "100 %" || ratio.Top != "100 %" || len(ratio.Runs) != 2 {
		t.Errorf("the ratio is %+v", ratio)
	}
	if gets.Now != "10/s" || len(gets.Runs) != 1 || gets.Top != "10/s" ||
		gets.Says != "Now 10/s. In the last five minutes between 0/s and 10/s." {
		t.Errorf("the Gets are %+v", gets)
	}
	if n := strings.Count(gets.Runs[0].Line, ","); n != 150 {
		t.Errorf("%d points", n)
	}
	if line := gets.Runs[0].Line; !strings.HasPrefix(line, "2.0,0.0 ") ||
		!strings.HasSuffix(line, " 300.0,0.0") {
		t.Errorf("the line is %s", line)
	}
	if area := gets.Runs[0].Area; !strings.HasPrefix(area, "2.0,60 ") ||
		!strings.HasSuffix(area, " 300.0,60") {
		t.Errorf("the area is %s", area)
	}
	if in.Now != "1 KiB/s" {
		t.Errorf("received are %+v", in)
	}
}

// What isn't known isn't drawn.
func TestPlotsOfLittle(t *testing.T) {
	now := time.Unix(10_000, 0)
	first := &sample{at: now.Add(-2 * time.Second)}
	for _, p := range plots([]*sample{first}, now) {
		if p.Now != "–" || p.Says != "There was none yet." || len(p.Runs) != 0 {
			t.Errorf("of nothing: %+v", p)
		}
	}
	all := plots([]*sample{first, {at: now}}, now)
	if len(all[0].Runs) != 0 || all[1].Now != "0/s" || len(all[1].Runs) != 1 {
		t.Errorf("of no Gets: %+v", all[:2])
	}
	if all[1].Runs[0].Line != "300.0,60.0 300.0,60.0" {
		t.Errorf("a dot is %q", all[1].Runs[0].Line)
	}
}
