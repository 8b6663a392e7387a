//go:build linux

package e2e_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/iwanbk/bcache/internal/e2e/nodeprocess"
)

// An oracle knows what was written to all nodes, and so what they must hold: of a range
// that one node writes at a time, what was written last; of a shared one, all the same.
type oracle struct {
	ranges map[string]int    // how many keys there are, by prefix
	last   map[string]string // by key; "" was deleted
	shared map[string]bool   // by prefix
}

func newOracle() *oracle {
	return &oracle{map[string]int{}, map[string]string{}, map[string]bool{}}
}

// share says that it isn't known who wrote last to these keys.
func (o *oracle) share(prefix string, keys int) {
	o.ranges[prefix], o.shared[prefix] = max(o.ranges[prefix], keys), true
}

func (o *oracle) sets(prefix string, from, to int, val string) {
	o.ranges[prefix] = max(o.ranges[prefix], to)
	nodeprocess.EachKey(prefix, from, to, func(key string) error { o.last[key] = val; return nil })
}

func (o *oracle) deletes(prefix string, from, to int) { o.sets(prefix, from, to, "") }

// load takes in the writes of a load.
func (o *oracle) load(node, prefix string, keys, count int) {
	o.ranges[prefix] = keys
	for i := max(0, count-keys); i < count; i++ {
		key, val, isDelete := nodeprocess.LoadWrite(node, prefix, keys, i)
		if isDelete {
			val = ""
		}
		o.last[key] = val
	}
}

// dump is the command that asks a node for all keys.
func (o *oracle) dump() string {
	var b strings.Builder
	b.WriteString("dump")
	for _, prefix := range slices.Sorted(maps.Keys(o.ranges)) {
		fmt.Fprint(&b, " ", prefix, " ", o.ranges[prefix])
	}
	return b.String()
}

// check says where nodes hold what they mustn't, or don't all hold the same value of a
// key. With all they must hold everything, without they may have evicted keys.
func (o *oracle) check(dumps []map[string]string, all bool) error {
	var wrong []string
	keys := 0
	for _, prefix := range slices.Sorted(maps.Keys(o.ranges)) {
		for i := range o.ranges[prefix] {
			keys++
			key := prefix + strconv.Itoa(i)
			if what := o.checkKey(key, o.shared[prefix], dumps, all); what != "" {
				wrong = append(wrong, what)
			}
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d keys are wrong: %s", len(wrong), keys, strings.Join(wrong[:min(3, len(wrong))], "; "))
}

func (o *oracle) checkKey(key string, shared bool, dumps []map[string]string, all bool) string {
	want, known := o.last[key]
	holders := 0
	for _, d := range dumps {
		v, found := d[key]
		if !found {
			continue
		}
		if holders == 0 && shared {
			want = v
		}
		holders++
		if v != want {
			return o.describe(key, want, dumps)
		}
	}
	if some := holders > 0 && holders < len(dumps); all && (some || holders == 0 && known && !shared && want != "") {
		return o.describe(key, want, dumps)
	}
	return ""
}

func (o *oracle) describe(key, want string, dumps []map[string]string) string {
	var held []string
	for _, d := range dumps {
		if v, found := d[key]; found {
			held = append(held, strconv.Quote(v))
		} else {
			held = append(held, "-")
		}
	}
	return fmt.Sprintf("%s is %s, want %q", key, strings.Join(held, " "), want)
}

// overlap counts the keys that all hold.
func overlap(dumps []map[string]string) (n int) {
	for key := range dumps[0] {
		if !slices.ContainsFunc(dumps[1:], func(d map[string]string) bool { _, found := d[key]; return !found }) {
			n++
		}
	}
	return n
}

// The oracle sees every way of being wrong, and nothing where nothing is.
func TestOracle(t *testing.T) {
	o := newOracle()
	o.sets("k", 0, 2, "old")
	o.sets("k", 0, 1, "new")
	o.deletes("k", 2, 3)
	o.share("s", 1)
	good := map[string]string{"k0": "new", "k1": "old", "s0": "x"}
	with := func(key, val string) map[string]string {
		d := maps.Clone(good)
		if d[key] = val; val == "" {
			delete(d, key)
		}
		return d
	}
	const never, always, forAll = 0, 1, 2
	for _, c := range []struct {
		what  string
		other map[string]string
		wrong int
	}{
		{"the same", good, never},
		{"an older value", with("k0", "old"), always},
		{"a value of another key", with("k1", "new"), always},
		{"a deleted key", with("k2", "old"), always},
		{"another winner", with("s0", "y"), always},
		{"one evicted", with("k0", ""), forAll},
		{"a shared one evicted", with("s0", ""), forAll},
	} {
		for _, all := range []bool{false, true} {
			for _, dumps := range [][]map[string]string{{good, c.other}, {c.other, good}} {
				err := o.check(dumps, all)
				if want := c.wrong == always || c.wrong == forAll && all; (err != nil) != want {
					t.Errorf("%s, all %v: %v", c.what, all, err)
				}
			}
		}
	}
	lost := with("k1", "")
	if errors.Join(o.check([]map[string]string{lost, lost}, true)) == nil {
		t.Error("a key that nobody holds isn't missed")
	}
	if n := overlap([]map[string]string{good, lost, with("k0", "old")}); n != 2 {
		t.Errorf("overlap %d", n)
	}
}
