package memnet

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/iwanbk/bcache/internal/testkit"
	"github.com/iwanbk/bcache/transport"
)

// memEvents starts n bare nodes of a net, whose IDs are 1 to n.
func memEvents(t *testing.T, net *Net, n int) (nodes []*Transport, events []*testkit.Handler) {
	t.Helper()
	for i := range n {
		tr := net.Transport(uint64(i+1), uint64(i+101))
		h := &testkit.Handler{}
		testkit.Must(t, tr.Start(transport.Node{}, h))
		nodes, events = append(nodes, tr), append(events, h)
		t.Cleanup(func() { tr.Close() })
	}
	synctest.Wait()
	return nodes, events
}

func direct(t transport.Transport) (ids []uint64) {
	for _, m := range t.Members() {
		ids = append(ids, m.ID)
	}
	return ids
}

func TestMemNetDisconnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New()
		nodes, events := memEvents(t, net, 3)
		nodes[0].Disconnect(2)
		nodes[0].Disconnect(2) // it isn't connected any more
		nodes[0].Disconnect(1)
		nodes[0].Disconnect(9)
		synctest.Wait()
		if got := direct(nodes[0]); !slices.Equal(got, []uint64{3}) {
			t.Errorf("node 1 is connected to %v", got)
		}
		nodes[0].Broadcast([]byte("down"))
		if err := nodes[1].Send(1, []byte("down"), false); !errors.Is(err, transport.ErrUnknownPeer) {
			t.Errorf("Send = %v", err)
		}
		testkit.Advance(net.Relink)
		synctest.Wait()
		nodes[0].Broadcast([]byte("up"))
		synctest.Wait()
		if events[1].Got(1, []byte("down")) || !events[2].Got(1, []byte("down")) || !events[1].Got(1, []byte("up")) {
			t.Errorf("node 2 got %v, node 3 %v", events[1].Frames, events[2].Frames)
		}
		slices.Sort(events[2].Events) // it has met two nodes at once
		for i, want := range []string{"[+2/66 +3/67 -2 +2/66]", "[+1/65 +3/67 -1 +1/65]", "[+1/65 +2/66]"} {
			if got := fmt.Sprint(events[i].Events); got != want {
				t.Errorf("node %d was told %s, want %s", i+1, got, want)
			}
		}
	})
}

// What waits when a link goes down is lost, however late it comes back.
func TestMemNetLosesWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New()
		net.Relink = time.Minute
		nodes, events := memEvents(t, net, 2)
		release := net.Hold(2)
		nodes[0].Broadcast([]byte("lost"))
		nodes[1].Disconnect(1)
		testkit.Advance(net.Relink)
		synctest.Wait()
		nodes[0].Broadcast([]byte("arrives"))
		release()
		synctest.Wait()
		if events[1].Got(1, []byte("lost")) || !events[1].Got(1, []byte("arrives")) {
			t.Errorf("node 2 got %v", events[1].Frames)
		}
	})
}

// A node that closes while a link of its is down isn't connected again.
func TestMemNetCloseStopsRelink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := New()
		nodes, events := memEvents(t, net, 2)
		nodes[0].Disconnect(2)
		testkit.Must(t, nodes[1].Close())
		testkit.Advance(2 * net.Relink)
		synctest.Wait()
		if got := fmt.Sprint(events[0].Events); got != "[+2/66 -2]" {
			t.Errorf("node 1 was told %s", got)
		}
		nodes[1].Disconnect(1) // after Close
	})
}
