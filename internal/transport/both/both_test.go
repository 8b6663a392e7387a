package both

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/internal/transport/memnet"
	"github.com/iwanbk/bcache/transport"
)

// A node is there as long as one of the two says so, as the life that was heard of last.
func TestLives(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(first, second part)
		want string
	}{
		{"one after the other", func(a, b part) { a.Joined(1, 7); b.Joined(1, 7); a.Left(1); b.Left(1) }, "[+1/7 -1]"},
		{"there and back", func(a, b part) { a.Joined(1, 7); b.Joined(1, 7); a.Left(1); a.Joined(1, 7); b.Left(1) }, "[+1/7]"},
		{"another life", func(a, b part) { a.Joined(1, 7); b.Joined(1, 8); a.Left(1) }, "[+1/7 -1 +1/8]"},
		{"an old one is late", func(a, b part) { b.Joined(1, 8); a.Joined(1, 7); a.Left(1) }, "[+1/8 -1 +1/7 -1 +1/8]"},
		{"an old one goes on", func(a, b part) { a.Joined(1, 7); b.Joined(1, 8); b.Left(1) }, "[+1/7 -1 +1/8 -1 +1/7]"},
		{"two nodes", func(a, b part) { a.Joined(1, 7); b.Joined(2, 8); a.Left(1) }, "[+1/7 +2/8 -1]"},
		{"who wasn't there leaves", func(a, b part) { a.Left(1); b.Left(1) }, "[]"},
	} {
		h := &testkit.Handler{}
		x := New(nil, nil)
		x.h = h
		c.do(part{x, 0}, part{x, 1})
		if got := fmt.Sprint(h.Events); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		for id, p := range x.peers {
			if p.lives == [2]uint64{} {
				t.Errorf("%s: %d is remembered", c.name, id)
			}
		}
	}
}

// A cluster moves from one network to another: no node is ever apart from the others.
func TestMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old, young := memnet.New(), memnet.New()
		start := func(tr transport.Transport) *testkit.Handler {
			h := &testkit.Handler{}
			testkit.Must(t, tr.Start(transport.Node{}, h))
			t.Cleanup(func() { tr.Close() })
			synctest.Wait()
			return h
		}
		a := New(old.Transport(1, 101), young.Transport(1, 101))
		atA := start(a)
		b := old.Transport(2, 102)
		atB := start(b)
		c := young.Transport(3, 103)
		atC := start(c)
		both := New(old.Transport(4, 104), young.Transport(4, 104))
		atBoth := start(both)

		ids := func() (list []uint64) {
			for _, m := range a.Members() {
				list = append(list, m.ID)
			}
			return list
		}
		if got := ids(); !slices.Equal(got, []uint64{2, 3, 4}) {
			t.Errorf("members are %v", got)
		}
		a.Broadcast([]byte("all"))
		testkit.Must(t, a.Send(3, []byte("one"), false))
		synctest.Wait()
		for i, h := range []*testkit.Handler{atB, atC, atBoth} {
			if !h.Got(1, []byte("all")) {
				t.Errorf("node %d didn't get what was broadcast", i+2)
			}
		}
		if !atC.Got(1, []byte("one")) || atBoth.Got(1, []byte("one")) {
			t.Error("what was sent went to another one, or nowhere")
		}
		if err := a.Send(9, []byte("x"), false); err != transport.ErrUnknownPeer {
			t.Errorf("Send to nobody: %v", err)
		}
		old.Kill(4)
		synctest.Wait()
		for _, one := range a.Everybody(time.Hour) {
			if one.ID == 4 && one.Gone {
				t.Error("who is there by one of the two is said to be gone")
			}
		}
		if got := ids(); !slices.Equal(got, []uint64{2, 3, 4}) {
			t.Errorf("members are %v", got)
		}
		young.Kill(4)
		synctest.Wait()
		if got, all := ids(), a.Everybody(time.Hour); !slices.Equal(got, []uint64{2, 3}) || len(all) != 3 || !all[2].Gone {
			t.Errorf("members are %v, everybody is %v", got, all)
		}
		if got := fmt.Sprint(atA.Events); got != "[+2/66 +3/67 +4/68 -4]" {
			t.Errorf("node 1 was told %s", got)
		}
	})
}
