package fill

import (
	"testing"

	"github.com/iwanbk/bcache/internal/delta"
)

// A clearList are Clears by their selectors. The first ones may be forgotten.
type clearList struct {
	by        []delta.Selector
	forgotten uint64
}

func (c *clearList) Number() uint64 { return uint64(len(c.by)) }

func (c *clearList) First(rec *delta.Record, after uint64) uint64 {
	if c.forgotten > after {
		return after + 1
	}
	for i, s := range c.by[after:] {
		if s.Selects(rec.Key, rec.Tags) {
			return after + uint64(i) + 1
		}
	}
	return 0
}

func (c *clearList) tag(tag string) { c.by = append(c.by, delta.SelectTag(tag)) }

// Who came after a Clear of a tag that a load has brought, which began before that, has to ask again;
// everybody else has its result.
func TestClearsBetweenBeginAndJoin(t *testing.T) {
	tags, _ := delta.MakeTags([]string{"t", "u"})
	for name, tt := range map[string]struct {
		before, between, after []string // tags that are cleared before the load begins, the caller comes, it ends
		tags                   delta.Tags
		untold                 bool // nobody says which tags it has
		forget                 uint64
		want                   bool
	}{
		"none":                    {want: true, tags: tags},
		"before it began":         {before: []string{"t"}, want: true, tags: tags},
		"in between":              {between: []string{"v", "t", "v"}, tags: tags},
		"the last one":            {before: []string{"t"}, between: []string{"v", "u"}, tags: tags},
		"others":                  {before: []string{"t"}, between: []string{"v", "w"}, want: true, tags: tags},
		"after the caller came":   {between: []string{"v"}, after: []string{"t"}, want: true, tags: tags},
		"no tags":                 {between: []string{"t"}, want: true},
		"forgotten":               {between: []string{"v", "w"}, forget: 1, tags: tags},
		"forgotten, but before":   {before: []string{"t"}, between: []string{"v"}, forget: 1, want: true, tags: tags},
		"unknown tags":            {between: []string{"v"}, untold: true},
		"unknown tags, no Clear":  {before: []string{"v"}, untold: true, want: true},
		"unknown tags, it's late": {after: []string{"v"}, untold: true, want: true},
	} {
		for _, lookedUp := range []bool{false, true} {
			clears := &clearList{}
			f := NewLoads(oneShard, clears)
			clear := func(tags []string) {
				for _, tag := range tags {
					clears.tag(tag)
				}
			}
			first := f.Caller(false)
			ld, _ := joinAlone(t, f, "k", nil)
			clear(tt.before)
			if lookedUp {
				f.LookUp(ld, func() bool { return true })
			} else {
				f.Begin(ld)
			}
			clear(tt.between)
			who := f.Caller(false)
			if joined, isNew := joinAlone(t, f, "k", nil); isNew || joined != ld {
				t.Fatalf("%s: it isn't joined", name)
			}
			clear(tt.after)
			clears.forgotten = tt.forget
			if !tt.untold {
				ld.Brings(tt.tags)
			}
			f.End(ld, Result{Value: "v"})
			if _, ok := f.Wait(t.Context(), ld, first); !ok {
				t.Errorf("%s: who came before it began doesn't have it", name)
			}
			if res, ok := f.Wait(t.Context(), ld, who); ok != tt.want || res.Value != "v" {
				t.Errorf("%s, looked up %v: who came later has %+v, %v", name, lookedUp, res, ok)
			}
		}
	}
}
